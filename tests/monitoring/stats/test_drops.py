"""Performance as detectors say it."""

from typing import Any

import numpy as np
import pytest
from sklearn import metrics as oracle

from governance.schema import Task
from monitoring.stats.answers import Answers
from monitoring.stats.drops import Outcomes, cbpe, dle, realized
from monitoring.stats.estimation import Cbpe
from monitoring.stats.measure import InsufficientDataError, NoDataError


def binary(rows: int, seed: int = 0, a: float = 1, b: float = 2) -> Outcomes:
    rng = np.random.default_rng(seed)
    scores = rng.beta(a, b, rows)
    codes = (rng.random(rows) < scores).astype(int)
    answers = Answers(scores, (scores >= 0.4).astype(int))
    return Outcomes(Task.BINARY, answers, codes)


def multiclass(rows: int, seed: int = 0) -> Outcomes:
    rng = np.random.default_rng(seed)
    table = rng.dirichlet([2, 1, 1], rows)
    codes = (rng.random((rows, 1)) > table.cumsum(1)).sum(1)
    answers = Answers(table.max(1), table.argmax(1), table)
    return Outcomes(Task.MULTICLASS, answers, codes)


def regression(rows: int, seed: int = 0, low: float = 0.0) -> Outcomes:
    rng = np.random.default_rng(seed)
    x = rng.uniform(low, 4, rows)
    labels = x + rng.normal(0, 0.1 + x)
    answers = Answers(x, np.full(rows, -1))
    return Outcomes(Task.REGRESSION, answers, None, labels, {"x": x}, {"x": "numeric"})


def unlabelled(outcomes: Outcomes) -> Outcomes:
    return Outcomes(
        outcomes.task,
        outcomes.answers,
        columns=outcomes.columns,
        kinds=outcomes.kinds,
    )


def accuracy(outcomes: Outcomes) -> float:
    return float(oracle.accuracy_score(outcomes.codes, outcomes.answers.predicted))


def test_a_drop_of_accuracy_is_expected_before_the_labels_come() -> None:
    baseline, window = binary(6_000), binary(6_000, 1, 4, 4)
    truth = accuracy(baseline) - accuracy(window)
    expected = cbpe(baseline, unlabelled(window))
    assert expected.score == pytest.approx(truth, abs=0.02)
    assert expected.interval is not None
    assert expected.interval[0] > 0
    assert expected.detail["metric"] == "accuracy"
    assert expected.detail["calibration"][0]["rows"] == 6_000
    found = realized(baseline, window)
    assert found.score == pytest.approx(truth)
    assert found.interval is not None
    assert found.interval[0] < truth < found.interval[1]


@pytest.mark.parametrize("make", [binary, multiclass])
@pytest.mark.parametrize(
    "metric",
    ["accuracy", "balanced_accuracy", "precision", "recall", "specificity", "f1"],
)
def test_each_metric_has_a_drop_with_an_interval(make: Any, metric: str) -> None:
    for function in (realized, cbpe):
        measure = function(make(2_000), make(1_500, 1), metric=metric)
        assert measure.interval is not None
        assert measure.interval[0] < 0 < measure.interval[1]
        assert measure.statistic is not None


def test_realized_metrics_are_those_that_cbpe_compares_with() -> None:
    for outcomes in (binary(900), multiclass(900)):
        assert outcomes.codes is not None
        truth = Cbpe.fit(outcomes.task, outcomes.answers, outcomes.codes).baseline
        for name, metric in truth.items():
            found = realized(outcomes, outcomes, metric=name)
            assert found.statistic == pytest.approx(metric.value), name


def test_labels_and_predictions_of_unknown_classes_are_wrong() -> None:
    outcomes = multiclass(900)
    assert outcomes.codes is not None
    outcomes.codes[:90] = 3
    outcomes.answers.predicted[90:180] = 4
    assert realized(outcomes, outcomes).statistic == pytest.approx(accuracy(outcomes))
    bare = Outcomes(
        Task.MULTICLASS,
        Answers(np.full(900, np.nan), outcomes.answers.predicted),
        outcomes.codes,
    )
    assert realized(bare, bare).statistic == pytest.approx(accuracy(outcomes))


def test_an_error_grows_relative_to_the_baseline_s() -> None:
    baseline, window = regression(3_000), regression(3_000, 1, low=3)
    errors = [
        float(oracle.mean_absolute_error(one.values, one.answers.scores))
        for one in (baseline, window)
    ]
    found = realized(baseline, window)
    assert found.score == pytest.approx(errors[1] / errors[0] - 1)
    expected = dle(baseline, unlabelled(window))
    assert expected.score == pytest.approx(found.score, abs=0.15)
    assert expected.detail["metric"] == "mae"


@pytest.mark.parametrize("function", [realized, cbpe, dle])
def test_without_labels_there_is_nothing_to_say(function: Any) -> None:
    make = regression if function is dle else binary
    blank = unlabelled(make(100))
    with pytest.raises(NoDataError, match="no labels"):
        function(blank, make(100))
    unknown = Outcomes(
        blank.task, blank.answers, np.full(100, -1), np.full(100, np.nan)
    )
    with pytest.raises(NoDataError):
        function(unknown, make(100))


def test_what_cannot_be_computed_says_why() -> None:
    baseline = binary(500)
    window = binary(400, 1)
    assert window.codes is not None
    window.codes[:] = 1
    with pytest.raises(InsufficientDataError, match=r"roc_auc.*window.*one class"):
        realized(baseline, window, metric="roc_auc")
    with pytest.raises(ValueError, match="'mae' is none of"):
        cbpe(baseline, window, metric="mae")


def test_labels_without_answers_are_no_performance() -> None:
    classes, numbers = binary(200), regression(200)
    silent = Answers(np.full(200, np.nan), np.full(200, -1))
    for side, window in (
        (classes, Outcomes(Task.BINARY, silent, classes.codes)),
        (numbers, Outcomes(Task.REGRESSION, silent, values=numbers.values)),
    ):
        with pytest.raises(NoDataError, match="both an answer and a label"):
            realized(side, window)
