"""Logged predictions as tables, each read once, by receipt or by id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
import pyarrow as pa

from monitoring.actions import bulk
from monitoring.models import Receipt
from monitoring.stats import lines, rows

# What PostgreSQL counts its time stamps from, in µs since 1970.
_EPOCH_2000 = 946_684_800_000_000
# Most models are binary; of those with more classes the rows are read a second time.
_USUAL_WIDTH = 2

_FIXED = (
    "p.id, p.receipt_id, p.timestamp, coalesce(p.prediction_value, 'NaN'), "
    "coalesce(cardinality(p.probabilities), 0)"
)
# The identifiers of a receipt lie close together; no index on the receipt is needed.
_OF_RECEIPTS = """
    FROM unnest(%s::uuid[], %s::uuid[], %s::uuid[]) AS r(id, first_id, last_id)
    CROSS JOIN LATERAL (
        SELECT * FROM monitoring_prediction AS p
        WHERE p.id BETWEEN r.first_id AND r.last_id AND p.receipt_id = r.id OFFSET 0
    ) AS p
"""
_WITH_IDS = """
    FROM unnest(%s::uuid[]) AS wanted(id)
    CROSS JOIN LATERAL (
        SELECT * FROM monitoring_prediction AS p WHERE p.id = wanted.id OFFSET 0
    ) AS p
"""

Records = np.ndarray[tuple[int], np.dtype[np.void]]
Parameters = tuple[list[UUID], ...]


@dataclass(frozen=True, slots=True)
class Logged:
    """Rows as they were read; `table` makes columns of them, without a database."""

    records: Records
    features: bytes  # as lines of JSON
    width: int  # of the probabilities
    texts: dict[bytes, bytes] | None  # id → prediction, where it is no number

    def table(self, kinds: lines.Kinds) -> tuple[pa.Table, lines.Parsed]:
        """Return the rows, and what was wrong with their features."""
        columns = _columns(self.records, self.width)
        if self.texts is not None:
            ids = self.records["id"].tobytes()
            keys = [ids[at : at + 16] for at in range(0, len(ids), 16)]
            columns["text"] = rows.labels([self.texts.get(key) for key in keys])
        parsed = lines.parse(self.features, kinds)
        return lines.with_features(pa.table(columns), parsed), parsed


def of_receipts(receipts: Sequence[Receipt]) -> Logged:
    """Read the rows of some receipts."""
    parameters = (
        [receipt.pk for receipt in receipts],
        [receipt.first_id for receipt in receipts],
        [receipt.last_id for receipt in receipts],
    )
    return _read(_OF_RECEIPTS, parameters)


def with_ids(ids: Sequence[UUID], kinds: lines.Kinds) -> pa.Table:
    """Return the predictions with these ids, as far as there are any."""
    return _read(_WITH_IDS, (list(ids),)).table(kinds)[0]


def _read(source: str, parameters: Parameters) -> Logged:
    width = _USUAL_WIDTH
    found, features = _copy(source, parameters, width)
    widest = int(found["width"].max(initial=0))
    if widest > width:
        width = widest
        found, features = _copy(source, parameters, width)
    texts = None
    if np.isnan(found["value"]).any():
        texts = _texts(source, parameters)
    return Logged(found, features, width, texts)


def _copy(source: str, parameters: Parameters, width: int) -> tuple[Records, bytes]:
    """Return what is of fixed width in the rows, and their features as lines."""
    probabilities = "".join(
        f", coalesce(p.probabilities[{place}], 'NaN')" for place in range(1, width + 1)
    )
    formats = [
        ("id", "V16"),
        ("receipt", "V16"),
        ("timestamp", ">i8"),
        ("value", ">f8"),
        ("width", ">i4"),
        *((f"{rows.PROBABILITY}{place}", ">f8") for place in range(width)),
    ]
    query = f"SELECT {_FIXED}{probabilities}, p.features {source}"
    return bulk.records_and_lines(query, parameters, formats)


def _columns(found: Records, width: int) -> dict[str, pa.Array]:
    columns = {
        "id": _identifiers(found["id"]),
        "receipt": _identifiers(found["receipt"]).dictionary_encode(),
        "timestamp": pa.array(
            found["timestamp"].astype(np.int64) + _EPOCH_2000, pa.timestamp("us", "UTC")
        ),
        "value": pa.array(found["value"].astype(np.float64)),
    }
    for place in range(width if found["width"].any() else 0):
        name = f"{rows.PROBABILITY}{place}"
        columns[name] = pa.array(found[name].astype(np.float64))
    return columns


def _identifiers(column: Records) -> pa.Array:
    buffer = pa.py_buffer(column.tobytes())
    return pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(16), len(column), [None, buffer]
    )


def _texts(source: str, parameters: Parameters) -> dict[bytes, bytes]:
    """Return the predictions that are labels, by id."""
    query = f"SELECT p.id, p.prediction {source} WHERE p.prediction_value IS NULL"
    return {
        bytes(key): bytes(text)
        for key, text in bulk.fields(query, parameters)
        if key is not None and text is not None
    }
