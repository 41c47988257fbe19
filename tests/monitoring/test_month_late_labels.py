"""Clients recur every month, and their outcomes come a month late.

The plain rule (the entity's latest prediction before the outcome) joins each of them to
the wrong month. The prediction's time stamp or a label horizon tells the right one.
"""

import datetime as dt
from typing import Any

import pytest
from django.test import Client

from governance.models import ModelVersion
from monitoring.actions import baselines, hours, standards
from monitoring.models import GroundTruth, Prediction
from monitoring.stats import realized
from tests.factories import Person, make_alice, make_api_key
from tests.monitoring import traffic

pytestmark = pytest.mark.django_db

CLIENTS = range(120)
MONTH_ENDS = [dt.datetime(2025, m, 28, 9, tzinfo=dt.UTC) for m in (5, 6, 7)]
# Known a moment before the next month's batch is scored.
LATER = dt.timedelta(days=30, hours=23)


def predicted(client: int, month: int) -> int:
    return (client * 7 + month * 3) % 5 % 2


def outcome(client: int, month: int) -> int:
    return (client * 3 + month * 5) % 4 % 2


@pytest.fixture
def alice() -> Person:
    return make_alice()


@pytest.fixture
def client(alice: Person) -> Client:
    _, key = make_api_key(alice)
    return Client(headers={"X-API-Key": key})


def make_version(alice: Person, *, horizon: bool) -> ModelVersion:
    version = traffic.make_watched(
        alice, cadence="monthly", features=["x"], task="binary", classes=[0, 1]
    )
    if horizon:
        version.model.label_horizon_min = LATER - dt.timedelta(days=3)
        version.model.label_horizon_max = LATER + dt.timedelta(days=3)
        version.model.save()
    baselines.create(
        version,
        features={"x": [1.0, 2.0, 3.0]},
        labeled={"predictedLabels": [0, 1], "actualLabels": [0, 1]},
        label="at launch",
        actor=None,
    )
    return version


def log_month(client: Client, version: ModelVersion, month: int) -> None:
    rows = [
        {
            "input_features": {"x": 1.0},
            "prediction": predicted(number, month),
            "entity_id": f"client {number}",
            "timestamp": MONTH_ENDS[month].isoformat(),
        }
        for number in CLIENTS
    ]
    sent = {"model_id": version.model.slug, "predictions": rows}
    answer = client.post(
        "/api/logs/prediction/batch", sent, content_type="application/json"
    )
    assert answer.status_code == 201, answer.content


def tell_month(
    client: Client, version: ModelVersion, month: int, *, with_time: bool
) -> None:
    records: list[dict[str, Any]] = [
        {
            "entityId": f"client {number}",
            "actualOutcome": str(outcome(number, month)),
            "outcomeTimestamp": (MONTH_ENDS[month] + LATER).isoformat(),
        }
        for number in CLIENTS
    ]
    if with_time:
        for record in records:
            record["predictionTimestamp"] = MONTH_ENDS[month].isoformat()
    answer = client.post(
        "/api/v1/drift/ground-truth/batch",
        {"modelId": version.model.slug, "records": records},
        content_type="application/json",
    )
    assert answer.status_code == 200, answer.content


@pytest.mark.parametrize("how", ["time stamp", "horizon"])
@pytest.mark.parametrize("order", ["late", "labels first"])
def test_no_outcome_is_joined_to_a_wrong_month(
    client: Client, alice: Person, how: str, order: str
) -> None:
    version = make_version(alice, horizon=how == "horizon")
    with_time = how == "time stamp"
    for month in range(3):
        if order == "labels first":
            tell_month(client, version, month, with_time=with_time)
            traffic.count_all()
        log_month(client, version, month)
        traffic.count_all()
        if order == "late" and month:
            tell_month(client, version, month - 1, with_time=with_time)
            traffic.count_all()
    known = [0, 1] if order == "late" else [0, 1, 2]
    assert wrong_joins() == 0
    joined = GroundTruth.objects.exclude(prediction_id=None)
    assert joined.count() == len(known) * len(CLIENTS)
    for month in range(3):
        assert confusion(version, month) == expected(month, known=month in known)


def wrong_joins() -> int:
    stored = Prediction.objects.in_bulk(
        GroundTruth.objects.exclude(prediction_id=None).values_list(
            "prediction_id", flat=True
        )
    )
    wrong = 0
    for label in GroundTruth.objects.exclude(prediction_id=None):
        joined = stored[label.prediction_id]
        assert joined.entity_id == label.entity_id
        wrong += joined.timestamp + LATER != label.outcome_timestamp
    return wrong


def confusion(version: ModelVersion, month: int) -> list[list[int]]:
    """Return what the profiles say: rows are predicted, columns actual classes."""
    baseline = standards.counted(version)[0]
    layout = standards.gauge(baseline.pk).layout
    assert layout is not None
    hour = MONTH_ENDS[month]
    counts = hours.merged(version, baseline.pk, hour, hour + traffic.HOUR).counts
    assert counts.rows == len(CLIENTS)
    assert counts.outcomes is not None
    found = realized.realized(layout, counts.outcomes).confusion
    assert found is not None
    return found


def expected(month: int, *, known: bool) -> list[list[int]]:
    table = [[0, 0], [0, 0]]
    for number in CLIENTS if known else ():
        table[predicted(number, month)][outcome(number, month)] += 1
    return table
