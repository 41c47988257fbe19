"""Tells whether this process is alive, and whether it can do its work."""

import functools
import logging
import os
import time

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.db.migrations.loader import MigrationLoader
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.http import require_safe
from kombu import Connection
from kombu.exceptions import OperationalError

from governance import availability
from governance.exceptions import UnavailableError

logger = logging.getLogger(__name__)
RETRY_SECONDS = 2
# A broker that was reached this recently is not asked again.
BROKER_SECONDS = 5.0


class NotReadyError(Exception):
    """Something that requests need is not there; the message names it."""


@functools.cache
def expected_migrations() -> frozenset[tuple[str, str]]:
    """Return the migrations that this code brings along."""
    return frozenset(MigrationLoader(None).disk_migrations)


def check_database() -> None:
    try:
        availability.check()
        with connection.cursor() as cursor:
            cursor.execute("SELECT app, name FROM django_migrations")
            applied = set(cursor.fetchall())
    except (DatabaseError, InterfaceError, UnavailableError) as error:
        logger.warning("The database does not answer: %s", error)
        raise NotReadyError("database") from error
    if expected_migrations() - applied:
        raise NotReadyError("migrations")


class Broker:
    """Remembers for a few seconds that the message broker was reached."""

    reached_at = float("-inf")

    def check(self) -> None:
        if time.monotonic() - self.reached_at < BROKER_SECONDS:
            return
        if settings.MESSAGE_DIR:
            reached = os.access(settings.MESSAGE_DIR, os.W_OK)
        else:
            reached = self.answers()
        if not reached:
            raise NotReadyError("broker")
        self.reached_at = time.monotonic()

    def answers(self) -> bool:
        with Connection(
            settings.CELERY_BROKER_URL,
            connect_timeout=2,
            # A Redis that hangs takes the question and never answers it.
            transport_options={
                **settings.CELERY_BROKER_TRANSPORT_OPTIONS,
                "socket_timeout": 2,
            },
        ) as connection:
            try:
                connection.ensure_connection(max_retries=1, timeout=2)
            except (OSError, OperationalError) as error:
                logger.warning("The broker does not answer: %s", error)
                return False
        return True


broker = Broker()


@require_safe
def healthz(_request: HttpRequest) -> HttpResponse:
    return JsonResponse({"status": "ok"})


@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    try:
        check_database()
        broker.check()
    except NotReadyError as error:
        return JsonResponse(
            {
                "type": "about:blank",
                "title": "Service Unavailable",
                "status": 503,
                "detail": f"Not ready: {error}.",
                "instance": request.path,
                "errors": [{"loc": [str(error)], "code": "not_ready", "detail": ""}],
            },
            status=503,
            content_type="application/problem+json",
            headers={"Retry-After": str(RETRY_SECONDS)},
        )
    return JsonResponse({"status": "ok"})
