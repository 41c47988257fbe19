import inspect
import subprocess
import sys

import numpy as np
import pytest

from monitoring.detectors import CATEGORICAL, DETECTORS, LIVE_THRESHOLDS, Detector
from monitoring.stats.drift import VOTING, evaluate
from monitoring.stats.grid import Grid

ALL = pytest.mark.parametrize("detector", DETECTORS.values(), ids=str)


def sides(detector: Detector) -> tuple[object, object]:
    rng = np.random.default_rng(0)
    if detector.kinds == CATEGORICAL:
        return ["a", "b", "b"] * 40, ["a", "b", "c"] * 40
    return rng.normal(size=200), rng.normal(0.5, 1, 150)


@ALL
def test_each_detector_measures_within_its_range(detector: Detector) -> None:
    measure = detector.function(*sides(detector))
    low, high = detector.limits
    assert low <= measure.score <= (np.inf if high is None else high)


@ALL
def test_each_detector_takes_the_parameters_it_lists(detector: Detector) -> None:
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(detector.function).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    assert dict(detector.parameters) == defaults
    default = detector.function(*sides(detector))
    assert detector.function(*sides(detector), **detector.parameters) == default


@ALL
def test_thresholds_rise_and_only_judged_detectors_vote(detector: Detector) -> None:
    if detector.thresholds is None:
        assert not detector.votes
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
