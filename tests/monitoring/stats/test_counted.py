"""Estimates from counts and from sums are those from the rows."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from governance.schema import Task
from monitoring.stats import counted
from monitoring.stats.answers import Answers
from monitoring.stats.drops import Outcomes
from monitoring.stats.estimation import Cbpe, Estimates
from monitoring.stats.outcomes import OutcomeLayout
from monitoring.stats.summed import ClassSums, LossSums, Sums, needs_rows
from tests.bench.peers import inputs


def answers(rows: pd.DataFrame) -> Answers:
    return Answers(rows["score"].to_numpy(), rows["predicted"].to_numpy())


def binary(reference: pd.DataFrame) -> tuple[Cbpe, OutcomeLayout]:
    mine = answers(reference)
    layout = OutcomeLayout.fit(Task.BINARY, classes=[0, 1], scores=mine.scores)
    labels = reference["label"].to_numpy()
    return Cbpe.fit(Task.BINARY, mine, labels), layout


def difference(one: Estimates, other: Estimates) -> dict[str, float]:
    found = {}
    for name, metric in one.metrics.items():
        value = other.metrics[name].value
        if metric.value is None or value is None:
            assert metric.value is value
        else:
            found[name] = abs(metric.value - value)
    return found


@pytest.mark.parametrize(("name", "size"), [("credit", 5_000), ("cancer", 169)])
def test_counts_estimate_what_rows_estimate(name: str, size: int) -> None:
    reference, window = getattr(inputs, name)()
    estimator, layout = binary(reference)
    for at in range(0, len(window), size):
        mine = answers(window.iloc[at : at + size])
        exact = estimator.estimate(mine)
        found = counted.estimate(estimator, layout, layout.count(mine))
        assert found.used == exact.used == found.rows
        off = difference(exact, found)
        assert off.pop("precision") < 1e-3
        assert off["accuracy"] < 2e-4
        assert max(off.values()) < 1e-3


@pytest.mark.parametrize("name", ["credit", "cancer"])
def test_the_interval_holds_what_a_cell_leaves_open(name: str) -> None:
    reference, window = getattr(inputs, name)()
    estimator, layout = binary(reference)
    mine = answers(window.iloc[:500])
    exact = estimator.estimate(mine)
    found = counted.estimate(estimator, layout, layout.count(mine))
    for metric, one in exact.metrics.items():
        wider = found.metrics[metric]
        if one.low is None or one.high is None:
            continue
        assert wider.low is not None
        assert wider.high is not None
        assert wider.low <= one.low + 1e-12
        assert wider.high >= one.high - 1e-12


def test_scores_on_the_grid_are_exact() -> None:
    rng = np.random.default_rng(0)
    scores = np.round(rng.random(2_000), 2)
    labels = (rng.random(2_000) < scores**2).astype(int)
    mine = Answers(scores, (scores >= 0.4).astype(int))
    estimator = Cbpe.fit(Task.BINARY, mine, labels)
    layout = OutcomeLayout.fit(Task.BINARY, classes=[0, 1], scores=scores)
    window = mine.at(np.arange(700))
    exact = estimator.estimate(window)
    found = counted.estimate(estimator, layout, layout.count(window))
    assert max(difference(exact, found).values()) < 1e-12


@settings(max_examples=60, deadline=None)
@given(
    scores=st.lists(st.floats(0, 1), max_size=60),
    threshold=st.floats(0, 1),
)
def test_counts_of_any_scores_are_within_the_certified_bounds(
    scores: list[float], threshold: float
) -> None:
    reference, _ = inputs.cancer()
    estimator, layout = binary(reference)
    values = np.array(scores)
    mine = Answers(values, (values >= threshold).astype(int))
    exact = estimator.estimate(mine)
    found = counted.estimate(estimator, layout, layout.count(mine))
    json.dumps(found.to_json(), allow_nan=False)
    assert found.used == exact.used
    for name, one in exact.metrics.items():
        mine_, wider = one.value, found.metrics[name]
        assert (mine_ is None) == (wider.value is None)
        if mine_ is not None and wider.low is not None and wider.high is not None:
            assert wider.low - 1e-9 <= mine_ <= wider.high + 1e-9


def test_a_confidence_estimates_the_accuracy_alone() -> None:
    reference, window = inputs.digits()
    classes = [f"p{one}" for one in range(10)]

    def known(rows: pd.DataFrame) -> Answers:
        return Answers(rows[classes].to_numpy().max(1), rows["predicted"].to_numpy())

    labels = reference["label"].to_numpy()
    estimator = Cbpe.fit(Task.MULTICLASS, known(reference), labels)
    layout = OutcomeLayout.fit(
        Task.MULTICLASS, classes=list(range(10)), scores=known(reference).scores
    )
    exact = estimator.estimate(known(window))
    found = counted.estimate(estimator, layout, layout.count(known(window)))
    assert difference(exact, found)["accuracy"] < 2e-3
    assert found.metrics["f1"].value is None
    assert "isn't known" in found.metrics["f1"].reason


def test_no_rows_are_told_as_such() -> None:
    reference, _ = inputs.cancer()
    estimator, layout = binary(reference)
    found = counted.estimate(estimator, layout, layout.empty())
    assert (found.rows, found.used) == (0, 0)
    assert all(one.value is None and one.reason for one in found.metrics.values())
    blank = Answers(np.full(5, np.nan), np.full(5, -1))
    found = counted.estimate(estimator, layout, layout.count(blank))
    assert (found.rows, found.used) == (5, 0)


def digits(rows: pd.DataFrame) -> Outcomes:
    table = rows[[f"p{one}" for one in range(10)]].to_numpy()
    mine = Answers(table.max(1), rows["predicted"].to_numpy(), table)
    return Outcomes(Task.MULTICLASS, mine, rows["label"].to_numpy())


def test_sums_of_hours_estimate_several_classes() -> None:
    reference, window = map(digits, inputs.digits())
    assert needs_rows(reference)
    sums = ClassSums.fit(reference)
    exact = sums.estimator.estimate(window.answers)
    parts = np.array_split(np.arange(len(window.answers)), 7)
    total = sums.empty
    for part in parts:
        one = sums.of(window.answers.at(part))
        total = total + Sums.from_bytes(one.to_bytes())
    found = sums.estimates(total)
    off = difference(exact, found)
    # The order of rows within a 256th of the baseline isn't kept.
    assert off.pop("roc_auc") < 2e-3
    assert max(off.values()) < 1e-12
    assert found.metrics["accuracy"].low == pytest.approx(exact.metrics["accuracy"].low)


def test_counts_refuse_what_needs_rows() -> None:
    reference, _ = map(digits, inputs.digits())
    estimator = ClassSums.fit(reference).estimator
    layout = OutcomeLayout.fit(Task.MULTICLASS, classes=list(range(10)))
    with pytest.raises(ValueError, match="aren't counted"):
        counted.estimate(estimator, layout, layout.empty())


def regression(seed: int, rows: int) -> Outcomes:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=rows)
    truths = x + rng.normal(0, 0.2 + 0.5 * (x > 0), rows)
    columns: dict[str, Any] = {"x": x}
    return Outcomes(
        Task.REGRESSION,
        Answers(x, np.full(rows, -1)),
        values=truths,
        columns=columns,
        kinds={"x": "numeric"},
    )


def test_sums_of_hours_estimate_a_regression() -> None:
    reference, window = regression(0, 2_000), regression(1, 900)
    sums = LossSums.fit(reference)
    exact = sums.estimator.estimate(window.columns, window.answers.scores)
    total = sums.empty
    for part in np.array_split(np.arange(900), 5):
        x = window.answers.scores[part]
        total = total + sums.of({"x": x}, x)
    found = sums.estimates(total)
    assert max(difference(exact, found).values()) < 1e-12
    blank = sums.of({}, np.full(3, np.nan))
    assert (blank.rows, blank.used) == (3, 0)
    assert sums.estimates(blank).metrics["mae"].value is None


def test_rows_without_probabilities_add_nothing() -> None:
    reference, window = map(digits, inputs.digits())
    sums = ClassSums.fit(reference)
    bare = Answers(window.answers.scores, window.answers.predicted)
    found = sums.of(bare)
    assert (found.rows, found.used) == (len(bare), 0)
    assert sums.estimates(found).metrics["f1"].value is None


def test_damaged_sums_are_refused() -> None:
    good = Sums(1, 1, np.ones(4)).to_bytes()
    for bad in (b"", good[:-3], good[:5], b"\2" + good[1:]):
        with pytest.raises(ValueError, match="sums"):
            Sums.from_bytes(bad)
