"""Runs: whole analyses of a window that were asked for, by people or by a schedule."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils import timezone

from governance.actions.audit import Actor, deed, record
from governance.exceptions import ConflictError, InvalidError, ThrottledError, fault
from governance.models import ModelVersion
from monitoring.actions import configuration, periods, standards
from monitoring.actions.periods import HOUR, Window
from monitoring.models import AnalysisRun, Receipt

# Whoever asks faster than the workers answer is told so.
MOST_UNFINISHED = 20
LONGEST_WINDOW = timedelta(days=3_660)
Trigger = AnalysisRun.Trigger


def window_of(
    version: ModelVersion,
    *,
    days: int | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
) -> Window:
    """Return the window that a request means; what it leaves open is filled in.

    The end is that of the newest hour with predictions, so that a month that is logged
    late is analysed like a fresh one. The start lies `days` before the end; without
    `days` the window is that of the live view. Raises InvalidError.
    """
    if days is not None and start is not None and end is not None:
        detail = "follows from windowStart and windowEnd; give two of the three"
        raise InvalidError(errors=[fault("windowDays", code="excess", detail=detail)])
    if end is None and start is not None and days is not None:
        end = start + timedelta(days=days)
    if end is None:
        end = _newest_hour(version) + HOUR
    if start is None and days is not None:
        start = end - timedelta(days=days)
    if start is None:
        start = periods.window_of(version.model.cadence, end - HOUR).start
    if start >= end:
        detail = f"the window would be empty: from {start} to {end}"
        raise InvalidError(errors=[fault("windowStart", code="range", detail=detail)])
    if end - start > LONGEST_WINDOW:
        detail = f"expected at most {LONGEST_WINDOW.days} days"
        raise InvalidError(errors=[fault("windowStart", code="range", detail=detail)])
    return Window(start, end)


def _newest_hour(version: ModelVersion) -> datetime:
    receipts = Receipt.objects.counted().filter(
        version=version, kind=Receipt.Kind.PREDICTIONS
    )
    newest: datetime | None = receipts.aggregate(at=Max("last_event"))["at"]
    return (newest or timezone.now()).replace(minute=0, second=0, microsecond=0)


@deed
def request(
    version: ModelVersion,
    *,
    window: Window,
    algorithms: Collection[str] | None = None,
    trigger: str = Trigger.REQUEST,
    slot: datetime | None = None,
    actor: Actor | None,
) -> AnalysisRun:
    """Put an analysis of the window on the queue; a worker takes it up in a moment.

    Baseline and configuration are fixed now. `algorithms` names those to run, all of
    the registry if None. `slot` is the moment of a schedule that
    the run is for: if there is a run for it already, that one is returned and nothing
    else happens. Raises ConflictError if the version has no baseline, ThrottledError if
    too many of the model's runs wait.
    """
    if slot is not None and (known := _run_for(version, slot)) is not None:
        return known
    standard = standards.wanted(version)
    if standard is None:
        raise ConflictError(
            "The version has no baseline yet. Send one to POST /api/v1/drift/baselines."
        )
    waiting = AnalysisRun.objects.unfinished().filter(model=version.model_id).count()
    if waiting >= MOST_UNFINISHED:
        raise ThrottledError(
            f"{waiting} analyses of the model wait or run; cancel some or wait.",
            retry_after=10,
        )
    try:
        with transaction.atomic():
            run = AnalysisRun.objects.create(
                organization_id=version.organization_id,
                model_id=version.model_id,
                version=version,
                baseline=standard.baseline,
                baseline_kind=standard.kind,
                window_start=window.start,
                window_end=window.end,
                configuration=configuration.of(version, algorithms),
                trigger=trigger,
                slot=slot,
                requested_by_id=actor.user_id if actor else None,
            )
    except IntegrityError:
        if slot is None or (known := _run_for(version, slot)) is None:
            raise
        return known
    record(
        version.organization_id,
        actor=actor,
        action="analysis.requested",
        object=run,
        after={
            "run": run.public_id,
            "window": [window.start, window.end],
            "algorithms": None if algorithms is None else sorted(algorithms),
            "baseline": standard.baseline.public_id,
            "trigger": trigger,
            "slot": slot,
        },
    )
    return run


def _run_for(version: ModelVersion, slot: datetime) -> AnalysisRun | None:
    return AnalysisRun.objects.filter(version=version, slot=slot).first()


@deed
def cancel(run: AnalysisRun, *, actor: Actor | None) -> AnalysisRun:
    """Give the run up: nobody takes it up, and a worker that has it stores nothing.

    Cancelling what is cancelled changes nothing. Raises ConflictError if it has
    finished otherwise.
    """
    locked = AnalysisRun.objects.select_for_update().get(pk=run.pk)
    if locked.status == AnalysisRun.Status.CANCELLED:
        return locked
    if locked.is_finished:
        raise ConflictError(f"The analysis is over already: it {locked.status}.")
    before = locked.status
    locked.status = AnalysisRun.Status.CANCELLED
    locked.completed_at = timezone.now()
    locked.claimed_until = None
    locked.save(update_fields=["status", "completed_at", "claimed_until"])
    record(
        locked.organization_id,
        actor=actor,
        action="analysis.cancelled",
        object=locked,
        before={"status": before},
        after={"status": locked.status},
    )
    return locked
