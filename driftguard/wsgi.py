"""The WSGI application: one Django, two middleware lists.

Ingestion carries its own credential and has no session, no form and no message, so
that its requests don't pay for the middleware that serves people.
"""
# ruff: noqa: E402 - signals come before imports, which take their time

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable
from typing import Any

from driftguard import tether

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "driftguard.settings")
os.environ.setdefault("DRIFTGUARD_PROCESS", "web")
server = multiprocessing.parent_process()
if server is not None and os.environ.get("DRIFTGUARD_SUPERVISED"):
    # Until granian's worker is up it has the handler of granian's server, which would
    # swallow the signal and keep everybody waiting.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    tether.die_with_parent(signal.SIGKILL, parent=server.pid)

import django
from django.conf import settings
from django.core.handlers.exception import convert_exception_to_response
from django.core.handlers.wsgi import WSGIHandler
from django.urls import get_resolver
from django.utils.module_loading import import_string

django.setup(set_prefix=False)

from monitoring.api.hot import is_hot


class HotHandler(WSGIHandler):
    """Django's handler with the middleware of ``HOT_MIDDLEWARE`` only."""

    def load_middleware(self, is_async: bool = False) -> None:
        # Hooks of class-based middleware; there is none here.
        self._view_middleware: list[Any] = []
        self._template_response_middleware: list[Any] = []
        self._exception_middleware: list[Any] = []
        view = self._get_response  # type: ignore[attr-defined]
        handler = convert_exception_to_response(view)
        for path in reversed(settings.HOT_MIDDLEWARE):
            handler = convert_exception_to_response(import_string(path)(handler))
        self._middleware_chain = handler


hot = HotHandler()
ordinary = WSGIHandler()
# A fault in an address or a view shows at the start, not at somebody's first request.
get_resolver().url_patterns  # noqa: B018


def application(
    environ: dict[str, Any], start_response: Callable[..., Any]
) -> Iterable[bytes]:
    handler = hot if is_hot(environ["PATH_INFO"]) else ordinary
    return handler(environ, start_response)
