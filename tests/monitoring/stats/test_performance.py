import json
import math
import warnings
from typing import Any

import numpy as np
import pytest
import sklearn.metrics as oracle
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from monitoring.stats import performance
from monitoring.stats.performance import ErrorSums, Metric, Metrics


def value(metrics: Metrics, name: str) -> float:
    found = metrics[name].value
    assert found is not None
    return found


def near(metric: Metric, expected: float) -> bool:
    assert metric.value is not None
    return metric.value == pytest.approx(expected, rel=1e-9, abs=1e-12)


# Scores with many ties, and labels that follow them loosely.
ROWS = st.lists(
    st.tuples(st.integers(0, 8).map(lambda at: at / 8), st.integers(0, 1)),
    min_size=2,
    max_size=60,
)


@given(ROWS)
def test_binary_metrics_equal_scikit_learn(rows: list[tuple[float, int]]) -> None:
    # Oracle: sklearn.metrics.
    scores, labels = np.array(rows).T
    predicted = (scores >= 0.5).astype(float)
    metrics = performance.binary(scores, predicted, labels)
    assert near(metrics["accuracy"], oracle.accuracy_score(labels, predicted))
    assert near(metrics["brier"], np.mean((scores - labels) ** 2))
    assert near(metrics["log_loss"], oracle.log_loss(labels, scores, labels=[0, 1]))
    if predicted.any():
        assert near(metrics["precision"], oracle.precision_score(labels, predicted))
    if labels.any():
        assert near(metrics["recall"], oracle.recall_score(labels, predicted))
    if labels.any() or predicted.any():
        assert near(metrics["f1"], oracle.f1_score(labels, predicted))
    if 0 < labels.mean() < 1:
        assert near(metrics["roc_auc"], oracle.roc_auc_score(labels, scores))
        assert near(
            metrics["balanced_accuracy"],
            oracle.balanced_accuracy_score(labels, predicted),
        )
        assert near(
            metrics["specificity"],
            oracle.recall_score(labels, predicted, pos_label=0),
        )


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40),
    st.integers(0, 2**32 - 1),
)
def test_multiclass_metrics_equal_scikit_learn(
    rows: list[tuple[int, int]], seed: int
) -> None:
    # Oracle: sklearn.metrics with average="macro", zero_division=0.
    predicted, labels = np.array(rows).T
    chances = np.random.default_rng(seed).dirichlet(np.ones(4), len(labels))
    metrics = performance.multiclass(predicted, labels, chances, 4)
    macro: dict[str, Any] = {"average": "macro", "zero_division": 0}
    assert near(metrics["accuracy"], oracle.accuracy_score(labels, predicted))
    assert near(
        metrics["precision"], oracle.precision_score(labels, predicted, **macro)
    )
    assert near(metrics["recall"], oracle.recall_score(labels, predicted, **macro))
    assert near(metrics["f1"], oracle.f1_score(labels, predicted, **macro))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class is in predictions only
        assert near(
            metrics["balanced_accuracy"],
            oracle.balanced_accuracy_score(labels, predicted),
        )
    classes = list(range(4))
    assert near(metrics["log_loss"], oracle.log_loss(labels, chances, labels=classes))
    hot = np.eye(4)[labels]
    assert near(metrics["brier"], ((chances - hot) ** 2).sum(1).mean())
    if set(labels) == set(classes):
        expected = oracle.roc_auc_score(labels, chances, multi_class="ovr")
        assert near(metrics["roc_auc"], expected)
    else:
        assert metrics["roc_auc"].value is None


def test_macro_specificity_is_that_of_each_class_against_the_rest() -> None:
    predicted = np.array([0, 0, 1, 2, 2, 1])
    labels = np.array([0, 1, 1, 2, 0, 2])
    # Oracle: sklearn.metrics.multilabel_confusion_matrix.
    tables = oracle.multilabel_confusion_matrix(labels, predicted)
    expected = np.mean([tn / (tn + fp) for (tn, fp), _ in tables])
    metrics = performance.multiclass(predicted, labels, None, 3)
    assert near(metrics["specificity"], expected)
    assert metrics["log_loss"].value is None


@given(
    st.lists(
        st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=2, max_size=40
    )
)
def test_regression_metrics_equal_scikit_learn(rows: list[tuple[float, float]]) -> None:
    # Oracle: sklearn.metrics.
    predictions, labels = np.array(rows).T
    metrics = performance.regression(predictions, labels)
    assert near(metrics["mae"], oracle.mean_absolute_error(labels, predictions))
    assert near(metrics["rmse"], oracle.root_mean_squared_error(labels, predictions))
    assert near(metrics["bias"], np.mean(predictions - labels))
    if (np.abs(labels) > 1e-15).all():
        expected = oracle.mean_absolute_percentage_error(labels, predictions)
        assert near(metrics["mape"], expected)
    if np.ptp(labels) > 1e-3:
        assert value(metrics, "r2") == pytest.approx(
            oracle.r2_score(labels, predictions), rel=1e-6, abs=1e-6
        )


def test_one_class_has_no_area_under_the_curve() -> None:
    metrics = performance.binary([0.1, 0.9], [0, 1], [1, 1])
    assert metrics["roc_auc"].value is None
    assert metrics["roc_auc"].reason == "the labels are of one class only"
    assert metrics["balanced_accuracy"].value is None
    assert metrics["specificity"].value is None
    assert value(metrics, "accuracy") == 0.5
    assert metrics["roc_auc"].to_json() == {
        "value": None,
        "n": 2,
        "reason": "the labels are of one class only",
    }


def test_a_class_that_never_occurs_leaves_its_metrics_open() -> None:
    metrics = performance.binary([0.1, 0.2], [0, 0], [0, 0])
    for name in ("precision", "recall", "f1"):
        assert metrics[name].value is None
        assert metrics[name].reason


@pytest.mark.parametrize(
    "metrics",
    [
        performance.binary([], [], []),
        performance.binary([0.4], [math.nan], [math.nan]),
        performance.multiclass([], [], np.zeros((0, 3)), 3),
        performance.multiclass([-1], [2], None, 3),
        performance.regression([], []),
        performance.regression([1.0, math.nan], [math.nan, 2.0]),
    ],
)
def test_without_labels_every_metric_says_why_it_is_absent(metrics: Metrics) -> None:
    for metric in metrics.values():
        assert metric.value is None
        assert metric.n == 0
        assert metric.reason
        assert json.dumps(metric.to_json(), allow_nan=False)


def test_a_row_counts_only_where_both_sides_are_known() -> None:
    metrics = performance.binary(
        [0.9, 0.1, math.nan, 0.8], [1, 0, 1, math.nan], [1, 0, 0, 0]
    )
    assert metrics["accuracy"].n == 3
    assert metrics["roc_auc"].n == 3
    assert value(metrics, "roc_auc") == 1.0
    assert performance.regression([1, 5, math.nan], [2, math.nan, 3])["mae"].n == 1


def test_scores_that_are_no_probabilities_have_an_area_but_no_log_loss() -> None:
    metrics = performance.binary([-3.0, 2.0, 5.0], [0, 1, 1], [0, 1, 1])
    assert value(metrics, "roc_auc") == 1.0
    assert metrics["log_loss"].value is None
    assert metrics["brier"].reason == "there are no labels with a probability"


def test_the_interval_of_a_share_is_wilsons() -> None:
    # Oracle: scipy.stats.binomtest(...).proportion_ci(method="wilson").
    for hits, n in ((0, 10), (9, 10), (10, 10), (774, 1000)):
        expected = stats.binomtest(hits, n).proportion_ci(method="wilson")
        metric = performance.share(hits, n)
        assert (metric.low, metric.high) == pytest.approx(tuple(expected), abs=1e-12)
    assert performance.share(0, 0).value is None


@given(ROWS)
def test_the_interval_of_the_area_is_delongs(rows: list[tuple[float, int]]) -> None:
    # Oracle: the structural components of DeLong et al. (1988), pair by pair.
    scores, labels = np.array(rows).T
    x, y = scores[labels == 1], scores[labels == 0]
    metric = performance.roc_auc(*performance.cells_of(scores, labels == 1))
    if min(len(x), len(y)) < 2:
        assert (metric.value is None) == (min(len(x), len(y)) == 0)
        return
    kernel = (x[:, None] > y) + 0.5 * (x[:, None] == y)
    variance = kernel.mean(1).var(ddof=1) / len(x) + kernel.mean(0).var(ddof=1) / len(y)
    assert metric.value == pytest.approx(kernel.mean())
    assert metric.low is not None
    assert metric.high is not None
    assert 0 <= metric.low <= kernel.mean() <= metric.high <= 1
    if variance > 1e-12:
        half = 1.959964 * math.sqrt(variance)
        assert metric.high == pytest.approx(min(kernel.mean() + half, 1), abs=1e-6)
        assert metric.low == pytest.approx(max(kernel.mean() - half, 0), abs=1e-6)


def test_a_perfect_separation_of_few_rows_is_not_certain() -> None:
    metric = performance.binary([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1], [0, 0, 1, 1])[
        "roc_auc"
    ]
    assert metric.value == 1
    assert metric.low is not None
    assert metric.low < 0.5
    assert metric.to_json() == {"value": 1, "n": 4, "low": metric.low, "high": 1}


def test_the_interval_of_the_mean_error_is_the_normal_one() -> None:
    # Oracle: scipy.stats.sem.
    rng = np.random.default_rng(1)
    labels = rng.normal(50, 5, 400)
    predictions = labels + rng.normal(1, 3, 400)
    metrics = performance.regression(predictions, labels)
    for name, sample in (
        ("mae", np.abs(predictions - labels)),
        ("bias", predictions - labels),
    ):
        half = 1.959964 * stats.sem(sample)
        assert metrics[name].high == pytest.approx(sample.mean() + half, abs=1e-6)
        assert metrics[name].low == pytest.approx(sample.mean() - half, abs=1e-6)
    rmse = metrics["rmse"]
    assert rmse.low is not None
    assert rmse.high is not None
    assert rmse.value is not None
    assert rmse.low < rmse.value < rmse.high


def test_one_row_has_no_interval() -> None:
    metrics = performance.regression([3.0], [1.0])
    for name in ("mae", "rmse", "bias"):
        assert metrics[name].value == 2
        assert metrics[name].low is None
    assert metrics["r2"].value is None
    assert metrics["mae"].to_json() == {"value": 2.0, "n": 1}


def test_labels_that_are_all_equal_have_no_r2_and_zeros_no_mape() -> None:
    metrics = performance.regression([1.0, 2.0, 3.0], [0.0, 0.0, 0.0])
    assert metrics["r2"].reason == "the labels are all equal"
    assert metrics["mape"].reason == "all labels are 0"
    assert metrics["mae"].value == 2


def test_values_beyond_float64_are_refused_not_shown() -> None:
    metrics = performance.regression([1e300, -1e300], [-1e300, 1e300])
    assert metrics["rmse"].value is None
    assert metrics["rmse"].reason == "the values are too large"
    for metric in metrics.values():
        assert json.dumps(metric.to_json(), allow_nan=False)


def test_sums_shifted_by_any_centre_give_the_same_metrics() -> None:
    rng = np.random.default_rng(2)
    labels = rng.normal(1e6, 1, 100)
    predictions = labels + rng.normal(0, 0.5, 100)
    near_centre, far_centre = (
        performance.regression_metrics(ErrorSums.of(predictions, labels, centre))
        for centre in (1e6, 1e6 + 100)
    )
    assert value(far_centre, "r2") == pytest.approx(value(near_centre, "r2"))


def test_the_drop_of_a_share_has_newcombes_interval() -> None:
    # Oracle: Newcombe (1998), table II, method 10: 56/70 against 48/80.
    worse = performance.drop(
        "accuracy", performance.share(56, 70), performance.share(48, 80)
    )
    assert worse is not None
    assert worse.value == pytest.approx(0.2)
    assert worse.low == pytest.approx(0.0524, abs=5e-5)
    assert worse.high == pytest.approx(0.3339, abs=5e-5)


def test_the_drop_of_an_error_is_relative() -> None:
    before, after = Metric(20.0, 1000, 19.0, 21.0), Metric(30.0, 1000, 28.5, 31.5)
    worse = performance.drop("mae", before, after)
    assert worse is not None
    assert worse.value == pytest.approx(0.5)
    # By hand: ln 1.5 ± hypot(ln(30/28.5), ln(21/20)) and hypot(ln 1.05, ln(20/19)).
    down = math.hypot(math.log(30 / 28.5), math.log(21 / 20))
    up = math.hypot(math.log(31.5 / 30), math.log(20 / 19))
    assert worse.low == pytest.approx(1.5 * math.exp(-down) - 1)
    assert worse.high == pytest.approx(1.5 * math.exp(up) - 1)
    better = performance.drop("mae", after, before)
    assert better is not None
    assert better.high < 0


def test_an_error_that_is_gone_or_an_interval_down_to_zero_stays_finite() -> None:
    before = Metric(20.0, 100, 0.0, 40.0)
    gone = performance.drop("mae", before, Metric(0.0, 100, 0.0, 1.0))
    assert gone == performance.Drop(-1.0, -1.0, 1 / 20 - 1)
    unsure = performance.drop("mae", before, Metric(10.0, 5, 0.0, 99.0))
    assert unsure is not None
    assert math.isfinite(unsure.low)
    assert math.isfinite(unsure.high)


def test_a_drop_needs_both_sides_with_their_intervals() -> None:
    known, unknown = performance.share(5, 10), performance.absent(0, "no labels")
    assert performance.drop("accuracy", known, unknown) is None
    assert performance.drop("accuracy", unknown, known) is None
    assert performance.drop("f1", Metric(0.5, 10), known) is None
    nothing = Metric(0.0, 10, 0.0, 0.0)
    assert performance.drop("mae", nothing, Metric(1.0, 10, 0.5, 1.5)) is None
