"""``python -m tests.bench.audit [ENTRIES]``: the trail of one busy organization.

Deeds that append to it, from 16 connections of 4 processes, against the bare minimum
on the same server in turns: lock the head row, insert an entry, commit. Then a trail of
a million entries is exported, as JSON Lines and as a bundle, and verified offline.
"""

import contextlib
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil
import psycopg2

from tests import environment

# Committing is half of what is measured: nothing is spared here.
environment.cluster.durable = True

from tests.bench import database  # noqa: E402

PROCESSES, THREADS = 4, 4
ROUNDS, SECONDS = 3, 4.0
LEAST_SHARE = 0.8
ENTRIES = 1_000_000
ENTRIES_AT_ONCE = 5_000
VERIFY_SECONDS, VERIFY_MB = 60.0, 500.0
FLAT_MB = 20.0
ROOT = Path(__file__).parents[2]
MB = 1 << 20

BARE_TABLES = """
    CREATE TABLE bare_head (LIKE governance_audithead INCLUDING ALL);
    CREATE TABLE bare_entry (LIKE governance_auditentry INCLUDING ALL);
    INSERT INTO bare_head SELECT * FROM governance_audithead WHERE organization_id = %s
"""
BARE_INSERT = """
    INSERT INTO bare_entry (organization_id, seq, body, leaf_hash, at, actor_type,
        actor_id, actor_label, action, object_type, object_id, object_label, outcome,
        request_id)
    SELECT organization_id, %s, body, leaf_hash, now(), actor_type, actor_id,
        actor_label, action, object_type, object_id, object_label, outcome, request_id
    FROM governance_auditentry WHERE organization_id = %s AND seq = 1
"""


def bare(organization, until: float) -> int:
    """Append in the cheapest way that keeps the order; return how often."""
    from django.db import connection

    with connection.cursor() as django_cursor:
        server = django_cursor.connection
        server.autocommit = False
        cursor = server.cursor()
        done = 0
        while time.monotonic() < until:
            cursor.execute(
                "SELECT seq FROM bare_head WHERE organization_id = %s FOR UPDATE",
                (organization.pk,),
            )
            [seq] = cursor.fetchone()
            cursor.execute(BARE_INSERT, (seq + 1, organization.pk))
            cursor.execute(
                "UPDATE bare_head SET seq = %s WHERE organization_id = %s",
                (seq + 1, organization.pk),
            )
            server.commit()
            done += 1
    return done


def deeds(organization, until: float) -> int:
    """Do the smallest deed there is; return how often."""
    from governance.actions import exports
    from governance.actions.audit import Actor

    actor = Actor(type="user", id="1", label="dora@example.com", auth_method="password")
    done = 0
    while time.monotonic() < until:
        exports.record_reading(organization, actor=actor, filters={"action": "x"})
        done += 1
    return done


def process(work: Callable, organization, until: float, results) -> None:
    from django.db import connections

    connections.close_all()
    counts, errors = [], []

    def run() -> None:
        try:
            counts.append(work(organization, until))
        except psycopg2.Error as error:
            errors.append(str(error))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    results.put((sum(counts), errors))


def rate(work: Callable, organization) -> float:
    """Return how many there are in a second, of all processes together."""
    from django.db import connections

    connections.close_all()
    fork = multiprocessing.get_context("fork")
    results = fork.Queue()
    until = time.monotonic() + SECONDS
    workers = [
        fork.Process(target=process, args=(work, organization, until, results))
        for _ in range(PROCESSES)
    ]
    for worker in workers:
        worker.start()
    found = [results.get() for _ in workers]
    for worker in workers:
        worker.join()
    errors = [error for _, several in found for error in several]
    if errors:
        raise RuntimeError(errors[0])
    return sum(count for count, _ in found) / SECONDS


def bench_deeds() -> bool:
    from governance.models import AuditEntry
    from tests import factories

    organization = factories.make_organization("Busy Bank")
    make_bare_tables(organization)
    pairs = [
        (rate(bare, organization), rate(deeds, organization)) for _ in range(ROUNDS)
    ]
    for bare_rate, deed_rate in pairs:
        print(f"  bare {bare_rate:,.0f}/s, deeds {deed_rate:,.0f}/s")
    share = statistics.median(deed / plain for plain, deed in pairs)
    seqs = AuditEntry.objects.for_organization(organization).order_by("seq")
    numbers = list(seqs.values_list("seq", flat=True))
    assert numbers == list(range(1, len(numbers) + 1)), "the trail has a gap"
    return told("deeds, of bare appends", share, LEAST_SHARE, at_least=True)


def make_bare_tables(organization) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SET ROLE driftguard_owner")
        cursor.execute(BARE_TABLES, [organization.pk])
        cursor.execute("SET ROLE driftguard_app")


def told(what: str, value: float, bar: float, *, at_least: bool = False) -> bool:
    is_met = value >= bar if at_least else value <= bar
    sign = "at least" if at_least else "at most"
    print(f"  {what}: {value:,.2f} ({sign} {bar:g}){'' if is_met else '  MISSED'}")
    return is_met


def fill(organization, entries: int) -> None:
    """Record so many deeds, each with before and after; they say different things."""
    from governance.actions import audit

    @audit.deed
    def some(start: int) -> None:
        for number in range(start, min(start + ENTRIES_AT_ONCE, entries)):
            audit.record(
                organization,
                actor=None,
                action="threshold.changed",
                object=organization,
                before={"psi": number / 1000},
                after={"psi": (number + 1) / 1000},
                reason="The monthly review asked for it." if number % 3 else "",
            )

    started = time.perf_counter()
    for start in range(0, entries, ENTRIES_AT_ONCE):
        some(start)
    print(f"  {entries:,} entries recorded in {time.perf_counter() - started:.0f} s")


def written(pieces: Iterable[bytes], path: Path) -> tuple[float, float]:
    """Write an export to a file; return seconds, and by how many MB memory grew.

    That is from when a tenth has been written: what is loaded once doesn't count.
    """
    own = psutil.Process()
    sizes = []
    started = last = time.perf_counter()
    with path.open("wb") as file:
        for piece in pieces:
            file.write(piece)
            if time.perf_counter() - last > 0.2:
                last = time.perf_counter()
                sizes.append(own.memory_info().rss / MB)
    tenth = len(sizes) // 10
    growth = max(sizes[tenth:], default=0) - max(sizes[: tenth + 1], default=0)
    return time.perf_counter() - started, growth


def bench_exports(organization, directory: Path) -> bool:
    from governance.actions import bundles as packing
    from governance.actions import checkpoints, exports

    found = exports.entries(
        organization, lambda rows: rows, last=exports.last_seq(organization)
    )
    seconds, growth = written(exports.json_lines(found), directory / "trail.jsonl")
    print(f"  JSON Lines in {seconds:.0f} s")
    is_met = told("growth of memory, MB", growth, FLAT_MB)
    checkpoints.sign(organization)
    pieces = packing.export(organization, actor=None)
    seconds, growth = written(pieces, directory / "bundle.zip")
    print(f"  bundle in {seconds:.0f} s")
    return told("growth of memory, MB", growth, FLAT_MB) and is_met


def bench_verification(directory: Path) -> bool:
    from governance import signing

    verifier = ROOT / "governance" / "verify" / "dg_verify.py"
    key = signing.public_key().text
    started = time.perf_counter()
    running = subprocess.Popen(
        [sys.executable, verifier, directory / "bundle.zip", "--trusted-key", key]
    )
    watched = psutil.Process(running.pid)
    largest = 0.0
    while running.poll() is None:
        with contextlib.suppress(psutil.NoSuchProcess):
            largest = max(largest, watched.memory_info().rss / MB)
        time.sleep(0.05)
    seconds = time.perf_counter() - started
    assert running.returncode == 0, running.returncode
    is_quick = told("verification, s", seconds, VERIFY_SECONDS)
    return told("its memory, MB", largest, VERIFY_MB) and is_quick


def main(entries: int) -> int:
    with database.fresh(), tempfile.TemporaryDirectory() as name:
        from tests import factories

        directory = Path(name)
        met = [bench_deeds()]
        organization = factories.make_organization("Old Bank")
        fill(organization, entries)
        met.append(bench_exports(organization, directory))
        met.append(bench_verification(directory))
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if sys.argv[1:] else ENTRIES))
