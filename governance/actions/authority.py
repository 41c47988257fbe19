"""Who may do something: the roles that a person has now, and who counts as whom."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from governance.actions import credentials, limits
from governance.actions.audit import Actor, Subject, deed, record
from governance.actions.credentials import Credential
from governance.exceptions import (
    PermissionDeniedError,
    ReauthenticationRequiredError,
    ThrottledError,
)
from governance.models import (
    ApiKey,
    ApprovalRequest,
    Membership,
    ModelVersion,
    PolicyVersion,
    RegisteredModel,
    User,
)
from governance.models.tenancy import TenantModel

Role = Membership.Role
# Ways in which a person has shown, at this very moment, who they are.
CONFIRMED = frozenset({"password", "second_factor"})
CONFIRMATIONS = (10, 15 * 60)  # attempts, in seconds
# Whose refusal belongs into the trail: deeds of governance, and looking at the trail.
GOVERNED = ("governance:", "audit:", "models:write")
DENIALS = (20, 60 * 60)  # entries of one credential, in seconds


def roles_of(actor: Actor, organization_id: int) -> frozenset[str]:
    """Return the roles of a person as they are now; a key acts in none."""
    if actor.type != "user" or actor.user_id is None:
        return frozenset()
    return credentials.roles_of(actor.user_id, organization_id)


def people_behind(actor: Actor) -> frozenset[int]:
    """Return who an actor is for four eyes: a key is its owner and its creator."""
    people = {actor.user_id}
    if actor.type == "api_key":
        key = ApiKey.objects.get(pk=int(actor.id))
        people |= {key.owner_id, key.created_by_id}
    return frozenset(person for person in people if person is not None)


def editors_of(
    *rows: ModelVersion | RegisteredModel | PolicyVersion,
) -> frozenset[int]:
    """Return who last changed these rows; a key counts as owner and creator."""
    found: set[int | None] = set()
    for row in rows:
        found.add(row.edited_by_id)
        if row.edited_with is not None:
            found |= {row.edited_with.owner_id, row.edited_with.created_by_id}
    return frozenset(one for one in found if one is not None)


def editor(
    actor: Actor | None, under: ApprovalRequest | None = None
) -> dict[str, int | None]:
    """Return the columns that say who last changed a row; the system changes none.

    What is changed under a request was changed by who asked for it, not by whose vote
    was the last.
    """
    if under is not None:
        return {
            "edited_by_id": under.requested_by_id,
            "edited_with_id": under.requested_with_id,
        }
    if actor is None or actor.user_id is None:
        return {}
    key = int(actor.id) if actor.type == "api_key" else None
    return {"edited_by_id": actor.user_id, "edited_with_id": key}


def require_role(
    subject: TenantModel, roles: Iterable[str], *, action: str, actor: Actor
) -> None:
    """Refuse, and remember it, unless a person with one of the roles acts."""
    wanted = list(roles)
    if roles_of(actor, subject.organization_id).isdisjoint(wanted):
        words = " or ".join(Role(role).label.lower() for role in wanted)
        refuse(subject, f"a person with the role {words}", action=action, actor=actor)


def require_another(
    subject: TenantModel, people: Iterable[int | None], *, action: str, actor: Actor
) -> None:
    """Refuse, and remember it, if the actor is one of these people (four eyes)."""
    if people_behind(actor) & set(people):
        refuse(subject, "a second person", action=action, actor=actor)


def refuse(subject: TenantModel, needed: str, *, action: str, actor: Actor) -> None:
    """Remember an attempt that lacks what it needs, and raise PermissionDeniedError."""
    record(
        subject.organization_id,
        actor=actor,
        action=action,
        object=subject,
        outcome="denied",
        reason=f"needs {needed}",
    )
    raise PermissionDeniedError(f"This needs {needed}.")


def require_scope(credential: Credential, scope: str, *, call: tuple[str, str]) -> None:
    """Refuse a credential that doesn't have the scope of a call (method and path).

    The trail remembers it for what is governed, so many times an hour: nobody can fill
    it with refusals. Call it outside a transaction.
    """
    if scope not in credential.scopes and scope.startswith(GOVERNED):
        _remember_denial(credential, scope, call)
    credential.require(scope)


def _remember_denial(credential: Credential, scope: str, call: tuple[str, str]) -> None:
    actor, organization_id = credential.actor, credential.organization_id
    who = f"{organization_id} {actor.type} {actor.id}"
    limit, seconds = DENIALS
    try:
        hits = limits.hit("denied", who, limit=limit, seconds=seconds)
    except ThrottledError:
        return
    more = "; no more are recorded within the hour" if hits == limit else ""
    method, path = call
    record(
        organization_id,
        actor=actor,
        action="api.called",
        object=Subject("call", method, path),
        outcome="denied",
        reason=f"needs the scope {scope}{more}",
    )


def require_confirmation(subject: TenantModel, *, action: str, actor: Actor) -> None:
    """Refuse, and remember it, unless the person has just shown who they are."""
    if actor.type == "user" and actor.auth_method in CONFIRMED:
        return
    record(
        subject.organization_id,
        actor=actor,
        action=action,
        object=subject,
        outcome="denied",
        reason="needs the password again",
    )
    raise ReauthenticationRequiredError


def confirmed(actor: Actor, password: str, *, organization_id: int, path: str) -> Actor:
    """Return the actor as one who has just shown who they are.

    Raises ReauthenticationRequiredError for a wrong password, which is remembered with
    the path of what it was tried for, and ThrottledError after too many. Call it
    outside a transaction.
    """
    limit, seconds = CONFIRMATIONS
    limits.hit("confirm", str(actor.user_id), limit=limit, seconds=seconds)
    user = None
    if actor.type == "user" and actor.user_id is not None:
        user = User.objects.filter(pk=actor.user_id, is_active=True).first()
    if user is not None and user.check_password(password):
        return replace(actor, auth_method="password")
    _record_failure(organization_id, path, actor=actor)
    raise ReauthenticationRequiredError("The password is wrong.")


@deed
def _record_failure(organization_id: int, path: str, *, actor: Actor) -> None:
    record(
        organization_id,
        actor=actor,
        action="person.confirmed",
        object=Subject("call", "POST", path),
        outcome="failed",
        reason="wrong password",
    )
