"""Time stamps of rows: reading them, and cutting rows into chunks by them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from monitoring.reports.plan import Period, Plan
from monitoring.reports.tables import Table, UnusableError

Times = NDArray[np.datetime64]

CHUNKS = 10
_UNIT: dict[Period, str] = {"hour": "h", "day": "D", "month": "M"}
_A_MONDAY = 4  # 1970-01-05, in days since 1970


def times_of(plan: Plan, table: Table) -> Times | None:
    """Return the time stamps of a file in UTC, None if it has none.

    A time stamp without a zone is taken for UTC.

    Raises
    ------
    UnusableError
        A time stamp is missing, or isn't one.

    """
    if plan.timestamp is None or plan.timestamp not in table.columns:
        return None
    column = table.column(plan.timestamp)
    where = f"Column {plan.timestamp!r} of {table.role}"
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = _parsed(column, where)
    if pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("us"))
    if not pa.types.is_timestamp(column.type):
        msg = f"{where} holds {column.type}, not ISO 8601 time stamps."
        raise UnusableError(msg)
    if column.null_count:
        row = pc.index(column.is_null(), pa.scalar(True)).as_py() + 1
        raise UnusableError(f"{where} has no time stamp in row {row}.")
    return np.asarray(column.cast(pa.timestamp("us"), safe=False).to_numpy())


def _parsed(column: Any, where: str) -> Any:
    import pandas as pd

    found = pd.to_datetime(
        column.to_pandas(), format="ISO8601", utc=True, errors="coerce"
    )
    wrong = np.flatnonzero(found.isna().to_numpy() & column.is_valid().to_numpy(False))
    if len(wrong):
        row = int(wrong[0])
        shown = str(column[row].as_py())[:40]
        raise UnusableError(
            f"{where} has {shown!r} in row {row + 1}, which is no ISO 8601 time stamp."
        )
    return pa.array(found.dt.tz_localize(None).astype("datetime64[us]"))


class Moments(Sequence[datetime]):
    """Time stamps that become `datetime` when they are asked for."""

    def __init__(self, times: Times) -> None:
        self._times = times

    def __len__(self) -> int:
        return len(self._times)

    @overload
    def __getitem__(self, place: int) -> datetime: ...

    @overload
    def __getitem__(self, place: slice) -> Moments: ...

    def __getitem__(self, place: int | slice) -> datetime | Moments:
        if isinstance(place, slice):
            return Moments(self._times[place])
        return moment(self._times[place])


def moment(time: np.datetime64) -> datetime:
    """Return a time stamp as a datetime in UTC."""
    found: datetime = time.astype("datetime64[us]").item()
    return found.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows that belong together."""

    label: str
    first: int  # row, in the order of time
    stop: int
    start: datetime | None  # of the period, or of the first row
    end: datetime | None  # exclusive for a period, else of the last row

    @property
    def rows(self) -> slice:
        """Where the rows are."""
        return slice(self.first, self.stop)

    def __len__(self) -> int:
        return self.stop - self.first


def chunks(plan: Plan, times: Times | None, rows: int) -> list[Chunk]:
    """Cut rows into chunks, by calendar period or by number."""
    if plan.period is not None and times is not None:
        return list(_by_period(plan.period, times))
    size = plan.chunk_rows or max(-(-rows // CHUNKS), 1)
    return list(_by_number(size, times, rows))


def _by_period(period: Period, times: Times) -> Iterator[Chunk]:
    starts = period_starts(period, times)
    firsts = np.flatnonzero(np.append(True, starts[1:] != starts[:-1]))
    for first, stop in zip(firsts, [*firsts[1:], len(times)], strict=True):
        start = starts[first]
        end = _next(period, start)
        yield Chunk(
            label(period, start), int(first), int(stop), moment(start), moment(end)
        )


def period_starts(period: Period, times: Times) -> Times:
    """Return the start of the period that each time stamp lies in."""
    if period == "week":
        days = times.astype("datetime64[D]").astype(np.int64)
        mondays: Times = (days - (days - _A_MONDAY) % 7).astype("datetime64[D]")
        return mondays
    return times.astype(f"datetime64[{_UNIT[period]}]")


def _next(period: Period, start: np.datetime64) -> np.datetime64:
    if period == "week":
        return start + np.timedelta64(7, "D")
    return start + np.timedelta64(1, _UNIT[period])  # type: ignore[call-overload, no-any-return]


def label(period: Period, start: np.datetime64) -> str:
    """Return the name of a period."""
    text = str(start)
    return f"{text.replace('T', ' ')}:00" if period == "hour" else text


def _by_number(size: int, times: Times | None, rows: int) -> Iterator[Chunk]:
    for first in range(0, rows, size):
        stop = min(first + size, rows)
        start = end = None
        if times is not None:
            start, end = moment(times[first]), moment(times[stop - 1])
        yield Chunk(f"rows {first + 1} to {stop}", first, stop, start, end)
