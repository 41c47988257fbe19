"""Segments: the rows of a version and hour as columns, for arithmetic."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc
from django.db import transaction
from django.db.models import Count, Max
from django.utils import timezone

from governance.models import ModelVersion
from monitoring.actions import bulk, versions
from monitoring.models import Receipt, Segment
from monitoring.stats import rows

# A segment of fewer rows is merged with the next ones of its hour.
SMALL = 10_000
# Left alone while rows of the hour may still be coming in.
_INTEGER = struct.Struct(">i")
SETTLED_AFTER = timedelta(minutes=10)


def append(version: ModelVersion, tables: Mapping[datetime, pa.Table]) -> None:
    """Add rows to the segments of their hours; needs the version's lock.

    Small segments are merged as they come, each row about as often as its hour's rows
    double: an hour of single predictions is neither a thousand segments nor rewritten
    with each of them. What stays small is merged by `compact`.
    """
    small: dict[datetime, list[tuple[int, int]]] = {}
    listed = Segment.objects.filter(
        version=version, hour__in=tables, rows__lt=SMALL
    ).order_by("rows")
    for pk, hour, count in listed.values_list("pk", "hour", "rows"):
        small.setdefault(hour, []).append((pk, count))
    for hour, table in tables.items():
        total = table.num_rows
        absorbed = []
        for pk, count in small.get(hour, ()):
            if total >= SMALL or count > 2 * total:
                break
            absorbed.append(pk)
            total += count
        _rewrite(version, hour, absorbed, table)


def _rewrite(
    version: ModelVersion, hour: datetime, absorbed: list[int], table: pa.Table | None
) -> None:
    tables = [
        rows.decode(bytes(data))
        for data in Segment.objects.filter(pk__in=absorbed)
        .order_by("pk")
        .values_list("data", flat=True)
    ]
    together = rows.merged(tables if table is None else [*tables, table])
    if together is None and table is not None:
        # Types that don't go together stay apart: nothing is converted or lost.
        absorbed, together = [], rows.merged([table])
    if together is None:
        return
    Segment.objects.filter(pk__in=absorbed).delete()
    now = timezone.now()
    bulk.insert(
        Segment._meta.db_table,
        {
            "organization_id": version.organization_id,
            "model_id": version.model_id,
            "version_id": version.pk,
            "hour": hour,
            "rows": _INTEGER.pack(together.num_rows),
            "data": rows.encode(together),
            "created_at": now,
        },
    )


def compact(limit: int = 500) -> int:
    """Merge the small segments of hours in which no rows arrived lately.

    Returns the number of hours rewritten, at most `limit`.
    """
    settled = timezone.now() - SETTLED_AFTER
    found = (
        Segment.objects.filter(rows__lt=SMALL)
        .values("version_id", "hour")
        .annotate(parts=Count("pk"), newest=Max("created_at"))
        .filter(parts__gt=1, newest__lt=settled)
        .order_by("version_id", "hour")[:limit]
    )
    hours = [(one["version_id"], one["hour"]) for one in found]
    for version_id, hour in hours:
        _compact(ModelVersion.objects.get(pk=version_id), hour)
    return len(hours)


@transaction.atomic
def _compact(version: ModelVersion, hour: datetime) -> None:
    versions.lock(version.pk)
    parts = Segment.objects.filter(version=version, hour=hour, rows__lt=SMALL)
    _rewrite(version, hour, list(parts.values_list("pk", flat=True)), None)


def read(
    version: ModelVersion,
    start: datetime,
    end: datetime,
    *,
    columns: Iterable[str] | None = None,
) -> pa.Table | None:
    """Return the rows of whole hours in [start, end) as one table, None if none.

    Rows of quarantined receipts are left out. `columns` names features; the columns
    that every row has come along.
    """
    blobs = bulk.fields(
        "SELECT data FROM monitoring_segment WHERE version_id = %s AND hour >= %s "
        "AND hour < %s ORDER BY hour, id",
        (version.pk, start, end),
    )
    tables = [rows.decode(data) for (data,) in blobs if data is not None]
    if not tables:
        return None
    wanted = None if columns is None else {rows.FEATURE + name for name in columns}
    if wanted is not None:
        tables = [
            table.select(
                [
                    name
                    for name in table.column_names
                    if name in wanted or not name.startswith(rows.FEATURE)
                ]
            )
            for table in tables
        ]
    together = pa.concat_tables(rows.alike(tables), promote_options="default")
    return without(together, quarantined(version, start, end))


def quarantined(version: ModelVersion, start: datetime, end: datetime) -> list[UUID]:
    """Return the receipts whose rows in [start, end) don't count."""
    touched = Receipt.objects.filter(
        version=version, last_event__gte=start, first_event__lt=end
    )
    return list(touched.exclude(quarantine=None).values_list("pk", flat=True))


def without(table: pa.Table, receipts: Iterable[UUID]) -> pa.Table:
    """Return the rows that came with other receipts than these."""
    keys = pa.array([receipt.bytes for receipt in receipts], pa.binary(16))
    if not len(keys):
        return table
    named = table["receipt"].cast(pa.binary(16))
    return table.filter(pc.invert(pc.is_in(named, value_set=keys)))


def receipts_of(table: pa.Table) -> set[UUID]:
    """Return the receipts whose rows are in the table."""
    return {UUID(bytes=key) for key in table["receipt"].unique().to_pylist()}


def hours_between(
    version: ModelVersion, first: datetime, last: datetime
) -> list[datetime]:
    """Return the hours that have segments, from that of `first` to that of `last`."""
    start = first.replace(minute=0, second=0, microsecond=0)
    found = Segment.objects.filter(version=version, hour__gte=start, hour__lte=last)
    return list(found.order_by("hour").values_list("hour", flat=True).distinct())


def of_hour(version: ModelVersion, hour: datetime) -> list[pa.Table]:
    """Return all rows of an hour, quarantined ones too."""
    found = Segment.objects.filter(version=version, hour=hour).order_by("pk")
    return [rows.decode(bytes(data)) for data in found.values_list("data", flat=True)]
