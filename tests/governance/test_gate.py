"""The gate's judgement, held against hand-made facts."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.decision import Effect, FailedRule, Level, Mode, Status, Thresholds
from governance.decision.controls import GATE_RULE_NAMES
from governance.decision.gate import (
    RULES,
    GateFacts,
    OpenFinding,
    Purpose,
    Result,
    judge,
    level_of,
    serving,
)

POLICY = Thresholds()
GOOD = GateFacts(
    version="2.0.0",
    environment="production",
    baseline="given",
    is_validated=True,
    has_traffic=True,
    status=Status.APPROVED,
    score=12.0,
    evidence=311,
    evaluation_age_hours=0.5,
    tier="high",
)


def failed(rule: str, level: Level, effect: Effect) -> FailedRule:
    return FailedRule(rule, "a rule", level, effect, "age", 1.05, 0.25, "age is off")


R1 = failed("R1", Level.HARD, Effect.BLOCK)
R2 = failed("R2", Level.HARD, Effect.AT_RISK)
R7 = failed("R7", Level.SOFT, Effect.AT_RISK)


def asked(mode: Mode = Mode.PREVENT, **changes: object):
    return judge(replace(GOOD, **changes), POLICY, mode)


def closing(judgement) -> list[str]:
    return [rule.rule for rule in judgement.closing]


def test_what_is_in_order_is_allowed_and_every_rule_is_shown() -> None:
    found = asked()
    assert found.result is Result.ALLOW
    assert {rule.rule for rule in found.rules} == set(GATE_RULE_NAMES)
    assert all(rule.passed for rule in found.rules)
    assert found.steps == ()


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        ("approval", {"approval": "Nobody has asked.", "approval_code": "none"}),
        ("approval", {"approval": "It changed.", "approval_code": "stale"}),
        ("baseline", {"baseline": ""}),
        ("baseline", {"baseline": "provisional"}),
        ("index", {"score": 80.0}),
        ("assessed", {"status": Status.NOT_ASSESSED}),
        (
            "assessed",
            {
                "status": Status.NOT_ASSESSED,
                "has_traffic": False,
                "is_validated": False,
            },
        ),
        ("evaluation_age", {"evaluation_age_hours": 168.01}),
        ("evaluation_age", {"evaluation_age_hours": None}),
        ("critical_findings", {"findings": (OpenFinding(1, "2.0.0", "t", True),)}),
        ("critical_findings", {"findings": (OpenFinding(1, "1.0.0", "t", False),)}),
        ("revalidation", {"revalidation_due": "2025-01-01T00:00:00+00:00"}),
        ("R1", {"status": Status.BLOCKED, "failed": (R1,)}),
        ("R2", {"status": Status.AT_RISK, "failed": (R2,)}),
        ("R7", {"status": Status.AT_RISK, "failed": (R7,)}),
    ],
)
def test_each_rule_closes_it_alone_and_says_what_to_do(
    rule: str, changes: dict[str, object]
) -> None:
    found = asked(**changes)
    assert found.result is Result.DENY
    assert closing(found) == [rule]
    assert found.closing[0].next
    assert found.closing[0].next in found.steps
    level = level_of(rule, POLICY)
    assert found.overridable == ((rule,) if level is Level.SOFT else ())
    # An override passes the soft ones, and nothing passes a hard one.
    changes |= {"override": 7, "override_rules": frozenset(RULES)}
    passed = asked(**changes)
    if level is Level.SOFT:
        assert passed.result is Result.ALLOW_BY_OVERRIDE
        assert passed.override == 7
    else:
        assert passed.result is Result.DENY
        assert passed.override is None


def test_an_override_passes_what_it_names_only() -> None:
    changes = {"evaluation_age_hours": None, "status": Status.NOT_ASSESSED}
    found = asked(**changes, override=7, override_rules=frozenset({"assessed"}))
    assert found.result is Result.DENY
    assert closing(found) == ["evaluation_age"]
    assert found.overridable == ("evaluation_age",)


def test_an_override_that_is_not_needed_is_not_used() -> None:
    found = asked(override=7, override_rules=frozenset({"assessed"}))
    assert (found.result, found.override) == (Result.ALLOW, None)


def test_what_is_advisory_warns() -> None:
    assert asked(tier="").result is Result.ALLOW_WITH_WARNINGS
    advisory = failed("R2", Level.ADVISORY, Effect.AT_RISK)
    assert asked(failed=(advisory,)).result is Result.ALLOW_WITH_WARNINGS


def test_a_rule_that_has_not_changed_the_status_yet_warns() -> None:
    found = asked(failed=(R2,), status=Status.APPROVED)
    assert found.result is Result.ALLOW_WITH_WARNINGS


def test_the_index_band_at_risk_warns() -> None:
    assert asked(status=Status.AT_RISK, score=60.0).result is Result.ALLOW_WITH_WARNINGS


def test_a_version_still_blocked_without_a_failed_rule_stays_out() -> None:
    found = asked(status=Status.BLOCKED, score=10.0, reasons=("Seen once.",))
    assert closing(found) == ["index"]


def test_without_traffic_the_validation_file_counts() -> None:
    fresh = {
        "status": Status.NOT_ASSESSED,
        "has_traffic": False,
        "score": None,
        "evaluation_age_hours": None,
    }
    assert asked(**fresh).result is Result.ALLOW
    assert closing(asked(**fresh, is_validated=False)) == ["assessed"]


def test_a_recent_rollback_is_not_asked_how_old_its_evaluation_is() -> None:
    old = {"evaluation_age_hours": 9000.0, "status": Status.NOT_ASSESSED}
    assert closing(asked(**old)) == ["assessed", "evaluation_age"]
    assert closing(asked(**old, purpose=Purpose.ROLLBACK)) == [
        "assessed",
        "evaluation_age",
    ]
    assert asked(**old, purpose=Purpose.RECENT_ROLLBACK).result is Result.ALLOW
    # Everything else is asked as ever.
    blocked = asked(
        failed=(R1,), status=Status.BLOCKED, purpose=Purpose.RECENT_ROLLBACK
    )
    assert closing(blocked) == ["R1"]


def test_findings_of_what_is_rolled_back_from_do_not_hold_it_up() -> None:
    theirs = OpenFinding(1, "2.1.0", "t", is_own=False)
    own = replace(theirs, is_own=True)
    for purpose in (Purpose.ROLLBACK, Purpose.RECENT_ROLLBACK):
        assert asked(findings=(theirs,), purpose=purpose).is_open
        assert not asked(findings=(own,), purpose=purpose).is_open


@pytest.mark.parametrize("mode", [Mode.WARN, Mode.OBSERVE])
def test_a_lenient_mode_says_what_prevention_would_have_said(mode: Mode) -> None:
    found = asked(mode, approval="Nobody has asked.", approval_code="none")
    assert found.result is Result.ALLOW_WITH_WARNINGS
    assert found.strict is Result.DENY
    assert closing(found) == ["approval"]


def test_the_firmest_rules_come_first() -> None:
    found = asked(
        tier="",
        evaluation_age_hours=None,
        baseline="",
        approval="x",
        approval_code="none",
    )
    assert [rule.rule for rule in found.rules[:4]] == [
        "approval",
        "baseline",
        "evaluation_age",
        "tier",
    ]
    assert len(found.steps) == 3


def test_what_serves_is_stopped_only_when_it_is_blocked() -> None:
    at_risk = replace(GOOD, status=Status.AT_RISK, failed=(R2,), approval="expired")
    assert serving(at_risk, POLICY, Mode.PREVENT).is_open
    blocked = replace(GOOD, status=Status.BLOCKED, failed=(R1, R2))
    assert not serving(blocked, POLICY, Mode.PREVENT).is_open
    assert serving(blocked, POLICY, Mode.WARN).is_open
    rules = frozenset(RULES)
    with_override = replace(blocked, override=7, override_rules=rules)
    assert not serving(with_override, POLICY, Mode.PREVENT).is_open  # R1 is hard
    band = replace(GOOD, status=Status.BLOCKED, score=85.0, failed=(R2,))
    assert not serving(band, POLICY, Mode.PREVENT).is_open
    passed = serving(
        replace(band, override=7, override_rules=frozenset({"index"})),
        POLICY,
        Mode.PREVENT,
    )
    assert (passed.result, passed.override) == (Result.ALLOW_BY_OVERRIDE, 7)


facts_strategy = st.builds(
    GateFacts,
    version=st.just("1"),
    environment=st.just("production"),
    purpose=st.sampled_from(Purpose),
    approval=st.sampled_from(["", "It changed."]),
    approval_code=st.sampled_from(["", "none", "stale", "expired", "quorum"]),
    baseline=st.sampled_from(["", "given", "inherited", "provisional"]),
    is_validated=st.booleans(),
    has_traffic=st.booleans(),
    status=st.sampled_from(Status),
    score=st.none() | st.floats(0, 100),
    failed=st.lists(st.sampled_from([R1, R2, R7]), unique=True).map(tuple),
    evaluation_age_hours=st.none() | st.floats(0, 10_000),
    findings=st.lists(
        st.builds(OpenFinding, st.just(1), st.just("1"), st.just("t"), st.booleans()),
        max_size=2,
    ).map(tuple),
    revalidation_due=st.sampled_from(["", "2025-01-01"]),
    tier=st.sampled_from(["", "high", "low"]),
    override=st.none() | st.just(7),
    override_rules=st.frozensets(st.sampled_from(sorted(RULES))),
)


@given(facts_strategy, st.sampled_from(Mode))
def test_no_facts_open_the_gate_without_an_approval(
    facts: GateFacts, mode: Mode
) -> None:
    found = judge(facts, POLICY, mode)
    assert (found.strict is Result.DENY) == bool(found.closing)
    if mode is Mode.PREVENT:
        assert found.result is found.strict
        if found.is_open:
            assert not facts.approval
            assert facts.baseline in {"given", "inherited"}
            assert R1 not in facts.failed or facts.status is not Status.BLOCKED
    if found.result is Result.ALLOW_BY_OVERRIDE:
        assert found.override == 7
        passed = {rule.rule for rule in found.rules if rule.override}
        assert passed <= facts.override_rules
        assert all(level_of(name, POLICY) is Level.SOFT for name in passed)
    if found.closing:
        assert found.steps
