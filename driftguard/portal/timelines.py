"""What happened to a model and its versions, on one line of time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any, cast

from django.db.models import QuerySet
from django.db.models.functions import Greatest
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from governance.admin.addresses import change
from governance.admin.display import Badge, health, severity
from governance.models import (
    ApprovalRequest,
    Deployment,
    Finding,
    GovernanceStatus,
    ModelVersion,
    Override,
    RegisteredModel,
    StatusChange,
)

MOST_EVENTS = 40
KINDS = {
    "version": gettext_lazy("Version"),
    "status": gettext_lazy("Status"),
    "approval": gettext_lazy("Approval"),
    "deployment": gettext_lazy("Deployment"),
    "override": gettext_lazy("Override"),
    "finding": gettext_lazy("Finding"),
}


@dataclass(frozen=True, slots=True)
class Event:
    """One moment, and where it is told in full."""

    at: datetime
    kind: str  # one of KINDS
    badge: Badge
    words: str
    detail: str
    address: str

    @property
    def kind_words(self) -> str:
        return str(KINDS[self.kind])


def timeline(model: RegisteredModel, most: int = MOST_EVENTS) -> tuple[Event, ...]:
    """Return the newest events, the newest first, in one query for each kind.

    A row has several moments. Among the rows that changed last are all that the newest
    events are of, so that none is missing however old its row is.
    """
    events = [
        event
        for rows, moments, told in _sources(model)
        for event in told(_newest(rows, most, *moments))
    ]
    events.sort(key=attrgetter("at"), reverse=True)
    return tuple(events[:most])


def _sources(
    model: RegisteredModel,
) -> Iterator[tuple[QuerySet[Any], tuple[str, ...], Callable[..., Iterator[Event]]]]:
    """Yield rows, the moments that they have, and how these are told."""
    organization = model.organization_id

    def of(table: Any, *joined: str, **where: Any) -> QuerySet[Any]:
        rows = table.objects.for_organization(organization).filter(**where)
        return cast(QuerySet[Any], rows.select_related(*joined))

    def of_versions(table: Any) -> QuerySet[Any]:
        return of(table, "version", version__model=model)

    versions = of(ModelVersion, "created_by", model=model)
    yield versions, ("created_at",), _versions
    yield of_versions(StatusChange), ("since",), _status_changes
    requests = of(ApprovalRequest, model=model)
    yield requests, ("submitted_at", "decided_at"), _requests
    deployments = of(Deployment, "version", model=model)
    yield deployments, ("started_at", "suspended_at", "ended_at"), _deployments
    ends = ("requested_at", "decided_at", "activated_at", "ended_at")
    yield of_versions(Override), ends, _overrides
    yield of_versions(Finding), ("opened_at", "closed_at"), _findings


def _newest(rows: QuerySet[Any], most: int, first: str, *later: str) -> Iterable[Any]:
    """Return the rows that changed last, by whichever moments of theirs are set."""
    if not later:
        return rows.order_by(f"-{first}", "-pk")[:most]
    # PostgreSQL's GREATEST passes over what is not set.
    rows = rows.annotate(changed=Greatest(first, *later))
    return rows.order_by("-changed", "-pk")[:most]


def _versions(rows: Iterable[ModelVersion]) -> Iterator[Event]:
    badge = Badge("calm", "account_tree", _("Registered"))
    for one in rows:
        words = _("%(version)s, by %(who)s") % {
            "version": one.version,
            "who": one.created_by,
        }
        yield Event(one.created_at, "version", badge, words, "", change(one))


def _status_changes(rows: Iterable[StatusChange]) -> Iterator[Event]:
    for one in rows:
        words = _("%(version)s, before: %(previous)s") % {
            "version": one.version.version,
            "previous": GovernanceStatus(one.previous).label,
        }
        reason = one.reasons[0] if one.reasons else ""
        badge = health(one.status)
        yield Event(one.since, "status", badge, words, reason, change(one))


def _requests(rows: Iterable[ApprovalRequest]) -> Iterator[Event]:
    tones = {
        "approved": ("good", "verified"),
        "applied": ("good", "verified"),
        "rejected": ("bad", "cancel"),
    }
    asked = Badge("calm", "how_to_vote", _("Asked for"))
    for one in rows:
        address = reverse("approval", args=[one.pk])
        words = one.label
        who = _("by %(who)s") % {"who": one.requested_by_label}
        yield Event(one.submitted_at, "approval", asked, words, who, address)
        if one.decided_at is not None:
            tone, icon = tones.get(one.status, ("calm", "event_busy"))
            badge = Badge(tone, icon, one.get_status_display())
            yield Event(one.decided_at, "approval", badge, words, one.outcome, address)


def _deployments(rows: Iterable[Deployment]) -> Iterator[Event]:
    for one in rows:
        where = {
            "version": one.version.version,
            "environment": one.get_environment_display(),
        }
        words = _("%(version)s, %(environment)s") % where
        address = change(one)
        started = Badge("good", "rocket_launch", one.get_kind_display())
        who = _("by %(who)s") % {"who": one.requested_label}
        detail = ". ".join(filter(None, (who, one.reason)))
        yield Event(one.started_at, "deployment", started, words, detail, address)
        if one.suspended_at is not None:
            badge = Badge("bad", "pause_circle", _("Suspended"))
            detail = one.suspension_reason or one.get_suspension_display()
            yield Event(one.suspended_at, "deployment", badge, words, detail, address)
        if one.ended_at is not None:
            badge = Badge("calm", "inventory_2", one.get_end_display())
            yield Event(one.ended_at, "deployment", badge, words, "", address)


def _overrides(rows: Iterable[Override]) -> Iterator[Event]:
    for one in rows:
        words = _("%(number)s of %(rules)s for %(version)s, %(environment)s") % {
            "number": one.pk,
            "rules": ", ".join(one.rules),
            "version": one.version.version,
            "environment": one.get_environment_display(),
        }
        told = (
            (
                one.requested_at,
                "warn",
                "pending_actions",
                _("Proposed"),
                one.justification,
            ),
            (one.decided_at, "calm", "rate_review", _("Decided"), one.decision),
            (one.activated_at, "bad", "lock_open", _("In force"), ""),
            (one.ended_at, "calm", "lock", _("Ended"), one.end_reason),
        )
        for moment, tone, icon, named, detail in told:
            if moment is not None:
                badge = Badge(tone, icon, named)
                yield Event(moment, "override", badge, words, detail, change(one))


def _findings(rows: Iterable[Finding]) -> Iterator[Event]:
    closed = Badge("good", "task_alt", _("Closed"))
    for one in rows:
        address = change(one)
        named = severity(one)
        opened = Badge(named.tone, "flag", named.words)
        version = one.version.version
        yield Event(one.opened_at, "finding", opened, one.title, version, address)
        if one.closed_at is not None:
            yield Event(
                one.closed_at, "finding", closed, one.title, one.closing_reason, address
            )
