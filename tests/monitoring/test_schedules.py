"""Scheduled analyses: one for each slot, whoever schedules."""

import datetime as dt
import threading
from typing import Any

import pytest
from django.db import connection

from governance.models import AuditEntry, ModelVersion
from monitoring import tasks
from monitoring.actions import alerts, analysis_job, baselines, schedules
from monitoring.alerting.settings import AlertSettings, Schedule
from monitoring.models import AnalysisRun, DriftResult
from tests.factories import make_charlie
from tests.monitoring import traffic
from tests.monitoring.analysed import give_numbers
from tests.monitoring.traffic import NOW

HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)
# A Wednesday.
WEDNESDAY = dt.datetime(2026, 3, 18, 14, 20, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("frequency", "slot"),
    [
        ("hourly", dt.datetime(2026, 3, 18, 14, tzinfo=dt.UTC)),
        ("daily", dt.datetime(2026, 3, 18, tzinfo=dt.UTC)),
        ("weekly", dt.datetime(2026, 3, 16, tzinfo=dt.UTC)),
    ],
)
def test_slots_are_hours_days_and_weeks(frequency: str, slot: dt.datetime) -> None:
    assert schedules.slot_of(frequency, WEDNESDAY) == slot
    elsewhere = WEDNESDAY.astimezone(dt.timezone(dt.timedelta(hours=9)))
    assert schedules.slot_of(frequency, elsewhere) == slot


def make_scheduled(frequency: str = "daily", **schedule: Any) -> ModelVersion:
    version = traffic.make_watched(
        features=["x"],
        feature_types={"x": "float"},
        name=f"Scheduled {frequency}",
        person=make_charlie(),
    )
    give_numbers(version)
    set_schedule(version, frequency, **schedule)
    return version


def set_schedule(version: ModelVersion, frequency: str, **fields: Any) -> None:
    schedule = Schedule(**{"enabled": True, "frequency": frequency, **fields})
    alerts.change(version.model, settings=AlertSettings(schedule=schedule), actor=None)


def slots() -> list[dt.datetime]:
    found = AnalysisRun.objects.order_by("slot").values_list("slot", flat=True)
    return [slot for slot in found if slot is not None]


@pytest.mark.django_db
def test_each_slot_is_run_once() -> None:
    make_scheduled("hourly")
    assert schedules.run_due(now=WEDNESDAY) == 1
    assert schedules.run_due(now=WEDNESDAY) == 0
    assert schedules.run_due(now=WEDNESDAY + HOUR) == 1
    start = dt.datetime(2026, 3, 18, 14, tzinfo=dt.UTC)
    assert slots() == [start, start + HOUR]
    run = AnalysisRun.objects.earliest("slot")
    assert (run.trigger, run.requested_by) == ("schedule", None)
    assert AuditEntry.objects.filter(action="analysis.requested").count() == 2


@pytest.mark.django_db
@pytest.mark.parametrize(("frequency", "runs"), [("daily", 10), ("weekly", 2)])
def test_days_and_weeks_pass(frequency: str, runs: int) -> None:
    make_scheduled(frequency)
    for hour in range(0, 240, 6):
        schedules.run_due(now=WEDNESDAY.replace(hour=0) + hour * HOUR)
    assert len(slots()) == runs


@pytest.mark.django_db
def test_missed_slots_are_run_once_not_many_times() -> None:
    make_scheduled("hourly")
    schedules.run_due(now=WEDNESDAY)
    schedules.run_due(now=WEDNESDAY + 50 * HOUR)
    assert len(slots()) == 2


@pytest.mark.django_db
def test_the_window_is_as_long_as_was_asked_for() -> None:
    make_scheduled("daily", window_days=3)
    schedules.run_due(now=WEDNESDAY)
    run = AnalysisRun.objects.get()
    assert run.window_end - run.window_start == 3 * DAY
    assert run.window_end == NOW.replace(minute=0) + HOUR


@pytest.mark.django_db
def test_what_is_switched_off_or_over_is_not_run() -> None:
    version = make_scheduled("hourly", enabled=False)
    assert schedules.run_due(now=WEDNESDAY) == 0
    set_schedule(version, "hourly")
    for status in ("retired", "rejected"):
        ModelVersion.objects.filter(pk=version.pk).update(status=status)
        assert schedules.run_due(now=WEDNESDAY) == 0
    ModelVersion.objects.filter(pk=version.pk).update(status="draft")
    assert schedules.run_due(now=WEDNESDAY) == 1


@pytest.mark.django_db
def test_a_model_that_cannot_be_analysed_yet_holds_up_nobody() -> None:
    bare = traffic.make_watched(features=["x"], feature_types={"x": "float"})
    set_schedule(bare, "hourly")
    make_scheduled("hourly")
    assert schedules.run_due(now=WEDNESDAY) == 1
    baselines.create(bare, features={"x": [1.0, 2.0]}, label="v1", actor=None)
    # Still in the same slot.
    assert schedules.run_due(now=WEDNESDAY) == 1


@pytest.mark.django_db
def test_the_task_schedules_and_a_worker_does_it() -> None:
    version = make_scheduled("hourly")
    tasks.schedule_analyses()
    assert analysis_job.work()
    result = DriftResult.objects.get(version=version)
    assert result.predictions == 200
    tasks.schedule_analyses()
    assert not analysis_job.work()


def test_two_beats_schedule_once(cloned_db: str) -> None:
    make_scheduled("hourly")
    start = threading.Barrier(5)
    failed: list[BaseException] = []

    def beat() -> None:
        try:
            start.wait()
            schedules.run_due(now=WEDNESDAY)
        except BaseException as error:  # noqa: BLE001 (the main thread raises it)
            failed.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=beat) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert AnalysisRun.objects.count() == 1
    assert AuditEntry.objects.filter(action="analysis.requested").count() == 1
