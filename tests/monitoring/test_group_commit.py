"""Group commit: many requests in one transaction, and none of them suffers for it."""

import itertools
import threading
from collections import Counter
from typing import Any

import psycopg2
import pytest
from django.conf import settings
from django.db import close_old_connections, connection

from governance import availability
from governance.exceptions import UnavailableError
from governance.models import ModelVersion
from monitoring.ingest import group_commit, writing
from monitoring.models import Prediction, Receipt
from tests import factories
from tests.monitoring.calls import Caller
from tests.monitoring.test_idempotency import KEY, MANY, ONE, batch, in_threads, row


@pytest.fixture
def version(cloned_db: str) -> ModelVersion:
    return factories.make_version(factories.make_alice())


@pytest.fixture
def call(version: ModelVersion) -> Caller:
    person = factories.Person(version.created_by, version.organization)
    return Caller(factories.make_api_key(person)[1])


def test_requests_that_arrive_together_share_receipts(
    call: Caller, version: ModelVersion
) -> None:
    answers = in_threads(
        32,
        lambda number: [
            call.post(ONE, row(version, entity_id=f"{number}-{n}")) for n in range(10)
        ],
    )
    stored = {one.public_id: one.entity_id for one in Prediction.objects.all()}
    assert len(stored) == 320
    for number, many in enumerate(answers):
        for n, (status, answer) in enumerate(many):
            assert status == 201
            assert stored[answer["id"]] == f"{number}-{n}"
    receipts = list(Receipt.objects.all())
    assert len(receipts) < 320
    assert sum(receipt.rows for receipt in receipts) == 320
    for receipt in receipts:
        rows = Prediction.objects.filter(receipt=receipt).order_by("id")
        pks = [one.pk for one in rows]
        assert (pks[0], pks[-1], len(pks)) == (
            receipt.first_id,
            receipt.last_id,
            receipt.rows,
        )


def test_one_bad_request_in_a_flush_hurts_nobody_else(
    call: Caller, version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that only the database refuses: here, of a version that is gone."""
    real = writing.Flush.write
    together = threading.Barrier(8)

    def spoil(flush: writing.Flush, *, wait: float) -> None:
        for request in flush.requests:
            for place, line in enumerate(request.lines):
                if b"spoil me" in line.tail:
                    broken = line._replace(tail=line.tail[:-6])
                    request.lines = [
                        *request.lines[:place],
                        broken,
                        *request.lines[place + 1 :],
                    ]
        real(flush, wait=wait)

    monkeypatch.setattr(writing.Flush, "write", spoil)

    def work(number: int) -> Any:
        entity = "spoil me" if number == 3 else "fine"
        together.wait()
        try:
            return call.post(ONE, row(version, entity_id=entity))[0]
        except psycopg2.Error:
            return 500
        except Exception as error:  # noqa: BLE001 (Django's error for it)
            return type(error).__name__

    answers = in_threads(8, work)
    assert [one for one in answers if one == 201] == [201] * 7
    assert Prediction.objects.count() == 7
    assert sum(Receipt.objects.values_list("rows", flat=True)) == 7


def terminate_others() -> int:
    """End every other connection to the test's database; return how many."""
    own = psycopg2.connect(**parameters(settings.DATABASES["default"]["NAME"]))
    own.autocommit = True
    with own.cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        (ended,) = cursor.fetchone() or (0,)
    own.close()
    return int(ended)


def test_connections_killed_in_the_middle_lose_and_double_nothing(
    call: Caller, version: ModelVersion
) -> None:
    """Clients repeat what was refused, with the same key, until it is accepted."""
    killed: list[int] = []
    refused: list[int] = []

    def send(number: int, n: int) -> int:
        name = f"{number}-{n}"
        size = 60 if n % 5 == 0 else 1
        one = {"input_features": {}, "prediction": 1, "entity_id": name}
        body = {"model_id": version.model_id, "predictions": [one] * size}
        while (status := call.post(MANY, body, **{KEY: name})[0]) != 201:
            refused.append(status)
            threading.Event().wait(0.02)
            # As the handler does before every request, which no test client does.
            close_old_connections()
        return size

    def work(number: int) -> int:
        # Until the fault has fired often enough; the first worker is the fault.
        sent = 0
        for n in itertools.count():
            if len(killed) >= 15 and sum(killed) >= 30:
                return sent
            if number == 0:
                killed.append(terminate_others())
                threading.Event().wait(0.1)
            else:
                sent += send(number, n)
        return sent

    sent = in_threads(7, work)
    connection.close()
    assert set(refused) <= {503}
    stored = Counter(Prediction.objects.values_list("entity_id", flat=True))
    assert stored.total() == sum(sent)
    assert set(stored.values()) <= {1, 60}
    receipts = Receipt.objects.values_list("rows", flat=True)
    assert stored.total() == sum(receipts)


def test_a_commit_whose_confirmation_is_lost_is_not_stored_again(
    call: Caller, version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection dies after the commit and before its answer."""
    assert call.post(ONE, row(version))[0] == 201
    real = writing._write
    tries = []

    def lose(flush: writing.Flush, wait: float) -> None:
        real(flush, wait)
        tries.append(1)
        if len(tries) == 1:
            raise writing.OperationalError("server closed the connection")

    monkeypatch.setattr(writing, "_write", lose)
    assert call.post(ONE, row(version))[0] == 201
    assert call.post(MANY, batch(version, 60), **{KEY: "k"})[0] == 201
    assert len(tries) >= 2
    assert Prediction.objects.count() == 62


def test_a_database_that_is_away_is_503_at_once_and_comes_back(
    call: Caller, version: ModelVersion
) -> None:
    assert call.post(ONE, row(version))[0] == 201
    name = settings.DATABASES["default"]["NAME"]
    settings.DATABASES["default"]["NAME"] = "nowhere"
    connection.close()
    terminate = psycopg2.connect(**parameters(name))
    terminate.autocommit = True
    with terminate.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = %s AND pid <> pg_backend_pid()",
            [name],
        )
    terminate.close()
    try:
        response = call.raw("POST", ONE, row(version))
        assert (response.status_code, response["Retry-After"]) == (503, "1")
        assert response["Content-Type"] == "application/problem+json"
        with pytest.raises(UnavailableError):
            availability.check()
        assert call.raw("POST", MANY, batch(version, 60)).status_code == 503
    finally:
        settings.DATABASES["default"]["NAME"] = name
    recovered = threading.Event()
    for _ in range(200):
        if call.raw("POST", ONE, row(version)).status_code == 201:
            recovered.set()
            break
        threading.Event().wait(0.05)
    assert recovered.is_set()
    assert Prediction.objects.count() == 2


def parameters(name: str) -> dict[str, Any]:
    login = settings.DATABASES["default"]
    return {
        "dbname": name,
        "user": login["USER"],
        "password": login["PASSWORD"],
        "host": login["HOST"],
        "port": login["PORT"],
    }


def test_a_request_that_waits_too_long_is_taken_back(
    version: ModelVersion, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "WAIT_SECONDS", 0.05)
    entered, may_go = threading.Event(), threading.Event()
    real = writing.commit

    def slow(flush: writing.Flush, **wait: float) -> None:
        entered.set()
        may_go.wait()
        real(flush, **wait)

    monkeypatch.setattr(writing, "commit", slow)
    first = threading.Thread(target=call.post, args=[ONE, row(version)])
    first.start()
    entered.wait()
    status, answer = call.post(ONE, row(version))
    assert (status, answer["detail"]) == (
        503,
        "The database is too slow; nothing was stored.",
    )
    may_go.set()
    first.join()
    for _ in range(100):
        if Prediction.objects.count() == 1:
            break
        threading.Event().wait(0.02)
    assert Prediction.objects.count() == 1
