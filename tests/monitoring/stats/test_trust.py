"""Estimates against labels that have come."""

import json

import numpy as np
import pytest

from governance.schema import Task
from monitoring.stats.answers import Answers
from monitoring.stats.drops import Outcomes, realized
from monitoring.stats.estimation import Cbpe
from monitoring.stats.performance import Metric, absent, share
from monitoring.stats.trust import back_test, residual


def rows(seed: int, size: int, change: float = 0.0) -> Outcomes:
    rng = np.random.default_rng(seed)
    scores = rng.beta(2, 2, size)
    codes = (rng.random(size) < np.clip(scores + change, 0, 1)).astype(int)
    return Outcomes(Task.BINARY, Answers(scores, (scores >= 0.5).astype(int)), codes)


def test_the_residual_holds_zero_in_19_of_20_windows() -> None:
    inside = []
    for seed in range(60):
        baseline, window = rows(1_000 + seed, 800), rows(seed, 500)
        assert baseline.codes is not None
        assert window.codes is not None
        estimator = Cbpe.fit(Task.BINARY, baseline.answers, baseline.codes)
        estimate = estimator.estimate(window.answers).metrics["accuracy"]
        right = int((window.answers.predicted == window.codes).sum())
        found = residual(share(right, 500), estimate, estimator.fit_error("accuracy"))
        assert found is not None
        inside.append(not found.is_concept_drift)
    # Three standard errors of a share of 0.95 among 60.
    assert np.mean(inside) > 0.95 - 3 * np.sqrt(0.95 * 0.05 / 60)


def test_concept_drift_is_what_is_left() -> None:
    baseline, window = rows(0, 5_000), rows(1, 5_000, change=0.3)
    assert baseline.codes is not None
    estimator = Cbpe.fit(Task.BINARY, baseline.answers, baseline.codes)
    estimate = estimator.estimate(window.answers).metrics["f1"]
    truth = realized(baseline, window, metric="f1")
    assert truth.statistic is not None
    # Without an interval of its own the realized metric has the estimate's.
    found = residual(Metric(truth.statistic, 5_000), estimate)
    assert found is not None
    assert found.is_concept_drift
    assert found.value == pytest.approx(truth.statistic - (estimate.value or 0))
    assert json.loads(json.dumps(found.to_json()))["concept_drift"] is True


def test_there_is_no_residual_of_what_is_not_known() -> None:
    known, unknown = share(9, 10), absent(0, "no labels")
    assert residual(unknown, known) is None
    assert residual(known, unknown) is None
    assert residual(Metric(0.9, 10), Metric(0.8, 10)) is None


def test_back_tests_tell_how_far_estimates_were_off() -> None:
    windows = [
        (Metric(0.90, 100), Metric(0.92, 100, 0.88, 0.96)),
        (Metric(0.70, 100), Metric(0.90, 100, 0.85, 0.95)),
        (Metric(0.70, 100), Metric(0.60, 100)),
        (absent(0, "no labels"), Metric(0.90, 100)),
    ]
    found = back_test(windows)
    assert found is not None
    assert found.to_json() == {
        "windows": 3,
        "mean_error": pytest.approx((0.02 + 0.2 + 0.1) / 3),
        "largest_error": pytest.approx(0.2),
        "covered": pytest.approx(1 / 3),
    }
    assert back_test([]) is None
