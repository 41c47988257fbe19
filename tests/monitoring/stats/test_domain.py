"""The domain classifier: what it must see, and what it mustn't."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from monitoring.stats import domain
from monitoring.stats.columns import Codes, Kind
from monitoring.stats.domain import domain_classifier
from monitoring.stats.measure import InsufficientDataError, NoDataError

KINDS: dict[str, Kind] = {"x": "numeric", "y": "numeric", "c": "categorical"}


def rows(size: int, seed: int = 0, shift: float = 0.0, sign: float = 1.0) -> Any:
    rng = np.random.default_rng(seed)
    x = rng.normal(shift, 1, size)
    return {
        "x": x,
        "y": sign * x + rng.normal(0, 0.3, size),
        "c": Codes(rng.integers(0, 5, size), list("abcde")),
    }


def test_equal_sides_cannot_be_told_apart() -> None:
    for seed in range(5):
        sides = rows(400, seed=2 * seed), rows(300, seed=2 * seed + 1)
        measure = domain_classifier(*sides, KINDS)
        assert measure.score < 0.6
        assert measure.interval is not None
        low, high = measure.interval
        assert low < measure.score < high
        if measure.score <= 0.5:
            assert measure.p_value == 1
        else:
            assert measure.p_value is not None
            assert (measure.p_value < 0.05) == (low > 0.5)


def test_the_score_comes_near_to_the_best_that_there_is() -> None:
    # Two normal distributions half a deviation apart: AUC Φ(0.5 / √2) = 0.638.
    rng = np.random.default_rng(0)
    best = stats.norm.cdf(0.5 / np.sqrt(2))
    baseline, window = {"x": rng.normal(0, 1, 4_000)}, {"x": rng.normal(0.5, 1, 4_000)}
    measure = domain_classifier(baseline, window, {"x": "numeric"})
    assert best - 0.03 < measure.score < best + 0.01


def test_columns_that_part_company_are_noticed() -> None:
    measure = domain_classifier(rows(1_000), rows(1_000, seed=1, sign=-1), KINDS)
    assert measure.score > 0.9


def test_a_new_category_and_missing_values_are_noticed() -> None:
    kinds: dict[str, Kind] = {"c": "categorical"}
    baseline = {"c": ["a", "b"] * 500}
    for strange in ("z", None):
        window = {"c": ["a", "b", strange, strange] * 250}
        assert domain_classifier(baseline, window, kinds).score > 0.7


def test_the_same_seed_gives_the_same_answer() -> None:
    sides = rows(700), rows(600, seed=1, shift=0.3)
    first = domain_classifier(*sides, KINDS, max_rows=500)
    assert domain_classifier(*sides, KINDS, max_rows=500) == first
    assert (first.n_baseline, first.n) == (500, 500)
    assert domain_classifier(*sides, KINDS, max_rows=500, seed=1) != first


def test_rare_categories_share_a_code() -> None:
    many = [f"c{i}" for i in range(600)]
    kinds: dict[str, Kind] = {"c": "categorical"}
    measure = domain_classifier({"c": many}, {"c": many[::-1]}, kinds)
    assert measure.score < 0.6


@pytest.mark.parametrize(
    ("sizes", "error"),
    [((29, 100), InsufficientDataError), ((100, 1), InsufficientDataError)],
)
def test_too_few_rows_say_so(sizes: tuple[int, int], error: type[Exception]) -> None:
    with pytest.raises(error, match="30 are needed"):
        domain_classifier(rows(sizes[0]), rows(sizes[1]), KINDS)


def test_no_rows_and_no_shared_column_say_so() -> None:
    with pytest.raises(NoDataError):
        domain_classifier(rows(50), {}, KINDS)
    with pytest.raises(NoDataError):
        domain_classifier({"x": [1.0] * 50}, {"y": [1.0] * 50}, KINDS)


def test_the_p_value_is_the_mann_whitney_test_s() -> None:
    # scipy's on two samples without ties, whose AUC is U / (N n)
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=80), rng.normal(0.4, 1, 60)
    test = stats.mannwhitneyu(second, first, use_continuity=False, method="asymptotic")
    area = float(test.statistic) / 80 / 60
    assert domain._p_value(area, 80, 60) == pytest.approx(test.pvalue)


values = st.one_of(st.floats(-1.79e308, 1.79e308), st.none(), st.just(2.0))
names = st.one_of(st.sampled_from(["a", "b"]), st.none())


@settings(max_examples=10)
@given(
    st.lists(st.tuples(values, values, names), min_size=30, max_size=34),
    st.lists(st.tuples(values, values, names), min_size=30, max_size=34),
)
def test_any_rows_give_a_finite_answer(first: list[Any], second: list[Any]) -> None:
    baseline, window = (
        dict(zip(KINDS, map(list, zip(*part, strict=True)), strict=True))
        for part in (first, second)
    )
    measure = domain_classifier(baseline, window, KINDS)
    assert 0 <= measure.score <= 1
    json.dumps(measure.to_json(), allow_nan=False)
