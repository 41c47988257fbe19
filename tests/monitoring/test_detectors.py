import inspect
import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from governance.schema import Task
from monitoring.detectors import CATEGORICAL, DETECTORS, LIVE_THRESHOLDS, Detector
from monitoring.stats.answers import Answers
from monitoring.stats.drift import VOTING, evaluate
from monitoring.stats.drops import Outcomes
from monitoring.stats.grid import Grid
from monitoring.stats.measure import Measure, NotMeasurableError

ALL = pytest.mark.parametrize(
    "detector", DETECTORS.values(), ids=lambda detector: detector.name
)


def sides(detector: Detector) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    if detector.kinds == CATEGORICAL:
        return ["a", "b", "b"] * 40, ["a", "b", "c"] * 40
    return rng.normal(size=200), rng.normal(0.5, 1, 150)


def outcomes(detector: Detector, size: int, seed: int) -> Outcomes:
    rng = np.random.default_rng(seed)
    scores = rng.random(size)
    if "regression" in detector.kinds:
        labels = scores + rng.normal(0, 0.1, size)
        answers = Answers(scores, np.full(size, -1))
        columns, kinds = {"x": scores}, {"x": "numeric"}
        return Outcomes(
            Task.REGRESSION, answers, values=labels, columns=columns, kinds=kinds
        )
    codes = (rng.random(size) < scores).astype(int)
    answers = Answers(scores, (scores >= 0.5).astype(int))
    return Outcomes(Task.BINARY, answers, codes)


def run(detector: Detector, **parameters: Any) -> Measure:
    """Call a detector as its family is called."""
    if detector.family == "streaming":
        rows = np.repeat([0.0, 1.0, 0.0, 1.0], 300)
        changes = detector.function(**parameters).feed(rows)
        return Measure(float(len(changes)), 0, len(rows))
    if detector.family == "performance":
        one, other = outcomes(detector, 500, 0), outcomes(detector, 400, 1)
        return detector.function(one, other, **parameters)
    first, second = sides(detector)
    if detector.family == "multivariate":
        kinds = {"x": "numeric"}
        return detector.function({"x": first}, {"x": second}, kinds, **parameters)
    return detector.function(first, second, **parameters)


@ALL
def test_each_detector_measures_within_its_range(detector: Detector) -> None:
    score = run(detector).score
    low, high = detector.limits
    assert (-np.inf if low is None else low) <= score
    assert score <= (np.inf if high is None else high)
    if detector.family == "streaming":
        assert score > 0


@ALL
def test_each_detector_takes_the_parameters_it_lists(detector: Detector) -> None:
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(detector.function).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    assert dict(detector.parameters) == defaults
    assert run(detector, **detector.parameters) == run(detector)


@ALL
def test_each_measure_is_plain_json(detector: Detector) -> None:
    json.dumps(run(detector).to_json(), allow_nan=False)
    json.dumps(dict(detector.parameters), allow_nan=False)


@ALL
def test_each_detector_says_where_there_is_nothing_to_say(detector: Detector) -> None:
    if detector.family == "streaming":
        assert detector.function().feed(np.zeros(0)) == []
        return
    empty: tuple[Any, ...] = ([], [])
    if detector.family == "performance":
        empty = (outcomes(detector, 0, 0),) * 2
    elif detector.family == "multivariate":
        empty = ({"x": []}, {"x": []}, {"x": "numeric"})
    with pytest.raises(NotMeasurableError):
        detector.function(*empty)


@ALL
def test_thresholds_rise_and_only_judged_detectors_vote(detector: Detector) -> None:
    if detector.thresholds is None:
        assert not detector.votes
        assert not detector.may_vote
    else:
        warning, alert = detector.thresholds
        assert 0 < warning < alert
    assert detector.source
    assert detector.score


def test_the_default_voters_are_registered() -> None:
    assert {name for name, d in DETECTORS.items() if d.votes} == VOTING
    assert DETECTORS["psi"].thresholds == (0.1, 0.25)
    assert DETECTORS["ks_test"].thresholds == (0.1, 0.2)
    assert DETECTORS["chi_square"].thresholds == (0.1, 0.2)


def test_the_thresholds_are_those_of_the_design() -> None:
    thresholds = {name: d.thresholds for name, d in DETECTORS.items()}
    for name in ("jensen_shannon", "hellinger", "total_variation", "l_infinity", "mmd"):
        assert thresholds[name] == (0.1, 0.2)
    assert thresholds["cbpe"] == thresholds["realized"] == (0.05, 0.1)
    assert thresholds["domain_classifier"] == (0.65, 0.75)
    unjudged = {name for name, limits in thresholds.items() if limits is None}
    assert unjudged == {
        "kl_divergence",
        "wasserstein",
        "energy",
        "energy_distance",
        "cramer_von_mises",
        "anderson_darling",
        "mann_whitney",
        "welch_t",
    }


def test_the_live_view_measures_what_the_registry_calls_live() -> None:
    grid = Grid.fit(
        {"x": [1.0, 2.0] * 50, "c": ["a", "b"] * 50},
        {"x": "numeric", "c": "categorical"},
    )
    report = evaluate(grid, grid.baseline, thresholds=LIVE_THRESHOLDS)
    for column in report.columns.values():
        expected = {
            name
            for name in LIVE_THRESHOLDS
            if DETECTORS[name].live and column.kind in DETECTORS[name].kinds
        }
        assert set(column.algorithms) == expected


def test_listing_the_algorithms_does_not_load_scipy() -> None:
    code = (
        "import sys, monitoring.detectors, monitoring.stats.quality; "
        "print([m for m in ('scipy', 'pandas', 'sklearn', 'django', 'pyarrow') "
        "if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.strip() == "[]", run.stderr
