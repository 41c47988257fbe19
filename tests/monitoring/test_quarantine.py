"""Quarantine: wrong traffic is taken out of the counts, and stays in the tables."""

import datetime as dt
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from governance.models import Assessment, AuditEntry, ModelVersion
from monitoring.actions import baselines, profiles, segments
from monitoring.models import Prediction, Quarantine, Receipt
from tests.factories import Person, make_alice, make_api_key, make_charlie
from tests.monitoring import traffic
from tests.monitoring.test_refresh import answers, give_baseline, rows
from tests.monitoring.traffic import HOUR, NOW

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice() -> Person:
    return make_alice()


@pytest.fixture
def version(alice: Person) -> ModelVersion:
    version = traffic.make_watched(
        alice,
        features=["x", "y"],
        feature_types={"x": "float", "y": "float"},
        task="binary",
        classes=[0, 1],
    )
    give_baseline(version)
    return version


def quarantine(person: Person, version: ModelVersion, **changes: Any) -> Any:
    _, key = make_api_key(person)
    now = timezone.now()
    body = {
        "from": (now - dt.timedelta(hours=1)).isoformat(),
        "until": (now + dt.timedelta(hours=1)).isoformat(),
        "reason": "A load test hit production.",
        **changes,
    }
    return Client(headers={"X-API-Key": key}).post(
        f"/api/models/{version.model.slug}/quarantines",
        body,
        content_type="application/json",
    )


def test_quarantined_predictions_leave_the_counts_and_lift_the_block(
    alice: Person, version: ModelVersion
) -> None:
    wanted, _ = make_api_key(alice)
    leaked, _ = make_api_key(alice)
    good = traffic.log(version, rows(400), api_key=wanted)
    traffic.label(version, answers(good, wrong=0.1))
    before = traffic.live(version)
    bad = traffic.log(
        version,
        rows(2_000, shift=2.0),
        at=[NOW - place % 3 * HOUR for place in range(2_000)],
        api_key=leaked,
    )
    traffic.label(version, answers(bad, wrong=0.9))
    assert traffic.live(version).status == "alert"
    assert Assessment.objects.get(version=version).status == "BLOCKED"
    answer = quarantine(alice, version, api_key=leaked.prefix)
    assert answer.status_code == 201, answer.content
    assert answer.json()["predictions"] == 2_000
    live = traffic.live(version)
    assert (live.predictions, live.labels) == (400, 400)
    assert live.drift["max_psi"] == before.drift["max_psi"]
    same, earlier = live.performance["periods"][0], before.performance["periods"][0]
    for name in ("roc_auc", "accuracy", "f1"):
        assert same["metrics"][name] == earlier["metrics"][name]
    for _ in range(2):
        Receipt.objects.update(pending=True)
        traffic.live(version)
    assert Assessment.objects.get(version=version).status == "APPROVED"
    assert Prediction.objects.filter(version_id=version.pk).count() == 2_400
    bad.refresh_from_db()
    assert bad.quarantine is not None
    entry = AuditEntry.objects.get(action="predictions.quarantined")
    assert entry.actor_type == "api_key"


def test_predictions_that_are_quarantined_before_they_are_counted_never_count(
    alice: Person, version: ModelVersion
) -> None:
    receipt = traffic.log(version, rows(50))
    assert quarantine(alice, version).status_code == 201
    traffic.label(version, answers(receipt, wrong=0.1))
    traffic.log(version, rows(60), received_at=timezone.now() + dt.timedelta(hours=2))
    live = traffic.live(version)
    assert (live.predictions, live.labels) == (60, 0)


def test_taking_out_twice_takes_out_once(alice: Person, version: ModelVersion) -> None:
    traffic.log(version, rows(40))
    traffic.log(version, rows(30), received_at=timezone.now() - dt.timedelta(days=1))
    traffic.count_all()
    assert quarantine(alice, version).status_code == 201
    for _ in range(2):
        Receipt.objects.update(pending=True)
        assert traffic.live(version).predictions == 30


def test_a_label_that_comes_for_a_quarantined_prediction_does_not_count(
    alice: Person, version: ModelVersion
) -> None:
    receipt = traffic.log(version, rows(40))
    traffic.log(version, rows(30), received_at=timezone.now() - dt.timedelta(days=1))
    quarantine(alice, version)
    traffic.count_all()
    traffic.label(version, answers(receipt, wrong=0.1))
    assert traffic.live(version).labels == 0


def test_an_analysis_reads_no_quarantined_rows(
    alice: Person, version: ModelVersion
) -> None:
    traffic.log(version, rows(40))
    traffic.log(version, rows(30), received_at=timezone.now() - dt.timedelta(days=1))
    traffic.count_all()
    quarantine(alice, version)
    table = segments.read(version, NOW - 2 * HOUR, NOW + HOUR)
    assert table is not None
    assert table.num_rows == 30


def test_another_baseline_counts_quarantined_rows_no_more_than_the_first(
    alice: Person, version: ModelVersion
) -> None:
    traffic.log(version, rows(40))
    traffic.log(version, rows(30), received_at=timezone.now() - dt.timedelta(days=1))
    traffic.count_all()
    quarantine(alice, version)
    profiles.profile_pending()
    other = baselines.create(
        version, features={"x": [1.0, 2.0], "y": [0.0, 1.0]}, label="2", actor=None
    )
    baselines.activate(other, actor=None)
    live = traffic.live(version)
    assert (live.baseline_id, live.predictions) == (other.pk, 30)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"until": "2020-01-01T00:00:00Z"}, "until"),
        ({"reason": "   "}, "reason"),
        ({"reason": None}, "reason"),
        ({"api_key": "dg_live_nobodyx"}, "api_key"),
        ({"until": "soon"}, "until"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_is_wrong_is_named(
    alice: Person, version: ModelVersion, changes: dict[str, Any], field: str
) -> None:
    answer = quarantine(alice, version, **changes)
    assert answer.status_code == 422, answer.content
    assert [error["loc"][0] for error in answer.json()["errors"]] == [field]
    assert not Quarantine.objects.exists()


def test_a_repeated_quarantine_is_one(alice: Person, version: ModelVersion) -> None:
    _, key = make_api_key(alice)
    client = Client(headers={"X-API-Key": key, "Idempotency-Key": "once"})
    body = {
        "from": "2025-01-01T00:00:00Z",
        "until": "2025-01-02T00:00:00Z",
        "reason": "Twice sent.",
    }
    path = f"/api/models/{version.model.slug}/quarantines"
    answers = [
        client.post(path, body, content_type="application/json") for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    assert Quarantine.objects.count() == 1


def test_charlie_quarantines_nothing_of_alice_s(version: ModelVersion) -> None:
    traffic.log(version, rows(10))
    assert quarantine(make_charlie(), version).status_code == 404
    assert not Receipt.objects.exclude(quarantine=None).exists()
