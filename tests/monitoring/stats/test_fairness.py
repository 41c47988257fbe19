import json

import numpy as np
import pytest
from fairlearn import metrics as oracle
from hypothesis import given, settings
from hypothesis import strategies as st

from monitoring.stats import fairness
from monitoring.stats.fairness import Availability, GroupCounts
from monitoring.stats.tally import OTHER


@settings(max_examples=8)  # fairlearn takes a tenth of a second
@given(st.integers(0, 2**32 - 1), st.integers(2, 4), st.floats(0.2, 0.8))
def test_every_figure_equals_fairlearn(seed: int, k: int, rate: float) -> None:
    # Oracle: fairlearn.metrics on the same rows.
    rng = np.random.default_rng(seed)
    groups = np.repeat([f"g{at}" for at in range(k)], rng.integers(60, 90, k))
    labels = (rng.random(len(groups)) < rate).astype(int)
    predicted = np.where(rng.random(len(groups)) < 0.7, labels, 1 - labels)
    found = fairness.from_rows("group", groups, predicted, labels)
    arguments = {"sensitive_features": groups}
    for name, expected in (
        (
            "demographic_parity_difference",
            oracle.demographic_parity_difference(labels, predicted, **arguments),
        ),
        (
            "demographic_parity_ratio",
            oracle.demographic_parity_ratio(labels, predicted, **arguments),
        ),
        (
            "equalized_odds_difference",
            oracle.equalized_odds_difference(labels, predicted, **arguments),
        ),
        (
            "equalized_odds_ratio",
            oracle.equalized_odds_ratio(labels, predicted, **arguments),
        ),
        (
            "equal_opportunity_difference",
            oracle.equal_opportunity_difference(labels, predicted, **arguments),
        ),
    ):
        assert getattr(found, name) == pytest.approx(expected, rel=1e-9), name
    frame = oracle.MetricFrame(
        metrics={
            "selection_rate": oracle.selection_rate,
            "true_positive_rate": oracle.true_positive_rate,
            "false_positive_rate": oracle.false_positive_rate,
        },
        y_true=labels,
        y_pred=predicted,
        sensitive_features=groups,
    ).by_group
    for group in found.groups:
        for name in frame.columns:
            expected = frame.loc[group.group, name]
            assert getattr(group, name) == pytest.approx(expected, rel=1e-9)
    assert (found.parity, found.labels) == (Availability.OK, Availability.OK)


def test_accuracy_and_precision_of_a_group_are_shares_of_its_rows() -> None:
    counts = GroupCounts("a", 100, 50, 30, 10, 20, 40)
    group = fairness.attribute_fairness("x", [counts]).groups[0]
    assert group.accuracy == 0.7
    assert group.precision == 0.75
    assert group.true_positive_rate == 0.6
    assert group.false_positive_rate == 0.2


def test_the_credit_models_flags_and_grants_tell_two_stories() -> None:
    # Flagged in the baseline of the credit data: 9.5 % of the women, 12.6 % of the men.
    flagged = fairness.attribute_fairness(
        "SEX", [GroupCounts("1", 7166, 903), GroupCounts("2", 10834, 1029)]
    )
    assert flagged.demographic_parity_ratio == pytest.approx(0.754, abs=5e-4)
    granted = fairness.attribute_fairness(
        "SEX", [GroupCounts("1", 7166, 6263), GroupCounts("2", 10834, 9805)]
    )
    assert granted.demographic_parity_ratio == pytest.approx(0.966, abs=5e-4)
    worse_off = granted.groups[0]
    assert worse_off.ratio_low is not None
    assert worse_off.ratio_high is not None
    assert worse_off.ratio is not None
    assert 0.95 < worse_off.ratio_low < worse_off.ratio < worse_off.ratio_high < 0.98


def test_the_score_is_the_smallest_ratio_over_the_attributes() -> None:
    report = fairness.report(
        {
            "SEX": [GroupCounts("1", 100, 50), GroupCounts("2", 100, 45)],
            "AGE": [GroupCounts("under 30", 100, 50), GroupCounts("rest", 100, 35)],
            "RARE": [GroupCounts("a", 29, 1), GroupCounts("b", 100, 50)],
        }
    )
    assert report.score == pytest.approx(0.7)
    assert fairness.report({}).score is None
    assert json.dumps(report.to_json(), allow_nan=False)


def test_a_small_group_is_not_measurable_and_leaves_the_others_alone() -> None:
    found = fairness.attribute_fairness(
        "x",
        [
            GroupCounts("small", 29, 0),
            GroupCounts("a", 100, 50),
            GroupCounts("b", 100, 40),
        ],
    )
    assert found.demographic_parity_ratio == pytest.approx(0.8)
    assert [group.is_measurable for group in found.groups] == [False, True, True]
    assert found.groups[0].ratio is None
    alone = fairness.attribute_fairness("x", [GroupCounts("a", 100, 50)])
    assert alone.parity is Availability.NOT_MEASURABLE
    assert alone.demographic_parity_ratio is None


def test_what_needs_labels_says_so_until_they_come() -> None:
    unlabelled = [GroupCounts("a", 100, 50), GroupCounts("b", 100, 40)]
    found = fairness.attribute_fairness("x", unlabelled)
    assert found.labels is Availability.NEEDS_LABELS
    assert found.equalized_odds_difference is None
    assert found.equal_opportunity_difference is None
    few = [GroupCounts("a", 100, 50, 5, 5, 5, 5), GroupCounts("b", 100, 40)]
    found = fairness.attribute_fairness("x", few)
    assert found.labels is Availability.NOT_MEASURABLE
    assert found.groups[0].accuracy is None


def test_a_rate_without_denominator_leaves_the_comparison_open() -> None:
    # Nobody of group b deserved the favourable outcome.
    found = fairness.attribute_fairness(
        "x",
        [
            GroupCounts("a", 40, 20, 10, 10, 10, 10),
            GroupCounts("b", 40, 20, 0, 20, 0, 20),
        ],
    )
    assert found.groups[1].true_positive_rate is None
    assert found.equal_opportunity_difference is None
    assert found.equalized_odds_ratio is None
    assert found.demographic_parity_ratio == 1


def test_where_nobody_is_favoured_there_is_no_ratio() -> None:
    found = fairness.attribute_fairness(
        "x", [GroupCounts("a", 40, 0), GroupCounts("b", 40, 0)]
    )
    assert found.demographic_parity_ratio is None
    assert found.demographic_parity_difference == 0
    assert json.dumps(found.to_json(), allow_nan=False)


def test_a_group_that_never_gets_it_has_the_ratio_zero_with_an_interval() -> None:
    found = fairness.attribute_fairness(
        "x", [GroupCounts("a", 40, 0), GroupCounts("b", 40, 20)]
    )
    worst = found.groups[0]
    assert found.demographic_parity_ratio == worst.ratio == 0
    assert worst.ratio_high is not None
    assert 0 < worst.ratio_high < 0.8
    assert found.groups[1].ratio == 1
    assert found.groups[1].ratio_high is None  # the reference itself


def test_the_interval_covers_the_true_ratio_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    hits = rng.binomial(400, 0.4, 2000)
    references = rng.binomial(600, 0.5, 2000)
    covered = [
        low <= 0.8 <= high
        for low, high in (
            fairness.ratio_interval(int(a), 400, int(b), 600)
            for a, b in zip(hits, references, strict=True)
        )
    ]
    assert 0.935 < np.mean(covered) < 0.965


def test_rows_without_group_or_prediction_are_left_out() -> None:
    groups = np.array(["a"] * 40 + ["b"] * 40 + [None] * 5, object)
    predicted = np.array([1.0] * 60 + [0.0] * 20 + [1.0] * 5)
    predicted[0] = np.nan
    labels = np.full(85, np.nan)
    labels[1] = 1
    found = fairness.from_rows("x", groups, predicted, labels)
    assert [(group.group, group.n) for group in found.groups] == [("a", 39), ("b", 40)]
    assert found.groups[0].labelled == 1


def test_groups_that_the_baseline_does_not_name_are_shown_but_not_compared() -> None:
    counts = [
        GroupCounts("a", 100, 50, 30, 20, 10, 40),
        GroupCounts("b", 100, 45, 25, 20, 15, 40),
        GroupCounts(OTHER, 60, 1, 1, 0, 29, 30),
    ]
    named = fairness.attribute_fairness("group", counts[:2])
    found = fairness.attribute_fairness("group", counts)
    for name in (
        "demographic_parity_difference",
        "demographic_parity_ratio",
        "equalized_odds_difference",
        "equalized_odds_ratio",
        "equal_opportunity_difference",
    ):
        assert getattr(found, name) == getattr(named, name), name
    assert fairness.report({"group": counts}).score == 0.9
    other = found.groups[2]
    assert other.selection_rate == 1 / 60
    assert other.accuracy == 31 / 60
    assert (other.ratio, other.ratio_low, other.ratio_high) == (None, None, None)
    # Even the best-off group must be one that has a name.
    lucky = fairness.attribute_fairness(
        "group", [*counts[:2], GroupCounts(OTHER, 60, 60)]
    )
    assert lucky.demographic_parity_ratio == 0.9
    assert lucky.groups[0].ratio == 1.0
