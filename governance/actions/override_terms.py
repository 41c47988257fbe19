"""The term of an override: its start, a heads-up before its end, and its end."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db.models import Count, Min, Q
from django.utils import timezone

from governance.actions import override_ends, overrides, rounds
from governance.actions.audit import Actor, deed, record
from governance.actions.override_ends import locked, payload
from governance.models import Notification, Organization, Override

Status = Override.Status
# People hear of the end so long before it, or when half of a shorter term is over.
HEADS_UP = timedelta(hours=24)
SOON = timedelta(hours=72)
MOST_AT_ONCE = 200


def sweep(now: datetime | None = None) -> int:
    """Do what is due: starts, heads-ups, ends. Returns how many."""
    now = now or timezone.now()
    ending = Override.objects.in_force(now).filter(
        warned_at=None, expires_at__lte=now + HEADS_UP
    )
    return sum(
        rounds.over(_rows(found), partial(deed, actor=None))
        for found, deed in (
            (Override.objects.to_expire(now), expire),
            (Override.objects.to_activate(now), overrides.activate),
            (ending, warn),
        )
    )


def _rows(found: Any) -> list[Override]:
    rows = found.select_related("version__model").order_by("expires_at", "pk")
    return list(rows[:MOST_AT_ONCE])


@deed
def expire(override: Override, *, actor: Actor | None) -> bool:
    """End an override whose time has passed; false if that was done before.

    The gate has been closed since the moment itself. One that nobody decided on ends
    too.
    """
    override = locked(override)
    if override.status not in Override.OPEN or override.expires_at > timezone.now():
        return False
    override_ends.end(override, Status.EXPIRED, "Its time is over.", actor=actor)
    return True


@deed
def warn(override: Override, *, actor: Actor | None) -> bool:
    """Tell, once, that an override ends soon."""
    now = timezone.now()
    whole = override.expires_at - (override.activated_at or now)
    if override.expires_at - now > max(min(HEADS_UP, whole / 2), timedelta()):
        return False
    told = (
        Override.objects.in_force(now)
        .filter(pk=override.pk, warned_at=None)
        .update(warned_at=now)
    )
    if not told:
        return False
    Notification.objects.create(
        organization_id=override.organization_id,
        event="override.ends_soon",
        version=override.version,
        subject=f"{override} ends at {override.expires_at:%Y-%m-%d %H:%M} UTC"[:500],
        payload=payload(override),
    )
    record(
        override.organization_id,
        actor=actor,
        action="override.ends_soon",
        object=override,
        after={"expires_at": override.expires_at},
        override_id=override.pk,
    )
    return True


@dataclass(frozen=True, slots=True)
class Metrics:
    """How an organization lives with its exceptions."""

    active: int
    awaiting: int
    oldest_waiting_hours: float | None
    expiring_soon: int  # active ones that end within 72 hours
    average_age_hours: float | None  # of the active ones


def metrics(organization: Organization | int, now: datetime | None = None) -> Metrics:
    """Count the overrides of an organization, in two queries."""
    now = now or timezone.now()
    rows = Override.objects.for_organization(organization)
    active = list(rows.in_force(now).values_list("activated_at", "expires_at"))
    waiting = rows.waiting().aggregate(
        number=Count("pk", filter=Q(expires_at__gt=now)),
        oldest=Min("requested_at", filter=Q(expires_at__gt=now)),
    )
    ages = [(now - since).total_seconds() / 3600 for since, _ in active if since]
    oldest = waiting["oldest"]
    return Metrics(
        active=len(active),
        awaiting=waiting["number"],
        oldest_waiting_hours=(now - oldest).total_seconds() / 3600 if oldest else None,
        expiring_soon=sum(end - now <= SOON for _, end in active),
        average_age_hours=sum(ages) / len(ages) if ages else None,
    )
