import pytest

from monitoring.stats.measure import Measure
from monitoring.stats.report import Status
from monitoring.stats.verdicts import judge, verdict

LIMITS = (0.1, 0.2)


@pytest.mark.parametrize(
    ("measure", "status"),
    [
        (Measure(0.25, 100, 100, p_value=0.01), Status.ALERT),
        (Measure(0.15, 100, 100, p_value=0.01), Status.WARNING),
        (Measure(0.25, 100, 100, p_value=0.06), Status.OK),
        (Measure(0.05, 100, 100, p_value=1e-9), Status.OK),
        (Measure(0.25, 100, 29, p_value=1e-9), Status.INSUFFICIENT_DATA),
        (Measure(0.25, 29, 100, p_value=1e-9), Status.INSUFFICIENT_DATA),
        (Measure(0.25, 100, 100, interval=(0.01, 0.5)), Status.ALERT),
        (Measure(0.25, 100, 100, interval=(-0.01, 0.5)), Status.OK),
        (Measure(0.25, 100, 100), Status.ALERT),
    ],
)
def test_a_verdict_needs_size_and_significance(
    measure: Measure, status: Status
) -> None:
    found = verdict(measure, LIMITS, votes=True)
    assert found.status == status
    assert found.score == measure.score
    assert (found.warning, found.alert, found.votes) == (0.1, 0.2, True)


def test_a_corrected_p_value_stands_for_the_measure_s_own() -> None:
    measure = Measure(0.25, 100, 100, p_value=0.01)
    found = verdict(measure, LIMITS, p_value=0.2)
    assert found.status == Status.OK
    assert (found.p_value, found.p_value_corrected) == (0.01, 0.2)
    assert verdict(measure, LIMITS, alpha=0.001).status == Status.OK


def test_a_score_without_thresholds_is_shown_and_never_judged() -> None:
    found = verdict(Measure(9.0, 100, 100, p_value=0.0), None)
    assert found.status == Status.UNRATED
    assert not found.drift


def test_without_power_nothing_is_ok_and_a_distance_convicts_nobody() -> None:
    assert judge(0.05, LIMITS, significant=False, powerless=True) == (
        Status.INSUFFICIENT_DATA
    )
    untested = judge(0.5, LIMITS, significant=True, powerless=True, tested=False)
    assert untested == Status.INSUFFICIENT_DATA
    assert judge(0.5, LIMITS, significant=True, powerless=True) == Status.ALERT
