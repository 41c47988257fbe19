"""Governed inference at 50 requests a second, as its clients see it.

`python -m tests.bench.inference`: requests of one instance of 20 features go out when
they are due, whether the last are answered or not, and are measured from that moment.
Every answer is committed and asked of the gate.
"""

import http.client
import json
import random
import statistics
import sys
import threading
import time
from queue import SimpleQueue
from typing import Any

import psutil

from tests.bench.ingest import database, granian

RATE, SECONDS, THREADS = 50, 20, 16
MEDIAN_CEILING, P99_CEILING, MEMORY_CEILING = 0.050, 0.500, 120
FEATURES = 20


def deploy() -> str:
    """Migrate, deploy a classifier, and return a key that may ask it."""
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    from governance.actions import deployments
    from monitoring.actions import inference
    from tests import artifacts, factories
    from tests.governance.deploying import fresh, make_ready

    alice = factories.make_alice()
    names = [f"number_{n}" for n in range(FEATURES)]
    schema = {
        "features": [{"name": name, "type": "float"} for name in names],
        "task": "binary",
        "classes": [0, 1],
    }
    version = make_ready(alice, schema=schema)
    content = artifacts.classifier([0.1] * FEATURES)
    inference.store_artifact(version, content, actor=alice.actor)
    version = factories.approve(fresh(version))
    deployments.deploy(fresh(version), environment="production", actor=alice.actor)
    return factories.make_api_key(alice)[1]


def body(source: random.Random) -> bytes:
    row = {f"number_{n}": round(source.gauss(2, 5), 4) for n in range(FEATURES)}
    return json.dumps({"instances": [row]}).encode()


def ask(port: int, key: str, due: "SimpleQueue[Any]", latencies: list[float]) -> None:
    """Send what is due until there is nothing more."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    while (job := due.get()) is not None:
        moment, content = job
        connection.request("POST", "/api/v1/models/credit/predict", content, headers)
        answer = connection.getresponse()
        said = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {said[:300]!r}")
        latencies.append(time.perf_counter() - moment)


def run(port: int, key: str, seconds: float) -> list[float]:
    source = random.Random(1)
    due: SimpleQueue[Any] = SimpleQueue()
    latencies: list[float] = []
    threads = [
        threading.Thread(target=ask, args=[port, key, due, latencies])
        for _ in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    started = time.perf_counter()
    for number in range(int(RATE * seconds)):
        moment = started + number / RATE
        time.sleep(max(moment - time.perf_counter(), 0))
        due.put((moment, body(source)))
    for _ in threads:
        due.put(None)
    for thread in threads:
        thread.join()
    return sorted(latencies)


def memory(server: psutil.Process) -> dict[str, list[float]]:
    """Return the resident MiB of web processes and of artifacts'."""
    found: dict[str, list[float]] = {"web": [], "artifact": []}
    for process in server.children(recursive=True):
        is_child = "monitoring.inference.child" in process.cmdline()
        size = process.memory_info().rss / 2**20
        found["artifact" if is_child else "web"].append(round(size, 1))
    return found


def main() -> int:
    with database():
        key = deploy()
        with granian("driftguard.wsgi:application") as (port, server):
            run(port, key, 2)  # each web process starts the artifact's own
            latencies = run(port, key, SECONDS)
            used = memory(server)
    median = statistics.median(latencies)
    p99 = latencies[int(0.99 * len(latencies))]
    print(
        f"{len(latencies)} requests at {RATE}/s: median {median * 1e3:.1f} ms, "
        f"p99 {p99 * 1e3:.1f} ms, longest {latencies[-1] * 1e3:.1f} ms"
    )
    print(f"MiB resident: web {used['web']}, artifact {used['artifact']}")
    is_good = (
        len(latencies) == RATE * SECONDS
        and median < MEDIAN_CEILING
        and p99 < P99_CEILING
        and max(used["web"]) <= MEMORY_CEILING
    )
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
