"""The processes that make up DriftGuard, as command lines, whoever keeps them alive."""

from __future__ import annotations

import sys

from django.conf import settings

PYTHON = [sys.executable, "-m"]
CELERY = [*PYTHON, "celery", "--quiet", "--app=driftguard.celery:app"]
ENVIRONMENT = {
    "PYTHONUNBUFFERED": "1",
    # Warnings of Celery about root; granian and psutil would repeat them.
    "PYTHONWARNINGS": "ignore",
    # Several processes share the machine; none takes all cores for one sum.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    # Otherwise every thread of a web process keeps memory for itself.
    "MALLOC_ARENA_MAX": "2",
}


def web(host: str, port: int) -> list[str]:
    return [
        *PYTHON,
        "granian",
        "--interface=wsgi",
        f"--host={host}",
        f"--port={port}",
        f"--workers={settings.WEB_WORKERS}",
        f"--blocking-threads={settings.WEB_THREADS}",
        # A thread keeps its database connection, so that it had better stay.
        "--blocking-threads-idle-timeout=600",
        "--respawn-failed-workers",
        "--respawn-interval=0.1",
        "--workers-kill-timeout=15",
        "--static-path-route=/static",
        f"--static-path-mount={settings.STATIC_ROOT}",
        "--static-path-expires=600",
        "--log-level=error",
        "driftguard.wsgi:application",
    ]


def worker() -> list[str]:
    lean = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    return [*CELERY, "worker", "--loglevel=INFO", *lean]


def beat() -> list[str]:
    return [*CELERY, "beat", "--loglevel=INFO", "--pidfile="]
