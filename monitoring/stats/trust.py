"""How far an estimate can be believed, once labels say what was true.

Estimates are right while only the inputs move. What is left between them and the truth
is concept drift: the relation of inputs and outcome has changed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from monitoring.stats.estimation import ERRORS
from monitoring.stats.performance import Z95, Metric


@dataclass(frozen=True, slots=True)
class Residual:
    """Realized minus estimated, with its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def is_concept_drift(self) -> bool:
        """Whether chance doesn't explain the difference."""
        return not self.low <= 0 <= self.high

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "concept_drift": self.is_concept_drift,
        }


def residual(
    realized: Metric, estimated: Metric, fit_error: float | None = None
) -> Residual | None:
    """Return the concept-drift residual of one window; None if a side isn't known.

    Parameters
    ----------
    realized : Metric
        From the window's labels.
    estimated : Metric
        Of the same rows; its interval is three standard errors wide on either side.
    fit_error : float, optional
        Standard error of the estimate from the baseline's own size: `Cbpe.fit_error`.

    Notes
    -----
    The labels vary as the realized metric's interval says, or, where it has none, as
    the estimate's does. The estimator varies with the rows that it was fitted on. The
    two are independent, so their half widths add as squares.

    Examples
    --------
    >>> found = residual(Metric(0.80, 900, 0.77, 0.83), Metric(0.90, 900, 0.87, 0.93))
    >>> round(found.value, 2), round(found.high, 2), found.is_concept_drift
    (-0.1, -0.07, True)

    """
    if realized.value is None or estimated.value is None:
        return None
    value = realized.value - estimated.value
    if realized.low is not None and realized.high is not None:
        down, up = realized.value - realized.low, realized.high - realized.value
    elif estimated.low is not None and estimated.high is not None:
        down = up = (estimated.high - estimated.low) / 2 / ERRORS * Z95
    else:
        return None
    fitted = Z95 * (fit_error or 0.0)
    return Residual(
        value, value - math.hypot(down, fitted), value + math.hypot(up, fitted)
    )


@dataclass(frozen=True, slots=True)
class BackTest:
    """How far estimates were off on windows whose labels have come."""

    windows: int
    mean_error: float  # mean |realized - estimated|
    largest_error: float
    covered: float  # share of the windows whose interval held the truth

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


def back_test(windows: Sequence[tuple[Metric, Metric]]) -> BackTest | None:
    """Return the error of past estimates; None without a window that has both sides.

    Parameters
    ----------
    windows : sequence of (realized, estimated)
        Of one metric, window by window.

    Examples
    --------
    >>> back_test([(Metric(0.9, 50), Metric(0.92, 50, 0.88, 0.96))]).covered
    1.0

    """
    errors, inside = [], 0
    for realized, estimated in windows:
        if realized.value is None or estimated.value is None:
            continue
        errors.append(abs(realized.value - estimated.value))
        if estimated.low is not None and estimated.high is not None:
            inside += estimated.low <= realized.value <= estimated.high
    if not errors:
        return None
    mean = math.fsum(errors) / len(errors)
    return BackTest(len(errors), mean, max(errors), inside / len(errors))
