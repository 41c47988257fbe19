"""The rows of a window as an analysis needs them: read once, in the order of time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from django.db.models import Sum
from numpy.typing import NDArray

from governance.models import ModelVersion
from monitoring.actions import bulk, segments
from monitoring.actions.periods import HOUR, Window
from monitoring.models import Segment
from monitoring.stats import gauges, rows
from monitoring.stats.answers import Answers
from monitoring.stats.columns import Codes, Values
from monitoring.stats.encoding import take
from monitoring.stats.gauges import Gauge
from monitoring.stats.tally import Ints

# Of a longer window a part of the rows is drawn, by a hash of their ids: memory and
# time have an end, and the same rows are drawn again.
MOST_ROWS = 2_000_000
LABELS_AT_ONCE = 500_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_WHOLE = 1 << 64

Identifiers = NDArray[np.void]


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The rows of a window; every column has their length and their order.

    Attributes
    ----------
    total : int
        Rows in the window; more than there are here if some were drawn.
    ids : array, shape (n,)
        Identifiers of the predictions: 16 bytes each, as two big-endian numbers.
    times : int array, shape (n,)
        Time stamps in microseconds since 1970; rising.
    columns : dict of str to array or Codes
        Of the baseline's grid. A value that was refused is missing.
    invalid : dict of str to int
        How many values of a column were refused.
    answers : Answers or None
        None if the model's task isn't known.
    labels : Codes or None
        Of the rows whose outcome is known; None if no one's is.
    """

    total: int
    ids: Identifiers
    times: Ints
    columns: dict[str, Values]
    invalid: dict[str, int]
    answers: Answers | None
    labels: Codes | None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def labelled(self) -> int:
        """How many rows have a label."""
        return 0 if self.labels is None else int((self.labels.codes >= 0).sum())

    @property
    def digest(self) -> str:
        """SHA-256 over the identifiers in their order, in hexadecimal."""
        return hashlib.sha256(self.ids.tobytes()).hexdigest()

    @property
    def labels_digest(self) -> str:
        """SHA-256 over the labels in the order of the rows, in hexadecimal."""
        found = hashlib.sha256()
        if self.labels is not None:
            found.update("\0".join(self.labels.categories).encode())
            found.update(self.labels.codes.astype("<i4").tobytes())
        return found.hexdigest()

    def moment(self, place: int) -> datetime:
        """Return the time stamp of a row."""
        return _EPOCH + int(self.times[place]) * _MICROSECOND

    def behind(self, moment: datetime, identifier: UUID) -> int:
        """Return the place of the first row after this one in their order."""
        since_1970 = (moment - _EPOCH) // _MICROSECOND
        start, end = (
            int(np.searchsorted(self.times, since_1970, side))
            for side in ("left", "right")
        )
        high, low = divmod(identifier.int, _WHOLE)
        same = self.ids[start:end]
        upto = (same["high"] < high) | ((same["high"] == high) & (same["low"] <= low))
        return start + int(np.count_nonzero(upto))

    def identifier(self, place: int) -> UUID:
        """Return the identifier of a row."""
        return UUID(bytes=self.ids[place].tobytes())


_ID = np.dtype([("high", ">u8"), ("low", ">u8")])


def read(version: ModelVersion, gauge: Gauge, window: Window) -> Rows:
    """Return the window's rows; those of quarantined receipts are left out.

    One statement reads the segments, so that each row is there once even if segments
    are being merged; another reads the labels.
    """
    total, share = _share(version, window)
    table = _table(version, gauge, window, share)
    if table is None or not table.num_rows:
        return _none(gauge, total=0)
    ids = _ids(table["id"])
    times = table["timestamp"].cast(pa.int64()).to_numpy()
    columns, wrong = rows.aligned(table, gauge.kinds)
    answers = None
    if gauge.layout is not None:
        answers = gauges.answers_of(gauge.layout, table, is_ordered=gauge.is_ordered)
    del table
    order = _order(ids, times)
    if order is not None:
        ids, times = ids[order], times[order]
        columns = {name: take(column, order) for name, column in columns.items()}
        answers = None if answers is None else answers.at(order)
    if answers is not None and gauges.SCORE in gauge.grid.columns:
        columns[gauges.SCORE] = gauge.watched(answers)
    return Rows(
        total=total if share < 1 else len(ids),
        ids=ids,
        times=times,
        columns=columns,
        invalid={name: len(places) for name, places in wrong.items()},
        answers=answers,
        labels=_labels(version, ids),
    )


def _none(gauge: Gauge, *, total: int) -> Rows:
    answers = None if gauge.layout is None else gauge.layout.answers(np.zeros(0))
    columns: dict[str, Values] = {
        name: np.zeros(0) if kind == "numeric" else Codes(np.zeros(0, np.int32), ())
        for name, kind in gauge.kinds.items()
    }
    return Rows(
        total, np.zeros(0, _ID), np.zeros(0, np.int64), columns, {}, answers, None
    )


def _share(version: ModelVersion, window: Window) -> tuple[int, float]:
    """Return the rows of the window's hours, and which share of them is drawn."""
    found = Segment.objects.filter(
        version=version, hour__gt=window.start - HOUR, hour__lt=window.end
    ).aggregate(rows=Sum("rows"))
    total = found["rows"] or 0
    return total, min(MOST_ROWS / max(total, 1), 1.0)


def _table(
    version: ModelVersion, gauge: Gauge, window: Window, share: float
) -> pa.Table | None:
    suspended = segments.quarantined(version, window.start, window.end)
    wanted = {rows.FEATURE + name for name in gauge.kinds}
    parts: list[pa.Table] = []

    def keep(found: list[memoryview | None]) -> None:
        (data,) = found
        if data is None:
            return
        part = _inside(rows.decode(data), window)
        part = _drawn(segments.without(part, suspended), share)
        parts.append(
            part.select(
                [
                    name
                    for name in part.column_names
                    if name in wanted
                    or (name != "receipt" and not name.startswith(rows.FEATURE))
                ]
            )
        )

    bulk.each(
        "SELECT data FROM monitoring_segment WHERE version_id = %s AND hour > %s "
        "AND hour < %s ORDER BY hour, id",
        (version.pk, window.start - HOUR, window.end),
        keep,
    )
    if not parts:
        return None
    return pa.concat_tables(rows.alike(parts), promote_options="default")


def _inside(table: pa.Table, window: Window) -> pa.Table:
    """Return the rows whose time stamp is in the window."""
    times = table["timestamp"].cast(pa.int64()).to_numpy()
    start, end = (
        (moment - _EPOCH) // _MICROSECOND for moment in (window.start, window.end)
    )
    inside = (times >= start) & (times < end)
    return table if inside.all() else table.filter(pa.array(inside))


def _drawn(table: pa.Table, share: float) -> pa.Table:
    """Return the rows whose identifier's hash lies in the lowest share of all."""
    if share >= 1:
        return table
    ids = _ids(table["id"])
    chosen = _hashes(ids) < np.uint64(min(int(share * _WHOLE), _WHOLE - 1))
    return table.filter(pa.array(chosen))


def _hashes(ids: Identifiers) -> NDArray[np.uint64]:
    """Return the finaliser of splitmix64 over both halves of the identifiers."""
    bits = ids["high"].astype(np.uint64) ^ ids["low"].astype(np.uint64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        bits = (bits ^ (bits >> np.uint64(shift))) * np.uint64(factor)
    return bits ^ (bits >> np.uint64(31))


def _ids(column: pa.ChunkedArray) -> Identifiers:
    array = rows.one_array(column)
    data = np.frombuffer(array.buffers()[1], _ID)
    return data[array.offset : array.offset + len(array)]


def _order(ids: Identifiers, times: Ints) -> NDArray[np.intp] | None:
    """Return the order by time, then identifier; None if it is that already."""
    high, low = ids["high"].astype(np.uint64), ids["low"].astype(np.uint64)
    same = times[1:] == times[:-1]
    rising = (high[1:] > high[:-1]) | ((high[1:] == high[:-1]) & (low[1:] > low[:-1]))
    if ((times[1:] > times[:-1]) | (same & rising)).all():
        return None
    return np.lexsort((low, high, times))


def _labels(version: ModelVersion, ids: Identifiers) -> Codes | None:
    """Return the label of each row as far as there is one."""
    codes = np.full(len(ids), -1, np.int32)
    places: dict[str, int] = {}
    keys = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(16), len(ids), [None, pa.py_buffer(np.ascontiguousarray(ids))]
    )
    for first, last in _spans(ids):
        found, texts = bulk.records_and_lines(
            "SELECT prediction_id, outcome FROM monitoring_groundtruth "
            "WHERE prediction_id BETWEEN %s AND %s AND model_id = %s "
            "AND NOT superseded",
            (first, last, version.model_id),
            [("id", "V16")],
        )
        if not len(found):
            continue
        labels = rows.codes_of(rows.labels(texts.split(b"\n")))
        known = pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(16), len(found), [None, pa.py_buffer(found["id"].tobytes())]
        )
        at = pc.index_in(keys, known).fill_null(-1).to_numpy(zero_copy_only=False)
        mine = at >= 0
        table = np.array(
            [*(places.setdefault(n, len(places)) for n in labels.categories), -1],
            np.int32,
        )
        codes[mine] = table[labels.codes[at[mine]]]
    return Codes(codes, list(places)) if places else None


def _spans(ids: Identifiers) -> Iterator[tuple[UUID, UUID]]:
    """Yield ranges of identifiers with so many of the rows in each."""
    high = np.sort(ids["high"].astype(np.uint64))
    for start in range(0, len(high), LABELS_AT_ONCE):
        first = int(high[start])
        last = int(high[min(start + LABELS_AT_ONCE, len(high)) - 1])
        yield UUID(int=first << 64), UUID(int=(last + 1 << 64) - 1)
