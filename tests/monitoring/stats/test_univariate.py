"""The reference definitions against scipy, numpy and figures worked out by hand."""

import json
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats
from scipy.special import rel_entr

from monitoring.stats import curves, shares, significance, univariate
from monitoring.stats.columns import Codes, NumericColumn, psi_edges
from monitoring.stats.curves import Curve
from monitoring.stats.grid import Grid
from monitoring.stats.kernel import kernel, prepare
from monitoring.stats.placing import MIN_ROWS, MOST_POINTS, Buckets
from monitoring.stats.shares import chi_square
from monitoring.stats.univariate import NoDataError

RNG = np.random.default_rng(7)
BASE = RNG.normal(size=400)
MOVED = RNG.normal(0.3, 1.2, 300)
# Of 1 and 3 among 1, 2, 3, 4: middle ranks in the sample and in all.
MIDRANKS_OF_FIRST = ((0.5, 0.5), (1.0, 1.5), (1.5, 2.5), (2.0, 3.5))
samples = st.lists(
    st.one_of(st.integers(-4, 4).map(float), st.floats(-1e4, 1e4)),
    min_size=1,
    max_size=50,
)

ALL = (
    univariate.psi,
    univariate.kl_divergence,
    univariate.jensen_shannon,
    univariate.hellinger,
    univariate.total_variation,
    univariate.l_infinity,
    univariate.ks_test,
    univariate.wasserstein,
    univariate.wasserstein_normed,
    univariate.energy,
    univariate.cramer_von_mises,
    univariate.anderson_darling,
    univariate.mann_whitney,
    univariate.welch_t,
)


def test_psi_of_a_worked_example() -> None:
    # (.5-.8) ln(.5/.8) + (.5-.2) ln(.5/.2), by hand 0.1410 + 0.2749
    measure = univariate.psi(["a"] * 50 + ["b"] * 50, ["a"] * 80 + ["b"] * 20)
    assert measure.score == pytest.approx(0.4158883083359671, rel=1e-12)
    assert (measure.n_baseline, measure.n) == (100, 100)


def test_psi_replaces_zero_shares_and_nothing_else() -> None:
    # By hand: 1 against 1e-4 twice, shares of 1e-5 stay.
    measure = univariate.psi(["a"] * 10, ["b"] * 10)
    assert measure.score == pytest.approx(2 * (1 - 1e-4) * math.log(1e4))
    small = univariate.psi(["a"] * 99_999 + ["b"], ["a"] * 50_000 + ["b"] * 50_000)
    p, q = np.array([0.99999, 1e-5]), np.array([0.5, 0.5])
    assert small.score == pytest.approx(float(((p - q) * np.log(p / q)).sum()))


def test_psi_bins_are_right_closed_deciles() -> None:
    base = np.arange(10.0)
    assert psi_edges(base).tolist() == pytest.approx(
        [0.9, 1.8, 2.7, 3.6, 4.5, 5.4, 6.3, 7.2, 8.1]
    )
    constant, above = np.full(50, 3.0), np.full(50, 3.0 + 1e-9)
    assert univariate.psi(constant, constant).score == 0.0
    assert univariate.psi(constant, above).score > 10


@given(samples, samples)
def test_distribution_distances_equal_scipy(
    first: list[float], second: list[float]
) -> None:
    scale = max(1.0, *map(abs, first), *map(abs, second))
    assert univariate.wasserstein(first, second).score == pytest.approx(
        stats.wasserstein_distance(first, second), rel=1e-9, abs=1e-12 * scale
    )
    assert univariate.energy(first, second).score == pytest.approx(
        stats.energy_distance(first, second), rel=1e-9, abs=1e-9 * scale
    )
    with warnings.catch_warnings():
        # scipy warns where its exact p-value falls back to the asymptotic one
        warnings.simplefilter("ignore")
        test = stats.ks_2samp(first, second)
        measure = univariate.ks_test(first, second)
    assert measure.score == pytest.approx(test.statistic, rel=1e-9)
    assert measure.p_value == pytest.approx(test.pvalue, rel=1e-9)


def test_ks_is_exact_up_to_10_000_values_and_asymptotic_beyond() -> None:
    small = univariate.ks_test(BASE, MOVED)
    assert small.p_value_method == "exact"
    assert small.p_value == pytest.approx(stats.ks_2samp(BASE, MOVED).pvalue, rel=1e-9)
    large = RNG.normal(size=10_001)
    measure = univariate.ks_test(large, MOVED)
    assert measure.p_value_method == "asymptotic"
    assert measure.p_value == pytest.approx(
        stats.ks_2samp(large, MOVED).pvalue, rel=1e-9
    )


def test_wasserstein_normed_is_in_baseline_deviations() -> None:
    distance = stats.wasserstein_distance(BASE, MOVED)
    assert univariate.wasserstein_normed(BASE, MOVED).score == pytest.approx(
        distance / np.std(BASE), rel=1e-9
    )
    constant = np.full(20, 5.0)
    assert univariate.wasserstein_normed(constant, constant + 1).score == 1_000


def test_rank_tests_equal_scipy() -> None:
    test = stats.mannwhitneyu(BASE, MOVED, method="asymptotic")
    measure = univariate.mann_whitney(BASE, MOVED)
    assert measure.statistic == test.statistic
    assert measure.p_value == pytest.approx(test.pvalue, rel=1e-9)
    assert measure.score == abs(2 * test.statistic / (400 * 300) - 1)
    welch = univariate.welch_t(BASE, MOVED)
    t = stats.ttest_ind(MOVED, BASE, equal_var=False)
    assert welch.statistic == pytest.approx(t.statistic, rel=1e-9)
    assert welch.p_value == pytest.approx(t.pvalue, rel=1e-9)
    criterion = univariate.cramer_von_mises(BASE, MOVED)
    cvm = stats.cramervonmises_2samp(BASE, MOVED, method="asymptotic")
    assert criterion.statistic == pytest.approx(cvm.statistic, rel=1e-9)
    assert criterion.p_value == pytest.approx(cvm.pvalue, rel=1e-9)


def test_cramer_von_mises_gives_no_p_value_under_ties() -> None:
    tied = univariate.cramer_von_mises([0.0] * 30 + [1.0], [0.0, 2.0, 3.0])
    assert tied.p_value is None
    assert tied.p_value_method is None


@given(samples, samples)
def test_anderson_darling_equals_scipy(first: list[float], second: list[float]) -> None:
    assume(len({*first, *second}) > 1 and len(first) + len(second) >= 4)
    measure = univariate.anderson_darling(first, second)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        test = stats.anderson_ksamp([first, second], variant="midrank")
    assert measure.statistic == pytest.approx(test.statistic, rel=1e-9)
    assert measure.p_value == pytest.approx(test.pvalue, rel=1e-9)
    assert 0.001 <= test.pvalue <= 0.25


def test_anderson_darling_is_the_criterion_of_scholz_and_stephens() -> None:
    # Their A²akN for two samples without ties, equation (3) by hand: N = 4.
    # Ranks of the first sample 1 and 3: sum of (N M - j n)² / (j (N - j)) over n.
    first, second = [1.0, 3.0], [2.0, 4.0]
    terms = [(4 * m - 2 * b) ** 2 / (b * (4 - b) - 1) for m, b in MIDRANKS_OF_FIRST]
    criterion = 3 / 4 * (sum(terms) / 4 / 2) * 2  # both sides add the same
    measure = univariate.anderson_darling(first, second)
    assert measure.score == pytest.approx(criterion * (1 / 2 + 1 / 2))


def test_anderson_darling_of_a_few_values_has_no_test() -> None:
    few = univariate.anderson_darling([0.0, 1.0], [1.0])
    assert few.p_value is None
    assert few.score > 0
    equal = univariate.anderson_darling([2.0] * 30, [2.0] * 30)
    assert (equal.score, equal.statistic, equal.p_value) == (0.0, None, None)


@pytest.mark.parametrize("bins", ["psi", "doane"])
def test_bins_may_be_deciles_or_doane_s(bins: univariate.Bins) -> None:
    if bins == "psi":
        inner = np.unique(np.quantile(BASE, np.arange(1, 10) / 10))
    else:
        inner = np.histogram_bin_edges(BASE, "doane")[1:-1]
    ends = np.concatenate(([-np.inf], inner, [np.inf]))
    # numpy's bins are left-closed; no value stands on an edge here
    p, q = (np.histogram(side, ends)[0] / len(side) for side in (BASE, MOVED))
    middle = (p + q) / 2
    truth = np.sqrt((rel_entr(p, middle) + rel_entr(q, middle)).sum() / 2 / np.log(2))
    measure = univariate.jensen_shannon(BASE, MOVED, bins=bins)
    assert measure.score == pytest.approx(truth, rel=1e-9)


@pytest.mark.parametrize(
    "values",
    [[-1.7e308, 1.7e308], [1e308, 1.1e308, 3.0], [1.0, 1.0, np.nextafter(1, 2)]],
)
def test_doane_s_bins_give_way_where_float64_ends(values: list[float]) -> None:
    measure = univariate.hellinger(values, [1.0, 2.0], bins="doane")
    assert measure == univariate.hellinger(values, [1.0, 2.0])


def test_kl_divergence_is_scipy_s_entropy_after_the_fill() -> None:
    p = np.array([0.5, 0.5, 1e-4])
    q = np.array([0.25, 0.25, 0.5])
    measure = univariate.kl_divergence(["a", "b"] * 2, ["a", "b", "c", "c"])
    assert measure.score == pytest.approx(stats.entropy(q / q.sum(), p / p.sum()))


def test_chi_square_equals_scipy_with_and_without_yates() -> None:
    for table in ([[50, 50], [30, 12]], [[50, 50, 20], [30, 12, 30]]):
        first, second = np.array(table)
        for correction in (True, False):
            test = chi_square(first, second, correction=correction)
            truth = stats.chi2_contingency(table, correction=correction)
            assert test.statistic == pytest.approx(truth.statistic, rel=1e-12)
            assert test.freedom == truth.dof
            assert significance.chi_square_p_value(test) == pytest.approx(
                truth.pvalue, rel=1e-9
            )


def test_rare_categories_are_counted_as_one() -> None:
    first = np.array([500, 400, 3, 2, 0])
    second = np.array([450, 450, 1, 4, 1])
    test = chi_square(first, second)
    truth = stats.chi2_contingency([[500, 400, 5], [450, 450, 6]])
    assert test.low_counts
    assert test.statistic == pytest.approx(truth.statistic, rel=1e-12)
    whole = chi_square(first, second, lump=False)
    assert whole.statistic == pytest.approx(
        stats.chi2_contingency([first, second]).statistic, rel=1e-12
    )


def test_nothing_but_rare_categories_is_not_measurable() -> None:
    test = chi_square(np.array([3, 3, 2]), np.array([2, 3, 3]))
    assert not test.measurable
    single = chi_square(np.array([3, 0]), np.array([2, 0]))
    assert single.measurable
    assert (single.statistic, single.cramers_v) == (0.0, 0.0)
    assert significance.chi_square_p_value(single) == 1.0


def test_complete_separation_is_one() -> None:
    measure = univariate.chi_square(["a"] * 40, ["b"] * 40)
    assert measure.score == pytest.approx(1.0)
    assert measure.p_value is not None
    assert measure.p_value < 1e-12


@pytest.mark.parametrize("function", ALL)
def test_a_constant_pooled_column_is_no_distance(
    function: Callable[..., univariate.Measure],
) -> None:
    measure = function([2.0] * 30, [2.0] * 40)
    assert measure.score == 0
    assert measure.p_value in (None, 1.0)


@pytest.mark.parametrize("function", [*ALL, univariate.chi_square])
def test_an_empty_side_is_no_data_never_zero(
    function: Callable[..., univariate.Measure],
) -> None:
    values = ["a"] if function is univariate.chi_square else [1.0]
    with pytest.raises(NoDataError):
        function(values, [None, float("nan")])
    with pytest.raises(NoDataError):
        function([], values)


@pytest.mark.parametrize("function", ALL)
def test_infinity_never_gets_in(
    function: Callable[..., univariate.Measure],
) -> None:
    with pytest.raises(ValueError, match="1 infinite"):
        function([1.0, 2.0], [1.0, -math.inf])


def test_missing_values_are_dropped() -> None:
    with_gaps = np.append(BASE, [np.nan] * 9)
    assert univariate.psi(with_gaps, MOVED) == univariate.psi(BASE, MOVED)


def test_a_column_is_categorical_by_its_type_alone() -> None:
    assert univariate.is_categorical(["1", "2"])
    assert univariate.is_categorical([None, True])
    assert univariate.is_categorical(np.array(["a"]))
    assert univariate.is_categorical(np.array([True]))
    assert univariate.is_categorical(np.array([None, "a"], dtype=object))
    assert univariate.is_categorical(Codes(np.zeros(1, int), ["a"]))
    assert not univariate.is_categorical([0, 1, 0])
    assert not univariate.is_categorical(np.array([0, 1]))
    assert not univariate.is_categorical([])
    with pytest.raises(TypeError, match="codes"):
        univariate.ks_test(Codes(np.zeros(1, int), ["a"]), [1.0])


def test_welch_t_needs_two_values_and_some_spread() -> None:
    assert univariate.welch_t([1.0], [2.0, 3.0]).statistic is None
    assert univariate.welch_t([1.0, 1.0], [1.0, 1.0]).p_value is None


def test_holm_equals_the_published_example() -> None:
    # Holm (1979), section 3; the same as R's p.adjust(c(.01,.02,.03,.04), "holm")
    corrected = significance.holm({"a": 0.01, "b": 0.02, "c": 0.03, "d": 0.04})
    assert corrected == pytest.approx({"a": 0.04, "b": 0.06, "c": 0.06, "d": 0.06})
    assert significance.holm({"a": 0.9, "b": 0.8}) == {"b": 1.0, "a": 1.0}
    assert significance.holm({}) == {}


def test_no_drift_figures_bound_what_chance_does() -> None:
    # Monte Carlo as the oracle: 2,000 drift-free pairs, N = 2,000, n = 500.
    rng = np.random.default_rng(3)
    share = np.array([0.3, 0.3, 0.2, 0.1, 0.1])
    bases = rng.multinomial(2_000, share, 2_000)
    windows = rng.multinomial(500, share, 2_000)
    for name, function in (
        ("psi", shares.psi),
        ("kl_divergence", shares.kl_divergence),
        ("jensen_shannon", shares.jensen_shannon),
        ("hellinger", shares.hellinger),
        ("total_variation", shares.total_variation),
        ("l_infinity", shares.l_infinity),
    ):
        scores = [function(b, w) for b, w in zip(bases, windows, strict=True)]
        figures = significance.without_drift(bases[0], windows[0])[name]
        above = np.mean(np.array(scores) > figures.upper)
        assert above < 0.065, name
        if figures.expected is not None:
            assert np.mean(scores) == pytest.approx(figures.expected, rel=0.12), name


@pytest.mark.filterwarnings("ignore:divide by zero")  # scipy's p-value at n = 1
@given(samples, samples)
def test_the_kernel_equals_the_definitions(
    first: list[float], second: list[float]
) -> None:
    found = kernel(prepare({"x": first}, {"x": "numeric"}), {"x": second})["x"]
    truth = stats.ks_2samp(first, second, method="asymp").statistic
    assert found["ks_test"] == pytest.approx(truth, rel=1e-12)
    assert found["psi"] == univariate.psi(first, second).score


def test_the_kernel_takes_codes_with_unlike_categories() -> None:
    rng = np.random.default_rng(0)
    first = Codes(rng.integers(-1, 3, 300), ["a", "b", "c"])
    second = Codes(rng.integers(-1, 3, 200), ["c", "d", "a"])
    found = kernel(prepare({"c": first}, {"c": "categorical"}), {"c": second})["c"]
    chi = univariate.chi_square(first, second)
    assert found["chi_square"] == pytest.approx(chi.score, rel=1e-12)
    assert found["chi_square_statistic"] == pytest.approx(chi.statistic, rel=1e-12)
    assert found["jensen_shannon"] == pytest.approx(
        univariate.jensen_shannon(first, second).score, rel=1e-12
    )


def test_the_kernel_says_nothing_about_empty_columns() -> None:
    kinds = {"x": "numeric", "c": "categorical"}
    reference = prepare({"x": [1.0], "c": ["a"]}, kinds)  # type: ignore[arg-type]
    assert kernel(reference, {"x": [np.nan], "c": [None]}) == {"x": {}, "c": {}}
    assert kernel(reference, {}) == {}


@pytest.mark.parametrize("shape", ["normal", "heavy", "tied", "few", "constant"])
def test_the_kernel_on_long_columns_equals_scipy(shape: str) -> None:
    # Long columns are put into buckets; heavy tails and few values are sorted.
    rng = np.random.default_rng(3)
    make: Any = {
        "normal": lambda n: rng.normal(size=n),
        "heavy": lambda n: rng.standard_cauchy(n) ** 3,
        "tied": lambda n: np.round(rng.normal(size=n), 3),
        "few": lambda n: rng.integers(0, 4, n).astype(float),
        "constant": lambda n: np.full(n, 2.5),
    }[shape]
    first, second = make(5_000), make(MIN_ROWS) * 1.01
    second[:7] = [np.nan, np.inf, -np.inf, first.min(), first.max(), 1e300, -1e300]
    found = kernel(prepare({"x": first}, {"x": "numeric"}), {"x": second})["x"]
    values = second[np.isfinite(second)]
    truth = stats.ks_2samp(first, values, method="asymp").statistic
    assert found["ks_test"] == pytest.approx(truth, rel=1e-12)
    assert found["psi"] == univariate.psi(first, values).score


def test_buckets_place_every_value_as_a_search_does() -> None:
    rng = np.random.default_rng(0)
    points = np.unique(rng.normal(size=2_000))
    buckets = Buckets.over(points)
    assert buckets is not None
    # values on points, beside them, and beyond the ends
    beside = np.concatenate((np.nextafter(points, 9), np.nextafter(points, -9)))
    values = np.concatenate((rng.permutation(points)[:500], beside, [-99.0, 99.0]))
    ascending = np.sort(values)
    for below, upto in (buckets.place(values).limits(), buckets.limits(values)):
        assert (below == np.searchsorted(ascending, points)).all()
        assert (upto == np.searchsorted(ascending, points, "right")).all()
    beyond = buckets.place(points[[0, -1]] + [-5.0, 5.0])
    assert beyond.below.tolist() == [0, len(points)]
    assert not beyond.hits.any()


def test_buckets_are_refused_where_they_would_not_help() -> None:
    assert Buckets.over(np.array([1.0])) is None
    assert Buckets.over(np.array([-1.7e308, 1.7e308])) is None
    assert Buckets.over(np.array([0.0, 5e-324])) is None
    crowded = np.append(np.linspace(0, 1e-9, MOST_POINTS + 1), 1.0)
    assert Buckets.over(crowded) is None


def test_where_no_value_is_a_point_it_lies_between_two() -> None:
    buckets = Buckets.over(np.array([0.0, 1.0, 2.0]))
    assert buckets is not None
    values = np.array([0.3, 0.6, 1.5])
    for below, upto in (buckets.place(values).limits(), buckets.limits(values)):
        assert below is upto
        assert below.tolist() == [0, 2, 3]


@given(
    st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=40, unique=True),
    st.lists(st.floats(-2e9, 2e9), min_size=1, max_size=40),
)
def test_buckets_agree_with_a_search_whatever_the_numbers(
    points: list[float], values: list[float]
) -> None:
    rising = np.unique(np.array(points) + 0.0)
    buckets = Buckets.over(rising)
    assume(buckets is not None)
    assert buckets is not None
    together = np.concatenate((values, rising))
    placed = buckets.place(together)
    assert (placed.below == np.searchsorted(rising, together)).all()
    assert placed.hits.tolist() == np.isin(together, rising).tolist()


def test_the_kernel_needs_a_baseline_value() -> None:
    reference = prepare({"x": [np.nan]}, {"x": "numeric"})
    assert kernel(reference, {"x": [1.0]}) == {"x": {}}


def test_long_columns_without_gaps_are_used_as_they_are() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=3_000), rng.normal(size=MIN_ROWS)
    found = kernel(prepare({"x": first}, {"x": "numeric"}), {"x": second})["x"]
    truth = stats.ks_2samp(first, second, method="asymp").statistic
    assert found["ks_test"] == pytest.approx(truth, rel=1e-12)


def test_welch_t_from_sums_needs_two_values_and_some_spread() -> None:
    grid = Grid.fit({"x": [1.0, 1.0, 1.0]}, {"x": "numeric"})
    column = grid.columns["x"]
    assert isinstance(column, NumericColumn)
    baseline = Curve.of(column, grid.baseline)
    single = Curve.of(column, grid.count({"x": [2.0]}))
    same = Curve.of(column, grid.count({"x": [2.0, 2.0]}))
    assert math.isnan(curves.welch_t(baseline, single))
    assert math.isnan(curves.welch_t(baseline, same))


anything = st.lists(
    st.one_of(
        st.floats(-1.79e308, 1.79e308),
        st.sampled_from([0.0, -0.0, 1.0, 5e-324, float("nan"), None]),
    ),
    max_size=40,
)


@pytest.mark.filterwarnings("ignore:divide by zero")  # scipy's p-value at n = 1
@pytest.mark.parametrize("function", ALL)
@given(first=anything, second=anything)
def test_any_column_gives_plain_json_or_a_reason(
    function: Callable[..., univariate.Measure],
    first: list[float | None],
    second: list[float | None],
) -> None:
    try:
        measure = function(first, second)
    except NoDataError:
        return
    assert measure.score >= 0
    json.dumps(measure.to_json(), allow_nan=False)
    if function in (univariate.hellinger, univariate.jensen_shannon):
        function(first, second, bins="doane")


texts = st.lists(st.sampled_from(["a", "b", "", "__other__", None]), max_size=40)


@given(first=texts, second=texts)
def test_any_category_gives_plain_json_or_a_reason(
    first: list[str | None], second: list[str | None]
) -> None:
    for function in (univariate.psi, univariate.chi_square, univariate.hellinger):
        try:
            measure = function(first, second)
        except NoDataError:
            continue
        json.dumps(measure.to_json(), allow_nan=False)
