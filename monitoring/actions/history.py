"""Performance over time: recorded hour by hour, read by whoever asks.

The profiles say which hours have changed. Each of these is computed anew, with the day
and the week that it belongs to; a request only reads rows.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import InterfaceError, OperationalError, connection
from django.db.models import F, Q
from django.utils import timezone

from governance.models import ModelVersion
from monitoring.actions import (
    bulk,
    day_views,
    estimators,
    hours,
    periods,
    segments,
    standards,
)
from monitoring.actions.periods import DAY, HOUR
from monitoring.models import Baseline, LiveResult, PerformanceResult
from monitoring.stats import realized
from monitoring.stats.estimation import Estimates
from monitoring.stats.estimators import Estimator
from monitoring.stats.outcomes import OutcomeLayout
from monitoring.stats.summed import Sums
from monitoring.stats.tally import Tally

logger = logging.getLogger(__name__)

Period = PerformanceResult.Period
WEEK = timedelta(weeks=1)
# More than that is done in pieces: the newest hours first.
HOURS_AT_ONCE = 500
# Rows that an estimate reads in a piece; an hour is never split.
ROWS_AT_ONCE = 500_000
ROWS_READ_AT_ONCE = 100_000
_LOCK_CLASS = 0x44475634
_WRITTEN = (
    "baseline",
    "rows",
    "labels",
    "last_end",
    "revision",
    "realized",
    "estimated",
    "sums",
    "computed_at",
)


@dataclass(frozen=True, slots=True)
class _Hour:
    """An hour whose counts have changed, and what is recorded of it."""

    start: datetime
    rows: int
    labels: int
    revision: int
    # The sums that are recorded still hold: no rows came or went.
    sums: bytes | None


@dataclass(frozen=True, slots=True)
class _Recorder:
    """A version, and what its hours are measured by."""

    version: ModelVersion
    baseline: Baseline
    layout: OutcomeLayout
    estimator: Estimator | None

    def result(
        self,
        period: Period,
        start: datetime,
        tally: Tally,
        sums: Sums | None,
        **fields: Any,
    ) -> PerformanceResult:
        """Return a row with what is realized and estimated of a period."""
        found = realized.realized(self.layout, tally).to_json()
        found.pop("confusion")
        estimates = self.estimates(tally, sums)
        return PerformanceResult(
            organization_id=self.version.organization_id,
            version=self.version,
            baseline=self.baseline,
            period=period,
            start=start,
            realized=found,
            estimated={} if estimates is None else estimates.to_json(),
            sums=sums.to_bytes()
            if sums is not None and period is Period.HOUR
            else None,
            computed_at=timezone.now(),
            **fields,
        )

    def estimates(self, tally: Tally, sums: Sums | None) -> Estimates | None:
        """Return what is estimated of a period, None if nothing can be."""
        if self.estimator is None:
            return None
        if self.estimator.needs_rows:
            return self.estimator.summed(sums)
        return self.estimator.counted(tally)


def record_due(limit: int = 500) -> int:
    """Record the performance of the versions that something was counted of.

    Returns how many there were. One that fails holds up nobody else's and stays due.
    """
    is_new = ~Q(rows_seen=F("rows_recorded")) | (
        Q(baseline__isnull=False)
        & (Q(recorded_baseline=None) | ~Q(recorded_baseline=F("baseline")))
    )
    due = LiveResult.objects.filter(is_new).order_by("pk")
    done = 0
    for version in ModelVersion.objects.filter(
        pk__in=list(due.values_list("version_id", flat=True)[:limit])
    ).select_related("model"):
        try:
            done += record(version)
        except (OperationalError, InterfaceError):
            raise
        except Exception:
            logger.exception("Performance of version %s isn't recorded.", version.pk)
    return done


def record(version: ModelVersion) -> bool:
    """Bring the recorded performance up to the profiles.

    1. Find the hours whose profile has changed, the newest first, and compute them.
    2. Compute the days and weeks that they belong to.
    3. Compute the views of the days whose windows have changed (`day_views`).
    4. Take the version off the list, unless something is left.

    Returns whether there was anything to do; false if another worker is at it.
    """
    with _alone(version) as is_mine:
        live = LiveResult.objects.filter(version=version).first()
        standard = standards.served(version) if is_mine else None
        if live is None or not is_mine:
            return False
        changed: list[_Hour] = []
        views, is_done = 0, True
        if standard is not None:
            recorder = _recorder(version, standard.baseline)
            if recorder is not None:
                changed = _changed_hours(recorder)
                is_done = _record(recorder, changed)
                _tell_live(recorder, live, changed)
            if is_done:
                views, is_done = day_views.record(version, standard.baseline)
        if is_done:
            LiveResult.objects.filter(pk=live.pk).update(
                rows_recorded=live.rows_seen, recorded_baseline=live.baseline_id
            )
    return is_done or bool(changed) or views > 0


def _tell_live(recorder: _Recorder, live: LiveResult, changed: Sequence[_Hour]) -> None:
    """Let the live view show an estimate of its window, where it is made of sums."""
    if changed and recorder.estimator is not None and recorder.estimator.needs_rows:
        LiveResult.objects.filter(pk=live.pk).update(due=True)


@contextmanager
def _alone(version: ModelVersion) -> Iterator[bool]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", (_LOCK_CLASS, version.pk))
        (is_mine,) = cursor.fetchone()
    try:
        yield is_mine
    finally:
        if is_mine:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_advisory_unlock(%s, %s)", (_LOCK_CLASS, version.pk)
                )


def _recorder(version: ModelVersion, baseline: Baseline) -> _Recorder | None:
    layout = standards.gauge(baseline.pk).layout
    if layout is None:
        return None
    estimator = estimators.of(baseline.pk)
    return _Recorder(
        version, baseline, layout, None if isinstance(estimator, str) else estimator
    )


_CHANGED = """
    SELECT p.start, p.rows, p.labels, p.revision,
        CASE WHEN r.baseline_id = p.baseline_id AND r.rows = p.rows THEN r.sums END
    FROM monitoring_profile AS p
    LEFT JOIN monitoring_performanceresult AS r
        ON r.version_id = p.version_id AND r.period = 'hour' AND r.start = p.start
    WHERE p.version_id = %s AND p.baseline_id = %s AND p.period = 'hour'
    AND (r.revision, r.baseline_id) IS DISTINCT FROM (p.revision, p.baseline_id)
    ORDER BY p.start DESC LIMIT %s
"""


def _changed_hours(recorder: _Recorder) -> list[_Hour]:
    """Return the newest hours to compute; one more than is done at once, if so."""
    with connection.cursor() as cursor:
        cursor.execute(
            _CHANGED, (recorder.version.pk, recorder.baseline.pk, HOURS_AT_ONCE + 1)
        )
        return [
            _Hour(start, rows, labels, revision, sums and bytes(sums))
            for start, rows, labels, revision, sums in cursor.fetchall()
        ]


def _record(recorder: _Recorder, changed: Sequence[_Hour]) -> bool:
    """Compute hours, and the days and weeks around them; tell whether that is all."""
    mine = _piece(recorder, changed)
    if not mine:
        return True
    # The counts may have moved on since: then the hour is found changed once more.
    blobs = _outcomes(recorder, [hour.start for hour in mine])
    all_sums = _sums(recorder, mine)
    results = []
    for hour in mine:
        tally = recorder.layout.merge(blobs.get(hour.start, []))
        sums = all_sums.get(hour.start)
        results.append(
            recorder.result(
                Period.HOUR,
                hour.start,
                tally,
                sums,
                rows=hour.rows,
                labels=hour.labels,
                last_end=hour.start + HOUR,
                revision=hour.revision,
            )
        )
    _write(results)
    for period, length in ((Period.DAY, DAY), (Period.WEEK, WEEK)):
        starts = sorted({start_of(period, hour.start) for hour in mine})
        found = (_longer(recorder, period, one, one + length) for one in starts)
        _write([one for one in found if one is not None])
    return len(mine) == len(changed)


def _piece(recorder: _Recorder, changed: Sequence[_Hour]) -> Sequence[_Hour]:
    """Return as many hours as are done at once."""
    mine = changed[:HOURS_AT_ONCE]
    if recorder.estimator is None or not recorder.estimator.needs_rows:
        return mine
    total = 0
    for place, hour in enumerate(mine, 1):
        total += 0 if hour.sums is not None else hour.rows
        if total >= ROWS_AT_ONCE:
            return mine[:place]
    return mine


def _outcomes(
    recorder: _Recorder, starts: Sequence[datetime]
) -> dict[datetime, list[memoryview]]:
    blobs = bulk.fields(
        "SELECT (extract(epoch FROM start) / 3600)::bigint, outcomes "
        "FROM monitoring_profile WHERE version_id = %s AND baseline_id = %s "
        "AND period = 'hour' AND start = ANY(%s)",
        (recorder.version.pk, recorder.baseline.pk, list(starts)),
    )
    found: dict[datetime, list[memoryview]] = {}
    for hour, outcomes in blobs:
        if hour is not None and outcomes is not None:
            number = int.from_bytes(hour, "big", signed=True)
            start = datetime.fromtimestamp(number * 3600, UTC)
            found.setdefault(start, []).append(outcomes)
    return found


def _sums(recorder: _Recorder, changed: Sequence[_Hour]) -> dict[datetime, Sums]:
    """Return what the rows of hours contribute to an estimate that needs rows."""
    estimator = recorder.estimator
    if estimator is None or not estimator.needs_rows:
        return {}
    found = {
        hour.start: Sums.from_bytes(hour.sums)
        for hour in changed
        if hour.sums is not None
    }
    for span in _spans([hour for hour in changed if hour.sums is None]):
        table = segments.read(
            recorder.version,
            span[0],
            span[-1] + HOUR,
            columns=estimator.features,
        )
        if table is not None:
            read = estimator.sums_by_hour(table)
            found |= {hour: read[hour] for hour in span if hour in read}
    return found


def _spans(changed: Sequence[_Hour]) -> Iterator[list[datetime]]:
    """Yield hours that are read together: near each other, and not too many rows."""
    span: list[datetime] = []
    total = 0
    for hour in sorted(changed, key=lambda one: one.start):
        if span and (hour.start - span[-1] > DAY or total >= ROWS_READ_AT_ONCE):
            yield span
            span, total = [], 0
        span.append(hour.start)
        total += hour.rows
    if span:
        yield span


def start_of(period: str, moment: datetime) -> datetime:
    """Return the start of the hour, day or week (Monday) of a moment, in UTC."""
    cadence = {
        Period.HOUR: periods.Cadence.HOURLY,
        Period.DAY: periods.Cadence.DAILY,
        Period.WEEK: periods.Cadence.WEEKLY,
    }[Period(period)]
    return periods.start_of(cadence, moment)


def _longer(
    recorder: _Recorder, period: Period, start: datetime, end: datetime
) -> PerformanceResult | None:
    """Return a day or a week, from its hours; None if none of them is recorded."""
    recorded = PerformanceResult.objects.filter(
        version=recorder.version,
        baseline=recorder.baseline,
        period=Period.HOUR,
        start__gte=start,
        start__lt=end,
    ).order_by("start")
    found = list(recorded.values_list("start", "rows", "labels", "revision"))
    if not found:
        return None
    tally = recorder.layout.merge(
        hours.outcomes_by_day(recorder.version, recorder.baseline.pk, start, end)
    )
    return recorder.result(
        period,
        start,
        tally,
        sums_of(recorder.version, recorder.baseline, start, end),
        rows=sum(one[1] for one in found),
        labels=sum(one[2] for one in found),
        last_end=found[-1][0] + HOUR,
        revision=sum(one[3] for one in found),
    )


def sums_of(
    version: ModelVersion, baseline: Baseline, start: datetime, end: datetime
) -> Sums | None:
    """Return the recorded sums of the hours in [start, end), None if there are none."""
    total: Sums | None = None
    kept = PerformanceResult.objects.filter(
        version=version,
        baseline=baseline,
        period=Period.HOUR,
        start__gte=start,
        start__lt=end,
        sums__isnull=False,
    )
    for data in kept.values_list("sums", flat=True).iterator():
        one = Sums.from_bytes(bytes(data or b""))
        total = one if total is None else total + one
    return total


def _write(results: Sequence[PerformanceResult]) -> None:
    PerformanceResult.objects.bulk_create(
        results,
        update_conflicts=True,
        unique_fields=("version", "period", "start"),
        update_fields=_WRITTEN,
        batch_size=200,
    )
