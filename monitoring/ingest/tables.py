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
from typing import Any

from governance import strict_json
from governance.exceptions import InvalidError, MalformedError, TooLargeError, fault
from governance.strict_json import HIGHEST_INTEGER, LOWEST_INTEGER
from monitoring.ingest import exact
from monitoring.ingest.rows import MAX_FEATURES, MAX_ROWS, Batch, Dialect

MAX_INFLATED = exact.MAX_BYTES
MAX_VALUES = 2 * MAX_ROWS * MAX_FEATURES
LONGEST_CELL = 1 << 20
# Fields whose cells are text, however much they look like numbers.
TEXT_FIELDS = {"model", "version", "timestamp", "entity_id"}
_SPREAD = re.compile(r"probabilities\.(\d+)")
_JSON_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
_WORDS = {"true": True, "false": False, "True": True, "False": False}
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
    if "\0" in text:
        raise MalformedError("The body has a NUL character in it.")
    csv.field_size_limit(LONGEST_CELL)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, [])
        _check_columns(header, dialect)
        return exact.read_records(_records(header, reader, dialect), dialect)
    except csv.Error as error:
        raise MalformedError(
            f"The body is not valid CSV: {error} (line {reader.line_num})."
        ) from None


def _records(
    header: Sequence[str], rows: Iterable[Sequence[str]], dialect: Dialect
) -> Iterator[dict[str, Any]]:
    texts = {dialect.names[name] for name in TEXT_FIELDS if name in dialect.names}
    for number, row in enumerate(rows):
        if not row:
            continue
        exact.refuse_too_many(number + 1)
        if len(row) != len(header):
            raise MalformedError(
                f"Row {number + 1} has {len(row)} cells, the header {len(header)}."
            )
        cells = {
            name: _text(cell) if name in texts else _cell(name, cell)
            for name, cell in zip(header, row, strict=True)
        }
        yield _record(cells, dialect)


def _text(cell: str) -> str | None:
    return cell or None


def _cell(name: str, cell: str) -> Any:
    if cell in _MISSING:
        return None
    if cell in _WORDS:
        return _WORDS[cell]
    if _JSON_NUMBER.fullmatch(cell) or (name == "probabilities" and cell[0] == "["):
        return strict_json.decode(cell.encode())
    return cell


def read_parquet(body: bytes, dialect: Dialect) -> Batch:
    """Read a Parquet file; NaN is a missing value, and infinity is refused.

    Raises as `read_csv`.
    """
    # They take a hundred megabytes of memory, and most servers never see such a body.
    import pyarrow.parquet as pq

    with _damage_is_malformed():
        file = pq.ParquetFile(io.BytesIO(body))
        _check_columns(file.schema_arrow.names, dialect)
        rows_at_once = _checked_rows_at_once(file.metadata)
        parts = file.iter_batches(batch_size=rows_at_once)
    return exact.read_records(
        (_record(row, dialect) for row in _parquet_rows(parts)), dialect
    )


@contextmanager
def _damage_is_malformed() -> Iterator[None]:
    """Take for a damaged file whatever can't be read or has no Python value."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise MalformedError("The body is not a valid Parquet file.") from error


def _parquet_rows(parts: Iterator[Any]) -> Iterator[dict[str, Any]]:
    while True:
        with _damage_is_malformed():
            part = next(parts, None)
            rows = [] if part is None else part.to_pylist()
            plain = [
                {name: _plain(value) for name, value in row.items()} for row in rows
            ]
        if part is None:
            return
        yield from plain


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


def _check_columns(names: Sequence[str], dialect: Dialect) -> None:
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


def _record(cells: Mapping[str, Any], dialect: Dialect) -> dict[str, Any]:
    """Sort the cells of a row into its fields and its features."""
    record: dict[str, Any] = {}
    features: dict[str, Any] = {}
    spread: dict[int, Any] = {}
    for name, value in cells.items():
        if name in dialect.fields:
            record[name] = value
        elif match := _SPREAD.fullmatch(name):
            spread[int(match[1])] = value
        else:
            features[name] = value
    if spread:
        ordered = [spread[place] for place in sorted(spread)]
        record[dialect.names["probabilities"]] = (
            None if ordered == [None] * len(ordered) else ordered
        )
    record[dialect.names["features"]] = features
    return record
