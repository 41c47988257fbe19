"""What an officer must know within a minute: which model is in trouble, and why."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import (
    Case,
    Count,
    F,
    IntegerField,
    OuterRef,
    QuerySet,
    Subquery,
    Sum,
    Value,
    When,
)
from django.db.models.functions import Coalesce, TruncHour
from django.utils import timezone

from governance.admin.addresses import changelist
from governance.admin.display import Badge, health
from governance.models import (
    Finding,
    GovernanceStatus,
    Organization,
    RegisteredModel,
    StatusChange,
)
from monitoring.models import Receipt

MOST_MODELS = 25
MOST_CHANGES = 8
HOURS = 24
# The reasons that are shown before "and n more".
MOST_REASONS = 4


@dataclass(frozen=True, slots=True)
class Card:
    """A figure with its words and the list behind it."""

    figure: int
    words: str
    address: str
    badge: Badge | None = None


@dataclass(frozen=True, slots=True)
class Hour:
    """What was accepted in one hour, and how tall its bar is."""

    start: datetime
    rows: int
    height: str
    y: str
    x: str


@dataclass(frozen=True, slots=True)
class Ingestion:
    predictions: int
    labels: int
    # Receipts whose rows are not counted yet.
    waiting: int
    hours: tuple[Hour, ...]
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Overview:
    cards: tuple[Card, ...]
    models: list[RegisteredModel]
    total: int
    changes: list[StatusChange]
    ingestion: Ingestion
    all_models: str


def overview(organization: Organization) -> Overview:
    """Read the command center of one organization, in a fixed number of queries."""
    models = RegisteredModel.objects.for_organization(organization)
    cards, total = _cards(models)
    return Overview(
        cards=cards,
        models=list(_worst_first(models)[:MOST_MODELS]),
        total=total,
        changes=list(
            StatusChange.objects.for_organization(organization).select_related(
                "version__model"
            )[:MOST_CHANGES]
        ),
        ingestion=_ingestion(organization),
        all_models=changelist(RegisteredModel),
    )


def _cards(models: QuerySet[RegisteredModel]) -> tuple[tuple[Card, ...], int]:
    counted = models.order_by().values_list("current_version__assessment__status")
    counts: dict[str, int] = {}
    for status, number in counted.annotate(Count("pk")):
        # A version that was never assessed counts with those that can't be.
        key = status or GovernanceStatus.NOT_ASSESSED
        counts[key] = counts.get(key, 0) + number
    total = sum(counts.values())
    shown = (
        GovernanceStatus.BLOCKED,
        GovernanceStatus.AT_RISK,
        GovernanceStatus.NOT_ASSESSED,
        GovernanceStatus.APPROVED,
    )
    cards = [Card(total, "Models", changelist(RegisteredModel))]
    for status in shown:
        badge = health(status)
        address = changelist(RegisteredModel, health=status.value)
        cards.append(Card(counts.get(status, 0), badge.words, address, badge))
    return tuple(cards), total


def _worst_first(models: QuerySet[RegisteredModel]) -> QuerySet[RegisteredModel]:
    """Order the models by severity, then by risk; with their open findings counted."""
    status = "current_version__assessment__status"
    findings = (
        Finding.objects.not_closed()
        .filter(version=OuterRef("current_version"))
        .order_by()
        .values("version")
        .annotate(number=Count("pk"))
        .values("number")
    )
    return (
        models.select_related("owner", "current_version__assessment")
        .annotate(
            open_findings=Coalesce(Subquery(findings), Value(0)),
            severity=Case(
                When(**{status: GovernanceStatus.BLOCKED}, then=Value(0)),
                When(**{status: GovernanceStatus.AT_RISK}, then=Value(1)),
                When(**{status: GovernanceStatus.APPROVED}, then=Value(3)),
                default=Value(2),
                output_field=IntegerField(),
            ),
        )
        .order_by(
            "severity",
            F("current_version__assessment__score").desc(nulls_last=True),
            "name",
        )
    )


def _ingestion(organization: Organization) -> Ingestion:
    now = timezone.now()
    first = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=HOURS - 1)
    receipts = Receipt.objects.for_organization(organization)
    accepted = (
        # The primary key begins with the time of arrival: the index finds the day.
        receipts.filter(pk__gte=_first_id(first), received_at__gte=first)
        .order_by()
        .values_list("kind", TruncHour("received_at"))
        .annotate(Sum("rows"))
    )
    rows: dict[datetime, int] = {}
    totals = dict.fromkeys(Receipt.Kind.values, 0)
    for kind, hour, number in accepted:
        totals[kind] += number
        if kind == Receipt.Kind.PREDICTIONS:
            rows[hour] = rows.get(hour, 0) + number
    starts = [first + timedelta(hours=step) for step in range(HOURS)]
    return Ingestion(
        predictions=totals[Receipt.Kind.PREDICTIONS],
        labels=totals[Receipt.Kind.GROUND_TRUTH],
        waiting=receipts.pending().count(),
        hours=_bars([(start, rows.get(start, 0)) for start in starts]),
        width=HOURS * 10,
        height=48,
    )


def _first_id(moment: datetime) -> uuid.UUID:
    """Return the smallest UUIDv7 of a moment, with a margin for unequal clocks."""
    milliseconds = int((moment - timedelta(minutes=10)).timestamp() * 1000)
    return uuid.UUID(int=milliseconds << 80)


def _bars(hours: list[tuple[datetime, int]]) -> tuple[Hour, ...]:
    largest = max(rows for _, rows in hours) or 1
    bars = []
    for position, (start, rows) in enumerate(hours):
        tall = max(rows / largest * 46, 2.0) if rows else 0.0
        bars.append(
            Hour(start, rows, f"{tall:.1f}", f"{48 - tall:.1f}", f"{position * 10 + 1}")
        )
    return tuple(bars)
