"""A server that faults strike: what is in it, and the processes that it is made of."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import psutil
import psycopg2
from psycopg2 import extensions

from driftguard.demo.api import Api
from driftguard.embedded.cluster import PORT, SUPERUSER, Cluster
from tests.running_server import RunningServer
from tests.senders import features

SECONDS = 240
BASELINE_ROWS = 400


@contextmanager
def database(server: RunningServer) -> Iterator[extensions.connection]:
    sockets = Cluster(server.directory / "postgres").socket_directory()
    connection = psycopg2.connect(
        dbname="driftguard", user=SUPERUSER, host=str(sockets), port=PORT
    )
    try:
        yield connection
    finally:
        connection.close()


def query(server: RunningServer, statement: str) -> list[tuple[object, ...]]:
    with database(server) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


def wait_until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"never came true: {what}"
        time.sleep(0.1)


def register(server: RunningServer) -> tuple[str, str]:
    """Make an organization with a model and its baseline; return key and slug."""
    answer = httpx.post(f"{server.url}/auth/register", json={"name": "Fragile Bank"})
    key = answer.raise_for_status().json()["api_key"]
    with Api(server.url, key) as api:
        model = api.post(
            "/api/models",
            {
                "model_name": "Fragile",
                "version": "1",
                "task": "binary",
                "classes": [0, 1],
                "schema_definition": {
                    "features": ["amount", "country"],
                    "feature_types": {"amount": "float", "country": "categorical"},
                },
            },
        )["slug"]
        rows = [features(number) for number in range(BASELINE_ROWS)]
        labels = [number % 2 for number in range(BASELINE_ROWS)]
        api.post(
            "/api/v1/drift/baselines",
            {
                "modelId": model,
                "version": "v1",
                "featureData": {
                    name: [row[name] for row in rows] for name in ("amount", "country")
                },
                "labeledPredictions": {
                    "probabilities": [[0.75, 0.25], [0.25, 0.75]]
                    * (BASELINE_ROWS // 2),
                    "predictedLabels": labels,
                    "actualLabels": labels,
                },
            },
        )
    return key, model


def kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        process.kill()
    _, alive = psutil.wait_procs(processes, timeout=30)
    assert not alive


def tree(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def worker(server: RunningServer) -> list[psutil.Process]:
    [main, *_] = server.find("celery --quiet --app=driftguard.celery:app worker")
    return tree(main)


def web_processes(server: RunningServer) -> list[psutil.Process]:
    """Find those that answer requests, not their parent."""
    [main, *_] = server.find("granian --interface=wsgi")
    return main.children()


def postgres(server: RunningServer) -> list[psutil.Process]:
    [main, *_] = server.find("postgres -D")
    return tree(main)
