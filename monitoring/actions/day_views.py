"""Day by day, the live view as it stood: recorded from the profiles, for replays."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import accumulate
from typing import Any

from django.db import connection
from django.utils import timezone

from governance.decision import Thresholds
from governance.models import ModelVersion
from monitoring.actions import (
    alerts,
    analyses,
    hours,
    performance,
    periods,
    standards,
)
from monitoring.actions.periods import DAY, Window
from monitoring.models import Baseline, DayView
from monitoring.stats.gauges import Counts
from monitoring.stats.report import DriftReport

# So far back days are kept up to date; nobody replays more.
MOST_DAYS = 180
DAYS_AT_ONCE = 20
# The day that is not over changes with every row.
TODAY_EVERY = timedelta(minutes=5)
_WRITTEN = (
    "baseline",
    "window_start",
    "window_end",
    "rows",
    "revision",
    "readings",
    "performance",
    "computed_at",
)
# The longest window: a calendar month.
_REACH = timedelta(days=31)


@dataclass(frozen=True, slots=True)
class _Due:
    """A day whose view is to be computed."""

    day: date
    window: Window
    revision: int


def record(version: ModelVersion, baseline: Baseline) -> tuple[int, bool]:
    """Compute the views of days whose counts have changed, the newest first.

    Returns how many were computed, and whether none is left.
    """
    due = list(_due(version, baseline))
    now = timezone.now()
    waiting = _too_new(version, due, now)
    mine = [one for one in due if one.day not in waiting][:DAYS_AT_ONCE]
    policy = alerts.policy_of(version.model)
    found = [_view(version, baseline, one, policy, now) for one in mine]
    DayView.objects.bulk_create(
        found,
        update_conflicts=True,
        unique_fields=("version", "day"),
        update_fields=_WRITTEN,
    )
    return len(mine), len(mine) == len(due)


def _due(version: ModelVersion, baseline: Baseline) -> Iterator[_Due]:
    """Yield the days whose windows have other counts than their views, newest first."""
    newest = periods.newest_hour(version, baseline.pk)
    if newest is None:
        return
    starts, sums, last = _counted(version, baseline, newest - MOST_DAYS * DAY - _REACH)
    views = DayView.objects.filter(version=version, baseline=baseline)
    known = dict(views.values_list("day", "revision"))
    oldest = (newest - MOST_DAYS * DAY).date()
    for day, hour in sorted(last.items(), reverse=True):
        if day < oldest:
            return
        window = periods.window_of(version.model.cadence, hour)
        first, end = (bisect_left(starts, at) for at in (window.start, window.end))
        revision = sums[end] - sums[first]
        if known.get(day) != revision:
            yield _Due(day, window, revision)


def _counted(
    version: ModelVersion, baseline: Baseline, since: datetime
) -> tuple[list[datetime], list[int], dict[date, datetime]]:
    """Return the hours with rows, the sums of their revisions, each day's last one."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT start, revision FROM monitoring_profile WHERE version_id = %s "
            "AND baseline_id = %s AND period = 'hour' AND rows > 0 AND start >= %s "
            "ORDER BY start",
            (version.pk, baseline.pk, since),
        )
        found = [(at.astimezone(UTC), revision) for at, revision in cursor.fetchall()]
    starts = [at for at, _ in found]
    sums = [0, *accumulate(revision for _, revision in found)]
    return starts, sums, {at.date(): at for at in starts}


def _too_new(version: ModelVersion, due: list[_Due], now: datetime) -> set[date]:
    """Return the day that goes on, if its view was computed a moment ago."""
    today = now.astimezone(UTC).date()
    if not any(one.day == today for one in due):
        return set()
    fresh = DayView.objects.filter(
        version=version, day=today, computed_at__gt=now - TODAY_EVERY
    )
    return {today} if fresh.exists() else set()


def _view(
    version: ModelVersion,
    baseline: Baseline,
    due: _Due,
    policy: Thresholds,
    now: datetime,
) -> DayView:
    window = due.window
    counts = hours.merged(version, baseline.pk, window.start, window.end).counts
    gauge = standards.gauge(baseline.pk)
    report = analyses.drift_of(version, gauge, counts, policy)
    return DayView(
        organization_id=version.organization_id,
        version=version,
        baseline=baseline,
        day=due.day,
        window_start=window.start,
        window_end=window.end,
        rows=counts.rows,
        revision=due.revision,
        readings=_readings(report),
        performance=_performance(version, baseline, window, counts, policy),
        computed_at=now,
    )


def _readings(report: DriftReport) -> dict[str, dict[str, list[Any]]]:
    found: dict[str, dict[str, list[Any]]] = {}
    for name, column in report.columns.items():
        if min(column.n, column.n_baseline) < report.min_rows:
            continue
        found[name] = {
            algorithm: [
                result["score"],
                result["significant"],
                result["no_drift_95_family"],
                result["p_value"] is not None,
            ]
            for algorithm, result in column.to_json()["algorithms"].items()
            if result["score"] is not None
        }
    return found


def _performance(
    version: ModelVersion,
    baseline: Baseline,
    window: Window,
    counts: Counts,
    policy: Thresholds,
) -> dict[str, Any]:
    if counts.outcomes is None:
        return {}
    return performance.at(version, baseline, window, counts.outcomes, policy)
