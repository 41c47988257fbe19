"""Streams: each row fed once and in order, whatever is analysed when."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from river import drift as river_drift

from governance.models import ModelVersion, RegisteredModel
from monitoring.actions import alerts
from monitoring.actions.periods import Window
from monitoring.alerting.settings import AlertSettings, Override
from monitoring.models import DriftResult, StreamState
from tests.factories import make_alice
from tests.monitoring import analysed, traffic
from tests.monitoring.test_refresh import give_baseline, make_version
from tests.monitoring.traffic import HOUR, NOW

pytestmark = pytest.mark.django_db

MINUTE = dt.timedelta(minutes=1)
START = NOW - 48 * HOUR
ALL = Window(START - HOUR, NOW + HOUR)


@pytest.fixture
def version() -> ModelVersion:
    version = make_version()
    give_baseline(version)
    return version


def wrong_ones(count: int, share: float, seed: int) -> list[bool]:
    drawn = np.random.default_rng(seed).random(count) < share
    return [bool(one) for one in drawn]


def log(
    version: ModelVersion,
    are_wrong: Sequence[bool],
    *,
    first: int = 0,
    score: float = 0.7,
    labelled: bool = True,
) -> list[Any]:
    """Log a row a minute, answered rightly or wrongly, and label it."""
    times = [START + (first + at) * MINUTE for at in range(len(are_wrong))]
    receipt = traffic.log(
        version,
        [
            {
                "features": {"x": 0.0, "y": 0.0},
                "prediction": 1,
                "probabilities": [1 - score, score],
            }
            for _ in are_wrong
        ],
        at=times,
    )
    keys = traffic.ids_of(receipt)
    if labelled:
        label(version, keys, are_wrong)
    return keys


def label(
    version: ModelVersion, keys: Sequence[Any], are_wrong: Sequence[bool]
) -> None:
    traffic.label(
        version,
        {key: int(not wrong) for key, wrong in zip(keys, are_wrong, strict=True)},
    )


def memory(
    version: ModelVersion, algorithm: str, series: str = "errors"
) -> StreamState:
    return StreamState.objects.get(version=version, algorithm=algorithm, series=series)


def errors_of(result: DriftResult, algorithm: str) -> dict[str, Any]:
    found: dict[str, Any] = result.algorithms[algorithm]["detail"]["series"]["errors"]
    return found


def river_s_changes(are_wrong: Sequence[bool]) -> list[int]:
    detector, found = river_drift.ADWIN(), []
    for at, wrong in enumerate(are_wrong):
        detector.update(int(wrong))
        if detector.drift_detected:
            found.append(at)
            detector = river_drift.ADWIN()
    return found


def test_changes_are_those_that_river_finds(version: ModelVersion) -> None:
    are_wrong = wrong_ones(800, 0.1, 0) + wrong_ones(800, 0.6, 1)
    log(version, are_wrong)
    told = errors_of(analysed.result(version, ALL), "adwin")
    indices = [change["index"] for change in told["changes"]]
    assert indices == river_s_changes(are_wrong)
    assert indices
    at = dt.datetime.fromisoformat(told["changes"][0]["at"])
    assert at == START + indices[0] * MINUTE


@pytest.mark.parametrize("algorithm", ["adwin", "ddm", "kswin", "page_hinkley"])
def test_fed_in_pieces_a_stream_is_where_one_fed_at_once_is(
    algorithm: str,
) -> None:
    are_wrong = wrong_ones(300, 0.1, 0) + wrong_ones(300, 0.7, 1)
    at_once, piecewise = make_version(name="One"), make_version(name="Other")
    for version in (at_once, piecewise):
        give_baseline(version)
    log(at_once, are_wrong)
    one = analysed.result(at_once, ALL)
    for first in range(0, 600, 150):
        log(piecewise, are_wrong[first : first + 150], first=first)
        other = analysed.result(piecewise, ALL)
    assert other.algorithms[algorithm]["score"] == one.algorithms[algorithm]["score"]
    expected, found = errors_of(one, algorithm), errors_of(other, algorithm)
    assert found["changes"] == expected["changes"]
    assert found["fed"] == 150
    for series in ("errors", "scores"):
        kept = StreamState.objects.filter(algorithm=algorithm, series=series)
        states = {bytes(state.state) for state in kept}
        assert len(states) <= 1


def test_a_row_is_fed_once_however_often_it_is_analysed(version: ModelVersion) -> None:
    log(version, wrong_ones(200, 0.1, 0))
    first = analysed.result(version, ALL)
    before = bytes(memory(version, "adwin").state)
    again = analysed.result(version, ALL)
    assert errors_of(first, "adwin")["fed"] == 200
    assert errors_of(again, "adwin")["fed"] == 0
    assert bytes(memory(version, "adwin").state) == before


def test_a_change_belongs_to_the_windows_that_hold_it(version: ModelVersion) -> None:
    log(version, wrong_ones(600, 0.05, 0) + wrong_ones(300, 0.9, 1))
    whole = analysed.result(version, ALL).algorithms["adwin"]
    assert whole["score"] >= 1
    assert whole["status"] in {"warning", "alert"}
    quiet = Window(ALL.start, START + 300 * MINUTE)
    early = analysed.result(version, quiet).algorithms["adwin"]
    assert (early["score"], early["status"]) == (0.0, "ok")


def test_rows_that_come_late_are_passed_over(version: ModelVersion) -> None:
    log(version, [False] * 100, first=100)
    analysed.result(version, ALL)
    log(version, [True] * 100, first=0)
    told = errors_of(analysed.result(version, ALL), "adwin")
    assert told["fed"] == 0
    assert told["fed_from"] == (START + 100 * MINUTE).isoformat()
    log(version, [False] * 10, first=200)
    assert errors_of(analysed.result(version, ALL), "adwin")["fed"] == 10


def test_rows_of_one_moment_are_new_if_they_come_later(version: ModelVersion) -> None:
    for _ in range(2):
        receipt = traffic.log(
            version,
            [{"features": {}, "prediction": 1, "probabilities": [0.2, 0.8]}] * 40,
            at=START,
        )
        label(version, traffic.ids_of(receipt), [False] * 40)
        assert errors_of(analysed.result(version, ALL), "adwin")["fed"] == 40


def test_without_a_horizon_a_row_is_fed_when_its_label_is_there(
    version: ModelVersion,
) -> None:
    keys = log(version, [False] * 60, labelled=False)
    result = analysed.result(version, ALL)
    reason = result.algorithms["ddm"]["reason"]
    assert reason == "no row has a label"
    assert result.algorithms["adwin"]["detail"]["series"]["scores"]["fed"] == 60
    label(version, keys, [False] * 60)
    assert errors_of(analysed.result(version, ALL), "ddm")["fed"] == 60


def test_with_a_horizon_an_hour_waits_for_its_labels(version: ModelVersion) -> None:
    RegisteredModel.objects.filter(pk=version.model_id).update(
        label_horizon_max=dt.timedelta(days=30)
    )
    keys = log(version, [False] * 180, labelled=False)
    half_hour = (NOW - START).seconds // 60 % 60  # rows begin within an hour
    assert half_hour == 0
    # The first hour begins at minute 30 of an hour: 30 rows, then 60 an hour.
    label(version, keys[:30], [False] * 30)
    label(version, keys[30:40], [False] * 10)
    label(version, keys[100:180], [False] * 80)
    assert errors_of(analysed.result(version, ALL), "ddm")["fed"] == 30
    label(version, keys[40:80], [False] * 40)
    # Enough of the second hour, and of the hours behind it.
    told = errors_of(analysed.result(version, ALL), "ddm")
    assert told["fed"] == 50 + 80
    label(version, keys[80:85], [True] * 5)
    assert errors_of(analysed.result(version, ALL), "ddm")["fed"] == 0


def test_a_horizon_that_has_passed_waits_no_more(version: ModelVersion) -> None:
    RegisteredModel.objects.filter(pk=version.model_id).update(label_horizon_max=HOUR)
    keys = log(version, [False] * 120, labelled=False)
    label(version, keys[100:], [False] * 20)
    assert errors_of(analysed.result(version, ALL), "ddm")["fed"] == 20


def test_other_parameters_begin_anew(version: ModelVersion) -> None:
    log(version, wrong_ones(200, 0.1, 0))
    analysed.result(version, ALL)
    alerts.change(
        version.model,
        settings=AlertSettings(overrides={"adwin": Override(params={"delta": 0.01})}),
        actor=None,
    )
    result = analysed.result(version, ALL)
    assert errors_of(result, "adwin")["fed"] == 200
    assert errors_of(result, "ddm")["fed"] == 0


def test_a_memory_that_can_t_be_read_begins_anew(version: ModelVersion) -> None:
    log(version, wrong_ones(100, 0.1, 0))
    analysed.result(version, ALL)
    StreamState.objects.filter(algorithm="adwin").update(
        state=b'{"version": 0, "name": "adwin"}'
    )
    assert errors_of(analysed.result(version, ALL), "adwin")["fed"] == 100


def test_of_a_window_before_all_that_was_fed_nothing_is_known(
    version: ModelVersion,
) -> None:
    log(version, [False] * 50, first=600)
    analysed.result(version, Window(START + 500 * MINUTE, NOW))
    log(version, [False] * 50, first=0)
    early = Window(START - HOUR, START + 100 * MINUTE)
    told = analysed.result(version, early).algorithms["adwin"]
    assert (told["score"], told["status"]) == (None, "no_data")
    assert "before" in told["reason"]


def test_versions_have_memories_of_their_own() -> None:
    person = make_alice()
    versions = [make_version(person=person, version=name) for name in ("1", "2")]
    for version, count in zip(versions, (60, 90), strict=True):
        give_baseline(version)
        log(version, [False] * count)
        told = errors_of(analysed.result(version, ALL), "adwin")
        assert told["fed"] == count
