"""All algorithms of one column from counts: scores, p-values, no-drift figures."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from monitoring.stats import curves, shares, significance
from monitoring.stats.columns import CategoricalColumn, NumericColumn
from monitoring.stats.curves import Curve
from monitoring.stats.report import Bins
from monitoring.stats.significance import NoDrift
from monitoring.stats.tally import OTHER, Ints, Tally
from monitoring.stats.univariate import MIN_SPREAD

CHART_CATEGORIES = 50

# Distances of two sets of counts over the same bins or categories.
DISTANCES: Mapping[str, Callable[[Ints, Ints], float]] = {
    "psi": shares.psi,
    "jensen_shannon": shares.jensen_shannon,
    "hellinger": shares.hellinger,
    "total_variation": shares.total_variation,
    "l_infinity": shares.l_infinity,
    "kl_divergence": shares.kl_divergence,
}


@dataclass(frozen=True, slots=True)
class Reading:
    """What one algorithm reads off one column's counts."""

    score: float  # the low end where the grid leaves an interval
    high: float
    no_drift: NoDrift
    p_value: float | None = None
    p_value_method: str | None = None
    low_counts: bool = False
    measurable: bool = True
    failed: bool = False
    reason: str = ""  # why nothing was measured


@dataclass(frozen=True, slots=True, eq=False)
class CurvePair:
    """A numeric column of baseline and window."""

    baseline: Curve
    window: Curve

    @classmethod
    def of(cls, column: NumericColumn, baseline: Tally, window: Tally) -> Self:
        """Return the column's part of both tallies."""
        return cls(Curve.of(column, baseline), Curve.of(column, window))

    @property
    def n(self) -> int:
        """Number of values of the window."""
        return self.window.n

    @property
    def n_baseline(self) -> int:
        """Number of values of the baseline."""
        return self.baseline.n

    @property
    def missing(self) -> int:
        """Number of missing values of the window."""
        return self.window.missing

    @property
    def missing_baseline(self) -> int:
        """Number of missing values of the baseline."""
        return self.baseline.missing

    @property
    def invalid(self) -> int:
        """Number of refused values of the window."""
        return self.window.invalid

    def read(self, wanted: Container[str], columns: int) -> dict[str, Reading]:
        """Return the wanted readings; both sides must have values."""
        bins = self.baseline.bins(), self.window.bins()
        readings = _read_bins(*bins, wanted, columns)
        if "ks_test" in wanted:
            low, high = curves.ks(self.baseline, self.window)
            readings["ks_test"] = Reading(
                low,
                high,
                significance.ks_without_drift(self.n_baseline, self.n),
                significance.ks_p_value(low, self.n_baseline, self.n),
                significance.ASYMPTOTIC,
            )
        if "wasserstein" in wanted or "wasserstein_normed" in wanted:
            readings |= self._read_distance(wanted, columns)
        return readings

    def _read_distance(
        self, wanted: Container[str], columns: int
    ) -> dict[str, Reading]:
        found = curves.wasserstein(self.baseline, self.window)
        chance = significance.wasserstein_without_drift(self.baseline, self.n, columns)
        spread = math.sqrt(self.baseline.moments().variance)
        readings = {}
        for name, unit in (
            ("wasserstein", 1.0),
            ("wasserstein_normed", max(spread, MIN_SPREAD)),
        ):
            if name in wanted:
                low, high = found.low / unit, found.high / unit
                finite = math.isfinite(low) and math.isfinite(high)
                no_drift = chance.in_units(unit)
                readings[name] = Reading(low, high, no_drift, measurable=finite)
        return readings

    def direction(self) -> str | None:
        """Return whether the window tends to be higher or lower, None if neither."""
        wins = curves.mann_whitney(self.baseline, self.window).window_wins
        if abs(wins - 0.5) < 1e-12:
            return None
        return "higher" if wins > 0.5 else "lower"

    def moments(self) -> dict[str, float]:
        """Return mean and standard deviation (ddof 0) of both sides."""
        result = {}
        for suffix, curve in (("", self.window), ("_baseline", self.baseline)):
            mean, variance = curve.moments()
            result["mean" + suffix] = mean
            result["std" + suffix] = math.sqrt(variance)
        return result

    def bins(self) -> Bins:
        """Return the shares of the PSI bins."""
        return Bins(
            tuple(self.baseline.column.edges.tolist()),
            None,
            tuple(shares.shares(self.baseline.bins()).tolist()),
            tuple(shares.shares(self.window.bins()).tolist()),
        )


@dataclass(frozen=True, slots=True, eq=False)
class CategoryPair:
    """A categorical column of both sides, over the union of its categories."""

    names: tuple[str, ...]
    baseline: Ints
    window: Ints
    missing: int
    missing_baseline: int
    invalid: int

    @classmethod
    def of(cls, column: CategoricalColumn, baseline: Tally, window: Tally) -> Self:
        """Return the union: the grid's categories, then unseen ones by name."""
        unseen = [side.unseen.get(column.name, {}) for side in (baseline, window)]
        extra = sorted(unseen[0].keys() | unseen[1].keys())
        counts = [side.ints[column.cells] for side in (baseline, window)]
        if extra:
            counts = [
                np.append(known, [names.get(name, 0) for name in extra])
                for known, names in zip(counts, unseen, strict=True)
            ]
        after = column.cells.stop
        return cls(
            column.categories + tuple(extra),
            counts[0],
            counts[1],
            missing=int(window.ints[after]),
            missing_baseline=int(baseline.ints[after]),
            invalid=int(window.ints[after + 1]),
        )

    @property
    def n(self) -> int:
        """Number of values of the window."""
        return int(self.window.sum())

    @property
    def n_baseline(self) -> int:
        """Number of values of the baseline."""
        return int(self.baseline.sum())

    def read(self, wanted: Container[str], columns: int) -> dict[str, Reading]:
        """Return the wanted readings; both sides must have values."""
        readings = _read_bins(self.baseline, self.window, wanted, columns)
        if "chi_square" in wanted:
            test = shares.chi_square(self.baseline, self.window)
            total = self.n + self.n_baseline
            readings["chi_square"] = Reading(
                test.cramers_v,
                test.cramers_v,
                significance.cramers_v_without_drift(test, total),
                significance.chi_square_p_value(test),
                "chi2",
                test.low_counts,
                test.measurable,
            )
        return readings

    def direction(self) -> str | None:
        """Return None: categories have no order."""
        return None

    def moments(self) -> dict[str, float]:
        """Return nothing: categories have no mean."""
        return {}

    def bins(self) -> Bins:
        """Return the shares of the most frequent categories, the rest as one."""
        sides = np.stack((shares.shares(self.baseline), shares.shares(self.window)))
        names = self.names
        if len(names) > CHART_CATEGORIES:
            order = np.argsort(-sides.max(axis=0), kind="stable")
            kept = np.sort(order[:CHART_CATEGORIES])
            rest = 1 - sides[:, kept].sum(axis=1, keepdims=True)
            sides = np.concatenate((sides[:, kept], rest.clip(0)), axis=1)
            names = (*(names[place] for place in kept), OTHER)
        return Bins(None, names, tuple(sides[0].tolist()), tuple(sides[1].tolist()))


Pair = CurvePair | CategoryPair


def pair_of(
    column: NumericColumn | CategoricalColumn, baseline: Tally, window: Tally
) -> Pair:
    """Return the column's part of both tallies."""
    if isinstance(column, NumericColumn):
        return CurvePair.of(column, baseline, window)
    return CategoryPair.of(column, baseline, window)


def _read_bins(
    baseline: Ints, window: Ints, wanted: Container[str], columns: int
) -> dict[str, Reading]:
    chance = significance.without_drift(baseline, window, columns)
    readings = {}
    for name, distance in DISTANCES.items():
        if name in wanted:
            score = distance(baseline, window)
            readings[name] = Reading(score, score, chance[name])
    return readings
