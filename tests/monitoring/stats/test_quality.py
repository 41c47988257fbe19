import json
import math

import numpy as np
import pytest
from scipy import stats

from monitoring.stats.grid import Grid
from monitoring.stats.quality import QualityReport, assess, two_proportions
from monitoring.stats.tally import OTHER

BASE = np.random.default_rng(4).normal(size=2_000)


def assess_numeric(window: object, *, invalid: int = 0) -> QualityReport:
    grid = Grid.fit({"x": BASE}, {"x": "numeric"})
    return assess(grid, grid.count({"x": window}, invalid={"x": invalid}))  # type: ignore[dict-item]


def assess_text(baseline: list[str], window: list[str]) -> QualityReport:
    grid = Grid.fit({"c": baseline}, {"c": "categorical"})
    return assess(grid, grid.count({"c": window}))


def test_a_window_like_the_baseline_has_no_findings() -> None:
    report = assess_numeric(np.random.default_rng(5).normal(size=1_500))
    assert report.findings == {}
    assert report.columns["x"].checks["missing"].share == 0.0


def test_more_missing_values_are_a_finding() -> None:
    check = assess_numeric([math.nan] * 50 + [0.0] * 950).columns["x"].checks["missing"]
    assert (check.count, check.share, check.baseline_share) == (50, 0.05, 0.0)
    assert check.p_value is not None
    assert check.p_value < 1e-10
    assert check.finding


def test_fewer_missing_values_are_none() -> None:
    grid = Grid.fit({"x": [None] * 500 + [1.0] * 500}, {"x": "numeric"})
    check = assess(grid, grid.count({"x": [1.0] * 500})).columns["x"].checks["missing"]
    assert check.p_value is not None
    assert check.p_value < 1e-10
    assert not check.finding


def test_a_significant_but_trifling_share_is_none() -> None:
    check = assess_numeric([math.nan] * 50 + [0.0] * 50_000).columns["x"].checks
    assert check["missing"].p_value is not None
    assert not check["missing"].finding


def test_refused_values_are_a_finding() -> None:
    report = assess_numeric([0.0] * 500 + [math.inf], invalid=40)
    check = report.columns["x"].checks["invalid"]
    assert check.count == 41
    assert check.finding
    assert report.findings == {"x": ("invalid",)}


def test_values_outside_of_the_baseline_s_range_are_a_finding() -> None:
    check = assess_numeric([-99.0] * 30 + [0.0] * 300 + [99.0] * 10)
    outside = check.columns["x"].checks["out_of_range"]
    assert outside.count == 40
    assert outside.finding


def test_the_few_extremes_of_any_window_are_none() -> None:
    # A drift-free window of m times the baseline's size leaves its range 2 m times.
    fired = 0
    rng = np.random.default_rng(8)
    grid = Grid.fit({"x": rng.normal(size=300)}, {"x": "numeric"})
    for _ in range(100):
        report = assess(grid, grid.count({"x": rng.normal(size=100)}), min_increase=0)
        fired += bool(report.findings)
    assert fired <= 12


def test_new_categories_are_named_with_their_counts() -> None:
    report = assess_text(
        ["a", "b"] * 100, ["a"] * 50 + ["b"] * 40 + ["y"] * 4 + ["z"] * 9
    )
    column = report.columns["c"]
    assert list(column.new_categories.items()) == [("z", 9), ("y", 4)]
    assert column.checks["new_category"].count == 13
    assert "new_category" in column.findings
    assert "out_of_range" not in column.checks


def test_vanished_categories_are_those_that_chance_does_not_explain() -> None:
    report = assess_text(["a"] * 500 + ["b"] * 300 + ["rare"], ["a"] * 200)
    assert report.columns["c"].vanished_categories == ("b",)
    assert report.columns["c"].findings == ("vanished_category",)


def test_folded_names_are_new_too() -> None:
    grid = Grid.fit({"c": ["a"] * 100}, {"c": "categorical"})
    window = grid.count({"c": [f"id{i:05}" for i in range(1_500)]})
    names = assess(grid, window).columns["c"].new_categories
    assert names[OTHER] == 500
    assert len(names) == 20


@pytest.mark.parametrize("empty", ["baseline", "window"])
def test_a_side_without_rows_is_no_finding(empty: str) -> None:
    rows = [1.0, None]
    grid = Grid.fit({"x": [] if empty == "baseline" else rows}, {"x": "numeric"})
    report = assess(grid, grid.count({"x": [] if empty == "window" else rows}))
    assert report.findings == {}
    checks = report.columns["x"].checks
    assert checks["missing"].p_value is None
    json.dumps(report.to_json(), allow_nan=False)


def test_json_carries_all_of_it() -> None:
    report = assess_text(["a"] * 300 + ["b"] * 100, ["a"] * 90 + ["z"] * 10)
    body = json.loads(json.dumps(report.to_json(), allow_nan=False))
    (column,) = body["columns"]
    assert body["findings"] == {"c": ["new_category", "vanished_category"]}
    assert column["new_categories"] == {"z": 10}
    assert column["checks"]["missing"]["share"] == 0.0
    assert column["rows"] == 100


def test_two_proportions_equals_the_chi_square_test() -> None:
    # z² is the chi-square statistic of the 2 x 2 table without correction
    for table in (
        [40, 1_000, 20, 1_000],
        [300, 400, 500, 900],
        [990, 1_000, 940, 1_000],
    ):
        a, n, b, m = table
        truth = stats.chi2_contingency([[a, n - a], [b, m - b]], correction=False)
        assert two_proportions(a, n, b, m) == pytest.approx(truth.pvalue, rel=1e-9)


def test_two_proportions_of_rare_events_is_near_fisher_s_exact_test() -> None:
    for a, n, b, m in ([3, 100, 0, 10_000], [1, 30, 0, 10_000], [0, 100, 4, 200]):
        # twice the smaller tail, on either side
        less = stats.fisher_exact([[a, n - a], [b, m - b]], "less").pvalue
        more = stats.fisher_exact([[a, n - a], [b, m - b]], "greater").pvalue
        found = two_proportions(a, n, b, m)
        assert found == pytest.approx(min(1, 2 * min(less, more)), rel=0.1)


def test_two_proportions_without_events_says_nothing() -> None:
    assert two_proportions(0, 10, 0, 10) == 1.0
    assert two_proportions(10, 10, 10, 10) == 1.0
    assert two_proportions(0, 0, 1, 10) is None
