"""Many raw columns at once: exact KS and PSI, chi-square and Jensen-Shannon.

For the analysis job, which has the rows. p-values depend on these scores and the
numbers of rows alone and are left to the caller (`significance`, scipy).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from monitoring.stats import shares
from monitoring.stats.columns import (
    Kind,
    Values,
    by_category,
    numbers,
    ordered,
    psi_edges,
    ranks,
)
from monitoring.stats.tally import Floats, Ints

Scores = dict[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class NumericReference:
    """A numeric baseline column, ready to be compared."""

    points: Floats  # distinct values
    upto: Floats  # share below point 0, up to it, below point 1, …
    edges: Floats
    bins: Ints

    @classmethod
    def of(cls, values: Values) -> NumericReference:
        """Return the reference of a baseline column."""
        ascending, _, _ = ordered(numbers(values))
        points = ascending[np.diff(ascending, prepend=-np.inf) > 0]
        edges = psi_edges(ascending)
        upto = ranks(ascending, points) / max(len(ascending), 1)
        return cls(points, upto, edges, _bins(ascending, edges))

    def scores(self, values: Values) -> Scores:
        """Return D and PSI, nothing if a side has no value."""
        ascending, _, _ = ordered(numbers(values))
        if not len(ascending) or not len(self.points):
            return {}
        upto = ranks(ascending, self.points) / len(ascending)
        np.subtract(upto, self.upto, out=upto)
        return {
            "ks_test": float(np.abs(upto, out=upto).max()),
            "psi": shares.psi(self.bins, _bins(ascending, self.edges)),
        }


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

    Needs one sorted copy of the largest column as memory.

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


def _bins(ascending: Floats, edges: Floats) -> Ints:
    ends = np.searchsorted(ascending, edges, "right")
    return np.diff(ends, prepend=0, append=len(ascending))
