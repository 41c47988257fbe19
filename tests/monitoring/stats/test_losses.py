"""Direct loss estimation: what the labels, had they come, would have said."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle

from monitoring.stats import losses
from monitoring.stats.columns import Codes, Kind
from monitoring.stats.losses import Dle
from monitoring.stats.measure import InsufficientDataError, NoDataError

KINDS: dict[str, Kind] = {"x": "numeric", "c": "categorical"}
Rows = tuple[dict[str, Any], Any, Any]


def rows(size: int, seed: int = 0, low: float = 0.0) -> Rows:
    """Return inputs, predictions and labels; the error grows with x."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(low, 4, size)
    loud = rng.random(size) < 0.3
    labels = 10 * x + rng.normal(0, 0.2 + x + 2 * loud)
    columns = {"x": x, "c": Codes(loud.astype(int), ["quiet", "loud"])}
    return columns, 10 * x, labels


def fitted(size: int = 4_000) -> Dle:
    columns, predictions, labels = rows(size)
    return Dle.fit(columns, KINDS, predictions, labels)


def test_under_covariate_shift_the_estimate_is_what_the_labels_say() -> None:
    # Oracle: scikit-learn on the labels, which the estimator doesn't see.
    estimator = fitted()
    columns, predictions, labels = rows(3_000, seed=1, low=3)
    found = estimator.estimate(columns, predictions)
    truth = {
        "mae": oracle.mean_absolute_error(labels, predictions),
        "rmse": oracle.root_mean_squared_error(labels, predictions),
    }
    for name, value in truth.items():
        metric = found.metrics[name]
        assert metric.low is not None
        assert metric.high is not None
        assert metric.low < value < metric.high
        assert found.is_outside(name)
        drop = estimator.drop(found, name)
        assert drop is not None
        assert drop.low > 0.15


def test_without_a_shift_nothing_is_outside_and_nothing_grows() -> None:
    estimator = fitted()
    columns, predictions, _ = rows(3_000, seed=1)
    found = estimator.estimate(columns, predictions)
    assert not found.is_outside("mae")
    drop = estimator.drop(found, "mae")
    assert drop is not None
    assert drop.low < 0 < drop.high
    baseline = rows(4_000)
    assert estimator.baseline["mae"].value == pytest.approx(
        oracle.mean_absolute_error(baseline[2], baseline[1])
    )


def test_a_category_and_a_column_that_are_new_or_gone_do_no_harm() -> None:
    estimator = fitted(500)
    columns, predictions, _ = rows(100, seed=1)
    strange = estimator.estimate({"c": ["new", None] * 50}, predictions)
    assert strange.used == 100
    assert strange.metrics["mae"].value is not None
    assert estimator.estimate(columns, predictions) == estimator.estimate(
        columns, predictions
    )


def test_rows_without_prediction_or_label_are_left_out() -> None:
    columns, predictions, labels = rows(600)
    labels[:100] = np.nan
    estimator = Dle.fit(columns, KINDS, predictions, labels)
    assert estimator.rows == 500
    predictions[:50] = np.nan
    found = estimator.estimate(columns, predictions)
    assert (found.rows, found.used) == (600, 550)
    nothing = estimator.estimate(columns, np.full(600, np.nan))
    assert nothing.metrics["mae"].value is None
    assert nothing.metrics["mae"].reason == "no row has a prediction"


def test_more_rows_than_the_trees_need_are_drawn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(losses, "MAX_ROWS", 400)
    estimator = fitted(2_000)
    assert estimator.rows == 2_000
    columns, predictions, _ = rows(500, seed=1)
    assert not estimator.estimate(columns, predictions).is_outside("mae")


def test_a_baseline_that_says_too_little_has_no_estimate() -> None:
    columns, predictions, labels = rows(1_000)
    blank = np.full(1_000, np.nan)
    with pytest.raises(NoDataError):
        Dle.fit(columns, KINDS, predictions, blank)
    blank[0] = 1.0
    with pytest.raises(InsufficientDataError, match="1 labelled rows"):
        Dle.fit(columns, KINDS, predictions, blank)
    with pytest.raises(ValueError, match="length"):
        Dle.fit(columns, KINDS, predictions[1:], labels[1:])


def test_perfect_predictions_are_expected_to_stay_so() -> None:
    columns, predictions, _ = rows(100)
    estimator = Dle.fit(columns, KINDS, predictions, predictions)
    found = estimator.estimate(columns, predictions)
    assert found.metrics["mae"].value == found.metrics["rmse"].value == 0


numbers = st.one_of(st.floats(-1.79e308, 1.79e308), st.just(np.nan), st.just(1.0))


@settings(max_examples=15)
@given(st.lists(st.tuples(numbers, numbers, numbers), min_size=30, max_size=40))
def test_any_rows_give_finite_json_or_a_reason(
    table: list[tuple[float, float, float]],
) -> None:
    x, predictions, labels = np.array(table).T
    try:
        estimator = Dle.fit({"x": x}, {"x": "numeric"}, predictions, labels)
    except (NoDataError, InsufficientDataError):
        return
    found = estimator.estimate({"x": x}, predictions)
    json.dumps(found.to_json(), allow_nan=False)
