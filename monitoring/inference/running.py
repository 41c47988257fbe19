"""The side that asks: one process for each artifact, killed when it hangs."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess  # nosec B404
import sys
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from monitoring import confinement
from monitoring.inference import words
from monitoring.inference.words import UnsoundError

__all__ = ["BusyError", "Limits", "LostError", "Pool", "UnsoundError", "check"]

_MODULE = "monitoring.inference.child"


class LostError(Exception):
    """The process took too long or ended; another one takes its place."""


class BusyError(Exception):
    """Others ask for so much that there was no turn in time."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What an artifact may take."""

    seconds: float = 2.0  # for one answer
    memory: int = 512 << 20  # bytes, beyond those of the libraries
    start_seconds: float = 30.0
    processes: int = 4


@dataclass(frozen=True, slots=True)
class Artifact:
    """What a process is started with."""

    digest: str  # SHA-256 of the content, in hex
    signature: Mapping[str, Any]
    load: Callable[[], bytes]


def check(content: bytes, schema: Mapping[str, Any], limits: Limits) -> dict[str, Any]:
    """Return how an artifact is asked; raises UnsoundError saying why it is refused.

    `schema` is as `soundness.examine` has it.
    """
    process = _Process()
    try:
        said = process.start(
            {"do": "check", "content": content, "schema": schema}, limits
        )
    except LostError:
        raise UnsoundError(
            "it takes more time or memory than is allowed, or ends the process"
        ) from None
    finally:
        process.end()
    signature: dict[str, Any] = said["signature"]
    return signature


class Pool:
    """The processes of this one; the least recently asked gives way."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._processes: OrderedDict[str, _Process] = OrderedDict()

    def predict(
        self, artifact: Artifact, columns: Mapping[str, Sequence[Any]], limits: Limits
    ) -> dict[str, Any]:
        """Return what the artifact says of rows, as `Session.predict` has it.

        Raises
        ------
        UnsoundError
            It can't say anything sensible of them.
        LostError
            It took too long, or its process ended.
        BusyError
            No turn within the time of one answer.
        """
        with self._turn(artifact.digest, limits) as process:
            if not process.is_running:
                process.start(
                    {
                        "do": "serve",
                        "digest": artifact.digest,
                        "signature": artifact.signature,
                        "content": artifact.load(),
                        "seconds": limits.seconds,
                    },
                    limits,
                )
            return process.ask(columns, limits.seconds)

    @contextmanager
    def _turn(self, digest: str, limits: Limits) -> Iterator[_Process]:
        """Hold an artifact's process; one that isn't there yet is only made."""
        ends = time.monotonic() + limits.seconds
        while True:
            with self._lock:
                process = self._processes.get(digest) or self._make(digest, limits)
                self._processes.move_to_end(digest)
            # A process that starts keeps the others waiting for longer.
            patience = max(ends - time.monotonic(), 0) + process.extra_patience
            if not process.lock.acquire(timeout=patience):
                raise BusyError
            # It may have had to give way while this thread waited for it.
            if self._processes.get(digest) is process:
                break
            process.lock.release()
        try:
            yield process
        finally:
            process.lock.release()

    def _make(self, digest: str, limits: Limits) -> _Process:
        while len(self._processes) >= limits.processes:
            self._give_way()
        made = self._processes[digest] = _Process()
        return made

    def _give_way(self) -> None:
        for digest, process in self._processes.items():
            if process.lock.acquire(blocking=False):
                try:
                    process.end()
                    del self._processes[digest]
                finally:
                    process.lock.release()
                return
        raise BusyError

    def end(self) -> None:
        """End every process."""
        with self._lock:
            for process in self._processes.values():
                process.end()
            self._processes.clear()

    def process_of(self, digest: str) -> int | None:
        """Return the number of an artifact's process, if it runs."""
        process = self._processes.get(digest)
        return process.number if process is not None else None


class _Process:
    """One child and the socket to it; whoever uses it holds its lock."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.extra_patience = 0.0
        self._process: subprocess.Popen[bytes] | None = None
        self._link: socket.socket | None = None
        self._directory = ""

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def number(self) -> int | None:
        return self._process.pid if self.is_running and self._process else None

    def start(self, head: Mapping[str, Any], limits: Limits) -> dict[str, Any]:
        """Start the child and return its first answer; raises as `ask`."""
        self.end()
        # The child removes it as soon as it stands in it.
        self._directory = tempfile.mkdtemp(prefix="driftguard-inference-")
        self._link, theirs = socket.socketpair()
        self.extra_patience = limits.start_seconds
        try:
            with theirs:
                self._process = subprocess.Popen(  # noqa: S603  # nosec B603
                    [sys.executable, "-m", _MODULE],
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    # What onnxruntime says may have features in it.
                    stderr=subprocess.DEVNULL,
                    cwd=self._directory,
                    env=confinement.environment(self._directory),
                    start_new_session=True,
                )
            whole = {
                **head,
                "memory": limits.memory,
                "start_seconds": limits.start_seconds,
            }
            return self.ask(whole, limits.start_seconds)
        except UnsoundError:
            self.end()
            raise
        finally:
            self.extra_patience = 0.0

    def ask(self, message: Any, seconds: float) -> dict[str, Any]:
        """Return the answer; raises UnsoundError, or LostError if there is none."""
        link = self._link
        if link is None:
            raise LostError
        deadline = time.monotonic() + seconds
        try:
            link.settimeout(seconds)
            words.send(link, message)
            said: dict[str, Any] = words.receive(link, deadline=deadline)
        except (OSError, EOFError):
            self.end()
            raise LostError from None
        if "error" in said:
            raise UnsoundError(said["error"])
        return said

    def end(self) -> None:
        """End the child and whatever it started; nothing happens if there is none."""
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if self._link is not None:
            self._link.close()
            self._link = None
        if self._directory:
            shutil.rmtree(self._directory, ignore_errors=True)
