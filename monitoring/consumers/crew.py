"""Many messages at a time: their commits are shared, as those of requests are."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.db import close_old_connections, connection

from governance.exceptions import (
    GovernanceError,
    IdempotencyInFlightError,
    NotAuthenticatedError,
    PermissionDeniedError,
    ThrottledError,
    UnavailableError,
)
from monitoring.consumers import messages
from monitoring.consumers.messages import Message

logger = logging.getLogger(__name__)
Tag = TypeVar("Tag", bound=Hashable)

NOT_NOW = (UnavailableError, ThrottledError, IdempotencyInFlightError)
FIRST_WAIT, LONGEST_WAIT = 0.1, 10.0  # seconds


@dataclass(frozen=True)
class Settled(Generic[Tag]):
    """What has become of a message: stored, or refused for ever for a reason."""

    tag: Tag
    message: Message
    refusal: GovernanceError | None = None


class Crew(Generic[Tag]):
    """Threads that store messages; what is settled comes out in any order.

    While the database is away a message is tried again and again: it stays with its
    broker until it is settled. So it is where the consumer's own key isn't valid, which
    is no fault of the message.
    """

    def __init__(self, threads: int, default_key: str) -> None:
        self._default_key = default_key
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="consumer")
        self._settled: queue.SimpleQueue[Settled[Tag]] = queue.SimpleQueue()
        self._ending = threading.Event()
        self._warned_at = -LONGEST_WAIT

    def take(self, tag: Tag, message: Message) -> None:
        self._pool.submit(self._work, tag, message)

    def settled(self, wait: float = 0.0) -> list[Settled[Tag]]:
        """Return what has been settled meanwhile, waiting for the first if asked to."""
        found: list[Settled[Tag]] = []
        try:
            while True:
                first_may_wait = wait > 0 and not found
                found.append(self._settled.get(first_may_wait, wait or None))
        except queue.Empty:
            return found

    def end(self) -> None:
        """Let what is being stored be stored, and give up what can't be now."""
        self._ending.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _work(self, tag: Tag, message: Message) -> None:
        waited = FIRST_WAIT
        while not self._ending.is_set():
            try:
                settled = self._try(tag, message)
            except Exception:
                # A fault of ours: the message must not be lost for it.
                logger.exception("A message could not be stored.")
                settled = None
            if settled is not None:
                self._settled.put(settled)
                return
            self._ending.wait(waited)
            waited = min(2 * waited, LONGEST_WAIT)

    def _try(self, tag: Tag, message: Message) -> Settled[Tag] | None:
        """Return what has become of the message, None if nothing yet."""
        close_old_connections()
        try:
            messages.store(message, self._default_key)
        except NOT_NOW:
            return None
        except (NotAuthenticatedError, PermissionDeniedError) as error:
            if "x-api-key" in message.headers or not self._default_key:
                return Settled(tag, message, error)
            self._warn_of_own_key(error)
            return None
        except GovernanceError as error:
            return Settled(tag, message, error)
        finally:
            connection.close_if_unusable_or_obsolete()
        return Settled(tag, message)

    def _warn_of_own_key(self, error: GovernanceError) -> None:
        """Say so, but not for every message of a long queue."""
        now = time.monotonic()
        if now - self._warned_at > LONGEST_WAIT:
            self._warned_at = now
            logger.error("The consumer's own key is refused: %s", error)


def dead_letter(settled: Settled[Any]) -> tuple[str, dict[str, str]]:
    """Return why a message is a dead letter, and the headers that say so.

    The sender's key is a secret that a dead letter needs no more.
    """
    refusal = settled.refusal or GovernanceError()
    first = refusal.errors[0] if refusal.errors else None
    where = ".".join(map(str, first["loc"])) if first else ""
    detail = f"{where}: {first['detail']}" if first else refusal.detail
    headers = {
        **settled.message.headers,
        "x-reason": refusal.code,
        "x-detail": detail[:1000],
        "x-refused-at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    headers.pop("x-api-key", None)
    return refusal.code, headers


def texts(headers: Any) -> dict[str, str]:
    """Return a broker's headers as texts by lower-case names; others are left out."""
    found = {}
    for name, value in dict(headers or {}).items():
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        if isinstance(value, str):
            found[str(name).lower()] = value
    return found
