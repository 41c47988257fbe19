"""Profiles: every receipt's rows counted exactly once, in the hour they belong to.

The receipts are the queue. A worker claims some, reads their rows once, and adds them
to segments and profiles in one transaction with the markers that say so; whatever is
killed, a row is counted once or will be.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

import pyarrow as pa
from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import Max, Q
from django.db.models.functions import Greatest
from django.utils import timezone

from governance.actions import findings, registry, retirement
from governance.models import Finding, ModelVersion
from monitoring.actions import (
    baselines,
    ground_truth,
    hours,
    labels,
    logged,
    quarantine,
    segments,
    standards,
    versions,
)
from monitoring.models import (
    LiveResult,
    ProfiledReceipt,
    Receipt,
    SegmentedReceipt,
)
from monitoring.stats import lines, rows
from monitoring.stats.gauges import Gauge, Packed

logger = logging.getLogger(__name__)

# A worker that hasn't finished by then is taken for dead.
LEASE = timedelta(minutes=1)
RECEIPTS_AT_ONCE = 2_000
ROWS_AT_ONCE = 25_000
ROWS_PER_CLAIM = 200_000
# One finding per feature; a client that invents names doesn't flood the list.
MOST_FINDINGS = 20


@dataclass(slots=True)
class _Part:
    """Some receipts of a version that lack the same things, and their rows."""

    receipts: Sequence[Receipt]
    missing: frozenset[UUID]  # baselines
    is_segmented: bool
    suspended: set[UUID] = field(default_factory=set)  # receipts that don't count
    gauges: dict[UUID, Gauge] = field(default_factory=dict)
    kinds: lines.Kinds = field(default_factory=dict)
    logged: logged.Logged | None = None
    hours: dict[datetime, pa.Table] = field(default_factory=dict)
    counts: dict[UUID, dict[datetime, Packed]] = field(default_factory=dict)
    wrong: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)

    @property
    def counting(self) -> dict[datetime, pa.Table]:
        """The rows that count."""
        return {
            hour: segments.without(table, self.suspended)
            for hour, table in self.hours.items()
        }


class _TakenError(Exception):
    """Somebody else counted or quarantined one of the receipts since we looked."""


def profile_pending(limit: int = RECEIPTS_AT_ONCE) -> int:
    """Claim the pending receipts of the version that waits longest, and count them.

    1. Claim: a lease on up to `limit` receipts that nobody else holds.
    2. Read the rows and count them on every grid that lacks them.
    3. Store segments, profiles and markers in one transaction.
    4. Match the labels that waited for these predictions, and count labels.
    5. Take the receipts off the queue.

    Killed in between, it is done again when the lease has passed, and the markers
    tell what remains. So is a receipt that can't be counted; it holds up neither the
    others nor their versions. Returns the number of receipts claimed: 0 if none was
    pending.
    """
    receipts = _claim(limit)
    if not _is_counted(receipts) and len(receipts) > 1:
        for receipt in receipts:
            _is_counted([receipt])
    return len(receipts)


def _is_counted(receipts: Sequence[Receipt]) -> bool:
    """Count receipts of one version; false, and a line in the log, if that fails."""
    try:
        if receipts:
            _profile(receipts)
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        logger.exception(
            "Receipts can't be counted: %s", ", ".join(str(r.pk) for r in receipts[:10])
        )
        return False
    return True


def _profile(receipts: Sequence[Receipt]) -> None:
    pks = [receipt.pk for receipt in receipts]
    if receipts[0].kind == Receipt.Kind.GROUND_TRUTH:
        ground_truth.match_waiting(pks)
        labels.count_receipts(pks)
        Receipt.objects.filter(pk__in=pks).update(pending=False, claimed_until=None)
        return
    version = ModelVersion.objects.select_related("model").get(
        receipts__pk=receipts[0].pk
    )
    _count(version, receipts)
    if suspended := [r for r in receipts if r.quarantine_id is not None]:
        quarantine.take_out(version, suspended)
    ground_truth.match_waiting(pks)
    labels.count_predictions(receipts)
    _finish(version, pks)


@transaction.atomic
def _claim(limit: int) -> list[Receipt]:
    now = timezone.now()
    free = Receipt.objects.pending().filter(
        Q(claimed_until=None) | Q(claimed_until__lt=now)
    )
    first = free.order_by("id").values("kind", "version_id").first()
    if first is None:
        return []
    claimed: list[Receipt] = []
    total = 0
    waiting = free.filter(**first).order_by("id").select_for_update(skip_locked=True)
    for receipt in waiting[:limit]:
        claimed.append(receipt)
        total += receipt.rows
        if total >= ROWS_PER_CLAIM:
            break
    Receipt.objects.filter(pk__in=[receipt.pk for receipt in claimed]).update(
        claimed_until=now + LEASE
    )
    return claimed


def _count(version: ModelVersion, receipts: Sequence[Receipt]) -> None:
    """Bring rows into segments and profiles, again if another worker was faster."""
    while True:
        try:
            _count_parts(version, receipts)
        except _TakenError:
            continue
        return


def _count_parts(version: ModelVersion, receipts: Sequence[Receipt]) -> None:
    """Count part by part: while one is computed, the one before is stored.

    The database is used by this thread alone.
    """
    with ThreadPoolExecutor(1) as computer:
        before: tuple[_Part, Future[None]] | None = None
        for part in _parts(version, receipts):
            _read(version, part)
            computed = computer.submit(_compute, version, part)
            if before is not None:
                _finish_part(version, *before)
            before = part, computed
        if before is not None:
            _finish_part(version, *before)


def _finish_part(version: ModelVersion, part: _Part, computed: Future[None]) -> None:
    computed.result()
    _store(version, part)
    _report(version, part)


def _parts(version: ModelVersion, receipts: Sequence[Receipt]) -> Iterator[_Part]:
    """Yield what is to be done, in pieces of some ten thousand rows."""
    wanted = {baseline.pk for baseline in standards.counted(version)}
    pks = [receipt.pk for receipt in receipts]
    done: dict[UUID, set[UUID]] = {}
    marks = ProfiledReceipt.objects.filter(receipt__in=pks, baseline__in=wanted)
    for receipt_id, baseline_id in marks.values_list("receipt_id", "baseline_id"):
        done.setdefault(receipt_id, set()).add(baseline_id)
    segmented = set(
        SegmentedReceipt.objects.filter(receipt__in=pks).values_list("pk", flat=True)
    )
    alike: dict[tuple[frozenset[UUID], bool], list[Receipt]] = {}
    for receipt in receipts:
        missing = frozenset(wanted - done.get(receipt.pk, set()))
        is_segmented = receipt.pk in segmented
        if missing or not is_segmented:
            alike.setdefault((missing, is_segmented), []).append(receipt)
    for (missing, is_segmented), group in alike.items():
        piece: list[Receipt] = []
        total = 0
        for receipt in group:
            piece.append(receipt)
            total += receipt.rows
            if total >= ROWS_AT_ONCE:
                yield _Part(piece, missing, is_segmented)
                piece, total = [], 0
        if piece:
            yield _Part(piece, missing, is_segmented)


def _read(version: ModelVersion, part: _Part) -> None:
    """Read the part's rows, and what they are counted by, without any lock."""
    part.gauges = {key: standards.gauge(key) for key in part.missing}
    part.kinds = standards.kinds(version, min(part.missing, default=None))
    part.logged = logged.of_receipts(part.receipts)
    part.suspended = _suspended(part)


def _compute(version: ModelVersion, part: _Part) -> None:
    """Turn the part's rows into columns and counts; needs no database."""
    assert part.logged is not None  # noqa: S101 (read before)
    table, parsed = part.logged.table(part.kinds)
    part.logged = None
    part.hours = dict(rows.by_hour(table))
    if not part.is_segmented:
        # Counted again for another grid, a row's faults are known already.
        part.unknown = parsed.unknown
        part.wrong = Counter({n: len(places) for n, places in parsed.invalid.items()})
    for baseline_id, gauge in part.gauges.items():
        part.counts[baseline_id] = {
            hour: gauge.pack(gauge.count(counting, version.schema))
            for hour, counting in part.counting.items()
        }


def _suspended(part: _Part) -> set[UUID]:
    keys = [receipt.pk for receipt in part.receipts]
    found = Receipt.objects.filter(pk__in=keys).exclude(quarantine=None)
    return set(found.values_list("pk", flat=True))


@transaction.atomic
def _store(version: ModelVersion, part: _Part) -> None:
    """Write segments, profiles and markers of the part: all of it or nothing."""
    versions.lock(version.pk)
    if _suspended(part) != part.suspended:
        raise _TakenError
    fresh = 0
    if not part.is_segmented:
        _mark_segmented(version, part.receipts)
        segments.append(version, part.hours)
        fresh = sum(receipt.rows for receipt in part.receipts)
    for baseline_id, counts in part.counts.items():
        _mark_profiled(version, part.receipts, baseline_id)
        hours.add(version, baseline_id, counts)
        labels.add_known(version, baseline_id, part.counting)
    versions.touch(version, fresh)


def _mark_segmented(version: ModelVersion, receipts: Sequence[Receipt]) -> None:
    """Insert the markers; raises _TakenError if one of them is there already."""
    _mark(
        "INSERT INTO monitoring_segmentedreceipt (receipt_id, organization_id) "
        "SELECT unnest(%s::uuid[]), %s ON CONFLICT DO NOTHING",
        receipts,
        version.organization_id,
    )


def _mark_profiled(
    version: ModelVersion, receipts: Sequence[Receipt], baseline_id: UUID
) -> None:
    """Insert the markers of a grid, as `_mark_segmented`."""
    _mark(
        "INSERT INTO monitoring_profiledreceipt "
        "(receipt_id, baseline_id, organization_id) "
        "SELECT unnest(%s::uuid[]), %s, %s ON CONFLICT DO NOTHING",
        receipts,
        baseline_id,
        version.organization_id,
    )


def _mark(statement: str, receipts: Sequence[Receipt], *values: UUID | int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, ([receipt.pk for receipt in receipts], *values))
        if cursor.rowcount < len(receipts):
            raise _TakenError


def _report(version: ModelVersion, part: _Part) -> None:
    """Open a finding for each feature that isn't as the schema says."""
    found = [
        ("unknown", "is not in the schema", name, count)
        for name, count in part.unknown.most_common(MOST_FINDINGS)
    ] + [
        ("type", "has values of the wrong type", name, count)
        for name, count in part.wrong.most_common(MOST_FINDINGS)
    ]
    for code, what, name, count in found:
        findings.open_finding(
            version,
            cause=f"schema:{code}:{name}"[:300],
            severity=Finding.Severity.LOW,
            title=f"Feature {name} {what}"[:500],
            detail={"feature": name, "predictions": count},
            actor=None,
        )


def _finish(version: ModelVersion, receipts: Sequence[UUID]) -> None:
    """Take receipts off the queue, unless a baseline was activated meanwhile."""
    if baselines.make_provisional(version):
        # It put the version's receipts on the queue again, these among them.
        Receipt.objects.filter(pk__in=receipts).update(claimed_until=None)
        return
    with transaction.atomic():
        versions.lock(version.pk)
        wanted = {baseline.pk for baseline in standards.counted(version)}
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE monitoring_receipt AS r SET claimed_until = NULL, "
                "pending = (SELECT count(*) FROM monitoring_profiledreceipt AS m "
                "WHERE m.receipt_id = r.id AND m.baseline_id = ANY(%s)) < %s "
                "WHERE id = ANY(%s)",
                (list(wanted), len(wanted), list(receipts)),
            )
    newest = Receipt.objects.filter(pk__in=receipts).aggregate(
        event=Max("last_event"), received=Max("received_at")
    )
    registry.note_traffic(version, newest["event"])
    retirement.note_traffic(version, newest["event"])
    LiveResult.objects.filter(version=version).update(
        received_at=Greatest("received_at", newest["received"])
    )
