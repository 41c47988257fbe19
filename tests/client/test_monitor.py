"""The monitor: nothing lost, nothing twice, and never in production's way."""

import asyncio
import datetime as dt
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from driftguard_client import AsyncMonitor, DriftGuard, Monitor, WatchedModel, watch
from sklearn.linear_model import LinearRegression, LogisticRegression

from tests.client.conftest import register, stored
from tests.running_server import RunningServer, free_port

pytestmark = pytest.mark.server
NOWHERE = "http://127.0.0.1:9"  # the port `discard`, where nobody listens


def log_rows(monitor: Monitor, numbers: range) -> None:
    for number in numbers:
        monitor.log(
            {"amount": number / 4, "country": "DE"},
            number % 2,
            probabilities=[0.25, 0.75],
            entity_id=f"e{number}",
        )


def entities(client: DriftGuard) -> list[str]:
    """Return the entities of all stored predictions, in the order they were made."""
    found: list[dict[str, Any]] = []
    while True:
        page = client.predictions("fraud", limit=1000, offset=len(found))
        found += page["predictions"]
        if len(found) >= page["total"]:
            return [one["entityId"] for one in reversed(found)]


def test_rows_are_stored_in_their_order(client: DriftGuard, spool: Path) -> None:
    with Monitor(client, "fraud", spool=spool, max_batch=100) as monitor:
        log_rows(monitor, range(1050))
        assert monitor.flush()
        assert monitor.stats.accepted == 1050
    assert entities(client) == [f"e{number}" for number in range(1050)]


def test_an_outcome_finds_its_prediction(client: DriftGuard, spool: Path) -> None:
    with Monitor(client, "fraud", spool=spool) as monitor:
        monitor.log({"amount": 1.5, "country": "DE"}, 1, entity_id="e1")
        monitor.log_outcome("e1", 0)
        assert monitor.flush()
    (row,) = client.predictions("fraud")["predictions"]
    assert row["actualOutcome"] == "0"


def test_bad_rows_harm_no_others(
    client: DriftGuard, spool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[Any] = []
    with Monitor(client, "fraud", spool=spool, on_reject=told.extend) as monitor:
        monitor.log({"amount": 1.0, "country": "DE"}, 1)
        monitor.log({"amount": float("inf")}, 1)  # JSON has no word for it
        monitor.log({"amount": object()}, 1)
        monitor.log({"amount": float("nan"), "country": np.str_("DE")}, np.int64(0))
        monitor.log({"amount": 2.0}, 1, probabilities=[0.9, 0.9])  # the server's no
        monitor.log({"amount": 3.0, "country": "FR"}, 0)
        monitor.log("no mapping", 0)  # type: ignore[arg-type]
        assert monitor.flush()
        stats = monitor.stats
    assert (stats.accepted, stats.rejected) == (3, 4)
    assert stored(client) == 3
    assert told[0]["loc"][:2] == ["predictions", 2]
    assert "object" in caplog.text


def test_one_bad_outcome_leaves_the_others(client: DriftGuard, spool: Path) -> None:
    with Monitor(client, "fraud", spool=spool) as monitor:
        log_rows(monitor, range(3))
        assert monitor.flush()
        monitor.log_outcome("e0", 1)
        monitor.log_outcome("x" * 300, 1)
        monitor.log_outcome("e2", 1)
        assert monitor.flush()
        assert (monitor.stats.accepted, monitor.stats.rejected) == (5, 1)
    rows = client.predictions("fraud", has_ground_truth=True)["predictions"]
    assert {row["entityId"] for row in rows} == {"e0", "e2"}


def test_a_server_that_is_away_is_no_trouble(spool: Path) -> None:
    monitor = Monitor(DriftGuard(NOWHERE, "dg_x"), "fraud", spool=spool)
    log_rows(monitor, range(10))
    assert not monitor.flush(0.5)
    monitor.close(0.5)
    assert "no answer" in monitor.stats.last_error
    assert list(spool.rglob("*.batch"))


def test_memory_is_bounded_and_what_is_dropped_is_counted(spool: Path) -> None:
    client = DriftGuard(NOWHERE, "dg_x")
    monitor = Monitor(client, "fraud", spool=spool, max_rows=50, max_seconds=60)
    log_rows(monitor, range(80))
    assert monitor.stats.dropped == 30
    monitor.close(0.1)


def test_the_spool_is_bounded(spool: Path) -> None:
    client = DriftGuard(NOWHERE, "dg_x")
    monitor = Monitor(
        client, "fraud", spool=spool, max_batch=10, max_spool_bytes=10_000
    )
    log_rows(monitor, range(1000))
    monitor.close(0.1)
    size = sum(path.stat().st_size for path in spool.rglob("*.batch"))
    assert 0 < size <= 10_000
    assert monitor.stats.dropped > 0


def test_a_dead_processs_spool_is_taken_over(client: DriftGuard, spool: Path) -> None:
    # A process logs while the server is away, and is killed.
    script = f"""
        import os, signal, time
        from pathlib import Path
        from driftguard_client import DriftGuard, Monitor
        client = DriftGuard({client.settings.url!r}, "dg_wrong")
        monitor = Monitor(client, "fraud", spool=Path({str(spool)!r}), max_batch=10)
        for number in range(100):
            features = {{"amount": number / 4, "country": "DE"}}
            monitor.log(features, 1, entity_id=f"e{{number}}")
        while monitor.stats.pending:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env={**os.environ, "PYTHONPATH": "client"},
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL
    with Monitor(client, "fraud", spool=spool) as monitor:
        monitor.log({"amount": 1.0, "country": "DE"}, 1, entity_id="e100")
        assert monitor.flush()
    assert entities(client) == [f"e{number}" for number in range(101)]


def test_a_forked_child_logs_its_own_rows_only(client: DriftGuard, spool: Path) -> None:
    with Monitor(client, "fraud", spool=spool, max_seconds=30) as monitor:
        log_rows(monitor, range(5))
        child = os.fork()
        if not child:
            log_rows(monitor, range(100, 103))
            is_sent = monitor.flush()
            os._exit(0 if is_sent else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert monitor.flush()
    expected = {f"e{number}" for number in [*range(5), *range(100, 103)]}
    assert sorted(entities(client)) == sorted(expected)


def test_atexit_sends_what_is_left(client: DriftGuard, spool: Path) -> None:
    script = f"""
        from pathlib import Path
        from driftguard_client import DriftGuard, Monitor
        client = DriftGuard({client.settings.url!r}, {client.settings.credential!r})
        monitor = Monitor(client, "fraud", spool=Path({str(spool)!r}), max_seconds=30)
        monitor.log({{"amount": 1.0, "country": "DE"}}, 1)
    """
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env={**os.environ, "PYTHONPATH": "client"},
        check=True,
    )
    assert stored(client) == 1


class Producer(threading.Thread):
    """Production: goes on logging, whatever happens to the server."""

    def __init__(self, monitor: Monitor) -> None:
        super().__init__()
        self.monitor = monitor
        self.enough = threading.Event()
        self.logged = 0

    def run(self) -> None:
        while not self.enough.wait(0.001):
            log_rows(self.monitor, range(self.logged, self.logged + 1))
            self.logged += 1


def test_a_server_that_is_killed_and_restarted(
    fragile: RunningServer, spool: Path
) -> None:
    client = register(fragile.url)
    faults = 0
    with Monitor(client, "fraud", spool=spool, max_batch=50, max_seconds=0.05) as one:
        producer = Producer(one)
        producer.start()
        for _ in range(2):
            wait_for_more(one, "accepted")
            for process in fragile.processes():
                process.kill()
            fragile.process.wait()
            faults += 1
            wait_for_more(one, "logged")
            assert "no answer" in one.stats.last_error
            fragile.lines.clear()
            fragile.start()
        producer.enough.set()
        producer.join()
        assert one.flush(120)
        stats = one.stats
    assert faults == 2
    assert (stats.accepted, stats.dropped, stats.rejected) == (producer.logged, 0, 0)
    assert entities(client) == [f"e{number}" for number in range(producer.logged)]


def wait_for_more(monitor: Monitor, name: str, rows: int = 300) -> None:
    enough = getattr(monitor.stats, name) + rows
    while getattr(monitor.stats, name) < enough:
        time.sleep(0.02)


def test_the_spool_is_for_this_user_only(spool: Path) -> None:
    monitor = Monitor(DriftGuard(NOWHERE, "dg_x"), "fraud", spool=spool)
    log_rows(monitor, range(1))
    monitor.close(0.1)
    (home,) = [path for path in spool.glob("*/*") if path.is_dir()]
    assert home.stat().st_mode & 0o077 == 0
    assert b"dg_x" not in b"".join(path.read_bytes() for path in home.iterdir())


def test_a_damaged_batch_holds_nobody_up(client: DriftGuard, spool: Path) -> None:
    away = DriftGuard(f"http://127.0.0.1:{free_port()}", "dg_x")
    with Monitor(away, "fraud", spool=spool, max_batch=1) as monitor:
        log_rows(monitor, range(2))
        monitor.flush(0.3)
    first, second = sorted(spool.rglob("*.batch"))
    first.write_bytes(b"not a batch")
    # The same spool under the address where the server is now.
    home = spool / Monitor(client, "fraud", spool=spool)._directory.name  # type: ignore[union-attr]
    second.parent.parent.rename(home)
    with Monitor(client, "fraud", spool=spool) as monitor:
        log_rows(monitor, range(2, 3))
        assert monitor.flush()
    assert entities(client) == ["e1", "e2"]
    assert (home / "rejected" / first.name).exists()


def test_a_watched_function_is_logged(client: DriftGuard, spool: Path) -> None:
    with Monitor(client, "fraud", spool=spool) as monitor:

        @watch(monitor, entity_id=lambda amount, country: f"{country}-{amount}")
        def score(amount: float, country: str = "DE") -> int:
            return int(amount > 10)

        @watch(monitor)
        async def later(features: dict[str, Any]) -> int:
            return 1

        @watch(monitor)
        def fails(amount: float) -> int:
            raise ZeroDivisionError

        assert score(12.5, country="FR") == 1
        assert asyncio.run(later({"amount": 1, "country": "IT"})) == 1
        with pytest.raises(ZeroDivisionError):
            fails(1)
        assert monitor.flush()
    rows = client.predictions("fraud")["predictions"]
    assert {row["entityId"] for row in rows} == {"FR-12.5", None}
    assert all(row["latencyMs"] >= 0 for row in rows)


def test_a_watched_classifier_answers_as_before(
    client: DriftGuard, spool: Path
) -> None:
    frame = pd.DataFrame(
        {"id": ["a", "b", "c", "d"], "amount": [1.0, 2.0, 8.0, 9.0], "country": 1.0}
    )
    model = LogisticRegression().fit(frame[["amount", "country"]], [0, 0, 1, 1])
    with Monitor(client, "fraud", spool=spool) as monitor:
        watched = WatchedModel(model, monitor, entity_column="id")
        expected = model.predict(frame[["amount", "country"]])
        assert (watched.predict(frame) == expected).all()
        frame["amount"] = 0.0  # what was logged must not change with it
        on_shares = WatchedModel(model, monitor, on="predict_proba")
        on_shares.predict_proba(frame[["amount", "country"]])
        assert watched.coef_ is model.coef_
        assert monitor.flush()
    rows = client.predictions("fraud")["predictions"]
    assert len(rows) == 8
    first = {row["entityId"]: row for row in rows if row["entityId"]}
    assert first["c"]["features"]["amount"] == 8.0
    assert "id" not in first["c"]["features"]
    assert max(first["c"]["probabilities"]) > 0.5


def test_a_watched_regressor_without_column_names(
    client: DriftGuard, spool: Path
) -> None:
    model = LinearRegression().fit([[1.0], [2.0]], [1.0, 2.0])
    client.register_model("Income", "1", task="regression")
    with Monitor(client, "income", spool=spool) as monitor:
        watched = WatchedModel(model, monitor, feature_names=["age"])
        watched.predict(np.array([[3.0], [4.0]]))
        assert monitor.flush()
    rows = client.predictions("income")["predictions"]
    assert [row["features"] for row in rows] == [{"age": 4.0}, {"age": 3.0}]


def test_the_async_twin_leaves_the_loop_free(client: DriftGuard, spool: Path) -> None:
    async def story() -> bool:
        async with AsyncMonitor(client, "fraud", spool=spool) as monitor:
            log_rows(monitor, range(3))
            return await monitor.aflush()

    assert asyncio.run(story())
    assert stored(client) == 3


def test_timestamps_are_those_of_the_calls(client: DriftGuard, spool: Path) -> None:
    before = dt.datetime.now(dt.UTC)
    with Monitor(client, "fraud", spool=spool) as monitor:
        monitor.log({"amount": 1.0, "country": "DE"}, 1)
        monitor.log({"amount": 1.0, "country": "DE"}, 1, timestamp=1_750_000_000.25)
        assert monitor.flush()
    rows = client.predictions("fraud")["predictions"]
    newest, given = (dt.datetime.fromisoformat(row["timestamp"]) for row in rows)
    assert before <= newest <= dt.datetime.now(dt.UTC)
    assert given.timestamp() == 1_750_000_000.25


def test_features_stay_out_of_the_log(
    client: DriftGuard, spool: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="driftguard_client")
    with Monitor(client, "fraud", spool=spool) as monitor:
        monitor.log({"amount": "a secret amount"}, 1, probabilities=[2.0])
        assert monitor.flush()
    assert "a secret amount" not in caplog.text
