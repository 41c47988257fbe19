"""Ingestion over HTTP against the same work without a server, or without safeguards.

`python -m tests.bench.ingest`: batches of 1,000 rows of 20 features against msgspec
decoding and COPY of the same rows; single predictions from 32 connections against a
bare Django view with a group-committed INSERT. All durable, on one PostgreSQL.
"""

import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import psutil

ROOT = Path(__file__).parents[2]
ROUNDS = 7
SECONDS = 2.0
BATCH_FLOOR, SINGLE_FLOOR, MEMORY_CEILING = 0.6, 0.7, 120
ROWS, NUMERIC, CATEGORICAL = 1_000, 15, 5
HEAVY = ("scipy", "pandas", "pyarrow", "sklearn")
WEB = [
    *("--interface=wsgi", "--host=127.0.0.1", "--workers=2", "--blocking-threads=48"),
    *("--blocking-threads-idle-timeout=600", "--log-level=error"),
]


def features(source: random.Random) -> dict[str, Any]:
    numbers = {f"number_{n}": round(source.gauss(50, 10), 4) for n in range(NUMERIC)}
    words = {
        f"word_{n}": source.choice(["red", "green", "blue"]) for n in range(CATEGORICAL)
    }
    return numbers | words


def rows(source: random.Random) -> list[dict[str, Any]]:
    return [
        {
            "input_features": features(source),
            "prediction": round(source.random(), 6),
            "timestamp": f"2026-11-20T12:{n // 60 % 60:02}:{n % 60:02}Z",
            "entity_id": f"client-{n}",
        }
        for n in range(ROWS)
    ]


@contextmanager
def database() -> Iterator[None]:
    """Run a durable PostgreSQL of our own, and point Django at it."""
    directory = Path(tempfile.mkdtemp(prefix="driftguard-bench-"))
    os.environ.update(
        DRIFTGUARD_DATA_DIR=str(directory),
        DRIFTGUARD_ENV_FILE="",
        DJANGO_SETTINGS_MODULE="driftguard.settings",
        SECRET_KEY="of no value: it lives as long as this measurement",
        OMP_NUM_THREADS="1",
    )
    from driftguard.embedded.cluster import PORT, SUPERUSER, Cluster

    cluster = Cluster(directory / "postgres")
    cluster.attend()
    host = cluster.socket_directory()
    os.environ["DATABASE_URL"] = (
        f"postgresql://{SUPERUSER}@/postgres?host={host}&port={PORT}"
    )
    os.environ["BARE_DSN"] = f"host={host} port={PORT} dbname=postgres user={SUPERUSER}"
    try:
        yield
    finally:
        cluster.leave()
        shutil.rmtree(directory, ignore_errors=True)


def register() -> tuple[int, str]:
    """Migrate, register a model with its schema, and return its id and a key."""
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    from tests import factories

    alice = factories.make_alice()
    schema = [
        {"name": name, "type": "float" if name.startswith("number") else "categorical"}
        for name in features(random.Random(1))
    ]
    version = factories.make_version(alice, schema={"features": schema})
    return version.model_id, factories.make_api_key(alice)[1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def granian(application: str) -> Iterator[tuple[int, psutil.Process]]:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "granian", *WEB, f"--port={port}", application],
        cwd=ROOT,
        env={**os.environ, "DRIFTGUARD_PROCESS": "web", "MALLOC_ARENA_MAX": "2"},
    )
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield port, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


class Copier:
    """The yardstick of batches: decode, COPY, commit; nothing else, and no network."""

    def __init__(self, body: bytes, model: int) -> None:
        from django.db import connection

        from governance.models import ModelVersion

        self.body = body
        self.version = ModelVersion.objects.get(model=model)
        self.connection = connection

        class Row(msgspec.Struct):
            input_features: msgspec.Raw
            prediction: float
            timestamp: msgspec.Raw
            entity_id: str

        class Body(msgspec.Struct):
            model_id: int
            predictions: list[Row]

        self.decoder = msgspec.json.Decoder(Body)

    def once(self) -> None:
        """Write the rows as text, the way most would."""
        from io import StringIO

        from django.db import transaction

        from governance.identifiers import uuid7, uuid7s

        decoded = self.decoder.decode(self.body)
        version = self.version
        receipt = uuid7()
        fixed = (
            f"{version.organization_id}\t{version.model_id}\t{version.pk}\t{receipt}"
        )
        lines = [
            f"{pk}\t{fixed}\t{bytes(row.timestamp)[1:-1].decode()}\t{row.entity_id}\t"
            f"{bytes(row.input_features).decode()}\t{row.prediction}\t{row.prediction}"
            "\tAPPROVED\n"
            for pk, row in zip(uuid7s(ROWS), decoded.predictions, strict=True)
        ]
        with transaction.atomic(), self.connection.cursor() as cursor:
            cursor.copy_expert(
                "COPY monitoring_prediction (id, organization_id, model_id, "
                'version_id, receipt_id, "timestamp", entity_id, features, prediction, '
                "prediction_value, verdict) FROM STDIN",
                StringIO("".join(lines)),
                1 << 20,
            )

    def run(self) -> float:
        """Return how many rows a second go in."""
        count, started = 0, time.perf_counter()
        while time.perf_counter() - started < SECONDS:
            self.once()
            count += ROWS
        return count / (time.perf_counter() - started)


def alternate(
    ours: Callable[[], float], theirs: Callable[[], float]
) -> tuple[float, float, float]:
    """Take turns, so that the machine's moods hit both.

    Returns the median of the ratios of neighbours, and both medians.
    """
    pairs = [(ours(), theirs()) for _ in range(ROUNDS)]
    ratio = statistics.median(one / other for one, other in pairs)
    return ratio, *map(statistics.median, zip(*pairs, strict=True))


def memory(server: psutil.Process) -> tuple[float, list[str]]:
    """Return the largest worker's MiB, and which heavy libraries any has loaded."""
    largest, loaded = 0.0, set()
    for process in server.children(recursive=True):
        largest = max(largest, process.memory_info().rss / 2**20)
        paths = " ".join(one.path for one in process.memory_maps())
        loaded |= {name for name in HEAVY if f"/{name}/" in paths}
    return largest, sorted(loaded)


def say(text: str) -> None:
    print(text, flush=True)


def judge(name: str, found: float, floor: float) -> bool:
    say(f"  {name}: {found:.2f} (at least {floor})")
    return found >= floor


def main() -> int:
    with database():
        model, key = register()
        from tests.bench import load

        source = random.Random(7)
        headers = {"Authorization": f"Bearer {key}"}
        body = msgspec.json.encode({"model_id": model, "predictions": rows(source)})
        batch = load.request("POST", "/api/logs/prediction/batch", body, headers)
        one = msgspec.json.encode(
            {
                "model_id": model,
                "input_features": features(source),
                "prediction": 0.25,
                "timestamp": "2026-11-20T12:00:00Z",
            }
        )
        single = load.request("POST", "/api/logs/prediction", one, headers)
        copier = Copier(body, model)
        with (
            granian("driftguard.wsgi:application") as (port, server),
            granian("tests.bench.bare:application") as (bare_port, _),
        ):
            load.run(port, batch, connections=4, seconds=1)
            megabytes, heavy = memory(server)
            for warm in (port, bare_port):
                load.run(warm, single, connections=32, seconds=1)

            def batches() -> float:
                done = load.run(port, batch, connections=4, seconds=SECONDS)
                return done.per_second * ROWS

            def singles() -> float:
                done = load.run(port, single, connections=32, seconds=SECONDS)
                return done.per_second

            def bare() -> float:
                done = load.run(bare_port, single, connections=32, seconds=SECONDS)
                return done.per_second

            share_of_copy, served, copied = alternate(batches, copier.run)
            share_of_bare, logged, plain = alternate(singles, bare)
        say(f"  batches: {served:,.0f} rows/s, COPY alone {copied:,.0f} rows/s")
        say(f"  singles: {logged:,.0f}/s, bare {plain:,.0f}/s")
        say(f"  a web process after its first batch: {megabytes:.0f} MiB; {heavy=}")
        kept = [
            judge("batches / COPY", share_of_copy, BATCH_FLOOR),
            judge("singles / bare", share_of_bare, SINGLE_FLOOR),
            megabytes <= MEMORY_CEILING and not heavy,
        ]
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main())
