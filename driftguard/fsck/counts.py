"""Profiles and segments: every row of an hour stands in them, and stands there once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

import numpy as np
import pyarrow as pa
from django.db import connection

from driftguard.fsck.faults import Fault
from governance.actions import bundles
from governance.models import ModelVersion
from monitoring.actions import hours, labels, logged, segments, standards
from monitoring.models import (
    Baseline,
    Profile,
    ProfiledReceipt,
    Receipt,
    Segment,
    SegmentedReceipt,
)
from monitoring.stats import rows
from monitoring.stats.gauges import Counts, Gauge
from monitoring.stats.tally import OTHER, Ints, Tally

HOUR = timedelta(hours=1)
PROFILES = Profile._meta.db_table
SEGMENTS = Segment._meta.db_table
# Sums of floats depend on the order in which their terms came.
CLOSE = 1e-6

_NEXT = """
    SELECT least(
        (SELECT min("timestamp") FROM monitoring_prediction
            WHERE model_id = %(model)s AND version_id = %(version)s
            AND "timestamp" >= %(since)s),
        (SELECT min(start) FROM monitoring_profile
            WHERE version_id = %(version)s AND period = 'hour' AND start >= %(since)s),
        (SELECT min(hour) FROM monitoring_segment
            WHERE version_id = %(version)s AND hour >= %(since)s)
    )
"""


def hours_of(version: ModelVersion) -> Iterator[datetime]:
    """Yield the hours in which a version has rows, counts or segments."""
    since = datetime.min.replace(tzinfo=UTC)
    while True:
        with connection.cursor() as cursor:
            cursor.execute(
                _NEXT,
                {"model": version.model_id, "version": version.pk, "since": since},
            )
            [at] = cursor.fetchone()
        if at is None:
            return
        hour = at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        yield hour
        since = hour + HOUR


def check(version: ModelVersion, hour: datetime) -> list[Fault]:
    """Compare the rows of an hour with its segments, and with its profiles."""
    with bundles.snapshot():
        faults = _check_segments(version, hour)
        for baseline in standards.counted(version):
            faults += _check_profile(version, baseline, hour)
        return faults


@dataclass(slots=True)
class _Fingerprint:
    """Which rows there are: their number, and sums that no other rows have."""

    rows: int = 0
    sums: np.ndarray[tuple[int], np.dtype[np.uint64]] = field(
        default_factory=lambda: np.zeros(2, np.uint64)
    )

    def add(self, table: pa.Table) -> None:
        self.rows += table.num_rows
        keys = b"".join(table["id"].to_pylist())
        self.sums += np.frombuffer(keys, ">u8").reshape(-1, 2).sum(axis=0, dtype="u8")


def _check_segments(version: ModelVersion, hour: datetime) -> list[Fault]:
    faults = []
    stored, expected = _Fingerprint(), _Fingerprint()
    found = Segment.objects.filter(version=version, hour=hour).order_by("pk")
    for segment in found.iterator(1):
        table = rows.decode(bytes(segment.data))
        if table.num_rows != segment.rows:
            what = f"says {segment.rows} rows, {table.num_rows} are there"
            faults.append(Fault(SEGMENTS, str(segment.pk), what))
        stored.add(table)
    for table in logged.between(version, hour, hour + HOUR, {}):
        keys = segments.receipts_of(table)
        done = SegmentedReceipt.objects.filter(pk__in=keys).values_list("pk", flat=True)
        expected.add(segments.without(table, keys - set(done)))
    name = f"{version} {hour:%Y-%m-%d %H}h"
    if stored.rows != expected.rows:
        what = f"holds {stored.rows} rows of {expected.rows} predictions"
        faults.append(Fault(SEGMENTS, name, what))
    elif (stored.sums != expected.sums).any():
        faults.append(Fault(SEGMENTS, name, "holds rows that are no predictions"))
    return faults


def _check_profile(
    version: ModelVersion, baseline: Baseline, hour: datetime
) -> list[Fault]:
    gauge = standards.gauge(baseline.pk)
    expected = _counted(version, baseline.pk, hour, gauge)
    if expected is None:
        return []
    stored = Profile.objects.filter(
        version=version, baseline=baseline, period=Profile.Period.HOUR, start=hour
    ).first()
    name = f"{version} {hour:%Y-%m-%d %H}h on {baseline.label}"
    if stored is None:
        missing = expected.rows or expected.labels
        what = f"is missing, of {expected.rows} rows"
        return [Fault(PROFILES, name, what)] if missing else []
    key = f"{stored.pk} ({name})"
    differing = differences(gauge, gauge.stored(stored), expected)
    return [Fault(PROFILES, key, what) for what in differing]


def _counted(
    version: ModelVersion, baseline_id: UUID, hour: datetime, gauge: Gauge
) -> Counts | None:
    """Count an hour's rows anew; None if some are about to be taken out."""
    total = gauge.empty()
    kinds = standards.kinds(version, baseline_id)
    for table in logged.between(version, hour, hour + HOUR, kinds):
        keys = segments.receipts_of(table)
        suspended = Receipt.objects.filter(pk__in=keys).exclude(quarantine=None)
        if suspended.pending().exists():
            return None
        done = ProfiledReceipt.objects.filter(receipt__in=keys, baseline=baseline_id)
        marked = set(done.values_list("receipt_id", flat=True))
        counting = marked - set(suspended.values_list("pk", flat=True))
        kept = segments.without(table, keys - counting)
        if kept.num_rows:
            total = total + gauge.count(kept, version.schema)
            total = total + labels.of_rows(version, gauge, kept)
    return total


def check_days(version: ModelVersion) -> Iterator[Fault]:
    """Compare the merged days with their hours."""
    for baseline in standards.counted(version):
        days = Profile.objects.filter(
            version=version, baseline=baseline, period=Profile.Period.DAY
        )
        for pk, start in days.order_by("start").values_list("pk", "start").iterator():
            with bundles.snapshot():
                found = _check_day(pk, start, baseline.pk)
            for what in found:
                name = f"{pk} ({version} {start:%Y-%m-%d} on {baseline.label})"
                yield Fault(PROFILES, name, what)


def _check_day(pk: int, start: datetime, baseline_id: UUID) -> list[str]:
    day = Profile.objects.filter(pk=pk).first()
    if day is None:
        return []  # dropped meanwhile: a row came in
    gauge = standards.gauge(baseline_id)
    total = gauge.empty()
    of_day = Profile.objects.filter(
        version=day.version_id,
        baseline=baseline_id,
        period=Profile.Period.HOUR,
        start__gte=start,
        start__lt=start + hours.DAY,
    )
    for hour in of_day.iterator(1):
        total = total + gauge.stored(hour)
    return differences(gauge, gauge.stored(day), total)


def differences(gauge: Gauge, stored: Counts, expected: Counts) -> list[str]:
    """Return how stored counts differ from those of the rows, cell by cell."""
    found = [
        f"counts {ours} {name}, {theirs} are there"
        for name, ours, theirs in (
            ("rows", stored.rows, expected.rows),
            ("labels", stored.labels, expected.labels),
        )
        if ours != theirs
    ]
    for name, place in gauge.grid.layout.items():
        found += _cells(
            f"column {name}",
            stored.columns.ints[place.ints],
            expected.columns.ints[place.ints],
        )
        unseen = [_exact(tally, name) for tally in (stored.columns, expected.columns)]
        if unseen[0] != unseen[1]:
            found.append(f"column {name}: unseen categories differ")
    if not _is_close(stored.columns, expected.columns):
        found.append("sums of columns differ")
    if gauge.layout is not None:
        none = gauge.layout.empty()
        ours, theirs = stored.outcomes or none, expected.outcomes or none
        found += _cells("outcomes", ours.ints, theirs.ints)
        if not _is_close(ours, theirs):
            found.append("sums of outcomes differ")
    return found


def _cells(name: str, ours: Ints, theirs: Ints) -> list[str]:
    cells = np.flatnonzero(ours != theirs)
    if not len(cells):
        return []
    first = cells[0]
    what = f"cell {first} counts {ours[first]}, the rows {theirs[first]}"
    more = f" ({len(cells)} cells differ)" if len(cells) > 1 else ""
    return [f"{name}: {what}{more}"]


def _exact(tally: Tally, name: str) -> dict[str, int]:
    """Return the unseen categories, by name where none had to share one."""
    names = {key: count for key, count in tally.unseen.get(name, {}).items() if count}
    return {OTHER: sum(names.values())} if OTHER in names else names


def _is_close(ours: Tally, theirs: Tally) -> bool:
    finite = np.isfinite(ours.sums) & np.isfinite(theirs.sums)
    a, b = ours.sums[finite], theirs.sums[finite]
    scale = max(1.0, float(np.abs(b).max(initial=0.0)))
    return bool(np.allclose(a, b, rtol=CLOSE, atol=CLOSE * scale))
