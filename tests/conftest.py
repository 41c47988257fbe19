"""The database of the tests: real PostgreSQL, migrated once, cloned where it is used.

``db`` rolls every test back. A test that needs real commits, threads or several
connections asks for ``cloned_db`` and gets a whole database to itself.
"""

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg2
import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connections
from kombu import Connection
from psycopg2.extensions import connection as ServerConnection  # noqa: N812
from pytest_django import DjangoDbBlocker

from driftguard.locks import FileLock
from governance import availability
from tests.environment import TEST_DATABASE_URL, cluster
from tests.running_server import RunningServer

# Measurements, not tests: looking for doctests would start some of them.
collect_ignore = ["bench"]

RUN = uuid.uuid4().hex[:8]
TEMPLATE = f"driftguard_template_{RUN}"


@contextmanager
def administrator() -> Iterator[ServerConnection]:
    """Connect to the server itself, outside all databases of the tests."""
    login = settings.EXTERNAL_DATABASE
    connection = psycopg2.connect(
        dbname="postgres" if not TEST_DATABASE_URL else login["NAME"],
        user=login["USER"],
        password=login["PASSWORD"],
        host=login["HOST"],
        port=login["PORT"],
        **login["OPTIONS"],
    )
    connection.autocommit = True
    try:
        yield connection
    finally:
        connection.close()


def execute(statement: str) -> None:
    with administrator() as connection, connection.cursor() as cursor:
        cursor.execute(statement)


def use_database(name: str) -> None:
    """Point this and every future connection of Django at the database ``name``."""
    connections["default"].close()
    settings.DATABASES["default"]["NAME"] = name
    connections["default"].settings_dict["NAME"] = name


@contextmanager
def clone() -> Iterator[str]:
    """Use a fresh copy of the migrated database; it is dropped afterwards."""
    before = settings.DATABASES["default"]["NAME"]
    name = f"driftguard_test_{RUN}_{uuid.uuid4().hex[:8]}"
    execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} STRATEGY FILE_COPY")
    use_database(name)
    try:
        yield name
    finally:
        use_database(before)
        execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(autouse=True)
def _database_is_there() -> Iterator[None]:
    """What one test learned about the database is no news to the next."""
    yield
    availability.found()


@pytest.fixture(scope="session")
def django_db_setup(django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    if not TEST_DATABASE_URL:
        cluster.attend()
    execute(f"CREATE DATABASE {TEMPLATE}")
    with django_db_blocker.unblock():
        use_database(TEMPLATE)
        call_command("migrate", verbosity=0)
        with clone():
            yield
            connections["default"].close()
    execute(f"DROP DATABASE {TEMPLATE} WITH (FORCE)")


@pytest.fixture
def cloned_db(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[str]:
    """Give the test a database of its own, in which it really commits.

    Threads may open their own connections; what they leave open is cut off at the end.
    """
    with django_db_blocker.unblock(), clone() as name:
        yield name


@pytest.fixture
def transactional_db() -> None:
    """Refuse: emptying every table takes longer than copying the database."""
    pytest.fail("Use the fixture cloned_db instead of transactional_db.")


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """Return the files of an embedded PostgreSQL that is migrated and at rest."""
    shared = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        shared = shared.parent  # of all processes of this run
    directory, done = shared / "migrated", shared / "migrated.done"
    with FileLock(shared / "migrated.lock").waited_for():
        if not done.exists():
            RunningServer(directory, {}).manage("migrate", "--verbosity=0")
            done.touch()
    return directory / "postgres" / "data"


@pytest.fixture(scope="module")
def start_server(
    tmp_path_factory: pytest.TempPathFactory, migrated: Path
) -> Iterator[Callable[..., RunningServer]]:
    """Return a function that starts `manage.py serve` with its own data directory.

    A new one begins with a migrated database, which saves most of the time of a start.
    """
    started: list[RunningServer] = []

    def start(
        directory: Path | None = None, *, wait: bool = True, **variables: str
    ) -> RunningServer:
        server = RunningServer(directory or tmp_path_factory.mktemp("serve"), variables)
        started.append(server)
        server.take_over(migrated)
        server.start(wait=wait)
        return server

    yield start
    for server in started:
        server.stop()


@pytest.fixture(scope="session")
def server(
    tmp_path_factory: pytest.TempPathFactory, migrated: Path
) -> Iterator[RunningServer]:
    """Return the real processes, started once for all tests that only use them."""
    server = RunningServer(tmp_path_factory.mktemp("serve"), {})
    server.take_over(migrated)
    server.start()
    yield server
    server.stop()


def rabbitmq_missing() -> str:
    url = os.environ.get("TEST_RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672//")
    return broker_missing(url)


def redis_missing() -> str:
    return broker_missing(os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379/9"))


def broker_missing(url: str) -> str:
    connection = Connection(url, connect_timeout=2)
    try:
        connection.connect()
    except (OSError, *connection.connection_errors) as error:
        return f"no server at {url.rpartition('@')[2]} ({error})"
    finally:
        connection.release()
    return ""


def redis_server_missing() -> str:
    return "" if shutil.which("redis-server") else "it is not installed"


def browser_missing() -> str:
    names = ("chromium", "chromium-browser", "google-chrome")
    return "" if any(map(shutil.which, names)) else f"none of {names} is installed"


def curl_missing() -> str:
    return "" if shutil.which("curl") else "it is not installed"


NEEDS = {
    "rabbitmq": rabbitmq_missing,
    "redis": redis_missing,
    "redis_server": redis_server_missing,
    "browser": browser_missing,
    "curl": curl_missing,
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that start the real processes: they take longest."""
    slow = {item.path for item in items if item.get_closest_marker("server")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_runtest_setup(item: pytest.Item) -> None:
    for name, missing in NEEDS.items():
        if item.get_closest_marker(name) is None:
            continue
        if reason := missing():
            # On the machine that guards the main branch a skipped test is a lie.
            refuse = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
            refuse(f"This test needs {name}: {reason}.")
