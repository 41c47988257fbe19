"""The exact reader of rows: slow, and able to say what is wrong with each."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec
from msgspec import Raw

from governance import strict_json
from governance.exceptions import (
    FieldFault,
    InvalidError,
    MalformedError,
    TooLargeError,
    fault,
)
from monitoring.ingest import moments
from monitoring.ingest.rows import (
    MAX_ENTITY_LENGTH,
    MAX_FEATURES,
    MAX_LABEL_LENGTH,
    MAX_NAME_LENGTH,
    MAX_ROWS,
    MAX_VERSION_LENGTH,
    REQUIRED,
    Batch,
    Dialect,
    Place,
)

SUM_TOLERANCE = 1e-3
Fault: TypeAlias = tuple[str, str]  # a code and a sentence


class RefusedError(ValueError):
    """A value isn't what its field takes; `path` leads to it inside its row."""

    def __init__(self, code: str, detail: str, *path: str) -> None:
        super().__init__(detail)
        self.code = code
        self.path = path


def read_one(body: bytes, dialect: Dialect) -> Batch:
    """Read a body that is a row itself; see `reading.read_one`."""
    values = strict_json.decode(body)
    if not isinstance(values, dict):
        raise _not_an_object()
    batch = Batch(dialect)
    raw = msgspec.json.decode(body, type=dict[str, Raw])
    _add(batch, (), values, raw)
    return batch


def read_many(body: bytes, dialect: Dialect) -> Batch:
    """Read a body whose `predictions` are the rows; see `reading.read_many`."""
    values = strict_json.decode(body)
    if not isinstance(values, dict):
        raise _not_an_object()
    model = _shared_model(values, dialect)
    rows = values["predictions"]
    refuse_too_many(len(rows))
    raw = msgspec.json.decode(body, type=dict[str, Raw])["predictions"]
    raws = msgspec.json.decode(raw, type=list[Raw])
    batch = Batch(dialect)
    for number, (row, text) in enumerate(zip(rows, raws, strict=True)):
        place = ("predictions", number)
        if isinstance(row, dict):
            members = msgspec.json.decode(text, type=dict[str, Raw])
            _add(batch, place, row, members, model)
        else:
            batch.faults.refuse(place, (), *_expected("an object", row))
    return batch


def read_lines(body: bytes, dialect: Dialect, *, first: int = 0) -> Batch:
    """Read JSON Lines; see `reading.read_lines`."""
    batch = Batch(dialect)
    number = -1
    for number, line in enumerate(filter(bytes.strip, body.split(b"\n"))):
        refuse_too_many(number + 1)
        place = ("predictions", number)
        try:
            row = strict_json.decode(line)
        except MalformedError as error:
            raise MalformedError(
                f"Row {first + number + 1:,}: {error.detail}"
            ) from None
        if isinstance(row, dict):
            _add(batch, place, row, msgspec.json.decode(line, type=dict[str, Raw]))
        else:
            batch.faults.refuse(place, (), *_expected("an object", row))
    if number < 0:
        raise InvalidError(errors=[_no_rows()])
    return batch


def _no_rows() -> FieldFault:
    return fault(
        "predictions", code="too_few", detail="expected at least one prediction"
    )


def refuse_too_many(rows: int) -> None:
    if rows > MAX_ROWS:
        raise TooLargeError(f"There are more than {MAX_ROWS} rows; send them in parts.")


def _not_an_object() -> InvalidError:
    return InvalidError(
        "The body has to be a JSON object.",
        errors=[fault(code="type", detail="expected an object")],
    )


def _shared_model(values: dict[str, Any], dialect: Dialect) -> str | int | None:
    """Return the model that stands once for all rows, if one does."""
    theirs = dialect.names.get("model", "")
    errors: list[FieldFault] = [
        fault(name, code="unknown", detail="there is no such field")
        for name in values
        if name not in {"predictions", theirs}
    ]
    rows = values.get("predictions")
    if not isinstance(rows, list):
        code = "missing" if "predictions" not in values else "type"
        errors.append(fault("predictions", code=code, detail="expected a list"))
    elif not rows:
        errors.append(_no_rows())
    model = None
    try:
        if theirs and values.get(theirs) is not None:
            model = reference(values[theirs], dialect)
    except RefusedError as refused:
        errors.append(fault(theirs, code=refused.code, detail=str(refused)))
    if errors:
        raise InvalidError(errors=errors)
    return model


def _add(
    batch: Batch,
    place: Place,
    values: Mapping[str, Any],
    raw: Mapping[str, Raw | bytes],
    model: str | int | None = None,
) -> None:
    """Append a row to the batch, or its faults to the batch's faults."""
    dialect = batch.dialect
    read: dict[str, Any] = {"model": model}
    is_sound = True
    for name in values:
        if name not in dialect.fields:
            batch.faults.refuse(place, (name,), "unknown", "there is no such field")
            is_sound = False
    for name, theirs in dialect.names.items():
        try:
            if values.get(theirs) is not None:
                read[name] = READERS[name](values[theirs], dialect)
            elif name in REQUIRED:
                raise RefusedError("missing", "the field is missing")
        except RefusedError as refused:
            batch.faults.refuse(place, (theirs,), refused.code, str(refused))
            is_sound = False
    if is_sound:
        _append(batch, place, bytes(raw[dialect.names["features"]]), read)


def _append(batch: Batch, place: Place, features: bytes, read: dict[str, Any]) -> None:
    batch.places.append(place)
    batch.features.append(features)
    batch.predictions.append(read["prediction"])
    batch.models.append(read["model"])
    batch.versions.append(read.get("version"))
    batch.timestamps.append(read.get("timestamp") or moments.now())
    batch.entity_ids.append(read.get("entity_id"))
    batch.probabilities.append(read.get("probabilities"))
    batch.latencies.append(read.get("latency_ms"))
    batch.labels.append(read.get("label"))


def _features(value: Any, _: Dialect) -> Any:
    if not isinstance(value, dict):
        raise RefusedError(*_expected("an object", value))
    if len(value) > MAX_FEATURES:
        raise TooLargeError(f"{len(value)} features are more than {MAX_FEATURES}.")
    for name in value:
        if not 1 <= len(name) <= MAX_NAME_LENGTH:
            raise RefusedError(
                "length", f"a name has 1 to {MAX_NAME_LENGTH} characters: {shown(name)}"
            )
    return value


def label(value: Any, _: Dialect | None = None) -> str | int | float | bool:
    """Read a prediction or an outcome: a number or a label."""
    if isinstance(value, str):
        return _text(value, MAX_LABEL_LENGTH)
    if isinstance(value, bool | int | float):
        return value
    raise RefusedError(*_expected("a number or a label", value))


def reference(value: Any, _: Dialect | None = None) -> str | int:
    """Read what names a model: its id or its slug."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value, MAX_ENTITY_LENGTH)
    raise RefusedError(*_expected("the id or the slug of a model", value))


def _version(value: Any, _: Dialect) -> str:
    if isinstance(value, str):
        return _text(value, MAX_VERSION_LENGTH)
    raise RefusedError(*_expected("text", value))


def entity(value: Any, _: Dialect | None = None) -> str:
    """Read an entity's id; numbers are as usual as texts."""
    if isinstance(value, str):
        return _text(value, MAX_ENTITY_LENGTH)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise RefusedError(*_expected("text", value))


def moment(value: Any, _: Dialect | None = None) -> int:
    """Read a time stamp into microseconds since 1970."""
    if not isinstance(value, str):
        raise RefusedError(*_expected("an ISO 8601 time stamp", value))
    try:
        return moments.parse(value, latest=moments.now() + moments.FURTHEST_AHEAD)
    except moments.MomentError as error:
        raise RefusedError("timestamp", f"{error}, got {shown(value)}") from None


def _probabilities(value: Any, _: Dialect) -> list[float]:
    if not isinstance(value, list):
        raise RefusedError(*_expected("a list of numbers", value))
    for item in value:
        if isinstance(item, bool) or not isinstance(item, int | float):
            raise RefusedError(*_expected("a list of numbers", item))
    if not are_probabilities(value):
        raise RefusedError(
            "probabilities",
            "probabilities are at least 0 and add up to 1, "
            f"got {shown(value)} with the sum {sum(value):g}",
        )
    return value


def are_probabilities(values: Sequence[float]) -> bool:
    """Tell whether the values are at least 0 and add up to 1, as nearly as is usual."""
    return bool(values) and min(values) >= 0 and abs(sum(values) - 1) <= SUM_TOLERANCE


def _latency(value: Any, _: Dialect) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise RefusedError(*_expected("a number", value))
    if value < 0 or not math.isfinite(value):
        raise RefusedError("range", f"expected at least 0, got {value}")
    return float(value)


def _text(value: str, longest: int) -> str:
    if 1 <= len(value) <= longest:
        return value
    raise RefusedError(
        "length", f"expected 1 to {longest} characters, got {len(value)}"
    )


READERS: Mapping[str, Callable[[Any, Dialect], Any]] = {
    "features": _features,
    "prediction": label,
    "model": reference,
    "version": _version,
    "timestamp": moment,
    "entity_id": entity,
    "probabilities": _probabilities,
    "latency_ms": _latency,
    "label": label,
}


def _expected(what: str, got: object) -> Fault:
    return "type", f"expected {what}, got {shown(got)}"


def shown(value: object) -> str:
    """Show a value as short text."""
    if isinstance(value, dict):
        return "an object"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
