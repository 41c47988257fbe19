"""The Model Risk Index: one number from drift and fairness, with all its terms."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from governance.decision.facts import Facts, GroupFacts
from governance.decision.thresholds import Limits, Thresholds
from governance.importance import normalised


@dataclass(frozen=True, slots=True)
class ColumnTerm:
    """What one column adds to the drift component."""

    name: str
    psi: float
    weight: float  # share among the measured columns, in [0, 1]
    points: float  # PSI on the scale of the index, in [0, 100]


@dataclass(frozen=True, slots=True)
class RiskTerms:
    """The Model Risk Index with every term of it; 0 is good, 100 is worst."""

    score: float
    drift: float | None  # component in [0, 100]; None: not measured
    fairness: float | None
    drift_weight: float  # after a component that isn't measured gave its weight away
    fairness_weight: float
    columns: tuple[ColumnTerm, ...] = ()
    mean_points: float | None = None
    worst_column: str | None = None
    fairness_ratio: float | None = None
    worst_group: str | None = None  # such as "SEX = 2"

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `Verdict.to_json` wrote."""
        return cls(
            **{**data, "columns": tuple(ColumnTerm(**one) for one in data["columns"])}
        )


def risk_score(facts: Facts, thresholds: Thresholds) -> RiskTerms | None:
    """Compute the Model Risk Index; None if neither component is measured.

    Drift component: the PSI of each measured column on a scale of points (0 at 0,
    50 at the warning limit, 100 at the alert limit and beyond, linear between),
    averaged with the columns' importances, never below half of the worst column.
    Fairness component: 0 at parity, 50 at the policy's minimum ratio, 100 at twice
    that gap, for the worst group.

    Examples
    --------
    >>> from governance.decision import ColumnFacts, Facts, Thresholds
    >>> facts = Facts(columns=(ColumnFacts("age", "warning", psi=0.1),))
    >>> risk_score(facts, Thresholds()).score
    50.0
    """
    columns = _column_terms(facts, thresholds.algorithms["psi"])
    group = _worst_group(facts)
    if not columns and group is None:
        return None
    mean = drift = fairness = ratio = None
    worst_column = worst_group = None
    if columns:
        worst = max(columns, key=lambda term: term.points)
        worst_column = worst.name
        mean = sum(term.weight * term.points for term in columns)
        drift = min(max(mean, worst.points / 2), 100.0)
    if group is not None:
        worst_group = f"{group.attribute} = {group.group}"
        ratio = group.ratio or 0.0
        gap = (1 - ratio) / (1 - thresholds.fairness_minimum)
        fairness = min(max(50 * gap, 0.0), 100.0)
    drift_weight, fairness_weight = _weights(drift, fairness, thresholds)
    return RiskTerms(
        score=drift_weight * (drift or 0.0) + fairness_weight * (fairness or 0.0),
        drift=drift,
        fairness=fairness,
        drift_weight=drift_weight,
        fairness_weight=fairness_weight,
        columns=columns,
        mean_points=mean,
        worst_column=worst_column,
        fairness_ratio=ratio,
        worst_group=worst_group,
    )


def _weights(
    drift: float | None, fairness: float | None, thresholds: Thresholds
) -> tuple[float, float]:
    """Give the weight of a component that isn't measured to the other one."""
    if drift is None:
        return 0.0, 1.0
    if fairness is None:
        return 1.0, 0.0
    return thresholds.drift_weight, thresholds.fairness_weight


def _column_terms(facts: Facts, limits: Limits) -> tuple[ColumnTerm, ...]:
    shares = normalised({column.name: column.importance for column in facts.columns})
    measured = [
        (column.name, column.psi)
        for column in facts.columns
        if column.is_measured and column.psi is not None
    ]
    whole = sum(shares[name] for name, _ in measured)
    return tuple(
        ColumnTerm(
            name,
            psi,
            shares[name] / whole if whole > 0 else 1 / len(measured),
            _points(psi, limits),
        )
        for name, psi in measured
    )


def _points(psi: float, limits: Limits) -> float:
    if psi <= limits.mild:
        return 50 * max(psi, 0.0) / limits.mild
    beyond = (psi - limits.mild) / (limits.serious - limits.mild)
    return 50 + 50 * min(beyond, 1.0)


def _worst_group(facts: Facts) -> GroupFacts | None:
    groups = [group for group in facts.groups if group.ratio is not None]
    return min(groups, key=lambda group: group.ratio or 0.0, default=None)
