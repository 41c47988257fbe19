import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.detectors import LIVE_THRESHOLDS
from monitoring.stats.columns import Kind, Values
from monitoring.stats.drift import evaluate
from monitoring.stats.grid import Grid
from monitoring.stats.report import DriftReport, Status, worst

RNG = np.random.default_rng(11)
BASE = RNG.normal(size=3_000)


def compare(
    baseline: Mapping[str, Values], window: Mapping[str, Values], **settings: Any
) -> DriftReport:
    """Evaluate columns whose kind is that of their first value."""
    kinds: dict[str, Kind] = {
        name: "categorical" if isinstance(values[0], str) else "numeric"  # type: ignore[index]
        for name, values in baseline.items()
    }
    grid = Grid.fit(baseline, kinds)
    settings = {"thresholds": LIVE_THRESHOLDS} | settings
    return evaluate(grid, grid.count(window), **settings)


def text(**counts: int) -> list[str]:
    return [name for name, count in counts.items() for _ in range(count)]


def test_the_same_rows_are_exactly_zero_everywhere() -> None:
    rows: dict[str, Values] = {
        "x": BASE[:500],
        "y": [4.0] * 500,
        "c": text(a=300, b=200),
    }
    report = compare(rows, rows)
    assert report.status == "ok"
    for column in report.columns.values():
        for name, result in column.algorithms.items():
            assert result.score == 0, (column.name, name)
            assert result.p_value in (None, 1.0)
            assert result.status == "ok" or not result.votes


def test_three_times_the_same_rows_are_exactly_zero_too() -> None:
    values = np.concatenate([BASE[:501]] * 3)
    report = compare({"x": values}, {"x": BASE[:501]})
    assert (report.max_psi, report.max_ks) == (0.0, 0.0)
    assert report.columns["x"].direction is None


def test_a_shift_alerts_with_both_gates_passed() -> None:
    report = compare({"x": BASE}, {"x": BASE[:1_000] + 1})
    column = report.columns["x"]
    assert report.status == column.status == Status.ALERT
    assert report.alerts == ("x",)
    assert column.direction == "higher"
    ks = column.algorithms["ks_test"]
    assert ks.drift
    assert ks.significant
    assert ks.p_value_corrected is not None
    assert ks.p_value_corrected < 1e-6
    assert (ks.warning, ks.alert) == (0.1, 0.2)
    assert (
        compare({"x": BASE}, {"x": BASE[:1_000] - 1}).columns["x"].direction == "lower"
    )


def test_a_large_score_without_significance_is_no_drift() -> None:
    # D passes 0.1 in a quarter of drift-free windows of 100 rows; p says so.
    rng = np.random.default_rng(5)
    found = [
        compare({"x": BASE}, {"x": rng.normal(size=100)}).columns["x"].algorithms
        for _ in range(40)
    ]
    passed = [each["ks_test"] for each in found if (each["ks_test"].score or 0) > 0.1]
    assert len(passed) >= 4
    assert sum(ks.status == "ok" and not ks.significant for ks in passed) >= 4
    assert all(ks.significant for ks in passed if ks.drift)


def test_significance_without_a_large_score_is_no_drift() -> None:
    rng = np.random.default_rng(5)
    report = compare({"x": rng.normal(size=40_000)}, {"x": rng.normal(0.05, 1, 40_000)})
    column = report.columns["x"]
    assert column.algorithms["ks_test"].significant
    assert column.algorithms["psi"].significant
    assert column.status == "ok"


def test_false_alarms_are_rare_at_every_number_of_rows_and_columns() -> None:
    # Each voting algorithm may err in one window of 20, however many the columns.
    # Without the second gate PSI > 0.1 fires in half of the columns at n = 100.
    rng = np.random.default_rng(1)
    names = np.array(["a", "b", "c", "d", "e", "f"])
    for size, each in ((31, 1), (60, 4), (100, 4), (100, 1), (300, 4)):
        kinds: dict[str, Kind] = {f"x{i}": "numeric" for i in range(each)}
        kinds |= {f"c{i}": "categorical" for i in range(each)}
        statuses = []
        for _ in range(60):
            baseline, window = (
                {
                    name: rng.normal(size=rows)
                    if kind == "numeric"
                    else rng.choice(names, rows)
                    for name, kind in kinds.items()
                }
                for rows in (1_000, size)
            )
            grid = Grid.fit(baseline, kinds)
            report = evaluate(grid, grid.count(window), thresholds=LIVE_THRESHOLDS)
            statuses.append(report.status)
        assert statuses.count(Status.ALERT) <= 4, (size, each)
        assert statuses.count(Status.WARNING) <= 12, (size, each)


def test_too_few_rows_are_insufficient_data_never_ok() -> None:
    report = compare({"x": BASE}, {"x": BASE[:29]})
    assert report.status == Status.INSUFFICIENT_DATA
    results = report.columns["x"].algorithms
    judged = [r.status for r in results.values() if r.warning is not None]
    assert set(judged) == {Status.INSUFFICIENT_DATA}
    small_baseline = compare({"x": BASE[:29]}, {"x": BASE})
    assert small_baseline.status == Status.INSUFFICIENT_DATA


def test_a_threshold_that_chance_passes_is_insufficient_data() -> None:
    # 35 rows: the no-drift 95 % point of PSI is 0.49, of D 0.23
    report = compare({"x": BASE}, {"x": RNG.normal(size=35)})
    results = report.columns["x"].algorithms
    for name in ("psi", "ks_test"):
        figure, limit = results[name].no_drift_95, results[name].alert
        assert figure is not None
        assert limit is not None
        assert figure > limit
        assert results[name].status == Status.INSUFFICIENT_DATA


def test_few_rows_that_are_all_different_still_alert_by_their_p_value() -> None:
    report = compare(
        {"x": BASE, "c": text(a=3_000)}, {"x": [99.0] * 35, "c": text(b=35)}
    )
    assert report.columns["x"].algorithms["ks_test"].status == Status.ALERT
    assert report.columns["c"].algorithms["chi_square"].status == Status.ALERT
    assert report.columns["x"].algorithms["psi"].status == Status.INSUFFICIENT_DATA
    assert report.alerts == ("x", "c")


def test_tiny_and_extreme_is_insufficient_and_finite() -> None:
    report = compare({"x": BASE, "c": text(a=50)}, {"x": [1e308], "c": ["zzz"]})
    assert report.status == Status.INSUFFICIENT_DATA
    json.dumps(report.to_json(), allow_nan=False)


def test_no_values_on_a_side_are_no_data() -> None:
    report = compare({"x": BASE, "y": BASE}, {"x": [None, math.nan], "y": BASE})
    column = report.columns["x"]
    assert column.status == Status.NO_DATA
    assert (column.n, column.missing) == (0, 2)
    assert column.algorithms == {}
    assert column.bins is None
    assert report.status == Status.OK
    assert compare({"x": BASE}, {}).status == Status.INSUFFICIENT_DATA


def test_holm_divides_alpha_over_the_columns() -> None:
    rng = np.random.default_rng(2)
    quiet = {f"q{i}": rng.normal(size=2_000) for i in range(30)}
    moved = rng.normal(0.32, 1, 80)
    alone = compare({"x": quiet["q0"]}, {"x": moved})
    window = {name: values[:80] for name, values in quiet.items()}
    among = compare(quiet, window | {"q0": moved})
    first = alone.columns["x"].algorithms["ks_test"]
    second = among.columns["q0"].algorithms["ks_test"]
    assert first.p_value == second.p_value
    assert first.p_value is not None
    assert second.p_value_corrected == pytest.approx(30 * first.p_value)


def test_the_no_drift_point_is_that_of_the_largest_over_the_columns() -> None:
    rng = np.random.default_rng(2)
    quiet = {f"q{i}": rng.normal(size=2_000) for i in range(20)}
    report = compare(quiet, {name: values[:150] for name, values in quiet.items()})
    psi = report.columns["q0"].algorithms["psi"]
    chance = 1 / 2_000 + 1 / 150
    # R: qchisq(.95, 9) = 16.91898, qchisq(1 - .05 / 20, 9) = 25.46244
    assert psi.no_drift_95 == pytest.approx(16.91898 * chance, rel=1e-6)
    assert psi.no_drift_95_family == pytest.approx(25.46244 * chance, rel=1e-3)
    assert psi.expected_without_drift == pytest.approx(9 * chance)


def test_columns_without_enough_rows_do_not_cost_alpha() -> None:
    grid = Grid.fit({"x": BASE, "y": BASE}, {"x": "numeric", "y": "numeric"})
    window = grid.count({"x": BASE[:200] + 0.3, "y": BASE[:5]})
    result = evaluate(grid, window, thresholds=LIVE_THRESHOLDS)
    ks = result.columns["x"].algorithms["ks_test"]
    assert ks.p_value == ks.p_value_corrected


def test_only_voting_algorithms_make_the_status() -> None:
    heavy = np.where(np.arange(3_000) < 60, 400.0, BASE)
    report = compare({"x": BASE}, {"x": heavy})
    results = report.columns["x"].algorithms
    assert results["wasserstein_normed"].status == Status.ALERT
    assert not results["wasserstein_normed"].votes
    assert report.status == Status.OK
    voting = compare({"x": BASE}, {"x": heavy}, voting={"wasserstein_normed"})
    assert voting.status == Status.ALERT


def test_an_algorithm_without_thresholds_is_shown_unrated() -> None:
    report = compare({"x": BASE}, {"x": BASE + 5})
    result = report.columns["x"].algorithms["wasserstein"]
    assert result.status == Status.UNRATED
    assert result.score == pytest.approx(5)
    assert report.algorithms["wasserstein"].status == Status.UNRATED


def test_only_configured_algorithms_are_measured() -> None:
    report = compare({"x": BASE}, {"x": BASE}, thresholds={"kl_divergence": (1, 2)})
    assert list(report.columns["x"].algorithms) == ["kl_divergence"]
    assert report.max_psi is None
    assert report.max_ks is None
    assert report.status == Status.INSUFFICIENT_DATA


def test_algorithms_can_be_left_out_one_by_one() -> None:
    rows: dict[str, Values] = {"x": BASE, "c": text(a=99, b=99)}
    report = compare(rows, rows, thresholds={"wasserstein": None, "psi": (0.1, 0.2)})
    assert set(report.columns["x"].algorithms) == {"wasserstein", "psi"}
    assert set(report.columns["c"].algorithms) == {"psi"}


def test_columns_set_apart_are_measured_but_do_not_count() -> None:
    report = compare(
        {"x": BASE, "score": BASE}, {"x": BASE, "score": BASE + 9}, apart={"score"}
    )
    assert report.columns["score"].status == Status.ALERT
    assert report.columns["score"].importance is None
    assert report.columns["x"].importance == 1.0
    assert report.status == Status.OK
    assert report.alerts == ()
    assert report.max_psi == 0.0
    assert report.apart == ("score",)


def test_importances_are_carried() -> None:
    report = compare(
        {"x": BASE, "y": BASE}, {"x": BASE, "y": BASE}, importances={"x": 0.8}
    )
    assert report.columns["x"].importance == 0.8
    assert report.columns["y"].importance == 0.0
    equal = compare({"x": BASE, "y": BASE}, {"x": BASE, "y": BASE})
    assert {c.importance for c in equal.columns.values()} == {0.5}


def test_categories_keep_their_names_and_shares() -> None:
    report = compare({"c": text(a=60, b=40)}, {"c": text(a=30, new=70)})
    column = report.columns["c"]
    assert column.bins is not None
    assert column.bins.categories == ("a", "b", "new")
    assert column.bins.baseline == (0.6, 0.4, 0.0)
    assert column.bins.window == (0.3, 0.0, 0.7)
    assert column.bins.edges is None
    assert column.direction is None
    assert set(column.algorithms) == {
        "psi",
        "chi_square",
        "jensen_shannon",
        "hellinger",
        "total_variation",
        "l_infinity",
    }


def test_charts_hold_the_most_frequent_categories_and_one_rest() -> None:
    many = {f"n{i:03}": 1_000 - i for i in range(60)}
    column = compare({"c": text(**many)}, {"c": text(**many)}).columns["c"]
    assert column.bins is not None
    assert column.bins.categories is not None
    assert len(column.bins.categories) == 51
    assert column.bins.categories[-1] == "__other__"
    assert sum(column.bins.window) == pytest.approx(1)


def test_numeric_bins_are_those_of_psi() -> None:
    column = compare({"x": BASE}, {"x": BASE + 3}).columns["x"]
    assert column.bins is not None
    assert column.bins.edges == pytest.approx(np.quantile(BASE, np.arange(1, 10) / 10))
    assert column.bins.baseline == pytest.approx([0.1] * 10)
    assert column.bins.window[-1] > 0.9
    assert column.moments["mean"] - column.moments["mean_baseline"] == pytest.approx(3)
    assert column.moments["std"] == pytest.approx(np.std(BASE))


def test_a_thinned_column_says_where_the_statistic_lies() -> None:
    rng = np.random.default_rng(0)
    report = compare({"x": rng.normal(size=9_000)}, {"x": rng.normal(0.2, 1, 5_000)})
    column = report.columns["x"]
    assert column.thinned
    interval = column.algorithms["ks_test"].interval
    assert interval is not None
    assert interval[0] == column.algorithms["ks_test"].score
    assert 0 < interval[1] - interval[0] < 1 / 2_048
    assert not column.algorithms["ks_test"].undecided


def test_a_threshold_inside_the_interval_is_left_to_the_raw_rows() -> None:
    rng = np.random.default_rng(0)
    rows = {"x": rng.normal(size=9_000)}, {"x": rng.normal(0.5, 1, 5_000)}
    low, high = compare(*rows).columns["x"].algorithms["ks_test"].interval or (0, 0)
    limits = {"ks_test": ((low + high) / 2, 0.9)}
    result = compare(*rows, thresholds=limits).columns["x"].algorithms["ks_test"]
    assert result.undecided
    assert result.status == Status.OK


def test_the_summary_names_the_worst_column_of_each_algorithm() -> None:
    report = compare(
        {"x": BASE, "y": BASE}, {"x": BASE + 0.2, "y": BASE + 2}, importances=None
    )
    summary = report.algorithms["ks_test"]
    assert summary.column == "y"
    assert summary.score == report.max_ks
    assert summary.drift
    assert summary.votes
    assert summary.status == Status.ALERT


def test_the_worst_status_is_the_worst_that_was_measured() -> None:
    assert worst([Status.OK, Status.NO_DATA, Status.WARNING]) == Status.WARNING
    assert worst([Status.OK, Status.ALERT, Status.WARNING]) == Status.ALERT
    assert worst([Status.UNRATED, Status.INSUFFICIENT_DATA]) is None


def test_a_warning_is_listed_as_such() -> None:
    report = compare({"x": BASE}, {"x": BASE + 0.35})
    assert report.columns["x"].status == Status.WARNING
    assert report.warnings == ("x",)
    assert report.alerts == ()


awkward = st.lists(
    st.one_of(
        st.floats(allow_nan=True, allow_infinity=False),
        st.sampled_from([1e308, -1e308, 5e-324, 0.0, -0.0]),
    ),
    min_size=1,
    max_size=45,
)
labels = st.lists(
    st.one_of(st.none(), st.sampled_from("abc"), st.text(max_size=3)),
    min_size=1,
    max_size=45,
)


@given(awkward, awkward, labels, labels)
def test_json_is_finite_whatever_comes(
    first: list[float],
    second: list[float],
    third: list[str | None],
    fourth: list[str | None],
) -> None:
    grid = Grid.fit({"x": first, "c": third}, {"x": "numeric", "c": "categorical"})
    window = grid.count({"x": second, "c": fourth})
    report = evaluate(grid, window, thresholds=LIVE_THRESHOLDS)
    body = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert [column["name"] for column in body["columns"]] == ["x", "c"]
    assert body["status"] == report.status.value


def test_moments_beyond_float64_are_null() -> None:
    huge = [1e308, -1e308] * 20
    column = compare({"x": huge}, {"x": huge}).to_json()["columns"][0]
    assert column["moments"]["std"] is None
    assert column["algorithms"]["ks_test"]["score"] == 0
    moved = compare({"x": huge}, {"x": [1.7e308, -1.7e308] * 20}).columns["x"]
    assert moved.algorithms["wasserstein_normed"].score is None
    assert moved.algorithms["wasserstein_normed"].status == Status.INSUFFICIENT_DATA
