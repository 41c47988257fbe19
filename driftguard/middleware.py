"""What every answer carries: the request's id and the rules for the browser."""

import re
from collections.abc import Callable

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse

from governance import availability
from governance.api.exceptions import away
from governance.exceptions import UnavailableError
from governance.identifiers import uuid7

Next = Callable[[HttpRequest], HttpResponse]
SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


def request_id(get_response: Next) -> Next:
    """Name the request: the caller's id if it is a sane token, else a new one.

    The id is on every log line of the request and in the answer's ``X-Request-ID``.
    """

    def middleware(request: HttpRequest) -> HttpResponse:
        given = request.META.get("HTTP_X_REQUEST_ID", "")
        name = given if SANE_ID.fullmatch(given) else uuid7().hex
        request.META["HTTP_X_REQUEST_ID"] = name
        with structlog.contextvars.bound_contextvars(request_id=name):
            response = get_response(request)
        response["X-Request-ID"] = name
        return response

    return middleware


def database(get_response: Next) -> Next:
    """Answer at once while the database is known to be away.

    What needs none is listed; `/readyz` looks by itself.
    """
    without = tuple(settings.PATHS_WITHOUT_DATABASE)

    def middleware(request: HttpRequest) -> HttpResponse:
        if not request.path.startswith(without):
            try:
                availability.check()
            except UnavailableError as error:
                return away(request, error)
        return get_response(request)

    return middleware


def policy_text(*, evaluate: bool) -> str:
    directives = dict(settings.CONTENT_SECURITY_POLICY)
    if evaluate:
        directives["script-src"] += " 'unsafe-eval'"
    return "; ".join(f"{name} {sources}" for name, sources in directives.items())


def content_security_policy(get_response: Next) -> Next:
    plain, evaluating = policy_text(evaluate=False), policy_text(evaluate=True)
    paths = tuple(settings.CONTENT_SECURITY_POLICY_EVAL_PATHS)

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response.setdefault(
            "Content-Security-Policy",
            evaluating if request.path.startswith(paths) else plain,
        )
        return response

    return middleware
