"""Regular time stamps: the step between them, the steps without a row, and doubles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from monitoring.reports.clocks import Chunk, Times, moment

MOST_GAPS = 10
# From this share of equal steps on a series is regular.
REGULAR = 0.9
FEWEST = 24
_MICROSECOND = np.timedelta64(1, "us")


@dataclass(frozen=True, slots=True)
class Gap:
    """Neighbouring steps of which none has a row."""

    start: datetime  # the first step without a row
    end: datetime  # the first one with a row again
    steps: int

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {
            "start": self.start.isoformat(),
            "end": self.end.isoformat(),
            "steps": self.steps,
        }


@dataclass(frozen=True, slots=True)
class Cluster:
    """A short stretch of time in which many steps have no row."""

    start: datetime
    end: datetime
    absent: int
    steps: int

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {
            "start": self.start.isoformat(),
            "end": self.end.isoformat(),
            "absent": self.absent,
            "steps": self.steps,
        }


@dataclass(frozen=True, slots=True)
class Clock:
    """How regular the rows of a file come.

    Attributes
    ----------
    step : timedelta or None
        Between most neighbouring time stamps; None if there is none.
    steps, absent : int
        From the first time stamp to the last, and how many of them have no row.
    repeated : int
        Time stamps that occur more than once.
    gaps : tuple of Gap
        The longest.
    worst : Cluster or None
        The two days in which most steps have no row.
    by_chunk : tuple of int
        Steps without a row, chunk by chunk.
    """

    step: timedelta | None
    steps: int = 0
    absent: int = 0
    repeated: int = 0
    gaps: tuple[Gap, ...] = ()
    worst: Cluster | None = None
    by_chunk: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {
            "step_seconds": None if self.step is None else self.step.total_seconds(),
            "steps": self.steps,
            "absent": self.absent,
            "repeated": self.repeated,
            "gaps": [gap.to_json() for gap in self.gaps],
            "worst": None if self.worst is None else self.worst.to_json(),
        }


def read(times: Times | None, chunks: Sequence[Chunk] = ()) -> Clock:
    """Return how regular rising time stamps are.

    Rows of many subjects at one time have no step of their own: then, and for fewer
    than 24 rows, nothing is told.
    """
    if times is None or len(times) < FEWEST:
        return Clock(None)
    distinct = np.unique(times)
    if len(distinct) < REGULAR * len(times):
        return Clock(None)
    waits = np.diff(distinct) // _MICROSECOND
    values, counts = np.unique(waits, return_counts=True)
    step = int(values[counts.argmax()])
    if counts.max() < REGULAR * len(waits):
        return Clock(None)
    passed = np.maximum(np.round(waits / step).astype(np.int64) - 1, 0)
    starts = distinct[:-1] + np.timedelta64(step, "us")
    absent = np.repeat(starts, passed) + _offsets(passed) * np.timedelta64(step, "us")
    return Clock(
        timedelta(microseconds=step),
        len(distinct) + int(passed.sum()),
        int(passed.sum()),
        len(times) - len(distinct),
        _longest(starts, distinct, passed),
        _worst(absent, step),
        tuple(_absent_in(absent, chunk) for chunk in chunks),
    )


def _offsets(passed: np.ndarray[Any, np.dtype[np.int64]]) -> Any:
    """Return 0, 1, … for each run of steps."""
    ends = np.cumsum(passed)
    return np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - passed, passed)


def _longest(starts: Times, distinct: Times, passed: Any) -> tuple[Gap, ...]:
    order = np.argsort(-passed, kind="stable")[:MOST_GAPS]
    return tuple(
        Gap(moment(starts[place]), moment(distinct[place + 1]), int(passed[place]))
        for place in order.tolist()
        if passed[place] > 0
    )


def _worst(absent: Times, step: int) -> Cluster | None:
    """Return the two calendar days with most absent steps."""
    if not len(absent):
        return None
    days = absent.astype("datetime64[D]")
    first = days[0]
    counts = np.bincount((days - first).astype(np.int64), minlength=2)
    pairs = counts[:-1] + counts[1:]
    place = int(pairs.argmax())
    start = first + np.timedelta64(place, "D")
    end = start + np.timedelta64(2, "D")
    return Cluster(
        moment(start), moment(end), int(pairs[place]), 2 * 86_400_000_000 // step
    )


def _absent_in(absent: Times, chunk: Chunk) -> int:
    if chunk.start is None or chunk.end is None:
        return 0
    low, high = (
        np.datetime64(one.replace(tzinfo=None), "us")
        for one in (chunk.start, chunk.end)
    )
    return int(np.count_nonzero((absent >= low) & (absent < high)))
