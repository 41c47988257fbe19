"""Reading from a stream of Redis, in a consumer group.

Not through kombu: it takes a message off a list before it notes that somebody has it,
so that a consumer killed between the two loses it. A stream keeps an entry until it is
acknowledged.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any

import redis

from monitoring.consumers.crew import Crew, Settled, dead_letter, texts
from monitoring.consumers.messages import Message

logger = logging.getLogger(__name__)

PAUSE = 20  # milliseconds between two looks at what has been settled
LONGEST_PAUSE = 10.0  # seconds
BODY = "body"


class StreamConsumer:
    """Read one stream until told to stop, over lost connections too.

    An entry has the field `body`; its other fields are headers (`message-id`,
    `x-api-key`, `content-encoding`). What another consumer of the group has held for
    longer than `visibility_timeout` seconds is taken over from it. An entry that can
    never be stored goes to the stream `<name>.dead` with the reason.
    """

    def __init__(
        self,
        url: str,
        stream: str,
        group: str,
        crew: Crew[Any],
        *,
        prefetch: int,
        visibility_timeout: int,
    ) -> None:
        self._url = url
        self._stream = stream
        self._group = group
        self._crew = crew
        self._prefetch = prefetch
        self._idle = visibility_timeout * 1000
        self._name = f"{socket.gethostname()}-{os.getpid()}"
        self._held: set[bytes] = set()

    def run(self, stop: threading.Event) -> None:
        pause = 0.1
        while not stop.is_set():
            try:
                self._read(stop)
            except (redis.ConnectionError, redis.TimeoutError, OSError) as error:
                logger.warning("Redis is away (%s); trying again.", error)
                stop.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
        self._crew.end()

    def _read(self, stop: threading.Event) -> None:
        with redis.Redis.from_url(self._url, socket_timeout=10) as client:
            self._join(client)
            logger.info("Reading the stream %s.", self._stream)
            while not stop.is_set():
                self._take_over(client)
                self._take_new(client)
                self._settle(client)
            self._crew.end()
            self._settle(client)

    def _join(self, client: redis.Redis) -> None:
        try:
            client.xgroup_create(self._stream, self._group, id="0", mkstream=True)
        except redis.ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    def _take_new(self, client: redis.Redis) -> None:
        room = self._prefetch - len(self._held)
        if room <= 0:
            time.sleep(PAUSE / 1000)
            return
        found: Any = client.xreadgroup(
            self._group, self._name, {self._stream: ">"}, count=room, block=PAUSE
        )
        for _, entries in found or ():
            self._take(entries)

    def _take_over(self, client: redis.Redis) -> None:
        room = self._prefetch - len(self._held)
        if room <= 0:
            return
        found: Any = client.xautoclaim(
            self._stream, self._group, self._name, self._idle, count=room
        )
        self._take(found[1])

    def _take(self, entries: Any) -> None:
        for identity, fields in entries:
            # What we hold for long ourselves is claimed again: once is enough.
            if identity not in self._held:
                self._held.add(identity)
                self._crew.take(identity, _message(identity, fields))

    def _settle(self, client: redis.Redis) -> None:
        for settled in self._crew.settled():
            if settled.refusal is not None:
                self._bury(client, settled)
            # Done with: a stream would keep it for ever.
            client.xack(self._stream, self._group, settled.tag)
            client.xdel(self._stream, settled.tag)
            self._held.discard(settled.tag)

    def _bury(self, client: redis.Redis, settled: Settled[Any]) -> None:
        code, headers = dead_letter(settled)
        logger.warning("An entry of %s is a dead letter: %s", self._stream, code)
        entry: dict[Any, Any] = {**headers, BODY: settled.message.body}
        client.xadd(f"{self._stream}.dead", entry)


def _message(identity: bytes, fields: Mapping[bytes, bytes]) -> Message:
    headers = texts({name.decode("utf-8", "replace"): fields[name] for name in fields})
    headers.pop(BODY, None)
    return Message(
        body=fields.get(BODY.encode(), b""),
        # The id that Redis gave it stays the same however often it is delivered.
        name=headers.get("message-id") or identity.decode(),
        headers=headers,
        encoding=headers.get("content-encoding", "").lower(),
    )
