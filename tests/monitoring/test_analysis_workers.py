"""Real processes at the queue of analyses: killed, cancelled, and several at once."""

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from urllib.parse import quote

import pytest
from django.conf import settings
from django.utils import timezone

from governance.models import ModelVersion
from monitoring.actions import analysis_runs
from monitoring.models import AnalysisRun, DriftResult, StreamState
from tests.monitoring import analysed, traffic
from tests.monitoring.test_refresh import answers, give_baseline, make_version, rows
from tests.running_server import ROOT

Status = AnalysisRun.Status
WORKER = (
    "import django; django.setup(); "
    "from monitoring.actions import analysis_job; analysis_job.work()"
)
# Long enough that a worker is met in the middle.
ROWS = 15_000


def start_worker(database: str) -> "subprocess.Popen[bytes]":
    login = settings.DATABASES["default"]
    where = f"host={quote(login['HOST'], safe='')}&port={login['PORT']}"
    url = f"postgresql://{login['USER']}:{login['PASSWORD']}@/{database}?{where}"
    environment = {
        **os.environ,
        "DATABASE_URL": url,
        "DJANGO_SETTINGS_MODULE": "driftguard.settings",
    }
    return subprocess.Popen([sys.executable, "-c", WORKER], cwd=ROOT, env=environment)


def watched() -> ModelVersion:
    version = make_version()
    give_baseline(version)
    receipt = traffic.log(version, rows(ROWS, shift=0.5))
    traffic.label(version, answers(receipt, wrong=0.1))
    traffic.count_all()
    return version


def wait_until(
    process: "subprocess.Popen[bytes]",
    run: AnalysisRun,
    reached: Callable[[AnalysisRun], bool],
) -> None:
    """Wait until the run is where it shall be met; its worker mustn't be done."""
    while not reached(AnalysisRun.objects.get(pk=run.pk)):
        assert process.poll() is None, "the worker was too quick to be met"
        time.sleep(0.005)


def let_the_lease_pass(run: AnalysisRun) -> None:
    AnalysisRun.objects.filter(pk=run.pk).update(claimed_until=timezone.now())


def test_killed_workers_cost_time_and_nothing_else(cloned_db: str) -> None:
    version = watched()
    run = analysed.request(version)
    for least in (0.2, 0.7):
        process = start_worker(cloned_db)
        wait_until(process, run, lambda now, least=least: now.progress >= least)
        process.kill()
        assert process.wait() == -9
        met = AnalysisRun.objects.get(pk=run.pk)
        assert met.status == Status.RUNNING
        assert not DriftResult.objects.exists()
        # Nothing was fed by halves.
        assert not StreamState.objects.exists()
        let_the_lease_pass(run)
    assert start_worker(cloned_db).wait() == 0
    done = AnalysisRun.objects.get(pk=run.pk)
    assert (done.status, done.attempts) == (Status.SUCCEEDED, 3), done.error
    result = DriftResult.objects.get()
    assert (result.run, result.predictions, result.labels) == (run, ROWS, ROWS)
    errors = StreamState.objects.get(algorithm="adwin", series="errors")
    assert b'"seen":15000' in bytes(errors.state)


def test_a_cancelled_analysis_stops_its_worker(cloned_db: str) -> None:
    version = watched()
    run = analysed.request(version)
    process = start_worker(cloned_db)
    wait_until(process, run, lambda now: now.progress >= 0.2)
    analysis_runs.cancel(run, actor=None)
    assert process.wait() == 0
    assert AnalysisRun.objects.get(pk=run.pk).status == Status.CANCELLED
    assert not DriftResult.objects.exists()
    assert not StreamState.objects.exists()


@pytest.mark.parametrize("workers", [3])
def test_several_workers_share_the_queue(cloned_db: str, workers: int) -> None:
    versions = []
    for at in range(3):
        version = traffic.make_watched(
            name=f"Model {at}", features=["x"], feature_types={"x": "float"}
        )
        analysed.give_numbers(version)
        versions.append(version)
    runs = [analysed.request(version) for version in versions]
    processes = [start_worker(cloned_db) for _ in range(workers)]
    assert [process.wait() for process in processes] == [0] * workers
    found = AnalysisRun.objects.filter(pk__in=[run.pk for run in runs])
    assert Counter(found.values_list("status", "attempts")) == {("succeeded", 1): 3}
    assert DriftResult.objects.count() == 3
