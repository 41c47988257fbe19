"""What really happened: labels, their predictions, and corrections of both."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias
from uuid import UUID

import msgspec
from django.db import connection

from governance.actions.audit import Actor, deed, record
from governance.exceptions import FieldFault, InvalidError
from governance.identifiers import encode, uuid7, uuid7s
from governance.labels import canonical
from governance.models import RegisteredModel
from monitoring.actions import matching
from monitoring.actions.matching import Found, Match
from monitoring.ingest import Answer, Key, Line, Sender, idempotency
from monitoring.ingest.checking import value_of
from monitoring.ingest.labels import Label, LabelRow, Outcome, insert
from monitoring.models import GroundTruth, Receipt

# Namespace of the advisory locks under which a model's labels are written.
LABELS_LOCK = 0x6C61_6265
# An entry of the trail lists so many corrections; the rows have them all.
MOST_LISTED = 100


@dataclass(frozen=True, slots=True)
class Logged:
    """The row that stands for a label: a new one, or the one that said the same."""

    id: UUID
    found: Found

    @property
    def public_id(self) -> str:
        """The TypeID that clients know."""
        return encode("gt", self.id)

    @property
    def is_matched(self) -> bool:
        """Whether the label has its prediction."""
        return self.found.prediction_id is not None


Respond: TypeAlias = Callable[[list[Logged]], Answer]


@dataclass(frozen=True, slots=True)
class _Correction:
    prediction_id: UUID
    before: Any
    after: Any

    def to_json(self) -> dict[str, Any]:
        return {
            "prediction": encode("pred", self.prediction_id),
            "before": self.before,
            "after": self.after,
        }


@deed
def log_labels(
    model: RegisteredModel,
    labels: Sequence[Label],
    *,
    sender: Sender,
    actor: Actor | None,
    respond: Respond,
    key: Key | None = None,
) -> Answer:
    """Store outcomes and match them with their predictions, all or none.

    A label that says what its prediction's current label says makes no new row; one
    that says something else supersedes it, and the trail is told. One whose prediction
    hasn't come yet waits for it. The model's labels are locked until the commit.

    Raises
    ------
    InvalidError
        A label names a prediction that doesn't exist.
    IdempotencyMismatchError, IdempotencyInFlightError
        See `idempotency.claim`.
    """
    if key is not None:
        with connection.cursor() as cursor:
            kept = idempotency.claim(cursor, {key: None})
        if key.identity in kept:
            return kept[key.identity].replay(key)
    _lock(model.pk)
    found = matching.find(model, labels)
    _refuse_unknown(labels, found)
    ledger = _Ledger(model, labels, [one for one in found if one is not None])
    logged = ledger.enter_all()
    receipt_id = insert(model, ledger.rows, sender=sender, replaced=ledger.replaced)
    if receipt_id is not None:
        _record_corrections(model, ledger.corrections, receipt_id, actor=actor)
    answer = respond(logged)
    if key is not None:
        with connection.cursor() as cursor:
            idempotency.finish(cursor, key, answer)
    return answer


def log_with_predictions(
    labels: Iterable[tuple[Line, Outcome]], *, sender: Sender
) -> None:
    """Store outcomes that came together with their predictions, in the transaction.

    Nobody else sees these predictions yet, so there is nothing to lock or to correct.
    """
    now = datetime.now(UTC)
    by_model: dict[int, list[LabelRow]] = {}
    for line, outcome in labels:
        value = value_of(outcome, line.version.task, is_text=False)
        row = LabelRow(uuid7(), Label(outcome, value, now), Match.MATCHED, line.id)
        by_model.setdefault(line.version.model_id, []).append(row)
    for model_id, rows in by_model.items():
        model = RegisteredModel(pk=model_id, organization_id=sender.organization_id)
        insert(model, rows, sender=sender)


def _lock(model_id: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(%s, %s)",
            [LABELS_LOCK, model_id % 2**31],
        )


def _refuse_unknown(labels: Sequence[Label], found: Sequence[Found | None]) -> None:
    errors: list[FieldFault] = [
        {
            "loc": list(label.location),
            "code": "not_found",
            "detail": "there is no such prediction of this model",
        }
        for label, one in zip(labels, found, strict=True)
        if one is None
    ]
    if errors:
        raise InvalidError(errors=errors)


class _Ledger:
    """Enters labels one after the other, as if each had come alone."""

    def __init__(
        self, model: RegisteredModel, labels: Sequence[Label], found: Sequence[Found]
    ) -> None:
        self.labels = labels
        self.found = found
        self.rows: list[LabelRow] = []
        self.replaced: list[UUID] = []  # rows that are in the table already
        self.corrections: list[_Correction] = []
        self._current = current_of(
            [one.prediction_id for one in found if one.prediction_id is not None]
        )
        self._entered: dict[UUID, LabelRow] = {}
        self._open = _open_of(
            model,
            [
                label.entity_id
                for label, one in zip(labels, found, strict=True)
                if one.prediction_id is None and label.entity_id is not None
            ],
        )

    def enter_all(self) -> list[Logged]:
        ids = iter(uuid7s(len(self.labels)))
        return [
            self._enter(label, found, next(ids))
            for label, found in zip(self.labels, self.found, strict=True)
        ]

    def _enter(self, label: Label, found: Found, pk: UUID) -> Logged:
        if found.prediction_id is None:
            return self._enter_open(label, found, pk)
        current = self._current.get(found.prediction_id)
        if current is not None and current.says(label.outcome):
            return Logged(current.id, Found(current.match, found.prediction_id))
        row = LabelRow(pk, label, found.match, found.prediction_id)
        if current is not None:
            self._replace(current, row, found.prediction_id)
        self._current[found.prediction_id] = Current(pk, found.match, label.outcome)
        self._entered[pk] = row
        self.rows.append(row)
        return Logged(pk, found)

    def _replace(self, current: Current, row: LabelRow, prediction_id: UUID) -> None:
        row.supersedes = current.id
        if current.id in self._entered:
            self._entered[current.id].superseded = True
        else:
            self.replaced.append(current.id)
        self.corrections.append(
            _Correction(prediction_id, current.outcome, row.label.outcome)
        )

    def _enter_open(self, label: Label, found: Found, pk: UUID) -> Logged:
        """Enter a label without a prediction, unless the same waits already."""
        saying = (label.entity_id, label.prediction_timestamp, canonical(label.outcome))
        same = self._open.setdefault(saying, [])
        for known in same:
            if not label.is_dated or known.known_at == label.outcome_timestamp:
                return Logged(known.id, Found(known.match))
        same.append(_Open(pk, found.match, label.outcome_timestamp))
        self.rows.append(LabelRow(pk, label, found.match, found.prediction_id))
        return Logged(pk, found)


@dataclass(frozen=True, slots=True)
class Current:
    """The label of a prediction that counts."""

    id: UUID
    match: GroundTruth.Match
    outcome: Any

    def says(self, outcome: Any) -> bool:
        """Tell whether an outcome is the same, compared by value."""
        return canonical(self.outcome) == canonical(outcome)


@dataclass(frozen=True, slots=True)
class _Open:
    """A label without a prediction."""

    id: UUID
    match: GroundTruth.Match
    known_at: datetime


_Saying: TypeAlias = tuple[str | None, datetime | None, str | None]

_CURRENT = """
    SELECT prediction_id, id, match, outcome FROM monitoring_groundtruth
    WHERE prediction_id = ANY(%s) AND NOT superseded
"""
_OPEN = """
    SELECT id, match, outcome_timestamp, entity_id, prediction_timestamp, outcome
    FROM monitoring_groundtruth
    WHERE model_id = %s AND match IN ('waiting', 'ambiguous') AND entity_id = ANY(%s)
    ORDER BY id
"""


def current_of(predictions: Sequence[UUID]) -> dict[UUID, Current]:
    """Return the labels that count, of those of the predictions that have one."""
    if not predictions:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_CURRENT, [list(predictions)])
        return {
            prediction: Current(pk, Match(match), msgspec.json.decode(outcome))
            for prediction, pk, match, outcome in cursor.fetchall()
        }


def _open_of(
    model: RegisteredModel, entities: Sequence[str]
) -> dict[_Saying, list[_Open]]:
    if not entities:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_OPEN, [model.pk, list(entities)])
        rows = cursor.fetchall()
    found: dict[_Saying, list[_Open]] = {}
    for pk, match, known_at, entity, predicted_at, outcome in rows:
        saying = (entity, predicted_at, canonical(msgspec.json.decode(outcome)))
        found.setdefault(saying, []).append(_Open(pk, Match(match), known_at))
    return found


def _record_corrections(
    model: RegisteredModel,
    corrections: Sequence[_Correction],
    receipt_id: UUID | None,
    *,
    actor: Actor | None,
) -> None:
    if not corrections:
        return
    listed = [correction.to_json() for correction in corrections[:MOST_LISTED]]
    record(
        model.organization_id,
        actor=actor,
        action="ground_truth.corrected",
        object=model,
        before={one["prediction"]: one["before"] for one in listed},
        after={
            "receipt": receipt_id and encode("rcpt", receipt_id),
            "corrections": len(corrections),
            "labels": {one["prediction"]: one["after"] for one in listed},
        },
    )


@deed
def match_waiting(receipt_ids: Sequence[UUID]) -> int:
    """Match labels that waited for the predictions of these receipts.

    Of receipts of labels, those that still wait are tried again: label and prediction
    may have been committed at the same time, neither seeing the other. Returns how many
    labels found their prediction.
    """
    receipts = Receipt.objects.filter(pk__in=receipt_ids)
    models = RegisteredModel.objects.filter(receipts__in=receipts).distinct()
    return sum(_match_of(model, receipt_ids) for model in models.order_by("pk"))


_WAITING_FOR = """
    SELECT label.id FROM monitoring_groundtruth AS label
    WHERE label.model_id = %(model)s AND label.match = 'waiting' AND (
        label.receipt_id = ANY(%(receipts)s)
        OR label.entity_id IN (
            SELECT p.entity_id FROM monitoring_receipt AS r
            JOIN monitoring_prediction AS p
                ON p.id BETWEEN r.first_id AND r.last_id AND p.receipt_id = r.id
            WHERE r.id = ANY(%(receipts)s) AND r.kind = 'predictions'
                AND r.model_id = %(model)s AND p.entity_id IS NOT NULL
        )
    )
"""


def _match_of(model: RegisteredModel, receipt_ids: Sequence[UUID]) -> int:
    of_model = GroundTruth.objects.filter(model=model)
    if not of_model.filter(match=Match.WAITING).exists():
        return 0
    _lock(model.pk)
    with connection.cursor() as cursor:
        cursor.execute(_WAITING_FOR, {"model": model.pk, "receipts": list(receipt_ids)})
        keys = [pk for (pk,) in cursor.fetchall()]
    waiting = list(of_model.filter(pk__in=keys).order_by("pk"))
    matched = [
        (label, found)
        for label, found in zip(waiting, matching.find(model, waiting), strict=True)
        if found is not None and found.match != Match.WAITING
    ]
    corrections = _settle(matched)
    _record_corrections(model, corrections, None, actor=None)
    return sum(found.prediction_id is not None for _, found in matched)


def _settle(matched: Sequence[tuple[GroundTruth, Found]]) -> list[_Correction]:
    """Give waiting labels their predictions, the oldest first; the newest counts."""
    current = current_of(
        [found.prediction_id for _, found in matched if found.prediction_id is not None]
    )
    corrections: list[_Correction] = []
    for label, found in matched:
        label.match = found.match
        label.prediction_id = found.prediction_id
        if found.prediction_id is None:
            continue
        before = current.get(found.prediction_id)
        outcome = msgspec.json.decode(label.outcome)
        if before is not None and (before.says(outcome) or before.id > label.pk):
            label.superseded = True
            continue
        if before is not None:
            label.supersedes_id = before.id
            corrections.append(
                _Correction(found.prediction_id, before.outcome, outcome)
            )
        current[found.prediction_id] = Current(label.pk, found.match, outcome)
    labels = [label for label, _ in matched]
    _update(labels)
    return corrections


_UPDATE = """
    UPDATE monitoring_groundtruth AS label SET
        match = new.match, prediction_id = new.prediction_id,
        superseded = new.superseded, supersedes_id = new.supersedes_id
    FROM unnest(%s::uuid[], %s::text[], %s::uuid[], %s::boolean[], %s::uuid[])
        AS new (id, match, prediction_id, superseded, supersedes_id)
    WHERE label.id = new.id
"""


def _update(labels: Sequence[GroundTruth]) -> None:
    """Write the labels; what they supersede first, as one label counts at a time."""
    replaced = {
        label.supersedes_id for label in labels if label.supersedes_id is not None
    }
    for label in labels:
        label.superseded = label.superseded or label.pk in replaced
    GroundTruth.objects.filter(pk__in=replaced).update(superseded=True)
    with connection.cursor() as cursor:
        cursor.execute(
            _UPDATE,
            [
                [label.pk for label in labels],
                [label.match for label in labels],
                [label.prediction_id for label in labels],
                [label.superseded for label in labels],
                [label.supersedes_id for label in labels],
            ],
        )
