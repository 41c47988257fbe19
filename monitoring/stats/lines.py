"""Lines of JSON as columns: the features of logged rows, read fast where alike."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.json

from governance.labels import canonical
from monitoring.stats import cells
from monitoring.stats.columns import Kind
from monitoring.stats.rows import CATEGORY, FEATURE, categorical, one_array

# Fewer lines than these are read one by one where the fast reader gave up.
FEW_LINES = 64
_SAMPLE_LINES = 8

Kinds = Mapping[str, Kind | None]


class _MixedError(ValueError):
    """The fast reader can't describe these lines."""


@dataclass(slots=True)
class Parsed:
    """The features of some rows, and what was wrong with them."""

    rows: int
    columns: dict[str, pa.Array] = field(default_factory=dict)
    # Name → positions of the rows whose value is of the wrong type.
    invalid: dict[str, list[int]] = field(default_factory=dict)
    # Name → rows that have a feature which the schema doesn't name.
    unknown: Counter[str] = field(default_factory=Counter)


def parse(lines: bytes, kinds: Kinds) -> Parsed:
    """Read JSON objects, one a line, into columns.

    Parameters
    ----------
    lines : bytes
        Objects as `strict_json` accepts them, separated by line feeds.
    kinds : mapping of str to {"numeric", "categorical", None}
        The features of the schema; None: the values tell. If there are none at all,
        every name that occurs is a feature.

    Returns
    -------
    Parsed
        Numeric columns are float64, categorical ones dictionaries of canonical text.
        A missing or null value is null; so is one of the wrong type, which stands in
        `invalid` too.
    """
    lines = lines.removesuffix(b"\n")
    return _parse(lines, count(lines), kinds) if lines else Parsed(0)


def count(lines: bytes) -> int:
    """Return the number of lines; the last one needs no line feed, if it isn't empty.

    Examples
    --------
    >>> count(b"a\\nb"), count(b"a\\n"), count(b"")
    (2, 1, 0)
    """
    # four times as fast as `bytes.count`, which looks for one after the other
    feeds = int(np.count_nonzero(np.frombuffer(lines, np.uint8) == ord("\n")))
    return feeds + (not lines.endswith(b"\n") and lines != b"")


def _parse(lines: bytes, rows: int, kinds: Kinds) -> Parsed:
    """Read all at once if they are alike, otherwise the halves, or one by one."""
    try:
        return _read_alike(lines, rows, kinds)
    except (pa.ArrowInvalid, _MixedError):
        if rows <= FEW_LINES:
            return _read_exactly(lines.split(b"\n"), kinds)
    middle = _middle(lines)
    head = count(lines[:middle])
    return _joined(
        _parse(lines[:middle], head, kinds),
        _parse(lines[middle + 1 :], rows - head, kinds),
        kinds,
    )


def _middle(lines: bytes) -> int:
    """Return a line feed near the middle; there are at least two lines."""
    half = len(lines) // 2
    after = lines.find(b"\n", half)
    return after if after >= 0 else lines.rfind(b"\n", 0, half)


def _read_alike(lines: bytes, rows: int, kinds: Kinds) -> Parsed:
    sample = [msgspec.json.decode(line) for line in _first(lines)]
    seen = dict.fromkeys(name for row in sample for name in row)
    names = list(dict.fromkeys([*kinds, *seen]))
    if not names:
        raise _MixedError
    types = {name: _arrow_type(name, kinds.get(name), sample) for name in names}
    columns = _columns(lines, rows, types, kinds)
    parsed = Parsed(rows)
    for name in names:
        column = columns.get(name)
        if column is None:
            column = pa.nulls(rows, types[name])
        if kinds and name not in kinds:
            parsed.unknown[name] += rows - column.null_count
        elif name in kinds or column.null_count < rows:
            parsed.columns[name] = _normal(column, kinds.get(name))
    return parsed


def _columns(
    lines: bytes, rows: int, types: Mapping[str, pa.DataType], kinds: Kinds
) -> dict[str, pa.Array]:
    numeric = {name for name in types if _is_numeric(types[name], kinds.get(name))}
    guessed = [name for name in kinds or types if kinds.get(name) is None]
    if numeric.issuperset(guessed):
        with suppress(cells.UnlikeError, pa.ArrowInvalid):
            return cells.read(lines, rows, numeric)
    # In texts that were guessed by a few rows a number has no place; Arrow refuses it.
    table = pa.json.read_json(
        pa.BufferReader(lines),
        read_options=pa.json.ReadOptions(use_threads=False, block_size=1 << 20),
        parse_options=pa.json.ParseOptions(
            explicit_schema=pa.schema(list(types.items())),
            unexpected_field_behavior="error",
        ),
    )
    if table.num_rows != rows:
        raise _MixedError
    return {name: one_array(table[name]) for name in table.column_names}


def _first(lines: bytes) -> list[bytes]:
    """Return a few lines without splitting them all."""
    start = 0
    found: list[bytes] = []
    while start < len(lines) and len(found) < _SAMPLE_LINES:
        end = lines.find(b"\n", start)
        end = len(lines) if end < 0 else end
        found.append(lines[start:end])
        start = end + 1
    return found


def _arrow_type(
    name: str, kind: Kind | None, sample: Sequence[Mapping[str, Any]]
) -> pa.DataType:
    """Return how the fast reader should read a column, judged by a few rows."""
    if kind == "numeric":
        return pa.float64()
    kinds = {type(row[name]) for row in sample if row.get(name) is not None}
    if not kinds:
        return pa.string() if kind else pa.float64()
    if kinds == {bool}:
        return pa.bool_()
    if kinds == {str}:
        return pa.string()
    if kinds == {int} and kind:
        # exact beyond 2^53, where numbers name things
        return pa.int64()
    if kinds <= {int, float}:
        return pa.float64()
    raise _MixedError


def _normal(column: pa.Array, kind: Kind | None) -> pa.Array:
    return column if _is_numeric(column.type, kind) else categorical(column)


def _is_numeric(type_: pa.DataType, kind: Kind | None) -> bool:
    return pa.types.is_floating(type_) and kind != "categorical"


def _read_exactly(lines: Sequence[bytes], kinds: Kinds) -> Parsed:
    """Read line by line; a value of the wrong type costs itself alone."""
    rows = [msgspec.json.decode(line) for line in lines]
    parsed = Parsed(len(rows))
    for name in dict.fromkeys([*kinds, *(name for row in rows for name in row)]):
        values = [row.get(name) for row in rows]
        if kinds and name not in kinds:
            parsed.unknown[name] += sum(name in row for row in rows)
            continue
        kind = kinds.get(name) or _kind_of(values)
        accept = _number if kind == "numeric" else _category
        accepted = [accept(value) for value in values]
        wrong = [
            place
            for place, (value, taken) in enumerate(zip(values, accepted, strict=True))
            if value is not None and taken is None
        ]
        if wrong:
            parsed.invalid[name] = wrong
        parsed.columns[name] = (
            pa.array(accepted, pa.float64())
            if kind == "numeric"
            else pa.array(accepted, pa.string()).dictionary_encode()
        )
    return parsed


def _kind_of(values: Sequence[object]) -> Kind:
    """Tell an undeclared feature's kind by the majority of its values."""
    numbers = sum(_number(value) is not None for value in values)
    known = sum(value is not None for value in values)
    return "numeric" if 2 * numbers >= known else "categorical"


def _number(value: object) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return None


def _category(value: object) -> str | None:
    return canonical(value) if isinstance(value, str | int | float) else None


def _joined(first: Parsed, second: Parsed, kinds: Kinds) -> Parsed:
    joined = Parsed(first.rows + second.rows)
    joined.unknown = first.unknown + second.unknown
    for part, offset in ((first, 0), (second, first.rows)):
        for name, places in part.invalid.items():
            joined.invalid.setdefault(name, []).extend(p + offset for p in places)
    for name in dict.fromkeys([*first.columns, *second.columns]):
        left = first.columns.get(name)
        right = second.columns.get(name)
        if left is not None and right is not None and left.type != right.type:
            left, right = _reconciled(name, left, right, joined)
        joined.columns[name] = one_array(
            pa.chunked_array(
                [
                    _nulls(first.rows, right) if left is None else left,
                    _nulls(second.rows, left) if right is None else right,
                ]
            ).unify_dictionaries()
        )
    return joined


def _nulls(rows: int, like: pa.Array | None) -> pa.Array:
    return pa.nulls(rows, CATEGORY if like is None else like.type)


def _reconciled(
    name: str, left: pa.Array, right: pa.Array, joined: Parsed
) -> tuple[pa.Array, pa.Array]:
    """Give the side with fewer values the other's type; its values are invalid."""
    known = [len(left) - left.null_count, len(right) - right.null_count]
    loser, offset = (left, 0) if known[0] < known[1] else (right, len(left))
    wrong = np.flatnonzero(loser.is_valid().to_numpy(zero_copy_only=False)) + offset
    if len(wrong):
        joined.invalid[name] = sorted({*joined.invalid.get(name, ()), *wrong.tolist()})
    if known[0] < known[1]:
        return pa.nulls(len(left), right.type), right
    return left, pa.nulls(len(right), left.type)


def with_features(table: pa.Table, parsed: Parsed) -> pa.Table:
    """Return the table with the parsed features as further columns."""
    for name, column in parsed.columns.items():
        table = table.append_column(FEATURE + name, column)
    if parsed.invalid:
        wrong: dict[int, list[str]] = {}
        for name, places in parsed.invalid.items():
            for place in places:
                wrong.setdefault(place, []).append(name)
        texts = [
            json.dumps(sorted(wrong[place])) if place in wrong else None
            for place in range(parsed.rows)
        ]
        column = pa.array(texts, pa.string()).dictionary_encode()
        table = table.append_column("invalid", column)
    return table
