"""Health, headers, and what a web process carries with it."""

import base64
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.test import Client
from kombu import Connection
from pytest_django import DjangoAssertNumQueries, Settings

from driftguard import health, wsgi
from driftguard.celery import app
from driftguard.roles import acting_as_owner
from tests.running_server import ROOT, free_port

HEAVY = ("scipy", "pandas", "pyarrow", "sklearn")


@pytest.fixture(autouse=True)
def message_directory() -> None:
    settings.MESSAGE_DIR.mkdir(parents=True, exist_ok=True)
    health.broker.reached_at = float("-inf")


def test_a_web_process_starts_without_the_libraries_of_the_worker() -> None:
    program = (
        "import sys; from driftguard import wsgi; "
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert finished.stdout == "[]\n"


def test_health_needs_no_database(client: Client) -> None:
    answer = client.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@pytest.mark.django_db
def test_ready_when_the_database_the_migrations_and_the_broker_are_there(
    client: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(1):
        answer = client.get("/readyz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def refusal(client: Client) -> str:
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer["Content-Type"] == "application/problem+json"
    assert int(answer["Retry-After"]) >= 1
    problem = answer.json()
    assert problem["status"] == 503
    return str(problem["detail"])


@pytest.mark.django_db
def test_not_ready_while_a_migration_is_missing(client: Client) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'sessions'")
    assert refusal(client) == "Not ready: migrations."


@pytest.mark.django_db
def test_not_ready_without_a_broker(
    client: Client, settings: Settings, tmp_path: Path
) -> None:
    settings.MESSAGE_DIR = tmp_path / "missing"
    assert refusal(client) == "Not ready: broker."
    settings.MESSAGE_DIR = None
    settings.CELERY_BROKER_URL = f"amqp://guest:guest@127.0.0.1:{free_port()}//"
    assert refusal(client) == "Not ready: broker."


@pytest.mark.rabbitmq
@pytest.mark.django_db
def test_ready_with_a_real_rabbitmq(client: Client, settings: Settings) -> None:
    settings.MESSAGE_DIR = None
    settings.CELERY_BROKER_URL = os.environ.get(
        "TEST_RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672//"
    )
    assert client.get("/readyz").status_code == 200


def test_not_ready_without_a_database(client: Client, cloned_db: str) -> None:
    port = connection.settings_dict["PORT"]
    connection.close()
    connection.settings_dict["PORT"] = str(free_port())
    try:
        detail = refusal(client)
    finally:
        connection.close()
        connection.settings_dict["PORT"] = port
    assert detail == "Not ready: database."
    assert client.get("/readyz").status_code == 200


def test_a_sane_request_id_is_kept_and_any_other_replaced(client: Client) -> None:
    kept = client.get("/healthz", headers={"X-Request-ID": "order-42_a.b"})
    assert kept["X-Request-ID"] == "order-42_a.b"
    for bad in ("a b", "x" * 129, "é", "a\nb", ""):
        replaced = client.get("/healthz", headers={"X-Request-ID": bad})
        assert replaced["X-Request-ID"] != bad
        assert len(replaced["X-Request-ID"]) == 32


def test_pages_may_only_load_what_comes_from_here(client: Client) -> None:
    answer = client.get("/healthz")
    policy = answer["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "script-src 'self';" in policy
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Referrer-Policy"] == "same-origin"


def call(path: str) -> dict[str, str]:
    """Send a request through the WSGI application and return the headers."""
    found: dict[str, str] = {}

    def start_response(_status: str, headers: list[tuple[str, str]]) -> None:
        found.update(headers)

    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "wsgi.input": io.BytesIO(),
    }
    list(wsgi.application(environ, start_response))
    return found


def test_hot_requests_skip_the_middleware_that_serves_people() -> None:
    ordinary, hot = call("/healthz"), call("/api/logs/prediction")
    assert wsgi.is_hot("/api/logs/prediction")
    assert not wsgi.is_hot("/healthz")
    assert "X-Request-ID" in ordinary
    assert "X-Request-ID" in hot
    assert "Content-Security-Policy" in ordinary
    assert "Content-Security-Policy" not in hot


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_the_interface_documents_itself_without_the_internet(
    client: Client, path: str
) -> None:
    page = client.get(path).content.decode()
    assert "https://" not in page.replace("https://www.w3.org", "")
    assert "/static/drf_spectacular_sidecar/" in page


def deployment() -> dict[str, str]:
    """Return the environment without what the tests in a browser put there."""
    without = {**os.environ}
    without.pop("DJANGO_ALLOW_ASYNC_UNSAFE", None)
    return without


def test_a_deployment_behind_https_passes_the_checks_for_deployments() -> None:
    environment = {
        **deployment(),
        "SITE_URL": "https://driftguard.example",
        "SECRET_KEY": "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ!",
        "SIGNING_KEY": base64.b64encode(bytes(32)).decode(),
    }
    finished = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level=WARNING"],
        cwd=ROOT,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr


def test_a_named_database_without_a_named_secret_is_pointed_out(
    tmp_path: Path,
) -> None:
    environment = {
        **deployment(),
        "SECRET_KEY": "",
        "DRIFTGUARD_DATA_DIR": str(tmp_path),
    }
    finished = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert "driftguard.W001" in finished.stderr
    assert (tmp_path / "secret-key").stat().st_mode & 0o777 == 0o600


def test_migrating_again_changes_nothing(cloned_db: str) -> None:
    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        assert cursor.fetchone() == ("driftguard_app",)
    with acting_as_owner(connection), connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        assert cursor.fetchone() == ("driftguard_owner",)


def test_messages_of_the_embedded_broker_arrive_once_and_in_order() -> None:
    url = settings.CELERY_BROKER_URL
    options = settings.CELERY_BROKER_TRANSPORT_OPTIONS
    with Connection(url, transport_options=options) as broker:
        for number in range(3):
            queue = broker.SimpleQueue("numbers")
            queue.put({"number": number})
            queue.close()
        queue = broker.SimpleQueue("numbers")
        received = []
        for _ in range(3):
            message = queue.get(timeout=5)
            received.append(message.payload["number"])
            message.ack()
        assert received == [0, 1, 2]
        with pytest.raises(queue.Empty):
            queue.get(timeout=0.5)
        queue.close()
    assert list(settings.MESSAGE_DIR.glob("*.numbers.*")) == []


def test_every_scheduled_task_exists_and_its_messages_expire() -> None:
    app.loader.import_default_modules()
    for name, entry in settings.CELERY_BEAT_SCHEDULE.items():
        assert entry["task"] in app.tasks, name
        assert entry["options"]["expires"] > 0, name


@pytest.mark.parametrize(("process", "limit"), [("web", "15s"), ("worker", "0s")])
def test_only_a_request_has_to_end_within_seconds(process: str, limit: str) -> None:
    program = (
        "from django.conf import settings;"
        "print(settings.DATABASES['default']['OPTIONS']['options'])"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "DRIFTGUARD_PROCESS": process},
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"statement_timeout={limit} " in finished.stdout
