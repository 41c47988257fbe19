"""Messages that wake a worker at once; the rows of the database are the queue.

They name tasks instead of importing them: a web process loads nothing of what tasks do.
"""

from __future__ import annotations

import logging
import threading

from celery import current_app
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)

# A nudge is of no use once beat has polled.
SECONDS = 10
# One message under way is enough: the worker takes all that waits.
_sending = threading.Lock()


def analyse() -> None:
    """Wake a worker for the analyses that wait; without a broker beat's poll does.

    Nobody waits for the broker here: it may be away, or hang.
    """
    if _sending.acquire(blocking=False):
        threading.Thread(target=_send, name="nudge", daemon=True).start()


def _send() -> None:
    try:
        current_app.send_task("monitoring.tasks.analyze", expires=SECONDS)
    except (OperationalError, OSError):
        logger.warning("The broker is away; the analysis waits for a poll.")
    finally:
        _sending.release()
