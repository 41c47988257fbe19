"""From what went wrong to the answer: one table, one shape (RFC 9457)."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.views import defaults
from rest_framework import exceptions as rest

from governance import availability
from governance.exceptions import (
    ConflictError,
    FieldFault,
    GovernanceError,
    InvalidError,
    LengthRequiredError,
    MalformedError,
    NotAuthenticatedError,
    NotFoundError,
    PermissionDeniedError,
    ThrottledError,
    TooLargeError,
    UnavailableError,
    UnsupportedMediaTypeError,
    fault,
)

logger = logging.getLogger(__name__)

STATUS: dict[type[GovernanceError], HTTPStatus] = {
    MalformedError: HTTPStatus.BAD_REQUEST,
    NotAuthenticatedError: HTTPStatus.UNAUTHORIZED,
    PermissionDeniedError: HTTPStatus.FORBIDDEN,
    NotFoundError: HTTPStatus.NOT_FOUND,
    ConflictError: HTTPStatus.CONFLICT,
    LengthRequiredError: HTTPStatus.LENGTH_REQUIRED,
    TooLargeError: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    UnsupportedMediaTypeError: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    InvalidError: HTTPStatus.UNPROCESSABLE_ENTITY,
    ThrottledError: HTTPStatus.TOO_MANY_REQUESTS,
    UnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
}
# What Django and DRF raise by themselves.
TRANSLATED: dict[type[Exception], type[GovernanceError]] = {
    rest.ParseError: MalformedError,
    rest.NotAuthenticated: NotAuthenticatedError,
    rest.AuthenticationFailed: NotAuthenticatedError,
    rest.PermissionDenied: PermissionDeniedError,
    PermissionDenied: PermissionDeniedError,
    rest.NotFound: NotFoundError,
    Http404: NotFoundError,
    rest.UnsupportedMediaType: UnsupportedMediaTypeError,
    RequestDataTooBig: TooLargeError,
}
CONTENT_TYPE = "application/problem+json"
# A client shows some; nobody reads thousands.
MOST_ERRORS = 100


def status_of(error: GovernanceError) -> HTTPStatus:
    for kind in type(error).__mro__:
        if kind in STATUS:
            return STATUS[kind]
    return HTTPStatus.BAD_REQUEST


def problem(request: HttpRequest, error: GovernanceError) -> HttpResponse:
    """Return the answer to a request that was refused; for views without DRF too."""
    headers = {}
    if isinstance(error, ThrottledError | UnavailableError):
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, NotAuthenticatedError):
        headers["WWW-Authenticate"] = 'Bearer realm="DriftGuard"'
    return _answer(
        request,
        status_of(error),
        code=error.code,
        detail=error.detail,
        errors=error.errors,
        extra=error.extra,
        headers=headers,
    )


def _answer(
    request: HttpRequest,
    status: HTTPStatus,
    *,
    code: str,
    detail: str,
    errors: list[FieldFault] | None = None,
    extra: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> HttpResponse:
    body = {
        "type": f"urn:driftguard:problem:{code}",
        "title": status.phrase,
        "status": status.value,
        "code": code,
        "detail": detail,
        "instance": request.path,
        "errors": (errors or [])[:MOST_ERRORS],
        **(extra or {}),
    }
    return HttpResponse(
        json.dumps(body, ensure_ascii=False, allow_nan=False).encode(),
        status=status.value,
        content_type=CONTENT_TYPE,
        headers=dict(headers or {}),
    )


def problem_response(
    error: Exception, context: Mapping[str, Any]
) -> HttpResponse | None:
    """Answer for DRF's views; None lets an unexpected error reach Django's log."""
    request: HttpRequest = context["request"]
    if isinstance(error, GovernanceError):
        return problem(request, error)
    if isinstance(error, rest.ValidationError):
        return problem(request, InvalidError(errors=_faults(error.detail, [])))
    if isinstance(error, rest.Throttled):
        return problem(request, ThrottledError())
    if isinstance(error, OperationalError | InterfaceError):
        return problem(request, _unavailable(error))
    for kind, ours in TRANSLATED.items():
        if isinstance(error, kind):
            return problem(request, ours())
    if isinstance(error, rest.APIException):
        return _answer_of_rest(request, error, context)
    return None


def _answer_of_rest(
    request: HttpRequest, error: rest.APIException, context: Mapping[str, Any]
) -> HttpResponse:
    headers = {}
    if isinstance(error, rest.MethodNotAllowed):
        headers["Allow"] = ", ".join(context["view"].allowed_methods)
    return _answer(
        request,
        HTTPStatus(error.status_code),
        code=error.default_code,
        detail=str(error.detail),
        headers=headers,
    )


def _faults(detail: Any, loc: list[str | int]) -> list[FieldFault]:
    """Flatten what DRF's serializers say, with the way to each field."""
    return list(_walk(detail, loc))


def _walk(detail: Any, loc: list[str | int]) -> Iterator[FieldFault]:
    if isinstance(detail, Mapping):
        for name, inner in detail.items():
            yield from _walk(inner, [*loc, *([] if name in NAMELESS else [name])])
    elif isinstance(detail, list):
        for index, inner in enumerate(detail):
            is_leaf = isinstance(inner, str)
            yield from _walk(inner, loc if is_leaf else [*loc, index])
    else:
        yield fault(
            *loc, code=getattr(detail, "code", None) or "invalid", detail=str(detail)
        )


NAMELESS = {"non_field_errors", "__all__"}


def _wants_html(request: HttpRequest) -> bool:
    return bool(request.accepts("text/html")) and "html" in request.headers.get(
        "Accept", ""
    )


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler404: pages for browsers, problems for clients."""
    if _wants_html(request):
        return defaults.page_not_found(request, exception)
    return problem(request, NotFoundError())


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler403."""
    if _wants_html(request):
        return defaults.permission_denied(request, exception)
    return problem(request, PermissionDeniedError())


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler400: what it refuses by itself, such as an unknown host."""
    if _wants_html(request):
        return defaults.bad_request(request, exception)
    return problem(request, MalformedError("The request is not acceptable."))


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler500; the log has the reason, the client gets the request's id.

    A page that needs the database while that is away is no fault of ours: 503.
    """
    error = sys.exc_info()[1]
    if isinstance(error, OperationalError | InterfaceError):
        return away(request, _unavailable(error))
    if _wants_html(request):
        named = {"request_id": request.META.get("HTTP_X_REQUEST_ID", "")}
        return HttpResponse(render_to_string("500.html", named), status=500)
    return _answer(
        request,
        HTTPStatus.INTERNAL_SERVER_ERROR,
        code="internal",
        detail="Something went wrong on our side; its request id names it in the log.",
    )


def _unavailable(error: Exception) -> UnavailableError:
    """Say that the database is away, and remember it if it is: others ask no more."""
    logger.warning("The database does not answer: %s", error)
    if availability.is_lost(error):
        availability.lost()
    return UnavailableError("The database does not answer.", retry_after=2)


def away(request: HttpRequest, error: UnavailableError) -> HttpResponse:
    """Answer while the database is away: a page that comes again, or a problem."""
    answer = problem(request, error)
    if _wants_html(request):
        answer.content = render_to_string("503.html").encode()
        answer["Content-Type"] = "text/html; charset=utf-8"
    return answer
