"""The Celery application; its settings are the ``CELERY_…`` names of settings.py."""

import os
import signal
from typing import Any

from billiard.process import current_process
from celery import Celery
from celery.signals import setup_logging, worker_process_init
from kombu.transport import TRANSPORT_ALIASES

from driftguard.tether import die_with_parent

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "driftguard.settings")

TRANSPORT_ALIASES["driftguard-files"] = "driftguard.broker:Transport"

app = Celery("driftguard")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@setup_logging.connect
def keep_django_logging(**_: Any) -> None:
    """Leave the log format of settings.py alone: a receiver keeps Celery's away."""


@worker_process_init.connect
def follow_the_worker(**_: Any) -> None:
    """End a pool process whose worker was killed, before it takes another task."""
    die_with_parent(
        signal.SIGKILL,
        parent=current_process()._parent_pid,  # type: ignore[attr-defined]
    )
