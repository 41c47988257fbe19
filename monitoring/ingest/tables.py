"""Rows out of CSV and Parquet bodies.

Columns that are named like a field of a prediction are that field; all others are
features. `probabilities` is a list, in CSV written as JSON; or it is spread over
`probabilities.0`, `probabilities.1`, ….
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any

import msgspec

from governance import strict_json
from governance.exceptions import InvalidError, MalformedError, TooLargeError, fault
from governance.strict_json import HIGHEST_INTEGER, LOWEST_INTEGER
from monitoring.ingest import exact, reading
from monitoring.ingest.rows import MAX_FEATURES, MAX_ROWS, Batch, Dialect

MAX_INFLATED = 100 * 1024 * 1024
MAX_VALUES = 2 * MAX_ROWS * MAX_FEATURES
LONGEST_CELL = 1 << 20
# Fields whose cells are text, however much they look like numbers.
TEXT_FIELDS = {"model", "version", "timestamp", "entity_id"}
_SPREAD = re.compile(r"probabilities\.(\d+)")
# A whole column at once. Whatever it gives back can't be followed by a line's end, so
# that no column takes long; possessive quantifiers would say so, but are not reliable
# before Python 3.11.4.
_NUMBER = r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?"
_NUMBERS = re.compile(rf"{_NUMBER}(?:\n{_NUMBER})*", re.ASCII)
_JSON_NUMBER = re.compile(_NUMBER, re.ASCII)
_WORDS = {"true": "true", "false": "false", "True": "true", "False": "false"}
_MISSING = {"", "null", "NULL", "NaN", "nan", "NA"}


def read_csv(body: bytes, dialect: Dialect) -> Batch:
    """Read a CSV file with a header.

    A cell is a number if it is spelled like one in JSON, `true` or `false` a boolean,
    nothing and `NaN` a missing value, and everything else text.

    Raises
    ------
    MalformedError
        No UTF-8, no header, or a row with another number of cells.
    TooLargeError
        Too many rows or columns.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MalformedError(f"The body is not UTF-8 (byte {error.start}).") from None
    lines = csv_lines(io.StringIO(text, newline=""))
    header = next(lines, [])
    check_columns(header, dialect)
    return read_cells(header, list(islice(lines, MAX_ROWS + 1)), dialect)


def csv_lines(text: Iterable[str]) -> Iterator[list[str]]:
    """Yield the cells of each line that isn't empty; raises as `read_csv`."""
    csv.field_size_limit(LONGEST_CELL)
    reader = csv.reader(text, strict=True)
    try:
        yield from filter(None, reader)
    except csv.Error as error:
        raise MalformedError(
            f"The body is not valid CSV: {error} (line {reader.line_num})."
        ) from None


def read_cells(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    dialect: Dialect,
    *,
    first: int = 0,
) -> Batch:
    """Read lines of a CSV file under its header; raises as `read_csv`.

    `first` is how many rows stand between.
    """
    exact.refuse_too_many(len(rows))
    for number, row in enumerate(rows, first + 1):
        if len(row) != len(header):
            raise MalformedError(
                f"Row {number:,} has {len(row)} cells, the header {len(header)}."
            )
    texts = {dialect.names[name] for name in TEXT_FIELDS if name in dialect.names}
    columns = {
        name: _cells(name, cells, is_text=name in texts)
        for name, cells in zip(header, zip(*rows, strict=True), strict=False)
    }
    return _read(_rows(columns, dialect), dialect)


def _cells(name: str, cells: Sequence[str], *, is_text: bool) -> Sequence[str]:
    """Return the JSON texts of a column's cells."""
    if not is_text:
        joined = "\n".join(cells)
        # A cell may hold a line break of its own.
        if _NUMBERS.fullmatch(joined) and joined.count("\n") == len(cells) - 1:
            return cells
    known = {cell: _cell(name, cell, is_text=is_text) for cell in set(cells)}
    return [known[cell] for cell in cells]


def _cell(name: str, cell: str, *, is_text: bool) -> str:
    if "\0" in cell:
        raise MalformedError("The body has a NUL character in it.")
    if is_text:
        return _json(cell or None)
    if cell in _MISSING:
        return "null"
    if cell in _WORDS:
        return _WORDS[cell]
    if _JSON_NUMBER.fullmatch(cell):
        return cell
    if name == "probabilities" and cell[0] == "[":
        return _json(strict_json.decode(cell.encode()))
    return _json(cell)


def read_parquet(body: bytes, dialect: Dialect) -> Batch:
    """Read a Parquet file; NaN is a missing value, and infinity is refused.

    Raises as `read_csv`.
    """
    # They take a hundred megabytes of memory, and most servers never see such a body.
    import pyarrow.parquet as pq

    with damage_is_malformed():
        file = pq.ParquetFile(io.BytesIO(body))
        check_columns(file.schema_arrow.names, dialect)
        rows_at_once = _checked_rows_at_once(file.metadata)
        parts = file.iter_batches(batch_size=rows_at_once)
    return read_parts(parts, dialect)


def read_parts(parts: Iterable[Any], dialect: Dialect) -> Batch:
    """Read record batches of Arrow, one after the other; raises as `read_parquet`."""
    rows: list[str] = []
    left = MAX_INFLATED
    iterator = iter(parts)
    while True:
        with damage_is_malformed():
            part = next(iterator, None)
            if part is None:
                break
            columns = {
                name: _values(column)
                for name, column in zip(part.schema.names, part.columns, strict=True)
            }
        more = _rows(columns, dialect)
        left -= sum(map(len, more))
        if left < 0:
            raise TooLargeError("The rows of the table take more than 100 MB.")
        rows += more
    return _read(rows, dialect)


def _values(column: Any) -> Sequence[str]:
    """Return the JSON texts of a column of Arrow."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_float32(kind) or kind == pa.float64():
        if pc.any(pc.is_inf(column)).as_py():
            raise MalformedError("The table has an infinite number in it.")
        # NaN becomes null.
        return _json(column.to_pylist())[1:-1].split(",")
    if pa.types.is_nested(kind):
        return [_json(_plain(value)) for value in column.to_pylist()]
    if not pa.types.is_dictionary(kind):
        # A text stands in the file once and in the rows as often as they like.
        column = column.dictionary_encode()
    known = [_json(_plain(value)) for value in column.dictionary.to_pylist()]
    return [
        "null" if place is None else known[place]
        for place in column.indices.to_pylist()
    ]


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _rows(columns: Mapping[str, Sequence[str]], dialect: Dialect) -> list[str]:
    """Turn columns of JSON texts into the JSON texts of rows, a whole table at a time.

    One template for all rows is many times faster than to make an object of each.
    """
    fields: dict[str, str] = {}
    features: dict[str, str] = {}
    spread: dict[int, Sequence[str]] = {}
    used: list[Sequence[str]] = []
    theirs = dialect.names["features"]
    for name, column in columns.items():
        if name == theirs:
            detail = "each feature has a column of its own"
            raise InvalidError(errors=[fault(name, code="unknown", detail=detail)])
        if match := _SPREAD.fullmatch(name):
            spread[int(match[1])] = column
        elif name not in dialect.fields:
            features[name] = "%s"
            used.append(column)
    for name in dialect.fields.keys() & columns.keys():
        fields[name] = "%s"
        used.append(columns[name])
    if spread:
        fields[dialect.names["probabilities"]] = "%s"
        used.append(_together([spread[place] for place in sorted(spread)]))
    rest = "".join(f",{_key(name)}:%s" for name in fields)
    inside = ",".join(f"{_key(name)}:%s" for name in features)
    template = f"{{{_key(theirs)}:{{{inside}}}{rest}}}"
    return [template % row for row in zip(*used, strict=True)]


def _key(name: str) -> str:
    return _json(name).replace("%", "%%")


def _together(columns: Sequence[Sequence[str]]) -> list[str]:
    """Make lists of spread probabilities, null where none of them is known."""
    return [
        f"[{','.join(row)}]" if set(row) != {"null"} else "null"
        for row in zip(*columns, strict=True)
    ]


def _read(rows: Sequence[str], dialect: Dialect) -> Batch:
    return reading.read_many(f'{{"predictions":[{",".join(rows)}]}}'.encode(), dialect)


@contextmanager
def damage_is_malformed() -> Iterator[None]:
    """Take for a damaged file whatever can't be read or has no Python value."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise MalformedError("The body is not a valid Parquet file.") from error


def _checked_rows_at_once(metadata: Any) -> int:
    """Return how many rows to read at a time, whatever they turn out to be.

    A text stands in a file once and in the rows as often as they like; a list of a
    million zeros takes a few bytes. Read so, neither fills the memory.
    """
    exact.refuse_too_many(metadata.num_rows)
    columns = [
        metadata.row_group(group).column(place)
        for group in range(metadata.num_row_groups)
        for place in range(metadata.num_columns)
    ]
    if sum(column.total_uncompressed_size for column in columns) > MAX_INFLATED:
        raise TooLargeError("The inflated file is larger than 100 MB.")
    if sum(column.num_values for column in columns) > MAX_VALUES:
        raise TooLargeError("The file has too many values in it.")
    texts: int = sum(
        column.total_uncompressed_size
        for column in columns
        if column.physical_type == "BYTE_ARRAY"
    )
    return max(1, min(MAX_ROWS, MAX_INFLATED // max(1, texts)))


def _plain(value: Any) -> Any:
    """Return the JSON value of a Parquet one; raise MalformedError if it has none."""
    if isinstance(value, float):
        if math.isinf(value):
            raise MalformedError("The table has an infinite number in it.")
        return None if math.isnan(value) else value
    if isinstance(value, str) and "\0" in value:
        raise MalformedError("A string has a NUL character in it.")
    if isinstance(value, int) and not LOWEST_INTEGER <= value <= HIGHEST_INTEGER:
        raise MalformedError(f"The integer {value} is beyond ±2^63.")
    return _plain_object(value)


def _plain_object(value: Any) -> Any:
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat()
    if isinstance(value, Decimal):
        return _plain(float(value))
    if isinstance(value, bytes):
        return _plain(value.decode())
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, date | time | timedelta):
        return str(value)
    return value


def check_columns(names: Sequence[str], dialect: Dialect) -> None:
    if not names:
        raise MalformedError("The table has no columns.")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise MalformedError(f"The column {twice!r} stands twice in the table.")
    missing = dialect.names["prediction"]
    if missing not in names:
        raise InvalidError(
            "The table has no column with the predictions.",
            errors=[fault(missing, code="missing", detail="the column is missing")],
        )
    if len(names) > MAX_FEATURES + len(dialect.names):
        raise TooLargeError(f"{len(names)} columns are more than {MAX_FEATURES}.")
