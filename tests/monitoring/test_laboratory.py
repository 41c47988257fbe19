import json
import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from scipy import stats

from governance.schema import Task
from monitoring import detectors, laboratory
from monitoring.detectors import DETECTORS
from monitoring.laboratory import Findings, Settings, Side
from monitoring.stats.answers import Answers
from monitoring.stats.columns import Codes, Kind, Values
from monitoring.stats.drops import Outcomes
from monitoring.stats.grid import Grid
from monitoring.stats.report import Status
from monitoring.stats.streaming import Ddm

KINDS: dict[str, Kind] = {"x": "numeric", "y": "numeric", "c": "categorical"}
UNIVARIATE = [one for one in DETECTORS.values() if one.family == "univariate"]


def table(rows: int, seed: int, shift: float = 0.0) -> dict[str, Values]:
    rng = np.random.default_rng(seed)
    x = rng.normal(shift, 1, rows)
    codes = rng.integers(0, 3, rows).astype(np.int32)
    return {"x": x, "y": x + rng.normal(0, 1, rows), "c": Codes(codes, ["a", "b", "d"])}


def outcomes(rows: int, seed: int, *, honest: bool = True) -> Outcomes:
    rng = np.random.default_rng(seed)
    scores = rng.random(rows)
    codes = (rng.random(rows) < (scores if honest else 1 - scores)).astype(int)
    return Outcomes(Task.BINARY, Answers(scores, (scores >= 0.5).astype(int)), codes)


def run(baseline: Side, window: Side, **settings: Any) -> Findings:
    grid = Grid.fit(baseline.columns, KINDS)
    return laboratory.run(baseline, window, grid, Settings(**settings))


def without(name: str, **changes: Any) -> Mapping[str, detectors.Detector]:
    """Return the registry with one detector changed."""
    changed = replace(DETECTORS[name], **changes)
    return MappingProxyType({**DETECTORS, name: changed})


def test_every_algorithm_of_a_binary_model_answers() -> None:
    found = run(
        Side(table(2_000, 0), outcomes(2_000, 0)),
        Side(table(1_500, 1, 1.0), outcomes(1_500, 1)),
    )
    for column in found.drift.columns.values():
        expected = {one.name for one in UNIVARIATE if column.kind in one.kinds}
        assert set(column.algorithms) == expected
        assert all(one.score is not None for one in column.algorithms.values())
    assert set(found.algorithms) == {
        "pca_reconstruction",
        "domain_classifier",
        "mmd",
        "energy_distance",
        "realized",
        "cbpe",
    }
    assert all(one.measure is not None for one in found.algorithms.values())
    assert found.drift.columns["x"].status == Status.ALERT
    assert found.algorithms["domain_classifier"].result.drift
    assert not found.algorithms["realized"].result.drift


def test_figures_are_those_of_the_values_and_p_values_those_of_scipy() -> None:
    # 6,000 distinct values: the grid is thinned, so that counts alone leave intervals.
    baseline, window = table(6_000, 0), table(500, 1, 0.2)
    found = run(Side(baseline), Side(window)).drift.columns["x"].algorithms
    truth = stats.ks_2samp(baseline["x"], window["x"])
    assert found["ks_test"].score == pytest.approx(truth.statistic, rel=1e-12)
    assert found["ks_test"].p_value == pytest.approx(truth.pvalue, rel=1e-9)
    assert found["ks_test"].p_value_method == "exact"
    assert found["ks_test"].interval is None
    distance = stats.wasserstein_distance(baseline["x"], window["x"])
    assert found["wasserstein"].score == pytest.approx(distance, rel=1e-9)


def test_columns_set_apart_are_measured_and_no_inputs() -> None:
    sides = Side(table(500, 0)), Side({**table(500, 1), "y": np.full(500, 9.0)})
    found = run(*sides, apart=("y",))
    assert found.drift.columns["y"].status == Status.ALERT
    assert found.status == Status.OK
    assert found.algorithms["pca_reconstruction"].measure is not None
    assert found.algorithms["pca_reconstruction"].measure.detail["columns"] == [
        "x",
        "c",
    ]


def test_settings_choose_judge_and_let_vote() -> None:
    sides = Side(table(2_000, 0)), Side(table(2_000, 1, 2.0))
    found = run(
        *sides,
        enabled={"psi", "domain_classifier"},
        voting={"domain_classifier"},
        thresholds={"psi": (50.0, 60.0)},
        parameters={"domain_classifier": {"max_rows": 400}},
    )
    assert set(found.drift.columns["x"].algorithms) == {"psi"}
    assert found.drift.columns["x"].algorithms["psi"].status == Status.OK
    assert set(found.algorithms) == {"domain_classifier"}
    classifier = found.algorithms["domain_classifier"]
    assert classifier.measure is not None
    assert (classifier.measure.n_baseline, classifier.measure.n) == (400, 400)
    assert classifier.result.votes
    assert found.status == classifier.result.status == Status.ALERT


def test_other_bins_are_judged_by_their_own_chance() -> None:
    sides = Side(table(4_000, 0)), Side(table(4_000, 1, 0.6))
    names = {"jensen_shannon"}
    deciles = run(*sides, enabled=names).drift.columns["x"].algorithms
    doane = run(*sides, enabled=names, parameters={"jensen_shannon": {"bins": "doane"}})
    found = doane.drift.columns["x"].algorithms["jensen_shannon"]
    assert found.score != deciles["jensen_shannon"].score
    assert found.no_drift_95 != deciles["jensen_shannon"].no_drift_95
    assert found.drift


def test_an_algorithm_that_fails_is_named_and_fails_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("division by zero")

    for name in ("energy", "mmd"):
        monkeypatch.setattr(laboratory, "DETECTORS", without(name, function=broken))
        found = run(Side(table(200, 0)), Side(table(200, 1)))
        failed = (
            found.drift.columns["x"].algorithms[name]
            if name == "energy"
            else found.algorithms[name].result
        )
        assert (failed.status, failed.score) == (Status.FAILED, None)
        assert failed.reason == "division by zero"
        assert found.status == Status.OK


def test_nothing_measurable_is_told_with_its_reason() -> None:
    empty: Side = Side({"x": [], "y": [], "c": []})
    found = run(Side(table(100, 0)), empty)
    assert found.status == Status.INSUFFICIENT_DATA
    assert {one.status for one in found.drift.columns.values()} == {Status.NO_DATA}
    for one in found.algorithms.values():
        assert one.result.status == Status.NO_DATA
        assert one.result.reason


@pytest.mark.parametrize(
    "window",
    [
        {"x": [1.0], "y": [math.nan], "c": [None]},
        {"x": [math.nan] * 90, "y": [7.0] * 90, "c": ["z"] * 90},
        {"x": [1e308, -1e308] * 45, "y": [0.0] * 90, "c": ["a", None] * 45},
    ],
)
@pytest.mark.filterwarnings("error")
def test_odd_rows_are_told_as_plain_json(window: dict[str, Values]) -> None:
    found = run(Side(table(100, 0)), Side(window))
    json.dumps(found.drift.to_json(), allow_nan=False)
    for one in found.algorithms.values():
        json.dumps(one.to_json(), allow_nan=False)
        assert (one.result.score is None) == bool(one.result.reason)


def test_steps_are_told_as_they_come() -> None:
    steps: list[tuple[str, float]] = []
    side = Side(table(100, 0), outcomes(100, 0))
    grid = Grid.fit(side.columns, KINDS)
    settings = Settings(enabled={"psi", "mmd", "cbpe"})
    laboratory.run(side, side, grid, settings, on_step=lambda *step: steps.append(step))
    assert steps == [("univariate", 0.0), ("mmd", 1 / 3), ("cbpe", 2 / 3)]


def test_a_window_without_labels_has_no_realized_performance() -> None:
    answers = replace(outcomes(500, 1), codes=None)
    found = run(Side(table(500, 0), outcomes(500, 0)), Side(table(500, 1), answers))
    realized = found.algorithms["realized"].result
    assert (realized.status, realized.reason) == (
        Status.NO_DATA,
        "a side has no labels",
    )
    assert found.algorithms["cbpe"].result.score is not None


def test_a_stream_goes_on_where_it_stopped() -> None:
    rng = np.random.default_rng(0)
    errors = np.concatenate([rng.random(900) < 0.1, rng.random(900) < 0.5]).astype(
        float
    )
    start = datetime(2026, 1, 1, tzinfo=UTC)
    times = [start + timedelta(hours=place) for place in range(len(errors))]
    whole = laboratory.stream("ddm", errors, times, settings=Settings())
    first = laboratory.stream("ddm", errors[:1_000], times[:1_000], settings=Settings())
    assert first.stream is not None
    state = first.stream.to_bytes()
    second = laboratory.stream(
        "ddm", errors[1_000:], times[1_000:], settings=Settings(), state=state
    )
    assert first.changes + second.changes == whole.changes
    assert whole.changes == tuple(Ddm().feed(errors, times))
    assert whole.finding.result.status in {Status.WARNING, Status.ALERT}
    told = whole.finding.to_json()
    assert (
        told["detail"]["changes"][0]["at"] == times[whole.changes[0].index].isoformat()
    )


def test_a_stream_is_scaled_by_the_baseline_unless_told_otherwise() -> None:
    values = np.repeat([0.0, 3.0], 200)
    named = Settings(parameters={"page_hinkley": {"scale": 2.0}})
    for settings, scale in ((Settings(), 0.1), (named, 2.0)):
        found = laboratory.stream("page_hinkley", values, settings=settings, scale=0.1)
        assert found.finding.parameters["scale"] == scale


def test_a_stream_of_nothing_or_of_no_errors_says_so() -> None:
    nothing = laboratory.stream("adwin", np.array([math.nan]), settings=Settings())
    assert nothing.finding.result.status == Status.NO_DATA
    wrong = laboratory.stream("ddm", np.array([3.0]), settings=Settings())
    assert wrong.finding.result.status == Status.FAILED
    assert "errors in [0, 1]" in wrong.finding.result.reason
