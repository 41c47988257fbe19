"""The part of a policy about people: read strictly, written completely."""

from typing import Any

import pytest

from governance.decision import (
    DEFAULT_POLICY,
    GateMode,
    Level,
    Mode,
    OverrideLimit,
    PolicyError,
    Reaction,
    Stage,
    Thresholds,
)
from governance.decision.controls import Controls


def read(**content: Any) -> Controls:
    return Thresholds.from_json(content).controls


def faults(**content: Any) -> dict[str, str]:
    with pytest.raises(PolicyError) as caught:
        Thresholds.from_json(content)
    return {".".join(map(str, one.loc)): one.code for one in caught.value.errors}


def test_what_is_written_reads_as_the_same() -> None:
    assert Thresholds.from_json(DEFAULT_POLICY) == Thresholds()
    assert Thresholds.from_json(DEFAULT_POLICY).to_json() == DEFAULT_POLICY


def test_content_of_an_earlier_release_has_every_control_by_default() -> None:
    earlier = {
        name: value
        for name, value in DEFAULT_POLICY.items()
        if name not in Controls().to_json()
    }
    assert Thresholds.from_json(earlier).controls == Controls()
    assert Thresholds.from_json(earlier).binding == Thresholds().binding


def test_one_compliance_officer_approves_by_default() -> None:
    (stage,) = Controls().stages
    assert (stage.role, stage.quorum) == ("compliance_officer", 1)
    assert not Controls().auto_approval.enabled
    assert not Controls().break_glass.allowed
    assert {one.mode for one in Controls().environments.values()} == {Mode.PREVENT}


def test_stages_are_roles_or_people() -> None:
    controls = read(
        stages=[
            {"role": "Validator", "sla_hours": 24},
            {"people": ["Bob@example.com", "eve@example.com"], "quorum": 2},
        ]
    )
    assert controls.stages == (
        Stage(role="validator", sla_hours=24.0),
        Stage(people=("bob@example.com", "eve@example.com"), quorum=2),
    )


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        ({"role": "validator", "quorum": 0}, {"stages.0.quorum": "range"}),
        ({"role": "validator", "quorum": 1.5}, {"stages.0.quorum": "type"}),
        ({"role": "validator", "quorum": True}, {"stages.0.quorum": "type"}),
        ({"role": "owner"}, {"stages.0.role": "choice"}),
        ({"quorum": 1}, {"stages.0": "missing"}),
        ({"role": "validator", "people": ["a@b.c"]}, {"stages.0": "missing"}),
        ({"people": ["bob"]}, {"stages.0.people.0": "email"}),
        ({"people": ["a@b.c", "A@b.c"]}, {"stages.0.people.1": "duplicate"}),
        ({"people": ["a@b.c"], "quorum": 2}, {"stages.0.quorum": "range"}),
        ({"role": "validator", "sla_hours": 0}, {"stages.0.sla_hours": "range"}),
        ({"role": "validator", "votes": 1}, {"stages.0.votes": "unknown_field"}),
        ({"role": "validator", "escalate_to": 5}, {"stages.0.escalate_to": "choice"}),
        (None, {"stages.0": "type"}),
    ],
)
def test_a_stage_that_nobody_could_decide_is_refused(
    stage: Any, expected: dict[str, str]
) -> None:
    assert faults(stages=[stage]) == expected


def test_a_policy_keeps_at_least_one_stage() -> None:
    assert faults(stages=[]) == {"stages": "range"}
    assert faults(stages=[{"role": "validator"}] * 7) == {"stages": "range"}


def test_an_approval_can_not_be_made_optional() -> None:
    assert faults(gate={"rules": {"approval": "soft"}}) == {
        "gate.rules.approval": "choice"
    }
    assert read(gate={"rules": {"tier": "hard"}}).gate["tier"] is Level.HARD


def test_limits_are_given_by_tier_and_the_others_keep_theirs() -> None:
    controls = read(
        overrides={"high": {"maximum_hours": 4}},
        blocked={"high": {"action": "suspend", "after_evaluations": 3}},
        revalidation_months={"low": 36},
    )
    assert controls.overrides["high"] == OverrideLimit(4.0)
    assert controls.overrides["low"] == Controls().overrides["low"]
    assert controls.blocked["high"].action is Reaction.SUSPEND
    assert controls.revalidation_months == {"high": 12, "medium": 18, "low": 36}


def test_an_override_has_somebody_to_approve_it() -> None:
    assert faults(overrides={"high": {"roles": []}}) == {
        "overrides.high.roles": "too_few"
    }
    assert faults(overrides={"huge": {}}) == {"overrides.huge": "unknown_field"}


def test_break_glass_never_lasts_longer_than_eight_hours() -> None:
    assert faults(break_glass={"maximum_hours": 9}) == {
        "break_glass.maximum_hours": "range"
    }
    assert faults(break_glass={"ratify_hours": 25}) == {
        "break_glass.ratify_hours": "range"
    }


def test_only_what_is_observed_needs_an_end() -> None:
    mode = {"mode": "observe", "until": "2030-01-01T00:00:00+02:00"}
    assert read(environments={"staging": mode}).environments["staging"] == GateMode(
        Mode.OBSERVE, "2029-12-31T22:00:00Z"
    )
    assert faults(environments={"staging": {"mode": "observe"}}) == {
        "environments.staging.until": "missing"
    }
    assert faults(environments={"staging": {**mode, "mode": "warn"}}) == {
        "environments.staging.until": "unknown_field"
    }
    assert faults(environments={"staging": {**mode, "until": "soon"}}) == {
        "environments.staging.until": "date"
    }


def test_the_system_never_approves_what_is_at_risk() -> None:
    assert faults(auto_approval={"enabled": True, "maximum_risk": 50}) == {
        "auto_approval.maximum_risk": "range"
    }


def test_nothing_of_the_wrong_type_gets_through() -> None:
    for name in Controls().to_json():
        assert faults(**{name: "x"}), name
        assert faults(**{name: 10**9}), name


def test_a_vote_rests_on_rules_and_stages_only() -> None:
    same = Thresholds().binding
    assert Thresholds.from_json({"intake_days": {"high": 1}}).binding == same
    assert Thresholds.from_json({"applies_to": {"models": ["a"]}}).binding == same
    assert Thresholds.from_json({"minimum_sample": 99}).binding != same
    assert Thresholds.from_json({"gate": {"rules": {"tier": "hard"}}}).binding != same
    stages = [{"role": "validator"}]
    assert Thresholds.from_json({"stages": stages}).binding != same
