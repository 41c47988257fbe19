"""Where batches wait until the server has them: in files, or in memory.

A batch file is a line of JSON about the request, then its body as it will be sent.
Files have names that sort by age. Each process writes into a directory of its own,
which it keeps locked; what a dead process left behind is taken over by the next one.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Union

try:
    import fcntl
except ImportError:  # Windows: what a dead process left stays for the next start
    fcntl = None  # type: ignore[assignment]

ENDING = ".batch"


@dataclass(frozen=True)
class Batch:
    """One request that still has to be answered."""

    path: str
    body: bytes
    rows: int
    key: str
    name: str = ""  # of its place in the spool
    size: int = 0  # bytes there

    def to_bytes(self) -> bytes:
        head = {"path": self.path, "rows": self.rows, "key": self.key}
        return json.dumps(head).encode() + b"\n" + self.body

    @classmethod
    def from_bytes(cls, data: bytes, name: str) -> Batch:
        head, _, body = data.partition(b"\n")
        told = json.loads(head)
        rows = int(told["rows"])
        return cls(told["path"], body, rows, told["key"], name, len(data))


class MemorySpool:
    """Batches in memory, up to a number of bytes."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._batches: deque[Batch] = deque()
        self._bytes = 0
        self._lock = threading.Lock()

    def put(self, batch: Batch) -> bool:
        """Add a batch; False if there is no room."""
        with self._lock:
            if self._bytes + len(batch.body) > self._max_bytes:
                return False
            self._batches.append(batch)
            self._bytes += len(batch.body)
            return True

    def oldest(self) -> Batch | None:
        with self._lock:
            return self._batches[0] if self._batches else None

    def done(self, batch: Batch) -> None:
        """Forget the oldest batch, which the server has."""
        with self._lock:
            self._batches.popleft()
            self._bytes -= len(batch.body)

    def reject(self, batch: Batch, reason: str) -> None:
        """Put the oldest batch aside, which the server never will take."""
        self.done(batch)

    def adopt(self) -> None:
        """Take over what dead processes left: nothing outlives a process's memory."""

    def let_go(self) -> None:
        """Leave everything to the process that this one was forked from."""

    def close(self) -> None:
        """Give back what the operating system holds: nothing."""

    @property
    def is_empty(self) -> bool:
        return not self._batches


class DiskSpool:
    """Batches in files below `root`, readable by this user only."""

    def __init__(self, root: Path, max_bytes: int) -> None:
        self._root = root
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._number = 0
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._home = root / f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._home.mkdir(mode=0o700)
        self._held = _hold(self._home)
        self._names: deque[str] = deque()
        self._bytes = 0
        self.adopt()

    def put(self, batch: Batch) -> bool:
        """Write a batch; False if there is no room, on the disk or by the limit."""
        data = batch.to_bytes()
        with self._lock:
            if self._bytes + len(data) > self._max_bytes:
                return False
            self._number += 1
            name = f"{time.time_ns():020d}-{self._number:08d}{ENDING}"
            draft = self._home / f"{name}.draft"
            try:
                draft.write_bytes(data)
                draft.replace(self._home / name)
            except OSError:
                with contextlib.suppress(OSError):
                    draft.unlink()
                return False
            self._names.append(name)
            self._bytes += len(data)
            return True

    def oldest(self) -> Batch | None:
        while True:
            with self._lock:
                if not self._names:
                    return None
                name = self._names[0]
            try:
                return Batch.from_bytes((self._home / name).read_bytes(), name)
            except (OSError, ValueError, KeyError):
                # Damaged or taken away: it must not hold up the others.
                self._set_aside(name, "unreadable")

    def done(self, batch: Batch) -> None:
        """Delete the oldest batch, which the server has."""
        self._forget(batch.name, batch.size)
        with contextlib.suppress(OSError):
            (self._home / batch.name).unlink()

    def reject(self, batch: Batch, reason: str) -> None:
        """Keep the oldest batch apart, with the reason: the server won't take it."""
        self._set_aside(batch.name, reason, batch.size)

    def _set_aside(self, name: str, reason: str, size: int = 0) -> None:
        self._forget(name, size)
        rejected = self._root / "rejected"
        with contextlib.suppress(OSError):
            rejected.mkdir(exist_ok=True, mode=0o700)
            (rejected / f"{name}.txt").write_text(reason + "\n")
            (self._home / name).replace(rejected / name)

    def _forget(self, name: str, size: int) -> None:
        with self._lock:
            self._names.remove(name)
            self._bytes -= size

    def adopt(self) -> None:
        """Take over the batches of processes that are gone."""
        for directory in _others(self._root, self._home):
            held = _hold(directory)
            if held is None:
                continue
            with held:
                self._take_from(directory)
            shutil.rmtree(directory, ignore_errors=True)

    def _take_from(self, directory: Path) -> None:
        with self._lock:
            for path in directory.glob(f"*{ENDING}"):
                with contextlib.suppress(OSError):
                    size = path.stat().st_size
                    path.replace(self._home / path.name)
                    self._names.append(path.name)
                    self._bytes += size
            self._names = deque(sorted(self._names))

    def close(self) -> None:
        """Unlock the directory: what is in it, another process may take over."""
        if self.is_empty:
            shutil.rmtree(self._home, ignore_errors=True)
        self.let_go()

    def let_go(self) -> None:
        """Close the lock's file; as long as another process has it, it stays locked."""
        if self._held is not None:
            self._held.close()

    @property
    def is_empty(self) -> bool:
        return not self._names


Spool = Union[MemorySpool, DiskSpool]


def _hold(directory: Path) -> IO[bytes] | None:
    """Lock a process's directory; None if its process lives (or locks don't exist)."""
    if fcntl is None:
        return None
    try:
        # Left open on purpose: closing the file would give the lock up.
        file = (directory / "lock").open("wb")
    except OSError:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


def _others(root: Path, home: Path) -> Iterator[Path]:
    for directory in sorted(root.iterdir()):
        if directory.is_dir() and directory not in (home, root / "rejected"):
            yield directory


def renamed(batch: Batch, body: bytes, rows: int) -> Batch:
    """Return what is left of a batch, as a request of its own."""
    return replace(batch, body=body, rows=rows, key=str(uuid.uuid4()), name="", size=0)
