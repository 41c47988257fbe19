"""What can go wrong, as one tree; the HTTP status of each stands in api/exceptions.py.

GovernanceError
├── MalformedError                 the bytes can't be read
├── NotAuthenticatedError          no credential, or one that isn't valid
├── PermissionDeniedError          a credential without the scope or role
│   └── ReauthenticationRequiredError  the person has to show again who they are
├── NotFoundError                  not there, or another organization's
├── ConflictError                  the state forbids it
│   ├── AlreadyDecidedError
│   ├── AlreadyExistsError
│   ├── ApprovalRequiredError
│   ├── ExpiredError
│   ├── GateClosedError
│   ├── IdempotencyInFlightError
│   ├── NotYetError
│   ├── OrganizationRequiredError
│   ├── PermitRefusedError          nothing may serve; says what to do instead
│   ├── QuorumUnreachableError
│   ├── StaleError
│   └── TrailBrokenError           the trail contradicts an earlier checkpoint
├── LengthRequiredError            a body of unknown length
├── TooLargeError
├── UnsupportedMediaTypeError
├── InvalidError                   well-formed, but wrong; names the fields
│   └── IdempotencyMismatchError
├── ThrottledError                 too many; says when to come back
└── UnavailableError               something behind us is away; says when to come back
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, TypedDict


class FieldFault(TypedDict):
    """One fault of an input: where, a stable code, and a sentence."""

    loc: list[str | int]
    code: str
    detail: str


class GovernanceError(Exception):
    """A deed was refused. `code` is stable; the message is for people.

    `extra` is added to the answer: what to do next, which rules failed.
    """

    code: ClassVar[str] = "error"
    message: ClassVar[str] = "The request was refused."

    def __init__(
        self,
        detail: str = "",
        *,
        errors: Iterable[FieldFault] = (),
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        self.detail = detail or self.message
        self.errors = list(errors)
        self.extra = dict(extra or {})
        # Entries of the trail that say what was refused (`audit.keep_refusals`).
        self.refusals: list[Any] = []
        super().__init__(self.detail)


class MalformedError(GovernanceError):
    code = "malformed"
    message = "The body is not valid JSON."


class NotAuthenticatedError(GovernanceError):
    code = "not_authenticated"
    message = "A valid API key or access token is needed."


class PermissionDeniedError(GovernanceError):
    code = "permission_denied"
    message = "This credential may not do that."


class ReauthenticationRequiredError(PermissionDeniedError):
    code = "reauthentication_required"
    message = "This needs your password again, at this very moment."


class NotFoundError(GovernanceError):
    # Always this one sentence: another tenant's object answers with the same bytes.
    code = "not_found"
    message = "There is no such object."


class ConflictError(GovernanceError):
    code = "conflict"
    message = "The object's state forbids it."


class AlreadyDecidedError(ConflictError):
    code = "already_decided"
    message = "It has been decided already."


class AlreadyExistsError(ConflictError):
    code = "already_exists"
    message = "It exists already."


class ApprovalRequiredError(ConflictError):
    code = "approval_required"
    message = "The version has to be approved first."


class ExpiredError(ConflictError):
    code = "expired"
    message = "The time for it is over."


class GateClosedError(ConflictError):
    code = "gate_closed"
    message = "The gate is closed."


class PermitRefusedError(ConflictError):
    code = "permit_refused"
    message = "Nothing may serve here."


class IdempotencyInFlightError(ConflictError):
    code = "idempotency_in_flight"
    message = "A request with this Idempotency-Key is still being answered."


class NotYetError(ConflictError):
    code = "not_yet"
    message = "It is approved, but can't be applied yet."


class OrganizationRequiredError(ConflictError):
    code = "organization_required"
    message = "You belong to several organizations; name one in `organization`."


class QuorumUnreachableError(ConflictError):
    code = "quorum_unreachable"
    message = "There are not enough people who may vote on it."


class StaleError(ConflictError):
    code = "stale"
    message = "What it is about has changed since it was asked for."


class TrailBrokenError(ConflictError):
    code = "trail_broken"
    message = "The trail does not go on from an earlier checkpoint."


class LengthRequiredError(GovernanceError):
    code = "length_required"
    message = "The body needs a Content-Length."


class TooLargeError(GovernanceError):
    code = "too_large"
    message = "The body is too large."


class UnsupportedMediaTypeError(GovernanceError):
    code = "unsupported_media_type"
    message = "The body has to be JSON (application/json)."


class InvalidError(GovernanceError):
    code = "invalid"
    message = "The request is well-formed, but not valid."


class IdempotencyMismatchError(InvalidError):
    code = "idempotency_mismatch"
    message = "This Idempotency-Key was used with another request."


class _LaterError(GovernanceError):
    """Worth trying again after `retry_after` seconds."""

    def __init__(self, detail: str = "", *, retry_after: int = 1) -> None:
        super().__init__(detail)
        self.retry_after = max(1, retry_after)


class ThrottledError(_LaterError):
    code = "throttled"
    message = "Too many requests."


class UnavailableError(_LaterError):
    code = "unavailable"
    message = "The service can't answer right now."


def fault(*loc: str | int, code: str, detail: str) -> FieldFault:
    return {"loc": list(loc), "code": code, "detail": detail}
