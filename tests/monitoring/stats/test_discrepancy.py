"""MMD and energy distance against scikit-learn, scipy and sums written out."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics.pairwise import euclidean_distances, rbf_kernel

from monitoring.stats.columns import Kind
from monitoring.stats.discrepancy import energy_distance, mmd
from monitoring.stats.measure import InsufficientDataError, Measure, NoDataError

KINDS: dict[str, Kind] = {"x": "numeric", "y": "numeric", "c": "categorical"}
PLANE: dict[str, Kind] = {"x": "numeric", "y": "numeric"}
BOTH = pytest.mark.parametrize("distance", [mmd, energy_distance])


def points(size: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1, (size, 2))


def plane(table: np.ndarray) -> dict[str, Any]:
    return {"x": table[:, 0], "y": table[:, 1]}


def test_mmd_is_the_unbiased_estimate_of_gretton() -> None:
    # Lemma 6, equation (3), by scikit-learn's kernel on the standardised rows.
    first, second = points(60, 0), points(40, 1, 0.7)
    measure = mmd(plane(first), plane(second), PLANE)
    centre, scale = first.mean(0), first.std(0)
    first, second = (first - centre) / scale, (second - centre) / scale
    distances = euclidean_distances(np.concatenate((first, second)))
    width = np.median(distances[np.triu_indices(100, 1)])
    gamma = 1 / (2 * width**2)
    within = [rbf_kernel(side, gamma=gamma) for side in (first, second)]
    truth = sum(
        (kernel.sum() - np.trace(kernel)) / (len(kernel) * (len(kernel) - 1))
        for kernel in within
    )
    truth -= 2 * rbf_kernel(first, second, gamma=gamma).mean()
    assert measure.statistic == pytest.approx(truth, rel=1e-6)
    assert measure.score == pytest.approx(np.sqrt(truth), rel=1e-6)
    assert measure.detail["bandwidth"] == pytest.approx(width, rel=1e-6)


def test_energy_distance_in_one_column_is_scipy_s() -> None:
    first, second = points(200, 0)[:, 0], points(150, 1, 0.5)[:, 0]
    measure = energy_distance({"x": first}, {"x": second}, {"x": "numeric"})
    scaled = [(side - first.mean()) / first.std() for side in (first, second)]
    assert measure.score == pytest.approx(stats.energy_distance(*scaled), rel=1e-9)


def test_energy_distance_in_the_plane_is_the_sum_written_out() -> None:
    first, second = points(50, 0), points(40, 1, 0.5)
    measure = energy_distance(plane(first), plane(second), PLANE)
    a, b = ((side - first.mean(0)) / first.std(0) for side in (first, second))
    truth = 2 * euclidean_distances(a, b).mean()
    truth -= euclidean_distances(a).mean() + euclidean_distances(b).mean()
    assert measure.statistic == pytest.approx(truth, rel=1e-6)


@BOTH
def test_a_permutation_p_value_is_uniform_without_drift(distance: Any) -> None:
    found = [
        distance(
            plane(points(60, 2 * seed)),
            plane(points(60, 2 * seed + 1)),
            PLANE,
            permutations=99,
        ).p_value
        for seed in range(100)
    ]
    # Kolmogorov-Smirnov against the uniform distribution, a look at the whole of it.
    assert stats.kstest(found, "uniform").pvalue > 0.01
    assert min(found) >= 1 / 100


@BOTH
def test_drift_is_found_and_the_seed_repeats_it(distance: Any) -> None:
    baseline, window = plane(points(900, 0)), plane(points(800, 1, 0.4))
    measure: Measure = distance(baseline, window, PLANE, max_rows=300)
    assert measure.p_value == pytest.approx(1 / 201)
    assert (measure.n_baseline, measure.n) == (300, 300)
    assert distance(baseline, window, PLANE, max_rows=300) == measure
    assert distance(baseline, window, PLANE, max_rows=300, seed=1) != measure


@BOTH
def test_equal_rows_everywhere_are_no_distance(distance: Any) -> None:
    same = {"x": [1.0] * 40, "y": [2.0] * 40}
    measure = distance(same, same, PLANE)
    assert measure.score == 0
    assert measure.p_value == 1


@BOTH
def test_too_few_rows_say_so(distance: Any) -> None:
    with pytest.raises(InsufficientDataError, match="29 rows"):
        distance(plane(points(40, 0)), plane(points(29, 1)), PLANE)
    with pytest.raises(NoDataError):
        distance(plane(points(40, 0)), {}, PLANE)


values = st.one_of(st.floats(-1.79e308, 1.79e308), st.none(), st.just(2.0))
names = st.one_of(st.sampled_from(["a", "b"]), st.none())


@BOTH
@settings(max_examples=25)
@given(
    first=st.lists(st.tuples(values, values, names), min_size=30, max_size=33),
    second=st.lists(st.tuples(values, values, names), min_size=30, max_size=33),
)
def test_any_rows_give_a_finite_answer_or_a_reason(
    distance: Any, first: list[Any], second: list[Any]
) -> None:
    baseline, window = (
        dict(zip(KINDS, map(list, zip(*part, strict=True)), strict=True))
        for part in (first, second)
    )
    try:
        measure = distance(baseline, window, KINDS, permutations=9)
    except NoDataError:
        return
    assert np.isfinite(measure.score)
    json.dumps(measure.to_json(), allow_nan=False)
