"""The estimators of baselines: fitted once in a process, and kept."""

from __future__ import annotations

from functools import lru_cache
from uuid import UUID

from monitoring.actions import standards
from monitoring.models import Baseline
from monitoring.stats import labelled
from monitoring.stats.estimators import Estimator
from monitoring.stats.measure import NotMeasurableError

UNKNOWN_TASK = "The task of the model is not known yet."
# Trees and calibrations are large, and quick to make again.
_KEPT = 32


@lru_cache(maxsize=_KEPT)
def of(baseline_id: UUID) -> Estimator | str:
    """Return what a baseline lets estimate, or the sentence that tells why nothing.

    The same baseline gives the same estimator, in whatever process.
    """
    gauge = standards.gauge(baseline_id)
    if gauge.layout is None:
        return UNKNOWN_TASK
    baseline = Baseline.objects.only("features", "labeled").get(pk=baseline_id)
    labeled = None if baseline.labeled is None else bytes(baseline.labeled)
    try:
        outcomes = labelled.outcomes(
            gauge.layout,
            labeled,
            bytes(baseline.features),
            gauge.kinds,
            is_ordered=gauge.is_ordered,
        )
        return Estimator.fit(
            gauge.layout,
            outcomes,
            {} if outcomes is None else outcomes.kinds,
            is_ordered=gauge.is_ordered,
        )
    except NotMeasurableError as error:
        return str(error)
