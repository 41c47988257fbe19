"""`manage.py consume`: stored once, acknowledged after that, never blocked."""

import json
import os
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import confluent_kafka
import httpx
import pytest
import redis
from confluent_kafka.admin import AdminClient
from kombu import Connection, Producer, Queue

from tests.running_server import RunningServer

ROOT = Path(__file__).parents[2]
SECONDS = 90
# Redis gives back what a dead consumer held after this many seconds.
PATIENCE = ["--visibility-timeout", "5"]
pytestmark = pytest.mark.server


class Bank:
    """An organization with a model, seen through the API."""

    def __init__(self, server: RunningServer) -> None:
        self.server = server
        made = httpx.post(f"{server.url}/auth/register", json={"name": "Queue Bank"})
        self.key = made.raise_for_status().json()["api_key"]
        headers = {"X-API-Key": self.key}
        self.http = httpx.Client(base_url=server.url, headers=headers, timeout=30)
        body = {"model_name": "Queued", "version": "1", "task": "regression"}
        self.http.post("/api/models", json=body).raise_for_status()

    def rows(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            query = {"modelId": "queued", "limit": 1000, "offset": len(found)}
            page = self.http.get("/api/v1/drift/predictions", params=query).json()
            found += page["predictions"]
            if len(found) >= page["total"]:
                return found

    def total(self) -> int:
        query = {"modelId": "queued", "limit": 1}
        page = self.http.get("/api/v1/drift/predictions", params=query).json()
        return int(page["total"])

    def entities(self) -> Counter[str]:
        return Counter(row["entityId"] for row in self.rows())


@pytest.fixture
def bank(server: RunningServer) -> Bank:
    return Bank(server)


@contextmanager
def consuming(
    bank: Bank, url: str, queue: str, key: str | None = None
) -> Iterator["subprocess.Popen[bytes]"]:
    environment = {
        **bank.server.environment(),
        "DRIFTGUARD_QUEUE_KEY": bank.key if key is None else key,
    }
    process = subprocess.Popen(
        [sys.executable, "manage.py", "consume", url, "--queue", queue, *PATIENCE],
        cwd=ROOT,
        env=environment,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"never came true: {what}"
        time.sleep(0.1)


def single(number: int) -> dict[str, Any]:
    return {
        "model_id": "queued",
        "input_features": {"x": number / 4},
        "prediction": number,
        "entity_id": f"e{number}",
        "timestamp": "2026-01-31T10:00:00Z",
    }


BAD: list[tuple[bytes, str]] = [
    (b"no json", "malformed"),
    (b"[1]", "malformed"),
    (b"{}", "invalid"),
    (b'{"input_features": {}, "prediction": 1, "model_id": "nothing"}', "not_found"),
    (b'{"input_features": {}, "prediction": NaN, "model_id": "queued"}', "malformed"),
    (b'{"input_features": {}, "model_id": "queued"}', "invalid"),
    (b"", "malformed"),
]


def as_bytes(body: Any) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body).encode()


class Rabbit:
    """A queue of RabbitMQ, as its users see it."""

    url = os.environ.get("TEST_RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672//")

    def __init__(self) -> None:
        self.queue = f"test.{uuid.uuid4().hex[:12]}"
        self.connection = Connection(self.url)
        self.channel = self.connection.default_channel
        self.names = (self.queue, f"{self.queue}.dead")
        for name in self.names:
            kind = {"x-queue-type": "quorum"}
            Queue(name, durable=True, queue_arguments=kind)(self.channel).declare()
        self.producer = Producer(self.channel)

    def put(self, body: Any, name: str = "", **headers: str) -> None:
        self.producer.publish(
            as_bytes(body),
            routing_key=self.queue,
            headers=headers,
            content_type="application/json",
            content_encoding="utf-8",
            **({"message_id": name} if name else {}),
        )

    def dead(self) -> list[dict[str, str]]:
        """Take all dead letters, and return their headers."""
        found = []
        while (one := self.channel.basic_get(self.names[1], no_ack=True)) is not None:
            found.append(dict(one.headers))
        return found

    def close(self) -> None:
        for name in self.names:
            self.channel.queue_delete(name)
        self.connection.release()


class Stream:
    """A stream of Redis, as its users see it."""

    url = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379/9")

    def __init__(self) -> None:
        self.queue = f"test.{uuid.uuid4().hex[:12]}"
        self.client = redis.Redis.from_url(self.url, decode_responses=True)

    def put(self, body: Any, name: str = "", **headers: str) -> None:
        named = {"message-id": name} if name else {}
        self.client.xadd(self.queue, {**headers, **named, "body": as_bytes(body)})

    def dead(self) -> list[dict[str, str]]:
        found = [fields for _, fields in self.client.xrange(f"{self.queue}.dead")]
        self.client.delete(f"{self.queue}.dead")
        return found

    def close(self) -> None:
        self.client.delete(self.queue, f"{self.queue}.dead")
        self.client.close()


Broker = Rabbit | Stream


@pytest.fixture(
    params=[
        pytest.param(Rabbit, marks=pytest.mark.rabbitmq),
        pytest.param(Stream, marks=pytest.mark.redis),
    ],
    ids=["rabbitmq", "redis"],
)
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    made = request.param()
    yield made
    made.close()


def test_every_kind_of_message_is_stored(bank: Bank, broker: Broker) -> None:
    broker.put(single(1))
    broker.put({"predictions": [single(2), single(3)]})
    told = {"modelId": "queued", "features": {"x": 1}, "prediction": "4"}
    broker.put({**told, "entityId": "e4"})
    with consuming(bank, broker.url, broker.queue):
        until(lambda: len(bank.rows()) == 4, "four predictions")
        outcome = {"entityId": "e1", "actualOutcome": "7"}
        broker.put({"modelId": "queued", **outcome})
        broker.put({"modelId": "queued", "records": [{**outcome, "entityId": "e2"}]})
        until(
            lambda: sum(row["actualOutcome"] is not None for row in bank.rows()) == 2,
            "two outcomes",
        )
    assert not broker.dead()


def test_a_duplicate_is_stored_once(bank: Bank, broker: Broker) -> None:
    with consuming(bank, broker.url, broker.queue):
        for _ in range(3):
            broker.put(single(1), name="m1")
            broker.put(single(2), name="m2")
        broker.put(single(1), name="m3")  # said twice on purpose
        broker.put(single(9))
        until(lambda: bank.entities()["e9"] == 1, "the last message")
    assert bank.entities() == {"e1": 2, "e2": 1, "e9": 1}


def test_bad_messages_are_dead_letters_and_block_nobody(
    bank: Bank, broker: Broker
) -> None:
    for body, _ in BAD:
        broker.put(body)
    broker.put(single(1), **{"x-api-key": "dg_live_nobody"})
    broker.put(single(2), **{"x-api-key": bank.key})
    with consuming(bank, broker.url, broker.queue):
        broker.put(single(3))
        until(lambda: bank.entities() == {"e2": 1, "e3": 1}, "the good messages")
    dead = broker.dead()
    reasons = Counter(headers["x-reason"] for headers in dead)
    expected = Counter(reason for _, reason in BAD)
    assert reasons == expected + Counter(["not_authenticated"])
    assert all("x-api-key" not in headers for headers in dead)
    details = [headers["x-detail"] for headers in dead]
    assert any(detail.startswith("prediction:") for detail in details)


def test_without_a_key_of_its_own_every_message_needs_one(
    bank: Bank, broker: Broker
) -> None:
    broker.put(single(1))
    broker.put(single(2), **{"x-api-key": bank.key})
    with consuming(bank, broker.url, broker.queue, key=""):
        until(lambda: bank.entities() == {"e2": 1}, "the message with a key")
    (letter,) = broker.dead()
    assert letter["x-reason"] == "not_authenticated"


def test_a_consumer_whose_key_is_refused_keeps_the_messages(
    bank: Bank, broker: Broker
) -> None:
    broker.put(single(1))
    with consuming(bank, broker.url, broker.queue, key="dg_live_revoked"):
        time.sleep(5)
    assert not broker.dead()
    with consuming(bank, broker.url, broker.queue):
        until(lambda: bank.entities() == {"e1": 1}, "the kept message")


def test_a_killed_consumer_loses_nothing(bank: Bank, broker: Broker) -> None:
    total, kills = 600, 0
    for number in range(total):
        broker.put(single(number), name=f"m{number}")
    for share in (0.2, 0.5):
        with consuming(bank, broker.url, broker.queue) as process:
            until(
                lambda wanted=int(total * share): bank.total() >= wanted,
                "a part of the messages",
            )
            process.kill()
            process.wait()
            kills += bank.total() < total
    assert kills == 2
    with consuming(bank, broker.url, broker.queue):
        until(lambda: bank.total() >= total, "all messages")
    assert bank.entities() == {f"e{number}": 1 for number in range(total)}
    assert not broker.dead()


@pytest.fixture
def kafka() -> Iterator[tuple[confluent_kafka.Producer, str]]:
    """A mock cluster that lives in a producer of ours."""
    producer = confluent_kafka.Producer(
        {"bootstrap.servers": "127.0.0.1", "test.mock.num.brokers": 1}
    )
    brokers = AdminClient({"bootstrap.servers": _address(producer)}).list_topics(
        timeout=10
    )
    assert brokers.brokers
    yield producer, _address(producer)
    producer.flush(5)


def _address(producer: confluent_kafka.Producer) -> str:
    (broker,) = producer.list_topics(timeout=10).brokers.values()
    return f"{broker.host}:{broker.port}"


def test_kafka_is_read_once_and_buries_what_is_bad(
    bank: Bank, kafka: tuple[confluent_kafka.Producer, str]
) -> None:
    producer, address = kafka
    topic, total = f"test-{uuid.uuid4().hex[:12]}", 900
    for number in range(total):
        producer.produce(topic, json.dumps(single(number)).encode())
        if number % 300 == 0:
            producer.produce(topic, b"no json", headers={"x-api-key": bank.key})
    assert producer.flush(30) == 0
    kills = 0
    with consuming(bank, f"kafka://{address}", topic) as process:
        until(lambda: bank.total() >= 200, "a part of the messages")
        process.kill()
        process.wait()
        kills += bank.total() < total
    assert kills == 1
    with consuming(bank, f"kafka://{address}", topic):
        until(lambda: bank.total() >= total, "all messages")
        dead = letters(address, f"{topic}.dead", 3)
    assert bank.entities() == {f"e{number}": 1 for number in range(total)}
    assert {headers["x-reason"] for headers in dead} == {b"malformed"}
    assert not any("x-api-key" in headers for headers in dead)


def letters(address: str, topic: str, number: int) -> list[dict[str, bytes]]:
    consumer = confluent_kafka.Consumer(
        {
            "bootstrap.servers": address,
            "group.id": uuid.uuid4().hex,
            "auto.offset.reset": "earliest",
        }
    )
    consumer.subscribe([topic])
    found: list[dict[str, bytes]] = []
    deadline = time.monotonic() + SECONDS
    while len(found) < number:
        assert time.monotonic() < deadline, f"only {len(found)} dead letters"
        for message in consumer.consume(10, timeout=1):
            if message.error() is None:
                found.append(dict(message.headers()))
    consumer.close()
    return found


def test_the_receipts_say_that_they_came_by_a_queue(bank: Bank, broker: Broker) -> None:
    broker.put(single(1))
    with consuming(bank, broker.url, broker.queue):
        until(lambda: len(bank.rows()) == 1, "the prediction")
    command = "from monitoring.models import Receipt; print(*Receipt.objects.filter("
    command += "model__slug='queued').order_by('-id').values_list('channel')[:1])"
    told = subprocess.run(
        [sys.executable, "manage.py", "shell", "-c", command],
        cwd=ROOT,
        env=bank.server.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "('queue',)" in told.stdout


@pytest.mark.parametrize("url", ["nonsense", "http://x", "kafka://a:1/topic"])
def test_an_unknown_kind_of_queue_is_refused(url: str) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "consume", url],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "CommandError" in done.stderr or "queue" in done.stderr
