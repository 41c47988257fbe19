"""What governance does by itself, without being asked."""

from celery import shared_task

from governance.actions import erasure, limits


@shared_task
def purge_limits() -> None:
    """Forget the counts of attempts whose time has passed."""
    limits.purge()


@shared_task
def purge_payloads() -> None:
    """Erase the before and after of entries that are older than the settings keep."""
    erasure.purge_due()
