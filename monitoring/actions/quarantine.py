"""Quarantine: traffic that doesn't count, though its rows stay."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from django.db import transaction

from governance.actions.audit import Actor, deed, record
from governance.exceptions import InvalidError, fault
from governance.models import ApiKey, ModelVersion, RegisteredModel
from monitoring.actions import standards, versions
from monitoring.models import ProfiledReceipt, Quarantine, Receipt

# Between a receipt's id and the time it was received, made one after the other.
CLOCKS_DIFFER = timedelta(hours=1)

if TYPE_CHECKING:
    import pyarrow as pa


@deed
def quarantine(
    model: RegisteredModel,
    *,
    api_key: ApiKey | None,
    received_from: datetime,
    received_until: datetime,
    reason: str,
    actor: Actor | None,
) -> Quarantine:
    """Let predictions received in [from, until) by a key (any key) not count.

    Their receipts are marked and put on the queue; a worker takes their counts out and
    the status is judged anew. Raises InvalidError if the span is empty or no reason is
    given.
    """
    errors = []
    if received_from >= received_until:
        errors.append(fault("until", code="range", detail="lies before `from`"))
    if not reason.strip():
        errors.append(fault("reason", code="missing", detail="say why"))
    if errors:
        raise InvalidError(errors=errors)
    made = Quarantine.objects.create(
        organization_id=model.organization_id,
        model=model,
        api_key=api_key,
        received_from=received_from,
        received_until=received_until,
        reason=reason.strip(),
        created_by_id=actor.user_id if actor else None,
    )
    marked = _mark(made)
    record(
        model.organization_id,
        actor=actor,
        action="predictions.quarantined",
        object=made,
        after={
            "model": model.slug,
            "api_key": api_key.prefix if api_key is not None else None,
            "from": received_from,
            "until": received_until,
            "receipts": marked,
        },
        reason=reason.strip(),
    )
    return made


def _mark(made: Quarantine) -> int:
    """Put the receipts of the quarantine on the queue, marked; return their number."""
    receipts = Receipt.objects.counted().filter(
        # An id begins with the time it was made at; there is no index on the other.
        pk__gte=_first_id(made.received_from - CLOCKS_DIFFER),
        pk__lt=_first_id(made.received_until + CLOCKS_DIFFER),
        model=made.model,
        kind=Receipt.Kind.PREDICTIONS,
        received_at__gte=made.received_from,
        received_at__lt=made.received_until,
    )
    if made.api_key is not None:
        receipts = receipts.filter(api_key=made.api_key)
    for version_id in sorted(set(receipts.values_list("version_id", flat=True))):
        if version_id is not None:
            versions.lock(version_id)
    return receipts.update(quarantine=made, pending=True, claimed_until=None)


def _first_id(moment: datetime) -> UUID:
    milliseconds = max(int(moment.timestamp() * 1_000), 0)
    return UUID(int=min(milliseconds, 2**48 - 1) << 80)


def take_out(version: ModelVersion, receipts: Sequence[Receipt]) -> None:
    """Count the hours of quarantined receipts anew, from their segments, without them.

    Doing it again changes nothing.
    """
    from monitoring.actions import segments

    spans = [(receipt.first_event, receipt.last_event) for receipt in receipts]
    keys = {receipt.pk for receipt in receipts}
    start = min(first for first, _ in spans)
    end = max(last for _, last in spans)
    for hour in segments.hours_between(version, start, end):
        _count_anew(version, hour, keys)


@transaction.atomic
def _count_anew(version: ModelVersion, hour: datetime, taken_out: set[UUID]) -> None:
    from monitoring.actions import hours, labels, segments

    versions.lock(version.pk)
    tables = segments.of_hour(version, hour)
    present = {key for table in tables for key in segments.receipts_of(table)}
    if not present & taken_out:
        return
    suspended = set(
        Receipt.objects.filter(pk__in=present)
        .exclude(quarantine=None)
        .values_list("pk", flat=True)
    )
    for baseline in standards.counted(version):
        counted = set(
            ProfiledReceipt.objects.filter(
                receipt__in=present, baseline=baseline
            ).values_list("receipt_id", flat=True)
        )
        gauge = standards.gauge(baseline.pk)
        total = gauge.empty()
        kept: list[pa.Table] = []
        for table in tables:
            kept.append(segments.without(table, present - (counted - suspended)))
            total = total + gauge.count(kept[-1], version.schema)
        hours.replace(version, baseline.pk, hour, total)
        for table in kept:
            labels.add_known(version, baseline.pk, {hour: table})
    all_rows = sum(table.num_rows for table in tables)
    left = sum(segments.without(table, taken_out).num_rows for table in tables)
    versions.touch(version, all_rows - left)
