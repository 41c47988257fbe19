"""The hours of a version: its profile rows, and the days that are merged from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from governance.models import ModelVersion
from monitoring.actions import bulk, standards, versions
from monitoring.models import Profile
from monitoring.stats.gauges import Counts, Gauge, Packed

DAY = timedelta(days=1)
_COUNTED = (
    "rows",
    "labels",
    "columns",
    "outcomes",
    "ranges",
    "revision",
    "updated_at",
)


def add(
    version: ModelVersion, baseline_id: UUID, added: Mapping[datetime, Packed]
) -> None:
    """Add counts to the profiles of their hours; needs the version's lock.

    One hour's counts are unpacked at a time, however many hours there are. The merged
    days that they belong to are dropped: the next refresh merges them anew.
    """
    gauge = standards.gauge(baseline_id)
    stored = Profile.objects.filter(version=version, baseline=baseline_id)
    existing = {
        profile.start: profile
        for profile in stored.filter(period=Profile.Period.HOUR, start__in=added)
    }
    days = {hour.replace(hour=0) for hour in added}
    stored.filter(period=Profile.Period.DAY, start__in=days).delete()
    now = timezone.now()
    new = []
    for hour, counts in added.items():
        profile = existing.get(hour)
        if profile is None:
            profile = Profile(
                organization_id=version.organization_id,
                version=version,
                baseline_id=baseline_id,
                period=Profile.Period.HOUR,
                start=hour,
            )
            new.append(profile)
        else:
            counts = gauge.pack(gauge.stored(profile) + gauge.stored(counts))
            profile.revision += 1
        profile.rows, profile.labels = counts.rows, counts.labels
        profile.columns, profile.outcomes = counts.columns, counts.outcomes
        profile.ranges = counts.ranges
        profile.updated_at = now
        if profile.pk is not None:
            profile.save(update_fields=_COUNTED)
    Profile.objects.bulk_create(new)


def replace(
    version: ModelVersion, baseline_id: UUID, hour: datetime, counts: Counts
) -> None:
    """Put these counts in the place of an hour's; needs the version's lock."""
    gauge = standards.gauge(baseline_id)
    Profile.objects.filter(
        version=version,
        baseline=baseline_id,
        period=Profile.Period.HOUR,
        start=hour,
    ).update(
        rows=0,
        labels=0,
        columns=gauge.pack(gauge.empty()).columns,
        outcomes=None,
        ranges={},
        revision=F("revision") + 1,
    )
    add(version, baseline_id, {hour: gauge.pack(counts)})


@dataclass(frozen=True, slots=True)
class Merged:
    """The counts of a window, and of its last part where that was asked for."""

    counts: Counts
    recent: Counts | None = None


# One statement is one snapshot: an hour is read either by itself or in its day.
_BLOBS = """
    SELECT (start >= %(recent)s)::int, rows, labels, columns, outcomes
    FROM monitoring_profile AS p
    WHERE version_id = %(version)s AND baseline_id = %(baseline)s
    AND start >= %(start)s AND start < %(end)s AND (
        period = 'day' AND start >= %(first_day)s AND start < %(end_day)s
        OR period = 'hour' AND NOT (
            start >= %(first_day)s AND start < %(end_day)s AND EXISTS (
                SELECT FROM monitoring_profile AS d
                WHERE d.version_id = p.version_id AND d.baseline_id = p.baseline_id
                AND d.period = 'day' AND d.start = date_trunc('day', p.start, 'UTC')
            )
        )
    )
"""


def merged(
    version: ModelVersion,
    baseline_id: UUID,
    start: datetime,
    end: datetime,
    *,
    recent: datetime | None = None,
) -> Merged:
    """Return the counts of the hours in [start, end), and of those since `recent`.

    Whole days are read merged; the cost depends on the grid and the window's length,
    not on the number of predictions.
    """
    first_day, end_day = _whole_days(start, min(end, recent or end))
    _merge_days(version, baseline_id, first_day, end_day)
    blobs = bulk.fields(
        _BLOBS,
        {
            "version": version.pk,
            "baseline": baseline_id,
            "start": start,
            "end": end,
            "recent": recent or end,
            "first_day": first_day,
            "end_day": end_day,
        },
    )
    older, newer = _Sum(), _Sum()
    for is_recent, rows, labels, columns, outcomes in blobs:
        part = newer if _integer(is_recent) else older
        part.rows += _integer(rows)
        part.labels += _integer(labels)
        part.blobs.append((columns, outcomes))
    gauge = standards.gauge(baseline_id)
    whole = older.merged(gauge)
    if recent is None:
        return Merged(whole)
    last = newer.merged(gauge)
    return Merged(whole + last, last)


@dataclass(slots=True)
class _Sum:
    rows: int = 0
    labels: int = 0
    blobs: list[tuple[memoryview | None, memoryview | None]] = field(
        default_factory=list
    )

    def merged(self, gauge: Gauge) -> Counts:
        return gauge.merge(self.blobs, rows=self.rows, labels=self.labels)


def _integer(data: memoryview | None) -> int:
    return int.from_bytes(data or b"", "big", signed=True)


def outcomes(
    version: ModelVersion, baseline_id: UUID, start: datetime, end: datetime
) -> list[memoryview]:
    """Return the tallies of the outcomes of the hours in [start, end)."""
    blobs = bulk.fields(
        "SELECT outcomes FROM monitoring_profile WHERE version_id = %s "
        "AND baseline_id = %s AND period = 'hour' AND start >= %s AND start < %s",
        (version.pk, baseline_id, start, end),
    )
    return [blob for (blob,) in blobs if blob is not None]


def outcomes_by_day(
    version: ModelVersion, baseline_id: UUID, start: datetime, end: datetime
) -> list[memoryview]:
    """Return the tallies of the outcomes in [start, end), whole days merged."""
    first_day, end_day = _whole_days(start, end)
    _merge_days(version, baseline_id, first_day, end_day)
    blobs = bulk.fields(
        _BLOBS,
        {
            "version": version.pk,
            "baseline": baseline_id,
            "start": start,
            "end": end,
            "recent": end,
            "first_day": first_day,
            "end_day": end_day,
        },
    )
    return [outcomes for *_, outcomes in blobs if outcomes is not None]


def _whole_days(start: datetime, end: datetime) -> tuple[datetime, datetime]:
    first = start.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if first < start:
        first += DAY
    last = end.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return first, max(first, last)


def _merge_days(
    version: ModelVersion, baseline_id: UUID, first: datetime, end: datetime
) -> None:
    """Make the days in [first, end) that aren't there and have several hours."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT date_trunc('day', start, 'UTC') AS day FROM monitoring_profile "
            "WHERE version_id = %s AND baseline_id = %s AND start >= %s AND start < %s "
            "GROUP BY 1 HAVING count(*) > 1 AND bool_and(period = 'hour')",
            (version.pk, baseline_id, first, end),
        )
        days = [day for (day,) in cursor.fetchall()]
    for day in days:
        _merge_day(version, baseline_id, day)


@transaction.atomic
def _merge_day(version: ModelVersion, baseline_id: UUID, day: datetime) -> None:
    versions.lock(version.pk)
    of_day = Profile.objects.filter(
        version=version, baseline=baseline_id, start__gte=day, start__lt=day + DAY
    )
    if of_day.filter(period=Profile.Period.DAY).exists():
        return
    gauge = standards.gauge(baseline_id)
    total = gauge.empty()
    revision = 0
    for hour in of_day.filter(period=Profile.Period.HOUR).order_by("start"):
        total = total + gauge.stored(hour)
        revision += hour.revision
    packed = gauge.pack(total)
    Profile.objects.create(
        organization_id=version.organization_id,
        version=version,
        baseline_id=baseline_id,
        period=Profile.Period.DAY,
        start=day,
        rows=packed.rows,
        labels=packed.labels,
        columns=packed.columns,
        outcomes=packed.outcomes,
        ranges=packed.ranges,
        revision=revision,
    )
