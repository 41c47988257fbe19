"""What governance does by itself, without being asked."""

from celery import shared_task

from governance.actions import (
    blocks,
    break_glass,
    checkpoints,
    deadlines,
    erasure,
    finding_reminders,
    intakes,
    limits,
    override_terms,
    revalidations,
    verification,
)


@shared_task
def purge_limits() -> None:
    """Forget the counts of attempts whose time has passed."""
    limits.purge()


@shared_task
def purge_payloads() -> None:
    """Erase the before and after of entries that are older than the settings keep."""
    erasure.purge_due()


@shared_task
def remind() -> None:
    """Tell of findings that are overdue, or that nobody has begun with."""
    finding_reminders.remind_due()


@shared_task
def sign_checkpoints() -> None:
    """Sign checkpoints of the trails that have grown, and copy them outside."""
    checkpoints.sign_due()


@shared_task
def sweep_approvals() -> None:
    """Expire, void, apply and escalate the requests for approval that are due."""
    deadlines.sweep()


@shared_task
def watch() -> None:
    """End what is over and suspend what is blocked: overrides, break-glass, intakes."""
    override_terms.sweep()
    break_glass.sweep()
    blocks.sweep()
    intakes.sweep()


@shared_task
def revalidate() -> None:
    """Ask for the periodic re-validations that are due."""
    revalidations.sweep()


@shared_task
def verify_trails() -> None:
    """Verify the trails that have not been for a day."""
    verification.verify_due()
