"""What the dialects say about outcomes, read into labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from governance.exceptions import FieldFault, InvalidError, TooLargeError
from governance.identifiers import IdentifierError, decode
from governance.schema import Task
from monitoring.ingest import exact, moments
from monitoring.ingest.checking import value_of
from monitoring.ingest.exact import RefusedError
from monitoring.ingest.labels import Label
from monitoring.ingest.rows import MAX_LISTED, MAX_ROWS

# Our name of a field → theirs.
PLATFORM = {"outcome": "actual_label", "known_at": "timestamp_actual_known"}
DRIFT = {
    "outcome": "actualOutcome",
    "known_at": "outcomeTimestamp",
    "entity": "entityId",
    "prediction": "predictionId",
    "predicted_at": "predictionTimestamp",
}


def read_one(
    values: Mapping[str, Any],
    names: Mapping[str, str],
    *,
    task: Task | None,
    prediction_id: UUID | None = None,
) -> Label:
    """Read one outcome, or raise InvalidError with every fault of it."""
    errors: list[FieldFault] = []
    label = _read(values, names, (), errors, task)
    if label is None:
        raise InvalidError(errors=errors)
    if prediction_id is not None:
        return _about(label, prediction_id)
    return label


def read_records(values: Mapping[str, Any], *, task: Task | None) -> list[Label]:
    """Read `records` of the Drift dialect: all of them, or none and what is wrong."""
    records = values.get("records")
    if not isinstance(records, Sequence) or isinstance(records, str) or not records:
        code = "missing" if records is None else "type"
        raise InvalidError(
            errors=[_fault(("records",), code, "expected a list of outcomes")]
        )
    if len(records) > MAX_ROWS:
        raise TooLargeError(f"{len(records)} records are more than {MAX_ROWS}.")
    errors: list[FieldFault] = []
    labels = []
    bad = 0
    for number, record in enumerate(records):
        place = ("records", number)
        label = None
        if isinstance(record, Mapping):
            label = _read(record, DRIFT, place, errors, task)
        else:
            errors.append(_fault(place, "type", "expected an object"))
        if label is None:
            bad += 1
        else:
            labels.append(label)
    if bad:
        raise InvalidError(
            f"{bad} records are not valid; nothing was stored.",
            errors=errors[:MAX_LISTED],
        )
    return labels


def _read(
    values: Mapping[str, Any],
    names: Mapping[str, str],
    place: tuple[str | int, ...],
    errors: list[FieldFault],
    task: Task | None,
) -> Label | None:
    """Return the label, or None with its faults added to `errors`."""
    read, faults = _fields(values, names)
    if not faults:
        try:
            value = value_of(read["outcome"], task, is_text=names is DRIFT)
        except RefusedError as refused:
            faults.append((names["outcome"], refused.code, str(refused)))
    if faults:
        errors += [_fault((*place, name), *rest) for name, *rest in faults]
        return None
    return Label(
        outcome=read["outcome"],
        outcome_value=value,
        outcome_timestamp=read.get("known_at") or datetime.now(UTC),
        is_dated="known_at" in read,
        entity_id=read.get("entity"),
        prediction_id=read.get("prediction"),
        prediction_timestamp=read.get("predicted_at"),
        location=(*place, names.get("prediction", "")),
    )


def _fields(
    values: Mapping[str, Any], names: Mapping[str, str]
) -> tuple[dict[str, Any], list[tuple[str, str, str]]]:
    """Return what was read, by our names, and the faults: name, code, sentence."""
    read: dict[str, Any] = {}
    faults = [
        (name, "unknown", "there is no such field")
        for name in values
        if name not in names.values()
    ]
    for name, theirs in names.items():
        if values.get(theirs) is not None:
            try:
                read[name] = READERS[name](values[theirs])
            except RefusedError as refused:
                faults.append((theirs, refused.code, str(refused)))
        elif name in {"outcome", "entity"}:
            faults.append((theirs, "missing", "the field is missing"))
    return read, faults


def _about(label: Label, prediction_id: UUID) -> Label:
    return Label(
        outcome=label.outcome,
        outcome_value=label.outcome_value,
        outcome_timestamp=label.outcome_timestamp,
        is_dated=label.is_dated,
        prediction_id=prediction_id,
    )


def _moment(value: Any) -> datetime:
    return moments.as_datetime(exact.moment(value))


def _prediction(value: Any) -> UUID:
    try:
        return decode("pred", value if isinstance(value, str) else "")
    except IdentifierError as error:
        raise RefusedError("identifier", str(error)) from None


READERS: Mapping[str, Callable[[Any], Any]] = {
    "outcome": exact.label,
    "known_at": _moment,
    "entity": exact.entity,
    "prediction": _prediction,
    "predicted_at": _moment,
}


def _fault(place: tuple[str | int, ...], code: str, detail: str) -> FieldFault:
    return {"loc": list(place), "code": code, "detail": detail}
