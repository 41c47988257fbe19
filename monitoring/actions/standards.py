"""Which baseline a version is measured against."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING
from uuid import UUID

from django.db.models import Exists, OuterRef

from governance.models import ModelVersion, RegisteredModel
from monitoring.models import Baseline, LiveResult, ProfiledReceipt, Receipt

if TYPE_CHECKING:
    # Web processes ask which baseline counts; only workers count.
    from monitoring.stats.gauges import Gauge
    from monitoring.stats.lines import Kinds

Cadence = RegisteredModel.Cadence
INHERITED = "inherited"

# How far behind the newest prediction counts are kept on the active baseline's grid:
# the live window, and before it the periods whose labels are still coming in.
REACH = {
    Cadence.STREAM: timedelta(days=15),
    Cadence.HOURLY: timedelta(days=3),
    Cadence.DAILY: timedelta(days=15),
    Cadence.WEEKLY: timedelta(weeks=6),
    Cadence.MONTHLY: timedelta(days=125),
}
# Grids and layouts are large to read and never change.
_GAUGES_KEPT = 64
_HEAVY = ("features", "labeled", "grid_data", "outcome_data")


@dataclass(frozen=True, slots=True)
class Standard:
    """A baseline, and how the version came to it."""

    baseline: Baseline
    kind: str  # given, inherited, provisional


def wanted(version: ModelVersion) -> Standard | None:
    """Return the baseline that the version should be measured against.

    Its own active one; else that of the newest earlier version which was given one;
    else the provisional one, made of its own first predictions.
    """
    active = Baseline.objects.filter(active=True).defer(*_HEAVY)
    own = active.filter(version=version).first()
    if own is not None and own.kind == Baseline.Kind.GIVEN:
        return Standard(own, own.kind)
    earlier = (
        active.filter(
            version__model=version.model_id,
            version__pk__lt=version.pk,
            kind=Baseline.Kind.GIVEN,
        )
        .order_by("-version__pk")
        .first()
    )
    if earlier is not None:
        return Standard(earlier, INHERITED)
    return None if own is None else Standard(own, own.kind)


def served(version: ModelVersion) -> Standard | None:
    """Return the baseline whose counts are complete.

    That is the wanted one, unless predictions that were counted for the one before
    are still being counted for it.
    """
    target = wanted(version)
    if target is None:
        return None
    before = _before(version, target.baseline)
    return target if before is None else before


def counted(version: ModelVersion) -> list[Baseline]:
    """Return the baselines for which predictions are counted now."""
    target = wanted(version)
    if target is None:
        return []
    before = _before(version, target.baseline)
    return [target.baseline, *([before.baseline] if before else [])]


def _before(version: ModelVersion, target: Baseline) -> Standard | None:
    """Return the baseline that is still served while another one's counts are made."""
    live = (
        LiveResult.objects.filter(version=version)
        .exclude(baseline=None)
        .exclude(baseline=target)
        .select_related("baseline")
        .defer(*(f"baseline__{name}" for name in _HEAVY))
        .first()
    )
    if live is None or live.baseline is None:
        return None
    marks = ProfiledReceipt.objects.filter(receipt=OuterRef("pk"))
    is_left = (
        Receipt.objects.pending()
        .filter(version=version)
        .filter(Exists(marks.filter(baseline=live.baseline)))
        .exclude(Exists(marks.filter(baseline=target)))
        .exists()
    )
    return Standard(live.baseline, live.baseline_kind) if is_left else None


@lru_cache(maxsize=_GAUGES_KEPT)
def gauge(baseline_id: UUID) -> Gauge:
    """Return what a baseline fixed about counting; kept, for it never changes."""
    from monitoring.stats.gauges import Gauge

    kept = Baseline.objects.only("grid_data", "outcome_data", "performance")
    baseline = kept.get(pk=baseline_id)
    is_ordered = bool(baseline.performance.get("ordered", False))
    return Gauge(baseline.grid, baseline.outcomes, is_ordered)


def kinds(version: ModelVersion, baseline_id: UUID | None) -> Kinds:
    """Return the features that predictions are read for, with their kinds.

    Those of the schema and its attributes; without a schema those of the baseline.
    Features that nobody declared have their kind from the baseline's data.
    """
    from monitoring.stats import gauges

    schema = version.schema
    of_grid = {} if baseline_id is None else gauge(baseline_id).kinds
    names = [feature.name for feature in schema.features]
    if not names:
        return of_grid
    return {
        name: gauges.kind_of(schema, name) or of_grid.get(name)
        for name in [*names, *schema.attributes]
    }


def reach(version: ModelVersion, newest: datetime) -> datetime:
    """Return from when on the version's predictions are counted for a new baseline."""
    return newest - REACH[Cadence(version.model.cadence)]
