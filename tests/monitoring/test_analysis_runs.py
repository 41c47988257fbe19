"""Asking for an analysis, and giving it up."""

import datetime as dt
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from governance.exceptions import ConflictError, InvalidError, ThrottledError
from governance.models import AuditEntry, ModelVersion
from monitoring.actions import analysis_runs, baselines
from monitoring.actions.periods import Window
from monitoring.models import AnalysisRun, Baseline
from tests.factories import Person, make_alice
from tests.monitoring import traffic
from tests.monitoring.traffic import HOUR, NOW

pytestmark = pytest.mark.django_db
DAY = dt.timedelta(days=1)
WINDOW = Window(NOW - DAY, NOW)
Status = AnalysisRun.Status


@pytest.fixture
def alice() -> Person:
    return make_alice()


@pytest.fixture
def version(alice: Person) -> ModelVersion:
    return traffic.make_watched(alice, features=["x"], feature_types={"x": "float"})


@pytest.fixture
def baseline(version: ModelVersion) -> Baseline:
    return baselines.create(
        version, features={"x": [1.0, 2.0, 3.0]}, label="v1", actor=None
    )


def request(version: ModelVersion, **fields: Any) -> AnalysisRun:
    return analysis_runs.request(version, **{"window": WINDOW, "actor": None, **fields})


def actions() -> list[str]:
    entries = AuditEntry.objects.filter(action__startswith="analysis.")
    return list(entries.order_by("seq").values_list("action", flat=True))


def test_a_run_waits_with_its_baseline_and_its_configuration(
    alice: Person, version: ModelVersion, baseline: Baseline
) -> None:
    run = request(version, actor=alice.actor)
    assert run.status == Status.QUEUED
    assert run.public_id.startswith("drift_job_")
    assert (run.baseline, run.baseline_kind) == (baseline, "given")
    assert (run.window_start, run.window_end) == (WINDOW.start, WINDOW.end)
    assert run.requested_by == alice.user
    assert run.configuration["policy"]["thresholds"]["psi"] == [0.1, 0.25]
    assert actions() == ["analysis.requested"]


def test_without_a_baseline_there_is_nothing_to_compare_with(
    version: ModelVersion,
) -> None:
    with pytest.raises(ConflictError, match="no baseline"):
        request(version)
    assert not AnalysisRun.objects.exists()


def test_too_many_waiting_runs_are_refused(
    version: ModelVersion, baseline: Baseline
) -> None:
    runs = [request(version) for _ in range(analysis_runs.MOST_UNFINISHED)]
    with pytest.raises(ThrottledError, match="20 analyses"):
        request(version)
    analysis_runs.cancel(runs[0], actor=None)
    request(version)


def test_a_slot_of_a_schedule_makes_one_run(
    version: ModelVersion, baseline: Baseline
) -> None:
    first = request(version, slot=NOW, trigger="schedule")
    assert request(version, slot=NOW, trigger="schedule") == first
    assert request(version, slot=NOW + HOUR, trigger="schedule") != first
    assert actions() == ["analysis.requested"] * 2


def test_a_cancelled_run_is_over(version: ModelVersion, baseline: Baseline) -> None:
    run = request(version)
    cancelled = analysis_runs.cancel(run, actor=None)
    assert (cancelled.status, cancelled.is_finished) == (Status.CANCELLED, True)
    assert cancelled.completed_at is not None
    assert analysis_runs.cancel(run, actor=None).status == Status.CANCELLED
    assert actions() == ["analysis.requested", "analysis.cancelled"]


def test_what_has_succeeded_is_not_cancelled(
    version: ModelVersion, baseline: Baseline
) -> None:
    run = request(version)
    AnalysisRun.objects.filter(pk=run.pk).update(
        status=Status.SUCCEEDED, completed_at=timezone.now()
    )
    with pytest.raises(ConflictError, match="succeeded"):
        analysis_runs.cancel(run, actor=None)


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "paused"},
        {"status": "succeeded"},
        {"progress": 1.5},
        {"trigger": "chance"},
        {"window_end": WINDOW.start},
    ],
)
def test_the_database_keeps_runs_sound(
    version: ModelVersion, baseline: Baseline, changes: dict[str, Any]
) -> None:
    run = request(version)
    with pytest.raises(IntegrityError), transaction.atomic():
        AnalysisRun.objects.filter(pk=run.pk).update(**changes)


def test_the_window_ends_with_the_newest_predictions(version: ModelVersion) -> None:
    at = dt.datetime(2005, 9, 15, 10, 40, tzinfo=dt.UTC)
    traffic.log(version, [{"features": {"x": 1.0}}], at=at)
    end = dt.datetime(2005, 9, 15, 11, tzinfo=dt.UTC)
    assert analysis_runs.window_of(version) == Window(end - 7 * DAY, end)
    assert analysis_runs.window_of(version, days=3) == Window(end - 3 * DAY, end)
    assert analysis_runs.window_of(version, start=at) == Window(at, end)


def test_two_of_days_start_and_end_make_a_window(version: ModelVersion) -> None:
    three = NOW - 3 * DAY
    window = Window(three, NOW)
    assert analysis_runs.window_of(version, start=three, end=NOW) == window
    assert analysis_runs.window_of(version, start=three, days=3) == window
    assert analysis_runs.window_of(version, end=NOW, days=3) == window


@pytest.mark.parametrize(
    "fields",
    [
        {"days": 1, "start": NOW - DAY, "end": NOW},
        {"start": NOW, "end": NOW},
        {"start": NOW, "end": NOW - HOUR},
        {"start": NOW - 4_000 * DAY, "end": NOW},
    ],
)
def test_windows_that_are_none_are_refused(
    version: ModelVersion, fields: dict[str, Any]
) -> None:
    with pytest.raises(InvalidError):
        analysis_runs.window_of(version, **fields)
