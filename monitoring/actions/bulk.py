"""Many rows at once, through COPY: no Python object per value."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from django.db import connection
from numpy.typing import NDArray

# Signature, flags and length of the extension, as PostgreSQL begins a binary COPY.
_SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_HEADER_LENGTH = len(_SIGNATURE)
_BIGINT = struct.Struct(">q")
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_COUNT = struct.Struct(">h")
_LENGTH = struct.Struct(">i")
_END = _COUNT.pack(-1)


Parameters = Sequence[Any] | Mapping[str, Any]


class _Sink(list[bytes]):
    write = list.append


def _copy(query: str, parameters: Parameters) -> list[bytes]:
    """Return the messages of a binary COPY."""
    sink = _Sink()
    with connection.cursor() as cursor:
        bound = cursor.mogrify(query, parameters).decode()
        cursor.copy_expert(f"COPY ({bound}) TO STDOUT (FORMAT binary)", sink)
    return sink


def fields(query: str, parameters: Parameters) -> Iterator[list[memoryview | None]]:
    """Yield the rows as the bytes of their fields, in PostgreSQL's binary format."""
    start = _HEADER_LENGTH
    for message in _copy(query, parameters):
        yield from _fields(memoryview(message), start)
        start = 0


def each(
    query: str,
    parameters: Parameters,
    handle: Callable[[list[memoryview | None]], None],
) -> None:
    """Call a function with the fields of each row, while the others are on their way.

    One statement sees one state of the database, and never are all rows in memory.
    """
    sink = _Handler(handle)
    with connection.cursor() as cursor:
        bound = cursor.mogrify(query, parameters).decode()
        cursor.copy_expert(f"COPY ({bound}) TO STDOUT (FORMAT binary)", sink)


def each_tuple(
    query: str, parameters: Parameters, handle: Callable[[bytes], None]
) -> None:
    """Call a function with each row's tuple, byte for byte as COPY has it."""
    sink = _Tuples(handle)
    with connection.cursor() as cursor:
        bound = cursor.mogrify(query, parameters).decode()
        cursor.copy_expert(f"COPY ({bound}) TO STDOUT (FORMAT binary)", sink)


class _Tuples:
    """Takes the messages of a binary COPY whole: each is a row, but for the ends."""

    def __init__(self, handle: Callable[[bytes], None]) -> None:
        self.handle = handle
        self.start = _HEADER_LENGTH

    def write(self, message: bytes) -> None:
        row, self.start = message[self.start :], 0
        if row and row != _END:
            self.handle(row)


class _Handler:
    """Takes the messages of a binary COPY: the server sends one for each row."""

    def __init__(self, handle: Callable[[list[memoryview | None]], None]) -> None:
        self.handle = handle
        self.is_begun = False

    def write(self, message: bytes) -> None:
        start = 0 if self.is_begun else _HEADER_LENGTH
        self.is_begun = True
        for row in _fields(memoryview(message), start):
            self.handle(row)


def _fields(data: memoryview, at: int) -> Iterator[list[memoryview | None]]:
    while at < len(data) and (count := _COUNT.unpack_from(data, at)[0]) >= 0:
        at += _COUNT.size
        row: list[memoryview | None] = []
        for _ in range(count):
            (length,) = _LENGTH.unpack_from(data, at)
            at += _LENGTH.size
            row.append(data[at : at + length] if length >= 0 else None)
            at += max(length, 0)
        yield row


def records_and_lines(
    query: str, parameters: Parameters, formats: Sequence[tuple[str, str]]
) -> tuple[NDArray[np.void], bytes]:
    """Return rows as a structured array, and the last of their fields as lines.

    Parameters
    ----------
    query : str
        The last column is a text in which a line feed is white space (JSON); the
        others are of fixed width. None is null.
    parameters : sequence
        Bound to the query's placeholders.
    formats : sequence of (name, numpy type)
        The fixed columns, big-endian as PostgreSQL sends them: uuid ``V16``, bigint
        and timestamptz ``>i8`` (µs since 2000), double precision ``>f8``, integer
        ``>i4``.
    """
    layout = [("", ">i2")]
    for name, format_ in formats:
        layout += [("", ">i4"), (name, format_)]
    row_type = np.dtype([*layout, ("length", ">i4")])
    width = row_type.itemsize
    # The server sends a message for each row, which is how psycopg2 hands them on.
    rows = _copy(query, parameters)
    rows[0] = rows[0][_HEADER_LENGTH:]
    rows = [row for row in rows if len(row) > _COUNT.size]
    found = np.frombuffer(b"".join([row[:width] for row in rows]), row_type)
    texts = [row[width:] for row in rows]
    if int(found["length"].sum()) != sum(map(len, texts)):
        raise RuntimeError("COPY did not send a message for each row")
    lines = b"\n".join(texts)
    if lines.count(b"\n") >= max(len(texts), 1):
        lines = b"\n".join([text.replace(b"\n", b" ") for text in texts])
    return found, lines


def insert(table: str, row: Mapping[str, int | datetime | bytes]) -> None:
    """Insert one row whose bytes are too many to be spelled out in a statement.

    Integers are of type bigint unless they are given as bytes.
    """
    parts = [_SIGNATURE, _COUNT.pack(len(row))]
    for value in row.values():
        data = _binary(value)
        parts += [_LENGTH.pack(len(data)), data]
    parts.append(_COUNT.pack(-1))
    with connection.cursor() as cursor:
        cursor.copy_expert(
            f"COPY {table} ({', '.join(row)}) FROM STDIN (FORMAT binary)",
            io.BytesIO(b"".join(parts)),
        )


def _binary(value: int | datetime | bytes) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, datetime):
        value = (value - _EPOCH) // timedelta(microseconds=1)
    return _BIGINT.pack(value)
