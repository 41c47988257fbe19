"""What the OpenAPI document says of every call: its errors, in one shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers

F = TypeVar("F", bound=Callable[..., Any])

MEANING = {
    400: "The body is not JSON, or JSON with something in it that isn't accepted.",
    401: "No credential, or one that isn't valid.",
    403: "The credential lacks the scope or the role.",
    404: "Not there, or another organization's.",
    405: "The address doesn't know this method.",
    409: "The state forbids it; the answer says what to do next.",
    411: "The body's length is unknown.",
    413: "The body is too large.",
    415: "The body is neither JSON nor anything else that the call takes.",
    422: "Well-formed, but invalid; the answer names the fields.",
    429: "Too many; `Retry-After` says when to come back.",
    503: "The database can't be reached; `Retry-After` says when to come back.",
}
TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    409: "Conflict",
    411: "Length Required",
    413: "Request Entity Too Large",
    415: "Unsupported Media Type",
    422: "Unprocessable Entity",
    429: "Too Many Requests",
    503: "Service Unavailable",
}
READING = (401, 403, 404, 422, 503)
WRITING = (400, 401, 403, 404, 411, 413, 415, 422, 503)


class FaultDocument(serializers.Serializer[Any]):
    """One fault of the input."""

    loc = serializers.ListField(child=serializers.JSONField())
    code = serializers.CharField()
    detail = serializers.CharField()


class Problem(serializers.Serializer[Any]):
    """An error, as RFC 9457 has it (`application/problem+json`)."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    code = serializers.CharField()
    detail = serializers.CharField()
    instance = serializers.CharField()
    # DRF keeps declared fields apart from the property of this name.
    errors = FaultDocument(many=True)  # type: ignore[assignment]


def problems(*statuses: int) -> dict[Any, OpenApiResponse]:
    """Describe the errors of a call."""
    return {
        (status, "application/problem+json"): OpenApiResponse(
            Problem,
            description=MEANING[status],
            examples=[
                OpenApiExample(
                    TITLES[status],
                    value={
                        "type": f"urn:driftguard:problem:{_code(status)}",
                        "title": TITLES[status],
                        "status": status,
                        "code": _code(status),
                        "detail": MEANING[status],
                        "instance": "/api/models/1",
                        "errors": [],
                    },
                )
            ],
        )
        for status in statuses
    }


def _code(status: int) -> str:
    return TITLES[status].lower().replace(" ", "_")


def operation(  # noqa: PLR0913 (an operation has that many sides)
    summary: str,
    *,
    answer: Any,
    status: int = 200,
    request: Any = None,
    errors: tuple[int, ...] = READING,
    parameters: Any = (),
    example: Any = None,
    answer_example: Any = None,
    file_examples: Mapping[str, str] | None = None,
    media: tuple[str, ...] = (),
    tag: str,
    **more: Any,
) -> Callable[[F], F]:
    """Document one call: summary, bodies with an example each, and every error.

    `file_examples` are of bodies that aren't JSON, by their media types; `media` are
    those of an answer that isn't.
    """
    examples = [
        OpenApiExample("File", value=text, request_only=True, media_type=media)
        for media, text in (file_examples or {}).items()
    ]
    if example is not None:
        examples.append(OpenApiExample("Request", value=example, request_only=True))
    if isinstance(answer, serializers.ListSerializer) and answer_example is not None:
        # The generator makes a list of it.
        [answer_example] = answer_example
    if answer_example is not None:
        examples.append(
            OpenApiExample("Answer", value=answer_example, response_only=True)
        )
    answers: dict[Any, Any] = {(status, one): answer for one in media}
    answers = answers or {status: answer}
    decorator: Callable[[F], F] = extend_schema(
        summary=summary,
        request=request,
        responses={**answers, **problems(*errors)},
        parameters=list(parameters),
        examples=examples,
        tags=[tag],
        **more,
    )
    return decorator
