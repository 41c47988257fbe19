"""What the risk index makes of the drift that was measured."""

from datetime import timedelta

import numpy as np
import pytest

from governance.decision import Thresholds, risk_score
from governance.models import ModelVersion, RegisteredModel
from monitoring.actions import evidence
from monitoring.detectors import LIVE_THRESHOLDS
from monitoring.stats.columns import Values
from monitoring.stats.drift import evaluate
from monitoring.stats.fairness import FairnessReport
from monitoring.stats.gauges import Counts
from monitoring.stats.grid import Grid

RNG = np.random.default_rng(3)
BASELINE = RNG.normal(size=500)


def index_of(window: Values) -> float | None:
    """Return the risk index of a model with one column."""
    grid = Grid.fit({"x": BASELINE}, {"x": "numeric"})
    tally = grid.count({"x": window})
    facts = evidence.facts(
        ModelVersion(model=RegisteredModel()),
        kind="given",
        counts=Counts(len(window), 0, tally, None),
        drift=evaluate(grid, tally, thresholds=LIVE_THRESHOLDS),
        fairness=FairnessReport(),
        performance={},
        age=timedelta(),
    )
    terms = risk_score(facts, Thresholds())
    return None if terms is None else terms.score


@pytest.mark.parametrize("size", [60, 100, 200])
def test_a_small_window_without_drift_is_no_risk(size: int) -> None:
    scores = [index_of(RNG.normal(size=size)) for _ in range(60)]
    at_risk = sum(score is not None and score >= 50 for score in scores)
    # As often as the gate of 95 % lets chance through, and not in every other window.
    assert at_risk <= 9
    assert sum(score is not None for score in scores) > 0 or size < 100


def test_drift_that_few_rows_show_beyond_doubt_is_a_risk() -> None:
    # The threshold means nothing for 31 rows, but a PSI of several units does.
    assert index_of(RNG.normal(loc=3, size=31)) == 100


def test_a_large_window_counts_as_it_is() -> None:
    window = RNG.normal(loc=0.1, size=20_000)
    grid = Grid.fit({"x": BASELINE}, {"x": "numeric"})
    column = evaluate(
        grid, grid.count({"x": window}), thresholds=LIVE_THRESHOLDS
    ).columns["x"]
    psi = column.algorithms["psi"].score
    assert psi is not None
    assert index_of(window) == pytest.approx(min(500 * psi, 50), rel=1e-9)
