"""Causes planted at known places, and the one in the real credit data."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from monitoring.detectors import LIVE_THRESHOLDS
from monitoring.stats import root_cause, slices
from monitoring.stats.columns import Codes, Kind, Values
from monitoring.stats.drift import evaluate
from monitoring.stats.grid import Grid
from monitoring.stats.report import DriftReport
from monitoring.stats.rows import codes_of

CREDIT = Path(__file__).parents[3] / "data" / "credit_default_monthly.parquet"
KINDS: dict[str, Kind] = {
    "age": "numeric",
    "income": "numeric",
    "debt": "numeric",
    "city": "categorical",
    "source": "categorical",
}
Columns = dict[str, Any]


def people(rows: int, seed: int) -> Columns:
    """Return rows whose income and debt hang together, and differ by city."""
    rng = np.random.default_rng(seed)
    city = rng.choice(["north", "south", "west"], rows, p=[0.3, 0.5, 0.2])
    income = rng.normal(size=rows) + 0.3 * (city == "west")
    return {
        "age": rng.uniform(20, 80, rows),
        "income": income,
        "debt": income + rng.normal(size=rows),
        "city": city,
        "source": rng.choice(["app", "web"], rows),
    }


def report_of(
    baseline: Mapping[str, Values],
    window: Mapping[str, Values],
    kinds: Mapping[str, Kind] = KINDS,
    importances: Mapping[str, float] | None = None,
) -> DriftReport:
    grid = Grid.fit(baseline, kinds)
    return evaluate(
        grid,
        grid.count(window),
        thresholds=LIVE_THRESHOLDS,
        importances=importances,
    )


def explained(
    window: Columns, baseline: Columns | None = None, **fields: Any
) -> dict[str, Any]:
    baseline = people(8_000, 0) if baseline is None else baseline
    report = report_of(baseline, window, **fields)
    found = root_cause.explain(report, baseline, window, KINDS)
    json.dumps(found, allow_nan=False)
    return found


def test_without_drift_there_is_no_cause() -> None:
    found = explained(people(6_000, 1))
    assert found["slices"] == []
    assert sum(one["contribution"] for one in found["features"]) == pytest.approx(1)


def test_a_new_category_that_brings_other_people_is_the_cause() -> None:
    window = people(6_000, 1)
    new = np.arange(6_000) % 5 == 0
    window["source"] = np.where(new, "partner", window["source"])
    window["income"] = window["income"] - 3.0 * new
    first = explained(window)["slices"][0]
    assert (first["feature"], first["category"]) == ("source", "partner")
    assert (first["baseline_share"], first["window_share"]) == (0.0, 0.2)
    assert first["fall_share"] > 0.95
    assert first["before"] - first["after"] == first["fall"]


def test_a_group_of_unchanged_size_that_changed_inside_is_the_cause() -> None:
    window = people(6_000, 1)
    north = window["city"] == "north"
    for name in ("income", "debt"):
        window[name] = window[name] + 2.5 * north
    first = explained(window)["slices"][0]
    assert (first["feature"], first["category"]) == ("city", "north")
    assert first["window_share"] == pytest.approx(0.3, abs=0.02)
    assert first["fall_share"] > 0.8


def test_a_range_of_a_number_is_found_with_its_ends() -> None:
    window = people(9_000, 1)
    old = window["age"] > 62
    for name in ("income", "debt"):
        window[name] = window[name] + 2.5 * old
    first = explained(window)["slices"][0]
    assert first["feature"] == "age"
    assert first["low"] == pytest.approx(62, abs=1.5)
    assert first["high"] is None
    assert first["category"] is None
    assert first["fall_share"] > 0.8


def test_rows_that_lack_a_value_are_a_slice_too() -> None:
    baseline, window = people(8_000, 0), people(6_000, 1)
    for side, count in ((baseline, 400), (window, 1_500)):
        side["age"][:count] = np.nan
    window["income"][:1_500] += 3.0
    first = explained(window, baseline)["slices"][0]
    assert (first["feature"], first["is_missing"]) == ("age", True)
    assert (first["low"], first["high"], first["category"]) == (None, None, None)
    assert first["window_share"] == 0.25


def test_a_shift_of_all_rows_is_no_slice_s_doing() -> None:
    window = people(6_000, 1)
    window["income"] = window["income"] + 1.0
    for one in explained(window)["slices"]:
        assert one["baseline_share"] <= slices.MAX_BASELINE_SHARE
        assert one["fall_share"] < 0.75


def test_every_column_s_best_slice_is_listed_once_and_in_order() -> None:
    window = people(6_000, 1)
    north = window["city"] == "north"
    window["income"] = window["income"] + 2.5 * north
    window["source"] = np.where(window["source"] == "web", "partner", "app")
    found = explained(window)["slices"]
    names = [one["feature"] for one in found]
    assert len(names) == len(set(names)) <= slices.MOST_SLICES
    falls = [one["fall"] for one in found]
    assert falls == sorted(falls, reverse=True)


def test_features_rank_by_psi_times_importance() -> None:
    window = people(6_000, 1)
    window["income"] = window["income"] + 1.0
    window["age"] = window["age"] + 30
    weights = {"income": 0.9, "age": 0.05, "debt": 0.03, "city": 0.01, "source": 0.01}
    equal = explained(window)["features"]
    weighted = explained(window, importances=weights)["features"]
    assert equal[0]["feature"] == "age"
    assert weighted[0]["feature"] == "income"
    terms = {one["feature"]: one["psi"] * weights[one["feature"]] for one in weighted}
    for one in weighted:
        share = terms[one["feature"]] / sum(terms.values())
        assert one["contribution"] == pytest.approx(share)


def test_bins_that_moved_are_told_with_edges_and_shares() -> None:
    window = people(6_000, 1)
    window["income"] = window["income"] + 2.0
    window["city"] = np.where(window["city"] == "west", "east", window["city"])
    found = {one["feature"]: one for one in explained(window)["features"]}
    top = found["income"]["bins"][0]
    assert top["high"] is None  # the last bin has grown most
    assert top["low"] > 1
    assert top["baseline"] == pytest.approx(0.1)
    assert top["change"] == top["window"] - top["baseline"] > 0.5
    cities = {one["category"]: one["change"] for one in found["city"]["bins"][:2]}
    assert cities == {
        "east": pytest.approx(0.2, abs=0.02),
        "west": pytest.approx(-0.2, abs=0.02),
    }


def test_columns_set_apart_contribute_nothing() -> None:
    baseline, window = people(3_000, 0), people(3_000, 1)
    window["age"] = window["age"] + 40
    grid = Grid.fit(baseline, KINDS)
    report = evaluate(
        grid, grid.count(window), thresholds=LIVE_THRESHOLDS, apart=("age",)
    )
    assert "age" not in dict(root_cause.contributions(report))


@pytest.mark.parametrize(
    "change",
    [
        {"age": np.full(200, np.nan)},
        {"age": np.full(200, 5.0)},
        {"age": np.full(200, np.inf)},
        {"city": Codes(np.full(200, -1, np.int32), ())},
        {"city": [None] * 200},
        {"city": [f"town {at}" for at in range(200)]},
    ],
    ids=["missing", "constant", "infinite", "no codes", "no text", "all new"],
)
def test_odd_columns_are_survived(change: Columns) -> None:
    baseline, window = people(3_000, 0), people(200, 1)
    report = report_of(baseline, window)
    for one, other in (
        (baseline, window | change),
        ({n: v[:200] for n, v in baseline.items()} | change, window),
    ):
        found = root_cause.explain(report, one, other, KINDS)
        json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("rows", [0, 1, 29])
def test_of_few_rows_nothing_is_sliced(rows: int) -> None:
    weights = dict.fromkeys(KINDS, 0.2)
    window = {name: column[:rows] for name, column in people(100, 1).items()}
    assert slices.find(people(3_000, 0), window, KINDS, weights=weights) == []


def test_long_windows_are_thinned_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    window = people(6_000, 1)
    window["source"] = np.where(np.arange(6_000) % 5 == 0, "partner", window["source"])
    whole = explained(window)["slices"][0]
    monkeypatch.setattr(slices, "MAX_ROWS", 1_500)
    thinned = explained(window)["slices"][0]
    assert thinned["category"] == whole["category"] == "partner"
    assert thinned["window_share"] == pytest.approx(whole["window_share"], abs=0.02)


def test_of_very_many_categories_the_largest_are_kept_apart() -> None:
    baseline, window = people(4_000, 0), people(4_000, 1)
    for side in (baseline, window):
        side["city"] = np.array([f"town {at % 300}" for at in range(4_000)], object)
    window["city"][:800] = "boom town"
    window["income"][:800] += 3
    first = explained(window, baseline)["slices"][0]
    assert (first["feature"], first["category"]) == ("city", "boom town")


def test_the_credit_data_s_september_is_explained_by_payments_one_month_late() -> None:
    """By the data's README PAY_STATUS 1 appears in September, in 12 % of the rows."""
    table = pq.read_table(CREDIT)
    codes = ("SEX", "EDUCATION", "MARRIAGE", "PAY_STATUS", "PAY_STATUS_PREV")
    left_out = ("as_of", "ID", "late_next_month", "label_available_on")
    names = [name for name in table.column_names if name not in left_out]
    kinds: dict[str, Kind] = {
        name: "categorical" if name in codes else "numeric" for name in names
    }
    months = np.array([str(day)[:7] for day in table["as_of"].to_pylist()])

    def rows_of(*wanted: str) -> Columns:
        chosen = table.filter(np.isin(months, wanted))
        return {
            name: codes_of(chosen[name].combine_chunks())
            if name in codes
            else chosen[name].to_numpy().astype(float)
            for name in names
        }

    baseline, window = rows_of("2005-05", "2005-06"), rows_of("2005-09")
    report = report_of(baseline, window, kinds)
    found = root_cause.explain(report, baseline, window, kinds)
    top = found["features"][0]
    assert top["feature"] == "PAY_STATUS"
    assert top["contribution"] > 0.5
    assert top["bins"][0]["category"] == "1"
    first = found["slices"][0]
    assert (first["feature"], first["category"]) == ("PAY_STATUS", "1")
    assert first["window_share"] == pytest.approx(0.123, abs=0.001)
    assert first["baseline_share"] < 1e-4
    assert first["fall_share"] > 0.4
    assert all(one["fall_share"] < 0.3 for one in found["slices"][1:])
