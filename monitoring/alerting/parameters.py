"""What the parameters of the algorithms may be.

Ranges are those in which an algorithm means something, and ends in time: what costs
the square of its rows has a limit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["whole number", "number", "flag", "choice", "text"]
# Of a text, which only a custom algorithm has.
LONGEST = 200


@dataclass(frozen=True, slots=True)
class Parameter:
    """What one parameter may be.

    Attributes
    ----------
    kind : {"whole number", "number", "flag", "choice", "text"}
        Neither `true` nor `"12"` is a number.
    low, high : float
        Both may be reached, unless `above` excludes the lower one and `below` the
        higher one.
    choices : tuple of str
        Of a choice.
    optional : bool
        None is allowed, and means that the algorithm decides.

    """

    kind: Kind
    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    below: bool = False
    choices: tuple[str, ...] = ()
    optional: bool = False

    def complaint(self, value: object) -> tuple[str, str] | None:
        """Return a code and a sentence about a value that can't be, else None.

        Examples
        --------
        >>> Parameter("number", 0, 1, above=True).complaint(0)
        ('range', 'expected above 0, at most 1')
        >>> Parameter("whole number", 1).complaint(2.0) is None
        True

        """
        if value is None and self.optional:
            return None
        match self.kind:
            case "flag":
                is_flag = isinstance(value, bool)
                return None if is_flag else ("type", "expected true or false")
            case "choice":
                listed = ", ".join(self.choices)
                is_known = isinstance(value, str) and value in self.choices
                return None if is_known else ("choice", f"expected one of {listed}")
            case "text":
                is_text = isinstance(value, str) and len(value) <= LONGEST
                return None if is_text else ("type", "expected a short text")
        if isinstance(value, bool) or not isinstance(value, int | float):
            return "type", f"expected a {self.kind}"
        return self._complaint_about_number(value)

    def _complaint_about_number(self, value: float) -> tuple[str, str] | None:
        is_whole = isinstance(value, int) or value.is_integer()
        if self.kind == "whole number" and not is_whole:
            return "type", "expected a whole number"
        too_low = value <= self.low if self.above else value < self.low
        too_high = value >= self.high if self.below else value > self.high
        if too_low or too_high or value != value:
            return "range", f"expected {self.range}"
        return None

    def clean(self, value: Any) -> Any:
        """Return a value without a complaint as the algorithm takes it."""
        if value is None or self.kind in {"flag", "choice", "text"}:
            return value
        return int(value) if self.kind == "whole number" else float(value)

    @property
    def range(self) -> str:
        """The range of a number in words."""
        parts = []
        if math.isfinite(self.low):
            parts.append(f"{'above' if self.above else 'at least'} {self.low:g}")
        if math.isfinite(self.high):
            parts.append(f"{'below' if self.below else 'at most'} {self.high:g}")
        return ", ".join(parts) or "a finite number"

    def to_json(self) -> dict[str, Any]:
        """Return the parameter as plain JSON; None where there is no end."""
        return {
            "type": self.kind,
            "minimum": self.low if math.isfinite(self.low) else None,
            "maximum": self.high if math.isfinite(self.high) else None,
            "choices": list(self.choices) or None,
            "optional": self.optional,
        }


def _whole(low: int, high: float, *, optional: bool = False) -> Parameter:
    return Parameter("whole number", low, high, optional=optional)


_FLAG = Parameter("flag")
# Levels, shares, confidences.
_INSIDE = Parameter("number", 0, 1, above=True, below=True)
_UP_TO_ONE = Parameter("number", 0, 1, above=True)
_POSITIVE = Parameter("number", 0, 1e12, above=True)
_STEPS = _whole(0, 1_000_000)
_CLASS_METRICS = (
    "accuracy",
    "balanced_accuracy",
    "precision",
    "recall",
    "specificity",
    "f1",
    "roc_auc",
)
_METRIC = Parameter("choice", choices=_CLASS_METRICS, optional=True)
_ERROR = Parameter("choice", choices=("mae", "rmse"), optional=True)

# A parameter of the same name means the same thing, but for those of one algorithm.
_ALL: Mapping[str, Parameter] = {
    "alpha": _UP_TO_ONE,
    "beta": _UP_TO_ONE,
    "bins": Parameter("choice", choices=("psi", "doane")),
    "chunk_rows": _whole(2, 10_000_000, optional=True),
    "clock": _whole(1, 1_000_000),
    "correction": _FLAG,
    "delta": _INSIDE,
    "drift_confidence": _INSIDE,
    "drift_threshold": _POSITIVE,
    "explained": _UP_TO_ONE,
    "folds": _whole(2, 20),
    "grace_period": _STEPS,
    "lambda_val": _UP_TO_ONE,
    "max_buckets": _whole(1, 1_000),
    "max_rows": _whole(10, 5_000),
    "metric": _METRIC,
    "min_errors": _STEPS,
    "min_instances": _STEPS,
    "min_window_length": _whole(1, 1_000_000),
    "mode": Parameter("choice", choices=("up", "down", "both")),
    # Fewer can't reach a p-value of 0.05.
    "permutations": _whole(19, 10_000),
    "scale": _POSITIVE,
    "seed": _whole(0, 2**32 - 1),
    "stat_size": _whole(1, 100_000),
    "threshold": _POSITIVE,
    "two_sided_test": _FLAG,
    "warm_start": _STEPS,
    "warning_confidence": _INSIDE,
    "warning_threshold": _POSITIVE,
    "window_size": _whole(2, 100_000),
}
_OF_ONE: Mapping[tuple[str, str], Parameter] = {
    ("domain_classifier", "max_rows"): _whole(50, 100_000),
    ("page_hinkley", "delta"): Parameter("number", 0, 1e12),
    ("kswin", "alpha"): _INSIDE,
    ("realized_error", "metric"): _ERROR,
    ("dle", "metric"): _ERROR,
}
# Pairs of which the first may not be larger than the second.
ORDERED: tuple[tuple[str, str, str], ...] = (
    ("ddm", "warning_threshold", "drift_threshold"),
    ("eddm", "beta", "alpha"),
    ("hddm_a", "drift_confidence", "warning_confidence"),
    ("hddm_w", "drift_confidence", "warning_confidence"),
)


def parameter(algorithm: str, name: str, default: object) -> Parameter:
    """Return what a parameter may be; of one that isn't ours, of the default's type.

    Examples
    --------
    >>> parameter("dle", "metric", None).choices
    ('mae', 'rmse')
    >>> parameter("mine", "depth", 3).kind
    'whole number'

    """
    known = _OF_ONE.get((algorithm, name), _ALL.get(name))
    return known or _like(default)


def _like(default: object) -> Parameter:
    match default:
        case bool():
            return _FLAG
        case int():
            return Parameter("whole number")
        case float():
            return Parameter("number")
        case str():
            return Parameter("text")
    return Parameter("text", optional=True)
