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
        points, below, upto = _points(ascending, edges)
        size = max(len(ascending), 1)
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
        return *self._buckets.limits(known), len(known)

    def _ks(self, below: Ints, upto: Ints, size: int) -> float:
        share = below / size
        if upto is below:
            # the window's curve is flat at every step of the baseline's
            return float(max((share - self.before).max(), (self.upto - share).max()))
        after = upto / size
        gaps = np.abs(share - self.before).max(), np.abs(after - self.upto).max()
        return float(max(gaps))


def _points(ascending: Floats, edges: Floats) -> tuple[Floats, Ints, Ints]:
    """Return the distinct values and the edges, how many values are below, and up to.

    As `union1d` and `limits`, without a search for what stands in order already.
    """
    starts = np.flatnonzero(np.append(True, ascending[1:] != ascending[:-1]))
    starts = starts[: len(ascending)]
    values = ascending[starts]
    ends = np.append(starts[1:], len(ascending))[: len(starts)]
    places = np.searchsorted(values, edges)
    is_new = (
        values.take(places, mode="clip") != edges if len(values) else edges == edges
    )
    new, where = edges[is_new], places[is_new]
    counts = np.searchsorted(ascending, new)
    return (
        np.insert(values, where, new),
        np.insert(starts, where, counts),
        np.insert(ends, where, counts),
    )


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
