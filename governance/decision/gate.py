"""The gate: may this version serve in this environment, and if not, what to do.

Pure: the same facts under the same policy always give the same answer.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from governance.decision.controls import GATE_RULE_NAMES, Mode
from governance.decision.facts import plain
from governance.decision.levels import Level
from governance.decision.rules import FailedRule
from governance.decision.thresholds import RULE_NAMES, Effect, Thresholds
from governance.decision.verdict import Status

RULES = {**GATE_RULE_NAMES, **RULE_NAMES}
# Whose failure makes a version blocked; what serves already is judged by these alone.
BLOCKING = frozenset({"index", *RULE_NAMES})
_EFFECTS = {
    Status.AT_RISK: frozenset({Effect.AT_RISK}),
    Status.BLOCKED: frozenset({Effect.AT_RISK, Effect.BLOCK}),
}
_ORDER = {Level.HARD: 0, Level.SOFT: 1, Level.ADVISORY: 2}


class Result(StrEnum):
    """What the gate says."""

    ALLOW = "ALLOW"
    ALLOW_WITH_WARNINGS = "ALLOW_WITH_WARNINGS"
    ALLOW_BY_OVERRIDE = "ALLOW_BY_OVERRIDE"
    DENY = "DENY"


class Purpose(StrEnum):
    """What somebody wants of the gate."""

    DEPLOY = "deploy"
    RESUME = "resume"
    ROLLBACK = "rollback"
    # To a version that was live lately: it is known, and it is wanted now.
    RECENT_ROLLBACK = "recent_rollback"


@dataclass(frozen=True, slots=True)
class OpenFinding:
    """A critical finding that stands in the way."""

    id: int
    version: str
    title: str
    is_own: bool  # of the version itself; else of the one that it replaces


@dataclass(frozen=True, slots=True)
class GateFacts:
    """What the gate has to know."""

    version: str
    environment: str
    purpose: Purpose = Purpose.DEPLOY
    approval: str = ""  # empty: it counts; else why it doesn't
    approval_code: str = ""  # none, stale, expired, quorum
    baseline: str = ""  # given, inherited, provisional; empty: none
    is_validated: bool = False  # the baseline has labelled predictions
    has_traffic: bool = False
    status: Status = Status.NOT_ASSESSED
    score: float | None = None  # the risk index
    failed: tuple[FailedRule, ...] = ()
    reasons: tuple[str, ...] = ()
    evidence: int | None = None
    evaluation_age_hours: float | None = None  # None: never evaluated
    cadence: str = "stream"
    findings: tuple[OpenFinding, ...] = ()
    revalidation_due: str = ""  # ISO 8601; empty: nothing is due
    tier: str = ""  # empty: unset, which counts as high
    override: int | None = None
    override_rules: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class GateRule:
    """One rule of the gate, held against the facts."""

    rule: str
    level: Level
    passed: bool
    observed: Any = None
    limit: Any = None
    subject: str = ""  # the column, metric or group it fails for
    detail: str = ""
    evidence: int | None = None
    override: int | None = None  # that passes it
    next: str = ""  # what to do about it

    @property
    def closes(self) -> bool:
        """Whether the gate stays closed because of it."""
        is_firm = self.level is not Level.ADVISORY
        return is_firm and not self.passed and self.override is None

    def to_json(self) -> dict[str, Any]:
        """Return the rule as answers and entries have it."""
        data: dict[str, Any] = plain(self)
        return {**data, "name": RULES[self.rule], "level": self.level.value}


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the gate says, rule by rule."""

    result: Result
    mode: Mode
    rules: tuple[GateRule, ...]
    # What it would say if the environment's mode were prevent.
    strict: Result
    override: int | None = None  # that lets it pass

    @property
    def is_open(self) -> bool:
        """Whether the version may go through."""
        return self.result is not Result.DENY

    @property
    def closing(self) -> tuple[GateRule, ...]:
        """The rules that keep it closed."""
        return tuple(rule for rule in self.rules if rule.closes)

    @property
    def overridable(self) -> tuple[str, ...]:
        """The names of the soft rules that keep it closed, each once."""
        soft = [rule.rule for rule in self.closing if rule.level is Level.SOFT]
        return tuple(dict.fromkeys(soft))

    @property
    def steps(self) -> tuple[str, ...]:
        """What to do, the firmest rules first."""
        steps = [rule.next for rule in self.closing if rule.next]
        names = self.overridable
        if names and all(rule.level is Level.SOFT for rule in self.closing):
            steps.append(
                f"Or ask for an override of {', '.join(names)} "
                '(deploy with "override": true); a second person has to approve it.'
            )
        return tuple(dict.fromkeys(steps))


def level_of(rule: str, policy: Thresholds) -> Level:
    """Return how firmly the policy holds a rule at the gate."""
    if rule in policy.rules:
        return policy.rules[rule].level
    return policy.controls.gate[rule]


def judge(facts: GateFacts, policy: Thresholds, mode: Mode) -> Judgement:
    """Hold every rule of the gate against the facts.

    A rule that fails is advisory (it warns), soft (an override that names it passes
    it) or hard. Where the environment only warns or observes, what would be closed is
    open with warnings.

    Parameters
    ----------
    facts : GateFacts
        What is known of the version.
    policy : Thresholds
        The content of the policy in force; its levels.
    mode : Mode
        What a closed gate does in this environment now.
    """
    found = (*_people(facts, policy), *_health(facts, policy), *_time(facts, policy))
    return _judgement(found, facts, mode)


def serving(facts: GateFacts, policy: Thresholds, mode: Mode) -> Judgement:
    """Tell whether what is deployed may go on serving.

    Only a version whose status is BLOCKED is stopped, and not under an override that
    passes every rule that blocks it.
    """
    if facts.status is not Status.BLOCKED:
        return _judgement((), facts, mode)
    blocking = tuple(one for one in facts.failed if one.effect is Effect.BLOCK)
    found = _health(replace(facts, failed=blocking), policy)
    return _judgement((one for one in found if one.rule in BLOCKING), facts, mode)


def _judgement(found: Iterable[GateRule], facts: GateFacts, mode: Mode) -> Judgement:
    rules = tuple(
        sorted(
            (_with_override(rule, facts) for rule in found),
            key=lambda rule: (rule.passed, _ORDER[rule.level]),
        )
    )
    strict = _result(rules)
    result = strict
    if strict is Result.DENY and mode is not Mode.PREVENT:
        result = Result.ALLOW_WITH_WARNINGS
    is_used = strict is Result.ALLOW_BY_OVERRIDE
    return Judgement(result, mode, rules, strict, facts.override if is_used else None)


def _with_override(rule: GateRule, facts: GateFacts) -> GateRule:
    is_passed = (
        not rule.passed
        and rule.level is Level.SOFT
        and facts.override is not None
        and rule.rule in facts.override_rules
    )
    return replace(
        rule,
        override=facts.override if is_passed else None,
        next="" if rule.passed else rule.next,
    )


def _result(rules: Iterable[GateRule]) -> Result:
    failed = [rule for rule in rules if not rule.passed]
    if any(rule.closes for rule in failed):
        return Result.DENY
    if any(rule.override is not None for rule in failed):
        return Result.ALLOW_BY_OVERRIDE
    return Result.ALLOW_WITH_WARNINGS if failed else Result.ALLOW


def _people(facts: GateFacts, policy: Thresholds) -> Iterator[GateRule]:
    """Hold what people have to have done: approval, baseline, findings, tier."""
    levels = policy.controls.gate
    yield GateRule(
        "approval",
        levels["approval"],
        passed=not facts.approval,
        observed=facts.approval_code or "valid",
        limit="valid",
        detail=facts.approval,
        next=_APPROVAL_STEPS.get(facts.approval_code, _APPROVAL_STEPS["none"]),
    )
    yield GateRule(
        "baseline",
        levels["baseline"],
        passed=facts.baseline in {"given", "inherited"},
        observed=facts.baseline or None,
        limit="given",
        detail=_BASELINE_WORDS.get(facts.baseline, ""),
        next="Give the version a baseline (POST /api/v1/drift/baselines).",
    )
    yield _findings(facts, levels["critical_findings"])
    yield GateRule(
        "tier",
        levels["tier"],
        passed=bool(facts.tier),
        observed=facts.tier or None,
        limit="high, medium or low",
        detail="" if facts.tier else "The tier is unset and counts as high.",
        next="Set the model's risk_tier (PATCH /api/models/{id}).",
    )


_APPROVAL_STEPS: Mapping[str, str] = {
    "none": "Ask for its approval, and have it approved by a compliance officer.",
    "stale": "Something that was approved has changed: ask for its approval again.",
    "expired": "The approval has expired: ask for it again.",
    "quorum": "Votes don't count any more: ask for its approval again.",
}
_BASELINE_WORDS: Mapping[str, str] = {
    "": "No baseline is active.",
    "provisional": "The baseline is provisional: it was made of the first predictions.",
}


def _findings(facts: GateFacts, level: Level) -> GateRule:
    is_rollback = facts.purpose in {Purpose.ROLLBACK, Purpose.RECENT_ROLLBACK}
    # What is rolled back from has findings: that is why.
    found = [one for one in facts.findings if one.is_own or not is_rollback]
    listed = "; ".join(f"{one.id} on {one.version}: {one.title}" for one in found[:3])
    numbers = ", ".join(str(one.id) for one in found[:3])
    declare = (
        ""
        if all(one.is_own for one in found)
        else (
            ", or declare that this version doesn't have it "
            "(POST /api/findings/{id}/remediations)"
        )
    )
    return GateRule(
        "critical_findings",
        level,
        passed=not found,
        observed=len(found),
        limit=0,
        detail=listed,
        next=f"Resolve and close finding {numbers}{declare}.",
    )


def _health(facts: GateFacts, policy: Thresholds) -> Iterator[GateRule]:
    """Hold what was measured."""
    levels = policy.controls.gate
    counting = _EFFECTS.get(facts.status, frozenset())
    explained = counted = False
    for one in facts.failed:
        counts = one.level is not Level.ADVISORY and one.effect in counting
        counted |= counts
        explained |= counts and one.effect is Effect.BLOCK
        yield GateRule(
            one.rule,
            one.level if counts else Level.ADVISORY,
            passed=False,
            observed=one.observed,
            limit=one.limit,
            subject=one.subject,
            detail=one.evidence,
            evidence=facts.evidence,
            next=f"Find out why {one.subject} fails rule {one.rule}, and repair it "
            "or deploy a version without it.",
        )
    # Blocked by the index, or still, until it has looked well often enough.
    is_blocked = facts.status is Status.BLOCKED and not explained
    index = policy.index.serious
    yield GateRule(
        "index",
        levels["index"],
        passed=not is_blocked and (facts.score is None or facts.score < index),
        observed=facts.score,
        limit=index,
        detail="; ".join(facts.reasons[:3]) if is_blocked else "",
        evidence=facts.evidence,
        next="Bring the risk index down; the status changes after "
        f"{policy.evaluations} evaluations that agree.",
    )
    if facts.status is Status.AT_RISK and not counted:
        yield GateRule(
            "index",
            Level.ADVISORY,
            passed=False,
            observed=facts.score,
            limit=policy.index.mild,
            detail="The version is at risk. " + "; ".join(facts.reasons[:3]),
            evidence=facts.evidence,
        )
    yield _assessed(facts, levels["assessed"])


def _assessed(facts: GateFacts, level: Level) -> GateRule:
    """Ask for a health, or for what stands in its place before any traffic."""
    is_judged = facts.status is not Status.NOT_ASSESSED
    detail = ""
    if not is_judged and not facts.has_traffic and facts.is_validated:
        is_judged, detail = True, "Judged on its validation file: no traffic yet."
    elif not is_judged and facts.purpose is Purpose.RECENT_ROLLBACK:
        is_judged, detail = facts.has_traffic, "It was live lately."
    elif not is_judged:
        detail = " ".join(facts.reasons[:3]) or "Nothing has been measured yet."
    return GateRule(
        "assessed",
        level,
        passed=is_judged,
        observed=facts.status.value,
        limit="assessed, or validated before any traffic",
        detail=detail,
        evidence=facts.evidence,
        next="Send a baseline with labelledPredictions (its validation file), or log "
        "predictions of a shadow run until the health is assessed.",
    )


def _time(facts: GateFacts, policy: Thresholds) -> Iterator[GateRule]:
    """Hold what time has made old."""
    levels = policy.controls.gate
    age = facts.evaluation_age_hours
    limit = policy.controls.evaluation_age_hours[facts.cadence]
    is_skipped = facts.purpose is Purpose.RECENT_ROLLBACK or not facts.has_traffic
    yield GateRule(
        "evaluation_age",
        levels["evaluation_age"],
        passed=is_skipped or (age is not None and age <= limit),
        observed=None if age is None else round(age, 2),
        limit=limit,
        detail="Not asked: " + _why_not(facts) if is_skipped else "",
        evidence=facts.evidence,
        next="Log current predictions and wait for the next evaluation.",
    )
    yield GateRule(
        "revalidation",
        levels["revalidation"],
        passed=not facts.revalidation_due,
        observed=facts.revalidation_due or None,
        detail="The periodic re-validation is overdue."
        if facts.revalidation_due
        else "",
        next="Validate the version again and close the finding about it.",
    )


def _why_not(facts: GateFacts) -> str:
    if facts.has_traffic:
        return "it is rolled back to a version that was live lately."
    return "the version has had no traffic yet."
