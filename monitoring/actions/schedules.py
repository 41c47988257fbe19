"""Schedules: analyses that run by themselves, once for each hour, day or week."""

from __future__ import annotations

import logging
from datetime import datetime

from django.db import InterfaceError, OperationalError
from django.db.models import Exists, OuterRef
from django.utils import timezone

from governance.exceptions import ConflictError, ThrottledError
from governance.models import ModelVersion
from monitoring.actions import analysis_runs, periods
from monitoring.actions.periods import Cadence
from monitoring.models import AlertConfig, AnalysisRun

logger = logging.getLogger(__name__)

Frequency = AlertConfig.Frequency
Status = ModelVersion.Status
_CADENCE = {
    Frequency.HOURLY: Cadence.HOURLY,
    Frequency.DAILY: Cadence.DAILY,
    Frequency.WEEKLY: Cadence.WEEKLY,
}
# Their schedules have stopped.
OVER = (Status.RETIRED, Status.REJECTED)


def slot_of(frequency: str, now: datetime) -> datetime:
    """Return the start of the hour, day or week (from Monday) of a moment, in UTC."""
    return periods.start_of(_CADENCE[Frequency(frequency)], now)


def run_due(*, now: datetime | None = None, limit: int = 500) -> int:
    """Ask for the analyses whose slot has begun; returns how many there were.

    The slot is part of the run, so whoever else schedules makes no second one. Only the
    present slot counts: after an outage of days there is one analysis, not many. A
    model without a baseline, or with too many runs that wait, is asked for later in the
    slot, as soon as that has changed.
    """
    now = now or timezone.now()
    return sum(_run_slot(one, slot_of(one, now), limit) for one in Frequency.values)


def _run_slot(frequency: str, slot: datetime, limit: int) -> int:
    runs = AnalysisRun.objects.filter(
        version=OuterRef("model__current_version"), slot=slot
    )
    due = (
        AlertConfig.objects.filter(
            ~Exists(runs),
            schedule_enabled=True,
            schedule_frequency=frequency,
            model__current_version__isnull=False,
        )
        .exclude(model__current_version__status__in=OVER)
        .select_related("model__current_version__model")
        .order_by("pk")
    )
    done = 0
    for config in due[:limit]:
        try:
            done += _run(config, slot)
        except (OperationalError, InterfaceError):
            raise
        except Exception:
            logger.exception("The analysis of model %s failed.", config.model_id)
    return done


def _run(config: AlertConfig, slot: datetime) -> bool:
    version = config.model.current_version
    assert version is not None  # noqa: S101 - asked for above
    window = analysis_runs.window_of(version, days=config.schedule_window_days)
    try:
        analysis_runs.request(
            version,
            window=window,
            trigger=AnalysisRun.Trigger.SCHEDULE,
            slot=slot,
            actor=None,
        )
    except (ConflictError, ThrottledError) as error:
        logger.debug("Model %s is not analysed yet: %s", config.model_id, error)
        return False
    return True
