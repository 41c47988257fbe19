"""Labels on their way into the table, with the receipt that covers them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias
from uuid import UUID

import msgspec

from governance import merkle
from governance.identifiers import uuid7
from governance.models import RegisteredModel
from monitoring.ingest import moments, tuples
from monitoring.ingest.writing import Sender
from monitoring.models import GroundTruth, Receipt

Outcome: TypeAlias = str | int | float | bool


@dataclass(frozen=True, slots=True)
class Label:
    """One outcome as a client tells it."""

    outcome: Outcome
    outcome_value: float | None
    outcome_timestamp: datetime
    # Whether the client said when; otherwise it is the time of arrival.
    is_dated: bool = True
    entity_id: str | None = None
    prediction_id: UUID | None = None
    prediction_timestamp: datetime | None = None
    # Where it stands in the body, for the faults.
    location: tuple[str | int, ...] = ()


@dataclass(slots=True)
class LabelRow:
    """A label with what was found for it."""

    id: UUID
    label: Label
    match: GroundTruth.Match
    prediction_id: UUID | None
    supersedes: UUID | None = None
    superseded: bool = False


def insert(
    model: RegisteredModel,
    rows: Sequence[LabelRow],
    *,
    sender: Sender,
    replaced: Sequence[UUID] = (),
) -> UUID | None:
    """Insert rows under a new receipt, in the caller's transaction; return its id.

    The rows of the table that they replace are marked as superseded first, as only one
    label of a prediction may count. Without rows nothing is done.
    """
    if not rows:
        return None
    now = datetime.now(UTC)
    receipt_id = uuid7()
    fixed = [_fixed_columns(model, row, receipt_id) for row in rows]
    known_at = [row.label.outcome_timestamp for row in rows]
    Receipt.objects.create(
        id=receipt_id,
        organization_id=model.organization_id,
        kind=Receipt.Kind.GROUND_TRUTH,
        channel=sender.channel,
        model_id=model.pk,
        api_key_id=sender.api_key_id,
        user_id=sender.user_id,
        environment=sender.environment,
        received_at=now,
        rows=len(rows),
        first_id=rows[0].id,
        last_id=rows[-1].id,
        first_event=min(known_at),
        last_event=max(known_at),
        digest=hashlib.sha256(b"".join(fixed)).digest(),
        merkle_root=merkle.root(fixed),
    )
    if replaced:
        GroundTruth.objects.filter(pk__in=replaced).update(superseded=True)
    tuples.copy(
        tuples.COPY_LABELS,
        [
            tuples.LABEL_START + columns + _other_columns(row, now)
            for row, columns in zip(rows, fixed, strict=True)
        ],
    )
    return receipt_id


def _fixed_columns(model: RegisteredModel, row: LabelRow, receipt_id: UUID) -> bytes:
    """Return what never changes: the receipt's digest covers it."""
    label = row.label
    entity = label.entity_id
    predicted_at = label.prediction_timestamp
    return b"".join(
        (
            tuples.uuid(row.id),
            tuples.integer(model.organization_id),
            tuples.integer(model.pk),
            tuples.uuid(receipt_id),
            tuples.text(None if entity is None else entity.encode()),
            tuples.moment(
                None if predicted_at is None else moments.microseconds(predicted_at)
            ),
            tuples.moment(moments.microseconds(label.outcome_timestamp)),
            tuples.text(msgspec.json.encode(label.outcome)),
        )
    )


def _other_columns(row: LabelRow, now: datetime) -> bytes:
    return b"".join(
        (
            tuples.double(row.label.outcome_value),
            tuples.text(row.match.value.encode()),
            tuples.uuid(row.prediction_id),
            tuples.boolean(row.superseded),
            tuples.uuid(row.supersedes),
            tuples.boolean(False),
            tuples.moment(moments.microseconds(now)),
        )
    )
