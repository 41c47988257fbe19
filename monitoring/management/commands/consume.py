"""``manage.py consume URL``: read predictions and outcomes from a message queue."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any
from urllib.parse import parse_qs, urlsplit

from django.core.management.base import BaseCommand, CommandError, CommandParser

from monitoring.consumers.brokers import BrokerConsumer
from monitoring.consumers.crew import Crew
from monitoring.consumers.kafka import KafkaConsumer
from monitoring.consumers.streams import StreamConsumer

QUEUE = "driftguard.predictions"
KEY = "DRIFTGUARD_QUEUE_KEY"


class Command(BaseCommand):
    help = "Read predictions and outcomes from RabbitMQ, Redis or Kafka."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "url", help="amqp://…, redis://… or kafka://host:port[,host:port]"
        )
        parser.add_argument("--queue", default=QUEUE, help="queue, stream or topic")
        parser.add_argument(
            "--group", default="driftguard", help="consumer group (Redis, Kafka)"
        )
        parser.add_argument(
            "--prefetch", type=int, default=500, help="messages at hand at most"
        )
        parser.add_argument(
            "--threads", type=int, default=32, help="messages stored at a time"
        )

        parser.add_argument(
            "--visibility-timeout",
            type=int,
            default=300,
            help="seconds after which Redis gives a dead consumer's messages back",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        key = os.environ.get(KEY, "").strip()
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        if options["prefetch"] < 1 or options["threads"] < 1:
            raise CommandError("--prefetch and --threads have to be at least 1.")
        if not key:
            self.stderr.write(
                f"{KEY} is not set: only messages that carry `x-api-key` are stored."
            )
        crew: Crew[Any] = Crew(options["threads"], key)
        self._consumer(options, crew).run(stop)

    def _consumer(
        self, options: dict[str, Any], crew: Crew[Any]
    ) -> BrokerConsumer | StreamConsumer | KafkaConsumer:
        url, queue = options["url"], options["queue"]
        parts = urlsplit(url)
        if parts.scheme == "kafka":
            if parts.path.strip("/") or parse_qs(parts.query):
                raise CommandError("A Kafka address is kafka://host:port; see --queue.")
            return KafkaConsumer(
                parts.netloc,
                queue,
                options["group"],
                crew,
                prefetch=options["prefetch"],
            )
        if parts.scheme in {"redis", "rediss"}:
            return StreamConsumer(
                url,
                queue,
                options["group"],
                crew,
                prefetch=options["prefetch"],
                visibility_timeout=options["visibility_timeout"],
            )
        if parts.scheme not in {"amqp", "amqps"}:
            raise CommandError(
                f"{parts.scheme or url!r} is no kind of queue known here."
            )
        return BrokerConsumer(url, queue, crew, prefetch=options["prefetch"])
