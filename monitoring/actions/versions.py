"""A version as a whole: the one lock on its counts, and that they have changed."""

from __future__ import annotations

from django.conf import settings
from django.db import connection
from django.db.models import F

from governance.models import ModelVersion
from monitoring.models import LiveResult

_LOCK_CLASS = 0x44475631


def lock(version_id: int) -> None:
    """Wait until nobody else changes this version's segments and profiles.

    Held until the transaction ends. Always the first lock of its transaction. A web
    process soon gives up waiting, as for any other lock; a worker has time.
    """
    with connection.cursor() as cursor:
        if settings.PROCESS != "web":
            cursor.execute("SET LOCAL lock_timeout = '60s'")
        cursor.execute(
            "SELECT pg_advisory_xact_lock(%s, %s)", (_LOCK_CLASS, version_id)
        )


def touch(version: ModelVersion, changes: int) -> None:
    """Say that the version's live result is due, and how much changed."""
    LiveResult.objects.get_or_create(
        version=version,
        defaults={
            "organization_id": version.organization_id,
            "model_id": version.model_id,
            "status": LiveResult.Status.NO_BASELINE,
        },
    )
    LiveResult.objects.filter(version=version).update(
        due=True, rows_seen=F("rows_seen") + changes
    )
