"""Running an operator's detector, in a process of its own and within limits."""

from __future__ import annotations

import json
import os
import signal
import subprocess  # nosec B404
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import pyarrow as pa

from monitoring import confinement
from monitoring.stats import rows
from monitoring.stats.columns import Codes, Kind, Values
from monitoring.stats.encoding import row_count, take
from monitoring.stats.measure import Measure, NoDataError

# A detector sees so many rows of either side, drawn with a fixed seed.
MAX_ROWS = 100_000
LARGEST_ANSWER = 1 << 20
LONGEST_NOISE = 2_000
_MODULE = "monitoring.custom.child"


class CustomDetectorError(Exception):
    """A custom detector failed; the message tells why."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a custom detector may take."""

    seconds: float = 60.0
    memory: int = 2 << 30  # bytes, beyond the tables that it is given


@dataclass(frozen=True, slots=True)
class CustomDetector:
    """What the registry calls: a detector by its path.

    Raises
    ------
    NoDataError
        A side has no rows.
    CustomDetectorError
        Whatever goes wrong in it, or takes too long or too much.
    """

    path: str
    limits: Limits

    def __call__(
        self,
        baseline: Mapping[str, Values],
        window: Mapping[str, Values],
        kinds: Mapping[str, Kind],
        **parameters: Any,
    ) -> Measure:
        """Return what the detector says of two sets of rows."""
        sizes = [row_count(side, kinds) for side in (baseline, window)]
        if not min(sizes):
            raise NoDataError("a side has no rows")
        tables = [_table(side, kinds) for side in (baseline, window)]
        head = {
            "do": "run",
            "path": self.path,
            "parameters": parameters,
            "sizes": [len(table) for table in tables],
        }
        said = ask(head, self.limits, *tables)
        return Measure(
            said["score"],
            sizes[0],
            sizes[1],
            p_value=said["p_value"],
            p_value_method=None if said["p_value"] is None else "custom",
            detail={
                **said["detail"],
                "rows_seen": [min(size, MAX_ROWS) for size in sizes],
            },
        )


def _table(side: Mapping[str, Values], kinds: Mapping[str, Kind]) -> bytes:
    total = row_count(side, kinds)
    chosen = np.arange(total)
    if total > MAX_ROWS:
        rng = np.random.default_rng(0)
        chosen = np.sort(rng.choice(total, MAX_ROWS, replace=False))
    columns = {
        name: _column(take(side[name], chosen)) for name in kinds if name in side
    }
    return rows.encode(pa.table(columns))


def _column(values: Values) -> pa.Array:
    if isinstance(values, Codes):
        return rows.coded(np.asarray(values.codes), list(values.categories))
    return pa.array(values)


def ask(head: Mapping[str, Any], limits: Limits, *tables: bytes) -> dict[str, Any]:
    """Return what the child says; raises CustomDetectorError."""
    request = {**head, "seconds": limits.seconds, "memory": limits.memory}
    with (
        tempfile.TemporaryDirectory(prefix="driftguard-custom-") as directory,
        tempfile.TemporaryFile() as noise,
    ):
        process = subprocess.Popen(  # noqa: S603  # nosec B603
            [sys.executable, "-m", _MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=noise,
            cwd=directory,
            env=confinement.environment(directory),
            start_new_session=True,
        )
        content = b"".join((json.dumps(request).encode() + b"\n", *tables))
        try:
            # The child ends itself a little later; loading pandas isn't its fault.
            said, _ = process.communicate(content, timeout=limits.seconds + 15)
        except subprocess.TimeoutExpired:
            raise _overdue(limits) from None
        finally:
            _end(process)
        return _understood(process.returncode, said, noise, limits)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the child, and whatever it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _understood(
    code: int, said: bytes, noise: IO[bytes], limits: Limits
) -> dict[str, Any]:
    if code in (-signal.SIGXCPU, -signal.SIGALRM):
        raise _overdue(limits)
    try:
        answer: dict[str, Any] = json.loads(said[:LARGEST_ANSWER])
    except ValueError:
        told = _end_of(noise)
        if "MemoryError" in told or "bad_alloc" in told or "allocate" in told:
            told = "It took more memory than is allowed."
        raise CustomDetectorError(
            told or f"Its process ended without an answer ({code})."
        ) from None
    if "error" in answer:
        raise CustomDetectorError(answer["error"])
    return answer


def _end_of(noise: IO[bytes]) -> str:
    size = noise.seek(0, os.SEEK_END)
    noise.seek(max(size - LONGEST_NOISE, 0))
    lines = noise.read().decode(errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else ""


def _overdue(limits: Limits) -> CustomDetectorError:
    return CustomDetectorError(f"It took longer than {limits.seconds:g} seconds.")
