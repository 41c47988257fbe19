"""What governance does by itself, without being asked."""

from celery import shared_task

from governance.actions import (
    checkpoints,
    deadlines,
    erasure,
    finding_reminders,
    limits,
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
