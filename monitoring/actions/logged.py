"""Logged predictions as tables, each read once, by receipt or by id.

The server puts the values of a column together, some thousands of rows at a time: a
message for each row would cost more than everything that is done with it afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from governance.models import ModelVersion
from monitoring.actions import bulk
from monitoring.models import Receipt
from monitoring.stats import lines, rows

# What PostgreSQL counts its time stamps from, in µs since 1970.
_EPOCH_2000 = 946_684_800_000_000
# Most models are binary; of those with more classes the rows are read a second time.
_USUAL_WIDTH = 2
# A value of PostgreSQL ends at 1 GB, and one of these holds the features of that many
# rows, whatever a receipt has.
ROWS_TOGETHER = 2_500

# An aggregate passes over nulls: a number that isn't there is NaN. Texts are only what
# is no number, in the order of the rows.
_COLUMNS = r"""
    p.receipt_id,
    count(*),
    max(coalesce(cardinality(p.probabilities), 0)),
    string_agg(uuid_send(p.id), ''),
    string_agg(timestamptz_send(p.timestamp), ''),
    string_agg(float8send(coalesce(p.prediction_value, 'NaN')), ''),
    string_agg(
        CASE WHEN p.prediction_value IS NULL THEN p.prediction END, E'\n'
    ),
    string_agg({features}, E'\n')
"""
_PROBABILITY = "string_agg(float8send(coalesce(p.probabilities[{place}], 'NaN')), '')"
# A line feed in an object of JSON is white space, and hardly anybody sends one.
_FEATURES = "p.features"
_ONE_LINE = r"replace(p.features, E'\n', ' ')"

# The identifiers of a receipt lie close together; no index on the receipt is needed.
_OF_RECEIPTS = """
    SELECT part.* FROM unnest(%s::uuid[], %s::uuid[], %s::uuid[])
        AS r(id, first_id, last_id)
    CROSS JOIN LATERAL (
        SELECT {columns} FROM monitoring_prediction AS p
        WHERE p.id BETWEEN r.first_id AND r.last_id AND p.receipt_id = r.id
        GROUP BY p.receipt_id
    ) AS part
"""
_WITH_IDS = """
    SELECT {columns} FROM unnest(%s::uuid[]) WITH ORDINALITY AS wanted(id, place)
    CROSS JOIN LATERAL (
        SELECT * FROM monitoring_prediction AS p WHERE p.id = wanted.id OFFSET 0
    ) AS p
    GROUP BY p.receipt_id, wanted.place / %s
"""

# In the order of an index that ends with neither version nor id: the rows of one moment
# are few.
_BETWEEN = """
    SELECT {columns} FROM (
        SELECT * FROM monitoring_prediction
        WHERE model_id = %s AND version_id = %s AND "timestamp" >= %s
        AND "timestamp" < %s AND ("timestamp", id) > (%s, %s)
        ORDER BY "timestamp", id LIMIT %s
    ) AS p GROUP BY p.receipt_id
"""


@dataclass(frozen=True, slots=True)
class Logged:
    """Rows as they were read; `table` makes columns of them, without a database."""

    receipts: bytes  # the identifiers, one after the other
    counts: NDArray[np.int64]  # how many rows of each of these come next
    ids: bytes
    times: bytes  # µs since 2000, as PostgreSQL sends them
    values: bytes
    probabilities: tuple[bytes, ...]  # a column for each class
    texts: bytes  # predictions that are no numbers, as lines
    features: bytes  # as lines of JSON

    def table(self, kinds: lines.Kinds) -> tuple[pa.Table, lines.Parsed]:
        """Return the rows, and what was wrong with their features."""
        values = _numbers(self.values)
        columns = {
            "id": _identifiers(self.ids),
            "receipt": self._receipts(),
            "timestamp": pa.array(
                np.frombuffer(self.times, ">i8").astype(np.int64) + _EPOCH_2000,
                pa.timestamp("us", "UTC"),
            ),
            "value": pa.array(values),
        }
        for place, column in enumerate(self.probabilities):
            columns[f"{rows.PROBABILITY}{place}"] = pa.array(_numbers(column))
        if self.texts:
            columns["text"] = self._texts(np.isnan(values))
        parsed = lines.parse(self.features, kinds)
        return lines.with_features(pa.table(columns), parsed), parsed

    def _receipts(self) -> pa.DictionaryArray:
        # A receipt may come in several parts.
        known = _identifiers(self.receipts).dictionary_encode()
        codes = np.repeat(known.indices.to_numpy(), self.counts)
        return pa.DictionaryArray.from_arrays(pa.array(codes), known.dictionary)

    def _texts(self, are_texts: NDArray[np.bool_]) -> pa.DictionaryArray:
        found: list[bytes | None] = [None] * len(are_texts)
        for place, text in zip(
            np.flatnonzero(are_texts).tolist(), self.texts.split(b"\n"), strict=True
        ):
            found[place] = text
        return rows.labels(found)


def of_receipts(receipts: Sequence[Receipt]) -> Logged:
    """Read the rows of some receipts."""
    spans = [span for receipt in receipts for span in _spans(receipt)]
    keys, firsts, lasts = (list(part) for part in zip(*spans, strict=True))
    return _read(_OF_RECEIPTS, (keys, firsts, lasts))


def _spans(receipt: Receipt) -> Iterator[tuple[UUID, UUID, UUID]]:
    """Yield a receipt with the bounds of some thousand rows of it.

    The identifiers of a batch are spread evenly, so that equal spans have about as
    many rows.
    """
    first, last = receipt.first_id.int, receipt.last_id.int
    parts = max(1, -(-receipt.rows // ROWS_TOGETHER))
    step = (last - first) // parts + 1
    for start in range(first, last + 1, step):
        end = min(start + step - 1, last)
        yield receipt.pk, UUID(int=start), UUID(int=end)


def with_ids(ids: Sequence[UUID], kinds: lines.Kinds) -> pa.Table:
    """Return the predictions with these ids, as far as there are any."""
    return _read(_WITH_IDS, (list(ids), ROWS_TOGETHER)).table(kinds)[0]


def between(
    version: ModelVersion, start: datetime, end: datetime, kinds: lines.Kinds
) -> Iterator[pa.Table]:
    """Yield a version's predictions in [start, end), some thousands at a time."""
    last = start, UUID(int=0)
    while True:
        found = _read(
            _BETWEEN,
            (version.model_id, version.pk, last[0], end, *last, ROWS_TOGETHER),
        )
        table = found.table(kinds)[0]
        if table.num_rows:
            yield table
        if table.num_rows < ROWS_TOGETHER:
            return
        times, keys = table["timestamp"].to_pylist(), table["id"].to_pylist()
        at, key = max(zip(times, keys, strict=True))
        last = at, UUID(bytes=key)


def _read(source: str, parameters: bulk.Parameters) -> Logged:
    """Read rows, again if they aren't like most."""
    width, features = _USUAL_WIDTH, _FEATURES
    while True:
        found, widest = _copy(source, parameters, width, features)
        has_line_feeds = lines.count(found.features) > found.counts.sum()
        if widest <= width and not has_line_feeds:
            return found
        width = max(width, widest)
        features = _ONE_LINE if has_line_feeds else features


def _copy(
    source: str, parameters: bulk.Parameters, width: int, features: str
) -> tuple[Logged, int]:
    """Return the rows with so many probabilities, and the most that one of them has."""
    places = range(1, width + 1)
    columns = [
        _COLUMNS.format(features=features),
        *(_PROBABILITY.format(place=place) for place in places),
    ]
    query = source.format(columns=", ".join(columns))
    parts = list(bulk.fields(query, parameters))
    receipts, counts, widths, ids, times, values, texts, features_, *chances = (
        zip(*parts, strict=True) if parts else [()] * (8 + width)
    )
    widest = int(np.frombuffer(b"".join(widths), ">i4").max(initial=0))
    return Logged(
        b"".join(receipts),
        np.frombuffer(b"".join(counts), ">i8").astype(np.int64),
        b"".join(ids),
        b"".join(times),
        b"".join(values),
        tuple(b"".join(column) for column in chances) if widest else (),
        b"\n".join([text for text in texts if text is not None]),
        b"\n".join(features_),
    ), widest


def _numbers(column: bytes) -> NDArray[np.float64]:
    return np.frombuffer(column, ">f8").astype(np.float64)


def _identifiers(column: bytes) -> pa.Array:
    return pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(16), len(column) // 16, [None, pa.py_buffer(column)]
    )
