"""Log predictions beside production: never in its way.

`Monitor.log` puts a row into memory and returns. One thread packs rows into batches in
the spool, another sends them in order. While the server is away they wait in the spool;
a batch carries one idempotency key for ever, so that it is stored once however often it
has to be sent.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import logging
import os
import tempfile
import threading
import time
import uuid
import weakref
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import (
    Any,
    Callable,
)

from driftguard_client import _protocol
from driftguard_client._encoding import Outcome, Row, encode_outcome, encode_row
from driftguard_client._protocol import Call
from driftguard_client.client import DriftGuard, Reference
from driftguard_client.errors import (
    DriftGuardError,
    InvalidError,
    UnavailableError,
    UnreachableError,
)
from driftguard_client.spool import Batch, DiskSpool, MemorySpool, Spool, renamed

logger = logging.getLogger(__name__)

PREDICTIONS = "/api/logs/prediction/batch?on_error=skip"
OUTCOMES = "/api/v1/drift/ground-truth/batch"
# A credential or a model that isn't right may be put right: the rows are kept.
LONGEST_WAIT = 30.0
ADOPTED_EVERY = 60.0
_monitors: weakref.WeakSet[Monitor] = weakref.WeakSet()

Rows = Callable[[], Iterable[Row]]


@dataclass(frozen=True)
class Stats:
    """What has become of the rows so far."""

    logged: int = 0
    accepted: int = 0
    rejected: int = 0  # can't be stored, whatever is done; the log says why
    dropped: int = 0  # for lack of room, in memory or in the spool
    pending: int = 0  # in memory; what is in the spool is not counted
    last_error: str = ""


class Monitor:
    """Log one model's predictions and outcomes in the background.

    Parameters
    ----------
    client : DriftGuard
        Where to send.
    model : int or str
        The model's number or slug.
    version : str, optional
        The version that predicts; the server's default if absent.
    max_batch : int
        Rows per request, at most 10,000.
    max_seconds : float
        How long a row waits in memory for others to join it.
    max_rows : int
        Rows in memory, at most; beyond it rows are dropped and counted. They stay in
        memory for `max_seconds` only, so that it takes a burst to get there.
    spool : str, Path or None, optional
        A directory for what the server hasn't got yet; by default one below the user's
        cache directory, or else a temporary one. None: in memory.
    max_spool_bytes : int
        Its size, at most.
    on_reject : callable, optional
        Called in the background with the server's list of errors.

    No method but `close` and `flush` waits, and none raises because of what is logged.
    """

    def __init__(  # noqa: PLR0913 (each has a default that fits most)
        self,
        client: DriftGuard,
        model: Reference,
        *,
        version: str | None = None,
        max_batch: int = 1000,
        max_seconds: float = 1.0,
        max_rows: int = 100_000,
        spool: str | Path | None = "",
        max_spool_bytes: int = 1 << 30,
        on_reject: Callable[[list[Any]], None] | None = None,
    ) -> None:
        if not 1 <= max_batch <= 10_000:
            raise ValueError(f"max_batch has to be from 1 to 10,000, not {max_batch}")
        self.model = model
        self.version = version
        self._settings = replace(client.settings, attempts=1)
        self._max_batch = max_batch
        self._max_seconds = max_seconds
        self._max_rows = max_rows
        self._directory = spool_directory(self._settings.url, model, spool)
        self._max_spool_bytes = max_spool_bytes
        self._on_reject = on_reject
        self._begin()
        _monitors.add(self)

    def _begin(self) -> None:
        """Set up what belongs to one process; a forked child does it again."""
        self._spool: Spool | None = None
        self._lock = threading.Lock()
        self._items: deque[tuple[int, Any]] = deque()
        self._pending = 0
        self._counts: dict[str, int] = dict.fromkeys(
            ("logged", "accepted", "rejected", "dropped"), 0
        )
        self._last_error = ""
        self._wake = threading.Event()  # there is something to pack
        self._packed = threading.Event()  # there is something to send
        self._closing = threading.Event()
        self._is_packing = False
        self._is_away = False  # the server, at the last attempt
        self._threads: list[threading.Thread] = []

    def begin_again(self) -> None:
        """Start with nothing in a forked child; what is here, the parent sends."""
        if self._spool is not None:
            self._spool.let_go()
        self._begin()

    # What production calls

    def log(
        self,
        features: Mapping[str, Any],
        prediction: Any,
        *,
        probabilities: Any = None,
        entity_id: str | None = None,
        latency_ms: float | None = None,
        timestamp: float | None = None,
        version: str | None = None,
    ) -> None:
        """Log one prediction: some microseconds, and never an exception.

        `timestamp` is in seconds since 1970 (now).
        """
        try:
            row = Row(
                time.time() if timestamp is None else timestamp,
                # The caller may go on to change its own.
                dict(features),
                prediction,
                probabilities,
                entity_id,
                latency_ms,
                version or self.version,
            )
        except Exception as error:  # noqa: BLE001 (production goes on, whatever it gave)
            self.refuse(1, f"a row can't be logged: {error}")
            return
        self._add(1, row)

    def log_many(self, count: int, rows: Rows) -> None:
        """Log rows that a function makes later, in the background."""
        self._add(count, rows)

    def log_outcome(
        self,
        entity_id: str | None,
        outcome: Any,
        *,
        timestamp: float | None = None,
        prediction_timestamp: float | str | None = None,
        prediction_id: str | None = None,
    ) -> None:
        """Tell what really happened, in order with the predictions."""
        at = time.time() if timestamp is None else timestamp
        told = Outcome(entity_id, outcome, at, prediction_timestamp, prediction_id)
        self._add(1, told)

    def _add(self, count: int, item: Any) -> None:
        with self._lock:
            if self._closing.is_set() or self._pending + count > self._max_rows:
                self._counts["dropped"] += count
                return
            self._items.append((count, item))
            self._pending += count
            self._counts["logged"] += count
            is_full = self._pending >= self._max_batch
            is_started = bool(self._threads)
        if is_full:
            self._wake.set()
        if not is_started:
            self._start()

    def flush(self, timeout: float = 30.0) -> bool:
        """Wait until the server has everything; False if the time is over before."""
        deadline = time.monotonic() + timeout
        while not self._is_drained():
            if time.monotonic() >= deadline:
                return False
            self._wake.set()
            time.sleep(0.01)
        return True

    def close(self, timeout: float = 5.0) -> None:
        """Send what can be sent within `timeout` seconds; the spool keeps the rest.

        While the server is away nobody waits for it.
        """
        deadline = time.monotonic() + timeout
        while not self._is_drained() and not self._is_away:
            if time.monotonic() >= deadline:
                break
            self._wake.set()
            time.sleep(0.01)
        self._closing.set()
        self._wake.set()
        self._packed.set()
        for thread in self._threads:
            thread.join(max(1.0, timeout))
        _monitors.discard(self)

    def __enter__(self) -> Monitor:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def stats(self) -> Stats:
        with self._lock:
            return Stats(
                **self._counts, pending=self._pending, last_error=self._last_error
            )

    def _is_drained(self) -> bool:
        with self._lock:
            if self._items or self._is_packing:
                return False
            return self._spool is None or self._spool.is_empty

    # The two threads

    def _start(self) -> None:
        with self._lock:
            if self._threads:
                return
            self._spool = self._open_spool()
            self._threads = [
                threading.Thread(target=work, name=f"driftguard-{name}", daemon=True)
                for name, work in (("pack", self._pack), ("send", self._send))
            ]
        for thread in self._threads:
            thread.start()

    def _open_spool(self) -> Spool:
        if self._directory is not None:
            try:
                return DiskSpool(self._directory, self._max_spool_bytes)
            except OSError as error:
                logger.warning("No spool in %s (%s).", self._directory, error)
        return MemorySpool(min(self._max_spool_bytes, 64 << 20))

    def _pack(self) -> None:
        while True:
            self._wake.wait(self._max_seconds)
            self._wake.clear()
            try:
                while self._pack_some():
                    pass
            except Exception:
                logger.exception("Packing predictions failed.")
            if self._closing.is_set():
                return

    def _pack_some(self) -> bool:
        """Pack what belongs into one batch; False if there was nothing."""
        with self._lock:
            taken: list[Any] = []
            count = 0
            while self._items and (not taken or count < self._max_batch):
                if taken and isinstance(self._items[0][1], Outcome) != isinstance(
                    taken[0], Outcome
                ):
                    break
                rows, item = self._items.popleft()
                count += rows
                taken.append(item)
            self._is_packing = bool(taken)
        if not taken:
            return False
        try:
            self._put(taken)
        finally:
            with self._lock:
                self._pending -= count
                self._is_packing = False
            self._packed.set()
        return True

    def _put(self, items: list[Any]) -> None:
        is_outcome = isinstance(items[0], Outcome)
        encoded: list[bytes] = []
        for item in items:
            try:
                rows = item() if callable(item) else [item]
                for row in rows:
                    self._encode(row, encoded)
            except Exception as error:  # noqa: BLE001 (what a caller's object does)
                self.refuse(1, f"rows can't be read: {error}")
        for begin in range(0, len(encoded), self._max_batch):
            self._put_batch(is_outcome, encoded[begin : begin + self._max_batch])

    def _encode(self, row: Any, into: list[bytes]) -> None:
        try:
            into.append(
                encode_outcome(row) if isinstance(row, Outcome) else encode_row(row)
            )
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            self.refuse(1, f"a row can't be told in JSON: {error}")

    def _put_batch(self, is_outcome: bool, rows: list[bytes]) -> None:
        name, path = (
            ("records", OUTCOMES) if is_outcome else ("predictions", PREDICTIONS)
        )
        model = "modelId" if is_outcome else "model_id"
        head = f'{{"{model}":{json.dumps(self.model)},"{name}":['.encode()
        body = head + b",".join(rows) + b"]}"
        batch = Batch(path, body, len(rows), str(uuid.uuid4()))
        if self._spool is None or not self._spool.put(batch):
            self._count("dropped", len(rows), "the spool is full")

    def _send(self) -> None:
        with DriftGuard(
            self._settings.url,
            self._settings.credential,
            timeout=self._settings.timeout,
            retries=0,
        ) as client:
            failures, adopted = 0, time.monotonic()
            while True:
                is_last = self._closing.is_set() and not self._threads[0].is_alive()
                pause = self._drain(client, failures)
                failures = failures + 1 if pause else 0
                self._is_away = pause > 0
                if is_last:
                    break
                if pause:
                    self._closing.wait(pause)
                else:
                    self._packed.wait(self._max_seconds)
                    self._packed.clear()
                if time.monotonic() - adopted > ADOPTED_EVERY:
                    self._adopt()
                    adopted = time.monotonic()
        if self._spool is not None:
            self._spool.close()

    def _drain(self, client: DriftGuard, failures: int) -> float:
        """Send the batches in their order; returns how long to wait if one stays."""
        try:
            while (batch := self._oldest()) is not None:
                pause = self._send_one(client, batch, failures)
                if pause:
                    return pause
                failures = 0
        except Exception:
            logger.exception("Sending predictions failed.")
            return LONGEST_WAIT
        return 0.0

    def _oldest(self) -> Batch | None:
        return None if self._spool is None else self._spool.oldest()

    def _adopt(self) -> None:
        if self._spool is not None:
            self._spool.adopt()

    def _send_one(self, client: DriftGuard, batch: Batch, failures: int) -> float:
        """Send a batch; returns the seconds to wait, 0 if it is off our hands."""
        call = Call("POST", batch.path, content=batch.body, key=batch.key)
        try:
            answer = client.send(call)
        except (UnreachableError, UnavailableError) as error:
            return self._wait(failures, error)
        except InvalidError as error:
            self._put_right(batch, error)
            return 0.0
        except DriftGuardError as error:
            # The credential, the model, the state: somebody can put it right.
            return self._wait(failures, error)
        self._is_stored(batch, answer)
        return 0.0

    def _wait(self, failures: int, error: Exception) -> float:
        self._last_error = str(error)
        if failures in (0, 10):
            logger.warning("DriftGuard takes no predictions now: %s", error)
        return _protocol.wait_before(failures, error, LONGEST_WAIT)

    def _is_stored(self, batch: Batch, answer: Mapping[str, Any]) -> None:
        rejected = int(answer.get("rejected") or 0)
        self._spool_done(batch)
        self._count("accepted", batch.rows - rejected)
        if rejected:
            self._tell(rejected, list(answer.get("errors") or []))

    def _put_right(self, batch: Batch, error: InvalidError) -> None:
        """Leave the rows out that the server named, and keep the others."""
        named = {
            one["loc"][1]
            for one in error.errors
            if len(one.get("loc", ())) > 1 and isinstance(one["loc"][1], int)
        }
        told = json.loads(batch.body)
        name = "records" if "records" in told else "predictions"
        kept = [row for at, row in enumerate(told[name]) if at not in named]
        if not named or len(kept) == len(told[name]):
            self._count("rejected", batch.rows, str(error))
            logger.error("DriftGuard refuses %s rows: %s", batch.rows, error)
            if self._spool is not None:
                self._spool.reject(batch, str(error))
            return
        self._spool_done(batch)
        self._tell(len(told[name]) - len(kept), error.errors)
        if kept and self._spool is not None:
            body = json.dumps({**told, name: kept}, separators=(",", ":")).encode()
            self._spool.put(renamed(batch, body, len(kept)))

    def _spool_done(self, batch: Batch) -> None:
        if self._spool is not None:
            self._spool.done(batch)

    def _tell(self, rejected: int, errors: list[Any]) -> None:
        first = errors[0] if errors else {}
        where = ".".join(map(str, first.get("loc", [])))
        reason = f"{where}: {first.get('detail', '')}"
        logger.warning("DriftGuard refuses %s rows; the first: %s", rejected, reason)
        self._count("rejected", rejected, reason)
        if self._on_reject is not None:
            self._on_reject(errors)

    def refuse(self, rows: int, reason: str) -> None:
        """Count rows that can't be logged, and say why in the log."""
        logger.warning("%s", reason)
        self._count("rejected", rows, reason)

    def _count(self, name: str, rows: int, reason: str = "") -> None:
        with self._lock:
            self._counts[name] += rows
            self._last_error = reason or self._last_error


def spool_directory(
    url: str, model: Reference, given: str | Path | None
) -> Path | None:
    """Return where a model's batches wait, or None for memory.

    Another server or model has another directory, so that nothing goes astray.
    """
    if given is None:
        return None
    if not given:
        given = os.environ.get("DRIFTGUARD_SPOOL") or _cache_directory()
    told = hashlib.sha256(f"{url} {model}".encode()).hexdigest()[:16]
    return Path(given) / told


def _cache_directory() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        home = Path(base) if base else Path.home() / ".cache"
        return home / "driftguard" / "spool"
    except RuntimeError:  # a user without a home
        name = f"driftguard-{os.getuid()}" if hasattr(os, "getuid") else "driftguard"
        return Path(tempfile.gettempdir()) / name


def _begin_again() -> None:
    """Give a forked child its own buffer, threads and spool."""
    for monitor in list(_monitors):
        monitor.begin_again()


def _close_all() -> None:
    for monitor in list(_monitors):
        monitor.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_again)
atexit.register(_close_all)
