"""What governance does by itself, without being asked."""

from celery import shared_task

from governance.actions import limits


@shared_task
def purge_limits() -> None:
    """Forget the counts of attempts whose time has passed."""
    limits.purge()
