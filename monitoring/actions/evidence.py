"""What monitoring tells governance: measurements as facts, and where they are from."""

from __future__ import annotations

from collections.abc import Mapping
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
from monitoring.stats.report import ColumnDrift, DriftReport

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
    # Chance alone can make a PSI of few rows large: then it is no measurement.
    is_psi = psi is not None and psi.status in {"ok", "warning", "alert"}
    return ColumnFacts(
        name="the model's score" if column.name == SCORE else column.name,
        status=column.status.value,
        psi=psi.score if psi is not None and is_psi else None,
        importance=column.importance,
        measured=measured,
    )


def _performance(measured: Mapping[str, Any]) -> tuple[PerformanceFacts, ...]:
    """Return the periods with a drop, oldest first."""
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
    return tuple(found)


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
