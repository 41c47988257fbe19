"""What can go wrong, as one tree.

DriftGuardError
├── UnreachableError          no answer came: the server or the way to it is away
└── ApiError                  the server answered with a problem (RFC 9457)
    ├── NotAuthenticatedError     401
    ├── PermissionDeniedError     403
    ├── NotFoundError             404, or another organization's
    ├── ConflictError             409: the state forbids it; `extra` says what next
    ├── InvalidError              400, 413, 415, 422: the request is wrong
    └── UnavailableError          429, 5xx: worth trying again, after `retry_after`
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class DriftGuardError(Exception):
    """The root of all errors of this library."""


class UnreachableError(DriftGuardError):
    """No answer came within the time limit, after all attempts."""


class ApiError(DriftGuardError):
    """The server refused; the message says why."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.code = str(problem.get("code", ""))
        self.detail = str(problem.get("detail") or problem.get("title") or status)
        self.errors = list(problem.get("errors") or [])
        known = {"type", "title", "status", "code", "detail", "instance", "errors"}
        self.extra = {name: problem[name] for name in problem if name not in known}
        super().__init__(f"{status}: {self._sentence()}")

    def _sentence(self) -> str:
        places = [
            f"{'.'.join(map(str, one.get('loc', [])))}: {one.get('detail', '')}"
            for one in self.errors[:5]
        ]
        return " ".join([self.detail, *(f"[{place}]" for place in places)])


class NotAuthenticatedError(ApiError):
    """The credential is missing, unknown, expired or revoked."""


class PermissionDeniedError(ApiError):
    """The credential lacks the scope or role."""


class NotFoundError(ApiError):
    """It is not there, or belongs to another organization."""


class ConflictError(ApiError):
    """The state forbids it; `extra` holds the gate's rules and the next step."""


class InvalidError(ApiError):
    """The request is wrong; `errors` names the fields."""


class UnavailableError(ApiError):
    """The server can't answer now; the same request may be sent again."""

    def __init__(
        self,
        status: int,
        problem: Mapping[str, Any],
        retry_after: float | None = None,
    ) -> None:
        super().__init__(status, problem)
        self.retry_after = retry_after
