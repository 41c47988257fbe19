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

from monitoring.stats import shares
from monitoring.stats.columns import (
    Codes,
    Values,
    between,
    by_category,
    distinct,
    ordered,
    psi_edges,
)
from monitoring.stats.measure import Measure as Measure
from monitoring.stats.measure import NoDataError as NoDataError
from monitoring.stats.moments import moments
from monitoring.stats.significance import chi_square_p_value
from monitoring.stats.tally import Floats, Ints

Bins = Literal["psi", "doane"]

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


def psi(baseline: Values, window: Values) -> Measure:
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


def kl_divergence(baseline: Values, window: Values) -> Measure:
    """Return the Kullback-Leibler divergence of the window, on the bins of `psi`."""
    return _over_bins(shares.kl_divergence, baseline, window)


def jensen_shannon(baseline: Values, window: Values, *, bins: Bins = "psi") -> Measure:
    """Return the Jensen-Shannon distance to base 2, in [0, 1]."""
    return _over_bins(shares.jensen_shannon, baseline, window, bins)


def hellinger(baseline: Values, window: Values, *, bins: Bins = "psi") -> Measure:
    """Return the Hellinger distance, in [0, 1]."""
    return _over_bins(shares.hellinger, baseline, window, bins)


def total_variation(baseline: Values, window: Values, *, bins: Bins = "psi") -> Measure:
    """Return half the sum of the differences of the shares, in [0, 1]."""
    return _over_bins(shares.total_variation, baseline, window, bins)


def l_infinity(baseline: Values, window: Values, *, bins: Bins = "psi") -> Measure:
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


def ks_test(baseline: Values, window: Values) -> Measure:
    """Return the two-sample Kolmogorov-Smirnov statistic D, in [0, 1].

    The p-value is scipy's: exact if neither side has more than 10,000 values, else
    asymptotic.
    """
    first, second = _pair(baseline, window)
    from scipy.stats import ks_2samp

    exact = max(len(first), len(second)) <= 10_000
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        try:
            test = ks_2samp(first, second, method="exact" if exact else "asymp")
        except RuntimeWarning:
            # the exact p-value of a few odd sizes is beyond scipy's arithmetic
            exact = False
            warnings.simplefilter("ignore", RuntimeWarning)
            test = ks_2samp(first, second, method="asymp")
    return _measure(
        _largest_gap(first, second),
        (first, second),
        p_value=float(test.pvalue),
        p_value_method="exact" if exact else "asymptotic",
    )


def wasserstein(baseline: Values, window: Values) -> Measure:
    """Return the integral of |F - G|, in the column's unit, from 0."""
    first, second = _pair(baseline, window)
    gaps, widths = _gaps(first, second)
    return _measure(float(np.abs(gaps) @ widths), (first, second))


def wasserstein_normed(baseline: Values, window: Values) -> Measure:
    """Return `wasserstein` in standard deviations of the baseline (at least 0.001)."""
    first, second = _pair(baseline, window)
    gaps, widths = _gaps(first, second)
    spread = max(moments(first)[1], MIN_SPREAD)
    return _measure(float(np.abs(gaps) @ widths) / spread, (first, second))


def energy(baseline: Values, window: Values) -> Measure:
    """Return the energy distance, the root of twice the integral of (F - G)²."""
    first, second = _pair(baseline, window)
    gaps, widths = _gaps(first, second)
    return _measure(math.sqrt(2 * float((gaps * gaps) @ widths)), (first, second))


def cramer_von_mises(baseline: Values, window: Values) -> Measure:
    """Return the Cramér-von Mises criterion, T scaled by (N + n) / (N n).

    No p-value where more than 5 % of the values are tied.
    """
    first, second = _pair(baseline, window)
    if _is_constant(first, second):
        return _measure(0.0, (first, second), p_value=1.0, p_value_method="asymptotic")
    statistic = _cramer_von_mises(first, second)
    pooled = np.concatenate((first, second))
    tied = 1 - len(np.unique(pooled)) / len(pooled)
    p_value = None
    if tied <= MAX_TIES and min(len(first), len(second)) > 1:
        from scipy.stats import cramervonmises_2samp

        test = cramervonmises_2samp(first, second, method="asymptotic")
        p_value = float(test.pvalue)
    return _measure(
        statistic * (1 / len(first) + 1 / len(second)),
        (first, second),
        statistic=statistic,
        p_value=p_value,
        p_value_method=None if p_value is None else "asymptotic",
    )


def anderson_darling(baseline: Values, window: Values) -> Measure:
    """Return the Anderson-Darling criterion, A² scaled by (N + n) / (N n).

    It weighs (F - G)² most where few values lie, so that it sees tails that
    `cramer_von_mises` doesn't. Ties count by their middle rank. `statistic` is scipy's
    normalised A²; the p-value is known between 0.001 and 0.25 and clipped to that.
    Where all values are equal there is no test.

    References
    ----------
    Scholz and Stephens, JASA 82 (1987) 918-924, section 5.

    """
    first, second = _pair(baseline, window)
    if _is_constant(first, second):
        return _measure(0.0, (first, second))
    score = _weighted_gap(first, second)
    if len(first) + len(second) < MIN_ANDERSON_DARLING:
        return _measure(score, (first, second))
    from scipy.stats import anderson_ksamp

    with warnings.catch_warnings():
        # scipy warns whenever the p-value is clipped
        warnings.simplefilter("ignore", UserWarning)
        test = anderson_ksamp([first, second], variant="midrank")
    return _measure(
        score,
        (first, second),
        statistic=float(test.statistic),
        p_value=float(test.pvalue),
        p_value_method="interpolated",
    )


def mann_whitney(baseline: Values, window: Values) -> Measure:
    """Return the rank-biserial correlation |2 U / (N n) - 1|, in [0, 1].

    `statistic` is U of the baseline; the p-value is two-sided, corrected for ties and
    continuity.
    """
    first, second = _pair(baseline, window)
    from scipy.stats import mannwhitneyu

    test = mannwhitneyu(first, second, method="asymptotic")
    statistic = float(test.statistic)
    constant = _is_constant(first, second)
    return _measure(
        abs(2 * statistic / len(first) / len(second) - 1),
        (first, second),
        statistic=statistic,
        p_value=1.0 if constant else float(test.pvalue),
        p_value_method="asymptotic",
    )


def welch_t(baseline: Values, window: Values) -> Measure:
    """Return the difference of the means in pooled standard deviations, from 0.

    `statistic` is Welch's t, of the window against the baseline. Both sides constant
    or a single value on a side: neither t nor p-value.
    """
    first, second = _pair(baseline, window)
    (mean, spread), (window_mean, window_spread) = moments(first), moments(second)
    gap = window_mean - mean
    pooled = math.hypot(spread, window_spread) / math.sqrt(2)
    score = abs(gap) / max(pooled, MIN_SPREAD)
    if min(len(first), len(second)) < 2 or not pooled:
        return _measure(score, (first, second))
    from scipy.special import stdtr

    errors = (
        spread / math.sqrt(len(first) - 1),
        window_spread / math.sqrt(len(second) - 1),
    )
    error = math.hypot(*errors)
    shares = [(one / error) ** 4 for one in errors]
    freedom = 1 / (shares[0] / (len(first) - 1) + shares[1] / (len(second) - 1))
    statistic = gap / error
    return _measure(
        score,
        (first, second),
        statistic=statistic,
        p_value=2 * float(stdtr(freedom, -abs(statistic))),
        p_value_method="t",
    )


def bin_counts(
    baseline: Values, window: Values, bins: Bins = "psi"
) -> tuple[Ints, Ints]:
    """Return the counts of both sides over the baseline's bins or the categories.

    Raises
    ------
    NoDataError
        A side has no value.

    """
    if is_categorical(baseline) or is_categorical(window):
        return category_counts(baseline, window)
    first, second = _pair(baseline, window)
    edges = psi_edges(first) if bins == "psi" else _doane_edges(first)
    return between(first, edges), between(second, edges)


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
    baseline: Values,
    window: Values,
    bins: Bins = "psi",
) -> Measure:
    first, second = bin_counts(baseline, window, bins)
    return Measure(distance(first, second), int(first.sum()), int(second.sum()))


def _measure(score: float, sides: tuple[Floats, Floats], **more: Any) -> Measure:
    return Measure(score, len(sides[0]), len(sides[1]), **more)


def _pair(baseline: Values, window: Values) -> tuple[Floats, Floats]:
    """Return the sorted values of both sides."""
    sides = []
    for values in (baseline, window):
        if isinstance(values, Codes):
            raise TypeError("a numeric algorithm needs numbers, not codes")
        ascending, _, infinite = ordered(values)
        if infinite:
            raise ValueError(f"{infinite} infinite values")
        if not len(ascending):
            raise NoDataError("a side has no value")
        sides.append(ascending)
    return sides[0], sides[1]


def _is_constant(first: Floats, second: Floats) -> bool:
    return bool(min(first[0], second[0]) == max(first[-1], second[-1]))


def _largest_gap(first: Floats, second: Floats) -> float:
    pooled = np.concatenate((first, second))
    upto = np.searchsorted(first, pooled, "right") / len(first)
    window_upto = np.searchsorted(second, pooled, "right") / len(second)
    return float(np.abs(upto - window_upto).max())


def _gaps(first: Floats, second: Floats) -> tuple[Floats, Floats]:
    """Return F - G between neighbouring pooled values, and their distances.

    A distance is infinite where float64 ends.
    """
    pooled = np.sort(np.concatenate((first, second)))
    upto = np.searchsorted(first, pooled[:-1], "right") / len(first)
    window_upto = np.searchsorted(second, pooled[:-1], "right") / len(second)
    with np.errstate(over="ignore"):
        return upto - window_upto, np.diff(pooled)


def _cramer_von_mises(first: Floats, second: Floats) -> float:
    """Return T by middle ranks (Anderson, AMS 33 (1962) 1148-1159, equation 10)."""
    n, m = len(first), len(second)
    pooled = np.sort(np.concatenate((first, second)))
    total = 0.0
    for side, size in ((first, n), (second, m)):
        below = np.searchsorted(pooled, side)
        ranks = (below + np.searchsorted(pooled, side, "right") + 1) / 2
        total += size * float(((ranks - np.arange(1, size + 1)) ** 2).sum())
    return total / (n * m * (n + m)) - (4 * n * m - 1) / (6 * (n + m))


def _weighted_gap(first: Floats, second: Floats) -> float:
    """Return the sum of (F - G)² over H (1 - H), by middle ranks."""
    sizes = len(first), len(second)
    total = sum(sizes)
    pooled = np.sort(np.concatenate((first, second)))
    points = distinct(pooled)
    below, upto = (np.searchsorted(pooled, points, side) for side in ("left", "right"))
    middle = (below + upto) / 2
    spread = middle * (total - middle) - total * (upto - below) / 4
    gap = np.zeros(len(points))
    for side, size, sign in ((first, sizes[0], 1), (second, sizes[1], -1)):
        ranks = np.searchsorted(side, points) + np.searchsorted(side, points, "right")
        gap += sign * ranks / (2 * size)
    weights = (upto - below) * (total - 1)
    return float((weights * gap * gap / spread).sum())
