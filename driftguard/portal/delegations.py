"""Who votes for whom, and what somebody may arrange about it."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils import timezone
from django.utils.translation import gettext as _

from governance.actions import delegations
from governance.admin.display import Badge
from governance.admin.tenancy import Seat
from governance.models import Delegation, Membership

MOST_ROWS = 200


@dataclass(frozen=True, slots=True)
class Row:
    """A delegation with its state, and what this person may do with it."""

    delegation: Delegation
    badge: Badge
    can_confirm: bool
    can_revoke: bool


@dataclass(frozen=True, slots=True)
class DelegationPage:
    rows: tuple[Row, ...]
    # Who may be named, as user ids with their addresses.
    people: tuple[tuple[int, str], ...]
    roles: tuple[tuple[str, str], ...]  # that somebody votes in
    can_create: bool
    is_arranger: bool  # for somebody absent, too


def delegation_page(seat: Seat) -> DelegationPage:
    """Read the page: those that count, will count or wait first."""
    found = Delegation.objects.for_organization(seat.organization).order_by(
        "-ends_at", "-pk"
    )
    voters = (
        Membership.objects.for_organization(seat.organization)
        .voting()
        .filter(user__is_active=True, user__is_service=False)
        .select_related("user")
        .order_by("user__email")
    )
    people = {one.user_id: one.user.email for one in voters}
    is_arranger = seat.has_one_of(delegations.MAY_ARRANGE)
    return DelegationPage(
        rows=tuple(_row(one, seat, is_arranger) for one in found[:MOST_ROWS]),
        people=tuple(people.items()),
        roles=tuple({one.role: one.get_role_display() for one in voters}.items()),
        can_create=len(people) > 1 and (is_arranger or seat.user.pk in people),
        is_arranger=is_arranger,
    )


def _row(one: Delegation, seat: Seat, is_arranger: bool) -> Row:
    me = seat.user.pk
    is_over = one.ends_at <= timezone.now() or one.revoked_at is not None
    is_mine = me == one.delegator_id
    can_confirm = (
        one.confirmed_at is None
        and me not in {one.created_by_id, one.delegate_id}
        and (is_mine or is_arranger)
    )
    return Row(
        delegation=one,
        badge=_badge(one),
        can_confirm=can_confirm and not is_over,
        can_revoke=not is_over and (is_mine or is_arranger or me == one.delegate_id),
    )


def _badge(one: Delegation) -> Badge:
    now = timezone.now()
    if one.revoked_at is not None:
        return Badge("calm", "block", _("Revoked"))
    if one.ends_at <= now:
        return Badge("calm", "event_busy", _("Over"))
    if one.confirmed_at is None:
        return Badge("warn", "hourglass_empty", _("Waits for a second person"))
    if one.starts_at > now:
        return Badge("calm", "schedule", _("Not yet"))
    return Badge("good", "check_circle", _("In effect"))
