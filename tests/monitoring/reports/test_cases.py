from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from governance.schema import Task
from monitoring.reports import cases, tables
from monitoring.reports.cases import Case
from monitoring.reports.plan import Plan
from monitoring.reports.tables import UnusableError
from monitoring.stats.columns import Codes
from tests.monitoring.reports.files import BINARY, binary, write


def read(plan: Plan, reference: Any, current: Any, place: Path) -> Case:
    sides = [
        tables.read(write(place / f"{role}.parquet", side), role)
        for role, side in (("REFERENCE", reference), ("CURRENT", current))
    ]
    return cases.read(plan, *sides)


def refused(plan: Plan, reference: Any, current: Any, place: Path) -> str:
    with pytest.raises(UnusableError) as error:
        read(plan, reference, current, place)
    return str(error.value)


def test_columns_are_names_if_declared_text_or_boolean_never_by_their_values(
    tmp_path: Path,
) -> None:
    side = {
        "few": [0, 1] * 20,
        "code": [1, 2] * 20,
        "flag": [True, False] * 20,
        "text": ["a", "b"] * 20,
    }
    case = read(Plan(categorical=frozenset({"code"})), side, side, tmp_path)
    assert case.kinds == {
        "few": "numeric",
        "code": "categorical",
        "flag": "categorical",
        "text": "categorical",
    }


def test_numbers_may_stand_for_the_names_that_the_reference_has(tmp_path: Path) -> None:
    case = read(Plan(), {"c": ["1", "2", "x"]}, {"c": [1, 2, 2]}, tmp_path)
    column = case.current.columns["c"]
    assert isinstance(column, Codes)
    assert [column.categories[code] for code in column.codes] == ["1", "2", "2"]


def test_numbers_that_became_text_are_refused_with_the_first_of_them(
    tmp_path: Path,
) -> None:
    told = refused(Plan(), {"x": [1.0, 2.0]}, {"x": [None, "12 EUR"]}, tmp_path)
    assert "'12 EUR' in row 2" in told
    assert "--categorical x" in told


def test_a_column_without_a_value_is_of_the_other_side_s_kind(tmp_path: Path) -> None:
    empty = {"x": pd.Series([None, None], dtype="float64")}
    case = read(Plan(), empty, {"x": ["a", "b"]}, tmp_path)
    assert case.kinds == {"x": "categorical"}
    case = read(Plan(), {"x": [1.5, 2.5]}, empty, tmp_path)
    assert case.kinds == {"x": "numeric"}


@pytest.mark.parametrize("name", ["x", "score", "y"])
def test_infinity_is_refused_wherever_it_stands(tmp_path: Path, name: str) -> None:
    side = pd.DataFrame({"x": np.arange(9.0), "score": np.arange(9.0), "y": np.ones(9)})
    wrong = side.copy()
    wrong.loc[4, name] = -np.inf
    plan = Plan(task=Task.REGRESSION, prediction="score", label="y")
    told = refused(plan, side, wrong, tmp_path)
    assert f"Column {name!r} of CURRENT has 1 infinite values" in told
    assert "row 5" in told


def test_rows_are_told_by_their_place_in_the_file_not_in_time(tmp_path: Path) -> None:
    good = binary(40, 0)
    wrong = good.iloc[::-1].reset_index(drop=True)
    wrong.loc[0, "x"] = np.inf
    assert "first in row 1" in refused(BINARY, good, wrong, tmp_path)


@pytest.mark.parametrize(
    ("missing", "side"),
    [
        ("x", "CURRENT"),
        ("answer", "CURRENT"),
        ("score", "REFERENCE"),
        ("truth", "REFERENCE"),
        ("at", "CURRENT"),
    ],
)
def test_a_missing_column_is_refused(tmp_path: Path, missing: str, side: str) -> None:
    sides = {"REFERENCE": binary(40, 0), "CURRENT": binary(40, 1)}
    sides[side] = sides[side].drop(columns=missing)
    told = refused(BINARY, sides["REFERENCE"], sides["CURRENT"], tmp_path)
    assert f"{side} has no column {missing!r}" in told


def test_labels_may_come_later_and_a_reference_may_have_no_time(tmp_path: Path) -> None:
    case = read(
        BINARY,
        binary(40, 0).drop(columns="at"),
        binary(40, 1).drop(columns="truth"),
        tmp_path,
    )
    assert case.current.outcomes is not None
    assert case.current.outcomes.codes is None
    assert case.reference.times is None
    assert len(case.notes) == 2


def test_rows_stand_in_the_order_of_time(tmp_path: Path) -> None:
    rows = binary(60, 0)
    mixed = rows.sample(frac=1, random_state=3, ignore_index=True)
    case = read(BINARY, rows, mixed, tmp_path)
    for side in (case.reference, case.current):
        assert side.times is not None
        assert (np.diff(side.times) > np.timedelta64(0)).all()
        np.testing.assert_array_equal(side.columns["x"], rows["x"])
        assert side.outcomes is not None
        np.testing.assert_array_equal(side.outcomes.answers.scores, rows["score"])
        assert side.outcomes.codes is not None
        np.testing.assert_array_equal(side.outcomes.codes == 1, rows["truth"] == "yes")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (["2026-01-01T00:00:00Z", "yesterday"], "'yesterday' in row 2"),
        (["2026-01-01T00:00:00Z", None], "no time stamp in row 2"),
        ([1, 2], "holds int64"),
    ],
)
def test_what_is_no_time_stamp_is_refused(
    tmp_path: Path, values: Any, words: str
) -> None:
    side = {"x": [1, 2], "at": values}
    assert words in refused(Plan(timestamp="at"), side, side, tmp_path)


def test_time_stamps_are_read_from_text_dates_and_zones(tmp_path: Path) -> None:
    expected = np.array(["2026-01-01T23:00", "2026-01-02"], "datetime64[us]")
    for values in (
        ["2026-01-02T00:00:00+01:00", "2026-01-02"],
        pd.to_datetime(["2026-01-02T00:00:00+01:00", "2026-01-02T01:00:00+01:00"]),
    ):
        case = read(
            Plan(timestamp="at"), {"x": [1, 2]}, {"x": [1, 2], "at": values}, tmp_path
        )
        assert case.current.times is not None
        np.testing.assert_array_equal(case.current.times, expected)
    dates = {"x": [1, 2], "at": [date(2026, 1, 1), date(2026, 1, 2)]}
    case = read(Plan(timestamp="at"), dates, dates, tmp_path)
    assert case.kinds == {"x": "numeric"}


def test_what_can_be_no_input_is_left_out_and_told(tmp_path: Path) -> None:
    side = {
        "x": np.arange(40.0),
        "when": pd.to_datetime(["2026-01-01"] * 40),
        "tags": [["a", "b"]] * 40,
        "id": np.arange(40),
    }
    current = {**side, "news": np.zeros(40)}
    case = read(Plan(), side, current, tmp_path)
    assert list(case.kinds) == ["x", "id"]
    told = " ".join(case.notes)
    for words in (
        "'when' is left out",
        "'tags' is left out",
        "Only CURRENT has 'news'",
    ):
        assert words in told
    assert "--exclude id" in told
    assert "can't be an input" in refused(
        Plan(features=("tags",)), side, current, tmp_path
    )


def test_classes_and_the_order_of_probabilities_are_told_from_the_rows(
    tmp_path: Path,
) -> None:
    rng = np.random.default_rng(0)
    names = np.array(["low", "mid", "top"])
    chances = rng.dirichlet(np.ones(3), 300)
    side = {f"p{place}": chances[:, place] for place in range(3)}
    side |= {"x": rng.normal(size=300), "said": names[chances.argmax(1)]}
    side["true"] = rng.permutation(side["said"])
    plan = Plan(prediction="said", probabilities=("p2", "p0", "p1"), label="true")
    case = read(plan, side, side, tmp_path)
    assert case.layout is not None
    assert (case.layout.task, case.layout.classes) == (
        Task.MULTICLASS,
        ("top", "low", "mid"),
    )
    named = {f"p_{name}": chances[:, place] for place, name in enumerate(names)}
    named |= {"x": side["x"], "true": side["true"]}
    plan = Plan(probabilities=("p_mid", "p_low", "p_top"), label="true")
    case = read(plan, named, named, tmp_path)
    assert case.layout is not None
    assert case.layout.classes == ("mid", "low", "top")


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (
            Plan(task=Task.REGRESSION, prediction="score", label="truth"),
            "needs numbers",
        ),
        (
            Plan(task=Task.REGRESSION, prediction="score", probabilities=("score",)),
            "a regression has none",
        ),
        (Plan(task=Task.BINARY, prediction="answer", label="city"), "has two classes"),
        (Plan(task=Task.BINARY, label="truth"), "needs --prediction"),
        (Plan(prediction="city", label="truth", task=Task.BINARY), "has two classes"),
        (replace(BINARY, probabilities=("x",)), "a probability lies in [0, 1]"),
        (replace(BINARY, probabilities=("score", "score2")), "add up to"),
        (replace(BINARY, classes=("a", "b")), "names none of the classes"),
        (replace(BINARY, positive="maybe"), "is none of"),
        (replace(BINARY, prediction="missing"), "has no column 'missing'"),
        (replace(BINARY, protected={"sex": None}), "has no column 'sex'"),
        (replace(BINARY, categorical=frozenset({"sex"})), "has no column 'sex'"),
        (replace(BINARY, excluded=frozenset({"sex"})), "has no column 'sex'"),
    ],
)
def test_what_does_not_fit_the_task_is_refused(
    tmp_path: Path, plan: Plan, words: str
) -> None:
    side = binary(60, 0)
    side["score2"] = side["score"]
    assert words in refused(plan, side, side, tmp_path)


def test_a_label_of_many_numbers_is_no_class(tmp_path: Path) -> None:
    side = pd.DataFrame({"x": np.arange(2_000.0), "p": np.arange(2_000.0) + 0.5})
    plan = Plan(task=Task.MULTICLASS, prediction="p", label="p")
    assert "are no classes" in refused(plan, side, side, tmp_path)


def test_scores_of_the_other_class_are_noted(tmp_path: Path) -> None:
    side = binary(100, 0)
    side["score"] = 1 - side["score"]
    case = read(BINARY, side, side, tmp_path)
    assert any("--positive" in note for note in case.notes)
    case = read(replace(BINARY, positive="no"), side, side, tmp_path)
    assert not any("--positive" in note for note in case.notes)


def test_no_input_left_is_refused(tmp_path: Path) -> None:
    side = {"x": [1.0, 2.0]}
    plan = Plan(excluded=frozenset({"x"}))
    assert "No column is left" in refused(plan, side, side, tmp_path)
