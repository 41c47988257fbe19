"""Mean and deviation of numbers whose squares float64 may not hold."""

from __future__ import annotations

import numpy as np

from monitoring.stats.tally import Floats

# Far enough for any value, and near enough that sums of squares stay finite.
MOST = 1e140


def moments(values: Floats) -> tuple[float, float]:
    """Return mean and standard deviation (ddof 0) of finite values, at least one.

    A deviation that is nothing but the rounding of equal values is 0.

    Examples
    --------
    >>> moments(np.array([0.0, 1e300]))
    (5e+299, 5e+299)
    >>> moments(np.full(3, 0.1))
    (0.1, 0.0)

    """
    if values.min() == values.max():
        return float(values[0]), 0.0
    largest = float(np.abs(values).max())
    unit = 1.0 if largest < MOST else largest
    scaled = values / unit
    mean, deviation = float(scaled.mean()) * unit, float(scaled.std()) * unit
    return mean, 0.0 if deviation <= 1e-12 * abs(mean) else deviation


def standardised(values: Floats, mean: float, deviation: float) -> Floats:
    """Return (values - mean) / deviation, no further out than `MOST`."""
    with np.errstate(over="ignore"):
        found = values - mean
        found /= deviation or 1.0
    result: Floats = np.clip(found, -MOST, MOST, out=found)
    return result
