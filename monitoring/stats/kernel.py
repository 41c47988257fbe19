"""Many raw columns at once: exact KS and PSI, chi-square and Jensen-Shannon.

For the analysis job, which has the rows. p-values depend on these scores and the
numbers of rows alone and are left to the caller (`significance`, scipy).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitoring.stats import shares
from monitoring.stats.columns import (
    Kind,
    Values,
    between,
    by_category,
    distinct,
    finite,
    limits,
    numbers,
    ordered,
    psi_edges,
    steps,
)
from monitoring.stats.placing import MIN_ROWS, Buckets
from monitoring.stats.tally import Floats, Ints

Scores = dict[str, float]


@dataclass(frozen=True, eq=False)
class NumericReference:
    """A numeric baseline column, ready to be compared."""

    points: Floats  # distinct values and edges
    before: Floats  # share of values below each point
    upto: Floats  # share of values up to each point
    edges: NDArray[np.intp]  # which of the points are edges of the PSI bins
    bins: Ints

    @classmethod
    def of(cls, values: Values) -> NumericReference:
        """Return the reference of a baseline column."""
        ascending, _, _ = ordered(numbers(values))
        edges = psi_edges(ascending)
        points = np.union1d(distinct(ascending), edges)
        size = max(len(ascending), 1)
        below, upto = limits(ascending, points) if len(points) else (points, points)
        return cls(
            points,
            below / size,
            upto / size,
            np.searchsorted(points, edges),
            between(ascending, edges),
        )

    def scores(self, values: Values) -> Scores:
        """Return D and PSI, nothing if a side has no value."""
        if not len(self.points):
            return {}
        below, upto, size = self._limits(numbers(values))
        if not size:
            return {}
        psi = shares.psi(self.bins, steps(upto[self.edges], size))
        return {"ks_test": self._ks(below, upto, size), "psi": psi}

    @cached_property
    def _buckets(self) -> Buckets | None:
        return Buckets.over(self.points)

    def _limits(self, values: NDArray[Any] | Sequence[Any]) -> tuple[Ints, Ints, int]:
        known, _, _ = finite(values)
        if not len(known):
            return np.zeros(0, np.int64), np.zeros(0, np.int64), 0
        if len(known) < MIN_ROWS or self._buckets is None:
            return *limits(np.sort(known), self.points), len(known)
        return *self._buckets.place(known).limits(), len(known)

    def _ks(self, below: Ints, upto: Ints, size: int) -> float:
        share = below / size
        if upto is below:
            # the window's curve is flat at every step of the baseline's
            return float(max((share - self.before).max(), (self.upto - share).max()))
        after = upto / size
        gaps = np.abs(share - self.before).max(), np.abs(after - self.upto).max()
        return float(max(gaps))


@dataclass(frozen=True, slots=True, eq=False)
class CategoricalReference:
    """A categorical baseline column, ready to be compared."""

    counts: Mapping[str, int]

    @classmethod
    def of(cls, values: Values) -> CategoricalReference:
        """Return the reference of a baseline column."""
        return cls(by_category(values)[0])

    def scores(self, values: Values) -> Scores:
        """Return Cramér's V and Jensen-Shannon, nothing if a side has no value."""
        window = by_category(values)[0]
        if not window or not self.counts:
            return {}
        names = [*self.counts, *(name for name in window if name not in self.counts)]
        first = np.array([self.counts.get(name, 0) for name in names])
        second = np.array([window.get(name, 0) for name in names])
        test = shares.chi_square(first, second)
        return {
            "chi_square": test.cramers_v,
            "chi_square_statistic": test.statistic,
            "jensen_shannon": shares.jensen_shannon(first, second),
        }


Reference = Mapping[str, NumericReference | CategoricalReference]


def prepare(columns: Mapping[str, Values], kinds: Mapping[str, Kind]) -> Reference:
    """Return the baseline's columns, ready to be compared with any window."""
    return {
        name: NumericReference.of(columns[name])
        if kind == "numeric"
        else CategoricalReference.of(columns[name])
        for name, kind in kinds.items()
    }


def kernel(baseline: Reference, window: Mapping[str, Values]) -> dict[str, Scores]:
    """Return the scores of every column of the baseline that the window has.

    Needs a few times the memory of the largest column.

    Examples
    --------
    >>> baseline = prepare({"x": [1.0, 2.0, 3.0, 4.0]}, {"x": "numeric"})
    >>> kernel(baseline, {"x": [3.0, 4.0]})["x"]["ks_test"]
    0.5

    """
    return {
        name: reference.scores(window[name])
        for name, reference in baseline.items()
        if name in window
    }
