"""Inviting people, and what they answer.

The link of an invitation carries a token of which the database has the SHA-256 alone.
The token is a keyed hash of the invitation's id, so that the mail can be written when
it is sent, and sent again, without the token waiting in the outbox.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.utils import timezone
from django.utils.crypto import salted_hmac

from governance.actions import credentials, limits, organizations
from governance.actions.audit import Actor, deed, record
from governance.exceptions import (
    AlreadyExistsError,
    ConflictError,
    NotFoundError,
)
from governance.identifiers import uuid7
from governance.models import (
    Invitation,
    Membership,
    Notification,
    Organization,
    User,
)

Role = Membership.Role
Status = Invitation.Status

LIFETIME = timedelta(days=7)
# Of one organization, in seconds.
ATTEMPTS = (100, 60 * 60)


def count_attempt(organization: Organization) -> None:
    """Refuse to send mail to hundreds of strangers: ThrottledError.

    Call it outside a transaction, before `invite`.
    """
    limit, seconds = ATTEMPTS
    limits.hit("invite", str(organization.pk), limit=limit, seconds=seconds)


@deed
def invite(
    organization: Organization, *, email: str, role: str, actor: Actor | None
) -> Invitation:
    """Offer a role to whoever has the address; open for seven days.

    Whether there is an account of the address changes nothing here, so that nobody
    learns it. An open invitation of the same address to the same role is withdrawn:
    its link is dead, the new one counts. A mail waits in the outbox. Needs the role
    owner; raises AlreadyExistsError if a member of this address has the role.
    """
    organizations.require_owner(organization, actor)
    members = Membership.objects.for_organization(organization).active()
    if members.filter(user__email__iexact=email, role=role).exists():
        raise AlreadyExistsError(f"{email} has the role {role} already.")
    inviter = actor.user_id if actor else None
    return _offer(organization, email, Role(role), inviter=inviter, actor=actor)


@deed
def register_organization(
    name: str, *, actor: Actor | None
) -> tuple[Organization, str, Invitation]:
    """Make an organization and its first API key, and offer to become its owner.

    The offer has no address: who registered the organization shows the link to the
    person who shall have it. Returns the key's text too, shown this once.
    """
    organization, _, text = organizations.register_organization(name, actor=actor)
    offer = offer_ownership(organization, actor=actor)
    return organization, text, offer


@deed
def offer_ownership(
    organization: Organization, *, email: str = "", actor: Actor | None
) -> Invitation:
    """Offer the role owner in the system's name; without an address to any one person.

    For the console, and for whoever has just registered the organization. An earlier
    open offer of the kind is withdrawn.
    """
    return _offer(organization, email, Role.OWNER, inviter=None, actor=actor)


def _offer(
    organization: Organization,
    email: str,
    role: Role,
    *,
    inviter: int | None,
    actor: Actor | None,
) -> Invitation:
    # Two offers of the same at once would both find no earlier one.
    Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
    earlier = Invitation.objects.for_organization(organization).filter(
        email__iexact=email, role=role, status=Status.OPEN
    )
    for one in earlier.select_for_update():
        _close(one, Status.WITHDRAWN, actor=actor, reason="Replaced by a new one.")
    pk, now = uuid7(), timezone.now()
    invitation = Invitation.objects.create(
        pk=pk,
        organization=organization,
        email=email,
        role=role,
        digest=hashlib.sha256(_token(pk).encode()).digest(),
        invited_by_id=inviter,
        created_at=now,
        expires_at=now + LIFETIME,
    )
    record(
        organization,
        actor=actor,
        action="invitation.created",
        object=invitation,
        after={"email": email, "role": role, "expires_at": invitation.expires_at},
    )
    if email:
        _post(invitation)
    return invitation


def _post(invitation: Invitation) -> None:
    """Put the mail into the outbox; its sender asks for the `link` when it sends it."""
    inviter = invitation.invited_by
    Notification.objects.create(
        organization_id=invitation.organization_id,
        event="invitation.created",
        subject=f"You are invited to {invitation.organization} on DriftGuard"[:500],
        payload={
            "to": invitation.email,
            "invitation": invitation.public_id,
            "organization": invitation.organization.name,
            "role": invitation.get_role_display(),
            "invited_by": str(inviter) if inviter else "DriftGuard",
            "expires_at": invitation.expires_at.isoformat(),
        },
    )


def _token(pk: UUID) -> str:
    made = salted_hmac("driftguard.invitation", pk.hex, algorithm="sha256").digest()
    return base64.urlsafe_b64encode(made).decode().rstrip("=")


def link(invitation: Invitation) -> str:
    """Return the address that the invited person opens; whoever has it may answer.

    Shown once to who invites, and written into the mail.
    """
    return f"{settings.SITE_URL}/invitations/{_token(invitation.pk)}"


def find(token: str) -> Invitation:
    """Return the open invitation with this token, or raise NotFoundError.

    It also ends with the right of who invited: whoever is no owner any more brings
    nobody in.
    """
    invitation = (
        Invitation.objects.open()
        .with_token(token)
        .select_related("organization", "invited_by")
        .first()
    )
    if invitation is None or not _may_still_invite(invitation):
        raise NotFoundError
    return invitation


def _may_still_invite(invitation: Invitation) -> bool:
    return invitation.invited_by_id is None or Role.OWNER in credentials.roles_of(
        invitation.invited_by_id, invitation.organization_id
    )


@deed
def accept(token: str, *, user: User, actor: Actor) -> Membership:
    """Say yes: the person gets the role, from whoever invited them; the link is used.

    The person has shown who they are. Raises NotFoundError if the invitation isn't
    open, ConflictError if it is for another address.
    """
    invitation = _locked(token)
    if invitation.email and invitation.email.lower() != user.email.lower():
        raise ConflictError("This invitation is for another e-mail address.")
    membership = organizations.grant(
        invitation.organization,
        user,
        invitation.role,
        giver=invitation.invited_by_id,
        actor=actor,
    )
    _close(invitation, Status.ACCEPTED, actor=actor, membership=membership)
    return membership


@deed
def join(
    token: str, *, email: str, password: str, name: str, actor: Actor
) -> Membership:
    """Say yes as somebody new: make the account, and accept with it.

    `email` matters only where the invitation has no address. Raises as `accept` does,
    AlreadyExistsError if there is an account, InvalidError if the password is too
    weak.
    """
    invitation = find(token)
    user = organizations.create_user(
        invitation.email or email, password=password, name=name, actor=actor
    )
    newcomer = replace(
        actor, type="user", id=str(user.pk), label=user.email, user_id=user.pk
    )
    return accept(token, user=user, actor=newcomer)


@deed
def decline(token: str, *, actor: Actor) -> Invitation:
    """Say no: the link is dead. Raises NotFoundError if the invitation isn't open."""
    invitation = _locked(token)
    _close(invitation, Status.DECLINED, actor=actor)
    return invitation


@deed
def withdraw(invitation: Invitation, *, actor: Actor | None) -> Invitation:
    """Take the offer back; needs the role owner. ConflictError if it isn't open."""
    organizations.require_owner(invitation.organization, actor)
    invitation = (
        Invitation.objects.for_organization(invitation.organization_id)
        .select_for_update(of=("self",))
        .select_related("organization")
        .get(pk=invitation.pk)
    )
    if invitation.status != Status.OPEN:
        raise ConflictError("This invitation has been answered or withdrawn.")
    _close(invitation, Status.WITHDRAWN, actor=actor)
    return invitation


def _locked(token: str) -> Invitation:
    """Return the open invitation, which nobody else answers until this is over."""
    found = find(token)
    # The organization goes first, as everywhere.
    Organization.objects.select_for_update(no_key=True).get(pk=found.organization_id)
    list(Invitation.objects.filter(pk=found.pk).select_for_update())
    return find(token)


def _close(
    invitation: Invitation,
    status: Status,
    *,
    actor: Actor | None,
    membership: Membership | None = None,
    reason: str = "",
) -> None:
    invitation.status = status
    invitation.closed_at = timezone.now()
    invitation.closed_by_id = actor.user_id if actor else None
    invitation.membership = membership
    invitation.save(update_fields=["status", "closed_at", "closed_by", "membership"])
    record(
        invitation.organization_id,
        actor=actor,
        action=f"invitation.{status}",
        object=invitation,
        reason=reason,
        after={"email": invitation.email, "role": invitation.role},
    )
