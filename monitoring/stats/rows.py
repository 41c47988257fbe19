"""Logged rows as an Arrow table, in memory and as bytes.

A table of rows has the columns `id`, `receipt`, `timestamp`, `value` (the prediction
as a number), `text` (as a label), `probabilities.0` …, `invalid` (the names of the
features whose value was of the wrong type) and one column for each feature,
`features.<name>`: float64 if it is numeric, a dictionary of canonical text if it is
categorical. Columns without a value may be absent.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from governance.labels import canonical
from monitoring.stats.columns import Codes, Kind, Values
from monitoring.stats.encoding import take

FEATURE = "features."
PROBABILITY = "probabilities."
CATEGORY = pa.dictionary(pa.int32(), pa.string())


def one_array(column: pa.ChunkedArray) -> pa.Array:
    """Return a column in one piece."""
    return column.combine_chunks()


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
    columns, wrong = aligned(table, kinds)
    invalid: dict[str, int] = {}
    for name, bad in wrong.items():
        invalid[name] = len(bad)
        kept = np.delete(np.arange(table.num_rows), list(bad))
        columns[name] = take(columns[name], kept)
    return columns, invalid


def aligned(
    table: pa.Table, kinds: Mapping[str, Kind]
) -> tuple[dict[str, Values], dict[str, set[int]]]:
    """Return the features row by row, and the rows whose value is invalid.

    Every column has the table's length; an invalid value is missing in it.
    """
    wrong = _invalid_rows(table)
    present = features(table)
    columns: dict[str, Values] = {}
    invalid: dict[str, set[int]] = {}
    for name, kind in kinds.items():
        columns[name], odd = _values_as(present.get(name), kind, table.num_rows)
        if bad := odd | set(wrong.get(name, ())):
            invalid[name] = bad
    return columns, invalid


def whole_columns(table: pa.Table, kinds: Mapping[str, Kind]) -> dict[str, Values]:
    """Return the features as columns of the table's length; what is wrong is missing.

    A feature that the table doesn't have is left out.
    """
    wrong = _invalid_rows(table)
    present = features(table)
    columns: dict[str, Values] = {}
    for name, kind in kinds.items():
        if name not in present:
            continue
        values, odd = _values_as(present[name], kind, table.num_rows)
        bad = list(odd | set(wrong.get(name, ())))
        if isinstance(values, Codes):
            codes = np.array(values.codes)
            codes[bad] = -1
            columns[name] = Codes(codes, values.categories)
        else:
            numbers = np.array(values)
            numbers[bad] = np.nan
            columns[name] = numbers
    return columns


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
