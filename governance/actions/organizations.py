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
from governance.models import ApiKey, Membership, Organization, TokenSession, User

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
        _grant(organization, owner, Role.OWNER, actor=actor)
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
    organization = create_organization(
        f"{name or email.partition('@')[0]}'s organization", owner=user, actor=actor
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
    _grant(organization, service, Role.MODEL_OWNER, actor=actor)
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
    """Give a person a role; needs the role owner. Raises AlreadyExistsError."""
    _require_owner(organization, actor)
    return _grant(organization, user, role, actor=actor)


def _grant(
    organization: Organization, user: User, role: str, *, actor: Actor | None
) -> Membership:
    try:
        with transaction.atomic():
            membership = Membership.objects.create(
                organization=organization,
                user=user,
                role=Role(role),
                granted_by_id=actor.user_id if actor else None,
            )
    except IntegrityError:
        raise AlreadyExistsError(f"{user} has the role {role} already.") from None
    record(
        organization,
        actor=actor,
        action="member.added",
        object=user,
        after={"email": user.email, "role": role},
    )
    return membership


@deed
def remove_member(membership: Membership, *, actor: Actor | None) -> None:
    """Take a role away; needs the role owner.

    With the last role the person's sessions in the organization end, and the keys that
    they own stop working.
    """
    organization, user = membership.organization, membership.user
    _require_owner(organization, actor)
    owners = Membership.objects.for_organization(organization).select_for_update()
    if list(owners.filter(role=Role.OWNER)) == [membership]:
        raise ConflictError("An organization keeps at least one owner.")
    membership.delete()
    record(
        organization,
        actor=actor,
        action="member.removed",
        object=user,
        before={"email": user.email, "role": membership.role},
    )
    if not credentials.roles_of(user.pk, organization.pk):
        TokenSession.objects.for_organization(organization).filter(
            user=user, revoked_at=None
        ).update(revoked_at=timezone.now())
    transaction.on_commit(credentials.forget)


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
    _require_owner(organization, actor)
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
        _require_owner(key.organization, actor)
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


def _require_owner(organization: Organization, actor: Actor | None) -> None:
    """Refuse everybody but the system and people with the role owner, by the table."""
    if actor is None:
        return
    if actor.type == "user" and actor.user_id is not None:
        roles = credentials.roles_of(actor.user_id, organization.pk)
        if Role.OWNER in roles:
            return
    record(
        organization,
        actor=actor,
        action="permission.denied",
        object=Subject("organization", str(organization.pk), str(organization)),
        outcome="denied",
        reason="needs the role owner",
    )
    raise PermissionDeniedError("This needs a person with the role owner.")
