import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.decision import (
    DEFAULT_POLICY,
    ColumnFacts,
    Effect,
    Facts,
    GroupFacts,
    Level,
    Limits,
    Measured,
    PerformanceFacts,
    PolicyError,
    PreviousState,
    Rule,
    Status,
    Thresholds,
    Verdict,
    decide,
    explain,
    risk_score,
)

POLICY = Thresholds()
APPROVED, AT_RISK = PreviousState(Status.APPROVED), PreviousState(Status.AT_RISK)
BLOCKED = PreviousState(Status.BLOCKED)


def column(
    name: str = "a", psi: float | None = 0.0, importance: float | None = None
) -> ColumnFacts:
    """A column whose status follows from its PSI."""
    if psi is None:
        return ColumnFacts(name, "insufficient_data", None, importance)
    status = "alert" if psi >= 0.25 else "warning" if psi >= 0.1 else "ok"
    measured = (Measured("psi", psi, significant=psi >= 0.1),)
    return ColumnFacts(name, status, psi, importance, measured)


def columns(*psis: float | None) -> tuple[ColumnFacts, ...]:
    return tuple(column(f"c{at}", psi) for at, psi in enumerate(psis))


def facts(**more: Any) -> Facts:
    """Facts about a quiet model with enough fresh rows."""
    base: dict[str, Any] = {
        "n": 9000,
        "n_baseline": 18000,
        "baseline_kind": "given",
        "cadence": "monthly",
        "evidence_age_hours": 24.0,
        "columns": columns(0, 0, 0, 0, 0),
    }
    return Facts(**base | more)


def drop(size: float, **more: Any) -> PerformanceFacts:
    """A loss of ROC-AUC against 0.886, known to ± 0.01."""
    base: dict[str, Any] = {
        "metric": "roc_auc",
        "source": "realized",
        "baseline": 0.886,
        "current": 0.886 - size,
        "drop": size,
        "drop_low": size - 0.01,
        "drop_high": size + 0.01,
        "n": 9000,
        "period": "2005-08",
    }
    return PerformanceFacts(**base | more)


def group(ratio: float | None, half_width: float = 0.01, name: str = "2") -> GroupFacts:
    if ratio is None:
        return GroupFacts("SEX", name, 12)
    return GroupFacts("SEX", name, 5417, ratio, ratio - half_width, ratio + half_width)


def rules_of(verdict: Verdict) -> list[str]:
    return [failure.rule for failure in verdict.failed]


def test_the_index_is_the_weighted_sum_of_both_components() -> None:
    # PSI 0.05 → 25 points, 0.175 → 75 points, 0 → 0; weights 1/4, 1/4, 1/2:
    # mean 25, half of the worst 37.5, so drift is 37.5.
    # Ratio 0.9 lies half way to the limit 0.8: fairness 25.
    # 0.6 * 37.5 + 0.4 * 25 = 32.5.
    known = facts(
        columns=(column("a", 0.05, 1), column("b", 0.175, 1), column("c", 0.0, 2)),
        groups=(group(0.9), group(1.0, name="1"), group(None, name="3")),
    )
    terms = risk_score(known, POLICY)
    assert terms is not None
    assert terms.score == pytest.approx(32.5)
    assert terms.drift == pytest.approx(37.5)
    assert terms.mean_points == pytest.approx(25)
    assert terms.fairness == pytest.approx(25)
    assert (terms.drift_weight, terms.fairness_weight) == (0.6, 0.4)
    assert (terms.worst_column, terms.worst_group) == ("b", "SEX = 2")
    assert terms.fairness_ratio == 0.9
    assert [(one.name, one.weight) for one in terms.columns] == [
        ("a", 0.25),
        ("b", 0.25),
        ("c", 0.5),
    ]
    assert [one.points for one in terms.columns] == pytest.approx([25, 75, 0])


def test_the_mean_counts_where_it_exceeds_half_of_the_worst() -> None:
    terms = risk_score(facts(columns=columns(0.1, 0.1, 0.25)), POLICY)
    assert terms is not None
    assert terms.drift == pytest.approx((50 + 50 + 100) / 3)


def test_a_component_that_is_not_measured_gives_its_weight_to_the_other() -> None:
    drift_only = risk_score(facts(columns=columns(0.1, 0.1)), POLICY)
    assert drift_only is not None
    assert (drift_only.score, drift_only.fairness) == (50, None)
    assert drift_only.fairness_weight == 0
    fairness_only = risk_score(facts(columns=(), groups=(group(0.8),)), POLICY)
    assert fairness_only is not None
    assert fairness_only.score == pytest.approx(50)
    assert (fairness_only.drift, fairness_only.drift_weight) == (None, 0)
    assert risk_score(facts(columns=columns(None, None)), POLICY) is None


def test_columns_without_enough_rows_leave_their_weight_to_the_others() -> None:
    known = facts(columns=(column("a", 0.1, 1), column("b", None, 8)))
    terms = risk_score(known, POLICY)
    assert terms is not None
    assert terms.score == 50
    unimportant = facts(columns=(column("a", 0.1, 0), column("b", None, 8)))
    terms = risk_score(unimportant, POLICY)
    assert terms is not None
    assert terms.columns[0].weight == 1


def test_twice_the_gap_is_the_end_of_the_fairness_scale() -> None:
    for ratio, points in ((1.0, 0), (0.8, 50), (0.6, 100), (0.1, 100)):
        terms = risk_score(facts(columns=(), groups=(group(ratio),)), POLICY)
        assert terms is not None
        assert terms.score == pytest.approx(points)


@given(st.lists(st.floats(0, 20), min_size=1, max_size=6))
def test_parity_caps_the_index_at_sixty(psis: list[float]) -> None:
    terms = risk_score(facts(columns=columns(*psis), groups=(group(1.0),)), POLICY)
    assert terms is not None
    assert 0 <= terms.score <= 60 + 1e-9


PSIS = st.lists(st.floats(0, 2), min_size=1, max_size=6)
IMPORTANCES = st.lists(
    st.none() | st.floats(0, 10), min_size=6, max_size=6
)  # longer than any list of PSIs


@given(PSIS, IMPORTANCES, st.data())
def test_more_drift_never_lowers_index_or_status(
    psis: list[float], importances: list[float | None], data: st.DataObject
) -> None:
    grown = [psi + data.draw(st.floats(0, 1)) for psi in psis]
    ratio = data.draw(st.none() | st.floats(0.3, 1))
    groups = () if ratio is None else (group(ratio),)
    verdicts = []
    for values in (psis, grown):
        built = tuple(
            column(f"c{at}", psi, weight)
            for at, (psi, weight) in enumerate(zip(values, importances, strict=False))
        )
        verdicts.append(decide(facts(columns=built, groups=groups), POLICY))
    less, more = verdicts
    assert less.risk is not None
    assert more.risk is not None
    assert more.risk.score >= less.risk.score - 1e-9
    order = [Status.APPROVED, Status.AT_RISK, Status.BLOCKED]
    assert order.index(more.found) >= order.index(less.found)


MANY_FACTS = st.builds(
    facts,
    n=st.integers(0, 100),
    baseline_kind=st.sampled_from([None, "given", "provisional"]),
    evidence_age_hours=st.none() | st.floats(0, 5000),
    columns=PSIS.map(lambda psis: columns(*psis)),
    score=st.none() | st.floats(0, 1).map(lambda psi: column("score", psi)),
    performance=st.lists(
        st.floats(-0.2, 0.2).map(drop)
        | st.floats(-0.2, 0.2).map(lambda size: drop(size, source="estimated", n=20))
        | st.floats(-1, 1).map(lambda size: drop(size, metric="mae")),
        max_size=3,
    ).map(tuple),
    groups=st.lists(
        (st.none() | st.floats(0, 1)).map(group), max_size=3
    ).map(tuple),
)  # fmt: skip
STATES = st.builds(
    PreviousState,
    st.sampled_from(Status),
    st.sampled_from([None, Status.AT_RISK]),
    st.integers(0, 1),
)


@given(MANY_FACTS, STATES, st.booleans())
def test_a_failed_hard_block_rule_always_blocks_at_once(
    known: Facts, previous: PreviousState, counts: bool
) -> None:
    verdict = decide(known, POLICY, previous, counts=counts)
    if any(failure.blocks_at_once for failure in verdict.failed):
        assert verdict.status is Status.BLOCKED
    elif verdict.missing:
        assert verdict.status is Status.NOT_ASSESSED
    else:
        assert verdict.status is not Status.NOT_ASSESSED
    assert explain(verdict)


@given(MANY_FACTS, STATES, st.booleans())
def test_facts_and_verdict_survive_storage_and_give_the_same_again(
    known: Facts, previous: PreviousState, counts: bool
) -> None:
    stored = json.dumps(known.to_json(), allow_nan=False)
    again = Facts.from_json(json.loads(stored))
    assert again == known
    policy = Thresholds.from_json(json.loads(json.dumps(POLICY.to_json())))
    verdict = decide(known, POLICY, previous, counts=counts)
    assert decide(again, policy, previous, counts=counts) == verdict
    text = json.dumps(verdict.to_json(), allow_nan=False)
    assert Verdict.from_json(json.loads(text)) == verdict
    assert json.loads(text) == verdict.to_json()


def test_nobody_is_told_that_a_model_is_fine_against_a_provisional_baseline() -> None:
    quiet = facts(baseline_kind="provisional", groups=(group(0.97),))
    verdict = decide(quiet, POLICY)
    assert verdict.status is verdict.found is Status.NOT_ASSESSED
    assert "provisional" in explain(verdict)[0]
    # What is wrong is said all the same, and it is not lifted by one quiet look.
    drifted = facts(baseline_kind="provisional", columns=columns(0.4, 0.0, 0.0))
    assert decide(drifted, POLICY).status is Status.BLOCKED
    given = decide(facts(groups=(group(0.97),)), POLICY, verdict.state)
    assert given.status is Status.APPROVED


def test_a_quiet_model_is_approved_at_its_first_assessment() -> None:
    verdict = decide(facts(groups=(group(0.97),)), POLICY)
    assert verdict.status is Status.APPROVED
    assert verdict.is_changed
    assert explain(verdict) == [
        "All rules hold.",
        "The risk index is 3.0 (60% of drift 0.0 + 40% of fairness 7.5): "
        "within limits.",
    ]


def test_a_component_that_is_not_measured_is_said_to_be_so() -> None:
    drift_only = explain(decide(facts(), POLICY))
    assert drift_only[-1] == "Fairness is not measured; its weight goes to drift."
    fairness_only = explain(decide(facts(columns=(), groups=(group(1.0),)), POLICY))
    assert fairness_only[-1] == "Drift is not measured; its weight goes to fairness."


def test_an_important_column_in_alert_blocks_at_once() -> None:
    drifted = (column("PAY_STATUS", 1.05, 5), *columns(0, 0, 0, 0))
    known = facts(columns=tuple(drifted))
    verdict = decide(known, POLICY, APPROVED, counts=False)
    assert verdict.status is Status.BLOCKED
    assert rules_of(verdict) == ["R1"]
    failure = verdict.failed[0]
    assert (failure.subject, failure.observed, failure.limit) == (
        "PAY_STATUS",
        1.05,
        0.25,
    )
    assert explain(verdict)[0] == (
        "PAY_STATUS PSI 1.05 > 0.25 "
        "(rule R1: an important column in drift alert → blocked)."
    )


def test_of_equal_columns_each_is_important() -> None:
    assert rules_of(decide(facts(columns=columns(0.3, 0, 0)), POLICY)) == ["R1", "R4"]


def test_an_unimportant_column_in_alert_puts_the_model_at_risk() -> None:
    known = facts(columns=(column("a", 0.3, 0.1), *columns(0, 0, 0, 0)))
    weighted = tuple(
        ColumnFacts(one.name, one.status, one.psi, 1.0 if at else 0.1, one.measured)
        for at, one in enumerate(known.columns)
    )
    verdict = decide(facts(columns=weighted), POLICY)
    assert rules_of(verdict) == ["R2"]
    assert verdict.status is Status.AT_RISK


def test_the_score_in_alert_puts_the_model_at_risk() -> None:
    verdict = decide(facts(score=column("score", 0.25)), POLICY)
    assert rules_of(verdict) == ["R3"]
    assert verdict.status is Status.AT_RISK
    assert explain(verdict)[0].startswith("score PSI 0.25 = 0.25 (rule R3")
    assert not decide(facts(score=column("score", 0.24)), POLICY).failed


def test_a_third_of_the_columns_in_warning_puts_the_model_at_risk() -> None:
    verdict = decide(facts(columns=columns(0.1, 0, 0)), POLICY)
    assert rules_of(verdict) == ["R4"]
    assert verdict.status is Status.AT_RISK
    assert explain(verdict)[0] == (
        "1 of 3 columns are in drift warning or alert (c0) "
        "(rule R4: many columns in drift warning → at risk)."
    )
    assert not decide(facts(columns=columns(0.1, 0, 0, 0)), POLICY).failed
    named = explain(decide(facts(columns=columns(*[0.1] * 6)), POLICY))[0]
    assert "(c0, c1, c2, c3, c4, …)" in named


def test_the_algorithm_furthest_beyond_its_limit_is_named() -> None:
    measured = (
        Measured("psi", 0.3, significant=True),  # 1.2 times its limit
        Measured("ks_test", 0.3, significant=True),  # 1.5 times
        Measured("wasserstein", 99.0, significant=True),  # has no limit
        Measured("chi_square", 0.9, significant=False),
    )
    known = facts(score=ColumnFacts("score", "alert", 0.3, measured=measured))
    assert "score KS distance 0.3 > 0.2" in explain(decide(known, POLICY))[0]


def test_an_alert_by_psi_alone_names_the_psi() -> None:
    verdict = decide(facts(score=ColumnFacts("score", "alert", 0.4)), POLICY)
    assert verdict.failed[0].observed == 0.4


def test_an_alert_by_a_stricter_limit_than_the_policys_is_still_an_alert() -> None:
    known = facts(score=ColumnFacts("score", "alert", 0.2))
    verdict = decide(known, POLICY)
    assert verdict.failed[0].observed is None
    assert explain(verdict)[0].startswith("score is in drift alert (rule R3")
    unknown = facts(score=ColumnFacts("score", "alert"))
    assert decide(unknown, POLICY).failed[0].limit is None


@pytest.mark.parametrize(
    ("size", "rules", "status"),
    [
        (0.04, [], Status.APPROVED),
        (0.06, ["R5"], Status.AT_RISK),
        (0.112, ["R6"], Status.BLOCKED),
        (-0.2, [], Status.APPROVED),
    ],
)
def test_a_drop_of_the_primary_metric_is_judged_by_its_size(
    size: float, rules: list[str], status: Status
) -> None:
    verdict = decide(facts(performance=(drop(size),)), POLICY)
    assert rules_of(verdict) == rules
    assert verdict.status is status


def test_the_reason_names_the_metric_before_and_after() -> None:
    verdict = decide(facts(performance=(drop(0.112),)), POLICY, APPROVED)
    assert verdict.status is Status.BLOCKED
    assert explain(verdict)[0] == (
        "Realized ROC-AUC 0.886 → 0.774 in 2005-08 (a drop of 0.112) "
        "(rule R6: a collapse of the primary metric → blocked)."
    )


def test_a_drop_whose_interval_includes_none_is_no_drop() -> None:
    unsure = drop(0.2, drop_low=0.0)
    assert not decide(facts(performance=(unsure,)), POLICY).failed


@pytest.mark.parametrize(
    ("size", "rules"), [(0.14, []), (0.15, ["R5"]), (0.30, ["R6"]), (2.8, ["R6"])]
)
def test_the_growth_of_an_error_is_relative(size: float, rules: list[str]) -> None:
    worse = drop(size, metric="mae", baseline=23.7, current=23.7 * (1 + size))
    verdict = decide(facts(performance=(worse,)), POLICY)
    assert rules_of(verdict) == rules
    if size > 1:
        assert "Realized MAE 23.7 → 90.1 in 2005-08 (+280%)" in explain(verdict)[0]


def test_only_the_newest_mature_period_is_judged() -> None:
    collapsed, fine = drop(0.2), drop(0.0, period="")
    assert not decide(facts(performance=(collapsed, fine)), POLICY).failed
    early = drop(0.0, labelled_share=0.5)
    assert rules_of(decide(facts(performance=(collapsed, early)), POLICY)) == ["R6"]
    at_end = drop(0.0, labelled_share=0.5, horizon_passed=True)
    assert not decide(facts(performance=(collapsed, at_end)), POLICY).failed
    few = drop(0.2, n=29)
    assert not decide(facts(performance=(few,)), POLICY).failed


def test_an_estimated_drop_counts_beside_the_realized_one() -> None:
    estimate = drop(0.06, source="estimated", period="")
    verdict = decide(facts(performance=(drop(0.0), estimate)), POLICY)
    assert rules_of(verdict) == ["R5"]
    assert explain(verdict)[0].startswith("Estimated ROC-AUC 0.886 → 0.826 (a drop")


def test_a_collapse_is_left_to_the_milder_rule_where_the_harder_only_advises() -> None:
    rules = {**POLICY.rules, "R6": Rule(Level.ADVISORY, Effect.BLOCK)}
    verdict = decide(facts(performance=(drop(0.2),)), Thresholds(rules=rules))
    assert rules_of(verdict) == ["R6", "R5"]
    assert verdict.status is Status.AT_RISK
    assert "→ advisory" in explain(verdict)[0]


def test_a_group_below_the_minimum_with_its_interval_puts_the_model_at_risk() -> None:
    verdict = decide(facts(groups=(group(0.754),)), POLICY)
    assert rules_of(verdict) == ["R7"]
    assert verdict.failed[0].level is Level.SOFT
    assert verdict.status is Status.AT_RISK
    assert explain(verdict)[0] == (
        "SEX = 2 gets the favourable outcome 0.754 times as often as the best-off "
        "group (minimum 0.8) (rule R7: a group below the fairness minimum → at risk)."
    )
    unsure = group(0.754, half_width=0.05)
    assert not decide(facts(groups=(unsure,)), POLICY).failed
    assert not decide(facts(groups=(group(None),)), POLICY).failed


def test_the_index_band_alone_can_decide() -> None:
    # Advisory rules leave the status to the index.
    advice = {
        name: Rule(Level.ADVISORY, rule.effect) for name, rule in POLICY.rules.items()
    }
    policy = Thresholds(rules=advice)
    for psi, band in (
        (0.09, Status.APPROVED),
        (0.1, Status.AT_RISK),
        (0.25, Status.BLOCKED),
    ):
        verdict = decide(facts(columns=columns(psi, psi)), policy)
        assert verdict.band is verdict.status is band
    calm = decide(facts(columns=columns(0.25, 0.25)), policy, APPROVED)
    assert calm.status is Status.APPROVED  # no hard rule: not at once


def test_no_failed_rule_outweighs_a_worse_index() -> None:
    known = facts(columns=columns(0.2, 0.2, 0.2), groups=(group(0.3),))
    verdict = decide(known, POLICY)
    assert set(rules_of(verdict)) == {"R4", "R7"}  # both say at risk
    assert verdict.band is verdict.status is Status.BLOCKED


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"baseline_kind": None}, "No baseline is active."),
        ({"n": 29}, "The window has 29 rows; the policy asks for 30."),
        ({"n": 1}, "The window has 1 row; the policy asks for 30."),
        ({"evidence_age_hours": None}, "No prediction has a time stamp yet."),
        (
            {"evidence_age_hours": 46 * 24.0},
            "The newest prediction is 46 days old; the monthly cadence allows 45 days.",
        ),
        (
            {"evidence_age_hours": 25.0, "cadence": "hourly"},
            "The newest prediction is 25 hours old; the hourly cadence allows 24 "
            "hours.",
        ),
        ({"columns": columns(None, None)}, "Nothing could be measured yet."),
    ],
)
def test_what_can_not_be_assessed_is_never_approved(
    more: dict[str, Any], sentence: str
) -> None:
    for previous in (None, APPROVED, AT_RISK, BLOCKED):
        verdict = decide(facts(**more), POLICY, previous, counts=False)
        assert verdict.status is Status.NOT_ASSESSED
        assert sentence in explain(verdict)
        assert "All rules hold." not in explain(verdict)


def test_silence_does_not_lift_a_block() -> None:
    known = facts(columns=columns(1.05, 0), evidence_age_hours=9999.0)
    verdict = decide(known, POLICY, BLOCKED)
    assert verdict.status is Status.BLOCKED
    assert "9999" not in explain(verdict)[0]
    assert "417 days old" in explain(verdict)[0]


def test_a_measured_score_or_metric_alone_can_be_assessed() -> None:
    by_score = facts(columns=(), score=column("score", 0.0))
    assert decide(by_score, POLICY).status is Status.APPROVED
    by_metric = facts(columns=(), performance=(drop(0.0),))
    verdict = decide(by_metric, POLICY)
    assert verdict.status is Status.APPROVED
    assert verdict.risk is None
    assert explain(verdict) == ["All rules hold."]


def test_a_milder_change_needs_two_consecutive_evaluations() -> None:
    warned = facts(columns=columns(0.1, 0, 0))
    first = decide(warned, POLICY, APPROVED)
    assert first.status is Status.APPROVED
    assert not first.is_changed
    assert first.state == PreviousState(Status.APPROVED, Status.AT_RISK, 1)
    assert explain(first)[-1] == (
        "The status stays within limits: at risk was found in 1 of 2 consecutive "
        "evaluations."
    )
    again = decide(warned, POLICY, first.state, counts=False)
    assert again.state == first.state
    second = decide(warned, POLICY, first.state)
    assert second.state == AT_RISK


def test_a_calm_evaluation_between_starts_the_count_anew() -> None:
    warned, calm = facts(columns=columns(0.1, 0, 0)), facts()
    first = decide(warned, POLICY, APPROVED)
    between = decide(calm, POLICY, first.state)
    assert between.state == APPROVED
    assert decide(warned, POLICY, between.state).status is Status.APPROVED


def test_a_block_is_lifted_by_two_evaluations_too() -> None:
    first = decide(facts(), POLICY, BLOCKED)
    assert first.state == PreviousState(Status.BLOCKED, Status.APPROVED, 1)
    assert decide(facts(), POLICY, first.state).state == APPROVED


def test_two_different_improvements_agree_on_the_nearer_one() -> None:
    first = decide(facts(), POLICY, BLOCKED)
    warned = facts(columns=columns(0.1, 0, 0))
    second = decide(warned, POLICY, first.state)
    assert second.state == AT_RISK
    # The other way round the further one stays a candidate.
    first = decide(warned, POLICY, BLOCKED)
    second = decide(facts(), POLICY, first.state)
    assert second.state == PreviousState(Status.AT_RISK, Status.APPROVED, 1)


def test_a_candidate_on_the_other_side_counts_for_nothing() -> None:
    improving = PreviousState(Status.AT_RISK, Status.APPROVED, 1)
    known = facts(columns=columns(0.2, 0.2, 0.2), groups=(group(0.3),))
    verdict = decide(known, POLICY, improving)
    assert verdict.state == PreviousState(Status.AT_RISK, Status.BLOCKED, 1)


def test_the_default_policy_is_the_published_one() -> None:
    assert Thresholds().to_json() == DEFAULT_POLICY
    assert DEFAULT_POLICY["weights"] == {"drift": 0.6, "fairness": 0.4}
    assert DEFAULT_POLICY["index"] == {"at_risk": 50, "blocked": 80}
    assert DEFAULT_POLICY["algorithms"] == {
        "psi": {"warning": 0.1, "alert": 0.25},
        "ks_test": {"warning": 0.1, "alert": 0.2},
        "chi_square": {"warning": 0.1, "alert": 0.2},
    }
    assert DEFAULT_POLICY["fairness_minimum"] == 0.8
    assert DEFAULT_POLICY["performance_drop"] == {
        "absolute": {"at_risk": 0.05, "block": 0.10},
        "relative": {"at_risk": 0.15, "block": 0.30},
    }
    assert DEFAULT_POLICY["rules"]["R1"] == {"level": "hard", "effect": "block"}
    assert DEFAULT_POLICY["rules"]["R7"] == {"level": "soft", "effect": "at_risk"}


def test_a_policy_names_only_what_differs() -> None:
    policy = Thresholds.from_json(
        {
            "weights": {"drift": 0.5, "fairness": 0.5},
            "algorithms": {"ks_test": {"alert": 0.3}, "hellinger": {"warning": 0.15}},
            "minimum_sample": 500,
            "maximum_age_hours": {"daily": 30},
            "rules": {"R1": {"level": "Soft"}, "R5": {"effect": "block"}},
            "performance_drop": {"absolute": {"block": 0.08}},
        }
    )
    assert policy.drift_weight == 0.5
    assert policy.algorithms == {
        "ks_test": Limits(0.1, 0.3),
        "hellinger": Limits(0.15, 0.2),
        "psi": Limits(0.1, 0.25),  # the index is made of it
    }
    assert policy.minimum_sample == 500
    assert policy.maximum_age_hours["daily"] == 30
    assert policy.maximum_age_hours["monthly"] == 45 * 24
    assert policy.rules["R1"] == Rule(Level.SOFT, Effect.BLOCK)
    assert policy.rules["R5"] == Rule(Level.HARD, Effect.BLOCK)
    assert policy.absolute_drop == Limits(0.05, 0.08)
    assert Thresholds.from_json(policy.to_json()) == policy
    assert Thresholds.from_json({}) == Thresholds()
    assert Thresholds.from_json(None) == Thresholds()


@pytest.mark.parametrize(
    ("content", "loc"),
    [
        (7, ()),
        ({"colour": 1}, ("colour",)),
        ({"weights": {"drift": 0.7}}, ("weights",)),
        ({"weights": {"drift": 2}}, ("weights", "drift")),
        ({"weights": {"risk": 1}}, ("weights", "risk")),
        ({"index": {"at_risk": 80}}, ("index",)),
        ({"index": {"blocked": 101}}, ("index", "blocked")),
        ({"algorithms": {"psi": {"warning": 0.3}}}, ("algorithms", "psi")),
        ({"algorithms": {"psi": {"warning": -1}}}, ("algorithms", "psi", "warning")),
        ({"algorithms": {"psi": {"level": 1}}}, ("algorithms", "psi", "level")),
        ({"fairness_minimum": 1}, ("fairness_minimum",)),
        ({"label_maturity": 0}, ("label_maturity",)),
        ({"minimum_sample": 1.5}, ("minimum_sample",)),
        ({"evaluations": 0}, ("evaluations",)),
        ({"maximum_age_hours": {"yearly": 1}}, ("maximum_age_hours", "yearly")),
        ({"maximum_age_hours": {"daily": "1"}}, ("maximum_age_hours", "daily")),
        ({"rules": {"R99": {}}}, ("rules", "R99")),
        ({"rules": {"R1": {"level": "mild"}}}, ("rules", "R1", "level")),
        ({"rules": {"R1": {"effect": 1}}}, ("rules", "R1", "effect")),
        ({"rules": {"R1": {"limit": 1}}}, ("rules", "R1", "limit")),
        ({"performance_drop": {"total": {}}}, ("performance_drop", "total")),
    ],
)
def test_a_fault_in_a_policy_is_named_by_place(
    content: object, loc: tuple[str, ...]
) -> None:
    with pytest.raises(PolicyError) as refusal:
        Thresholds.from_json(content)
    assert refusal.value.code == "policy"
    assert loc in [error.loc for error in refusal.value.errors]
