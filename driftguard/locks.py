"""Locks between processes of one machine; the kernel frees them with their holder."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class FileLock:
    """A lock on ``path``; the file itself stays and says nothing about the lock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor: int | None = None

    def acquire(self, *, shared: bool = False, wait: bool = False) -> bool:
        """Take the lock and return whether that succeeded; ``wait`` blocks for it."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        operation = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        try:
            fcntl.flock(descriptor, operation if wait else operation | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self.descriptor = descriptor
        return True

    def release(self) -> None:
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None

    def is_held_elsewhere(self) -> bool:
        """Return whether somebody holds the lock exclusively."""
        if not self.path.exists():
            return False
        probe = FileLock(self.path)
        free = probe.acquire(shared=True)
        probe.release()
        return not free

    @contextmanager
    def waited_for(self) -> Iterator[None]:
        self.acquire(wait=True)
        try:
            yield
        finally:
            self.release()
