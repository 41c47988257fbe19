"""Sessions of people and services that sign in with a password and get tokens."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from governance import tokens
from governance.actions import credentials
from governance.actions.audit import Actor, Subject, deed, record
from governance.exceptions import (
    NotAuthenticatedError,
    OrganizationRequiredError,
    PermissionDeniedError,
)
from governance.models import Membership, Organization, TokenSession, User


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a caller gets to show from now on."""

    access: str
    refresh: str
    expires_in: int  # seconds that the access token lives


def organization_for(user: User, named: str | None) -> Organization:
    """Return the organization that a user signs in to.

    `named` is its slug or id. Without it: their home, which is where they became a
    member first, so that joining another one changes no login that worked before. Who
    has left their home and belongs to several has to name one:
    OrganizationRequiredError. Raises PermissionDeniedError if the user doesn't belong
    to it, or to any.
    """
    found = credentials.organizations_of(user)
    if named is not None:
        for organization in found:
            if named in {organization.slug, str(organization.pk)}:
                return organization
        raise PermissionDeniedError("You belong to no organization of this name.")
    if not found:
        raise PermissionDeniedError("You belong to no organization yet.")
    if len(found) > 1 and found[0].pk != credentials.home_of(user):
        slugs = sorted(organization.slug for organization in found)
        raise OrganizationRequiredError(extra={"organizations": slugs})
    return found[0]


@deed
def start(user: User, organization: Organization, *, actor: Actor) -> Tokens:
    """Begin a session of a user who has shown who they are."""
    session = TokenSession.objects.create(
        organization=organization,
        user=user,
        expires_at=timezone.now() + timedelta(days=settings.REFRESH_TOKEN_DAYS),
    )
    record(
        organization,
        actor=actor,
        action="session.started",
        object=user,
        after={"session": str(session.pk)},
    )
    return _tokens(session)


@deed
def record_failure(email: str, *, actor: Actor, reason: str) -> None:
    """Remember a failed login in the trails of the user's organizations, if any."""
    memberships = Membership.objects.active().filter(user__email__iexact=email)
    for pk in sorted(set(memberships.values_list("organization_id", flat=True))):
        record(
            pk,
            actor=actor,
            action="session.started",
            object=Subject("user", "", email),
            outcome="failed",
            reason=reason,
        )


@deed
def record_login(user: User, *, actor: Actor) -> None:
    """Remember that a person came in to the pages, in each of their organizations."""
    _record_everywhere(user, "session.started", actor=actor)


@deed
def record_logout(user: User, *, actor: Actor) -> None:
    """Remember that a person left the pages, in each of their organizations."""
    _record_everywhere(user, "session.ended", actor=actor)


@deed
def change_password(user: User, password: str, *, actor: Actor) -> None:
    """Give a person another password, which has been found strong enough.

    What was signed in with the old one ends: their tokens are refused within five
    seconds, and the pages ask for the new password in every other browser.
    """
    user.set_password(password)
    user.save(update_fields=["password"])
    TokenSession.objects.filter(user=user, revoked_at=None).update(
        revoked_at=timezone.now()
    )
    _record_everywhere(user, "user.password_changed", actor=actor)
    transaction.on_commit(credentials.forget)


def _record_everywhere(user: User, action: str, *, actor: Actor) -> None:
    memberships = Membership.objects.active().filter(user=user)
    for pk in sorted(set(memberships.values_list("organization_id", flat=True))):
        record(pk, actor=actor, action=action, object=user)


def refresh(token: str, *, actor: Actor) -> Tokens:
    """Exchange a refresh token for new ones; the old one is used up.

    A used one coming back means that it was copied: the session ends, whoever holds its
    tokens. Raises NotAuthenticatedError.
    """
    claims = tokens.read(token, kind=tokens.REFRESH)
    made = _rotate(claims, actor=actor)
    # Raised out here: in there it would undo the end of the session.
    if made is None:
        raise NotAuthenticatedError("This refresh token is not valid any more.")
    return made


@deed
def _rotate(claims: tokens.Claims, *, actor: Actor) -> Tokens | None:
    session = (
        TokenSession.objects.select_for_update(of=("self",))
        .select_related("user")
        .filter(pk=claims.session_id, revoked_at=None, expires_at__gt=timezone.now())
        .first()
    )
    if session is None or not _may_go_on(session):
        return None
    if session.refresh_id != claims.token_id:
        _end(session, actor=actor, reason="A used refresh token came back.")
        return None
    session.refresh_id = uuid4()
    session.refreshed_at = timezone.now()
    session.save(update_fields=["refresh_id", "refreshed_at"])
    record(
        session.organization_id,
        actor=actor,
        action="session.refreshed",
        object=session.user,
        after={"session": str(session.pk)},
    )
    return _tokens(session)


def _may_go_on(session: TokenSession) -> bool:
    return session.user.is_active and bool(
        credentials.roles_of(session.user_id, session.organization_id)
    )


@deed
def end(session_id: UUID, *, actor: Actor) -> None:
    """End a session; its tokens are refused within five seconds. Twice is harmless."""
    session = (
        TokenSession.objects.select_for_update(of=("self",))
        .select_related("user")
        .filter(pk=session_id, revoked_at=None)
        .first()
    )
    if session is not None:
        _end(session, actor=actor, reason="")


def _end(session: TokenSession, *, actor: Actor, reason: str) -> None:
    session.revoked_at = timezone.now()
    session.save(update_fields=["revoked_at"])
    record(
        session.organization_id,
        actor=actor,
        action="session.ended",
        object=session.user,
        reason=reason,
        after={"session": str(session.pk)},
    )
    transaction.on_commit(credentials.forget)


def _tokens(session: TokenSession) -> Tokens:
    lifetime = timedelta(days=settings.ACCESS_TOKEN_DAYS)
    expires_at = min(timezone.now() + lifetime, session.expires_at)
    access = tokens.Claims(
        tokens.ACCESS, session.user_id, session.pk, uuid4(), expires_at
    )
    refresh_claims = tokens.Claims(
        tokens.REFRESH,
        session.user_id,
        session.pk,
        session.refresh_id,
        session.expires_at,
    )
    return Tokens(
        access=tokens.sign(access),
        refresh=tokens.sign(refresh_claims),
        expires_in=round((expires_at - timezone.now()).total_seconds()),
    )
