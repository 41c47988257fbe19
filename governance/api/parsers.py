"""Bodies of ordinary requests: strict JSON, whatever curl says that it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

from django.http import HttpRequest
from rest_framework.parsers import BaseParser

from governance import strict_json
from governance.exceptions import (
    LengthRequiredError,
    MalformedError,
    TooLargeError,
    UnsupportedMediaTypeError,
)

LARGEST_BODY = 25 * 1024 * 1024
# curl sends a body as a form unless told otherwise; the published calls don't tell it.
MAYBE_JSON = {"", "application/x-www-form-urlencoded"}


class StrictJSONParser(BaseParser):
    """Reads every body that is JSON, and refuses every other with 415."""

    # What the OpenAPI document says; whatever a request says, it is read here.
    media_type = "application/json"

    def parse(
        self,
        stream: IO[Any] | HttpRequest,
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        # Django keeps what `body` has read, for whoever looks at the bytes later.
        body = stream.body if isinstance(stream, HttpRequest) else stream.read()
        if not is_json(media_type, body):
            raise UnsupportedMediaTypeError
        return strict_json.decode(body)


def is_json(media_type: str | None, body: bytes) -> bool:
    """Tell whether a body is to be read as JSON."""
    name = (media_type or "").partition(";")[0].strip().lower()
    if name in MAYBE_JSON:
        return body.lstrip()[:1] in {b"{", b"["}
    return name == "application/json" or name.endswith("+json")


def check_headers(headers: Mapping[str, Any], *, largest: int = LARGEST_BODY) -> None:
    """Refuse a body by its headers: too large, of unknown length, or compressed."""
    length = headers.get("CONTENT_LENGTH") or ""
    if not length and headers.get("HTTP_TRANSFER_ENCODING"):
        # WSGI says nothing about its length, and it would be read as empty.
        raise LengthRequiredError
    if length and (not length.isdigit() or int(length) > largest):
        raise TooLargeError(f"The body is larger than {largest // 1024**2} MB.")
    if headers.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
        raise UnsupportedMediaTypeError("This call takes no compressed body.")


def refuse_cut_off(headers: Mapping[str, Any], body: bytes) -> None:
    """Refuse a body of which less came than its headers say: the sender broke off."""
    length = headers.get("CONTENT_LENGTH") or ""
    if length and len(body) != int(length):
        raise MalformedError(
            f"Only {len(body)} of {int(length)} bytes came; nothing was stored."
        )
