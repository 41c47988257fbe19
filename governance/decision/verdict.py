"""From facts to a verdict: the governance status and the reasons for it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from governance.decision.facts import PROVISIONAL, Facts, plain
from governance.decision.levels import Level
from governance.decision.risk import RiskTerms, risk_score
from governance.decision.rules import FailedRule, failed_rules, judged
from governance.decision.thresholds import Effect, Limits, Thresholds


class Status(StrEnum):
    """The governance status of a model version."""

    NOT_ASSESSED = "NOT_ASSESSED"
    APPROVED = "APPROVED"
    AT_RISK = "AT_RISK"
    BLOCKED = "BLOCKED"


_SEVERITY = {Status.APPROVED: 0, Status.AT_RISK: 1, Status.BLOCKED: 2}
_WORDS = {
    Status.NOT_ASSESSED: "not assessed",
    Status.APPROVED: "within limits",
    Status.AT_RISK: "at risk",
    Status.BLOCKED: "blocked",
}
_NOBODY_GAVE_ONE = (
    "The baseline is provisional, made of the version's own first predictions: whether "
    "they were within limits nobody said."
)
_STATUS_OF = {Effect.AT_RISK: Status.AT_RISK, Effect.BLOCK: Status.BLOCKED}


@dataclass(frozen=True, slots=True)
class PreviousState:
    """What the last decision left behind."""

    status: Status = Status.NOT_ASSESSED
    candidate: Status | None = None  # another status, seen but not yet often enough
    candidate_evaluations: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """The governance status and why it is so."""

    status: Status
    previous: Status
    found: Status  # what this evaluation alone says
    band: Status | None  # what the index alone says; None: no index
    risk: RiskTerms | None
    failed: tuple[FailedRule, ...] = ()
    missing: tuple[str, ...] = ()  # why it can't be assessed, as sentences
    candidate: Status | None = None
    candidate_evaluations: int = 0
    evaluations_needed: int = 2

    @property
    def is_changed(self) -> bool:
        """Whether the status differs from the one before."""
        return self.status != self.previous

    @property
    def state(self) -> PreviousState:
        """What the next decision has to be given."""
        return PreviousState(self.status, self.candidate, self.candidate_evaluations)

    def to_json(self) -> dict[str, Any]:
        """Return the verdict as plain JSON."""
        data: dict[str, Any] = plain(self)
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        band, candidate = data["band"], data["candidate"]
        return cls(
            **{
                **data,
                "status": Status(data["status"]),
                "previous": Status(data["previous"]),
                "found": Status(data["found"]),
                "band": band and Status(band),
                "risk": data["risk"] and RiskTerms.from_json(data["risk"]),
                "failed": tuple(FailedRule.from_json(one) for one in data["failed"]),
                "missing": tuple(data["missing"]),
                "candidate": candidate and Status(candidate),
            }
        )


def decide(
    facts: Facts,
    thresholds: Thresholds,
    previous: PreviousState | None = None,
    *,
    counts: bool = True,
) -> Verdict:
    """Judge a model version.

    1. What this evaluation finds: the worst of the index band and of every failed rule
       that isn't advisory. Without a baseline, enough rows or fresh evidence it is
       NOT_ASSESSED, unless a hard rule blocks: silence never lifts a block. Against a
       provisional baseline a version can be at risk or blocked, never within limits.
    2. What becomes of the status: the first assessment, NOT_ASSESSED and a hard block
       take effect at once; any other change once the policy's number of consecutive
       evaluations agree on it. Evaluations beyond the status on the same side agree on
       the nearer of the two.

    Parameters
    ----------
    facts : Facts
        What was measured.
    thresholds : Thresholds
        The content of the policy in force.
    previous : PreviousState or None
        What the last verdict left behind (`Verdict.state`); None at the first.
    counts : bool
        Whether this is a new evaluation: enough new rows came, or a cadence step
        passed. If not, only what takes effect at once changes the status.
    """
    previous = previous or PreviousState()
    risk = risk_score(facts, thresholds)
    failed = tuple(failed_rules(facts, thresholds))
    missing = tuple(_missing(facts, thresholds, risk))
    band = None if risk is None else _band(risk.score, thresholds.index)
    at_once = any(failure.blocks_at_once for failure in failed)
    if at_once:
        found = Status.BLOCKED
    elif missing:
        found = Status.NOT_ASSESSED
    else:
        found = _worst(band, failed)
        if found is Status.APPROVED and facts.baseline_kind == PROVISIONAL:
            found, missing = Status.NOT_ASSESSED, (_NOBODY_GAVE_ONE,)
    unassessed = Status.NOT_ASSESSED in {found, previous.status}
    if at_once or unassessed or (found == previous.status and counts):
        state = PreviousState(found)
    elif counts:
        state = _count(previous, found, thresholds.evaluations)
    else:
        state = previous
    return Verdict(
        status=state.status,
        previous=previous.status,
        found=found,
        band=band,
        risk=risk,
        failed=failed,
        missing=missing,
        candidate=state.candidate,
        candidate_evaluations=state.candidate_evaluations,
        evaluations_needed=thresholds.evaluations,
    )


def _band(score: float, limits: Limits) -> Status:
    if score >= limits.serious:
        return Status.BLOCKED
    return Status.AT_RISK if score >= limits.mild else Status.APPROVED


def _worst(band: Status | None, failed: tuple[FailedRule, ...]) -> Status:
    found = [
        _STATUS_OF[failure.effect]
        for failure in failed
        if failure.level is not Level.ADVISORY
    ]
    return max([band or Status.APPROVED, *found], key=lambda one: _SEVERITY[one])


def _count(previous: PreviousState, found: Status, needed: int) -> PreviousState:
    """Count one more evaluation that finds another status than the present one."""
    now = _SEVERITY[previous.status]
    nearer, evaluations = found, 1
    earlier = previous.candidate
    if earlier and (_SEVERITY[earlier] > now) == (_SEVERITY[found] > now):
        nearer = min(earlier, found, key=lambda one: abs(_SEVERITY[one] - now))
        evaluations += previous.candidate_evaluations
    if evaluations < needed:
        return PreviousState(previous.status, nearer, evaluations)
    if found == nearer:
        return PreviousState(nearer)
    return PreviousState(nearer, found, 1)


def _missing(
    facts: Facts, thresholds: Thresholds, risk: RiskTerms | None
) -> Iterator[str]:
    if facts.baseline_kind is None:
        yield "No baseline is active."
    if facts.n < thresholds.minimum_sample:
        rows = "row" if facts.n == 1 else "rows"
        yield (
            f"The window has {facts.n} {rows}; "
            f"the policy asks for {thresholds.minimum_sample}."
        )
    age, limit = facts.evidence_age_hours, thresholds.maximum_age_hours[facts.cadence]
    if age is None:
        yield "No prediction has a time stamp yet."
    elif age > limit:
        yield (
            f"The newest prediction is {_hours(age)} old; "
            f"the {facts.cadence} cadence allows {_hours(limit)}."
        )
    columns = [*facts.columns, *([facts.score] if facts.score else [])]
    nothing = risk is None and not any(judged(facts, thresholds))
    if nothing and not any(one.is_measured for one in columns):
        yield "Nothing could be measured yet."


def explain(verdict: Verdict, policy: str = "") -> list[str]:
    """Say in plain sentences why the status is what it is.

    `policy` is how people call the policy version that the rules are of: "policy 4".
    """
    sentences = list(verdict.missing)
    for failure in verdict.failed:
        effect = _WORDS[_STATUS_OF[failure.effect]]
        if failure.level is Level.ADVISORY:
            effect = "advisory"
        rule = f"rule {failure.rule} of {policy}" if policy else f"rule {failure.rule}"
        reason = f"({rule}: {failure.name} → {effect})"
        sentences.append(f"{failure.evidence} {reason}.")
    if verdict.risk is not None:
        sentences.extend(_explain_index(verdict.risk, verdict.band))
    if not sentences or (verdict.found is Status.APPROVED and not verdict.failed):
        sentences.insert(0, "All rules hold.")
    if verdict.candidate is not None:
        sentences.append(
            f"The status stays {_WORDS[verdict.status]}: {_WORDS[verdict.candidate]} "
            f"was found in {verdict.candidate_evaluations} of "
            f"{verdict.evaluations_needed} consecutive evaluations."
        )
    return sentences


def _explain_index(risk: RiskTerms, band: Status | None) -> Iterator[str]:
    terms = [
        f"{weight:.0%} of {name} {component:.1f}"
        for name, weight, component in (
            ("drift", risk.drift_weight, risk.drift),
            ("fairness", risk.fairness_weight, risk.fairness),
        )
        if component is not None
    ]
    word = _WORDS[band or Status.APPROVED]
    yield f"The risk index is {risk.score:.1f} ({' + '.join(terms)}): {word}."
    if risk.drift is None:
        yield "Drift is not measured; its weight goes to fairness."
    if risk.fairness is None:
        yield "Fairness is not measured; its weight goes to drift."


def _hours(hours: float) -> str:
    return f"{hours / 24:.3g} days" if hours >= 48 else f"{hours:.3g} hours"
