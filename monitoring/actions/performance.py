"""Realized performance over the periods whose labels are in."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.utils import timezone

from governance.decision import Thresholds
from governance.models import ModelVersion
from monitoring.actions import hours, periods, standards
from monitoring.actions.periods import Period, Window
from monitoring.models import Baseline
from monitoring.stats import performance, realized
from monitoring.stats.outcomes import OutcomeLayout

# Shown beside the one that counts, with the share of labels that is in.
MOST_PERIODS = 6


def measure(
    version: ModelVersion,
    baseline: Baseline,
    window: Window,
    before: Mapping[str, Any],
    policy: Thresholds,
) -> dict[str, Any]:
    """Return the metrics of the baseline and of the newest periods with labels.

    It goes back until the first mature period: one whose labels are in as far as the
    policy asks, or whose label horizon has passed. `before` is what was returned last
    time: a period whose counts haven't changed since isn't merged again.
    """
    layout = standards.gauge(baseline.pk).layout
    if layout is None:
        return {"task": None, "reason": "The task of the model is not known yet."}
    primary = version.schema.metric(layout.task)
    reference = realized.realized(layout, layout.baseline)
    known = {}
    if before.get("baseline_digest") == baseline.digest:
        known = {(one["start"], one["end"]): one for one in before.get("periods", ())}
    found: list[dict[str, Any]] = []
    for period in periods.recent(version, baseline.pk, window):
        if period.labels < 1:
            continue
        key = (period.start.isoformat(), period.end.isoformat())
        cached = known.get(key)
        one = (
            dict(cached)
            if cached is not None and cached["revision"] == period.revision
            else _period(version, baseline, layout, period)
        )
        one["horizon_passed"] = _horizon_passed(version, period)
        one["is_mature"] = period.labels >= policy.minimum_sample and (
            one["labelled_share"] >= policy.label_maturity or one["horizon_passed"]
        )
        found.append(one)
        if _is_enough(version, found):
            break
    return {
        "task": layout.task.value,
        "primary_metric": primary,
        "baseline_digest": baseline.digest,
        "baseline": reference.to_json(),
        "periods": found,
        "reason": "" if found else "No label has come yet.",
    }


def _is_enough(version: ModelVersion, found: list[dict[str, Any]]) -> bool:
    # A stream's periods overlap: the live one and the mature one say it all.
    if version.model.cadence == periods.Cadence.STREAM and len(found) > 1:
        del found[1:-1]
    is_mature = any(one["is_mature"] for one in found)
    batch = version.model.cadence != periods.Cadence.STREAM
    return is_mature and (not batch or len(found) >= MOST_PERIODS)


def _period(
    version: ModelVersion,
    baseline: Baseline,
    layout: OutcomeLayout,
    period: Period,
) -> dict[str, Any]:
    outcomes = hours.outcomes(version, baseline.pk, period.start, period.end)
    current = realized.realized(layout, layout.merge(outcomes))
    reference = realized.realized(layout, layout.baseline)
    primary = version.schema.metric(layout.task)
    worse = None
    if primary in reference.metrics and primary in current.metrics:
        worse = performance.drop(
            primary, reference.metrics[primary], current.metrics[primary]
        )
    return {
        "period": period.name,
        "start": period.start.isoformat(),
        "end": period.end.isoformat(),
        "revision": period.revision,
        "labelled_share": period.labelled_share,
        "drop": None
        if worse is None
        else {"value": worse.value, "low": worse.low, "high": worse.high},
        **current.to_json(),
    }


def _horizon_passed(version: ModelVersion, period: Period) -> bool:
    horizon = version.model.label_horizon_max
    now: datetime = timezone.now()
    return horizon is not None and period.end + horizon <= now
