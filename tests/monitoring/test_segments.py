"""Segments: every row as columns, in few pieces, whatever size it came in."""

import datetime as dt
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from django.utils import timezone

from governance.models import ModelVersion
from monitoring.actions import profiles, segments
from monitoring.models import Prediction, Segment
from tests.monitoring import traffic
from tests.monitoring.traffic import HOUR, NOW

pytestmark = pytest.mark.django_db

THIS_HOUR = NOW.replace(minute=0)
TYPES = {"x": "float", "c": "categorical"}


def make_version(**definition: Any) -> ModelVersion:
    return traffic.make_watched(
        **{"features": list(TYPES), "feature_types": TYPES, **definition}
    )


def some_rows(count: int, first: int = 0) -> list[dict[str, Any]]:
    return [
        {
            "features": {"x": float(place), "c": "ab"[place % 2]},
            "prediction": place % 2,
            "probabilities": [0.25, 0.75],
        }
        for place in range(first, first + count)
    ]


def read(version: ModelVersion) -> pa.Table:
    table = segments.read(version, THIS_HOUR - 100 * HOUR, THIS_HOUR + HOUR)
    assert table is not None
    return table


def test_rows_are_read_back_as_they_were_logged() -> None:
    version = make_version()
    receipt = traffic.log(version, some_rows(5))
    traffic.count_all()
    table = read(version).sort_by("id")
    assert table["features.x"].to_pylist() == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert table["features.c"].to_pylist() == ["a", "b", "a", "b", "a"]
    assert table["value"].to_pylist() == [0.0, 1.0, 0.0, 1.0, 0.0]
    assert table["probabilities.1"].to_pylist() == [0.75] * 5
    assert table["id"].to_pylist() == [key.bytes for key in traffic.ids_of(receipt)]
    assert set(table["receipt"].to_pylist()) == {receipt.pk.bytes}
    assert set(table["timestamp"].to_pylist()) == {NOW}


def test_rows_that_come_one_by_one_stand_in_few_segments() -> None:
    version = make_version()
    for place in range(40):
        traffic.log(version, some_rows(1, first=place))
        profiles.profile_pending()
    assert Segment.objects.filter(version=version).count() <= 6
    assert sorted(read(version)["features.x"].to_pylist()) == list(range(40))


def test_the_small_segments_of_a_settled_hour_become_one() -> None:
    version = make_version()
    for size in (40, 10, 2, 1):
        traffic.log(version, some_rows(size))
        profiles.profile_pending()
    assert Segment.objects.count() > 1
    assert segments.compact() == 0  # rows may still be coming in
    Segment.objects.update(created_at=timezone.now() - dt.timedelta(minutes=11))
    assert segments.compact() == 1
    assert Segment.objects.get().rows == 53
    assert read(version).num_rows == 53
    assert segments.compact() == 0


def test_each_hour_has_segments_of_its_own() -> None:
    version = make_version()
    times = [NOW - place * HOUR for place in range(3)] * 2
    traffic.log(version, some_rows(6), at=times)
    traffic.count_all()
    found = Segment.objects.filter(version=version).order_by("hour")
    assert list(found.values_list("hour", "rows")) == [
        (THIS_HOUR - place * HOUR, 2) for place in (2, 1, 0)
    ]
    table = segments.read(version, THIS_HOUR, THIS_HOUR + HOUR)
    assert table is not None
    assert sorted(table["features.x"].to_pylist()) == [0.0, 3.0]


def test_only_the_columns_that_are_asked_for_are_read() -> None:
    version = make_version()
    traffic.log(version, some_rows(3))
    traffic.count_all()
    table = segments.read(version, THIS_HOUR, THIS_HOUR + HOUR, columns=["c"])
    assert table is not None
    assert "features.c" in table.column_names
    assert "features.x" not in table.column_names
    assert "timestamp" in table.column_names


def test_a_window_without_rows_is_nothing() -> None:
    version = make_version()
    assert segments.read(version, THIS_HOUR, THIS_HOUR + HOUR) is None


def test_labels_missing_values_and_more_classes_survive() -> None:
    version = make_version()
    logged = [
        {"features": {"x": 1, "c": None}, "prediction": "yes"},
        {"features": {}, "prediction": True, "probabilities": [0.1, 0.2, 0.7]},
        {"features": '{"x":\n 2.5,\r\n "c": "tab\\t\\"\\u00e9"}', "prediction": 3},
    ]
    traffic.log(version, logged)
    traffic.count_all()
    table = read(version).sort_by("id")
    assert table["features.x"].to_pylist() == [1.0, None, 2.5]
    assert table["features.c"].to_pylist() == [None, None, 'tab\t"é']
    assert table["text"].to_pylist() == ["yes", "1", None]
    assert np.isnan(table["value"].to_numpy()).tolist() == [True, True, False]
    assert table["probabilities.2"].to_pylist()[1] == 0.7


def test_a_feature_whose_type_changes_is_kept_in_both_types() -> None:
    version = make_version(features=[], feature_types={})
    traffic.log(version, [{"features": {"free": 1.5}}])
    traffic.count_all()
    traffic.log(version, [{"features": {"free": "text"}}])
    traffic.count_all()
    assert Segment.objects.count() == 2
    assert sorted(read(version)["features.free"].to_pylist()) == ["1.5", "text"]


def test_segments_hold_what_the_table_of_predictions_holds() -> None:
    version = make_version()
    for size in (3, 50, 1, 200):
        traffic.log(version, some_rows(size))
    traffic.count_all()
    stored = Prediction.objects.filter(version_id=version.pk).order_by("id")
    expected = [one.decoded_features["x"] for one in stored]
    assert read(version).sort_by("id")["features.x"].to_pylist() == expected
