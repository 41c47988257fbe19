"""Tables out of CSV and Parquet files, with the type of every column."""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

_PARQUET = b"PAR1"
# What pandas writes of a table whose rows were chosen.
_PANDAS_INDEX = re.compile(r"__index_level_\d+__")
_MISSING = ["", "null", "NULL", "NaN", "nan", "NA"]
_BOOLEANS = pa.array(["true", "false", "True", "False"])
# No leading zeros: "01234" is a postcode, not a number.
_NUMBER = r"^-?(?:(?:0|[1-9]\d*)(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?$"
_INFINITY = r"^[+-]?(?:inf|Inf|INF|infinity|Infinity)$"
# Longer ones may not fit into 64 bits.
_INTEGER = r"^-?(?:0|[1-9]\d{0,17})$"


class UnusableError(ValueError):
    """A file or an option can't be used; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of a file.

    Attributes
    ----------
    role : str
        What the file is to the user: REFERENCE or CURRENT.
    path : Path
        Where it was read from.
    digest : str
        SHA-256 of the file, in hexadecimal.
    columns : dict of str to pyarrow.Array
        In the order of the file.
    rows : int
        At least 1.
    """

    role: str
    path: Path
    digest: str
    columns: dict[str, Any] = field(repr=False)
    rows: int

    def column(self, name: str) -> Any:
        """Return a column, or raise UnusableError with the names that there are."""
        if name not in self.columns:
            known = ", ".join(list(self.columns)[:20])
            more = ", …" if len(self.columns) > 20 else ""
            raise UnusableError(
                f"{self.role} has no column {name!r}; it has {known}{more}."
            )
        return self.columns[name]


def read(path: Path, role: str) -> Table:
    """Return the rows of a CSV or Parquet file.

    Parquet is told by its first bytes. In CSV a column is of numbers if every cell is
    spelled like one (without leading zeros), of booleans if every one is `true` or
    `false`, else of text; nothing, `NA`, `NaN` and `null` are missing values.

    Raises
    ------
    UnusableError
        The file can't be read or is damaged, has no rows or no columns, or has a column
        twice.

    """
    try:
        digest, start = _digest(path)
        if start == _PARQUET or path.suffix.lower() in {".parquet", ".pq"}:
            columns, rows = _parquet(path, role)
        else:
            columns, rows = _csv(path, role)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UnusableError(f"{role} can't be read: {path}: {reason}.") from error
    if not rows:
        raise UnusableError(f"{role} has no rows: {path}.")
    return Table(role, path, digest, columns, rows)


def _digest(path: Path) -> tuple[str, bytes]:
    """Return the digest of a file and its first four bytes."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        start = file.read(4)
        found.update(start)
        while part := file.read(1 << 20):
            found.update(part)
    return found.hexdigest(), start


def _refuse_twice(names: Sequence[str], role: str) -> None:
    if not names:
        raise UnusableError(f"{role} has no columns.")
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise UnusableError(f"{role} has the column {name!r} twice.")
        seen.add(name)


def _parquet(path: Path, role: str) -> tuple[dict[str, Any], int]:
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            _refuse_twice(file.schema_arrow.names, role)
            table = file.read()
    except (pa.ArrowException, OSError) as error:
        told = str(error).splitlines()[0]
        raise UnusableError(f"{role} is not a valid Parquet file: {told}") from error
    names = [name for name in table.column_names if not _PANDAS_INDEX.fullmatch(name)]
    return {name: table[name].combine_chunks() for name in names}, table.num_rows


def _csv(path: Path, role: str) -> tuple[dict[str, Any], int]:
    import pyarrow.csv

    header = _header(path, role)
    try:
        with pa.input_stream(path, compression="detect") as stream:
            table = pyarrow.csv.read_csv(
                stream,
                parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
                convert_options=pyarrow.csv.ConvertOptions(
                    column_types=dict.fromkeys(header, pa.string()),
                    null_values=_MISSING,
                    strings_can_be_null=True,
                ),
            )
    except pa.ArrowException as error:
        raise UnusableError(f"{role} is not valid CSV: {error}") from error
    found = {name: typed(table[name].combine_chunks()) for name in table.column_names}
    return found, table.num_rows


def _header(path: Path, role: str) -> list[str]:
    with pa.input_stream(path, compression="detect") as stream:
        first = stream.read(1 << 20)
    try:
        text = first.decode("utf-8-sig", errors="ignore")
        if "\0" in text:
            raise UnusableError(f"{role} is neither Parquet nor CSV: {path}.")
        names = next(csv.reader(text.splitlines(keepends=True), strict=True), [])
    except csv.Error as error:
        raise UnusableError(f"{role} is not valid CSV: {error}.") from error
    _refuse_twice(names, role)
    return names


def typed(texts: Any) -> Any:
    """Return a column of text as numbers or booleans if all of it is spelled so.

    Examples
    --------
    >>> [str(typed(pa.array(texts)).type) for texts in (
    ...     ["1", None], ["1", "2.5"], ["true", "false"], ["01", "1"], ["1", "+inf"])]
    ['int64', 'double', 'bool', 'string', 'double']

    """
    known = texts.drop_null()
    if not len(known):
        return pa.nulls(len(texts), pa.float64())
    if pc.all(pc.is_in(known, _BOOLEANS)).as_py():
        return pc.utf8_lower(texts).cast(pa.bool_())
    if _all(known, _INTEGER):
        return texts.cast(pa.int64())
    if _all(known, _NUMBER):
        return texts.cast(pa.float64())
    is_infinite = pc.match_substring_regex(known, _INFINITY)
    if _all(known.filter(pc.invert(is_infinite)), _NUMBER):
        # Read as numbers, so that the infinite ones are refused and not named.
        return pc.utf8_ltrim(texts, "+").cast(pa.float64())
    return texts


def _all(texts: Any, pattern: str) -> bool:
    spelled = pc.match_substring_regex(texts, pattern)
    return bool(pc.all(spelled, min_count=0).as_py())
