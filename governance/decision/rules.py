"""The rules of a policy, held against the facts."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from governance.decision.facts import (
    ERROR_METRICS,
    ColumnFacts,
    Facts,
    GroupFacts,
    Measured,
    PerformanceFacts,
)
from governance.decision.levels import Level
from governance.decision.thresholds import RULE_NAMES, Effect, Thresholds
from governance.importance import normalised

# Shares are quotients of floats; 1/3 of three columns must still be a third.
_ROUNDING = 1e-9
_LABELS = {
    "psi": "PSI",
    "ks_test": "KS distance",
    "chi_square": "Cramér's V",
    "roc_auc": "ROC-AUC",
    "mae": "MAE",
    "rmse": "RMSE",
}


@dataclass(frozen=True, slots=True)
class FailedRule:
    """A rule of the policy that doesn't hold, and what shows it."""

    rule: str  # R1 …
    name: str
    level: Level
    effect: Effect
    subject: str  # the column, metric or group it fails for
    observed: float | None
    limit: float | None
    evidence: str

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `Verdict.to_json` wrote."""
        return cls(
            **{**data, "level": Level(data["level"]), "effect": Effect(data["effect"])}
        )

    @property
    def blocks_at_once(self) -> bool:
        """Whether the status becomes BLOCKED without a second evaluation."""
        return self.level is Level.HARD and self.effect is Effect.BLOCK


def failed_rules(facts: Facts, thresholds: Thresholds) -> Iterator[FailedRule]:
    """Yield every rule that doesn't hold, once for each column, metric or group."""
    shares = normalised({column.name: column.importance for column in facts.columns})
    for column in facts.columns:
        if column.status == "alert":
            important = shares[column.name] * len(shares) >= 1 - _ROUNDING
            yield _drift_failure("R1" if important else "R2", column, thresholds)
    if facts.score is not None and facts.score.status == "alert":
        yield _drift_failure("R3", facts.score, thresholds)
    yield from _many_warnings(facts, thresholds)
    for one in judged(facts, thresholds):
        yield from _drop_failure(one, thresholds)
    for group in facts.groups:
        yield from _group_failure(group, thresholds)


def _failure(
    rule: str,
    thresholds: Thresholds,
    subject: str,
    numbers: tuple[float | None, float | None],
    evidence: str,
) -> FailedRule:
    setting = thresholds.rules[rule]
    return FailedRule(
        rule,
        RULE_NAMES[rule],
        setting.level,
        setting.effect,
        subject,
        *numbers,
        evidence,
    )


def _drift_failure(
    rule: str, column: ColumnFacts, thresholds: Thresholds
) -> FailedRule:
    """Name the algorithm that lies furthest beyond its alert limit."""
    measured = [one for one in column.measured if one.significant]
    if column.psi is not None and not measured:
        measured = [Measured("psi", column.psi, significant=True)]
    beyond = [
        (one.score / limits.serious, one, limits.serious)
        for one in measured
        if (limits := thresholds.algorithms.get(one.algorithm)) is not None
    ]
    ratio, worst, limit = max(beyond, key=lambda one: one[0], default=(0, None, None))
    if worst is None or limit is None or ratio < 1:
        # Monitoring may be set to stricter limits than the policy's.
        evidence = f"{column.name} is in drift alert"
        return _failure(rule, thresholds, column.name, (None, None), evidence)
    sign = ">" if worst.score > limit else "="
    label = _LABELS.get(worst.algorithm, worst.algorithm)
    evidence = f"{column.name} {label} {_short(worst.score)} {sign} {_short(limit)}"
    return _failure(rule, thresholds, column.name, (worst.score, limit), evidence)


def _many_warnings(facts: Facts, thresholds: Thresholds) -> Iterator[FailedRule]:
    measured = [column for column in facts.columns if column.is_measured]
    beyond = [column.name for column in measured if column.status != "ok"]
    if not beyond:
        return
    share = len(beyond) / len(measured)
    if share >= thresholds.warning_share - _ROUNDING:
        named = ", ".join(beyond[:5]) + (", …" if len(beyond) > 5 else "")
        yield _failure(
            "R4",
            thresholds,
            "columns",
            (share, thresholds.warning_share),
            f"{len(beyond)} of {len(measured)} columns are in drift warning or alert "
            f"({named})",
        )


def judged(facts: Facts, thresholds: Thresholds) -> Iterator[PerformanceFacts]:
    """Yield the newest mature period with labels, and the newest estimate."""
    realized = estimated = None
    for one in facts.performance:
        if one.n < thresholds.minimum_sample:
            continue
        mature = (
            one.labelled_share >= thresholds.label_maturity - _ROUNDING
            or one.horizon_passed
        )
        if one.source == "realized" and mature:
            realized = one
        elif one.source == "estimated":
            estimated = one
    yield from (one for one in (realized, estimated) if one is not None)


def _drop_failure(
    one: PerformanceFacts, thresholds: Thresholds
) -> Iterator[FailedRule]:
    relative = one.metric in ERROR_METRICS
    limits = thresholds.relative_drop if relative else thresholds.absolute_drop
    if one.drop_low <= 0 or one.drop < limits.mild:
        return
    period = f" in {one.period}" if one.period else ""
    size = f"{one.drop:+.0%}" if relative else f"a drop of {_short(one.drop)}"
    evidence = (
        f"{one.source.capitalize()} {_LABELS.get(one.metric, one.metric)} "
        f"{_short(one.baseline)} → {_short(one.current)}{period} ({size})"
    )
    collapsed = one.drop >= limits.serious
    if collapsed:
        numbers = (one.drop, limits.serious)
        yield _failure("R6", thresholds, one.metric, numbers, evidence)
    # An advisory R6 leaves the collapse to R5.
    if not collapsed or thresholds.rules["R6"].level is Level.ADVISORY:
        numbers = (one.drop, limits.mild)
        yield _failure("R5", thresholds, one.metric, numbers, evidence)


def _group_failure(group: GroupFacts, thresholds: Thresholds) -> Iterator[FailedRule]:
    minimum = thresholds.fairness_minimum
    if group.ratio is None or group.ratio_high is None or group.ratio_high >= minimum:
        return
    subject = f"{group.attribute} = {group.group}"
    yield _failure(
        "R7",
        thresholds,
        subject,
        (group.ratio, minimum),
        f"{subject} gets the favourable outcome {_short(group.ratio)} times as often "
        f"as the best-off group (minimum {_short(minimum)})",
    )


def _short(value: float) -> str:
    return f"{value:.3g}"
