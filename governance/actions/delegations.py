"""Standing in for somebody: for some days one person casts the vote of another."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from governance.actions import authority, quorums
from governance.actions.audit import Actor, deed, record
from governance.exceptions import (
    ConflictError,
    FieldFault,
    InvalidError,
    PermissionDeniedError,
    fault,
)
from governance.models import Delegation, Membership, Organization, User

Role = Membership.Role
LONGEST = timedelta(days=90)
# Who may arrange it for somebody absent; it takes two of them.
MAY_ARRANGE = (Role.OWNER, Role.VALIDATOR, Role.COMPLIANCE_OFFICER)
ACTION = "delegation.created"


@dataclass(frozen=True, slots=True)
class Terms:
    """Who votes for whom in which role, from when until when, and why."""

    delegator: User
    delegate: User
    role: str
    starts_at: datetime
    ends_at: datetime
    reason: str


@deed
def create(organization: Organization, terms: Terms, *, actor: Actor) -> Delegation:
    """Let somebody with the same role vote for a person between two moments.

    It counts at once if the person says so themselves. For somebody absent it counts
    once a second person has confirmed it (`confirm`). Raises InvalidError, or
    ConflictError where it would be passed on or is there already.
    """
    # One at a time in an organization: two at once could make a chain.
    Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
    _check(organization, terms)
    row = Delegation(
        organization=organization,
        delegator=terms.delegator,
        delegator_label=terms.delegator.email,
        delegate=terms.delegate,
        delegate_label=terms.delegate.email,
        role=Role(terms.role),
        starts_at=terms.starts_at,
        ends_at=terms.ends_at,
        reason=terms.reason,
    )
    row.created_by_id = _person(row, actor)
    _refuse_chain(organization, terms)
    if row.created_by_id == terms.delegator.pk:
        row.confirmed_by_id, row.confirmed_at = terms.delegator.pk, timezone.now()
    try:
        with transaction.atomic():
            row.save()
    except IntegrityError:
        raise ConflictError("A delegation is not passed on.") from None
    _remember(row, ACTION, actor=actor)
    return row


def _person(row: Delegation, actor: Actor) -> int:
    """Return the person who arranges a delegation; refuse who may not."""
    if actor.type != "user" or actor.user_id is None:
        raise _refused(row, "a person", actor)
    if actor.user_id == row.delegate_id:
        raise _refused(row, "somebody else than the delegate", actor)
    if actor.user_id != row.delegator_id:
        roles = authority.roles_of(actor, row.organization_id)
        if roles.isdisjoint(MAY_ARRANGE):
            raise _refused(row, "an owner or somebody who votes", actor)
    return actor.user_id


def _refused(row: Delegation, needed: str, actor: Actor) -> PermissionDeniedError:
    record(
        row.organization_id,
        actor=actor,
        action=ACTION,
        object=row.organization,
        outcome="denied",
        reason=f"needs {needed}",
        after={"delegator": row.delegator_label, "delegate": row.delegate_label},
    )
    return PermissionDeniedError(f"This needs {needed}.")


def _check(organization: Organization, terms: Terms) -> None:
    errors: list[FieldFault] = []
    if terms.delegator == terms.delegate:
        errors.append(fault("delegate", code="same", detail="it is the same person"))
    for name, person in (("delegator", terms.delegator), ("delegate", terms.delegate)):
        if not quorums.holds(person.pk, organization.pk, terms.role):
            detail = f"{person.email} does not vote as {Role(terms.role).label.lower()}"
            errors.append(fault(name, code="role", detail=detail))
    start, end = terms.starts_at, terms.ends_at
    if not start < end <= start + LONGEST or end <= timezone.now():
        detail = f"expected an end after the start, within {LONGEST.days} days"
        errors.append(fault("ends_at", code="range", detail=detail))
    if not terms.reason.strip():
        errors.append(fault("reason", code="missing", detail="say why"))
    if errors:
        raise InvalidError(errors=errors)


def _refuse_chain(organization: Organization, terms: Terms) -> None:
    others = Delegation.objects.for_organization(organization).filter(
        revoked_at=None,
        role=terms.role,
        starts_at__lt=terms.ends_at,
        ends_at__gt=terms.starts_at,
    )
    person = terms.delegator
    if others.filter(delegator=person).exists():
        raise ConflictError(f"{person.email} has a delegate in this time already.")
    if others.filter(Q(delegator=terms.delegate) | Q(delegate=person)).exists():
        raise ConflictError("A delegation is not passed on.")


@deed
def confirm(delegation: Delegation, *, actor: Actor) -> Delegation:
    """Say as the second person that somebody shall stand in for an absent one.

    Neither the delegate nor who arranged it: else PermissionDeniedError. The absent
    person's own word is enough as well. Raises ConflictError if nothing waits for it.
    """
    row = _locked(delegation)
    person = _person(row, actor)
    if person == row.created_by_id:
        raise _refused(row, "a second person", actor)
    if row.confirmed_at is not None or row.revoked_at is not None:
        raise ConflictError("Nothing waits for a second person here.")
    if row.ends_at <= timezone.now():
        raise ConflictError("Its time is over.")
    row.confirmed_by_id, row.confirmed_at = person, timezone.now()
    row.save(update_fields=["confirmed_by", "confirmed_at"])
    _remember(row, "delegation.confirmed", actor=actor)
    return row


@deed
def revoke(delegation: Delegation, *, reason: str = "", actor: Actor) -> Delegation:
    """End a delegation now; votes that were cast under it stay.

    The two people themselves may, and whoever arranges such things.
    """
    row = _locked(delegation)
    if actor.type != "user" or actor.user_id not in {
        row.delegator_id,
        row.delegate_id,
    }:
        authority.require_role(
            row, MAY_ARRANGE, action="delegation.revoked", actor=actor
        )
    if row.revoked_at is not None:
        raise ConflictError("It has been revoked already.")
    row.revoked_by_id, row.revoked_at = actor.user_id, timezone.now()
    row.save(update_fields=["revoked_by", "revoked_at"])
    _remember(row, "delegation.revoked", reason=reason, actor=actor)
    return row


def _locked(delegation: Delegation) -> Delegation:
    Organization.objects.select_for_update(no_key=True).get(
        pk=delegation.organization_id
    )
    rows = Delegation.objects.select_for_update(of=("self",), no_key=True)
    return rows.select_related("organization").get(pk=delegation.pk)


def _remember(row: Delegation, action: str, *, reason: str = "", actor: Actor) -> None:
    record(
        row.organization_id,
        actor=actor,
        action=action,
        object=row,
        reason=reason or row.reason,
        after={
            "delegator": row.delegator_label,
            "delegate": row.delegate_label,
            "role": row.role,
            "starts_at": row.starts_at,
            "ends_at": row.ends_at,
            "counts": row.confirmed_at is not None,
        },
    )
