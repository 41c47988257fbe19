"""Predictions are read back column by column, whatever their rows look like."""

import datetime as dt
import json
from typing import Any

import pyarrow as pa
import pytest

from governance.identifiers import uuid7s
from governance.models import ModelVersion
from monitoring.actions import logged
from monitoring.models import Prediction, Receipt
from monitoring.stats import lines
from tests.monitoring import traffic
from tests.monitoring.traffic import NOW

pytestmark = pytest.mark.django_db

KINDS: lines.Kinds = {"x": "numeric", "c": "categorical"}


@pytest.fixture
def version() -> ModelVersion:
    return traffic.make_watched(features=["x", "c"])


def read(*receipts: Receipt) -> dict[bytes, dict[str, Any]]:
    """Return the rows by their ids."""
    table, _ = logged.of_receipts(receipts).table(KINDS)
    return {row["id"]: row for row in table.to_pylist()}


def expected(receipt: Receipt) -> list[Prediction]:
    return list(Prediction.objects.filter(receipt_id=receipt.pk).order_by("id"))


def test_each_row_keeps_its_receipt_time_prediction_and_features(
    version: ModelVersion,
) -> None:
    times = [NOW + dt.timedelta(microseconds=step) for step in range(3)]
    rows = [
        {"features": {"x": 1.5, "c": "a"}, "prediction": 0.25},
        {"features": {"x": None, "c": "b"}, "prediction": "yes"},
        {"features": {"c": 1.0, "x": 2}, "prediction": True},
    ]
    receipts = [traffic.log(version, rows, at=times), traffic.log(version, rows[:1])]
    found = read(*receipts)
    assert len(found) == 4
    stored = expected(receipts[0])
    first, second, third = (found[row.pk.bytes] for row in stored)
    assert {row["receipt"] for row in (first, second, third)} == {receipts[0].pk.bytes}
    assert [row["timestamp"] for row in (first, second, third)] == times
    assert (first["value"], first["text"]) == (0.25, None)
    assert second["text"] == "yes"
    assert third["text"] == "1"
    assert (first["features.x"], second["features.x"]) == (1.5, None)
    assert (third["features.x"], third["features.c"]) == (2.0, "1")
    other = found[expected(receipts[1])[0].pk.bytes]
    assert other["receipt"] == receipts[1].pk.bytes


def test_line_feeds_in_a_row_s_json_are_white_space(version: ModelVersion) -> None:
    spelled = json.dumps({"x": 1.0, "c": "a"}, indent=1)
    rows = [{"features": spelled}, {"features": '{"x": 2.0, "c": "b"}\n'}]
    found = read(traffic.log(version, rows))
    read_ = sorted((row["features.x"], row["features.c"]) for row in found.values())
    assert read_ == [(1.0, "a"), (2.0, "b")]


def test_more_probabilities_than_usual_are_all_read(version: ModelVersion) -> None:
    rows = [
        {"features": {}, "probabilities": [0.1, 0.2, 0.3, 0.4]},
        {"features": {}, "probabilities": None},
        {"features": {}, "probabilities": [0.6, 0.4]},
    ]
    receipt = traffic.log(version, rows)
    found = read(receipt)
    wide, none, narrow = (found[row.pk.bytes] for row in expected(receipt))
    assert [wide[f"probabilities.{place}"] for place in range(4)] == [
        0.1,
        0.2,
        0.3,
        0.4,
    ]
    assert none["probabilities.0"] != none["probabilities.0"]
    assert narrow["probabilities.1"] == 0.4
    assert narrow["probabilities.3"] != narrow["probabilities.3"]


def test_a_large_receipt_is_read_in_parts_each_row_once(
    version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logged, "ROWS_TOGETHER", 7)
    rows = [{"features": {"x": place}, "prediction": place} for place in range(100)]
    receipt, other = traffic.log(version, rows), traffic.log(version, rows[:1])
    together = logged.of_receipts([receipt, other])
    assert len(together.counts) > 10
    table, _ = together.table(KINDS)
    assert table.num_rows == 101
    assert len(set(table["id"].to_pylist())) == 101
    assert (table["value"].to_numpy() == table["features.x"].to_numpy()).all()
    counts = dict(table["receipt"].value_counts().to_pylist()[0].items())
    assert counts == {"values": receipt.pk.bytes, "counts": 100}


def test_only_the_wanted_ids_are_read_and_unknown_ones_are_nothing(
    version: ModelVersion,
) -> None:
    rows = [{"features": {"x": place}} for place in range(5)]
    keys = traffic.ids_of(traffic.log(version, rows))
    table = logged.with_ids([*keys[1:3], *uuid7s(2)], KINDS)
    assert sorted(table["id"].to_pylist()) == [key.bytes for key in keys[1:3]]
    assert sorted(table["features.x"].to_pylist()) == [1.0, 2.0]
    nothing = logged.with_ids(uuid7s(2), KINDS)
    assert isinstance(nothing, pa.Table)
    assert nothing.num_rows == 0
