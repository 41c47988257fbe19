import json
import math
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from river.drift import ADWIN
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import accuracy_score, mean_absolute_error, roc_auc_score

from governance.schema import Task
from monitoring.detectors import DETECTORS
from monitoring.reports.plan import Plan
from monitoring.stats.columns import MAX_CATEGORIES
from tests.monitoring.reports.files import BINARY, binary, report, texts

CREDIT = Path(__file__).parents[3] / "data" / "credit_default_monthly.parquet"


def column(found: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in found["columns"] if one["name"] == name)


def test_a_quiet_file_is_quiet(tmp_path: Path) -> None:
    found = report(BINARY, binary(2_000, 0), binary(2_000, 1), tmp_path)
    assert (found["status"], found["performance"]["status"]) == ("ok", "ok")
    assert {one["tone"] for one in found["sentences"]} == {"good"}
    assert "None of the 3 inputs has drifted." in texts(found)


def test_every_algorithm_of_the_task_is_there(tmp_path: Path) -> None:
    found = report(BINARY, binary(600, 0), binary(600, 1), tmp_path)
    run = set(found["univariate"]) | set(found["algorithms"])
    run |= {one["algorithm"] for one in found["streams"]}
    expected = {n for n, d in DETECTORS.items() if d.family != "performance"}
    assert run == expected | {"realized", "cbpe"}
    assert set(found["settings"]["algorithms"]) == set(DETECTORS)


def test_drift_is_told_with_the_bins_that_moved(tmp_path: Path) -> None:
    found = report(BINARY, binary(2_000, 0), binary(2_000, 1, shift=1.0), tmp_path)
    moved = column(found, "x")
    assert (found["status"], moved["status"], moved["direction"]) == (
        "alert",
        "alert",
        "higher",
    )
    assert moved["moved_bins"][0]["high"] is None  # the highest of the bins
    assert moved["moved_bins"][0]["change"] > 0.2
    assert "x (PSI" in texts(found, "drift")
    assert found["causes"]["features"][0]["feature"] == "x"
    # The model's answer follows its input, and is no input.
    assert column(found, "score")["status"] == "alert"
    assert not column(found, "score")["is_input"]


def test_only_named_algorithms_run_and_vote(tmp_path: Path) -> None:
    plan = replace(BINARY, algorithms=("hellinger", "mmd", "adwin"))
    found = report(plan, binary(600, 0), binary(600, 1, shift=2.0), tmp_path)
    assert set(column(found, "x")["algorithms"]) == {"hellinger"}
    assert set(found["algorithms"]) == {"mmd"}
    assert {one["algorithm"] for one in found["streams"]} == {"adwin"}
    assert found["status"] == "alert"
    assert found["settings"]["algorithms"]["hellinger"]["votes"]


def test_realized_and_estimated_performance_are_those_of_the_rows(
    tmp_path: Path,
) -> None:
    reference, current = binary(3_000, 0), binary(2_500, 1, shift=0.4)
    found = report(replace(BINARY, chunk_rows=500), reference, current, tmp_path)
    truth, score = current["truth"] == "yes", current["score"]
    whole = found["performance"]
    assert whole["realized"]["roc_auc"]["value"] == pytest.approx(
        roc_auc_score(truth, score), rel=1e-9
    )
    assert [chunk["rows"] for chunk in found["chunks"]] == [500] * 5
    for place, chunk in enumerate(found["chunks"]):
        rows = slice(500 * place, 500 * place + 500)
        accuracy = accuracy_score(truth[rows], score[rows] >= 0.5)
        point = chunk["performance"]
        assert point["realized"]["accuracy"]["value"] == pytest.approx(accuracy)
        estimate = point["estimated"]["metrics"]["accuracy"]
        assert estimate["low"] <= accuracy <= estimate["high"]
    assert whole["estimator"] == "cbpe"
    assert whole["trust"]["accuracy"]["windows"] == 5
    assert whole["trust"]["accuracy"]["covered"] == 1.0
    assert not whole["residuals"]["accuracy"]["concept_drift"]


def test_concept_drift_is_what_the_estimate_does_not_explain(tmp_path: Path) -> None:
    current = binary(2_000, 1, honest=False)
    found = report(BINARY, binary(2_000, 0), current, tmp_path)
    assert found["status"] == "ok"
    assert found["performance"]["status"] == "alert"
    assert "although no input has drifted" in texts(found, "concept")
    assert found["algorithms"]["realized"]["status"] == "alert"
    assert found["algorithms"]["cbpe"]["status"] == "ok"


def test_without_labels_performance_is_estimated_alone(tmp_path: Path) -> None:
    current = binary(2_000, 1).drop(columns="truth")
    found = report(BINARY, binary(2_000, 0), current, tmp_path)
    assert found["performance"]["realized"] == {}
    assert found["performance"]["labelled"] == 0
    assert "Without labels ROC-AUC is estimated" in texts(found, "estimate")
    assert found["algorithms"]["realized"]["reason"] == "a side has no labels"
    assert column(found, "truth")["status"] == "no_data"


def test_a_recovery_is_told(tmp_path: Path) -> None:
    parts = [binary(600, 1), *(binary(600, n, honest=False) for n in (2, 3))]
    parts += [binary(600, n) for n in (4, 5, 6)]
    current = pd.concat(parts, ignore_index=True)
    current["at"] = pd.Timestamp("2026-03-01") + pd.to_timedelta(
        np.arange(len(current)), "h"
    )
    plan = replace(BINARY, chunk_rows=600)
    found = report(plan, binary(3_000, 0), current, tmp_path)
    assert "Recovered since rows 1801 to 2400" in texts(found, "performance")


def test_a_regression_is_told_by_its_error_and_its_bias(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)

    def side(rows: int, grown: float) -> pd.DataFrame:
        x = rng.normal(10, 2, rows)
        truth = 3 * x * grown + rng.normal(0, 1, rows)
        return pd.DataFrame({"x": x, "said": 3 * x, "truth": truth})

    reference, current = side(2_000, 1.0), side(1_500, 1.5)
    plan = Plan(prediction="said", label="truth")
    found = report(plan, reference, current, tmp_path)
    performance = found["performance"]
    assert (performance["task"], performance["estimator"]) == ("regression", "dle")
    assert performance["realized"]["mae"]["value"] == pytest.approx(
        mean_absolute_error(current["truth"], current["said"]), rel=1e-9
    )
    assert "100% of the mean absolute error is bias" in texts(found)
    assert "too low" in texts(found)
    assert "The label has drifted" in texts(found)
    assert performance["residuals"]["mae"]["concept_drift"]
    assert {"realized_error", "dle"} < set(found["algorithms"])


def test_several_classes_are_estimated_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    names = np.array(["low", "mid", "top"])

    def side(rows: int) -> pd.DataFrame:
        x = rng.normal(size=rows)
        raw = np.exp(np.stack([-2 * x, np.zeros(rows), 2 * x], axis=1))
        chances = raw / raw.sum(1, keepdims=True)
        label = [rng.choice(3, p=chance) for chance in chances]
        rows_of = {f"p_{name}": chances[:, n] for n, name in enumerate(names)}
        return pd.DataFrame(
            {"x": x, **rows_of, "said": names[chances.argmax(1)], "true": names[label]}
        )

    plan = Plan(
        prediction="said", probabilities=tuple(f"p_{n}" for n in names), label="true"
    )
    found = report(plan, side(2_000), side(1_000), tmp_path)
    performance = found["performance"]
    assert (performance["task"], performance["metric"]) == ("multiclass", "accuracy")
    accuracy = performance["realized"]["accuracy"]["value"]
    estimate = performance["estimated"]["metrics"]["accuracy"]
    assert estimate["low"] <= accuracy <= estimate["high"]


def test_streams_find_what_river_finds_with_index_and_time(tmp_path: Path) -> None:
    current = pd.concat(
        [binary(700, 1), binary(700, 2, honest=False)], ignore_index=True
    )
    current["at"] = pd.Timestamp("2026-03-01") + pd.to_timedelta(
        np.arange(len(current)), "h"
    )
    found = report(BINARY, binary(1_000, 0), current, tmp_path)
    stream = next(
        one
        for one in found["streams"]
        if (one["subject"], one["algorithm"]) == ("error", "adwin")
    )
    oracle, expected = ADWIN(), []
    for index, wrong in enumerate(current["answer"] != current["truth"]):
        oracle.update(float(wrong))
        if oracle.drift_detected:
            expected.append(index)
    changes = stream["detail"]["changes"]
    assert [change["index"] for change in changes] == expected
    assert expected
    moment = current["at"][expected[0]].isoformat()
    assert changes[0]["at"] == f"{moment}+00:00"


def test_page_hinkley_is_scaled_by_the_reference(tmp_path: Path) -> None:
    reference = binary(1_000, 0)
    found = report(BINARY, reference, binary(300, 1), tmp_path)
    stream = next(
        one
        for one in found["streams"]
        if (one["subject"], one["algorithm"]) == ("answer", "page_hinkley")
    )
    assert stream["parameters"]["scale"] == pytest.approx(np.std(reference["score"]))


def seasonal(start: str, end: str, seed: int, *, warmer: float = 0.0) -> pd.DataFrame:
    at = pd.date_range(start, end, freq="h", inclusive="left")
    rng = np.random.default_rng(seed)
    season = 10 * np.sin((at.day_of_year.to_numpy() - 100) / 365 * 2 * np.pi)
    return pd.DataFrame(
        {
            "at": at,
            "temp": season + warmer + rng.normal(0, 2, len(at)),
            "month": at.month,
            "hour": at.hour,
            "free": rng.normal(size=len(at)),
        }
    )


def test_a_month_differs_from_a_year_because_it_is_a_month(tmp_path: Path) -> None:
    plan = Plan(timestamp="at", period="week")
    reference = seasonal("2025-01-01", "2026-01-01", 0)
    found = report(plan, reference, seasonal("2026-02-01", "2026-03-01", 1), tmp_path)
    assert column(found, "temp")["status"] == "alert"
    assert found["season"]["months"] == [2]
    assert found["season"]["columns"]["temp"]["status"] == "ok"
    assert found["calendar"] == {"month": "month", "hour": "time of day"}
    assert "Against the same months of it temp, month have not drifted" in texts(found)
    assert "calendar columns should not be monitored" in texts(found)
    warm = seasonal("2026-02-01", "2026-03-01", 1, warmer=3.0)
    found = report(plan, reference, warm, tmp_path)
    assert found["season"]["columns"]["temp"]["status"] == "alert"
    assert "Still drifting: temp" in texts(found)


def test_months_that_differ_one_by_one_but_not_together_are_explained(
    tmp_path: Path,
) -> None:
    plan = Plan(timestamp="at", period="month")
    found = report(
        plan,
        seasonal("2024-01-01", "2025-01-01", 0),
        seasonal("2025-01-01", "2026-01-01", 1),
        tmp_path,
    )
    assert found["status"] == "ok"
    assert [chunk["label"] for chunk in found["chunks"][:2]] == ["2025-01", "2025-02"]
    assert {chunk["columns"]["temp"]["status"] for chunk in found["chunks"]} == {
        "alert"
    }
    assert all(
        chunk["season"]["columns"]["temp"]["status"] == "ok"
        for chunk in found["chunks"]
    )
    assert "although all rows together do not" in texts(found, "season")


def test_hours_without_a_row_and_repeated_ones_are_found(tmp_path: Path) -> None:
    rows = seasonal("2026-01-01", "2026-02-01", 0)
    storm = (rows["at"] >= "2026-01-10 06:00") & (rows["at"] < "2026-01-11 12:00")
    holed = pd.concat([rows[~storm], rows[5:8]], ignore_index=True)
    plan = Plan(timestamp="at", period="day")
    found = report(plan, rows, holed, tmp_path)
    clock = found["current"]["clock"]
    assert (clock["step_seconds"], clock["absent"], clock["repeated"]) == (3_600, 30, 3)
    assert clock["gaps"][0] == {
        "start": "2026-01-10T06:00:00+00:00",
        "end": "2026-01-11T12:00:00+00:00",
        "steps": 30,
    }
    by_day = {chunk["label"]: chunk["absent_steps"] for chunk in found["chunks"]}
    assert (by_day["2026-01-10"], by_day["2026-01-11"]) == (18, 12)
    assert "two days from 2026-01-10: 30 of 48" in texts(found, "time")
    assert found["reference"]["clock"]["absent"] == 0


def test_rows_of_many_subjects_at_one_time_have_no_gaps(tmp_path: Path) -> None:
    side = pd.DataFrame(
        {"at": pd.date_range("2026-01-01", periods=5).repeat(40), "x": np.arange(200.0)}
    )
    found = report(Plan(timestamp="at"), side, side, tmp_path)
    assert found["current"]["clock"]["step_seconds"] is None


def test_dead_columns_that_come_alive_are_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    reference = pd.DataFrame(
        {"x": rng.normal(size=300), "dead": 0.4, "dying": rng.normal(size=300)}
    )
    current = pd.DataFrame(
        {"x": rng.normal(size=300), "dead": rng.normal(size=300), "dying": 1.0}
    )
    found = report(Plan(), reference, current, tmp_path)
    told = texts(found, "constant")
    assert "Constant in the reference and alive now: dead (300 values)" in told
    assert "constant now: dying" in told
    assert (
        column(found, "dead")["distinct_baseline"],
        column(found, "dead")["distinct"],
    ) == (1, 300)


def test_data_quality_is_told(tmp_path: Path) -> None:
    reference, current = binary(2_000, 0), binary(2_000, 1)
    current.loc[:400, "x"] = np.nan
    current.loc[:300, "city"] = "Atlantis"
    found = report(BINARY, reference, current, tmp_path)
    told = texts(found, "quality")
    assert "x: missing 20.1%, 0.0% before" in told
    assert "city: new values Atlantis" in told
    assert column(found, "city")["quality"]["new_categories"] == {"Atlantis": 301}


def test_groups_are_compared_on_both_sides(tmp_path: Path) -> None:
    reference, current = binary(2_000, 0), binary(2_000, 1)
    for side in (reference, current):
        side["sex"] = np.where(np.arange(len(side)) % 2, "f", "m")
        side["age"] = np.arange(len(side)) % 60 + 18
    current.loc[(current["sex"] == "f") & (current["x"] < 0.8), "answer"] = "no"
    plan = replace(BINARY, protected={"sex": None, "age": (30.0, 45.0)})
    found = report(plan, reference, current, tmp_path)
    before, after = (found["fairness"][side] for side in ("reference", "current"))
    sex = after["attributes"][0]
    rates = current.groupby("sex")["answer"].apply(lambda one: (one == "yes").mean())
    ratio = rates.min() / rates.max()
    assert sex["demographic_parity_ratio"] == pytest.approx(ratio, rel=1e-9)
    assert before["attributes"][0]["demographic_parity_ratio"] > 0.9
    ages = [group["group"] for group in after["attributes"][1]["groups"]]
    assert ages == ["under 30", "30 to under 45", "45 and over"]
    assert "sex: the group that is worst off" in texts(found, "fairness")


ODD: list[tuple[str, dict[str, Any]]] = [
    ("one row", {"x": [1.0], "c": ["a"], "p": [0.4], "y": [1]}),
    (
        "nothing but missing",
        {"x": [math.nan] * 9, "c": [None] * 9, "p": [0.4] * 9, "y": [math.nan] * 9},
    ),
    (
        "missing here and there",
        {
            "x": [1.0, math.nan] * 40,
            "c": ["a", None] * 40,
            "p": [math.nan, 0.3] * 40,
            "y": [1, math.nan] * 40,
        },
    ),
    ("constant", {"x": [2.0] * 80, "c": ["a"] * 80, "p": [0.5] * 80, "y": [1] * 80}),
    (
        "unseen",
        {
            "x": [1e300, -1e300] * 40,
            "c": ["q", "z"] * 40,
            "p": [0.1, 0.9] * 40,
            "y": [0, 1] * 40,
        },
    ),
    (
        "one label",
        {
            "x": np.linspace(-2, 2, 1_000),
            "c": ["a", "b"] * 500,
            "p": np.linspace(0, 1, 1_000),
            "y": [1] + [math.nan] * 999,
        },
    ),
]


@pytest.mark.parametrize("odd", [odd for _, odd in ODD], ids=[name for name, _ in ODD])
@pytest.mark.parametrize("is_reference", [True, False])
@pytest.mark.parametrize("task", [Task.BINARY, Task.REGRESSION])
@pytest.mark.filterwarnings("error")
def test_odd_rows_have_a_status_each_and_no_made_up_number(
    tmp_path: Path, odd: dict[str, Any], is_reference: bool, task: Task
) -> None:
    rng = np.random.default_rng(0)
    score = rng.random(600)
    usual = {
        "x": rng.normal(size=600),
        "c": rng.choice(["a", "b"], 600),
        "p": score,
        "y": (rng.random(600) < score).astype(float),
    }
    sides = [
        pd.DataFrame(one) for one in ((odd, usual) if is_reference else (usual, odd))
    ]
    plan = Plan(task=task, prediction="p", label="y")
    if task is Task.BINARY:
        plan = replace(plan, probabilities=("p",), prediction=None)
    found = report(plan, *sides, tmp_path)
    json.dumps(found, allow_nan=False)
    for one in found["columns"]:
        assert one["status"] in {
            "ok",
            "warning",
            "alert",
            "insufficient_data",
            "no_data",
        }
        for result in one["algorithms"].values():
            assert result["score"] is not None or result["status"] in {
                "insufficient_data",
                "no_data",
            }
    for one in found["algorithms"].values():
        assert one["status"] != "failed", one
        assert (one["score"] is None) == bool(one["reason"])


def test_one_class_has_no_area(tmp_path: Path) -> None:
    current = binary(500, 1)
    current["truth"] = "yes"
    found = report(BINARY, binary(500, 0), current, tmp_path)
    area = found["performance"]["realized"]["roc_auc"]
    assert (area["value"], area["reason"]) == (None, "the labels are of one class only")


def test_very_many_categories_are_counted_exactly(tmp_path: Path) -> None:
    names = [f"n{place}" for place in range(MAX_CATEGORIES + 2_000)]
    side, other = pd.DataFrame({"c": names}), pd.DataFrame({"c": names[::-1] * 2})
    found = report(Plan(), side, other, tmp_path)
    assert column(found, "c")["algorithms"]["psi"]["score"] == pytest.approx(
        0, abs=1e-12
    )


@cache
def scored() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the clients of the credit data that the model hasn't seen, by month."""
    rows = pd.read_parquet(CREDIT)
    rows["as_of"] = pd.to_datetime(rows["as_of"])
    inputs = [
        c
        for c in rows
        if c not in {"as_of", "ID", "late_next_month", "label_available_on"}
    ]
    start = pd.Timestamp("2005-07-01")
    fitted = rows[(rows["as_of"] < start) & (rows["ID"] % 10 < 7)]
    model = HistGradientBoostingClassifier(random_state=0)
    model.fit(fitted[inputs], fitted["late_next_month"])
    seen = rows[rows["ID"] % 10 >= 7].copy()
    seen["score"] = model.predict_proba(seen[inputs])[:, 1]
    mine = seen[["as_of", *inputs, "score", "late_next_month"]]
    return mine[mine["as_of"] < start], mine[mine["as_of"] >= start]


def test_the_credit_data_are_told_as_they_are(tmp_path: Path) -> None:
    reference, current = scored()
    codes = frozenset({"SEX", "EDUCATION", "MARRIAGE", "PAY_STATUS", "PAY_STATUS_PREV"})
    plan = Plan(
        probabilities=("score",),
        label="late_next_month",
        timestamp="as_of",
        period="month",
        categorical=codes,
        protected={"SEX": None},
        favourable="0",
    )
    found = report(plan, reference, current, tmp_path)
    july, august, september = found["chunks"]
    assert [chunk["label"] for chunk in found["chunks"]] == [
        "2005-07",
        "2005-08",
        "2005-09",
    ]
    # Figures of the data's description: psi of the scored clients, areas.
    assert july["status"] == "ok"
    assert september["columns"]["PAY_STATUS"]["psi"] == pytest.approx(0.98, abs=0.01)
    assert september["status"] == "alert"
    assert august["status"] == "warning"  # PAY_AMT just crosses the line
    areas = [c["performance"]["realized"]["roc_auc"]["value"] for c in found["chunks"]]
    assert areas == pytest.approx([0.886, 0.774, 0.715], abs=0.002)
    residuals = [c["performance"]["residuals"]["accuracy"] for c in found["chunks"]]
    assert [one["concept_drift"] for one in residuals] == [False, True, True]
    for name in ("LIMIT_BAL", "SEX", "EDUCATION", "MARRIAGE", "AGE"):
        assert column(found, name)["algorithms"]["psi"]["score"] == 0
