"""Estimated performance: what the labels, had they come, would have said."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as oracle

from governance.schema import Task
from monitoring.stats import performance
from monitoring.stats.answers import Answers
from monitoring.stats.estimation import Cbpe
from monitoring.stats.expected import Probabilities, Scores
from monitoring.stats.measure import InsufficientDataError, NoDataError

MACRO = {"precision", "recall", "f1", "accuracy", "balanced_accuracy", "roc_auc"}


def binary(
    rows: int, seed: int = 0, power: float = 1.3, shape: tuple[float, float] = (1, 2)
) -> tuple[Answers, Any]:
    rng = np.random.default_rng(seed)
    scores = np.round(rng.beta(*shape, rows), 3)
    labels = (rng.random(rows) < scores**power).astype(int)
    return Answers(scores, (scores >= 0.4).astype(int)), labels


def multiclass(rows: int, seed: int = 0) -> tuple[Answers, Any]:
    rng = np.random.default_rng(seed)
    table = rng.dirichlet([2, 1, 1], rows)
    labels = (rng.random((rows, 1)) > table.cumsum(1)).sum(1)
    return Answers(table.max(1), table.argmax(1), table), labels


def test_realized_metrics_of_the_baseline_are_those_of_the_performance_module() -> None:
    answers, labels = binary(900)
    truth = performance.binary(answers.scores, answers.predicted, labels)
    estimator = Cbpe.fit(Task.BINARY, answers, labels)
    for name, metric in estimator.baseline.items():
        expected = truth[name].value
        assert metric.value == pytest.approx(expected)
        assert metric.low is not None
    many, classes = multiclass(900)
    found = Cbpe.fit(Task.MULTICLASS, many, classes).baseline
    truth = performance.multiclass(many.predicted, classes, many.probabilities, 3)
    for name, metric in found.items():
        assert metric.value == pytest.approx(truth[name].value), name
        assert metric.low is not None


def test_under_covariate_shift_the_estimate_is_what_the_labels_say() -> None:
    # The relation of score and label stays, their distribution doesn't. Oracle:
    # scikit-learn on the labels, which the estimator doesn't see.
    estimator = Cbpe.fit(Task.BINARY, *binary(20_000))
    answers, labels = binary(20_000, seed=1, shape=(2, 2))
    found = estimator.estimate(answers).metrics
    truth = {
        "accuracy": oracle.accuracy_score(labels, answers.predicted),
        "precision": oracle.precision_score(labels, answers.predicted),
        "recall": oracle.recall_score(labels, answers.predicted),
        "f1": oracle.f1_score(labels, answers.predicted),
        "roc_auc": oracle.roc_auc_score(labels, answers.scores),
    }
    for name, value in truth.items():
        metric = found[name]
        assert metric.low is not None
        assert metric.high is not None
        assert metric.low < value < metric.high, name
    baseline = estimator.baseline["accuracy"].value
    assert baseline is not None
    assert abs(truth["accuracy"] - baseline) > 0.05


def test_certain_chances_give_scikit_learn_s_metrics() -> None:
    answers, labels = multiclass(500)
    knowledge = Probabilities(3)
    found = knowledge.metrics(answers, knowledge.certain(answers, labels))
    predicted = answers.predicted
    truth = {
        "accuracy": oracle.accuracy_score(labels, predicted),
        "precision": oracle.precision_score(labels, predicted, average="macro"),
        "recall": oracle.recall_score(labels, predicted, average="macro"),
        "f1": oracle.f1_score(labels, predicted, average="macro"),
        "roc_auc": oracle.roc_auc_score(
            labels, answers.probabilities, multi_class="ovr"
        ),
    }
    for name, value in truth.items():
        assert found[name].value == pytest.approx(value, rel=1e-9), name


def test_expected_area_is_that_of_weighted_rows() -> None:
    # Oracle: each row twice in scikit-learn, positive with weight c, negative 1 - c.
    rng = np.random.default_rng(5)
    scores = np.round(rng.random(300), 2)
    chances = rng.random(300)
    answers = Answers(scores, (scores > 0.5).astype(int))
    found = Scores().metrics(answers, chances)["roc_auc"].value
    truth = oracle.roc_auc_score(
        np.repeat([1, 0], 300),
        np.tile(scores, 2),
        sample_weight=np.concatenate((chances, 1 - chances)),
    )
    assert found == pytest.approx(truth, rel=1e-9)


def test_a_drop_is_the_baseline_minus_the_estimate() -> None:
    estimator = Cbpe.fit(Task.BINARY, *binary(5_000))
    answers, _ = binary(5_000, seed=1, shape=(4, 4))
    estimates = estimator.estimate(answers)
    drop = estimator.drop(estimates, "accuracy")
    assert drop is not None
    baseline = estimator.baseline["accuracy"].value
    assert baseline is not None
    estimate = estimates.metrics["accuracy"].value
    assert estimate is not None
    assert drop.value == pytest.approx(baseline - estimate)
    assert drop.low > 0.05
    assert estimates.is_outside("accuracy")
    assert not estimator.estimate(binary(5_000, seed=2)[0]).is_outside("accuracy")


def test_a_missing_score_drops_its_row_and_not_the_run() -> None:
    answers, labels = binary(900)
    with_gaps = Answers(
        np.append(answers.scores, [np.nan, 0.5]), np.append(answers.predicted, [1, -1])
    )
    estimator = Cbpe.fit(Task.BINARY, with_gaps, np.append(labels, [1, 1]))
    assert estimator.rows == 900
    found = estimator.estimate(with_gaps)
    assert (found.rows, found.used) == (902, 900)
    assert found.metrics == estimator.estimate(answers).metrics


def test_confidence_alone_gives_accuracy_and_nothing_else() -> None:
    answers, labels = multiclass(3_000)
    bare = Answers(answers.scores, answers.predicted)
    estimator = Cbpe.fit(Task.MULTICLASS, bare, labels)
    window, truth = multiclass(3_000, seed=1)
    found = estimator.estimate(Answers(window.scores, window.predicted)).metrics
    right = float((window.predicted == truth).mean())
    assert found["accuracy"].value == pytest.approx(right, abs=0.03)
    for name in MACRO - {"accuracy"}:
        assert found[name].value is None
        assert "probability of each class" in found[name].reason


def test_probabilities_of_other_classes_are_not_taken_for_the_baseline_s() -> None:
    estimator = Cbpe.fit(Task.MULTICLASS, *multiclass(900))
    narrow = Answers(np.array([0.6]), np.array([0]), np.array([[0.6, 0.4]]))
    for answers in (narrow, Answers(narrow.scores, narrow.predicted)):
        found = estimator.estimate(answers)
        assert found.used == 0
        assert all(metric.value is None for metric in found.metrics.values())
        assert "3 classes" in found.metrics["accuracy"].reason


def test_labels_and_predictions_of_unknown_classes_are_wrong() -> None:
    answers, labels = multiclass(900)
    labels[:90] = 3
    answers.predicted[90:180] = 3
    estimator = Cbpe.fit(Task.MULTICLASS, answers, labels)
    right = float((answers.predicted == labels).mean())
    assert estimator.baseline["accuracy"].value == pytest.approx(right)
    found = estimator.estimate(answers)
    assert found.metrics["accuracy"].value == pytest.approx(right, abs=0.05)


@pytest.mark.parametrize(
    ("labels", "error", "reason"),
    [
        ([-1] * 1_000, NoDataError, "no row"),
        ([1] + [-1] * 999, InsufficientDataError, "1 labelled rows"),
        ([1] * 1_000, InsufficientDataError, "one class only"),
        ([], NoDataError, "no row"),
    ],
)
def test_a_baseline_that_says_too_little_has_no_estimate(
    labels: list[int], error: type[Exception], reason: str
) -> None:
    answers, _ = binary(len(labels))
    with pytest.raises(error, match=reason):
        Cbpe.fit(Task.BINARY, answers, np.array(labels, dtype=int))


def test_a_class_without_a_label_has_no_estimate() -> None:
    answers, labels = multiclass(900)
    with pytest.raises(InsufficientDataError, match="1 of 3 classes"):
        Cbpe.fit(Task.MULTICLASS, answers, np.minimum(labels, 1))


def test_a_regression_has_no_confidence() -> None:
    with pytest.raises(ValueError, match="regression"):
        Cbpe.fit(Task.REGRESSION, *binary(50))


def test_an_empty_window_says_why_there_is_nothing() -> None:
    estimator = Cbpe.fit(Task.BINARY, *binary(900))
    found = estimator.estimate(Answers(np.array([np.nan]), np.array([1])))
    assert found.to_json()["metrics"]["f1"]["value"] is None
    assert "no row has the score" in found.metrics["f1"].reason
    assert estimator.drop(found, "f1") is None


BASE = {
    Task.BINARY: Cbpe.fit(Task.BINARY, *binary(400)),
    Task.MULTICLASS: Cbpe.fit(Task.MULTICLASS, *multiclass(400)),
}


@given(
    st.lists(
        st.tuples(
            st.one_of(st.floats(0, 1), st.just(np.nan), st.sampled_from([0.0, 1.0])),
            st.integers(-1, 1),
        ),
        max_size=40,
    )
)
def test_any_binary_window_gives_finite_json(rows: list[tuple[float, int]]) -> None:
    scores = np.array([score for score, _ in rows])
    predicted = np.array([one for _, one in rows], dtype=int)
    found = BASE[Task.BINARY].estimate(Answers(scores, predicted))
    for metric in json.loads(json.dumps(found.to_json(), allow_nan=False))[
        "metrics"
    ].values():
        assert metric["value"] is not None or metric["reason"]
        assert metric["value"] is None or 0 <= metric["value"] <= 1


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.integers(-1, 3))))
def test_any_multiclass_window_gives_finite_json(
    rows: list[tuple[float, float, int]],
) -> None:
    table = np.array([(a, b, 1 - a) for a, b, _ in rows]).reshape(-1, 3)
    predicted = np.array([one for _, _, one in rows], dtype=int)
    confidence = table.max(1, initial=0.0)
    found = BASE[Task.MULTICLASS].estimate(Answers(confidence, predicted, table))
    json.dumps(found.to_json(), allow_nan=False)
