"""Background work. The rows of the database are the queue; a message only nudges."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from celery import shared_task
from django.conf import settings
from django.db import connection
from django.utils import timezone

from monitoring.actions import (
    analyses,
    analysis_job,
    history,
    predictions,
    profiles,
    schedules,
    seals,
    segments,
)
from monitoring.models import IdempotencyKey

# A poll ends by then, and the next one goes on: nothing piles up behind it.
POLL_SECONDS = 20.0
# However much there is to count, the live view waits no longer for it.
MEASURED_AFTER_SECONDS = 3.0
IDEMPOTENCY_KEPT = timedelta(hours=24)
_LOCK_CLASS = 0x44475633


@contextmanager
def _slot(kind: int, slots: int) -> Iterator[bool]:
    """Hold one of the slots of this kind of work, if one is free; nobody waits."""
    held = None
    with connection.cursor() as cursor:
        for slot in range(slots):
            key = kind * 1_000 + slot
            cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", (_LOCK_CLASS, key))
            if cursor.fetchone()[0]:
                held = key
                break
    try:
        yield held is not None
    finally:
        if held is not None:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s, %s)", (_LOCK_CLASS, held))


def _until_done(work: Callable[[], int]) -> None:
    """Do pieces of work until there is none, or the time of a poll is over."""
    end = time.monotonic() + POLL_SECONDS
    while work() and time.monotonic() < end:
        pass


def _count_and_measure() -> None:
    """Count what is pending and measure what was counted, also while more comes in."""
    end = time.monotonic() + POLL_SECONDS
    while True:
        measured_at = time.monotonic()
        while is_left := profiles.profile_pending() > 0:
            if time.monotonic() - measured_at > MEASURED_AFTER_SECONDS:
                break
        analyses.refresh_due()
        if not is_left or time.monotonic() > end:
            return


@shared_task
def poll() -> None:
    """Count what is on the queue, then measure the versions that it belongs to.

    As many polls work side by side as a worker has processes.
    """
    with _slot(1, settings.CELERY_WORKER_CONCURRENCY) as is_mine:
        if is_mine:
            _count_and_measure()


@shared_task
def record_performance() -> None:
    """Record the performance of the hours, days and weeks that have changed."""
    with _slot(3, 1) as is_mine:
        if is_mine:
            _until_done(history.record_due)


@shared_task
def schedule_analyses() -> None:
    """Put the analyses on the queue whose hour, day or week has begun."""
    schedules.run_due()


@shared_task
def analyze() -> None:
    """Do the analyses that wait, but leave a process of the worker to the counting."""
    with _slot(4, max(settings.CELERY_WORKER_CONCURRENCY - 1, 1)) as is_mine:
        if is_mine:
            _until_done(analysis_job.work)


@shared_task
def compact_segments() -> None:
    """Merge the small segments of hours that are over."""
    with _slot(2, 1) as is_mine:
        if is_mine:
            _until_done(segments.compact)


@shared_task
def create_partitions() -> None:
    """Make the partitions of the coming months."""
    predictions.create_partitions()


@shared_task
def forget_idempotency_keys() -> None:
    """Forget the answers that nobody may ask for again."""
    oldest = timezone.now() - IDEMPOTENCY_KEPT
    IdempotencyKey.objects.filter(created_at__lt=oldest).delete()


@shared_task
def seal_receipts() -> None:
    """Put what was received under the audit trail."""
    with _slot(7, 1) as is_mine:
        if is_mine:
            seals.seal_due()
