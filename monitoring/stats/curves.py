"""Numeric columns from grid counts: exact, or within an interval that is certain."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np

from monitoring.stats.columns import NumericColumn, steps
from monitoring.stats.tally import Floats, Ints, Tally


class Interval(NamedTuple):
    """The two ends between which a statistic of the raw values certainly lies."""

    low: float
    high: float


class Moments(NamedTuple):
    """Mean and variance (ddof 0); not finite where float64 can't hold the sums."""

    mean: float
    variance: float


class RankTest(NamedTuple):
    """Mann-Whitney U of the baseline, and the share of pairs the window wins."""

    statistic: float
    window_wins: float  # in [0, 1], ties count half; 0.5 without a shift


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """The distribution of one numeric column of one tally.

    Attributes
    ----------
    column : NumericColumn
        The grid.
    cells : int64 array, shape (2 m + 1,)
        Counts: below point 0, equal to it, between it and point 1, …
    counts : int64 array, shape (2 m + 1,)
        Their running sum: at 2 i below point i, at 2 i + 1 up to point i.
    upto : float64 array, shape (2 m + 1,)
        `counts` as shares; not a number if there is no value.
    n, missing, invalid : int
        Number of values, of missing ones, of refused ones.

    """

    column: NumericColumn
    cells: Ints
    counts: Ints
    upto: Floats
    n: int
    missing: int
    invalid: int
    sums: Floats
    squares: float

    @classmethod
    def of(cls, column: NumericColumn, tally: Tally) -> Self:
        """Return the column's part of the tally."""
        stored, size = tally.ints[column.cells], len(column.points)
        cells = np.empty(2 * size + 1, np.int64)
        cells[::2], cells[1::2] = stored[: size + 1], stored[size + 1 :]
        counts = np.cumsum(cells)
        n = int(counts[-1])
        missing, invalid = tally.ints[column.cells.stop : column.cells.stop + 2]
        sums = tally.sums[column.sums]
        squares = float(tally.sums[column.sums.stop])
        upto = counts / n if n else np.full(len(cells), np.nan)
        return cls(
            column, cells, counts, upto, n, int(missing), int(invalid), sums, squares
        )

    def bins(self) -> Ints:
        """Return the counts of the PSI bins, right-closed, outer ones open."""
        places = np.searchsorted(self.column.points, self.column.edges)
        return steps(self.counts[2 * places + 1], self.n)

    def moments(self) -> Moments:
        """Return mean and variance, from sums around the baseline's median."""
        with np.errstate(over="ignore", invalid="ignore"):
            shift = float(self.sums.sum()) / self.n if self.n else math.nan
            variance = self.squares / self.n - shift * shift if self.n else math.nan
        return Moments(self.column.centre + shift, max(variance, 0.0))


def ks(baseline: Curve, window: Curve) -> Interval:
    """Return the two-sample Kolmogorov-Smirnov statistic, max |F - G|.

    On a grid of all baseline values both ends are the exact statistic: between two
    points the baseline's curve is constant and the window's rises, so the largest
    difference stands at an end of a cell. Where the baseline has values inside a
    cell, the difference there exceeds that of the ends by less than the smaller of
    the two shares in the cell, hence ``high - low < 1/2048`` on a thinned grid.

    Parameters
    ----------
    baseline, window : Curve
        Counts on the same grid, each of at least one value.

    Returns
    -------
    Interval
        In [0, 1], 0 is equality.

    """
    low = float(np.abs(baseline.upto - window.upto).max())
    if not baseline.column.thinned:
        return Interval(low, low)
    before, after = _ends(baseline)
    window_before, window_after = _ends(window)
    inside = max((after - window_before).max(), (window_after - before).max())
    return Interval(low, max(low, float(inside)))


def _ends(curve: Curve) -> tuple[Floats, Floats]:
    """Return the curve behind the left and before the right end of each open cell."""
    return np.append(0.0, curve.upto[1::2]), curve.upto[::2]


def wasserstein(baseline: Curve, window: Curve) -> Interval:
    """Return the Wasserstein distance, the integral of |F - G|.

    Over a stretch between two sums on which neither curve crosses the other the
    distance is the difference of two known integrals. Elsewhere the curves are only
    known to stay inside their cells, which gives the two ends.

    Parameters
    ----------
    baseline, window : Curve
        Counts on the same grid, each of at least one value.

    Returns
    -------
    Interval
        In the column's unit, from 0; not finite where float64 can't hold the sums.

    """
    column = baseline.column
    points, bounds = column.points, column.bounds
    if not column.thinned and np.array_equal(baseline.upto, window.upto):
        # the same distribution: nothing is left for rounding to say
        return Interval(0.0, 0.0)
    with np.errstate(over="ignore", invalid="ignore"):
        tails = _tails(baseline, window)
        if len(points) == 1:
            return Interval(tails, tails)
        before, after = (ends[1:-1] for ends in _ends(baseline))
        window_before, window_after = (ends[1:-1] for ends in _ends(window))
        widths = np.diff(points)
        behind, ahead = after - window_before, window_after - before
        starts = bounds[:-1]
        signed = np.abs(_signed(baseline, window, starts))
        # one curve on the same side of the other in every cell of the stretch
        apart = (np.maximum.reduceat(behind, starts) <= 0) | (
            np.maximum.reduceat(ahead, starts) <= 0
        )
        least = np.maximum(0, np.maximum(-behind, -ahead)) * widths
        most = np.maximum(behind, ahead) * widths
        low = np.maximum(signed, np.add.reduceat(least, starts))
        high = np.maximum(low, np.add.reduceat(most, starts))
        total_low = tails + float(np.where(apart, signed, low).sum())
        total_high = tails + float(np.where(apart, signed, high).sum())
    return Interval(total_low, total_high)


def _tails(baseline: Curve, window: Curve) -> float:
    """Return the window's distance outside the baseline's range."""
    points, centre = baseline.column.points, baseline.column.centre
    below = window.cells[0] * (points[0] - centre) - window.sums[0]
    ends = window.cells[-1] + window.cells[-2]
    above = window.sums[-1] - ends * (points[-1] - centre)
    # rounding of the sums must not turn an empty tail into a distance
    below = max(below, 0.0) if window.cells[0] else 0.0
    above = max(above, 0.0) if window.cells[-1] else 0.0
    return float(below + above) / window.n


def _signed(baseline: Curve, window: Curve, starts: Ints) -> Floats:
    """Return the integral of G - F from each bound to the next."""
    column = baseline.column
    places = column.points - column.centre
    left, right = places[column.bounds[:-1]], places[column.bounds[1:]]
    result = np.zeros(len(starts))
    for curve, sign in ((window, 1.0), (baseline, -1.0)):
        counts = curve.counts[2 * column.bounds]
        inside = np.diff(counts)
        held = counts[:-1] * (right - left) + inside * right - curve.sums[1:-1]
        result += sign * held / curve.n
    return result


def mann_whitney(baseline: Curve, window: Curve) -> RankTest:
    """Return the Mann-Whitney U of the baseline.

    Exact on a grid of all baseline values; on a thinned one, pairs inside one cell
    count half.
    """
    cells = window.cells
    below = window.counts - cells
    statistic = float(baseline.cells @ below) + 0.5 * float(baseline.cells @ cells)
    wins = 1.0 - statistic / baseline.n / window.n
    return RankTest(statistic, wins)


def welch_t(baseline: Curve, window: Curve) -> float:
    """Return Welch's t of the window's mean against the baseline's.

    Not a number where a side has fewer than two values or both are constant.
    """
    if min(baseline.n, window.n) < 2:
        return math.nan
    first, second = baseline.moments(), window.moments()
    error = first.variance / (baseline.n - 1) + second.variance / (window.n - 1)
    if not 0 < error < math.inf:
        return math.nan
    return (second.mean - first.mean) / math.sqrt(error)
