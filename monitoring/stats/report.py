"""What a drift evaluation says, as values that become plain JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from monitoring.stats.columns import Kind


class Status(StrEnum):
    """What a result says; only the first three are measured verdicts."""

    OK = "ok"
    WARNING = "warning"
    ALERT = "alert"
    INSUFFICIENT_DATA = "insufficient_data"
    NO_DATA = "no_data"
    UNRATED = "unrated"
    FAILED = "failed"


_SEVERITY = {Status.OK: 0, Status.WARNING: 1, Status.ALERT: 2}


def worst(statuses: Iterable[Status]) -> Status | None:
    """Return the worst of the measured statuses, None if none is measured."""
    measured = [status for status in statuses if status in _SEVERITY]
    return max(measured, key=_SEVERITY.__getitem__, default=None)


@dataclass(frozen=True, slots=True)
class AlgorithmResult:
    """One algorithm on one column."""

    status: Status
    score: float | None  # effect size; the low end of `interval` if there is one
    interval: tuple[float, float] | None = None  # where the grid leaves one
    p_value: float | None = None
    p_value_corrected: float | None = None  # Holm, over the columns
    p_value_method: str | None = None
    warning: float | None = None
    alert: float | None = None
    expected_without_drift: float | None = None
    no_drift_95: float | None = None
    # that of the largest over the columns: without a p-value, what is above is
    # significant
    no_drift_95_family: float | None = None
    significant: bool = False
    # the ends of the interval disagree about a threshold: the raw rows must decide
    undecided: bool = False
    low_counts: bool = False
    votes: bool = False
    direction: str | None = None
    reason: str = ""  # why there is no score

    @property
    def drift(self) -> bool:
        """Whether the result is at least a warning."""
        return self.status in (Status.WARNING, Status.ALERT)


@dataclass(frozen=True, slots=True)
class Bins:
    """Shares of both sides for a chart, over bins or over categories."""

    edges: tuple[float, ...] | None  # inner ones; the outer bins are open
    categories: tuple[str, ...] | None
    baseline: tuple[float, ...]
    window: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ColumnDrift:
    """One column: its own status and all algorithms."""

    name: str
    kind: Kind
    status: Status
    importance: float | None  # None if the column is no input of the model
    n: int
    n_baseline: int
    missing: int
    missing_baseline: int
    invalid: int
    thinned: bool
    direction: str | None
    moments: Mapping[str, float]
    algorithms: Mapping[str, AlgorithmResult]
    bins: Bins | None

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, None for what isn't finite."""
        result = _fields(self)
        result["algorithms"] = {
            name: {**_fields(found), "drift": found.drift}
            for name, found in self.algorithms.items()
        }
        result["bins"] = None if self.bins is None else _fields(self.bins)
        return result


@dataclass(frozen=True, slots=True)
class Summary:
    """One algorithm over all inputs of the model."""

    status: Status
    drift: bool
    score: float | None  # the largest, that of `column`
    column: str | None
    p_value: float | None  # the smallest after Holm
    warning: float | None
    alert: float | None
    votes: bool


@dataclass(frozen=True, slots=True)
class DriftReport:
    """The drift of a window.

    `columns` holds those set apart too; status, summaries, maxima and lists pass them
    over.
    """

    status: Status
    columns: Mapping[str, ColumnDrift]
    algorithms: Mapping[str, Summary]
    warnings: tuple[str, ...]  # columns whose status is warning
    alerts: tuple[str, ...]  # columns whose status is alert
    max_psi: float | None
    max_ks: float | None
    alpha: float
    min_rows: int
    apart: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, None for what isn't finite; columns as a list."""
        result = _fields(self)
        result["columns"] = [column.to_json() for column in self.columns.values()]
        result["algorithms"] = {
            name: _fields(summary) for name, summary in self.algorithms.items()
        }
        return result


def _fields(value: Any) -> dict[str, Any]:
    """Return a dataclass's fields; nested dataclasses are left to the caller."""
    return {name: plain(getattr(value, name)) for name in value.__slots__}


def plain(value: Any) -> Any:
    """Return the value with None for what isn't finite and lists for tuples."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    return value
