"""Who works on which run, and how it ends."""

import datetime as dt

import pytest
from django.db import connection
from django.utils import timezone

from governance.models import AuditEntry, ModelVersion
from monitoring.actions import analysis_job, analysis_queue, analysis_runs, baselines
from monitoring.actions.analysis_queue import Claim, LostError
from monitoring.models import AnalysisRun, DriftResult
from tests.factories import Person, make_alice, make_charlie
from tests.monitoring import analysed, traffic

pytestmark = pytest.mark.django_db
Status = AnalysisRun.Status
FOUND = {
    "status": "ok",
    "predictions": 10,
    "labels": 0,
    "provenance": {"rows_digest": "abc"},
}


def make_version(person: Person | None = None, name: str = "Watched") -> ModelVersion:
    version = traffic.make_watched(
        person, name=name, features=["x"], feature_types={"x": "float"}
    )
    baselines.create(version, features={"x": [1.0, 2.0]}, label="v1", actor=None)
    return version


@pytest.fixture
def version() -> ModelVersion:
    return make_version()


def claim() -> Claim:
    found = analysis_queue.claim()
    assert found is not None
    return found


def let_the_lease_pass(run: AnalysisRun) -> None:
    past = timezone.now() - dt.timedelta(seconds=1)
    AnalysisRun.objects.filter(pk=run.pk).update(claimed_until=past)


def now(run: AnalysisRun) -> AnalysisRun:
    return AnalysisRun.objects.get(pk=run.pk)


def test_an_empty_queue_has_nothing_to_claim() -> None:
    assert analysis_queue.claim() is None
    assert analysis_job.work() is False


def test_a_claimed_run_is_nobody_else_s(version: ModelVersion) -> None:
    run = analysed.request(version)
    mine = claim()
    assert mine.run == run
    assert (now(run).status, now(run).attempts) == (Status.RUNNING, 1)
    assert now(run).started_at is not None
    assert analysis_queue.claim() is None


def test_progress_is_told_and_renews_the_lease(version: ModelVersion) -> None:
    run = analysed.request(version)
    mine = claim()
    AnalysisRun.objects.filter(pk=run.pk).update(claimed_until=timezone.now())
    mine.tell("reading", 0.25)
    assert (now(run).step, now(run).progress) == ("reading", 0.25)
    until = now(run).claimed_until
    assert until is not None
    assert until > timezone.now() + analysis_queue.LEASE / 2
    mine.tell("x" * 300, 7.0)
    assert (now(run).step, now(run).progress) == ("x" * 100, 1.0)


def test_of_one_version_one_run_is_at_work(version: ModelVersion) -> None:
    first, second = analysed.request(version), analysed.request(version)
    mine = claim()
    assert mine.run == first
    assert analysis_queue.claim() is None
    analysis_queue.finish(mine, found=FOUND, actor=None)
    assert claim().run == second


def test_the_organization_served_longest_ago_is_next() -> None:
    alice, charlie = make_alice(), make_charlie()
    hers = [make_version(alice, f"Model {at}") for at in range(3)]
    his = make_version(charlie)
    many = [analysed.request(version) for version in hers]
    one = analysed.request(his)
    assert claim().run == many[0]
    assert claim().run == one
    assert claim().run == many[1]


def test_a_dead_worker_s_run_is_taken_up_and_has_one_result(
    version: ModelVersion,
) -> None:
    run = analysed.request(version)
    dead = claim()
    let_the_lease_pass(run)
    alive = claim()
    assert (alive.run, alive.attempt) == (run, 2)
    with pytest.raises(LostError):
        dead.tell("reading", 0.5)
    with pytest.raises(LostError):
        analysis_queue.finish(dead, found=FOUND, actor=None)
    with pytest.raises(LostError):
        analysis_queue.fail(dead, reason="late", actor=None)
    result = analysis_queue.finish(alive, found=FOUND, actor=None)
    assert DriftResult.objects.get() == result
    assert (now(run).status, now(run).progress) == (Status.SUCCEEDED, 1.0)
    with pytest.raises(LostError):
        analysis_queue.finish(alive, found=FOUND, actor=None)


def test_a_run_that_kills_its_workers_fails(version: ModelVersion) -> None:
    run = analysed.request(version)
    for _ in range(analysis_queue.MOST_ATTEMPTS):
        claim()
        let_the_lease_pass(run)
    assert analysis_queue.claim() is None
    assert now(run).status == Status.FAILED
    assert "died 3 times" in now(run).error
    assert not DriftResult.objects.exists()


def test_a_cancelled_run_stores_nothing(version: ModelVersion) -> None:
    run = analysed.request(version)
    mine = claim()
    analysis_runs.cancel(run, actor=None)
    with pytest.raises(LostError):
        mine.tell("measuring", 0.5)
    with pytest.raises(LostError):
        analysis_queue.finish(mine, found=FOUND, actor=None)
    assert not DriftResult.objects.exists()
    assert now(run).status == Status.CANCELLED


def test_a_run_cancelled_while_it_waits_is_not_claimed(version: ModelVersion) -> None:
    analysis_runs.cancel(analysed.request(version), actor=None)
    assert analysis_queue.claim() is None


def test_every_end_stands_in_the_trail(version: ModelVersion) -> None:
    analysed.request(version)
    analysis_queue.finish(claim(), found=FOUND, actor=None)
    analysed.request(version)
    analysis_queue.fail(claim(), reason="The disk is full.", actor=None)
    found = AuditEntry.objects.filter(action__startswith="analysis.").order_by("seq")
    assert list(found.values_list("action", flat=True)) == [
        "analysis.requested",
        "analysis.succeeded",
        "analysis.requested",
        "analysis.failed",
    ]


def test_what_belongs_to_the_result_is_stored_with_it_or_not_at_all(
    version: ModelVersion,
) -> None:
    run = analysed.request(version)
    mine = claim()

    def explode(result: DriftResult) -> None:
        assert result.pk is not None
        raise RuntimeError

    with pytest.raises(RuntimeError):
        analysis_queue.finish(mine, found=FOUND, and_then=explode, actor=None)
    assert not DriftResult.objects.exists()
    assert now(run).status == Status.RUNNING
    assert not connection.needs_rollback
