"""SIGTERM in the middle of traffic: whatever a web process began, it answers."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

from django.conf import settings

from monitoring.models import Prediction
from tests import factories
from tests.running_server import ROOT, free_port

CLIENTS = 8
ENOUGH = 20 * CLIENTS


class Client(threading.Thread):
    """Logs one prediction after the other until the server goes away."""

    def __init__(self, port: int, model: int, key: str) -> None:
        super().__init__()
        self.port = port
        self.body = json.dumps(
            {"model_id": model, "input_features": {}, "prediction": 1}
        )
        self.headers = {
            "Authorization": f"Bearer {key}",
            "Content-Type": "application/json",
        }
        self.stored = 0
        self.surprise: object = None

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        while self.surprise is None:
            try:
                connection.request(
                    "POST", "/api/logs/prediction", self.body, self.headers
                )
                response = connection.getresponse()
                response.read()
            except OSError:
                return  # it listens no more, or had closed the idle connection
            except http.client.HTTPException as error:
                self.surprise = error
            else:
                if response.status == 201:
                    self.stored += 1
                else:
                    self.surprise = response.status


@contextmanager
def web_process(database: str, port: int) -> Iterator["subprocess.Popen[bytes]"]:
    login = settings.DATABASES["default"]
    where = f"host={quote(login['HOST'], safe='')}&port={login['PORT']}"
    url = f"postgresql://{login['USER']}:{login['PASSWORD']}@/{database}?{where}"
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "granian", "--interface=wsgi", "--workers=1"),
            *("--blocking-threads=16", "--log-level=error", f"--port={port}"),
            "driftguard.wsgi:application",
        ],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": url},
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def wait_for(port: int) -> None:
    for _ in range(600):
        try:
            http.client.HTTPConnection("127.0.0.1", port).connect()
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError("the server never listened")


def test_a_web_process_that_ends_answers_all_that_it_stores(cloned_db: str) -> None:
    alice = factories.make_alice()
    model = factories.make_model(alice).pk
    key = factories.make_api_key(alice)[1]
    port = free_port()
    clients = [Client(port, model, key) for _ in range(CLIENTS)]
    with web_process(cloned_db, port) as process:
        wait_for(port)
        for client in clients:
            client.start()
        while sum(client.stored for client in clients) < ENOUGH and all(
            client.is_alive() for client in clients
        ):
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        for client in clients:
            client.join()
    assert [client.surprise for client in clients] == [None] * CLIENTS
    stored = sum(client.stored for client in clients)
    assert stored >= ENOUGH
    assert Prediction.objects.count() == stored
