"""What monitoring tells governance: measurements as facts, and where they are from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from governance.decision import (
    ColumnFacts,
    Facts,
    GroupFacts,
    Measured,
    PerformanceFacts,
)
from governance.models import ModelVersion
from monitoring.models import Baseline
from monitoring.stats.fairness import FairnessReport
from monitoring.stats.gauges import SCORE, Counts
from monitoring.stats.report import AlgorithmResult, ColumnDrift, DriftReport

_HOUR = timedelta(hours=1)


def facts(
    version: ModelVersion,
    *,
    kind: str,
    counts: Counts,
    drift: DriftReport,
    fairness: FairnessReport,
    performance: Mapping[str, Any],
    age: timedelta | None,
) -> Facts:
    """Return the facts of one moment.

    `age` is the time since predictions last arrived. A month that is logged late is
    fresh evidence about that month; silence is what makes evidence old.
    """
    columns = {name: _column(column) for name, column in drift.columns.items()}
    score = columns.pop(SCORE, None)
    n_baseline = max(
        (column.n_baseline for column in drift.columns.values()), default=0
    )
    return Facts(
        n=counts.rows,
        n_baseline=n_baseline,
        baseline_kind=kind,
        cadence=version.model.cadence,
        evidence_age_hours=None if age is None else max(age / _HOUR, 0.0),
        columns=tuple(columns.values()),
        score=score,
        performance=_performance(performance),
        groups=_groups(fairness),
    )


def _column(column: ColumnDrift) -> ColumnFacts:
    measured = tuple(
        Measured(name, result.score, result.significant)
        for name, result in column.algorithms.items()
        if result.votes and result.score is not None
    )
    psi = column.algorithms.get("psi")
    return ColumnFacts(
        name="the model's score" if column.name == SCORE else column.name,
        status=column.status.value,
        psi=_beyond_chance(psi) if psi is not None else None,
        importance=column.importance,
        measured=measured,
    )


def _beyond_chance(psi: AlgorithmResult) -> float | None:
    """Return the PSI that the risk index counts; None if it is no measurement.

    Chance alone makes the PSI of few rows large: drift-free windows of 100 rows often
    exceed the warning limit. What isn't significant is brought below that limit, in
    the proportion in which the no-drift 95 % point exceeds it; of many rows nothing is
    taken away.
    """
    if psi.score is None or psi.significant:
        return psi.score
    if psi.status not in {"ok", "warning", "alert"}:
        return None
    if psi.warning is None or not psi.no_drift_95_family:
        return psi.score
    return psi.score * min(1.0, psi.warning / psi.no_drift_95_family)


def _performance(measured: Mapping[str, Any]) -> tuple[PerformanceFacts, ...]:
    """Return the periods with a drop, oldest first; at last what is estimated."""
    metric = measured.get("primary_metric")
    found = []
    for period in reversed(measured.get("periods", ())):
        worse = period["drop"]
        if worse is None:
            continue
        found.append(
            PerformanceFacts(
                metric=str(metric),
                source="realized",
                baseline=measured["baseline"]["metrics"][metric]["value"],
                current=period["metrics"][metric]["value"],
                drop=worse["value"],
                drop_low=worse["low"],
                drop_high=worse["high"],
                n=period["metrics"][metric]["n"],
                period=period["period"],
                labelled_share=period["labelled_share"],
                horizon_passed=period["horizon_passed"],
            )
        )
    return (*found, *_estimate(measured))


def _estimate(measured: Mapping[str, Any]) -> Iterator[PerformanceFacts]:
    """Yield what the window is expected to show, unless its labels say it already."""
    metric = measured.get("primary_metric")
    estimated = measured.get("estimated", {})
    worse = estimated.get("drop")
    window = estimated.get("start"), estimated.get("end")
    is_known = any(
        one["is_mature"] and (one["start"], one["end"]) == window
        for one in measured.get("periods", ())
    )
    if worse is None or is_known:
        return
    yield PerformanceFacts(
        metric=str(metric),
        source="estimated",
        baseline=estimated["baseline"][metric]["value"],
        current=estimated["metrics"][metric]["value"],
        drop=worse["value"],
        drop_low=worse["low"],
        drop_high=worse["high"],
        n=estimated["used"],
    )


def _groups(report: FairnessReport) -> tuple[GroupFacts, ...]:
    return tuple(
        GroupFacts(
            attribute=attribute.attribute,
            group=group.group,
            n=group.n,
            ratio=group.ratio,
            ratio_low=group.ratio_low,
            ratio_high=group.ratio_high,
        )
        for attribute in report.attributes
        for group in attribute.groups
    )


def source(baseline: Baseline, counts: Counts) -> dict[str, Any]:
    """Return where the facts come from, so that they can be recomputed."""
    return {
        "baseline": baseline.public_id,
        "baseline_digest": baseline.digest,
        "predictions": counts.rows,
        "labels": counts.labels,
    }
