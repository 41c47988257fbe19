"""The WSGI application: one Django, two middleware lists.

Ingestion carries its own credential and has no session, no form and no message, so
that its requests don't pay for the middleware that serves people.
"""
# ruff: noqa: E402 - signals come before imports, which take their time

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterable
from typing import Any, cast

from driftguard import tether

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "driftguard.settings")
os.environ.setdefault("DRIFTGUARD_PROCESS", "web")
server = multiprocessing.parent_process()
if server is not None and os.environ.get("DRIFTGUARD_SUPERVISED"):
    # Until granian's worker is up it has the handler of granian's server, which would
    # swallow the signal and keep everybody waiting.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    tether.die_with_parent(signal.SIGKILL, parent=server.pid)

# Others would load these if they are installed, and nothing here would use them: they
# are of the command line and of the tests, and take some 10 MiB in each web process.
for name in ("requests", "rich"):
    sys.modules.setdefault(name, None)  # type: ignore[arg-type]

import django
from django.conf import settings
from django.core.handlers.exception import convert_exception_to_response
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.urls import get_resolver
from django.utils.module_loading import import_string

django.setup(set_prefix=False)

from driftguard.pulse import pulse
from monitoring.api.hot import is_hot, view_at


class HotHandler:
    """Calls the hot views through ``HOT_MIDDLEWARE`` and nothing else.

    Django's own handler resolves every address anew, sends its signals and wraps views
    into transactions, which takes longer than such a view does. What is left of that
    is what these views need: no connection that has died is used again.
    """

    def __init__(self) -> None:
        answer = convert_exception_to_response(self.answer)
        for path in reversed(settings.HOT_MIDDLEWARE):
            answer = convert_exception_to_response(import_string(path)(answer))
        self.chain = answer

    def answer(self, request: HttpRequest) -> HttpResponse:
        view, arguments = view_at(request.path_info)
        return view(request, **arguments)

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        connection.close_if_unusable_or_obsolete()
        response = cast("HttpResponse", self.chain(WSGIRequest(environ)))
        status = f"{response.status_code} {response.reason_phrase}"
        # As `response.items()`, which takes as long as reading the request does.
        start_response(status, list(response.headers._store.values()))
        return [response.content]


if server is not None:
    # As one of granian's workers, not where tests or a shell import this module.
    pulse.start(connection.get_connection_params())
hot = HotHandler()
ordinary = WSGIHandler()
# A fault in an address or a view shows at the start, not at somebody's first request.
get_resolver().url_patterns  # noqa: B018


def application(
    environ: dict[str, Any], start_response: Callable[..., Any]
) -> Iterable[bytes]:
    handler = hot if is_hot(environ["PATH_INFO"]) else ordinary
    return handler(environ, start_response)
