"""C1 to C3 on the real processes: kill -9 in the middle of a replay loses nothing.

Clients log batches, single rows and outcomes without a pause, repeating each call with
its idempotency key until it is acknowledged. Meanwhile the worker, a web process and
PostgreSQL are killed in turn. Afterwards everything acknowledged is counted.
"""

import logging
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import psutil
import pytest

from monitoring.stats.grid import Grid
from tests.fragile import (
    kill,
    postgres,
    query,
    register,
    wait_until,
    web_processes,
    worker,
)
from tests.running_server import ROOT, RunningServer
from tests.senders import BatchSender, Sender, SingleSender, features

logger = logging.getLogger(__name__)
ROUNDS = 2
BATCHERS, SINGLES = 2, 4
# Rows that are acknowledged between two faults.
PROGRESS = 300


@dataclass
class Faults:
    """What was killed, and what it hit."""

    hits: Counter[str] = field(default_factory=Counter)
    came_back: Counter[str] = field(default_factory=Counter)


@pytest.fixture(scope="module")
def fragile(start_server: Callable[..., RunningServer]) -> RunningServer:
    """A server of our own: others had better not meet the faults."""
    return start_server()


VICTIMS: dict[str, Callable[[RunningServer], list[psutil.Process]]] = {
    "worker": worker,
    "web": web_processes,
    "postgres": postgres,
}


def strike(
    server: RunningServer, senders: list[Sender], name: str, faults: Faults
) -> None:
    """Kill one kind of process in the middle of the work; wait until all goes on."""
    everyone = VICTIMS[name](server)
    before = {process.pid for process in everyone}
    retries = sum(sender.api.retries for sender in senders)
    at_work = name == "worker" and uncounted(server) > 0
    kill(everyone[:1] if name == "web" else everyone)
    reached = acknowledged(senders)
    wait_until(lambda: has_successor(server, name, before), f"{name} is back")
    server.wait_until_ready()
    faults.came_back[name] += 1
    wait_until(
        lambda: acknowledged(senders) > reached + PROGRESS or failed(senders),
        f"the replay goes on after {name} was killed",
    )
    disturbed = sum(sender.api.retries for sender in senders) > retries
    faults.hits[name] += at_work if name == "worker" else disturbed


def has_successor(server: RunningServer, name: str, before: set[int]) -> bool:
    try:
        return any(process.pid not in before for process in VICTIMS[name](server))
    except (psutil.NoSuchProcess, ValueError):
        return False  # not there yet, or looked at while it was going


def uncounted(server: RunningServer) -> int:
    [(count,)] = query(server, "SELECT count(*) FROM monitoring_receipt WHERE pending")
    return int(str(count))


def acknowledged(senders: list[Sender]) -> int:
    return sum(len(sender.numbers) for sender in senders)


def failed(senders: list[Sender]) -> bool:
    return any(sender.error is not None for sender in senders)


@pytest.fixture(scope="module")
def replay(fragile: RunningServer) -> tuple[list[Sender], Faults, str]:
    """Run the whole replay with its faults; return what the clients know."""
    key, model = register(fragile)
    enough = threading.Event()
    senders: list[Sender] = [
        BatchSender(fragile.url, key, model, f"batch{number}", enough)
        for number in range(BATCHERS)
    ]
    senders += [
        SingleSender(fragile.url, key, model, f"single{number}", enough)
        for number in range(SINGLES)
    ]
    faults = Faults()
    for sender in senders:
        sender.start()
    try:
        wait_until(lambda: acknowledged(senders) > PROGRESS, "the replay has begun")
        for _ in range(ROUNDS):
            for name in VICTIMS:
                strike(fragile, senders, name, faults)
    finally:
        enough.set()
        for sender in senders:
            sender.join()
    for sender in senders:
        if sender.error is not None:
            raise sender.error
    wait_until(lambda: uncounted(fragile) == 0, "every receipt is counted")
    logger.info(
        "%d rows and %d outcomes acknowledged after %d retries; hit: %s",
        acknowledged(senders),
        sum(sender.labels for sender in senders),
        sum(sender.api.retries for sender in senders),
        dict(faults.hits),
    )
    return senders, faults, model


@pytest.mark.server
def test_enough_faults_hit_work_that_was_under_way(
    replay: tuple[list[Sender], Faults, str],
) -> None:
    _, faults, _ = replay
    assert sum(faults.hits.values()) >= 2 * len(VICTIMS) - 1, faults
    assert all(faults.hits[name] for name in VICTIMS), faults


@pytest.mark.server
def test_every_killed_process_came_back_by_itself(
    replay: tuple[list[Sender], Faults, str],
) -> None:
    _, faults, _ = replay
    assert faults.came_back == dict.fromkeys(VICTIMS, ROUNDS)


@pytest.mark.server
def test_every_acknowledged_prediction_is_stored_exactly_once(
    fragile: RunningServer, replay: tuple[list[Sender], Faults, str]
) -> None:
    senders, _, _ = replay
    sent = {sender.entity(number) for sender in senders for number in sender.numbers}
    stored = Counter(
        entity
        for (entity,) in query(fragile, "SELECT entity_id FROM monitoring_prediction")
    )
    assert stored == Counter(sent)
    [(receipted,)] = query(
        fragile, "SELECT sum(rows) FROM monitoring_receipt WHERE kind = 'predictions'"
    )
    assert receipted == len(sent)


@pytest.mark.server
def test_every_acknowledged_outcome_is_stored_exactly_once_on_its_prediction(
    fragile: RunningServer, replay: tuple[list[Sender], Faults, str]
) -> None:
    senders, _, _ = replay
    sent = {
        sender.entity(number)
        for sender in senders
        if sender.labels
        for number in sender.numbers
    }
    joined = query(
        fragile,
        "SELECT p.entity_id, g.entity_id FROM monitoring_groundtruth g "
        "LEFT JOIN monitoring_prediction p ON p.id = g.prediction_id",
    )
    assert Counter(label for _, label in joined) == Counter(sent)
    assert all(entity == label for entity, label in joined)


@pytest.mark.server
def test_profiles_and_segments_hold_every_row_exactly_once(
    fragile: RunningServer, replay: tuple[list[Sender], Faults, str]
) -> None:
    senders, _, _ = replay
    numbers = [number for sender in senders for number in sender.numbers]
    labels = sum(sender.labels for sender in senders)
    counted = query(
        fragile,
        "SELECT sum(rows), sum(labels) FROM monitoring_profile WHERE period = 'hour'",
    )
    assert counted == [(len(numbers), labels)]
    assert query(fragile, "SELECT sum(rows) FROM monitoring_segment") == [
        (len(numbers),)
    ]


@pytest.mark.server
def test_profile_counts_are_those_of_the_rows_cell_by_cell(
    fragile: RunningServer, replay: tuple[list[Sender], Faults, str]
) -> None:
    senders, _, _ = replay
    rows = [features(number) for sender in senders for number in sender.numbers]
    [(grid_data,)] = query(fragile, "SELECT grid_data FROM monitoring_baseline")
    grid = Grid.from_bytes(grid_data)  # type: ignore[arg-type]
    merged = grid.merge(
        blob  # type: ignore[misc]
        for (blob,) in query(
            fragile, "SELECT columns FROM monitoring_profile WHERE period = 'hour'"
        )
    )
    amounts = [float("nan") if row["amount"] is None else row["amount"] for row in rows]
    columns = {"amount": amounts, "country": [row["country"] for row in rows]}
    for name, values in columns.items():
        expected = grid.count({name: values})
        span = grid.layout[name].ints
        assert merged.ints[span].tolist() == expected.ints[span].tolist()


@pytest.mark.server
def test_the_live_view_counts_every_row(
    fragile: RunningServer, replay: tuple[list[Sender], Faults, str]
) -> None:
    senders, _, model = replay
    sender = senders[0]

    def counted() -> int:
        answer = sender.api.get(f"/api/models/{model}/drift")
        return int(answer["window"]["predictions"])

    wait_until(lambda: counted() >= acknowledged(senders), "all rows are measured")
    assert counted() == acknowledged(senders)


@pytest.mark.server
def test_nothing_disagrees_with_anything(
    fragile: RunningServer, replay: tuple[list[Sender], Faults, str]
) -> None:
    senders, _, _ = replay
    done = subprocess.run(
        [sys.executable, "manage.py", "fsck"],
        cwd=ROOT,
        env=fragile.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = acknowledged(senders) + sum(sender.labels for sender in senders)
    assert f"{rows:,} rows" in done.stdout
    assert "0 waiting, 0 faults" in done.stdout
