"""From the bytes of a JSON body to a batch of sound rows.

The quick reader lets msgspec do the work, then proves by counting that no key stood
twice anywhere. What it can't read or prove is read again by the exact reader, which is
many times slower and names every fault.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import UNSET, Meta

from monitoring.ingest import exact, moments
from monitoring.ingest.rows import (
    MAX_FEATURES,
    MAX_NAME_LENGTH,
    MAX_ROWS,
    Batch,
    Dialect,
    Integer,
    Place,
)

_FeatureName = Annotated[str, Meta(min_length=1, max_length=MAX_NAME_LENGTH)]
_Features = dict[_FeatureName, Integer | float | str | bool | None]
_feature_decoder = msgspec.json.Decoder(_Features)
_features_decoder = msgspec.json.Decoder(list[_Features])
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
PLACES: list[Place] = [("predictions", number) for number in range(MAX_ROWS)]


class _DoubtError(ValueError):
    """The quick reader can't vouch for the body."""


class _Decoded(NamedTuple):
    rows: list[Any]
    members: int  # of the objects around the rows
    model: str | int | None


def read_many(body: bytes, dialect: Dialect) -> Batch:
    """Read a body whose `predictions` are the rows.

    Raises
    ------
    MalformedError
        No strict JSON.
    InvalidError
        The body isn't an object with a list of rows in it.
    TooLargeError
        Too many rows, or features in one of them.
    """
    try:
        return _read(body, dialect, _decode_many(body, dialect))
    except (*_UNREADABLE, _DoubtError):
        return exact.read_many(body, dialect)


def read_lines(body: bytes, dialect: Dialect, *, first: int = 0) -> Batch:
    """Read JSON Lines: a row in each line that isn't empty; raises as `read_many`.

    `first` is how many rows stand before them, where they are a part of a file.
    """
    try:
        rows = dialect.one.decode_lines(body)
        lines = sum(map(bool, map(bytes.strip, body.split(b"\n"))))
        # A line that holds two rows would shift the numbers of those behind it.
        if not len(rows) == lines <= MAX_ROWS or not rows:
            return exact.read_lines(body, dialect, first=first)
        return _read(body, dialect, _Decoded(rows, 0, None))
    except (*_UNREADABLE, _DoubtError):
        return exact.read_lines(body, dialect, first=first)


def read_one(body: bytes, dialect: Dialect) -> Batch:
    """Read a body that is a row itself; raises as `read_many`."""
    try:
        return _read_one(body, dialect)
    except (*_UNREADABLE, _DoubtError):
        return exact.read_one(body, dialect)


def _read_one(body: bytes, dialect: Dialect) -> Batch:
    """Do for one row what `_read` does for many: half of that is making lists."""
    if b"\\" in body:
        raise _DoubtError
    row = dialect.one.decode(body)
    values = zip(row.__struct_fields__, msgspec.structs.astuple(row), strict=True)
    given = {name: value for name, value in values if value is not UNSET}
    features = given["features"]
    size = len(_feature_decoder.decode(features))
    timestamps = [given.get("timestamp")]
    if size > MAX_FEATURES or not _has_exactly(body, len(given) + size, timestamps):
        raise _DoubtError
    return Batch(
        dialect,
        places=[()],
        features=[bytes(features)],
        predictions=[given["prediction"]],
        models=[given.get("model")],
        versions=[given.get("version")],
        timestamps=_timestamps(timestamps),
        entity_ids=_entity_ids([given.get("entity_id")]),
        probabilities=_probabilities([given.get("probabilities")]),
        latencies=[given.get("latency_ms")],
        labels=[given.get("label")],
    )


def _decode_many(body: bytes, dialect: Dialect) -> _Decoded:
    decoded = dialect.many.decode(body)
    model = getattr(decoded, "model", UNSET)
    if not 1 <= len(decoded.predictions) <= MAX_ROWS:
        raise _DoubtError
    if model is UNSET:
        return _Decoded(decoded.predictions, 1, None)
    return _Decoded(decoded.predictions, 2, model)


def _read(body: bytes, dialect: Dialect, decoded: _Decoded) -> Batch:
    if b"\\" in body:  # an escape may hide a NUL, half a character, a repeated key
        raise _DoubtError
    rows = decoded.rows
    columns = {name: list(map(attrgetter(name), rows)) for name in dialect.names}
    features = columns["features"]
    objects = _features_decoder.decode(b"[" + b",".join(features) + b"]")
    sizes = list(map(len, objects))
    if max(sizes) > MAX_FEATURES:
        raise _DoubtError
    members = decoded.members + sum(sizes)
    for name, column in columns.items():
        absent = column.count(UNSET)
        members += len(rows) - absent
        if absent:
            columns[name] = [None if value is UNSET else value for value in column]
    if not _has_exactly(body, members, columns.get("timestamp", ())):
        raise _DoubtError
    nothing = [None] * len(rows)
    return Batch(
        dialect,
        places=PLACES[: len(rows)],
        features=list(map(bytes, features)),
        predictions=columns["prediction"],
        models=_models(columns.get("model", nothing), decoded.model),
        versions=columns["version"],
        timestamps=_timestamps(columns["timestamp"]),
        entity_ids=_entity_ids(columns["entity_id"]),
        probabilities=_probabilities(columns["probabilities"]),
        latencies=columns["latency_ms"],
        labels=columns.get("label", nothing),
    )


def _has_exactly(body: bytes, members: int, timestamps: Iterable[str | None]) -> bool:
    """Tell whether so many members are all that the objects of the body have.

    Each member has a colon; the others that are usual stand in time stamps. If that
    isn't the number of colons, then `":` is counted: without escapes and white space
    it ends each key, and stands elsewhere only where a string begins with a colon.
    """
    inside = "".join(filter(None, timestamps)).count(":")
    if body.count(b":") == members + inside:
        return True
    return body.translate(None, b" \t\r\n").count(b'":') == members


def _models(
    models: list[str | int | None], shared: str | int | None
) -> list[str | int | None]:
    if shared is None:
        return models
    return [shared if model is None else model for model in models]


def _timestamps(texts: list[str | None]) -> list[int]:
    now = moments.now()
    latest = now + moments.FURTHEST_AHEAD
    try:
        # The rows of a batch often share their time stamps.
        values = {
            text: now if text is None else moments.parse(text, latest=latest)
            for text in set(texts)
        }
    except moments.MomentError:
        raise _DoubtError from None
    return [values[text] for text in texts]


def _entity_ids(values: list[Any]) -> list[str | None]:
    return [str(value) if type(value) is int else value for value in values]


def _probabilities(lists: list[list[float] | None]) -> list[list[float] | None]:
    for probabilities in lists:
        if probabilities is not None and not exact.are_probabilities(probabilities):
            raise _DoubtError
    return lists
