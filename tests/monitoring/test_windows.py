"""The rows of a window, as an analysis reads them."""

import datetime as dt
from typing import Any

import numpy as np
import pytest

from governance.models import ModelVersion
from monitoring.actions import baselines, periods, segments, standards, windows
from monitoring.actions.periods import Window
from monitoring.actions.windows import Rows
from monitoring.models import Segment
from monitoring.stats.columns import Codes
from monitoring.stats.gauges import SCORE
from tests.monitoring import traffic
from tests.monitoring.traffic import HOUR, NOW

pytestmark = pytest.mark.django_db

THIS_HOUR = NOW.replace(minute=0)
WINDOW = Window(THIS_HOUR - 24 * HOUR, THIS_HOUR + HOUR)


@pytest.fixture
def version() -> ModelVersion:
    version = traffic.make_watched(
        features=["x", "c"],
        feature_types={"x": "float", "c": "categorical"},
        task="binary",
        classes=["no", "yes"],
    )
    baselines.create(
        version,
        features={"x": [1.0, 2.0, 3.0], "c": ["a", "b", "a"]},
        labeled={
            "probabilities": [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]],
            "predictedLabels": ["no", "yes", "no"],
            "actualLabels": ["no", "yes", "yes"],
        },
        label="v1",
        actor=None,
    )
    return version


def some_rows(count: int, first: int = 0) -> list[dict[str, Any]]:
    return [
        {
            "features": {"x": float(place), "c": "ab"[place % 2]},
            "prediction": "yes" if place % 3 == 0 else "no",
            "probabilities": [1 - place % 3 / 4, place % 3 / 4],
        }
        for place in range(first, first + count)
    ]


def read(version: ModelVersion, window: Window = WINDOW) -> Rows:
    traffic.count_all()
    standard = standards.served(version)
    assert standard is not None
    return windows.read(version, standards.gauge(standard.baseline.pk), window)


def numbers(found: Rows, name: str = "x") -> list[float]:
    return np.asarray(found.columns[name]).tolist()


def test_every_column_stands_in_the_order_of_time(version: ModelVersion) -> None:
    times = [NOW - minutes * dt.timedelta(minutes=7) for minutes in range(20)]
    traffic.log(version, some_rows(20), at=times)
    found = read(version)
    assert len(found) == found.total == 20
    assert numbers(found) == [float(place) for place in reversed(range(20))]
    assert [found.moment(place) for place in (0, 19)] == [times[19], times[0]]
    cities = found.columns["c"]
    assert isinstance(cities, Codes)
    assert [cities.categories[code] for code in cities.codes] == list("ba" * 10)
    assert found.answers is not None
    assert found.answers.scores[:3].tolist() == [0.25, 0.0, 0.5]
    assert found.answers.predicted[:2].tolist() == [0, 1]
    assert numbers(found, SCORE) == found.answers.scores.tolist()


def test_the_window_is_exact_to_the_time_stamp(version: ModelVersion) -> None:
    times = [NOW + dt.timedelta(minutes=minutes) for minutes in range(-10, 10)]
    traffic.log(version, some_rows(20), at=times)
    window = Window(NOW - dt.timedelta(minutes=4), NOW + dt.timedelta(minutes=2))
    assert numbers(read(version, window)) == [6.0, 7.0, 8.0, 9.0, 10.0, 11.0]


def test_labels_stand_beside_their_rows_as_they_were_corrected(
    version: ModelVersion,
) -> None:
    receipt = traffic.log(version, some_rows(6))
    keys = traffic.ids_of(receipt)
    traffic.label(version, {keys[1]: "yes", keys[4]: "no", keys[5]: "perhaps"})
    traffic.label(version, {keys[4]: "yes"})
    found = read(version)
    assert [found.identifier(place) for place in range(6)] == keys
    assert found.labelled == 3
    labels = found.labels
    assert labels is not None
    told = [labels.categories[code] if code >= 0 else None for code in labels.codes]
    assert told == [None, "yes", None, None, "yes", "perhaps"]


def test_without_labels_there_are_none(version: ModelVersion) -> None:
    traffic.log(version, some_rows(3))
    found = read(version)
    assert (found.labels, found.labelled) == (None, 0)


def test_a_window_without_rows_has_empty_columns(version: ModelVersion) -> None:
    found = read(version)
    assert (len(found), found.total, found.labelled) == (0, 0, 0)
    assert {name: len(column) for name, column in found.columns.items()} == {
        "x": 0,
        "c": 0,
    }


def test_values_of_the_wrong_type_are_missing_and_counted(
    version: ModelVersion,
) -> None:
    logged = [{"features": {"x": value, "c": "a"}} for value in (1.0, "two", None, 4)]
    traffic.log(version, logged)
    found = read(version)
    assert np.isnan(numbers(found)).tolist() == [False, True, True, False]
    assert found.invalid == {"x": 1}


def test_quarantined_rows_are_left_out(version: ModelVersion) -> None:
    from monitoring.models import Quarantine

    traffic.log(version, some_rows(4))
    bad = traffic.log(version, some_rows(3, first=100))
    traffic.count_all()
    bad.quarantine = Quarantine.objects.create(
        organization_id=version.organization_id,
        model=version.model,
        received_from=NOW,
        received_until=NOW + HOUR,
        reason="test",
    )
    bad.save(update_fields=["quarantine"])
    assert numbers(read(version)) == [0.0, 1.0, 2.0, 3.0]


def test_the_same_rows_have_the_same_digest_however_they_are_stored(
    version: ModelVersion,
) -> None:
    for place in range(12):
        at = NOW - (place % 5) * dt.timedelta(minutes=1)
        traffic.log(version, some_rows(3, first=3 * place), at=at)
        traffic.count_all()
    before = read(version)
    assert Segment.objects.count() > 1
    old = NOW - dt.timedelta(days=1)
    Segment.objects.update(created_at=old)
    segments.compact()
    after = read(version)
    assert Segment.objects.count() == 1
    assert before.digest == after.digest
    assert numbers(before) == numbers(after)
    traffic.log(version, some_rows(1))
    assert read(version).digest != before.digest


def test_of_a_long_window_the_same_rows_are_drawn_again(
    version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    receipt = traffic.log(version, some_rows(3_000))
    traffic.label(version, dict.fromkeys(traffic.ids_of(receipt), "yes"))
    monkeypatch.setattr(windows, "MOST_ROWS", 600)
    monkeypatch.setattr(windows, "LABELS_AT_ONCE", 100)
    found = read(version)
    assert found.total == 3_000
    assert 500 < len(found) < 700
    assert found.labelled == len(found)
    assert read(version).digest == found.digest
    drawn = np.array(numbers(found))
    # From everywhere, not from the beginning.
    assert abs(float(drawn.mean()) - 1_500) < 150


def test_the_default_window_is_that_of_the_live_view(version: ModelVersion) -> None:
    window = periods.window_of(version.model.cadence, THIS_HOUR)
    traffic.log(version, some_rows(3))
    assert len(read(version, window)) == 3
