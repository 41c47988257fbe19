"""Rank tests of two sorted columns, and their p-values as scipy gives them."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from monitoring.stats.pairs import Pair
from monitoring.stats.tally import Floats

# Critical values of the normalised A² of two samples, m = 1 in the quadratic of
# Scholz and Stephens, table 2, and the levels that they belong to.
_LEVELS = np.array([0.25, 0.1, 0.05, 0.025, 0.01, 0.005, 0.001])
_CRITICAL = np.array(
    [
        0.675 - 0.245 - 0.105,
        1.281 + 0.25 - 0.305,
        1.645 + 0.678 - 0.362,
        1.96 + 1.149 - 0.391,
        2.326 + 1.822 - 0.396,
        2.573 + 2.364 - 0.345,
        3.085 + 3.615 - 0.154,
    ]
)


def mann_whitney(pair: Pair) -> float:
    """Return the U of the baseline, ties counting half."""
    n = pair.sizes[0]
    mine = pair.of_first[pair.upto] - pair.of_first[pair.below]
    middle = (pair.below + pair.upto + 1) / 2
    return float(mine @ middle) - n * (n + 1) / 2


def mann_whitney_p_value(statistic: float, pair: Pair) -> float:
    """Return the two-sided p-value of U, corrected for ties and continuity."""
    from scipy.special import ndtr

    n, m = pair.sizes
    total = n + m
    ties = pair.ties.astype(np.float64)
    tied = float((ties**3 - ties).sum()) / (total * (total - 1))
    variance = n * m / 12 * (total + 1 - tied)
    if pair.is_constant or variance <= 0:
        return 1.0
    gap = abs(statistic - n * m / 2) - 0.5
    return min(2 * float(ndtr(-gap / math.sqrt(variance))), 1.0)


def cramer_von_mises(pair: Pair) -> float:
    """Return T by middle ranks (Anderson, AMS 33 (1962) 1148-1159, equation 10)."""
    n, m = pair.sizes
    middle = np.repeat((pair.below + pair.upto + 1) / 2, pair.ties)
    total = n * _squares(middle[pair.is_first]) + m * _squares(middle[~pair.is_first])
    return total / (n * m * (n + m)) - (4 * n * m - 1) / (6 * (n + m))


def _squares(ranks: Floats) -> float:
    """Return the sum of (rank among all - rank among the side)²."""
    gaps = ranks - np.arange(1, len(ranks) + 1)
    return float(gaps @ gaps)


def cramer_von_mises_p_value(statistic: float, n: int, m: int) -> float:
    """Return the p-value of T by its limiting distribution, as scipy.

    References
    ----------
    Anderson, AMS 33 (1962), equations 9 and 14, for mean and variance of T.
    Csörgő and Faraway, JRSS B 58 (1996) 221-234, equation 1.2, for the distribution.

    """
    from scipy.special import gammaln, kv

    size = n + m
    k = n * m
    mean = (1 + 1 / size) / 6
    variance = (size + 1) * (4 * k * size - 3 * (n * n + m * m) - 2 * k)
    deviation = math.sqrt(variance / (4 * k)) / size
    x = 1 / 6 + (statistic - mean) / deviation
    if x < 0.003:
        return 1.0
    place, below, term = 0, 0.0, 1.0
    # scipy ends the series so; further terms would tell a p-value of 1e-8 otherwise.
    while abs(term) >= 1e-7:
        odd = 4 * place + 1
        y = odd * odd / (16 * x)
        scale = math.exp(gammaln(place + 0.5) - gammaln(place + 1))
        term = scale * math.sqrt(odd / x) * math.exp(-y) * float(kv(0.25, y))
        term /= math.pi**1.5
        below += term
        place += 1
    return max(0.0, 1 - below)


def anderson_darling(pair: Pair) -> float:
    """Return the sum of (F - G)² over H (1 - H), by middle ranks."""
    total = sum(pair.sizes)
    below, upto = pair.below, pair.upto
    middle = (below + upto) / 2
    spread = middle * (total - middle) - total * pair.ties / 4
    first = pair.of_first[below] + pair.of_first[upto]
    second = below + upto - first
    gap = first / (2 * pair.sizes[0]) - second / (2 * pair.sizes[1])
    weights = pair.ties * (total - 1)
    return float((weights * gap * gap / spread).sum())


def normalised_anderson_darling(score: float, n: int, m: int) -> float:
    """Return A² less its mean, in standard deviations.

    References
    ----------
    Scholz and Stephens, JASA 82 (1987) 918-924, equation 4 for two samples.

    """
    total = n + m
    inverse = 1 / n + 1 / m
    h, g = _harmonics(total)
    a = 4 * g - 6 + (10 - 6 * g) * inverse
    b = 12 * g + 8 * h - 22 + (2 * g - 14 * h - 4) * inverse
    c = 36 * h + 4 + (2 * h - 6) * inverse
    d = 24
    variance = ((a * total + b) * total + c) * total + d
    variance /= (total - 1) * (total - 2) * (total - 3)
    return (score / inverse - 1) / math.sqrt(variance)


@lru_cache(maxsize=64)
def _harmonics(total: int) -> tuple[float, float]:
    """Return Σ 1/i for i < total, and Σ Σ 1/((total - i) j) for i < j < total."""
    inverse = 1 / np.arange(1.0, total)
    # Of each j, the sum over the i below it.
    running = np.append(0.0, np.cumsum(inverse[::-1]))[:-1]
    return float(inverse.sum()), float(running @ inverse)


def anderson_darling_p_value(statistic: float) -> float:
    """Return the p-value, interpolated in the table and clipped to its ends.

    As scipy: a quadratic in the logarithm of the level, through all critical values.
    """
    if statistic <= _CRITICAL[0]:
        return float(_LEVELS[0])
    if statistic >= _CRITICAL[-1]:
        return float(_LEVELS[-1])
    fitted = np.polyfit(_CRITICAL, np.log(_LEVELS), 2)
    return math.exp(float(np.polyval(fitted, statistic)))
