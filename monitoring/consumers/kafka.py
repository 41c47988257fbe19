"""Reading from Kafka through confluent-kafka."""

from __future__ import annotations

import logging
import threading
from typing import Any

from monitoring.consumers.crew import Crew, Settled, dead_letter, texts
from monitoring.consumers.messages import Message

logger = logging.getLogger(__name__)

WAIT = 0.2  # seconds that a batch of messages is waited for
WAIT_FOR_DEAD = 30  # seconds


class KafkaConsumer:
    """Read one topic until told to stop.

    A batch of messages is settled whole before its offsets are committed; one that can
    never be stored goes to `<topic>.dead` with the reason in its headers.
    """

    def __init__(
        self, servers: str, topic: str, group: str, crew: Crew[Any], *, prefetch: int
    ) -> None:
        self._servers = servers
        self._topic = topic
        self._group = group
        self._crew = crew
        self._prefetch = prefetch

    def run(self, stop: threading.Event) -> None:
        from confluent_kafka import Consumer, Producer

        consumer = Consumer(
            {
                "bootstrap.servers": self._servers,
                "group.id": self._group,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
            }
        )
        producer = Producer(
            {"bootstrap.servers": self._servers, "enable.idempotence": True}
        )
        consumer.subscribe([self._topic])
        logger.info("Reading the topic %s.", self._topic)
        try:
            while not stop.is_set():
                batch = consumer.consume(self._prefetch, timeout=WAIT)
                if self._settle(producer, self._sound(batch), stop):
                    consumer.commit(asynchronous=False)
        finally:
            self._crew.end()
            consumer.close()

    def _sound(self, batch: list[Any]) -> list[Any]:
        sound = []
        for delivered in batch:
            if delivered.error() is None:
                sound.append(delivered)
            else:
                logger.warning("Kafka says: %s", delivered.error())
        return sound

    def _settle(self, producer: Any, batch: list[Any], stop: threading.Event) -> bool:
        """Store a batch; true once all of it is stored or buried."""
        if not batch:
            return False
        for number, delivered in enumerate(batch):
            self._crew.take(number, _message(delivered))
        left = set(range(len(batch)))
        dead: list[Settled[Any]] = []
        while left:
            if stop.is_set():
                return False
            for settled in self._crew.settled(wait=WAIT):
                left.discard(settled.tag)
                if settled.refusal is not None:
                    dead.append(settled)
        return self._bury(producer, dead, stop)

    def _bury(
        self, producer: Any, dead: list[Settled[Any]], stop: threading.Event
    ) -> bool:
        """Put dead letters where they belong; false if told to stop before they are.

        Only then the messages are done with.
        """
        while dead:
            lost: list[Settled[Any]] = []
            for settled in dead:
                self._produce(producer, settled, lost)
            if producer.flush(WAIT_FOR_DEAD):
                # What is still under way may arrive twice; it must arrive once.
                producer.purge()
                producer.flush(WAIT_FOR_DEAD)
            dead = lost
            if dead and stop.wait(WAIT):
                return False
        return True

    def _produce(
        self, producer: Any, settled: Settled[Any], lost: list[Settled[Any]]
    ) -> None:
        code, headers = dead_letter(settled)
        logger.warning("A message of %s is a dead letter: %s", self._topic, code)

        def delivered(error: Any, _: Any) -> None:
            if error is not None:
                lost.append(settled)

        producer.produce(
            f"{self._topic}.dead",
            value=settled.message.body,
            headers=list(headers.items()),
            on_delivery=delivered,
        )


def _message(delivered: Any) -> Message:
    headers = texts(delivered.headers())
    place = f"{delivered.topic()}-{delivered.partition()}-{delivered.offset()}"
    return Message(
        body=delivered.value() or b"",
        name=headers.get("message-id") or place,
        headers=headers,
        encoding=headers.get("content-encoding", "").lower(),
    )
