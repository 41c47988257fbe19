"""What chance alone would do: p-values, no-drift points, Holm's correction.

scipy is imported where it is used: a web process that lists the algorithms must not
pay for it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from monitoring.stats.curves import Curve
from monitoring.stats.shares import Contingency, shares
from monitoring.stats.tally import Ints

ASYMPTOTIC = "asymptotic"
LEVEL = 0.05

# Mean and 95 % point of the Kolmogorov distribution.
_KS_MEAN = math.sqrt(math.pi / 2) * math.log(2)
_KS_95 = 1.3580986393225505
_HALF_NORMAL_MEAN = math.sqrt(2 / math.pi)


class NoDrift(NamedTuple):
    """What a score is without drift, at these numbers of rows."""

    expected: float | None
    upper: float  # the 95 % point, or a figure above it
    # The same for the largest of all columns judged. Where a score has no p-value it
    # does what Holm's correction does: of twenty quiet columns one always looks odd.
    family: float

    def in_units(self, unit: float) -> NoDrift:
        """Return the figures of the score divided by `unit`."""
        expected = None if self.expected is None else self.expected / unit
        return NoDrift(expected, self.upper / unit, self.family / unit)


def ks_p_value(statistic: float, n_baseline: int, n: int) -> float:
    """Return the asymptotic p-value of the two-sample Kolmogorov-Smirnov statistic."""
    from scipy.special import kolmogorov

    return float(kolmogorov(math.sqrt(n * n_baseline / (n + n_baseline)) * statistic))


def chi_square_p_value(test: Contingency) -> float:
    """Return the p-value of a chi-square test, 1 if there is nothing to compare."""
    from scipy.special import chdtrc

    return float(chdtrc(test.freedom, test.statistic)) if test.freedom else 1.0


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Return the p-values corrected for their number by Holm's step-down method.

    Examples
    --------
    >>> holm({"a": 0.01, "b": 0.04, "c": 0.03})
    {'a': 0.03, 'c': 0.06, 'b': 0.06}

    """
    corrected: dict[str, float] = {}
    largest = 0.0
    for place, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[name]))
        corrected[name] = largest
    return corrected


def without_drift(baseline: Ints, window: Ints, columns: int = 1) -> dict[str, NoDrift]:
    """Return the no-drift figures of the distances over bins or categories.

    To first order, PSI is (1/N + 1/n) times a chi-square variable with B - 1 degrees
    of freedom, Kullback-Leibler divergence is half of it, and the squares of Hellinger
    and (in nats) Jensen-Shannon distance are an eighth. Half the sum of |p - q| is at
    most half the root of that chi-square variable (Cauchy-Schwarz), the largest
    |p - q| obeys Bonferroni.

    Parameters
    ----------
    baseline, window : int array, shape (B,)
        Counts, each with a positive sum. Bins empty on both sides don't count.
    columns : int
        Number of columns judged, for `NoDrift.family`.

    """
    from scipy.special import chdtri, ndtri

    pooled = shares(baseline + window)
    size = int(np.count_nonzero(pooled))
    chance = 1 / int(baseline.sum()) + 1 / int(window.sum())
    mean = (size - 1) * chance
    levels = np.array([LEVEL, LEVEL / columns])
    points = chdtri(size - 1, levels) * chance if size > 1 else np.zeros(2)
    upper, family = points.tolist()
    errors = np.sqrt(pooled * (1 - pooled) * chance)
    largest = float(errors.max()) * ndtri(1 - levels / 2 / size)
    variation = 0.5 * _HALF_NORMAL_MEAN * float(errors.sum())

    def root(divisor: float) -> NoDrift:
        return NoDrift(
            *(math.sqrt(figure / divisor) for figure in (mean, upper, family))
        )

    return {
        "psi": NoDrift(mean, upper, family),
        "kl_divergence": NoDrift(mean / 2, upper / 2, family / 2),
        "hellinger": root(8),
        "jensen_shannon": root(8 * math.log(2)),
        "total_variation": root(4)._replace(expected=variation),
        "l_infinity": NoDrift(None, *largest.tolist()),
    }


def ks_without_drift(n_baseline: int, n: int) -> NoDrift:
    """Return the no-drift figures of the Kolmogorov-Smirnov statistic."""
    scale = math.sqrt(1 / n_baseline + 1 / n)
    return NoDrift(_KS_MEAN * scale, _KS_95 * scale, _KS_95 * scale)


def cramers_v_without_drift(test: Contingency, total: int) -> NoDrift:
    """Return the no-drift figures of Cramér's V."""
    from scipy.special import chdtri

    if not test.freedom:
        return NoDrift(0.0, 0.0, 0.0)
    upper = math.sqrt(float(chdtri(test.freedom, LEVEL)) / total)
    return NoDrift(math.sqrt(test.freedom / total), upper, upper)


def wasserstein_without_drift(baseline: Curve, n: int, columns: int = 1) -> NoDrift:
    """Return the no-drift figures of the Wasserstein distance, in the column's unit.

    The mean is that of the integral of a Brownian bridge over the baseline. The 95 %
    point supposes that the bridge is equally far off everywhere, which it isn't: the
    true one is lower (by a quarter for a uniform column).
    """
    from scipy.special import ndtri

    inner = baseline.upto[1:-2:2]
    with np.errstate(over="ignore", invalid="ignore"):
        widths = np.diff(baseline.column.points)
        spread = float((np.sqrt(inner * (1 - inner)) * widths).sum())
        scale = math.sqrt(1 / baseline.n + 1 / n) * spread
        points = scale * ndtri(1 - np.array([LEVEL, LEVEL / columns]) / 2)
    return NoDrift(_HALF_NORMAL_MEAN * scale, *points.tolist())
