"""What a process of foreign code is given, and what it may take."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
# What a process needs to find Python's modules; none of our secrets is among it.
_KEPT = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "VIRTUAL_ENV")


def environment(directory: str) -> dict[str, str]:
    """Return the environment of a process whose home is an empty directory."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    paths = dict.fromkeys(path for path in (str(_ROOT), *sys.path) if path)
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOME": directory,
        "TMPDIR": directory,
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        # onnxruntime's wheels tell its maker about every process and model otherwise.
        "ORT_DISABLE_TELEMETRY": "1",
    }


def limit(memory: int, largest_file: int) -> None:
    """Limit this process's memory, beyond what it has, and its files, in bytes."""
    with open("/proc/self/statm", encoding="ascii") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + memory, used + memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
