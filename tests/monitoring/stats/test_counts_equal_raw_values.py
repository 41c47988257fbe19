"""Merged counts say what scipy and numpy say of the raw values."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.special import kolmogorov
from scipy.stats import (
    chi2_contingency,
    contingency,
    ks_2samp,
    mannwhitneyu,
    ttest_ind,
    wasserstein_distance,
)

from monitoring.detectors import LIVE_THRESHOLDS
from monitoring.stats import curves
from monitoring.stats.columns import NumericColumn
from monitoring.stats.curves import Curve
from monitoring.stats.drift import evaluate
from monitoring.stats.grid import Codes, Grid
from monitoring.stats.tally import Tally

RTOL = 1e-9

tied = st.integers(-3, 3).map(float)
finite = st.floats(-1e6, 1e6, allow_subnormal=False)
signed_zero = st.sampled_from([0.0, -0.0, 1e-300, -1e-300])
numbers = st.one_of(tied, finite, signed_zero, st.just(float("nan")))
columns = st.one_of(
    st.lists(numbers, min_size=1, max_size=60),
    st.lists(tied, min_size=1, max_size=60),
    st.lists(finite, min_size=1, max_size=40),
    st.builds(lambda value, size: [value] * size, numbers, st.integers(1, 40)),
)
names = st.sampled_from(["a", "b", "c", None])
window_names = st.sampled_from(["a", "b", "c", "new", "other new", None])
cuts = st.lists(st.integers(0, 60), max_size=4)


def merged(grid: Grid, name: str, values: Any, cuts: list[int]) -> Tally:
    """Count the pieces, store them, and merge what was stored."""
    ends = [0, *sorted(min(cut, len(values)) for cut in cuts), len(values)]
    pieces = [values[a:b] for a, b in pairwise(ends)]
    return grid.merge(grid.count({name: piece}).to_bytes() for piece in pieces)


def measure(kind: Any, baseline: Any, window: Any, cuts: list[int]) -> dict[str, Any]:
    grid = Grid.from_bytes(Grid.fit({"x": baseline}, {"x": kind}).to_bytes())
    report = evaluate(grid, merged(grid, "x", window, cuts), thresholds=LIVE_THRESHOLDS)
    report.to_json()
    return dict(report.columns["x"].algorithms)


def known(values: list[float]) -> Any:
    array = np.array(values, dtype=float)
    return array[~np.isnan(array)]


def binned(values: Any, edges: Any) -> Any:
    # numpy's own right-closed bins
    return np.bincount(
        np.digitize(values, edges, right=True), minlength=len(edges) + 1
    ) / len(values)


def plain_psi(p: Any, q: Any) -> float:
    total = 0.0
    for a, b in zip(p, q, strict=True):
        a, b = (a or 1e-4), (b or 1e-4)
        total += (a - b) * np.log(a / b)
    return total


def check_distances(found: dict[str, Any], p: Any, q: Any) -> None:
    def score(name: str) -> float:
        return float(found[name].score)

    np.testing.assert_allclose(score("psi"), plain_psi(p, q), rtol=RTOL, atol=1e-12)
    # below 1e-7 the distance is the root of a rounding error, in scipy as well
    np.testing.assert_allclose(
        score("jensen_shannon"), jensenshannon(p, q, base=2), rtol=RTOL, atol=1e-7
    )
    np.testing.assert_allclose(
        score("hellinger"),
        np.linalg.norm(np.sqrt(p) - np.sqrt(q)) / np.sqrt(2),
        rtol=RTOL,
        atol=1e-12,
    )
    gaps = np.abs(p - q)
    np.testing.assert_allclose(score("total_variation"), gaps.sum() / 2, rtol=RTOL)
    np.testing.assert_allclose(score("l_infinity"), gaps.max(), rtol=RTOL)


@pytest.mark.filterwarnings("ignore:divide by zero")  # scipy's p-value at n = 1
@given(columns, columns, cuts)
def test_numeric_columns(
    baseline: list[float], window: list[float], cuts: list[int]
) -> None:
    found = measure("numeric", baseline, window, cuts)
    first, second = known(baseline), known(window)
    if not len(first) or not len(second):
        assert found == {}
        return
    # scipy's statistic; its own p-value is another, exact one
    truth = ks_2samp(first, second, method="asymp").statistic
    ks = found["ks_test"]
    np.testing.assert_allclose(ks.score, truth, rtol=RTOL)
    assert ks.interval is None
    scale = np.sqrt(len(first) * len(second) / (len(first) + len(second)))
    np.testing.assert_allclose(ks.p_value, kolmogorov(scale * truth), rtol=RTOL)
    edges = np.unique(np.quantile(first, np.arange(1, 10) / 10))
    check_distances(found, binned(first, edges), binned(second, edges))
    check_wasserstein(found, first, second)


def check_wasserstein(found: dict[str, Any], first: Any, second: Any) -> None:
    truth = wasserstein_distance(first, second)
    rounding = 1e-12 * max(np.abs(first).max(), np.abs(second).max())
    for name, unit in (("wasserstein", 1), ("wasserstein_normed", first.std())):
        result = found[name]
        low, high = result.interval or (result.score, result.score)
        unit = unit if name == "wasserstein" else max(unit, 0.001)
        assert low <= truth / unit * (1 + RTOL) + rounding / unit
        assert high >= truth / unit * (1 - RTOL) - rounding / unit
    if np.isin(second, first).all():
        # nothing lies inside a cell, so nothing is left open
        exact = found["wasserstein"].score
        np.testing.assert_allclose(exact, truth, rtol=RTOL, atol=rounding)


@given(
    st.lists(names, min_size=1, max_size=200),
    st.lists(window_names, min_size=1, max_size=200),
    cuts,
)
@settings(max_examples=60)
def test_categorical_columns(
    baseline: list[str | None], window: list[str | None], cuts: list[int]
) -> None:
    found = measure("categorical", baseline, window, cuts)
    union = sorted({*baseline, *window} - {None}, key=str)
    table = np.array(
        [[side.count(name) for name in union] for side in (baseline, window)]
    )
    if not table.size or not table.sum(axis=1).all():
        assert found == {}
        return
    shares = table / table.sum(axis=1, keepdims=True)
    check_distances(found, *shares)
    rare = (contingency.expected_freq(table) < 5).any(axis=0)
    chi_square = found["chi_square"]
    assert chi_square.low_counts == rare.any()
    lumped = table
    if rare.any():
        rest = table[:, rare].sum(axis=1, keepdims=True)
        lumped = np.concatenate((table[:, ~rare], rest), axis=1)
    if lumped.shape[1] == 1:
        assert chi_square.score in (0.0, None)
        return
    truth = chi2_contingency(lumped)
    np.testing.assert_allclose(chi_square.p_value, truth.pvalue, rtol=RTOL)
    v = contingency.association(lumped, method="cramer")
    np.testing.assert_allclose(chi_square.score, v, rtol=RTOL, atol=1e-12)


@given(st.lists(finite, min_size=2, max_size=50), st.lists(finite, min_size=2), cuts)
def test_moments_ranks_and_t(
    baseline: list[float], window: list[float], cuts: list[int]
) -> None:
    grid = Grid.fit({"x": baseline}, {"x": "numeric"})
    column = grid.columns["x"]
    assert isinstance(column, NumericColumn)
    tally = merged(grid, "x", window, cuts)
    first, second = Curve.of(column, grid.baseline), Curve.of(column, tally)
    size = max(np.abs(baseline).max(), np.abs(window).max(), 1e-300)
    moments = second.moments()
    np.testing.assert_allclose(moments.mean, np.mean(window), atol=1e-12 * size)
    np.testing.assert_allclose(
        moments.variance, np.var(window), rtol=1e-7, atol=1e-10 * size * size
    )
    truth = mannwhitneyu(baseline, window, method="asymptotic").statistic
    assert curves.mann_whitney(first, second).statistic == truth
    spreads = np.std(baseline), np.std(window)
    if min(spreads) > 1e-3 * size:
        t = ttest_ind(window, baseline, equal_var=False).statistic
        np.testing.assert_allclose(
            curves.welch_t(first, second), t, rtol=1e-6, atol=1e-9
        )


@pytest.mark.parametrize("shape", ["normal", "heavy", "half zero", "atoms", "shifted"])
@pytest.mark.parametrize("seed", range(3))
def test_thinned_grid_stays_within_one_in_2048(shape: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    make: Any = {
        "normal": lambda n: rng.normal(size=n),
        "heavy": lambda n: rng.standard_cauchy(n) ** 3,
        "half zero": lambda n: np.where(
            rng.random(n) < 0.5, 0, rng.exponential(size=n)
        ),
        "atoms": lambda n: np.where(
            rng.random(n) < 0.3, rng.poisson(3, n), rng.random(n)
        ),
        "shifted": lambda n: rng.normal(0.1 * (n < 9_000), 1.1, n),
    }[shape]
    baseline, window = make(20_000), make(7_000)
    found = measure("numeric", baseline, window, [1_000, 1_001, 5_000])
    truth = ks_2samp(baseline, window, method="asymp").statistic
    ks = found["ks_test"]
    low, high = ks.interval or (ks.score, ks.score)
    assert low <= truth + 1e-15
    assert truth <= high + 1e-15
    assert high < low + 1 / 2048 + 1e-12
    edges = np.unique(np.quantile(baseline, np.arange(1, 10) / 10))
    check_distances(found, binned(baseline, edges), binned(window, edges))
    check_wasserstein(found, baseline, window)


def test_an_adversary_inside_a_cell_moves_the_thinned_statistic_least() -> None:
    # One cell's values pushed to its right end: the largest error there is.
    baseline = np.sort(np.random.default_rng(1).random(20_480))
    window = baseline.copy()
    inside = slice(10_000, 10_009)
    window[inside] = baseline[10_008] + (baseline[10_009] - baseline[10_008]) / 2
    found = measure("numeric", baseline, window, [])["ks_test"]
    truth = ks_2samp(baseline, window, method="asymp").statistic
    assert found.interval is not None
    assert found.interval[0] <= truth <= found.interval[1]
    assert truth - found.interval[0] < 1 / 2048


def test_codes_count_like_their_text() -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(-1, 3, 500).astype(np.int8)
    column = Codes(codes, ["b", "new", "a"])
    text = [None if code < 0 else column.categories[code] for code in codes]
    grid = Grid.fit({"x": ["a", "b", "c"] * 50}, {"x": "categorical"})
    assert grid.count({"x": column}) == grid.count({"x": text})
