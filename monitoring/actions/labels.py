"""Labels in the profiles: each counted once, in the hour of its prediction.

A label is in the profiles of every grid on which its prediction was counted, exactly if
`GroundTruth.counted` says so. Both change together, under the lock of the version.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import numpy as np
import pyarrow as pa
from django.db import connection, transaction
from django.db.models import Q

from governance.models import ModelVersion
from monitoring.actions import hours, logged, segments, standards, versions
from monitoring.models import GroundTruth, Prediction, ProfiledReceipt, Receipt
from monitoring.stats import rows
from monitoring.stats.gauges import Counts, Gauge, Packed

ROWS_AT_ONCE = 20_000

# A label that stands in no profile yet, or one that was replaced and still does.
_UNSETTLED = Q(counted=False, superseded=False) | Q(counted=True, superseded=True)


# The same, among the ids of some receipts.
_WAITED = """
    SELECT DISTINCT label.prediction_id
    FROM unnest(%s::uuid[], %s::uuid[]) AS r(first_id, last_id)
    CROSS JOIN LATERAL (
        SELECT prediction_id FROM monitoring_groundtruth
        WHERE prediction_id BETWEEN r.first_id AND r.last_id
        AND counted = superseded OFFSET 0
    ) AS label
"""


@dataclass(frozen=True, slots=True)
class _Change:
    """A label to add to the counts, or with sign -1 to take out of them."""

    prediction: UUID
    label: bytes  # JSON
    sign: int


def count_receipts(receipts: Sequence[UUID]) -> None:
    """Count the labels that came with these receipts, and uncount what they correct."""
    came = GroundTruth.objects.filter(receipt__in=receipts)
    _settle(came.values_list("prediction_id", flat=True).distinct())


def count_predictions(receipts: Sequence[Receipt]) -> None:
    """Count the labels that had waited for the predictions of these receipts."""
    ends = [r.first_id for r in receipts], [r.last_id for r in receipts]
    with connection.cursor() as cursor:
        cursor.execute(_WAITED, ends)
        _settle([key for (key,) in cursor.fetchall()])


def _settle(predictions: Iterable[UUID | None]) -> None:
    by_version: dict[int, list[UUID]] = {}
    keys = [key for key in predictions if key is not None]
    found = Prediction.objects.filter(pk__in=keys)
    for pk, version_id in found.values_list("pk", "version_id"):
        by_version.setdefault(version_id, []).append(pk)
    for version_id, mine in sorted(by_version.items()):
        version = ModelVersion.objects.get(pk=version_id)
        for start in range(0, len(mine), ROWS_AT_ONCE):
            _settle_version(version, mine[start : start + ROWS_AT_ONCE])


@transaction.atomic
def _settle_version(version: ModelVersion, predictions: Sequence[UUID]) -> None:
    versions.lock(version.pk)
    unsettled = list(
        GroundTruth.objects.filter(_UNSETTLED, prediction_id__in=predictions)
        .order_by("pk")
        .select_for_update()
        .values_list("pk", "prediction_id", "outcome", "counted")
    )
    if not unsettled:
        return
    changes = [
        _Change(key, outcome.encode(), -1 if counted else 1)
        for _, key, outcome, counted in unsettled
        if key is not None
    ]
    keys = list({change.prediction for change in changes})
    counted_on = standards.counted(version)
    for baseline in counted_on:
        table = logged.with_ids(keys, standards.kinds(version, baseline.pk))
        suspended = _suspended(table)
        table = _counted_rows(segments.without(table, suspended), baseline.pk)
        hours.add(version, baseline.pk, _counts(version, baseline.pk, table, changes))
    for is_counted in (True, False):
        GroundTruth.objects.filter(
            pk__in=[pk for pk, _, _, counted in unsettled if counted is not is_counted]
        ).update(counted=is_counted)
    versions.touch(version, len(changes))


def _suspended(table: pa.Table) -> list[UUID]:
    receipts = [UUID(bytes=key) for key in table["receipt"].unique().to_pylist()]
    found = Receipt.objects.filter(pk__in=receipts).exclude(quarantine=None)
    return list(found.values_list("pk", flat=True))


def _counted_rows(table: pa.Table, baseline_id: UUID) -> pa.Table:
    """Return the rows that stand in the profiles of this baseline.

    The others bring their labels along when they are counted.
    """
    receipts = [UUID(bytes=key) for key in table["receipt"].unique().to_pylist()]
    done = set(
        ProfiledReceipt.objects.filter(
            receipt__in=receipts, baseline=baseline_id
        ).values_list("receipt_id", flat=True)
    )
    return segments.without(table, [key for key in receipts if key not in done])


def add_known(
    version: ModelVersion, baseline_id: UUID, tables: Mapping[datetime, pa.Table]
) -> None:
    """Add the labels that are counted already to rows that were just counted.

    Needs the version's lock. It happens when predictions are counted once more, for
    another baseline, and when their labels were quicker than they.
    """
    ends = [end for table in tables.values() if table.num_rows for end in _ends(table)]
    if not ends:
        return
    known = GroundTruth.objects.filter(
        counted=True, prediction_id__gte=min(ends), prediction_id__lte=max(ends)
    )
    changes = [
        _Change(key, outcome.encode(), 1)
        for key, outcome in known.values_list("prediction_id", "outcome")
        if key is not None
    ]
    if not changes:
        return
    added: dict[datetime, Packed] = {}
    for table in tables.values():
        added.update(_counts(version, baseline_id, table, changes))
    hours.add(version, baseline_id, added)


def of_rows(version: ModelVersion, gauge: Gauge, table: pa.Table) -> Counts:
    """Return what the labels that are counted add to these rows' counts."""
    keys = [UUID(bytes=key) for key in table["id"].to_pylist()]
    known = GroundTruth.objects.filter(counted=True, prediction_id__in=keys)
    places = {key: place for place, key in enumerate(keys)}
    found = [
        (places[key], outcome.encode())
        for key, outcome in known.values_list("prediction_id", "outcome")
        if key is not None
    ]
    if not found:
        return gauge.empty()
    taken = table.take([place for place, _ in found])
    labelled = taken.append_column("label", rows.labels([text for _, text in found]))
    return gauge.count_labels(labelled, version.schema)


def _ends(table: pa.Table) -> tuple[UUID, UUID]:
    """Return bounds of the rows' ids, from the first halves of these."""
    keys = rows.one_array(table["id"])
    halves = np.frombuffer(keys.buffers()[1], ">u8")[::2]
    halves = halves[keys.offset : keys.offset + len(keys)]
    lowest, highest = int(halves.min()), int(halves.max())
    return UUID(int=lowest << 64), UUID(int=(highest + 1 << 64) - 1)


def _counts(
    version: ModelVersion,
    baseline_id: UUID,
    table: pa.Table,
    changes: Sequence[_Change],
) -> dict[datetime, Packed]:
    """Return what the changes add to the hours of the predictions in the table."""
    places = {
        UUID(bytes=key): place for place, key in enumerate(table["id"].to_pylist())
    }
    gauge = standards.gauge(baseline_id)
    result: dict[datetime, Packed] = {}
    for sign in (1, -1):
        chosen = [c for c in changes if c.sign == sign and c.prediction in places]
        if not chosen:
            continue
        taken = table.take([places[change.prediction] for change in chosen])
        labels = rows.labels([change.label for change in chosen])
        taken = taken.append_column("label", labels)
        for hour, hour_rows in rows.by_hour(taken):
            counts = gauge.count_labels(hour_rows, version.schema)
            if sign < 0:
                counts = -counts
            if hour in result:
                counts = gauge.stored(result[hour]) + counts
            result[hour] = gauge.pack(counts)
    return result
