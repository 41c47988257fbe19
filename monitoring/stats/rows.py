"""Logged rows as columns: lines of JSON in, an Arrow table out.

A table of rows has the columns `id`, `receipt`, `timestamp`, `value` (the prediction
as a number), `text` (as a label), `probabilities.0` …, `invalid` (the names of the
features whose value was of the wrong type) and one column for each feature,
`features.<name>`: float64 if it is numeric, a dictionary of canonical text if it is
categorical. Columns without a value may be absent.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json
from numpy.typing import NDArray

from governance.labels import canonical
from monitoring.stats.columns import Codes, Kind, Values

FEATURE = "features."
PROBABILITY = "probabilities."
CATEGORY = pa.dictionary(pa.int32(), pa.string())
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
    if not lines:
        return Parsed(0)
    return _parse(lines, lines.count(b"\n") + 1, kinds)


def _parse(lines: bytes, count: int, kinds: Kinds) -> Parsed:
    """Read all at once if they are alike, otherwise the halves, or one by one."""
    try:
        return _read_alike(lines, count, kinds)
    except (pa.ArrowInvalid, _MixedError):
        if count <= FEW_LINES:
            return _read_exactly(lines.split(b"\n"), kinds)
    middle = _middle(lines)
    head = lines[:middle].count(b"\n") + 1
    return _joined(
        _parse(lines[:middle], head, kinds),
        _parse(lines[middle + 1 :], count - head, kinds),
        kinds,
    )


def _middle(lines: bytes) -> int:
    """Return a line feed near the middle; there are at least two lines."""
    half = len(lines) // 2
    after = lines.find(b"\n", half)
    return after if after >= 0 else lines.rfind(b"\n", 0, half)


def _read_alike(lines: bytes, count: int, kinds: Kinds) -> Parsed:
    sample = [msgspec.json.decode(line) for line in _first(lines)]
    seen = dict.fromkeys(name for row in sample for name in row)
    names = list(dict.fromkeys([*kinds, *seen]))
    if not names:
        raise _MixedError
    types = [(name, _arrow_type(name, kinds.get(name), sample)) for name in names]
    table = pa.json.read_json(
        pa.BufferReader(lines),
        read_options=pa.json.ReadOptions(use_threads=False, block_size=1 << 22),
        parse_options=pa.json.ParseOptions(
            explicit_schema=pa.schema(types), unexpected_field_behavior="error"
        ),
    )
    if table.num_rows != count:
        raise _MixedError
    parsed = Parsed(count)
    for name in names:
        column = one_array(table[name])
        if kinds and name not in kinds:
            parsed.unknown[name] += count - column.null_count
        elif name in kinds or column.null_count < count:
            parsed.columns[name] = _normal(column, kinds.get(name))
    return parsed


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


def one_array(column: pa.ChunkedArray) -> pa.Array:
    """Return a column in one piece."""
    return column.combine_chunks()


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
    if pa.types.is_floating(column.type) and kind != "categorical":
        return column
    return categorical(column)


def categorical(column: pa.Array) -> pa.DictionaryArray:
    """Return a column of scalars as a dictionary of canonical text."""
    encoded = column
    if not pa.types.is_dictionary(column.type):
        encoded = column.dictionary_encode()
    names = [canonical(value) for value in encoded.dictionary.to_pylist()]
    places: dict[str, int] = {}
    for name in names:
        if name is not None:
            places.setdefault(name, len(places))
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    order = np.array([*(-1 if n is None else places[n] for n in names), -1], np.int32)
    return coded(order[codes], list(places))


def labels(texts: Sequence[bytes | None]) -> pa.DictionaryArray:
    """Return scalars in JSON as a dictionary of canonical text."""
    encoded = pa.array(texts, pa.binary()).dictionary_encode()
    distinct = [msgspec.json.decode(text) for text in encoded.dictionary.to_pylist()]
    names = pa.array([canonical(value) for value in distinct], pa.string())
    return categorical(pa.DictionaryArray.from_arrays(encoded.indices, names))


def coded(codes: NDArray[Any], names: Sequence[str]) -> pa.DictionaryArray:
    """Return positions in a list of names, -1 if missing, as a dictionary."""
    return pa.DictionaryArray.from_arrays(
        pa.array(codes, pa.int32(), mask=codes < 0), pa.array(names, pa.string())
    )


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


def encode(table: pa.Table) -> bytes:
    """Return the table as an Arrow IPC stream."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks().unify_dictionaries())
    return bytes(memoryview(sink.getvalue()))


def decode(data: bytes | memoryview) -> pa.Table:
    """Return what `encode` wrote; its columns share the memory of `data`."""
    return pa.ipc.open_stream(pa.py_buffer(data)).read_all()


def merged(tables: Sequence[pa.Table]) -> pa.Table | None:
    """Return the rows of all tables, or None if a column's types differ."""
    try:
        together = pa.concat_tables(tables, promote_options="default")
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return None
    return together.unify_dictionaries().combine_chunks()


def alike(tables: Sequence[pa.Table]) -> list[pa.Table]:
    """Return the tables with every column of one type.

    A feature that is a number here and a category there is a category in all of them.
    """
    types: dict[str, set[str]] = {}
    for table in tables:
        for field_ in table.schema:
            types.setdefault(field_.name, set()).add(str(field_.type))
    mixed = {name for name, kinds in types.items() if len(kinds) > 1}
    if not mixed:
        return list(tables)
    return [_with_categories(table, mixed) for table in tables]


def _with_categories(table: pa.Table, names: Collection[str]) -> pa.Table:
    for place, name in enumerate(table.column_names):
        if name in names and kind_of(table[name]) == "numeric":
            table = table.set_column(place, name, categorical(one_array(table[name])))
    return table


def kind_of(column: pa.ChunkedArray) -> Kind:
    """Return what kind of feature a column of a table holds."""
    return "categorical" if pa.types.is_dictionary(column.type) else "numeric"


def features(table: pa.Table) -> dict[str, pa.ChunkedArray]:
    """Return the columns of the features by name."""
    return {
        name.removeprefix(FEATURE): table[name]
        for name in table.column_names
        if name.startswith(FEATURE)
    }


def columns_for(
    table: pa.Table, kinds: Mapping[str, Kind]
) -> tuple[dict[str, Values], dict[str, int]]:
    """Return the features as a grid counts them, and how many values are invalid.

    Invalid values are taken out of their column, which is shorter by them: they are
    neither missing nor counted.
    """
    wrong = _invalid_rows(table)
    present = features(table)
    columns: dict[str, Values] = {}
    invalid: dict[str, int] = {}
    for name, kind in kinds.items():
        values, odd = _values_as(present.get(name), kind, table.num_rows)
        bad = odd | set(wrong.get(name, ()))
        if bad:
            invalid[name] = len(bad)
            keep = np.ones(table.num_rows, bool)
            keep[list(bad)] = False
            values = (
                Codes(values.codes[keep], values.categories)
                if isinstance(values, Codes)
                else values[keep]
            )
        columns[name] = values
    return columns, invalid


def _invalid_rows(table: pa.Table) -> dict[str, list[int]]:
    if "invalid" not in table.column_names:
        return {}
    wrong: dict[str, list[int]] = {}
    for place, text in enumerate(table["invalid"].to_pylist()):
        for name in json.loads(text) if text else ():
            wrong.setdefault(name, []).append(place)
    return wrong


def _values_as(
    column: pa.ChunkedArray | None, kind: Kind, rows: int
) -> tuple[NDArray[np.float64] | Codes, set[int]]:
    """Return a column as the grid's kind, and the rows that can't be of it."""
    if column is None:
        if kind == "numeric":
            return np.full(rows, np.nan), set()
        return Codes(np.full(rows, -1, np.int32), ()), set()
    if kind == "numeric":
        if pa.types.is_floating(column.type):
            return column.to_numpy(), set()
        odd = np.flatnonzero(column.is_valid().to_numpy())
        return np.full(rows, np.nan), set(odd.tolist())
    array = one_array(column)
    return codes_of(array), set()


def codes_of(array: pa.Array) -> Codes:
    """Return a column as positions in its categories."""
    if not pa.types.is_dictionary(array.type):
        array = categorical(array)
    codes = array.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return Codes(codes, array.dictionary.to_pylist())


def by_hour(table: pa.Table) -> Iterator[tuple[datetime, pa.Table]]:
    """Yield the rows of each hour, with the hour's start."""
    hours = table["timestamp"].cast(pa.int64()).to_numpy() // 3_600_000_000
    if not len(hours):
        return
    if (hours == hours[0]).all():
        yield _hour(hours[0]), table
        return
    order = np.argsort(hours, kind="stable")
    ordered = table.take(pa.array(order))
    starts = np.flatnonzero(np.diff(hours[order], prepend=hours[order[0]] - 1))
    for first, end in zip(starts, [*starts[1:], len(hours)], strict=True):
        yield _hour(hours[order[first]]), ordered.slice(first, end - first)


def _hour(since_1970: int) -> datetime:
    return datetime.fromtimestamp(int(since_1970) * 3_600, UTC)


def ranges(table: pa.Table) -> dict[str, list[float]]:
    """Return the minimum and maximum of each numeric feature that has a value."""
    found = {}
    for name, column in features(table).items():
        if kind_of(column) == "numeric" and column.null_count < len(column):
            ends = pc.min_max(column).as_py()
            found[name] = [ends["min"], ends["max"]]
    return found


def probabilities(table: pa.Table) -> NDArray[np.float64] | None:
    """Return the probabilities, shape (n_rows, n_classes), NaN where there are none."""
    names = sorted(
        (name for name in table.column_names if name.startswith(PROBABILITY)),
        key=lambda name: int(name.removeprefix(PROBABILITY)),
    )
    if not names:
        return None
    return np.column_stack([table[name].to_numpy() for name in names])
