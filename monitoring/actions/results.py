"""Which result is a version's latest: that of an analysis, or the live one.

An analysis says more than the live view, and whoever asked for it wants to read it. So
its result is the latest for an hour, and as long as no predictions have arrived since;
then the live result is, until the next analysis.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Max, QuerySet
from django.utils import timezone

from governance.models import ModelVersion, Organization, RegisteredModel
from monitoring.models import DriftResult, LiveResult

STAYS_LATEST = timedelta(hours=1)
_HEAVY = ("features", "labeled", "grid_data", "outcome_data", "performance")
_REPORTS = ("algorithms", "drift", "root_cause", "provenance")
_LIVE_REPORTS = ("drift", "quality", "fairness", "performance")

Result = DriftResult | LiveResult


@dataclass(frozen=True, slots=True)
class Line:
    """A result in a list."""

    public_id: str
    status: str
    created_at: datetime


def latest(version: ModelVersion) -> Result | None:
    """Return the version's latest result, None if nothing was measured."""
    analysed = _whole(DriftResult.objects.filter(version=version)).first()
    live = (
        LiveResult.objects.filter(version=version)
        .exclude(status=LiveResult.Status.NO_BASELINE)
        .select_related("version", "baseline")
        .defer(*(f"baseline__{name}" for name in _HEAVY))
        .first()
    )
    if analysed is None or (live is not None and _is_newer(live, analysed.created_at)):
        return live
    return analysed


def _is_newer(live: LiveResult, analysed_at: datetime) -> bool:
    has_arrived = live.received_at is not None and live.received_at > analysed_at
    return has_arrived and timezone.now() - analysed_at > STAYS_LATEST


def lines(model: RegisteredModel, *, status: str | None, limit: int) -> list[Line]:
    """Return the model's results, the newest first.

    They are those of its analyses, and the live result of each version where that is
    the latest.
    """
    analysed = DriftResult.objects.filter(model=model).only(
        "id", "status", "created_at"
    )
    if status is not None:
        analysed = analysed.filter(status=status)
    found = [
        Line(one.public_id, one.status, one.created_at)
        for one in analysed.order_by("-created_at", "-id")[:limit]
    ]
    found += [
        Line(one.public_id, one.status, one.computed_at)
        for one in _live_ones(model)
        if status is None or one.status == status
    ]
    return sorted(found, key=lambda line: line.created_at, reverse=True)[:limit]


def _live_ones(model: RegisteredModel) -> Iterator[LiveResult]:
    analysed = DriftResult.objects.filter(model=model).order_by()
    newest = dict(
        analysed.values("version_id")
        .annotate(at=Max("created_at"))
        .values_list("version_id", "at")
    )
    for live in (
        LiveResult.objects.filter(model=model)
        .exclude(status=LiveResult.Status.NO_BASELINE)
        .defer(*_LIVE_REPORTS)
    ):
        at = newest.get(live.version_id)
        if at is None or _is_newer(live, at):
            yield live


def named(organization: Organization | int, key: UUID) -> Result | None:
    """Return the organization's result with this id, None if there is none.

    A live result has its id until the next measurement.
    """
    analysed = _whole(DriftResult.objects.for_organization(organization))
    found = analysed.filter(pk=key).first()
    if found is not None:
        return found
    return (
        LiveResult.objects.for_organization(organization)
        .filter(result_id=key)
        .select_related("version__model", "baseline")
        .defer(*(f"baseline__{name}" for name in _HEAVY))
        .first()
    )


def _whole(results: QuerySet[DriftResult]) -> QuerySet[DriftResult]:
    return (
        results.select_related("run", "version__model", "baseline")
        .defer(*(f"baseline__{name}" for name in _HEAVY))
        .order_by("-created_at", "-id")
    )
