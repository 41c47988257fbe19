"""What was measured of a model version: the evidence that a decision rests on.

Facts are stored as JSON and read back years later to recompute the same numbers, so
they hold everything that a decision needs, the age of the evidence too.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Self

# A baseline that nobody gave: the version's own first predictions.
PROVISIONAL = "provisional"

# Metrics of which more is worse; their drop is relative to the baseline.
ERROR_METRICS = frozenset({"mae", "rmse"})


@dataclass(frozen=True, slots=True)
class Measured:
    """One algorithm's effect size on one column."""

    algorithm: str
    score: float
    significant: bool  # beyond what a window without drift would show

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `plain` wrote."""
        return cls(**data)


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """The drift of one column."""

    name: str
    # ok, warning, alert; anything else, such as insufficient_data, is not measured
    status: str
    psi: float | None = None
    importance: float | None = None  # at least 0, in any unit; None: unknown
    measured: tuple[Measured, ...] = ()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `plain` wrote."""
        measured = tuple(Measured.from_json(one) for one in data.get("measured", ()))
        return cls(**{**data, "measured": measured})

    @property
    def is_measured(self) -> bool:
        """Whether there were enough rows to tell drift from chance."""
        return self.status in {"ok", "warning", "alert"}


@dataclass(frozen=True, slots=True)
class PerformanceFacts:
    """The primary metric over one period, against the baseline."""

    metric: str
    source: str  # realized (with labels) or estimated (without)
    baseline: float
    current: float
    # How much worse, absolute; relative to the baseline for `ERROR_METRICS`.
    drop: float
    drop_low: float  # the interval of the drop
    drop_high: float
    n: int  # labelled rows (estimated: rows) of the period
    period: str = ""  # as people call it, such as "2005-08"
    labelled_share: float = 1.0  # of the period's predictions, in [0, 1]
    horizon_passed: bool = False  # no further label can come

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `plain` wrote."""
        return cls(**data)


@dataclass(frozen=True, slots=True)
class GroupFacts:
    """How often one group gets the favourable outcome, against the best-off group."""

    attribute: str
    group: str
    n: int
    ratio: float | None = None  # in [0, 1]; 1 is parity; None: not measurable
    ratio_low: float | None = None
    ratio_high: float | None = None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `plain` wrote."""
        return cls(**data)


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything measured of a version at one moment."""

    n: int = 0  # rows of the window
    n_baseline: int = 0
    baseline_kind: str | None = None  # given, inherited, provisional; None: none
    cadence: str = "stream"
    evidence_age_hours: float | None = None  # since the newest event; None: no event
    columns: tuple[ColumnFacts, ...] = ()
    score: ColumnFacts | None = None  # the model's own output
    performance: tuple[PerformanceFacts, ...] = ()  # oldest period first
    groups: tuple[GroupFacts, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the facts as plain JSON."""
        data: dict[str, Any] = plain(self)
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `plain` wrote."""
        score = data.get("score")
        return cls(
            **{
                **data,
                "columns": _all(ColumnFacts, data, "columns"),
                "score": score and ColumnFacts.from_json(score),
                "performance": _all(PerformanceFacts, data, "performance"),
                "groups": _all(GroupFacts, data, "groups"),
            }
        )


def plain(value: object) -> Any:
    """Return a dataclass, with all within it, as JSON has it."""
    if is_dataclass(value):
        return {one.name: plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, tuple):
        return [plain(one) for one in value]
    return value


def _all(
    kind: type[ColumnFacts] | type[PerformanceFacts] | type[GroupFacts],
    data: Mapping[str, Any],
    name: str,
) -> tuple[ColumnFacts | PerformanceFacts | GroupFacts, ...]:
    return tuple(kind.from_json(one) for one in data.get(name, ()))
