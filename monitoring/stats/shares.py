"""Distances of two distributions over the same bins or categories."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from monitoring.stats.tally import Floats, Ints

# What a bin without a value counts as, so that its logarithm exists.
FLOOR = 1e-4
# Cochran's rule: chi-square is trusted where at least this many are expected.
MIN_EXPECTED = 5


def shares(counts: Ints) -> Floats:
    """Return the counts as shares of their sum, which must not be 0."""
    result: Floats = counts / counts.sum()
    return result


def _floored(counts: Ints) -> Floats:
    result = shares(counts)
    result[result == 0] = FLOOR
    return result


def psi(baseline: Ints, window: Ints) -> float:
    """Return the population stability index, the sum of (p - q) ln(p / q).

    Parameters
    ----------
    baseline, window : int array, shape (k,)
        Counts of the same bins, each with a positive sum. A share of zero is replaced
        by 1e-4; the shares aren't normalised again.

    Returns
    -------
    float
        From 0 (equality).

    Examples
    --------
    >>> round(psi(np.array([50, 50]), np.array([80, 20])), 4)
    0.4159

    """
    p, q = _floored(baseline), _floored(window)
    return float(((p - q) * np.log(p / q)).sum())


def kl_divergence(baseline: Ints, window: Ints) -> float:
    """Return the Kullback-Leibler divergence of the window from the baseline, in nats.

    Shares of zero are replaced by 1e-4, then both sides are normalised.
    """
    p, q = _floored(baseline), _floored(window)
    p, q = p / p.sum(), q / q.sum()
    return max(float((q * np.log(q / p)).sum()), 0.0)


def jensen_shannon(baseline: Ints, window: Ints) -> float:
    """Return the Jensen-Shannon distance to base 2, in [0, 1], 0 is equality."""
    p, q = shares(baseline), shares(window)
    p, q = p / p.sum(), q / q.sum()
    middle = (p + q) / 2
    divergence = _relative_entropy(p, middle) + _relative_entropy(q, middle)
    return math.sqrt(max(divergence / math.log(2) / 2, 0.0))


def _relative_entropy(p: Floats, q: Floats) -> float:
    ratio = np.divide(p, q, out=np.ones(len(p)), where=p > 0)
    return float((p * np.log(ratio)).sum())


def hellinger(baseline: Ints, window: Ints) -> float:
    """Return the Hellinger distance, in [0, 1], 0 is equality."""
    gaps = np.sqrt(shares(baseline)) - np.sqrt(shares(window))
    return math.sqrt(0.5 * float((gaps * gaps).sum()))


def total_variation(baseline: Ints, window: Ints) -> float:
    """Return half the sum of |p - q|, in [0, 1], 0 is equality."""
    return 0.5 * float(np.abs(shares(baseline) - shares(window)).sum())


def l_infinity(baseline: Ints, window: Ints) -> float:
    """Return the largest |p - q|, in [0, 1], 0 is equality."""
    return float(np.abs(shares(baseline) - shares(window)).max())


@dataclass(frozen=True, slots=True)
class Contingency:
    """A chi-square test of a 2 x k table of baseline and window counts."""

    statistic: float
    freedom: int  # degrees of freedom: categories compared, less one
    cramers_v: float  # in [0, 1], 0 is independence; from the uncorrected statistic
    low_counts: bool  # a category was expected fewer than 5 times on a side
    measurable: bool  # False if nothing but rare categories is there


def chi_square(
    baseline: Ints, window: Ints, *, correction: bool = True, lump: bool = True
) -> Contingency:
    """Return the chi-square test of homogeneity on the union of categories.

    Parameters
    ----------
    baseline, window : int array, shape (k,)
        Counts of the same categories, each with a positive sum. A category that
        neither side has is left out.
    correction : bool
        Yates' continuity correction, if two categories remain.
    lump : bool
        Count the categories that are expected fewer than 5 times on either side as
        one.

    Returns
    -------
    Contingency
        With a single category on both sides: statistic 0, V 0.

    Examples
    --------
    >>> test = chi_square(np.array([50, 50]), np.array([30, 10]))
    >>> round(test.statistic, 4), test.freedom, round(test.cramers_v, 4)
    (6.3066, 1, 0.2282)

    """
    table = np.stack((baseline, window)).astype(np.float64)
    table = table[:, table.any(axis=0)]
    total = table.sum()
    sides = table.sum(axis=1)
    rare = table.sum(axis=0) * (sides.min() / total) < MIN_EXPECTED
    low_counts = bool(rare.any())
    several = table.shape[1] > 1
    if lump and low_counts and several:
        lumped = table[:, rare].sum(axis=1, keepdims=True)
        table = np.concatenate((table[:, ~rare], lumped), axis=1)
    freedom = table.shape[1] - 1
    if not freedom:
        return Contingency(0.0, 0, 0.0, low_counts, measurable=not several)
    expected = np.outer(sides, table.sum(axis=0)) / total
    gaps = np.abs(table - expected)
    plain = float((gaps * gaps / expected).sum())
    if correction and freedom == 1:
        gaps -= np.minimum(0.5, gaps)
    statistic = float((gaps * gaps / expected).sum())
    v = min(math.sqrt(plain / total), 1.0)
    return Contingency(statistic, freedom, v, low_counts, measurable=True)
