"""Where values stand among grid points, without sorting the values.

Buckets of equal width are found by one multiplication a value. A bucket's number rises
with the value, whatever is rounded, so that the points in lower buckets are certainly
below it; of those in its own bucket there is one or none. To sort a column and search
in it takes four times as long (six times where numpy's vector sort is slow, as with
AVX-512 on Zen 4).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from monitoring.stats.packing import Floats, Ints

# Below this number of values a sort is as quick.
MIN_ROWS = 4_000
# Buckets for each point; more don't stay in the cache.
_SPARE = 4
# With more points than that in one bucket a sort is quicker.
MOST_POINTS = 8
# Values placed at once: what is made of them on the way stays in the cache.
_PIECE = 1 << 15


class Placed(NamedTuple):
    """Where values stand among the points."""

    below: Ints  # how many of the points are below each value
    hits: NDArray[np.bool_]  # whether the next point equals it
    size: int  # number of points

    def limits(self) -> tuple[Ints, Ints]:
        """Return how many of the values lie below each point, and up to it.

        Where no value equals a point, both are the same array.
        """
        found = np.bincount(self.below, minlength=self.size + 1)
        upto = np.cumsum(found[: self.size])
        if not self.hits.any():
            return upto, upto
        equal = np.bincount(self.below[self.hits], minlength=self.size)
        return upto - equal, upto


@dataclass(frozen=True, slots=True, eq=False)
class Buckets:
    """Equal buckets over the range of some grid points."""

    points: Floats  # shape (m,), rising, and infinity behind them
    low: float
    scale: float  # buckets a unit
    below: Ints  # number of points in lower buckets, one for each bucket

    @classmethod
    def over(cls, points: Floats) -> Self | None:
        """Return buckets for the points, None if too many fall into one of them."""
        if len(points) < 2:
            return None
        size = 1 << (_SPARE * len(points) - 1).bit_length()
        low, high = float(points[0]), float(points[-1])
        with np.errstate(over="ignore"):
            scale = (size - 1) / (high - low)
        if not 0 < scale < np.inf or not np.isfinite(high - low):
            return None
        counts = np.bincount(_numbers(points, low, scale, size), minlength=size)
        if counts.max() > MOST_POINTS:
            return None
        return cls(np.append(points, np.inf), low, scale, np.cumsum(counts) - counts)

    def place(self, values: Floats) -> Placed:
        """Place finite values, in any order."""
        below = np.empty(len(values), np.int64)
        hits = np.empty(len(values), np.bool_)
        for start in range(0, len(values), _PIECE):
            piece = slice(start, start + _PIECE)
            self._place(values[piece], below[piece], hits[piece])
        return Placed(below, hits, len(self.points) - 1)

    def limits(self, values: Floats) -> tuple[Ints, Ints]:
        """Return what `place(values).limits()` does, in less memory and time."""
        size = len(self.points) - 1
        found, equal = np.zeros(size + 1, np.int64), np.zeros(size + 1, np.int64)
        length = min(len(values), _PIECE)
        places, hits = np.empty(length, np.int64), np.empty(length, np.bool_)
        for start in range(0, len(values), _PIECE):
            piece = values[start : start + _PIECE]
            mine, is_hit = places[: len(piece)], hits[: len(piece)]
            self._place(piece, mine, is_hit)
            found += np.bincount(mine, minlength=size + 1)
            if is_hit.any():
                equal += np.bincount(mine[is_hit], minlength=size + 1)
        upto = np.cumsum(found[:size])
        return (upto - equal[:size], upto) if equal.any() else (upto, upto)

    def _place(self, values: Floats, places: Ints, hits: NDArray[np.bool_]) -> None:
        """Fill in the places of some values, and whether the next point equals each.

        An index is never out of range here; to clip it is quicker than to check it.
        """
        numbers = _numbers(values, self.low, self.scale, len(self.below))
        self.below.take(numbers, mode="clip", out=places)
        ahead = self.points.take(places, mode="clip")
        np.equal(ahead, values, out=hits)
        rest = np.flatnonzero(ahead < values)
        mine = values.take(rest)
        while len(rest):
            where = places.take(rest)
            where += 1
            places[rest] = where
            ahead = self.points.take(where, mode="clip")
            equal = ahead == mine
            if equal.any():
                hits[rest[equal]] = True
            still = np.flatnonzero(ahead < mine)
            rest, mine = rest.take(still), mine.take(still)


def _numbers(values: NDArray[Any], low: float, scale: float, size: int) -> Ints:
    """Return each value's bucket; values outside of the range go to the outer ones."""
    with np.errstate(over="ignore"):
        work = values - low
        work *= scale
    np.clip(work, 0.0, size - 1.0, out=work)
    # By way of 32 bits it takes half as long.
    return work.astype(np.int32).astype(np.intp)
