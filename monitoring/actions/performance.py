"""Realized performance over the periods whose labels are in, and what is estimated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone

from governance.decision import Thresholds
from governance.models import ModelVersion
from monitoring.actions import estimators, history, hours, periods, standards
from monitoring.actions.periods import Period, Window
from monitoring.models import Baseline, PerformanceResult
from monitoring.stats import performance, realized, trust
from monitoring.stats.estimation import Estimates
from monitoring.stats.estimators import Estimator
from monitoring.stats.outcomes import OutcomeLayout
from monitoring.stats.performance import Drop, Metric, Metrics
from monitoring.stats.tally import Tally

# Shown beside the one that counts, with the share of labels that is in.
MOST_PERIODS = 6
# The newest days with all labels, on which past estimates are tested.
BACK_TESTED = 60


@dataclass(frozen=True, slots=True)
class _Measurer:
    """A version, and what its performance is measured by."""

    version: ModelVersion
    baseline: Baseline
    layout: OutcomeLayout
    policy: Thresholds
    estimator: Estimator | str  # or why nothing can be estimated

    @property
    def primary(self) -> str:
        """The metric that the policy looks at."""
        return self.version.schema.metric(self.layout.task)

    def estimates(
        self, tally: Tally, start: datetime, end: datetime
    ) -> Estimates | None:
        """Return what is estimated of the hours in [start, end), if anything can be."""
        if isinstance(self.estimator, str):
            return None
        if not self.estimator.needs_rows:
            return self.estimator.counted(tally)
        sums = history.sums_of(self.version, self.baseline, start, end)
        return self.estimator.summed(sums)

    def is_mature(self, rows: int, labels: int) -> bool:
        """Tell whether so many labels say how good the answers were."""
        enough = rows > 0 and labels >= self.policy.minimum_sample
        return enough and min(labels / rows, 1.0) >= self.policy.label_maturity


def measure(
    version: ModelVersion,
    baseline: Baseline,
    window: Window,
    outcomes: Tally | None,
    before: Mapping[str, Any],
    policy: Thresholds,
) -> dict[str, Any]:
    """Return the metrics of the baseline, of the newest periods, and of the window.

    Realized ones go back until the first mature period: one whose labels are in as far
    as the policy asks, or whose label horizon has passed. `before` is what was returned
    last time: a period whose counts haven't changed since isn't merged again. Estimated
    ones are of the window, whose counts are `outcomes`.
    """
    layout = standards.gauge(baseline.pk).layout
    if layout is None or outcomes is None:
        reason = estimators.UNKNOWN_TASK
        return {"task": None, "reason": reason, "estimated": _unavailable(reason)}
    mine = _Measurer(version, baseline, layout, policy, estimators.of(baseline.pk))
    found = _periods(mine, window, before)
    return {
        "task": layout.task.value,
        "primary_metric": mine.primary,
        "baseline_digest": baseline.digest,
        "baseline": realized.realized(layout, layout.baseline).to_json(),
        "periods": found,
        "reason": "" if found else "No label has come yet.",
        "estimated": _estimated(mine, window, outcomes),
        "trust": _trust(mine, found),
    }


def at(
    version: ModelVersion,
    baseline: Baseline,
    window: Window,
    outcomes: Tally,
    policy: Thresholds,
) -> dict[str, Any]:
    """Return what one window says of performance, by the labels known today.

    What `signals.of_performance` looks at, and nothing else.
    """
    layout = standards.gauge(baseline.pk).layout
    if layout is None:
        return {}
    mine = _Measurer(version, baseline, layout, policy, estimators.of(baseline.pk))
    reference = realized.realized(layout, layout.baseline)
    current = realized.realized(layout, outcomes)
    ends = {"start": window.start.isoformat(), "end": window.end.isoformat()}
    estimated = _estimated(mine, window, outcomes)
    kept = ("method", "start", "end", "used", "labelled_rows", "drops")
    return {
        "task": layout.task.value,
        "primary_metric": mine.primary,
        "baseline": {"labelled": reference.labelled},
        "periods": [
            {
                **ends,
                "labelled": current.labelled,
                "is_mature": mine.is_mature(current.rows, current.labelled),
                "drops": _drops(reference.metrics, current.metrics),
            }
        ],
        "estimated": {name: estimated.get(name) for name in kept},
    }


def _periods(
    mine: _Measurer, window: Window, before: Mapping[str, Any]
) -> list[dict[str, Any]]:
    known = {}
    if before.get("baseline_digest") == mine.baseline.digest:
        known = {(one["start"], one["end"]): one for one in before.get("periods", ())}
    found: list[dict[str, Any]] = []
    for period in periods.recent(mine.version, mine.baseline.pk, window):
        if period.labels < 1:
            continue
        key = (period.start.isoformat(), period.end.isoformat())
        cached = known.get(key)
        one = (
            dict(cached)
            if cached is not None and _still_holds(mine, cached, period)
            else _period(mine, period)
        )
        one["horizon_passed"] = _horizon_passed(mine.version, period)
        one["is_mature"] = period.labels >= mine.policy.minimum_sample and (
            one["labelled_share"] >= mine.policy.label_maturity or one["horizon_passed"]
        )
        found.append(one)
        if _is_enough(mine.version, found):
            break
    return found


def _still_holds(mine: _Measurer, cached: Mapping[str, Any], period: Period) -> bool:
    """Tell whether a period's counts, and the sums of its rows, are as they were."""
    if cached["revision"] != period.revision or "estimated" not in cached:
        return False
    is_waiting = not isinstance(mine.estimator, str) and mine.estimator.needs_rows
    return not is_waiting or cached["estimated"].get("rows") == period.rows


def _is_enough(version: ModelVersion, found: list[dict[str, Any]]) -> bool:
    # A stream's periods overlap: the live one and the mature one say it all.
    if version.model.cadence == periods.Cadence.STREAM and len(found) > 1:
        del found[1:-1]
    is_mature = any(one["is_mature"] for one in found)
    batch = version.model.cadence != periods.Cadence.STREAM
    return is_mature and (not batch or len(found) >= MOST_PERIODS)


def _period(mine: _Measurer, period: Period) -> dict[str, Any]:
    outcomes = hours.outcomes(mine.version, mine.baseline.pk, period.start, period.end)
    tally = mine.layout.merge(outcomes)
    current = realized.realized(mine.layout, tally)
    reference = realized.realized(mine.layout, mine.layout.baseline)
    estimates = mine.estimates(tally, period.start, period.end)
    drops = _drops(reference.metrics, current.metrics)
    return {
        "period": period.name,
        "start": period.start.isoformat(),
        "end": period.end.isoformat(),
        "revision": period.revision,
        "labelled_share": period.labelled_share,
        "drop": drops.get(mine.primary),
        "drops": drops,
        "estimated": {} if estimates is None else estimates.to_json(),
        "residual": _residuals(mine, current.metrics, estimates),
        **current.to_json(),
    }


def _drops(before: Metrics, after: Metrics) -> dict[str, dict[str, float]]:
    """Return how much worse each metric is, where that is known."""
    found = {
        name: performance.drop(name, metric, after[name])
        for name, metric in before.items()
        if name in after and name not in performance.UNDIRECTED
    }
    return {name: _drop_json(one) for name, one in found.items() if one is not None}


def _drop_json(drop: Drop) -> dict[str, float]:
    return {"value": drop.value, "low": drop.low, "high": drop.high}


def _horizon_passed(version: ModelVersion, period: Period) -> bool:
    horizon = version.model.label_horizon_max
    now: datetime = timezone.now()
    return horizon is not None and period.end + horizon <= now


def _unavailable(reason: str) -> dict[str, Any]:
    return {"method": None, "reason": reason, "metrics": {}, "drops": {}, "drop": None}


def _estimated(mine: _Measurer, window: Window, outcomes: Tally) -> dict[str, Any]:
    """Return the metrics that the window should have, whatever labels will say."""
    estimator = mine.estimator
    estimates = mine.estimates(outcomes, window.start, window.end)
    if isinstance(estimator, str) or estimates is None:
        return _unavailable(str(estimator))
    found = {name: estimator.drop(estimates, name) for name in estimates.metrics}
    drops = {name: _drop_json(one) for name, one in found.items() if one is not None}
    return {
        "reason": "" if estimates.used else _reason_of(estimates),
        "start": window.start.isoformat(),
        "end": window.end.isoformat(),
        **estimator.to_json(),
        **estimates.to_json(),
        "labelled_rows": estimator.to_json()["rows"],
        "drops": drops,
        "drop": drops.get(mine.primary),
    }


def _reason_of(estimates: Estimates) -> str:
    reasons = sorted({one.reason for one in estimates.metrics.values()})
    return f"Nothing is estimated: {', '.join(reasons)}."


def _residuals(
    mine: _Measurer, realized_: Metrics, estimates: Estimates | None
) -> dict[str, Any]:
    """Return realized minus estimated, metric by metric: the concept drift."""
    if estimates is None or isinstance(mine.estimator, str):
        return {}
    found = {
        name: trust.residual(realized_[name], estimated, mine.estimator.fit_error(name))
        for name, estimated in estimates.metrics.items()
        if name in realized_
    }
    return {name: one.to_json() for name, one in found.items() if one is not None}


def _trust(mine: _Measurer, found: list[dict[str, Any]]) -> dict[str, Any]:
    """Return how far estimates could be believed where the labels are in by now."""
    if isinstance(mine.estimator, str):
        return {"reason": mine.estimator, "back_test": {}, "residual": {}}
    mature = next((one for one in found if one["is_mature"]), None)
    judged = list(_mature_periods(mine))
    names = {name for _, estimated in judged for name in estimated}
    tests = {}
    for name in sorted(names):
        pairs = [
            (metric_of(truth[name]), metric_of(estimated[name]))
            for truth, estimated in judged
            if name in truth and name in estimated
        ]
        test = trust.back_test(pairs)
        if test is not None:
            tests[name] = test.to_json()
    return {
        "reason": "" if tests or mature else "No period has all its labels yet.",
        "back_test": tests,
        "period": None if mature is None else mature["period"],
        "residual": {} if mature is None else mature["residual"],
    }


def _mature_periods(
    mine: _Measurer,
) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """Yield the realized and the estimated metrics of days whose labels are in.

    Where a day has too few labels to be judged by, those of weeks.
    """
    recorded = PerformanceResult.objects.filter(
        version=mine.version,
        baseline=mine.baseline,
        labels__gte=mine.policy.minimum_sample,
    ).order_by("-start")
    for period in (PerformanceResult.Period.DAY, PerformanceResult.Period.WEEK):
        found = [
            (truth["metrics"], estimated["metrics"])
            for rows, labels, truth, estimated in recorded.filter(
                period=period
            ).values_list("rows", "labels", "realized", "estimated")[:BACK_TESTED]
            if mine.is_mature(rows, labels) and estimated
        ]
        if found:
            yield from found
            return


def metric_of(data: Mapping[str, Any]) -> Metric:
    """Return the metric that was written as JSON."""
    return Metric(
        data["value"],
        data["n"],
        data.get("low"),
        data.get("high"),
        data.get("reason", ""),
    )
