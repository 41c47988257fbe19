"""The process that an operator's detectors run in.

It is started as ``python -m monitoring.custom.child``. Standard input: a line of JSON,
then two tables as Arrow streams. Standard output: one line of JSON. What the detector
prints goes to standard error.

The process has nothing of DriftGuard: no settings, no secrets, no database. Its working
directory is empty, and memory, time and the size of files are limited before foreign
code is imported.
"""

from __future__ import annotations

import importlib
import inspect
import json
import math
import os
import resource
import signal
import sys
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
import pyarrow as pa

from monitoring import confinement

LARGEST_DETAIL = 64 * 1024
LARGEST_FILE = 64 << 20
LONGEST_TEXT = 300
SCALARS = (bool, int, float, str)


class UnsoundError(Exception):
    """The detector isn't one, or its answer is none."""


def main() -> None:
    """Answer one request."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    head = json.loads(sys.stdin.buffer.readline())
    work = {"describe": _describe, "run": _run}[head["do"]]
    try:
        answer = work(head)
    except MemoryError:
        answer = {"error": "It took more memory than is allowed."}
    except UnsoundError as error:
        answer = {"error": str(error)}
    except Exception as error:  # noqa: BLE001 (whatever foreign code raises is its answer)
        answer = {"error": f"{type(error).__name__}: {error}"[:LONGEST_TEXT]}
    answers.write(json.dumps(answer, allow_nan=False))
    answers.flush()
    # Foreign code may have left threads behind that never end.
    os._exit(0)


def _limit(seconds: float, memory: int) -> None:
    """Limit what foreign code may take, beyond what is taken already."""
    confinement.limit(memory, LARGEST_FILE)
    cpu = math.ceil(seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 1))
    # If the parent is gone, nobody else ends this process.
    signal.alarm(cpu + 1)


def _describe(head: Mapping[str, Any]) -> dict[str, Any]:
    _limit(head["seconds"], head["memory"])
    return {"found": [_description(one) for one in head["detectors"]]}


def _description(one: Mapping[str, str]) -> dict[str, Any]:
    try:
        found = _load(one["path"])
        return {
            "name": one["name"] or getattr(found, "__name__", ""),
            "path": one["path"],
            "parameters": _parameters(found),
            "warning": _threshold(found, "warning"),
            "alert": _threshold(found, "alert"),
            "score": _first_line(found),
        }
    except UnsoundError as error:
        return {**one, "error": str(error)}
    except Exception as error:  # noqa: BLE001 (whatever foreign code raises is its fault)
        return {**one, "error": f"{type(error).__name__}: {error}"[:LONGEST_TEXT]}


def _load(path: str) -> Callable[..., Any]:
    module, _, name = path.partition(":")
    if not name:
        module, _, name = path.rpartition(".")
    if not module or not name:
        raise UnsoundError(f"{path!r} is no path to a callable")
    found = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    if not callable(found):
        raise UnsoundError(f"{path!r} can't be called")
    return found


def _parameters(detector: Callable[..., Any]) -> dict[str, Any]:
    """Return the parameters beside the two tables, each with its default."""
    given = list(inspect.signature(detector).parameters.values())
    tables = [one for one in given[:2] if one.kind in _POSITIONAL]
    if len(tables) < 2:
        raise UnsoundError("it has to take two tables: (reference, current)")
    found = {}
    for one in given[2:]:
        if one.kind in (one.VAR_KEYWORD, one.VAR_POSITIONAL):
            continue
        if one.default is not None and not isinstance(one.default, SCALARS):
            what = (
                "has no default" if one.default is one.empty else "has an odd default"
            )
            raise UnsoundError(f"its parameter {one.name!r} {what}")
        if isinstance(one.default, float) and not math.isfinite(one.default):
            raise UnsoundError(f"its parameter {one.name!r} has an odd default")
        found[one.name] = one.default
    return found


_POSITIONAL = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
)


def _threshold(detector: Callable[..., Any], name: str) -> float | None:
    value = getattr(detector, name, None)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UnsoundError(f"its {name} threshold is no number: {value!r}")
    return float(value)


def _first_line(detector: Callable[..., Any]) -> str:
    lines = (inspect.getdoc(detector) or "").strip().splitlines()
    return lines[0][:LONGEST_TEXT] if lines else "a custom detector"


def _run(head: Mapping[str, Any]) -> dict[str, Any]:
    tables = [
        pa.ipc.open_stream(sys.stdin.buffer.read(size)).read_all().to_pandas()
        for size in head["sizes"]
    ]
    _limit(head["seconds"], head["memory"])
    said = _load(head["path"])(*tables, **head["parameters"])
    return _answer(said)


def _answer(said: object) -> dict[str, Any]:
    if not isinstance(said, Mapping) or "score" not in said:
        raise UnsoundError('it has to return {"score", "p_value"?, "detail"?}')
    score = _number(said["score"], "score")
    p_value = said.get("p_value")
    if p_value is not None:
        p_value = _number(p_value, "p_value")
        if not 0 <= p_value <= 1:
            raise UnsoundError(f"its p_value {p_value!r} isn't in [0, 1]")
    return {"score": score, "p_value": p_value, "detail": _detail(said.get("detail"))}


def _number(value: object, what: str) -> float:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise UnsoundError(f"its {what} is no number: {value!r:.100}") from None
    if isinstance(value, bool | str) or not math.isfinite(number):
        raise UnsoundError(f"its {what} is no finite number: {value!r:.100}")
    return number


def _detail(detail: object) -> dict[str, Any]:
    if detail is None:
        return {}
    if not isinstance(detail, Mapping):
        raise UnsoundError("its detail is no mapping")
    try:
        text = json.dumps(dict(detail), allow_nan=False)
    except (TypeError, ValueError):
        raise UnsoundError("its detail is no plain, finite JSON") from None
    if len(text) > LARGEST_DETAIL:
        raise UnsoundError(f"its detail is longer than {LARGEST_DETAIL:,} characters")
    plain: dict[str, Any] = json.loads(text)
    return plain


if __name__ == "__main__":
    # pandas is loaded by now: what it takes doesn't count as the detector's.
    assert pd is not None  # noqa: S101
    main()
