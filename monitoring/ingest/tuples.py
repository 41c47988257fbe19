"""Rows in PostgreSQL's binary COPY format, which is what receipts are signed over.

The digest and the Merkle root of a receipt cover each row's tuple in this format, byte
for byte: `COPY (SELECT … ORDER BY id) TO STDOUT (FORMAT binary)` gives them again.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from io import BytesIO
from uuid import UUID

from django.db import connection

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)  # no flags, no extension
TRAILER = b"\xff\xff"
COLUMNS = (
    "id",
    "organization_id",
    "model_id",
    "version_id",
    "receipt_id",
    "timestamp",
    "entity_id",
    "features",
    "prediction",
    "prediction_value",
    "probabilities",
    "confidence",
    "probability_of_prediction",
    "latency_ms",
    "verdict",
    "override_id",
)
COPY_PREDICTIONS = (
    f"COPY monitoring_prediction ({', '.join(COLUMNS)}) FROM STDIN (FORMAT binary)"
)

BLOCK = 1 << 20

NULL = b"\xff\xff\xff\xff"
# PostgreSQL counts microseconds from here.
Y2000 = 946_684_800_000_000
_FLOAT8 = 701  # the type's oid
_length = struct.Struct("!i").pack
_double = struct.Struct("!id").pack
_moment = struct.Struct("!iq").pack
# Column count, id, organization, model, version, receipt: each behind its length.
_HEAD = struct.Struct("!hi16siqiqiqi16s")
HEAD_LENGTH = _HEAD.size
_head = _HEAD.pack
_array_head = struct.Struct("!iiiIii").pack


def head(
    row: UUID, organization: int, model: int, version: int, receipt: UUID
) -> bytes:
    """Return the columns up to the receipt."""
    return _head(
        len(COLUMNS),
        *(16, row.bytes),
        *(8, organization),
        *(8, model),
        *(8, version),
        *(16, receipt.bytes),
    )


def copy(
    statement: str,
    rows: Iterable[bytes],
    *,
    first: str = "",
    parameters: Sequence[object] = (),
) -> None:
    """Send rows to the database, in the caller's transaction if there is one.

    The statement `first` goes ahead of them in the same message. PostgreSQL takes what
    comes in one message as one transaction, so that nothing else has to be sent.
    """
    payload = BytesIO(b"".join((HEADER, *rows, TRAILER)))
    # Django turns the driver's errors into its own in its own methods only.
    with connection.cursor() as cursor, connection.wrap_database_errors:
        if first:
            statement = f"{cursor.mogrify(first, parameters).decode()}; {statement}"
        cursor.copy_expert(statement, payload, BLOCK)


def text(value: bytes | None) -> bytes:
    if value is None:
        return NULL
    return _length(len(value)) + value


def double(value: float | None) -> bytes:
    return NULL if value is None else _double(8, value)


def moment(value: int | None) -> bytes:
    """Return a time stamp that is given in microseconds since 1970."""
    return NULL if value is None else _moment(8, value - Y2000)


def doubles(values: list[float] | None) -> bytes:
    """Return an array of float8."""
    if values is None:
        return NULL
    items = struct.pack("!" + "id" * len(values), *_interleaved(values))
    header = _array_head(20 + len(items), 1, 0, _FLOAT8, len(values), 1)
    return header + items


def _interleaved(values: list[float]) -> list[float]:
    return [part for value in values for part in (8, value)]


# What never changes, so that the receipt covers it.
FIXED_LABEL_COLUMNS = (
    "id",
    "organization_id",
    "model_id",
    "receipt_id",
    "entity_id",
    "prediction_timestamp",
    "outcome_timestamp",
    "outcome",
)
LABEL_COLUMNS = (
    *FIXED_LABEL_COLUMNS,
    "outcome_value",
    "match",
    "prediction_id",
    "superseded",
    "supersedes_id",
    "counted",
    "created_at",
)
COPY_LABELS = (
    f"COPY monitoring_groundtruth ({', '.join(LABEL_COLUMNS)}) "
    "FROM STDIN (FORMAT binary)"
)
LABEL_START = struct.pack("!h", len(LABEL_COLUMNS))
# Where the receipt stands behind that: after id, organization, model and its length.
LABEL_RECEIPT = struct.calcsize("!i16siqiqi")
_integer = struct.Struct("!iq").pack


def integer(value: int) -> bytes:
    return _integer(8, value)


def uuid(value: UUID | None) -> bytes:
    return NULL if value is None else _length(16) + value.bytes


def boolean(value: bool) -> bytes:
    return b"\0\0\0\1\1" if value else b"\0\0\0\1\0"
