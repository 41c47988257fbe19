"""What one algorithm says, whatever it looked at, and why it may say nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from monitoring.stats.report import plain


class NotMeasurableError(ValueError):
    """There is nothing to say, and the message tells why: never a made-up number."""


class NoDataError(NotMeasurableError):
    """A side has no value, so that nothing can be measured."""


class InsufficientDataError(NotMeasurableError):
    """There are values, but too few or too alike for the figure to mean anything."""


@dataclass(frozen=True, slots=True)
class Measure:
    """What one algorithm says about one column, or about all of them."""

    score: float  # always the effect size, 0 is equality
    n_baseline: int
    n: int
    statistic: float | None = None
    p_value: float | None = None
    p_value_method: str | None = None
    low_counts: bool = False
    interval: tuple[float, float] | None = None  # of the score
    # What a reader needs beyond the score, as plain JSON.
    detail: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, None for what isn't finite."""
        return {name: plain(getattr(self, name)) for name in self.__slots__}
