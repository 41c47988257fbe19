"""Files of any size, read in parts that are stored one after the other.

Where a part ends is said as the number of rows and as a digest of the file so far, so
that a file is known again when it is read a second time, even if it has grown.
"""

from __future__ import annotations

import gc
import hashlib
import io
import multiprocessing
import os
from codecs import BOM_UTF8
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from governance.exceptions import (
    FieldFault,
    GovernanceError,
    MalformedError,
    UnsupportedMediaTypeError,
)
from monitoring.ingest import reading, tables
from monitoring.ingest.rows import Batch, Dialect

ROWS = 5_000  # of a part; in CSV lines, of which a row may have several
READ_AT_ONCE = 1 << 20


class Mark(NamedTuple):
    """A place in a file behind which no row is stored yet."""

    rows: int  # before it
    size: int  # bytes that the digest covers; of a Parquet file always all
    digest: bytes  # SHA-256


START = Mark(0, 0, hashlib.sha256().digest())


class Part(NamedTuple):
    """Some rows of a file."""

    first: int  # its first row's number in the file, from 0
    batch: Batch
    end: Mark
    done: float  # how much of the file is read with it, in [0, 1]


def read(path: Path, dialect: Dialect, *, after: Mark = START) -> Iterator[Part]:
    """Read a file's rows behind a mark; the next part while the last is stored.

    It starts a process for that, so that the caller should have no threads.

    Raises
    ------
    MalformedError, InvalidError, TooLargeError
        As for the body of a request. What was read before is sound.
    UnsupportedMediaTypeError
        The name says nothing that is known here.
    OSError
        The file can't be read.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise UnsupportedMediaTypeError(f"A file ends with {', '.join(READERS)}.")
    parts = reader(path, dialect, after)
    is_large = path.stat().st_size > READ_AT_ONCE
    if is_large and "fork" in multiprocessing.get_all_start_methods():
        parts = _ahead(parts)
    yield from parts


def _ahead(parts: Iterator[Part]) -> Iterator[Part]:
    """Let a process of its own read the next part while the last is stored."""
    ours, theirs = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(
        target=_send, args=(parts, theirs, ours), daemon=True
    )
    child.start()
    theirs.close()
    try:
        while (part := ours.recv()) is not None:
            if isinstance(part, Exception):
                raise part
            yield part
    finally:
        ours.close()
        child.join()


def _send(parts: Iterator[Part], ours: Connection, theirs: Connection) -> None:
    # With it our end is the only one: the pipe breaks when the other process is killed.
    theirs.close()
    # Millions of lists and no cycle among them: looking for one costs a fifth more.
    gc.disable()
    with suppress(BrokenPipeError):
        try:
            for part in parts:
                ours.send(part)
        except (GovernanceError, OSError) as error:
            ours.send(error)
        else:
            ours.send(None)


def last_mark(path: Path, marks: Collection[Mark]) -> Mark:
    """Return the furthest of the marks that are marks of this file, else `START`."""
    total = path.stat().st_size
    is_text = path.suffix.lower() != ".parquet"
    sizes = {mark.size for mark in marks if mark.size == total or is_text}
    found = {}
    digest = hashlib.sha256()
    with path.open("rb") as file:
        at = 0
        for size in sorted(size for size in sizes if size <= total):
            while at < size:
                data = file.read(min(READ_AT_ONCE, size - at))
                digest.update(data)
                at += len(data)
            if _ends_a_line(file, size, total):
                found[size] = digest.digest()
    own = [mark for mark in marks if found.get(mark.size) == mark.digest]
    return max(own, default=START)


def _ends_a_line(file: BinaryIO, size: int, total: int) -> bool:
    """Tell whether what stands before isn't the beginning of a longer line."""
    if size in {0, total}:
        return True
    file.seek(size - 1)
    return file.read(1) == b"\n" or file.read(1) in {b"\n", b"\r"}


class _Lines:
    """The lines of a file from a place on, and the digest of what was read."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.total = os.fstat(file.fileno()).st_size
        self.size = 0
        self.digest = hashlib.sha256()

    def take(self, most: int, *, quoted: bool = False) -> bytes:
        """Return the next lines; more if the last break may stand between quotes."""
        taken = b"".join(islice(self.file, most))
        while quoted and taken.count(b'"') % 2 and (more := self.file.readline()):
            taken += more
        self._passed(taken)
        return taken

    def skip(self, to: Mark) -> None:
        """Go on behind a mark."""
        while self.size < to.size:
            data = self.file.read(min(READ_AT_ONCE, to.size - self.size))
            if not data:
                raise MalformedError("The file has become shorter meanwhile.")
            self._passed(data)

    def _passed(self, data: bytes) -> None:
        self.digest.update(data)
        self.size += len(data)

    def part(self, first: int, rows: int, batch: Batch) -> Part:
        """Return the part that ends here."""
        end = Mark(first + rows, self.size, self.digest.digest())
        return Part(first, batch, end, self.size / self.total)


def _read_csv(path: Path, dialect: Dialect, after: Mark) -> Iterator[Part]:
    number = after.rows
    with path.open("rb") as file:
        lines = _Lines(file)
        header = next(_cells(lines.take(1, quoted=True).removeprefix(BOM_UTF8)), [])
        tables.check_columns(header, dialect)
        if after.size:
            file.seek(0)
            lines = _Lines(file)
            lines.skip(after)
        while text := lines.take(ROWS, quoted=True):
            if rows := list(_cells(text)):
                batch = tables.read_cells(header, rows, dialect, first=number)
                yield lines.part(number, len(rows), batch)
                number += len(rows)


def _cells(data: bytes) -> Iterator[list[str]]:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise MalformedError(f"Line {line} of the part is not UTF-8.") from None
    return tables.csv_lines(io.StringIO(text, newline=""))


def _read_lines(path: Path, dialect: Dialect, after: Mark) -> Iterator[Part]:
    number = after.rows
    with path.open("rb") as file:
        lines = _Lines(file)
        lines.skip(after)
        while text := lines.take(ROWS):
            if text.strip():
                batch = reading.read_lines(text, dialect, first=number)
                rows = len(batch) + len(batch.faults.rows)
                yield lines.part(number, rows, batch)
                number += rows


def _read_parquet(path: Path, dialect: Dialect, after: Mark) -> Iterator[Part]:
    import pyarrow.parquet as pq

    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").digest()
        size = stream.tell()
    with tables.damage_is_malformed():
        file = pq.ParquetFile(path)
        tables.check_columns(file.schema_arrow.names, dialect)
        total = file.metadata.num_rows
        groups, skipped = _groups_behind(file.metadata, after.rows)
        parts = file.iter_batches(batch_size=ROWS, row_groups=groups, use_threads=False)
    number = after.rows
    while True:
        with tables.damage_is_malformed():
            part = next(parts, None)
        if part is None:
            return
        left = part.slice(min(skipped, len(part)))
        skipped -= len(part) - len(left)
        if len(left):
            end = number + len(left)
            batch = tables.read_parts([left], dialect)
            yield Part(number, batch, Mark(end, size, digest), end / total)
            number = end


def _groups_behind(metadata: Any, rows: int) -> tuple[list[int], int]:
    """Return the row groups that hold what stands behind so many rows.

    With them, how many rows of the first are to be left out.
    """
    group = 0
    while (
        group < metadata.num_row_groups and rows >= metadata.row_group(group).num_rows
    ):
        rows -= metadata.row_group(group).num_rows
        group += 1
    return list(range(group, metadata.num_row_groups)), rows


READERS: dict[str, Callable[[Path, Dialect, Mark], Iterator[Part]]] = {
    ".csv": _read_csv,
    ".jsonl": _read_lines,
    ".ndjson": _read_lines,
    ".parquet": _read_parquet,
}


def sentences(first: int, faults: Sequence[FieldFault]) -> list[str]:
    """Say each fault with the number of its row in the file, from 1.

    `first` is how many rows stand before the part.
    """
    said = []
    for one in faults:
        path = [place for place in one["loc"] if place != "predictions"]
        if path and isinstance(path[0], int):
            path[0] = f"row {first + path[0] + 1:,}"
        where = ", ".join([*map(str, path[:1]), ".".join(map(str, path[1:]))])
        said.append(f"{where.removesuffix(', ')}: {one['detail']}")
    return said
