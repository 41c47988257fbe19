"""Group commit: requests that arrive together share one transaction.

One thread per process writes whatever has come in while it wrote the last time, so that
a lone request waits for nobody and a busy server commits a few hundred times a second.
The request's own thread waits for the commit: an answer still means durable.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections import deque

from django.db import Error, connection

from governance.exceptions import GovernanceError, UnavailableError
from monitoring.ingest import writing
from monitoring.ingest.writing import Flush, Request

logger = logging.getLogger(__name__)

MAX_ROWS_PER_FLUSH = 2_000
# A request that isn't stored by then is told so, and taken back if it still can be.
WAIT_SECONDS = 3.5
# When that many shared the last commit, the next one waits a moment for more of them:
# nobody has to wait on a quiet server, and a busy one commits half as often.
CROWD = 4
GATHER_SECONDS = 0.003
# A key in flight mustn't hold up the others: its request waits for it by itself.
KEY_WAIT_SECONDS = 0.1
DRAIN_SECONDS = 10.0


class _Ticket:
    """A request in the queue; the lock is released when it has been dealt with."""

    __slots__ = ("alone", "done", "request")

    def __init__(self, request: Request) -> None:
        self.request = request
        # It could not be stored with the others; its own thread has to try.
        self.alone = False
        self.done = threading.Lock()
        self.done.acquire()


class Flusher:
    def __init__(self) -> None:
        self._reset()
        # A forked process has neither the thread nor its queue.
        os.register_at_fork(after_in_child=self._reset)
        atexit.register(self._drain)

    def _reset(self) -> None:
        self._arrived = threading.Condition()
        self._queue: deque[_Ticket] = deque()
        self._thread: threading.Thread | None = None
        self._is_closing = False
        self._last = 0  # requests in the last flush
        self._awaited = 1  # requests for which the flusher wants to be woken

    def store(self, request: Request) -> None:
        """Store the request with whatever else is waiting; raises as `commit`."""
        ticket = _Ticket(request)
        with self._arrived:
            if self._thread is None or not self._thread.is_alive():
                self._start()
            self._queue.append(ticket)
            if len(self._queue) >= self._awaited:
                self._arrived.notify()
        if not ticket.done.acquire(timeout=WAIT_SECONDS):
            self._give_up(ticket)
        if ticket.alone:
            writing.commit(Flush([request]))

    def _start(self) -> None:
        # A daemon, so that a process can end; `_drain` lets it finish first.
        self._thread = threading.Thread(target=self._run, name="flusher", daemon=True)
        self._thread.start()

    def _give_up(self, ticket: _Ticket) -> None:
        with self._arrived:
            if ticket in self._queue:
                self._queue.remove(ticket)
                raise UnavailableError("The database is too slow; nothing was stored.")
        if not ticket.done.acquire(blocking=False):
            raise UnavailableError("The database is too slow; it may have been stored.")

    def _run(self) -> None:
        while (tickets := self._next()) is not None:
            try:
                self._flush(tickets)
            finally:
                for ticket in tickets:
                    ticket.done.release()
        connection.close()

    def _next(self) -> list[_Ticket] | None:
        """Wait for requests and take them; None when there will be no more."""
        with self._arrived:
            while not self._queue:
                if self._is_closing:
                    return None
                self._arrived.wait()
            if self._last >= CROWD:
                self._gather()
            taken: list[_Ticket] = []
            rows = 0
            while self._queue and rows < MAX_ROWS_PER_FLUSH:
                taken.append(self._queue.popleft())
                rows += len(taken[-1].request.lines)
            self._last = len(taken)
            return taken

    def _gather(self) -> None:
        """Wait a moment for those who were answered last and will soon be back."""
        until = time.monotonic() + GATHER_SECONDS
        self._awaited = self._last + len(self._queue)
        while len(self._queue) < self._awaited and not self._is_closing:
            left = until - time.monotonic()
            if left <= 0 or not self._arrived.wait(left):
                break
        self._awaited = 1

    def _flush(self, tickets: list[_Ticket]) -> None:
        """Write the requests; those that can't be written together are left alone.

        A flush is all or nothing, so one bad request spoils it for everybody. Then each
        is tried by its own thread, and only the bad one fails.
        """
        together: list[_Ticket] = []
        identities: set[object] = set()
        for ticket in tickets:
            ticket.alone = True
            key = ticket.request.key
            if key is None or key.identity not in identities:
                together.append(ticket)
                identities.add(key and key.identity)
        try:
            writing.commit(
                Flush([ticket.request for ticket in together]), wait=KEY_WAIT_SECONDS
            )
        except UnavailableError as error:
            for ticket in together:
                ticket.request.error = UnavailableError(error.detail)
        except (GovernanceError, Error) as error:
            logger.warning("A flush failed, its requests are tried alone: %s", error)
            return
        for ticket in together:
            ticket.alone = False

    def _drain(self) -> None:
        with self._arrived:
            self._is_closing = True
            self._arrived.notify()
        if self._thread is not None:
            self._thread.join(DRAIN_SECONDS)


flusher = Flusher()
