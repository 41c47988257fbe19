"""C8 on the real processes: SIGTERM drops no request that is under way.

Every client opens a connection for each request, so that none can be lost on one that
the server had closed meanwhile. Who comes too late is refused by the operating system.
"""

import contextlib
import http.client
import json
import logging
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.fragile import query, register, wait_until
from tests.running_server import RunningServer

pytestmark = pytest.mark.server
logger = logging.getLogger(__name__)
SINGLES, BATCHES, READERS = 12, 4, 8
ROWS = 2_000


@dataclass
class Outcome:
    """One request: when it had been sent, when it was over, and how."""

    kind: str
    sent: float
    over: float
    status: int  # 0: none came
    entity: str


class Client(threading.Thread):
    """Sends one request after the other until nobody listens any more."""

    def __init__(self, server: RunningServer, key: str, model: str, name: str) -> None:
        super().__init__(name=name)
        self.kind = name.partition(" ")[0]
        self.port, self.model = server.port, model
        self.headers = {
            "Authorization": f"Bearer {key}",
            "Content-Type": "application/json",
            "Connection": "close",
        }
        self.outcomes: list[Outcome] = []

    def run(self) -> None:
        number = 0
        while True:
            number += 1
            entity = f"{self.name} {number}"
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
            try:
                connection.connect()
            except OSError:
                return
            self.ask(connection, entity)

    def ask(self, connection: http.client.HTTPConnection, entity: str) -> None:
        method, path, body = self.request(entity)
        status, sent = 0, time.monotonic()
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection.request(method, path, body, self.headers)
            sent = time.monotonic()
            answer = connection.getresponse()
            json.loads(answer.read())
            status = answer.status
        self.outcomes.append(Outcome(self.kind, sent, time.monotonic(), status, entity))
        connection.close()

    def request(self, entity: str) -> tuple[str, str, str]:
        if self.kind == "reader":
            return "GET", f"/api/models/{self.model}", ""
        row = {"input_features": {}, "prediction": 1, "entity_id": entity}
        if self.kind == "single":
            return (
                "POST",
                "/api/logs/prediction",
                json.dumps({"model_id": self.model, **row}),
            )
        rows = {"model_id": self.model, "predictions": [row] * ROWS}
        return "POST", "/api/logs/prediction/batch", json.dumps(rows)


def test_stopping_answers_every_request_that_is_under_way(
    start_server: Callable[..., RunningServer],
) -> None:
    server = start_server()
    key, model = register(server)
    clients = [
        Client(server, key, model, f"{kind} {number}")
        for kind, count in (
            ("single", SINGLES),
            ("batch", BATCHES),
            ("reader", READERS),
        )
        for number in range(count)
    ]
    for client in clients:
        client.start()
    wait_until(
        lambda: all(len(client.outcomes) > 2 for client in clients), "all are at work"
    )
    asked = time.monotonic()
    assert server.stop(signal.SIGTERM) == 0
    for client in clients:
        client.join()
    outcomes = [one for client in clients for one in client.outcomes]
    under_way = [one for one in outcomes if one.sent < asked < one.over]
    late = [one for one in outcomes if one.sent >= asked]
    logger.info(
        "under way: %s; sent afterwards: %s",
        dict(Counter((one.kind, one.status) for one in under_way)),
        dict(Counter((one.kind, one.status) for one in late)),
    )
    assert {one.kind for one in under_way} == {"single", "batch", "reader"}
    assert {one.status for one in under_way} <= {200, 201}
    # And what was answered is there.
    acknowledged = {
        one.entity for one in outcomes if one.status == 201 and one.kind == "single"
    }
    server.lines.clear()
    server.start()
    rows = query(
        server,
        "SELECT entity_id FROM monitoring_prediction "
        "WHERE starts_with(entity_id, 'single')",
    )
    stored = Counter(str(entity) for (entity,) in rows)
    assert acknowledged <= set(stored)
    assert set(stored.values()) == {1}
    server.stop()
