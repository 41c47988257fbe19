"""Calibration against scikit-learn."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.calibration import _SigmoidCalibration
from sklearn.isotonic import IsotonicRegression

from monitoring.stats import calibration
from monitoring.stats.measure import InsufficientDataError

PLACES = np.linspace(-0.5, 1.5, 1_001)


def scored(rows: int, power: float, seed: int = 0) -> tuple[Any, Any]:
    """Return scores that tie, and labels whose chance is score ** power."""
    rng = np.random.default_rng(seed)
    scores = np.round(rng.beta(1, 3, rows), 3)
    return scores, rng.random(rows) < scores**power


@pytest.mark.parametrize("rows", [300, 5_000])
def test_isotonic_calibration_equals_scikit_learn(rows: int) -> None:
    scores, labels = scored(rows, 1.6)
    calibrator = calibration.fit(scores, labels)
    assert calibrator.method == "isotonic"
    truth = IsotonicRegression(out_of_bounds="clip").fit(scores, labels)
    np.testing.assert_allclose(calibrator(PLACES), truth.predict(PLACES), atol=1e-12)


def test_few_rows_are_calibrated_by_platt() -> None:
    scores, labels = scored(299, 1.6)
    calibrator = calibration.fit(scores, labels)
    assert calibrator.method == "platt"
    # scikit-learn's targets are Platt's too; its solver stops a little earlier
    truth = _SigmoidCalibration().fit(scores, labels)
    np.testing.assert_allclose(calibrator(PLACES), truth.predict(PLACES), atol=1e-4)


def test_scores_that_mean_what_they_say_stay() -> None:
    scores, labels = scored(400, 1.0, seed=3)
    calibrator = calibration.fit(scores, labels)
    assert calibrator.method == "none"
    assert calibrator.error_before is not None
    assert calibrator.error_after is not None
    assert calibrator.error_before <= calibrator.error_after
    np.testing.assert_array_equal(calibrator(scores), scores)


def test_a_perfect_score_is_not_calibrated() -> None:
    scores = np.linspace(0.4, 0.6, 1_000)
    calibrator = calibration.fit(scores, scores > 0.5)
    assert calibrator.method == "none"
    assert calibrator.to_json()["error_after"] is None


@pytest.mark.parametrize("rows", [40, 1_000])
def test_scores_that_are_no_probabilities_are_calibrated_whatever(rows: int) -> None:
    margins = np.linspace(-8, 8, rows)
    labels = margins > np.resize([-1, 1, 0.5], rows)
    calibrator = calibration.fit(margins, labels)
    assert calibrator.method != "none"
    assert calibrator.error_before is None
    chances = calibrator(margins)
    assert ((chances >= 0) & (chances <= 1)).all()
    assert chances[-1] > 0.9


def test_the_order_of_the_rows_does_not_matter() -> None:
    scores, labels = scored(2_000, 1.3)
    scores[:500] -= 0.5  # some negative, whose bits differ by the sign alone
    shuffled = np.random.default_rng(1).permutation(2_000)
    one = calibration.fit(scores, labels)
    other = calibration.fit(scores[shuffled], labels[shuffled])
    assert one.to_json() == other.to_json()
    np.testing.assert_array_equal(one(PLACES), other(PLACES))


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ([True, False] * 14, "28 labelled rows"),
        ([True] * 40, "one class only"),
        ([False] * 40, "one class only"),
    ],
)
def test_too_little_is_said_to_be_too_little(labels: list[bool], reason: str) -> None:
    scores = np.linspace(0, 1, len(labels))
    with pytest.raises(InsufficientDataError, match=reason):
        calibration.fit(scores, np.array(labels))


def test_calibration_error_of_a_worked_example() -> None:
    # Two rows a bin; bins 1 to 9 right on average, the last one off by 0.5.
    chances = np.repeat(np.linspace(0.05, 0.95, 10), 2)
    labels = np.zeros(20, bool)
    error = calibration.calibration_error(chances, labels)
    assert error == pytest.approx(chances.mean())
    assert calibration.calibration_error(np.array([0.25]), np.array([True])) == 0.75


def test_of_a_constant_score_a_missing_one_stays_missing() -> None:
    labels = np.arange(600) % 3 == 0
    fitted = calibration.fit(np.full(600, 0.2), labels)
    constant = replace(
        fitted, method="isotonic", points=np.array([0.2]), heights=np.array([0.5])
    )
    chances = constant(np.array([np.nan, 0.2, 0.9]))
    assert np.isnan(chances[0])
    assert chances[1:].tolist() == [0.5, 0.5]


@given(
    arrays.arrays(
        np.float64,
        st.integers(30, 90),
        elements=st.one_of(st.floats(0, 1), st.floats(-1e300, 1e300)),
    ),
    st.randoms(use_true_random=False),
    st.integers(1, 1_000),
)
def test_any_scores_become_probabilities(scores: Any, rng: Any, repeats: int) -> None:
    scores = np.tile(scores, 10 if repeats > 900 else 1)
    labels = np.array([rng.random() < 0.5 for _ in scores])
    labels[:2] = [True, False]
    chances = calibration.fit(scores, labels)(np.append(scores, [np.nan, 0.5]))
    assert np.isnan(chances[-2])
    known = np.delete(chances, -2)
    assert ((known >= 0) & (known <= 1)).all()
