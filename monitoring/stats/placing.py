"""Where a long column's values stand among grid points, without sorting the column.

Buckets of equal width are found by one multiplication a value. A bucket's number rises
with the value, whatever is rounded, so a value in a bucket without a point lies
certainly between two points, and counting is all it takes. Only the values that share
a bucket with a point are sorted: a few percent. (Sorting the whole column takes six
times as long where numpy's vector sort is slow, as with AVX-512 on Zen 4.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from monitoring.stats.columns import limits
from monitoring.stats.tally import Floats, Ints

BUCKETS = 1 << 19
# Below this number of values a sort is as quick.
MIN_ROWS = 100_000
# Above this share of values in buckets with a point, sorting all is as quick.
MAX_SHARED = 0.25
# Values whose bucket numbers are computed at once: they stay in the cache.
_PIECE = 1 << 15


@dataclass(frozen=True, slots=True, eq=False)
class Buckets:
    """Equal buckets over the range of some grid points, and which hold a point."""

    points: Floats  # shape (m,), rising
    low: float
    scale: float  # buckets a unit
    holds: NDArray[np.bool_]  # shape (BUCKETS,)
    of_point: Ints  # bucket of each point, shape (m,)

    @classmethod
    def over(cls, points: Floats) -> Self | None:
        """Return buckets for the points, None if too many values would be sorted."""
        if len(points) < 2:
            return None
        low, high = float(points[0]), float(points[-1])
        with np.errstate(over="ignore"):
            scale = (BUCKETS - 1) / (high - low)
        if not 0 < scale < np.inf or not np.isfinite(high - low):
            return None
        numbers = _numbers(points, low, scale)
        holds = np.zeros(BUCKETS, np.bool_)
        holds[numbers] = True
        # A value meets a point in its bucket as often as a point meets another one.
        alone = np.bincount(numbers, minlength=BUCKETS)[numbers] == 1
        if 1 - alone.mean() > MAX_SHARED:
            return None
        return cls(points, low, scale, holds, numbers)

    def limits(self, values: Floats) -> tuple[Ints, Ints]:
        """Return how many of the finite values lie below and up to each point."""
        numbers = _numbers(values, self.low, self.scale)
        counts = np.bincount(numbers, minlength=BUCKETS)
        counts[self.holds] = 0
        clear = np.cumsum(counts)[self.of_point]
        shared = values[self.holds[numbers]]
        if not len(shared):
            return clear, clear
        shared.sort()
        below, upto = limits(shared, self.points)
        if upto is below:
            below = below + clear
            return below, below
        return below + clear, upto + clear


def _numbers(values: NDArray[Any], low: float, scale: float) -> Ints:
    """Return each value's bucket; values outside of the range go to the outer ones."""
    result = np.empty(len(values), np.intp)
    work = np.empty(min(_PIECE, len(values)))
    for start in range(0, len(values), _PIECE):
        piece = values[start : start + _PIECE]
        part = work[: len(piece)]
        with np.errstate(over="ignore"):
            np.subtract(piece, low, out=part)
            part *= scale
        np.clip(part, 0, BUCKETS - 1, out=part)
        result[start : start + _PIECE] = part
    return result
