"""C5 on the real processes: a message broker that is away or hangs only delays work.

The broker is a Redis of our own, which is stopped in its tracks, killed, and started
again, while predictions, logins, pages and requests for analyses go on.
"""

import contextlib
import logging
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import redis

from tests.fragile import register, wait_until
from tests.running_server import RunningServer, free_port

pytestmark = [pytest.mark.server, pytest.mark.redis_server]
logger = logging.getLogger(__name__)
PASSPHRASE = "a long enough passphrase"


class Broker:
    def __init__(self, directory: Path) -> None:
        self.directory, self.port = directory, free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            [
                *("redis-server", "--port", str(self.port), "--bind", "127.0.0.1"),
                *("--save", "", "--dir", str(self.directory)),
            ],
            stdout=subprocess.DEVNULL,
        )
        wait_until(self.answers, "Redis is there")

    def answers(self) -> bool:
        try:
            return bool(redis.Redis(port=self.port, socket_timeout=1).ping())
        except redis.RedisError:
            return False

    def hang(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    made = Broker(tmp_path_factory.mktemp("redis"))
    yield made
    made.kill()


class Bank:
    """A server with a model on it, seen from outside."""

    def __init__(self, server: RunningServer) -> None:
        self.server = server
        key, self.model = register(server)
        self.api = httpx.Client(
            base_url=server.url, headers={"X-API-Key": key}, timeout=60
        )
        person = {"email": "ada@example.com", "password": PASSPHRASE, "name": "Ada"}
        self.api.post("/api/auth/register", json=person).raise_for_status()
        self.sent = 0

    def log(self) -> None:
        row = {"input_features": {"amount": 1.5, "country": "DE"}, "prediction": 1}
        rows = {"model_id": self.model, "predictions": [row] * 10}
        self.api.post("/api/logs/prediction/batch", json=rows).raise_for_status()
        one = {"model_id": self.model, **row}
        self.api.post("/api/logs/prediction", json=one).raise_for_status()
        self.sent += 11

    def analyse(self) -> str:
        body = {"modelId": self.model}
        answer = self.api.post("/api/v1/drift/analyze", json=body)
        return str(answer.raise_for_status().json()["jobId"])

    def visit(self) -> None:
        """Log in through the API and through the page, and look at the pages."""
        login = {"username": "ada@example.com", "password": PASSPHRASE}
        self.api.post("/api/auth/login", json=login).raise_for_status()
        with httpx.Client(base_url=self.server.url, timeout=60) as browser:
            browser.get("/admin/login/")
            token = browser.cookies["csrftoken"]
            form = {**login, "csrfmiddlewaretoken": token}
            entered = browser.post("/admin/login/", data=form)
            assert entered.headers["Location"] == "/admin/"
            assert browser.get("/admin/").status_code == 200

    def counted(self) -> int:
        drift = self.api.get(f"/api/models/{self.model}/drift").raise_for_status()
        return int(drift.json()["window"]["predictions"])

    def job(self, name: str) -> str:
        path = f"/api/v1/drift/analyze/{name}/status"
        told = self.api.get(path, params={"modelId": self.model}).raise_for_status()
        return str(told.json()["status"])

    def ready(self) -> str:
        answer = self.api.get("/readyz")
        return "" if answer.status_code == 200 else str(answer.json()["detail"])


@pytest.fixture(scope="module")
def bank(start_server: Callable[..., RunningServer], broker: Broker) -> Bank:
    return Bank(start_server(CELERY_BROKER_URL=broker.url))


@pytest.mark.parametrize("fault", ["hangs", "is gone"])
def test_work_goes_on_while_the_broker(bank: Bank, broker: Broker, fault: str) -> None:
    bank.log()
    wait_until(lambda: bank.counted() == bank.sent, "all is counted before")
    with contextlib.ExitStack() as ends:
        ends.callback(broker.go_on if fault == "hangs" else broker.start)
        broker.hang() if fault == "hangs" else broker.kill()
        jobs = work_goes_on(bank, broker, fault)
    wait_until(lambda: bank.counted() == bank.sent, "all is counted afterwards")
    wait_until(
        lambda: all(bank.job(name) == "succeeded" for name in jobs), "all is analysed"
    )
    wait_until(lambda: bank.ready() == "", "it is ready again")


def work_goes_on(bank: Bank, broker: Broker, fault: str) -> list[str]:
    """Do all that needs no broker; return the analyses that were asked for."""
    assert not broker.answers()
    # Readiness remembers for some seconds that it was there.
    wait_until(lambda: bank.ready() == "Not ready: broker.", "somebody notices")
    started = time.monotonic()
    for _ in range(3):
        bank.log()
        bank.visit()
    jobs = [bank.analyse() for _ in range(3)]
    logger.info("while it %s: %.1f s", fault, time.monotonic() - started)
    assert {bank.job(name) for name in jobs} == {"queued"}
    assert bank.counted() < bank.sent
    return jobs


def test_a_server_that_starts_without_its_broker_answers_all_the_same(
    start_server: Callable[..., RunningServer], tmp_path: Path
) -> None:
    url = f"redis://127.0.0.1:{free_port()}/0"
    server = start_server(tmp_path, wait=False, CELERY_BROKER_URL=url)
    server.wait_for_line("The message broker does not answer")
    bank = Bank(server)
    bank.log()
    bank.visit()
    assert bank.ready() == "Not ready: broker."
    assert server.stop() == 0
