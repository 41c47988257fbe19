"""Two numeric columns side by side, sorted and merged once for all algorithms."""

from __future__ import annotations

from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from monitoring.stats.columns import Ordered, Values, distinct, limits
from monitoring.stats.measure import NoDataError
from monitoring.stats.tally import Floats, Ints


class Pair:
    """A baseline and a window, each sorted and not empty.

    Attributes
    ----------
    first, second : float array
        Values of the baseline and of the window.
    sizes : (int, int)
        How many they are.
    """

    def __init__(self, first: Floats, second: Floats) -> None:
        self.first, self.second = first, second
        self.sizes = len(first), len(second)

    @classmethod
    def of(cls, baseline: Values | Ordered, window: Values | Ordered) -> Self:
        """Return the pair of two columns; of the same two sorted ones, the same pair.

        Raises
        ------
        NoDataError
            A side has no value.
        ValueError
            A value is infinite.

        """
        first, second = (
            side if isinstance(side, Ordered) else Ordered(side)
            for side in (baseline, window)
        )
        if second.pair is None or second.pair.first is not first.values:
            for side in (first, second):
                if side.infinite:
                    raise ValueError(f"{side.infinite} infinite values")
                if not len(side.values):
                    raise NoDataError("a side has no value")
            second.pair = cls(first.values, second.values)
        found: Self = second.pair
        return found

    @property
    def is_constant(self) -> bool:
        """Whether all values are equal."""
        first, second = self.first, self.second
        return bool(min(first[0], second[0]) == max(first[-1], second[-1]))

    @cached_property
    def largest_gap(self) -> float:
        """The largest distance of the two distribution functions.

        Between two of the baseline's values its own function stands still, so that the
        distance is largest at one of them, or right below it.
        """
        points = distinct(self.first)
        gaps = []
        for before, after in zip(
            limits(self.first, points), limits(self.second, points), strict=True
        ):
            gaps.append(np.abs(before / self.sizes[0] - after / self.sizes[1]).max())
        return float(max(gaps))

    @cached_property
    def is_first(self) -> NDArray[np.bool_]:
        """Which of the pooled values are the baseline's; of equal ones, the last."""
        places = np.searchsorted(self.second, self.first, "right")
        found = np.zeros(sum(self.sizes), np.bool_)
        found[places + np.arange(len(places))] = True
        return found

    @cached_property
    def pooled(self) -> Floats:
        """All values, rising."""
        found = np.empty(sum(self.sizes))
        found[self.is_first] = self.first
        found[~self.is_first] = self.second
        return found

    @cached_property
    def of_first(self) -> Ints:
        """How many of the pooled values up to each place are the baseline's.

        Shape (n + 1,): from 0, before the first one.
        """
        found = np.zeros(sum(self.sizes) + 1, np.int64)
        np.cumsum(self.is_first, out=found[1:])
        return found

    @cached_property
    def below(self) -> Ints:
        """How many pooled values lie below each distinct one."""
        return np.flatnonzero(
            np.append(True, self.pooled[1:] != self.pooled[:-1])
        ).astype(np.int64)

    @cached_property
    def upto(self) -> Ints:
        """How many pooled values lie up to each distinct one."""
        return np.append(self.below[1:], len(self.pooled))

    @cached_property
    def gaps(self) -> Floats:
        """F - G at each distinct value, F being the baseline's distribution."""
        first = self.of_first[self.upto]
        return first / self.sizes[0] - (self.upto - first) / self.sizes[1]

    @cached_property
    def widths(self) -> Floats:
        """Distances of neighbouring distinct values; infinite where float64 ends."""
        with np.errstate(over="ignore"):
            return np.diff(self.pooled[self.below])

    @property
    def ties(self) -> Ints:
        """How often each distinct value occurs."""
        return self.upto - self.below
