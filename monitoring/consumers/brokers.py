"""Reading from RabbitMQ through kombu."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from kombu import Connection, Consumer, Producer, Queue
from kombu.message import Message as Delivered

from monitoring.consumers.crew import Crew, Settled, dead_letter, texts
from monitoring.consumers.messages import Message

logger = logging.getLogger(__name__)

HEARTBEAT = 30  # seconds
PAUSE = 0.02  # seconds between two looks at what has been settled
LONGEST_PAUSE = 10.0


class BrokerConsumer:
    """Read one queue until told to stop, over lost connections too.

    A message that can never be stored goes to `<queue>.dead` with the reason in its
    headers. It is acknowledged only when it is there, or stored.
    """

    def __init__(
        self,
        url: str,
        queue: str,
        crew: Crew[Any],
        *,
        prefetch: int,
    ) -> None:
        self._url = url
        self._crew = crew
        self._prefetch = prefetch
        # A quorum queue survives the loss of a node.
        kind = {"x-queue-type": "quorum"}
        self._queue = Queue(queue, durable=True, queue_arguments=kind)
        self._dead = Queue(f"{queue}.dead", durable=True, queue_arguments=kind)
        self._waiting: dict[int, Delivered] = {}
        self._number = 0

    def run(self, stop: threading.Event) -> None:
        pause = 0.1
        while not stop.is_set():
            begun = time.monotonic()
            try:
                self._read(stop)
            except Exception as error:
                if not isinstance(error, _lost(self._url)):
                    raise
                logger.warning("The broker is away (%s); trying again.", error)
            # What it hasn't been told of, the broker will deliver again.
            self._waiting.clear()
            pause = 0.1 if time.monotonic() - begun > LONGEST_PAUSE else 2 * pause
            stop.wait(min(pause, LONGEST_PAUSE))
        self._crew.end()

    def _read(self, stop: threading.Event) -> None:
        with Connection(
            self._url,
            heartbeat=HEARTBEAT,
            connect_timeout=5,
            transport_options={"confirm_publish": True},
        ) as connection:
            connection.connect()
            channel = connection.default_channel
            producer = Producer(channel)
            self._dead(channel).declare()
            consumer = Consumer(
                channel,
                [self._queue],
                on_message=self._take,
                prefetch_count=self._prefetch,
            )
            with consumer:
                logger.info("Reading the queue %s.", self._queue.name)
                while not stop.is_set():
                    self._drain(connection)
                    self._settle(producer)
                consumer.cancel()
                self._crew.end()
                self._settle(producer)

    def _drain(self, connection: Connection) -> None:
        try:
            connection.drain_events(timeout=PAUSE)
        except TimeoutError:
            connection.heartbeat_check()

    def _take(self, delivered: Delivered) -> None:
        self._number += 1
        self._waiting[self._number] = delivered
        properties = delivered.properties or {}
        body = delivered.body or b""
        self._crew.take(
            self._number,
            Message(
                body=body.encode() if isinstance(body, str) else bytes(body),
                name=str(properties.get("message_id") or ""),
                headers=texts(delivered.headers),
                encoding=str(delivered.content_encoding or "").lower(),
            ),
        )

    def _settle(self, producer: Producer) -> None:
        for settled in self._crew.settled():
            delivered = self._waiting.pop(settled.tag, None)
            # Of a connection that was lost: it will be delivered and settled again.
            if delivered is None:
                continue
            if settled.refusal is not None:
                self._bury(producer, delivered, settled)
            delivered.ack()

    def _bury(
        self, producer: Producer, delivered: Delivered, settled: Settled[Any]
    ) -> None:
        code, headers = dead_letter(settled)
        logger.warning("A message of %s is a dead letter: %s", self._queue.name, code)
        producer.publish(
            settled.message.body,
            routing_key=self._dead.name,
            content_type=delivered.content_type or "application/json",
            content_encoding=delivered.content_encoding or "utf-8",
            message_id=settled.message.identity,
            headers=headers,
            delivery_mode=2,
        )


def _lost(url: str) -> tuple[type[BaseException], ...]:
    with Connection(url) as connection:
        return (
            *connection.connection_errors,
            *connection.channel_errors,
            ConnectionError,
        )
