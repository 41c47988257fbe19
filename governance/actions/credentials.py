"""From the headers of a request to who is calling and what they may do."""

from __future__ import annotations

import hmac
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from governance import keys, tokens
from governance.actions.audit import Actor
from governance.exceptions import NotAuthenticatedError, PermissionDeniedError
from governance.models import (
    ApiKey,
    Membership,
    Organization,
    TokenSession,
    User,
)
from governance.models.organizations import MembershipQuerySet

Role = Membership.Role

# How long a revoked credential may still work, and a promise says five.
CACHE_SECONDS = 4.0
# Beyond that many the cache starts anew; each entry is a credential in use.
CACHE_LIMIT = 20_000
# `last_used_at` is for people, who don't ask for seconds.
USE_NOTED_EVERY = timedelta(minutes=1)

SCOPES = (
    "mlops:read",
    "mlops:write",
    "models:read",
    "models:write",
    "governance:read",
    "governance:write",
    "inference:invoke",
    "audit:read",
)
# What a key gets unless somebody says otherwise: neither decisions nor the trail.
ORDINARY_SCOPES = tuple(
    scope for scope in SCOPES if scope not in {"governance:write", "audit:read"}
)
READING = ("mlops:read", "models:read", "governance:read")
ROLE_SCOPES: dict[str, tuple[str, ...]] = {
    Role.OWNER: (*ORDINARY_SCOPES, "governance:write"),
    Role.MODEL_OWNER: (*ORDINARY_SCOPES, "governance:write"),
    Role.VALIDATOR: (*READING, "governance:write"),
    Role.COMPLIANCE_OFFICER: (*READING, "governance:write"),
    Role.AUDITOR: (*READING, "audit:read"),
}


@dataclass(frozen=True, slots=True)
class Credential:
    """A valid key or token: on whose behalf, for which organization, for what.

    `user_id` is the person behind it: the token's, or the key's owner. `roles` are
    empty for a key: it never acts in a role of its owner's.
    """

    organization_id: int
    environment: str
    scopes: frozenset[str]
    api_key_id: int | None
    user_id: int
    actor: Actor
    roles: frozenset[str] = frozenset()
    session_id: UUID | None = None
    # Django and DRF ask a request's user whether it is somebody.
    is_authenticated = True

    def require(self, scope: str) -> None:
        """Raise PermissionDeniedError unless the credential has this scope."""
        if scope not in self.scopes:
            raise PermissionDeniedError(f"This credential lacks the scope {scope}.")


@dataclass(frozen=True, slots=True)
class _Grant:
    """What the database says about a credential, good for a few seconds."""

    organization_id: int
    environment: str
    scopes: frozenset[str]
    api_key_id: int | None
    user_id: int
    label: str
    key_prefix: str
    expires_at: datetime | None
    roles: frozenset[str] = frozenset()
    session_id: UUID | None = None


_grants: dict[bytes, tuple[float, _Grant]] = {}


def authenticate(
    authorization: str | None,
    x_api_key: str | None,
    *,
    ip: str,
    request_id: str,
    channel: str = "api",
) -> Credential:
    """Return the credential in these headers, or raise NotAuthenticatedError.

    `Authorization` wins if both are there. What the database said is remembered for
    four seconds, so that a busy client costs no query and a revoked key dies in time.
    """
    text = _presented(authorization, x_api_key)
    digest = keys.digest(text)
    known = _grants.get(digest)
    if known is not None and time.monotonic() - known[0] < CACHE_SECONDS:
        grant = known[1]
    else:
        asked_at = time.monotonic()
        grant = _grant_of(text, digest)
        if len(_grants) >= CACHE_LIMIT:
            _grants.clear()
        _grants[digest] = (asked_at, grant)
    if grant.expires_at is not None and grant.expires_at <= timezone.now():
        raise NotAuthenticatedError
    return _credential(grant, ip=ip, request_id=request_id, channel=channel)


def forget() -> None:
    """Ask the database again about every credential, in this process."""
    _grants.clear()


def scopes_with_implied(scopes: Iterable[str]) -> frozenset[str]:
    """Add what each scope includes: who may write may read."""
    given = set(scopes)
    implied = {
        scope.replace(":write", ":read") for scope in given if scope.endswith(":write")
    }
    return frozenset(given | implied)


def _presented(authorization: str | None, x_api_key: str | None) -> str:
    """Return the bare credential.

    Swagger's box makes people type `Bearer` where it is added anyway, so that the word
    may stand there twice.
    """
    words = (authorization or "").split()
    is_bearer = bool(words) and words[0].lower() == "bearer"
    while words and words[0].lower() == "bearer":
        del words[0]
    if len(words) == 1 and (is_bearer or words[0].startswith(keys.START)):
        return words[0]
    if not is_bearer and x_api_key and x_api_key.strip():
        return x_api_key.strip()
    raise NotAuthenticatedError


def _grant_of(text: str, digest: bytes) -> _Grant:
    if text.startswith(keys.START):
        return _grant_of_key(text, digest)
    return _grant_of_token(text)


def _grant_of_key(text: str, digest: bytes) -> _Grant:
    prefix = keys.prefix_of(text)
    if prefix is None:
        raise NotAuthenticatedError
    # A key acts for its owner: it ends with the owner's membership.
    membership = Membership.objects.in_effect().filter(
        organization=OuterRef("organization"), user=OuterRef("owner")
    )
    key = (
        ApiKey.objects.usable()
        .filter(Exists(membership), prefix=prefix, owner__is_active=True)
        .first()
    )
    if key is None or not hmac.compare_digest(bytes(key.digest), digest):
        raise NotAuthenticatedError
    _note_use(key)
    return _Grant(
        organization_id=key.organization_id,
        environment=key.environment,
        scopes=scopes_with_implied(key.scopes),
        api_key_id=key.pk,
        user_id=key.owner_id,
        label=key.name,
        key_prefix=key.prefix,
        expires_at=key.expires_at,
    )


def _note_use(key: ApiKey) -> None:
    now = timezone.now()
    is_old = Q(last_used_at=None) | Q(last_used_at__lt=now - USE_NOTED_EVERY)
    if key.last_used_at is None or key.last_used_at < now - USE_NOTED_EVERY:
        ApiKey.objects.filter(is_old, pk=key.pk).update(last_used_at=now)


def _grant_of_token(text: str) -> _Grant:
    claims = tokens.read(text, kind=tokens.ACCESS)
    session = (
        TokenSession.objects.filter(
            pk=claims.session_id,
            user=claims.user_id,
            user__is_active=True,
            revoked_at=None,
            expires_at__gt=timezone.now(),
        )
        .select_related("user")
        .first()
    )
    if session is None:
        raise NotAuthenticatedError
    roles = roles_of(session.user_id, session.organization_id)
    if not roles:
        raise NotAuthenticatedError
    return _Grant(
        organization_id=session.organization_id,
        environment=ApiKey.Environment.PRODUCTION,
        scopes=scopes_of(roles),
        api_key_id=None,
        user_id=session.user_id,
        label=session.user.email,
        key_prefix="",
        expires_at=claims.expires_at,
        roles=roles,
        session_id=session.pk,
    )


def roles_of(user_id: int, organization_id: int) -> frozenset[str]:
    """Return every role that a person holds in an organization, and that counts."""
    return frozenset(
        Membership.objects.for_organization(organization_id)
        .in_effect()
        .filter(user=user_id)
        .values_list("role", flat=True)
    )


def organizations_of(user: User) -> list[Organization]:
    """Return where a person has a role that counts, the first joined first."""
    here = Membership.objects.in_effect().filter(
        user=user, organization=OuterRef("organization")
    )
    rows = _first_joined(user).filter(Exists(here)).select_related("organization")
    return list({row.organization_id: row.organization for row in rows}.values())


def home_of(user: User) -> int | None:
    """Return the id of the organization that a person joined first, left or not."""
    first = _first_joined(user).first()
    return first.organization_id if first else None


def _first_joined(user: User) -> MembershipQuerySet:
    """Order all roles of a person that have ever counted by when they were given."""
    never = Q(needs_confirmation=True, confirmed_at=None)
    return (
        Membership.objects.filter(user=user).exclude(never).order_by("granted_at", "pk")
    )


def scopes_of(roles: Iterable[str]) -> frozenset[str]:
    """Return what a person with these roles may do through the API."""
    return scopes_with_implied(
        scope for role in roles for scope in ROLE_SCOPES.get(role, ())
    )


def _credential(grant: _Grant, *, ip: str, request_id: str, channel: str) -> Credential:
    is_key = grant.api_key_id is not None
    actor = Actor(
        type="api_key" if is_key else "user",
        id=str(grant.api_key_id if is_key else grant.user_id),
        label=grant.label,
        role=",".join(sorted(grant.roles)),
        auth_method="api_key" if is_key else "token",
        key_prefix=grant.key_prefix,
        ip=ip,
        request_id=request_id,
        channel=channel,
        user_id=grant.user_id,
    )
    return Credential(
        organization_id=grant.organization_id,
        environment=grant.environment,
        scopes=grant.scopes,
        api_key_id=grant.api_key_id,
        user_id=grant.user_id,
        actor=actor,
        roles=grant.roles,
        session_id=grant.session_id,
    )
