"""The queue of analyses: who works on which run, and how it ends.

A worker that claims a run gets a lease, renewed by a thread while it works. A lease
that has passed is a dead worker's: another one takes the run up. Whoever lost a run,
because it was cancelled or somebody else has it, can neither report nor finish it, so a
run has one result at most.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db import InterfaceError, OperationalError, connection, transaction
from django.db.models import F, Max, OuterRef, Subquery
from django.utils import timezone

from governance.actions.audit import Actor, deed, record
from monitoring.models import AnalysisRun, DriftResult

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=60)
RENEWED_EVERY_SECONDS = 15.0
# A run whose worker dies again and again takes the others' time.
MOST_ATTEMPTS = 3
_LOCK_CLASS = 0x44475634
Status = AnalysisRun.Status


class LostError(Exception):
    """The run isn't ours any more: it was cancelled, or another worker has it."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A lease on a run."""

    run: AnalysisRun
    attempt: int
    _lost: threading.Event = field(default_factory=threading.Event)

    def tell(self, step: str, progress: float) -> None:
        """Say what comes next, and renew the lease; raises LostError."""
        renewed = self._renew(step=step[:100], progress=min(max(progress, 0.0), 1.0))
        if self._lost.is_set() or not renewed:
            raise LostError

    def _renew(self, **fields: Any) -> int:
        mine = AnalysisRun.objects.filter(
            pk=self.run.pk, status=Status.RUNNING, attempts=self.attempt
        )
        return mine.update(claimed_until=timezone.now() + LEASE, **fields)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Renew the lease meanwhile, however long a step takes."""
        over = threading.Event()
        thread = threading.Thread(target=self._keep, args=(over,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _keep(self, over: threading.Event) -> None:
        try:
            while not over.wait(RENEWED_EVERY_SECONDS):
                try:
                    if not self._renew():
                        self._lost.set()
                        return
                except (OperationalError, InterfaceError):
                    # The next time, or never: then the lease passes.
                    logger.warning("The lease of %s wasn't renewed.", self.run)
                    connection.close()
        finally:
            connection.close()


def claim() -> Claim | None:
    """Take a lease on the run whose turn it is, None if there is none.

    It is the oldest one of the organization that was served longest ago. Of one
    version there is one at work at a time, as streams are fed in order.
    """
    with transaction.atomic():
        _one_at_a_time()
        now = timezone.now()
        busy = AnalysisRun.objects.filter(
            status=Status.RUNNING, claimed_until__gte=now
        ).values("version")
        served = (
            AnalysisRun.objects.filter(organization=OuterRef("organization"))
            .values("organization")
            .annotate(at=Max("started_at"))
            .values("at")
        )
        run = (
            AnalysisRun.objects.claimable(now)
            .exclude(version__in=busy)
            .annotate(served=Subquery(served))
            .order_by(F("served").asc(nulls_first=True), "pk")
            .select_for_update(of=("self",), skip_locked=True)
            .first()
        )
        if run is None:
            return None
        if run.attempts < MOST_ATTEMPTS:
            run.attempts += 1
            run.status = Status.RUNNING
            run.claimed_until = now + LEASE
            run.started_at = run.started_at or now
            run.step, run.progress = "", 0.0
            run.save(
                update_fields=[
                    "attempts",
                    "status",
                    "claimed_until",
                    "started_at",
                    "step",
                    "progress",
                ]
            )
            return Claim(run, run.attempts)
    fail(
        Claim(run, run.attempts),
        reason=f"The worker died {run.attempts} times over this analysis.",
        actor=None,
    )
    return claim()


def _one_at_a_time() -> None:
    """Let claims wait for each other: two mustn't choose runs of one version."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, 0)", (_LOCK_CLASS,))


@deed
def finish(
    claim: Claim,
    *,
    found: Mapping[str, Any],
    and_then: Callable[[DriftResult], None] | None = None,
    actor: Actor | None,
) -> DriftResult:
    """Store what the analysis found; the run has succeeded.

    `found` has the fields of a DriftResult that don't stand in the run; `and_then`
    belongs to the same transaction. Raises LostError if the run isn't ours any more.
    """
    run = _mine(claim)
    result = DriftResult.objects.create(
        organization_id=run.organization_id,
        run=run,
        model_id=run.model_id,
        version_id=run.version_id,
        baseline_id=run.baseline_id,
        baseline_kind=run.baseline_kind,
        window_start=run.window_start,
        window_end=run.window_end,
        **found,
    )
    if and_then is not None:
        and_then(result)
    _end(run, Status.SUCCEEDED, progress=1.0)
    record(
        run.organization_id,
        actor=actor,
        action="analysis.succeeded",
        object=run,
        after={
            "run": run.public_id,
            "result": result.public_id,
            "status": result.status,
            "predictions": result.predictions,
            "rows_digest": result.provenance.get("rows_digest"),
        },
    )
    return result


@deed
def fail(claim: Claim, *, reason: str, actor: Actor | None) -> None:
    """Give the run up with a reason; raises LostError if it isn't ours any more."""
    run = _mine(claim)
    run.error = reason
    _end(run, Status.FAILED)
    record(
        run.organization_id,
        actor=actor,
        action="analysis.failed",
        object=run,
        after={"run": run.public_id, "error": reason},
    )


def _mine(claim: Claim) -> AnalysisRun:
    run = (
        AnalysisRun.objects.select_for_update(of=("self",))
        .select_related("version__model")
        .get(pk=claim.run.pk)
    )
    if run.is_finished or run.attempts != claim.attempt:
        raise LostError
    return run


def _end(run: AnalysisRun, status: str, **fields: Any) -> None:
    for name, value in fields.items():
        setattr(run, name, value)
    run.status = status
    run.completed_at = timezone.now()
    run.claimed_until = None
    run.step = ""
    run.save(
        update_fields=[
            "status",
            "completed_at",
            "claimed_until",
            "step",
            "error",
            *fields,
        ]
    )
