"""Who waits for a server that froze is freed; nobody else is disturbed."""

import socket
import threading
from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest
from django.conf import settings
from django.db import OperationalError, connection, connections
from django.test import Client
from psycopg2 import extensions

from driftguard import pulse
from driftguard.pulse import FrozenError, Pulse
from governance import availability
from tests.factories import make_alice
from tests.governance.api import api_of


@pytest.fixture
def heart() -> Pulse:
    return Pulse()


@pytest.fixture
def parameters(django_db_setup: None) -> dict[str, Any]:
    return connections["default"].get_connection_params()


@pytest.fixture
def silent() -> Iterator[dict[str, Any]]:
    """A server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        yield {"host": "127.0.0.1", "port": port, "dbname": "x", "user": "x"}


def test_a_server_that_answers_is_asked_on_one_connection(
    heart: Pulse, parameters: dict[str, Any]
) -> None:
    heart._ask(parameters)
    probe = heart._probe
    heart._ask(parameters)
    assert probe is heart._probe
    heart._forget()


def test_a_server_that_says_nothing_has_frozen(
    heart: Pulse, silent: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulse, "PATIENCE_SECONDS", 0.2)
    with pytest.raises(FrozenError):
        heart._ask(silent)
    assert heart._probe is None


def test_a_server_that_refuses_has_not_frozen(heart: Pulse) -> None:
    with pytest.raises(psycopg2.OperationalError):
        heart._ask({"host": "127.0.0.1", "port": 1, "dbname": "x", "user": "x"})


def test_whoever_waits_is_cut_off(heart: Pulse, parameters: dict[str, Any]) -> None:
    waiting = psycopg2.connect(**parameters)
    heart.watch(waiting)
    outcome: list[BaseException] = []
    started = threading.Event()

    def wait() -> None:
        with waiting.cursor() as cursor:
            cursor.execute("SELECT 1")
            started.set()
            try:
                cursor.execute("SELECT pg_sleep(600)")
            except psycopg2.OperationalError as error:
                outcome.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    started.wait()
    while waiting.info.transaction_status != extensions.TRANSACTION_STATUS_ACTIVE:
        threading.Event().wait(0.01)
    assert heart.cut() == 1
    thread.join()
    assert len(outcome) == 1


def test_what_is_closed_or_gone_is_left_alone(
    heart: Pulse, parameters: dict[str, Any]
) -> None:
    closed = psycopg2.connect(**parameters)
    heart.watch(closed)
    closed.close()
    heart.watch(psycopg2.connect(**parameters))
    assert len(heart._connections) == 1
    assert heart.cut() == 0


def test_a_socket_of_the_same_number_that_leads_elsewhere_is_left_alone(
    heart: Pulse, parameters: dict[str, Any]
) -> None:
    mine = psycopg2.connect(**parameters)
    heart.watch(mine)
    heart._connections[mine] = ("elsewhere", 1)
    assert heart.cut() == 0
    with mine.cursor() as cursor:
        cursor.execute("SELECT 1")
    mine.close()


def test_djangos_connections_are_known(cloned_db: str) -> None:
    connection.close()
    connection.ensure_connection()
    assert connection.connection in pulse.pulse._connections


@pytest.fixture
def _away(cloned_db: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The database is known to be away, and stays so."""
    monkeypatch.setattr(availability, "_answers", lambda: False)
    availability.lost()
    yield
    availability.found()


@pytest.mark.usefixtures("_away")
def test_nobody_connects_to_a_database_that_is_away() -> None:
    connection.close()
    with pytest.raises(OperationalError, match="known to be away"):
        connection.ensure_connection()


@pytest.mark.parametrize(
    ("path", "accept", "status", "kind"),
    [
        ("/api/models", "*/*", 503, "application/problem+json"),
        ("/admin/", "text/html", 503, "text/html"),
        ("/nothing", "*/*", 503, "application/problem+json"),
        ("/readyz", "*/*", 503, "application/problem+json"),
        ("/healthz", "*/*", 200, "application/json"),
        ("/openapi.json", "*/*", 200, "application/vnd.oai.openapi+json"),
    ],
)
@pytest.mark.usefixtures("_away")
def test_what_needs_a_database_is_refused_at_once(
    path: str, accept: str, status: int, kind: str
) -> None:
    answer = Client().get(path, headers={"Accept": accept})
    assert (answer.status_code, answer["Content-Type"].partition(";")[0]) == (
        status,
        kind,
    )
    if status == 503:
        assert int(answer["Retry-After"]) >= 1
        assert answer["X-Request-ID"]


def test_an_ordinary_request_that_loses_the_database_tells_the_others(
    cloned_db: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = api_of(make_alice())
    monkeypatch.setattr(availability, "_answers", lambda: False)
    monkeypatch.setitem(settings.DATABASES["default"], "NAME", "nowhere")
    connection.close()
    assert api.get("/api/models").status_code == 503
    assert availability.refuses_to_connect()
    availability.found()
