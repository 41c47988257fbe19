"""Baselines that come along with a new model: fitted first, stored with it."""

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection
from django.http import HttpResponse
from django.test import Client

from governance.models import ModelVersion, RegisteredModel
from monitoring.actions import baselines
from monitoring.models import Baseline
from tests.factories import make_alice
from tests.monitoring.test_baselines import client_of, faults

REGISTRATION: dict[str, Any] = {
    "model_name": "With baseline",
    "version": "1",
    "schema_definition": {"features": ["x"]},
    "baseline": {"featureData": {"x": [1.0, 2.0]}},
}


def send(client: Client, *, key: str = "", **fields: Any) -> HttpResponse:
    """Register a model with its baseline; what is None is left out."""
    body = {**REGISTRATION, **fields}
    return client.post(
        "/api/models",
        json.dumps({name: value for name, value in body.items() if value is not None}),
        content_type="application/json",
        headers={"Idempotency-Key": key} if key else {},
    )


@pytest.fixture
def client(db: None) -> Client:
    return client_of(make_alice())


def test_a_baseline_may_come_along_with_the_model(client: Client) -> None:
    answer = send(client)
    assert answer.status_code == 201, answer.content
    assert Baseline.objects.get().sample_size == 2


def test_what_is_wrong_with_a_baseline_that_comes_along_is_named(
    client: Client,
) -> None:
    answer = send(client, baseline={"featureData": {"x": [1.0], "y": [1, 2]}})
    assert answer.status_code == 422
    assert faults(answer) == [["baseline", "featureData", "x"]]
    answer = send(client, baseline=[1])
    assert faults(answer) == [["baseline"]]
    assert not RegisteredModel.objects.exists()


@contextmanager
def no_place() -> Iterator[None]:
    """Let nobody fit a baseline meanwhile."""
    for _ in range(2):
        baselines.PLACES.acquire()
    try:
        yield
    finally:
        for _ in range(2):
            baselines.PLACES.release()


def test_nothing_is_fitted_for_what_is_refused_or_was_answered_before(
    client: Client, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.PROCESS = "web"
    monkeypatch.setattr(baselines, "PLACE_SECONDS", 0.01)
    first = send(client, key="one")
    with no_place():
        assert send(client, key="one").content == first.content
        assert send(client).status_code == 409
        assert send(client, version="2").status_code == 503
    assert send(client, version="2").status_code == 201


def in_transaction() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND state LIKE 'idle in transaction%'"
        )
        return int(cursor.fetchone()[0])


class Registering(threading.Thread):
    """A client that registers while others go on."""

    def __init__(self, client: Client, **fields: Any) -> None:
        super().__init__()
        self.client, self.fields = client, fields
        self.answer: HttpResponse | None = None

    def run(self) -> None:
        self.answer = send(self.client, **self.fields)
        connection.close()


@contextmanager
def under_way(*threads: Registering) -> Iterator[None]:
    """Do something while these wait for a place; they have ended afterwards."""
    with no_place():
        for thread in threads:
            thread.start()
        while not all(map(is_waiting, threads)):
            time.sleep(0.01)
        yield
    for thread in threads:
        thread.join()


def is_waiting(thread: threading.Thread) -> bool:
    """Tell whether a thread waits for a place to fit its baseline in."""
    frame = sys._current_frames().get(thread.ident or 0)
    while frame is not None:
        if frame.f_code is baselines._run.__code__:
            return True
        frame = frame.f_back
    return False


def test_a_baseline_that_comes_along_is_fitted_outside_of_the_transaction(
    cloned_db: str, settings: Any
) -> None:
    settings.PROCESS = "web"
    client = client_of(make_alice())
    assert send(client, baseline=None).status_code == 201
    waiting = [Registering(client, version=name) for name in ("2", "3")]
    with under_way(*waiting):
        # Nobody holds a lock or a snapshot, and others go on.
        assert in_transaction() == 0
        assert send(client, version="4", baseline=None).status_code == 201
    assert [one.answer.status_code for one in waiting] == [201, 201]
    assert Baseline.objects.count() == 2


def test_a_baseline_fitted_to_another_schema_than_the_version_gets_is_refused(
    cloned_db: str, settings: Any
) -> None:
    settings.PROCESS = "web"
    client = client_of(make_alice())
    assert send(client, baseline=None).status_code == 201
    inheriting = Registering(client, version="2", schema_definition=None)
    with under_way(inheriting):
        other = {"features": ["x", "y"]}
        send(client, version="3", schema_definition=other, baseline=None)
    assert inheriting.answer.status_code == 409
    known = set(ModelVersion.objects.values_list("version", flat=True))
    assert known == {"1", "3"}
    assert not Baseline.objects.exists()
