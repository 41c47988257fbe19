"""One column, baseline against window, from raw values: the reference definitions.

Each function drops missing values on its side and refuses ±inf. A column is numeric
if it holds numbers, categorical if it is text, boolean or `Codes`: never by the number
of its values. The live view computes the same figures from counts (`curves`, `shares`).
"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from monitoring.stats import ranks, shares
from monitoring.stats.columns import (
    Codes,
    Ordered,
    Values,
    between,
    by_category,
    psi_edges,
)
from monitoring.stats.measure import Measure as Measure
from monitoring.stats.measure import NoDataError as NoDataError
from monitoring.stats.moments import moments
from monitoring.stats.pairs import Pair
from monitoring.stats.significance import chi_square_p_value
from monitoring.stats.tally import Floats, Ints

Bins = Literal["psi", "doane"]
Numbers = Values | Ordered

# scipy's exact p-value of D takes 17 ms there, and grows with the product of the sizes.
MAX_EXACT = 10_000

# Below this spread a numeric column counts as constant when distances are scaled.
MIN_SPREAD = 0.001
# scipy's Cramér-von Mises p-value is wrong under ties: 68 % false alarms on data half
# of which is zero.
MAX_TIES = 0.05
# The variance of the Anderson-Darling criterion is known from this many values on.
MIN_ANDERSON_DARLING = 4


def is_categorical(values: Values) -> bool:
    """Answer whether a column is text, boolean or codes."""
    if isinstance(values, Codes):
        return True
    if isinstance(values, np.ndarray) and values.dtype.kind != "O":
        return values.dtype.kind not in "fiu"
    known = next((v for v in values if v is not None and v == v), 0.0)
    return isinstance(known, str | bool | np.bool_)


def psi(baseline: Numbers, window: Numbers) -> Measure:
    """Return the population stability index.

    Numeric: bins between the distinct deciles of the baseline, right-closed, the outer
    ones open. Categorical: one bin for each category of the union. A share of zero
    counts as 1e-4.

    Examples
    --------
    >>> round(psi(["a", "b"] * 50, ["a"] * 80 + ["b"] * 20).score, 4)
    0.4159

    """
    return _over_bins(shares.psi, baseline, window)


def kl_divergence(baseline: Numbers, window: Numbers) -> Measure:
    """Return the Kullback-Leibler divergence of the window, on the bins of `psi`."""
    return _over_bins(shares.kl_divergence, baseline, window)


def jensen_shannon(
    baseline: Numbers, window: Numbers, *, bins: Bins = "psi"
) -> Measure:
    """Return the Jensen-Shannon distance to base 2, in [0, 1]."""
    return _over_bins(shares.jensen_shannon, baseline, window, bins)


def hellinger(baseline: Numbers, window: Numbers, *, bins: Bins = "psi") -> Measure:
    """Return the Hellinger distance, in [0, 1]."""
    return _over_bins(shares.hellinger, baseline, window, bins)


def total_variation(
    baseline: Numbers, window: Numbers, *, bins: Bins = "psi"
) -> Measure:
    """Return half the sum of the differences of the shares, in [0, 1]."""
    return _over_bins(shares.total_variation, baseline, window, bins)


def l_infinity(baseline: Numbers, window: Numbers, *, bins: Bins = "psi") -> Measure:
    """Return the largest difference of the shares, in [0, 1]."""
    return _over_bins(shares.l_infinity, baseline, window, bins)


def chi_square(baseline: Values, window: Values, *, correction: bool = True) -> Measure:
    """Return Cramér's V of the table side x category, with the chi-square test.

    Categories expected fewer than 5 times on a side are counted as one
    (`low_counts`); Yates' correction for two categories.
    """
    first, second = category_counts(baseline, window)
    test = shares.chi_square(first, second, correction=correction)
    return Measure(
        test.cramers_v,
        int(first.sum()),
        int(second.sum()),
        test.statistic,
        chi_square_p_value(test),
        "chi2",
        test.low_counts,
    )


def ks_test(baseline: Numbers, window: Numbers) -> Measure:
    """Return the two-sample Kolmogorov-Smirnov statistic D, in [0, 1].

    The p-value is scipy's: exact if neither side has more than 10,000 values, else
    asymptotic.
    """
    pair = Pair.of(baseline, window)
    statistic = pair.largest_gap
    p_value = None
    if max(pair.sizes) <= MAX_EXACT:
        p_value = _exact_ks_p_value(pair)
    method = "asymptotic" if p_value is None else "exact"
    if p_value is None:
        from scipy.stats import kstwo

        first, second = pair.sizes
        size = round(first * second / (first + second))
        p_value = min(max(float(kstwo.sf(statistic, size)), 0.0), 1.0)
    return _measure(statistic, pair, p_value=p_value, p_value_method=method)


def _exact_ks_p_value(pair: Pair) -> float | None:
    """Return scipy's, None for a few odd sizes that are beyond its arithmetic."""
    from scipy.stats import ks_2samp

    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        try:
            return float(ks_2samp(pair.first, pair.second, method="exact").pvalue)
        except RuntimeWarning:
            return None


def wasserstein(baseline: Numbers, window: Numbers) -> Measure:
    """Return the integral of |F - G|, in the column's unit, from 0."""
    pair = Pair.of(baseline, window)
    return _measure(_distance(pair), pair)


def wasserstein_normed(baseline: Numbers, window: Numbers) -> Measure:
    """Return `wasserstein` in standard deviations of the baseline (at least 0.001)."""
    pair = Pair.of(baseline, window)
    return _measure(_distance(pair) / max(moments(pair.first)[1], MIN_SPREAD), pair)


def energy(baseline: Numbers, window: Numbers) -> Measure:
    """Return the energy distance, the root of twice the integral of (F - G)²."""
    pair = Pair.of(baseline, window)
    gaps = pair.gaps[:-1]
    return _measure(math.sqrt(2 * float((gaps * gaps) @ pair.widths)), pair)


def cramer_von_mises(baseline: Numbers, window: Numbers) -> Measure:
    """Return the Cramér-von Mises criterion, T scaled by (N + n) / (N n).

    No p-value where more than 5 % of the values are tied.
    """
    pair = Pair.of(baseline, window)
    if pair.is_constant:
        return _measure(0.0, pair, p_value=1.0, p_value_method="asymptotic")
    statistic = ranks.cramer_von_mises(pair)
    first, second = pair.sizes
    p_value = None
    if 1 - len(pair.below) / (first + second) <= MAX_TIES and min(pair.sizes) > 1:
        p_value = ranks.cramer_von_mises_p_value(statistic, first, second)
    return _measure(
        statistic * (1 / first + 1 / second),
        pair,
        statistic=statistic,
        p_value=p_value,
        p_value_method=None if p_value is None else "asymptotic",
    )


def anderson_darling(baseline: Numbers, window: Numbers) -> Measure:
    """Return the Anderson-Darling criterion, A² scaled by (N + n) / (N n).

    It weighs (F - G)² most where few values lie, so that it sees tails that
    `cramer_von_mises` doesn't. Ties count by their middle rank. `statistic` is scipy's
    normalised A²; the p-value is known between 0.001 and 0.25 and clipped to that.
    Where all values are equal there is no test.
    """
    pair = Pair.of(baseline, window)
    if pair.is_constant:
        return _measure(0.0, pair)
    score = ranks.anderson_darling(pair)
    if sum(pair.sizes) < MIN_ANDERSON_DARLING:
        return _measure(score, pair)
    statistic = ranks.normalised_anderson_darling(score, *pair.sizes)
    return _measure(
        score,
        pair,
        statistic=statistic,
        p_value=ranks.anderson_darling_p_value(statistic),
        p_value_method="interpolated",
    )


def mann_whitney(baseline: Numbers, window: Numbers) -> Measure:
    """Return the rank-biserial correlation |2 U / (N n) - 1|, in [0, 1].

    `statistic` is U of the baseline; the p-value is two-sided, corrected for ties and
    continuity.
    """
    pair = Pair.of(baseline, window)
    statistic = ranks.mann_whitney(pair)
    first, second = pair.sizes
    return _measure(
        abs(2 * statistic / first / second - 1),
        pair,
        statistic=statistic,
        p_value=ranks.mann_whitney_p_value(statistic, pair),
        p_value_method="asymptotic",
    )


def welch_t(baseline: Numbers, window: Numbers) -> Measure:
    """Return the difference of the means in pooled standard deviations, from 0.

    `statistic` is Welch's t, of the window against the baseline. Both sides constant
    or a single value on a side: neither t nor p-value.
    """
    pair = Pair.of(baseline, window)
    (mean, spread), (window_mean, window_spread) = map(
        moments, (pair.first, pair.second)
    )
    gap = window_mean - mean
    pooled = math.hypot(spread, window_spread) / math.sqrt(2)
    score = abs(gap) / max(pooled, MIN_SPREAD)
    first, second = (size - 1 for size in pair.sizes)
    if min(first, second) < 1 or not pooled:
        return _measure(score, pair)
    from scipy.special import stdtr

    errors = spread / math.sqrt(first), window_spread / math.sqrt(second)
    error = math.hypot(*errors)
    shares = [(one / error) ** 4 for one in errors]
    freedom = 1 / (shares[0] / first + shares[1] / second)
    statistic = gap / error
    return _measure(
        score,
        pair,
        statistic=statistic,
        p_value=2 * float(stdtr(freedom, -abs(statistic))),
        p_value_method="t",
    )


def bin_counts(
    baseline: Numbers, window: Numbers, bins: Bins = "psi"
) -> tuple[Ints, Ints]:
    """Return the counts of both sides over the baseline's bins or the categories.

    Raises
    ------
    NoDataError
        A side has no value.

    """
    if not (isinstance(baseline, Ordered) or isinstance(window, Ordered)) and (
        is_categorical(baseline) or is_categorical(window)
    ):
        return category_counts(baseline, window)
    pair = Pair.of(baseline, window)
    edges = psi_edges(pair.first) if bins == "psi" else _doane_edges(pair.first)
    return between(pair.first, edges), between(pair.second, edges)


def _doane_edges(values: Floats) -> Floats:
    """Return the inner edges of Doane's bins, or deciles where float64 has none."""
    if values[-1] / 2 - values[0] / 2 > sys.float_info.max / 2:
        return psi_edges(values)
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            edges = np.histogram_bin_edges(values, "doane")[1:-1]
    except ValueError:
        # the range is too narrow to be divided
        return psi_edges(values)
    return edges if np.isfinite(edges).all() else psi_edges(values)


def category_counts(baseline: Values, window: Values) -> tuple[Ints, Ints]:
    """Return the counts of both sides over the union of their categories."""
    first, second = by_category(baseline)[0], by_category(window)[0]
    if not first or not second:
        raise NoDataError("a side has no value")
    names = sorted(first.keys() | second.keys())
    return (
        np.array([first.get(name, 0) for name in names]),
        np.array([second.get(name, 0) for name in names]),
    )


def _over_bins(
    distance: Callable[[Ints, Ints], float],
    baseline: Numbers,
    window: Numbers,
    bins: Bins = "psi",
) -> Measure:
    first, second = bin_counts(baseline, window, bins)
    return Measure(distance(first, second), int(first.sum()), int(second.sum()))


def _measure(score: float, pair: Pair, **more: Any) -> Measure:
    return Measure(score, *pair.sizes, **more)


def _distance(pair: Pair) -> float:
    return float(np.abs(pair.gaps[:-1]) @ pair.widths)
