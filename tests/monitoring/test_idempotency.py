"""Retried requests are stored once and answered alike, also when they race."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection, transaction

from governance.models import ModelVersion
from monitoring.ingest import idempotency
from monitoring.models import GroundTruth, IdempotencyKey, Prediction, Receipt
from tests import factories
from tests.monitoring.calls import Caller

ONE = "/api/logs/prediction"
MANY = "/api/logs/prediction/batch"
TELL = "/api/v1/drift/ground-truth"
KEY = "Idempotency-Key"


def in_threads(count: int, work: Callable[[int], Any]) -> list[Any]:
    """Do the work in threads that start together, each with its own connection."""
    start = threading.Barrier(count)

    def run(number: int) -> Any:
        start.wait()
        try:
            return work(number)
        finally:
            connection.close()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


@pytest.fixture
def version(cloned_db: str) -> ModelVersion:
    return factories.make_version(factories.make_alice())


@pytest.fixture
def call(version: ModelVersion) -> Caller:
    person = factories.Person(version.created_by, version.organization)
    return Caller(factories.make_api_key(person)[1])


def row(version: ModelVersion, **fields: Any) -> dict[str, Any]:
    base = {"model_id": version.model_id, "input_features": {"age": 1}}
    return {**base, "prediction": 1, **fields}


def batch(version: ModelVersion, rows: int) -> dict[str, Any]:
    one = {"input_features": {"age": 1}, "prediction": 1}
    return {"model_id": version.model_id, "predictions": [one] * rows}


@pytest.mark.parametrize("rows", [1, 60])
def test_the_same_key_and_body_give_the_first_answer_again(
    call: Caller, version: ModelVersion, rows: int
) -> None:
    body = batch(version, rows)
    first = call.raw("POST", MANY, body, **{KEY: "k1"})
    again = call.raw("POST", MANY, body, **{KEY: "k1"})
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.content == again.content
    assert Prediction.objects.count() == rows
    assert Receipt.objects.count() == 1


def test_the_same_key_with_another_request_is_refused(
    call: Caller, version: ModelVersion
) -> None:
    call.post(ONE, row(version), **{KEY: "k1"})
    for path, body in [
        (ONE, row(version, prediction=0)),
        (MANY, row(version)),
        (f"{ONE}?a=1", row(version)),
    ]:
        status, answer = call.post(path, body, **{KEY: "k1"})
        assert status == 422, answer
    assert call.post(ONE, row(version, prediction=0), **{KEY: "k1"})[1]["code"] == (
        "idempotency_mismatch"
    )
    assert Prediction.objects.count() == 1


def test_another_organization_may_use_the_same_key(
    call: Caller, version: ModelVersion
) -> None:
    charlie = factories.make_charlie()
    theirs = factories.make_version(charlie)
    stranger = Caller(factories.make_api_key(charlie)[1])
    assert call.post(ONE, row(version), **{KEY: "k1"})[0] == 201
    assert stranger.post(ONE, row(theirs), **{KEY: "k1"})[0] == 201
    assert Prediction.objects.count() == 2


def test_a_refused_request_leaves_its_key_free(
    call: Caller, version: ModelVersion
) -> None:
    assert call.post(ONE, row(version, prediction=None), **{KEY: "k1"})[0] == 422
    assert call.post(ONE, row(version), **{KEY: "k1"})[0] == 201


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there"])
def test_a_key_that_cannot_be_kept_is_refused(
    call: Caller, version: ModelVersion, key: str
) -> None:
    caller = Caller(call.key)
    caller.headers = {}
    response = caller.raw("POST", ONE, row(version), **{KEY: key or " "})
    assert response.status_code == (422 if key else 201)


def test_after_a_day_a_key_is_free_again(call: Caller, version: ModelVersion) -> None:
    call.post(ONE, row(version), **{KEY: "k1"})
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE monitoring_idempotencykey "
            "SET created_at = now() - interval '24 hours 1 second'"
        )
    assert call.post(ONE, row(version, prediction=0), **{KEY: "k1"})[0] == 201
    assert Prediction.objects.count() == 2
    assert IdempotencyKey.objects.count() == 1


@pytest.mark.parametrize("rows", [1, 60])
def test_racing_repetitions_store_one_and_answer_alike(
    call: Caller, version: ModelVersion, rows: int
) -> None:
    body = batch(version, rows)
    answers = in_threads(16, lambda _: call.raw("POST", MANY, body, **{KEY: "k"}))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert Prediction.objects.count() == rows


def test_racing_requests_with_crossing_keys_do_not_deadlock(
    call: Caller, version: ModelVersion
) -> None:
    def work(number: int) -> list[int]:
        order = range(20) if number % 2 else reversed(range(20))
        return [call.post(ONE, row(version), **{KEY: f"k{n}"})[0] for n in order]

    answers = in_threads(8, work)
    assert {status for one in answers for status in one} == {201}
    assert Prediction.objects.count() == 20


def test_racing_ground_truth_makes_one_label(
    call: Caller, version: ModelVersion
) -> None:
    call.post(ONE, row(version, entity_id="c"))
    body = {"modelId": version.model_id, "entityId": "c", "actualOutcome": "1"}
    keyed = in_threads(8, lambda _: call.raw("POST", TELL, body, **{KEY: "k"}))
    assert {answer.status_code for answer in keyed} == {201}
    bare = in_threads(8, lambda _: call.raw("POST", TELL, body))
    assert len({answer.content for answer in keyed + bare}) == 1
    assert GroundTruth.objects.count() == 1


def test_racing_corrections_leave_one_current_label(
    call: Caller, version: ModelVersion
) -> None:
    prediction = call.post(ONE, row(version))[1]["id"]
    answers = in_threads(
        8, lambda number: call.put(f"{ONE}/{prediction}", {"actual_label": number})
    )
    assert {status for status, _ in answers} == {200}
    assert GroundTruth.objects.current().count() == 1
    assert GroundTruth.objects.count() == 8


def test_a_key_in_flight_for_too_long_is_409(
    call: Caller, version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idempotency, "WAIT_SECONDS", 0.2)
    holder_has_it, may_end = threading.Event(), threading.Event()

    def hold() -> None:
        key = idempotency.make_key(version.organization_id, "k1", b"another")
        with transaction.atomic(), connection.cursor() as cursor:
            idempotency.claim(cursor, {key: None})
            holder_has_it.set()
            may_end.wait()
            transaction.set_rollback(True)
        connection.close()

    holder = threading.Thread(target=hold)
    holder.start()
    holder_has_it.wait()
    try:
        status, answer = call.post(ONE, row(version), **{KEY: "k1"})
        assert (status, answer["code"]) == (409, "idempotency_in_flight")
        # It holds up nobody else.
        assert call.post(ONE, row(version), **{KEY: "k2"})[0] == 201
    finally:
        may_end.set()
        holder.join()
    assert call.post(ONE, row(version), **{KEY: "k1"})[0] == 201
