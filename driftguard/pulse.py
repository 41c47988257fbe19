"""Feels whether the database still answers; frees those who wait for one that froze.

A server that is stopped in its tracks (by a signal, a debugger, a machine that hangs)
closes no connection and refuses none: a client that has sent a query waits for ever,
and libpq has no limit on that. So each web process asks a question of its own, twice a
second, on a connection that it waits for without blocking. When no answer comes the
circuit is opened, so that new requests are refused at once, and every connection of the
process is cut: whoever waits for one learns that it is lost.
"""

from __future__ import annotations

import logging
import os
import select
import socket
import threading
import time
from typing import Any
from weakref import WeakKeyDictionary

import psycopg2
from psycopg2 import extensions

logger = logging.getLogger(__name__)

BEAT_SECONDS = 0.5
# Longer than any pause of a busy server; with the beat and the answer well below the
# four seconds after which a client has been promised to know.
PATIENCE_SECONDS = 1.5


class FrozenError(Exception):
    """The database has not answered in time."""


class Pulse:
    def __init__(self) -> None:
        self._reset()
        os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        # With where each leads to.
        self._connections: WeakKeyDictionary[extensions.connection, Any] = (
            WeakKeyDictionary()
        )
        self._changing = threading.Lock()
        self._probe: extensions.connection | None = None
        self._thread: threading.Thread | None = None

    def watch(self, connection: extensions.connection) -> None:
        """Remember a connection; it is forgotten with the last reference to it."""
        with _socket_of(connection) as end:
            peer = end.getpeername()
        with self._changing:
            self._connections[connection] = peer

    def start(self, parameters: dict[str, Any]) -> None:
        """Begin to ask the database that these parameters of libpq lead to."""
        self._thread = threading.Thread(
            target=self._run, args=[parameters], name="database pulse", daemon=True
        )
        self._thread.start()

    def _run(self, parameters: dict[str, Any]) -> None:
        # Imported here: the backend is there before the applications are.
        from governance import availability

        while True:
            try:
                self._ask(parameters)
            except FrozenError:
                logger.warning("The database has frozen; its connections are cut.")
                # In this order: whoever is cut off must not knock by themselves.
                availability.lost()
                self.cut()
            except psycopg2.Error:
                # It is away altogether, or too busy; requests see that by themselves.
                self._forget()
            time.sleep(BEAT_SECONDS)

    def _ask(self, parameters: dict[str, Any]) -> None:
        """Ask the database something; FrozenError if it doesn't answer."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        if self._probe is None:
            self._probe = psycopg2.connect(**parameters, async_=True)
            self._wait(self._probe, deadline)
        with self._probe.cursor() as cursor:
            cursor.execute("SELECT 1")
            self._wait(self._probe, deadline)

    def _wait(self, probe: extensions.connection, deadline: float) -> None:
        while (state := probe.poll()) != extensions.POLL_OK:
            is_reading = state == extensions.POLL_READ
            poller = select.poll()
            poller.register(probe, select.POLLIN if is_reading else select.POLLOUT)
            # The answer counts even if we come late to it: a busy process, or one that
            # was stopped itself, must not take that for the database's fault.
            left = max(0.0, deadline - time.monotonic())
            if not poller.poll(left * 1000):
                self._forget()
                raise FrozenError

    def _forget(self) -> None:
        if self._probe is not None:
            self._probe.close()
        self._probe = None

    def cut(self) -> int:
        """Shut every connection down, whoever waits for it; return how many."""
        with self._changing:
            known = list(self._connections.items())
        return sum(_cut(connection, peer) for connection, peer in known)


def _socket_of(connection: extensions.connection) -> socket.socket:
    """Return another handle of the socket, which the connection may close meanwhile."""
    return socket.socket(fileno=os.dup(connection.fileno()))


def _cut(connection: extensions.connection, peer: Any) -> bool:
    """Shut a connection's socket down; its owner finds it ended and closes it.

    The owner may do that this very moment, and the number of the socket be another's:
    what leads elsewhere is left alone.
    """
    try:
        with _socket_of(connection) as end:
            if end.getpeername() != peer:
                return False
            end.shutdown(socket.SHUT_RDWR)
    except (psycopg2.Error, OSError):
        return False
    return True


pulse = Pulse()
