"""Organizations, their members and their API keys."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import datetime

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.text import slugify

from governance import keys
from governance.actions import credentials, policies
from governance.actions.audit import Actor, Subject, deed, record
from governance.exceptions import (
    AlreadyExistsError,
    ConflictError,
    InvalidError,
    PermissionDeniedError,
    fault,
)
from governance.models import (
    ApiKey,
    Membership,
    Notification,
    Organization,
    TokenSession,
    User,
)
from governance.models.organizations import VOTING_ROLES

Role = Membership.Role


@deed
def create_organization(
    name: str, *, owner: User | None = None, actor: Actor | None
) -> Organization:
    """Make an organization with the default policy; `owner` gets the role owner."""
    organization = _insert_organization(name)
    record(
        organization,
        actor=actor,
        action="organization.created",
        object=organization,
        after={"name": organization.name, "slug": organization.slug},
    )
    policies.create_default(organization, actor=actor)
    if owner is not None:
        grant(organization, owner, Role.OWNER, giver=None, actor=actor)
    return organization


def _insert_organization(name: str) -> Organization:
    """Take the first free slug; two organizations may have the same name."""
    base = slugify(name)[:60].strip("-") or "organization"
    slug = base
    while True:
        try:
            with transaction.atomic():
                return Organization.objects.create(name=name, slug=slug)
        except IntegrityError:
            slug = f"{base}-{secrets.token_hex(3)}"


@deed
def register_person(
    email: str, password: str, name: str, *, actor: Actor | None
) -> tuple[User, Organization]:
    """Make a user with an organization of their own.

    Raises AlreadyExistsError if the e-mail address has a user, InvalidError if the
    password is too weak.
    """
    user = create_user(email, password=password, name=name, actor=actor)
    # The longest name of a person is as long as that of an organization.
    whose = (name or email.partition("@")[0])[:180]
    organization = create_organization(
        f"{whose}'s organization", owner=user, actor=actor
    )
    return user, organization


@deed
def register_organization(
    name: str, *, actor: Actor | None
) -> tuple[Organization, ApiKey, str]:
    """Make an organization and its first API key; nobody signs in to it yet.

    The key's owner is a user made for it, who has no password.
    """
    organization = create_organization(name, actor=actor)
    service = User.objects.create_user(
        f"service@{organization.slug}.invalid",
        name=f"{name} (service)",
        is_service=True,
    )
    grant(organization, service, Role.MODEL_OWNER, giver=None, actor=actor)
    key, text = _insert_api_key(
        organization, name="First key", owner=service, actor=actor
    )
    return organization, key, text


@deed
def create_user(
    email: str, *, password: str | None, name: str = "", actor: Actor | None
) -> User:
    """Make a user of no organization yet; nothing to remember until there is one.

    Raises AlreadyExistsError, or InvalidError if a password is given and too weak.
    """
    user = User(email=User.objects.normalize_email(email), name=name)
    if password is not None:
        try:
            validate_password(password, user)
        except ValidationError as error:
            raise InvalidError(
                "The password is too weak.",
                errors=[
                    fault(
                        "password", code=one.code or "invalid", detail=str(one.message)
                    )
                    for one in error.error_list
                ],
            ) from None
    user.set_password(password)
    try:
        with transaction.atomic():
            user.save()
    except IntegrityError:
        raise AlreadyExistsError("A user with this e-mail address exists.") from None
    return user


@deed
def add_member(
    organization: Organization, *, user: User, role: str, actor: Actor | None
) -> Membership:
    """Give a member another role; the system gives one to anybody.

    Needs the role owner. Who is no member yet is invited instead, and says yes: else
    ConflictError. Raises AlreadyExistsError if the person has the role. A voting role
    counts only once a second person has confirmed it, unless the organization has had
    two people at the most; nobody gives one to themselves.
    """
    require_owner(organization, actor)
    members = Membership.objects.for_organization(organization).active()
    if actor is not None and not members.filter(user=user).exists():
        raise ConflictError("Who is no member yet has to be invited.")
    giver = actor.user_id if actor else None
    return grant(organization, user, role, giver=giver, actor=actor)


@deed
def grant(
    organization: Organization,
    user: User,
    role: str,
    *,
    giver: int | None,
    actor: Actor | None,
) -> Membership:
    """Give a role, whoever asks: the caller has checked that they may.

    `giver` is the id of whom the role comes from, None for the system: with an
    invitation it isn't the one who acts.

    Locks the organization, so that two people at once don't both count as the second.
    """
    Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
    is_voting = role in VOTING_ROLES
    if is_voting and giver == user.pk:
        raise ConflictError("Nobody gives a voting role to themselves.")
    try:
        with transaction.atomic():
            membership = Membership.objects.create(
                organization=organization,
                user=user,
                role=Role(role),
                granted_by_id=giver,
                needs_confirmation=is_voting
                and giver is not None
                and _people_with(organization, user) > 2,
            )
    except IntegrityError:
        raise AlreadyExistsError(f"{user} has the role {role} already.") from None
    record(
        organization,
        actor=actor,
        action="member.added",
        object=user,
        after={
            "email": user.email,
            "role": role,
            "needs_confirmation": membership.needs_confirmation,
        },
    )
    if membership.needs_confirmation:
        _ask_second_person(membership)
    transaction.on_commit(credentials.forget)
    return membership


def _ask_second_person(membership: Membership) -> None:
    """Tell those who may confirm the role that it waits for one of them."""
    organization, user = membership.organization, membership.user
    able = (
        Membership.objects.for_organization(organization)
        .in_effect()
        .filter(role__in=(Role.OWNER, Role.COMPLIANCE_OFFICER))
        .exclude(user__in=(membership.user_id, membership.granted_by_id))
    )
    Notification.objects.create(
        organization=organization,
        event="member.unconfirmed",
        subject=f"{user} as {membership.get_role_display()} waits for a second person"[
            :500
        ],
        payload={
            "to": sorted(set(able.values_list("user__email", flat=True))),
            "membership": membership.pk,
            "member": user.email,
            "role": membership.get_role_display(),
        },
    )


def _people_with(organization: Organization, user: User) -> int:
    """Count the people who have ever been members, with `user`; keys aren't people."""
    people = Membership.objects.for_organization(organization).filter(
        user__is_service=False
    )
    return len({user.pk, *people.values_list("user", flat=True)})


@deed
def confirm_member(membership: Membership, *, actor: Actor) -> Membership:
    """Say as the second person that somebody shall have a voting role.

    It counts from now on, not on what was opened before. Needs the role owner or
    compliance officer, by a person who neither gave the role nor gets it: else
    PermissionDeniedError. Raises ConflictError if nothing waits to be confirmed.
    """
    membership = _locked(membership)
    organization = membership.organization
    roles = roles_of_person(organization, actor)
    if roles.isdisjoint({Role.OWNER, Role.COMPLIANCE_OFFICER}):
        raise refused(organization, actor, "the role owner or compliance officer")
    if actor.user_id in {membership.user_id, membership.granted_by_id}:
        raise refused(organization, actor, "a second person")
    if membership.granted_by_id == membership.user_id:
        raise ConflictError("Nobody votes in a role that they gave themselves.")
    if not (membership.is_active and membership.is_unconfirmed):
        raise ConflictError("Nothing waits for a second person here.")
    membership.confirmed_by_id = actor.user_id
    membership.confirmed_at = timezone.now()
    membership.save(update_fields=["confirmed_by", "confirmed_at"])
    record(
        organization,
        actor=actor,
        action="member.confirmed",
        object=membership.user,
        after={"email": membership.user.email, "role": membership.role},
    )
    transaction.on_commit(credentials.forget)
    return membership


def _locked(membership: Membership) -> Membership:
    found: Membership = (
        Membership.objects.for_organization(membership.organization_id)
        .select_for_update(of=("self",))
        .select_related("organization", "user")
        .get(pk=membership.pk)
    )
    return found


@deed
def end_member(
    membership: Membership, *, actor: Actor | None, reason: str = ""
) -> Membership:
    """End a role, which stays on record; needs the role owner, or is one's own.

    With the last role the person's sessions in the organization end, and the keys that
    they own stop working. Raises ConflictError for the last owner, and if the role has
    ended before.
    """
    organization = membership.organization
    # Whoever ends a role waits here, so that two owners can't end each other's.
    Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
    membership = _locked(membership)
    user = membership.user
    if actor is None or actor.type != "user" or actor.user_id != user.pk:
        require_owner(organization, actor)
    if not membership.is_active:
        raise ConflictError("The role has ended already.")
    owners = Membership.objects.for_organization(organization).active()
    if list(owners.filter(role=Role.OWNER)) == [membership]:
        raise ConflictError("An organization keeps at least one owner.")
    membership.ended_by_id = actor.user_id if actor else None
    membership.ended_at = timezone.now()
    membership.save(update_fields=["ended_by", "ended_at"])
    record(
        organization,
        actor=actor,
        action="member.ended",
        object=user,
        reason=reason,
        before={"email": user.email, "role": membership.role},
    )
    if not credentials.roles_of(user.pk, organization.pk):
        TokenSession.objects.for_organization(organization).filter(
            user=user, revoked_at=None
        ).update(revoked_at=timezone.now())
    transaction.on_commit(credentials.forget)
    return membership


@deed
def create_api_key(
    organization: Organization,
    *,
    name: str,
    owner: User,
    scopes: Iterable[str] = credentials.ORDINARY_SCOPES,
    environment: str = ApiKey.Environment.PRODUCTION,
    expires_at: datetime | None = None,
    actor: Actor | None,
) -> tuple[ApiKey, str]:
    """Make a key that acts for its owner; return it with its text, shown this once.

    People with the role owner make keys, keys don't. Nothing but the text's SHA-256 is
    kept.
    """
    require_owner(organization, actor)
    wanted = sorted(set(scopes))
    if unknown := [scope for scope in wanted if scope not in credentials.SCOPES]:
        raise InvalidError(
            "There is no such scope.",
            errors=[fault("scopes", code="scope", detail=one) for one in unknown],
        )
    if not credentials.roles_of(owner.pk, organization.pk):
        raise InvalidError(
            "The owner of a key has to be a member of the organization.",
            errors=[fault("owner", code="not_a_member", detail=owner.email)],
        )
    return _insert_api_key(
        organization,
        name=name,
        owner=owner,
        scopes=wanted,
        environment=environment,
        expires_at=expires_at,
        actor=actor,
    )


def _insert_api_key(
    organization: Organization,
    *,
    name: str,
    owner: User,
    scopes: Iterable[str] = credentials.ORDINARY_SCOPES,
    environment: str = ApiKey.Environment.PRODUCTION,
    expires_at: datetime | None = None,
    actor: Actor | None,
) -> tuple[ApiKey, str]:
    new = keys.make(environment)
    key = ApiKey.objects.create(
        organization=organization,
        name=name,
        environment=environment,
        prefix=new.prefix,
        digest=new.digest,
        scopes=list(scopes),
        owner=owner,
        created_by_id=actor.user_id if actor else None,
        expires_at=expires_at,
    )
    record(
        organization,
        actor=actor,
        action="api_key.created",
        object=key,
        after={
            "scopes": key.scopes,
            "environment": environment,
            "owner": owner.email,
            "expires_at": expires_at,
        },
    )
    return key, new.text


@deed
def revoke_api_key(key: ApiKey, *, actor: Actor | None, reason: str = "") -> ApiKey:
    """End a key: within five seconds it is refused everywhere.

    Revoking it again changes nothing. The key's owner may do so, and everybody with the
    role owner.
    """
    key = ApiKey.objects.select_for_update(of=("self",)).get(pk=key.pk)
    if actor is None or actor.type != "user" or actor.user_id != key.owner_id:
        require_owner(key.organization, actor)
    if key.revoked_at is not None:
        return key
    key.revoked_at = timezone.now()
    key.save(update_fields=["revoked_at"])
    record(
        key.organization,
        actor=actor,
        action="api_key.revoked",
        object=key,
        reason=reason,
        after={"prefix": key.prefix},
    )
    transaction.on_commit(credentials.forget)
    return key


def require_owner(organization: Organization, actor: Actor | None) -> None:
    """Refuse everybody but the system and people with the role owner, by the table."""
    if actor is not None and Role.OWNER not in roles_of_person(organization, actor):
        raise refused(organization, actor, "a person with the role owner")


def roles_of_person(organization: Organization, actor: Actor) -> frozenset[str]:
    """Return the roles of an actor who is a person; keys act in none."""
    if actor.type != "user" or actor.user_id is None:
        return frozenset()
    return credentials.roles_of(actor.user_id, organization.pk)


def refused(
    organization: Organization, actor: Actor, needed: str
) -> PermissionDeniedError:
    """Record an attempt that lacks what it needs; return the error to raise."""
    record(
        organization,
        actor=actor,
        action="permission.denied",
        object=Subject("organization", str(organization.pk), str(organization)),
        outcome="denied",
        reason=f"needs {needed}",
    )
    return PermissionDeniedError(f"This needs {needed}.")
