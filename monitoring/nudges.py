"""Messages that wake a worker at once; the rows of the database are the queue.

They name tasks instead of importing them: a web process loads nothing of what tasks do.
"""

from __future__ import annotations

import logging

from celery import current_app
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)

# A nudge is of no use once beat has polled.
SECONDS = 10


def analyse() -> None:
    """Wake a worker for the analyses that wait; without a broker beat's poll does."""
    try:
        current_app.send_task("monitoring.tasks.analyze", expires=SECONDS)
    except (OperationalError, OSError):
        logger.warning("The broker is away; the analysis waits for a poll.")
