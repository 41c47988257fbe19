"""Views of the hot path: plain functions behind one door, without DRF.

The door knows the caller, reads the body and answers what went wrong; the functions
read one dialect, call one deed and say what it said.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any, ClassVar

import msgspec
from django.http import HttpRequest, HttpResponse
from rest_framework.exceptions import MethodNotAllowed
from rest_framework.views import APIView

from governance import availability, strict_json
from governance.actions.credentials import Credential
from governance.api.authentication import credential_of
from governance.api.exceptions import problem, problem_response
from governance.api.parsers import LARGEST_BODY, is_json, refuse_cut_off
from governance.exceptions import (
    GovernanceError,
    InvalidError,
    LengthRequiredError,
    MalformedError,
    NotFoundError,
    TooLargeError,
    UnsupportedMediaTypeError,
    fault,
)
from governance.identifiers import IdentifierError, decode
from monitoring.ingest import Answer, Key, idempotency
from monitoring.models import Receipt

LARGEST_INFLATED = 100 * 1024 * 1024
READ_AT_ONCE = 1 << 16
MOST_MEMBERS = 10_000
GZIP = 16 + zlib.MAX_WBITS
# Ten thousand rows are forty thousand objects and lists; each takes a hundred times
# its two bytes of memory once it is read.
MOST_CONTAINERS = 1_000_000
JSON, CSV, PARQUET, LINES = "json", "csv", "parquet", "lines"
TABLES = {
    "text/csv": CSV,
    "application/vnd.apache.parquet": PARQUET,
    "application/x-parquet": PARQUET,
    "application/jsonl": LINES,
    "application/x-ndjson": LINES,
}


class Call:
    """A request whose caller is known."""

    # By which way it came, as its receipt says.
    channel: ClassVar[str] = Receipt.Channel.HTTP

    def __init__(self, request: HttpRequest, credential: Credential) -> None:
        self.request = request
        self.credential = credential
        self._received: bytes | None = None
        self._body: bytes | None = None

    @property
    def received(self) -> bytes:
        """The body as it came over the wire."""
        if self._received is None:
            self._received = _read(self.request.META)
        return self._received

    @property
    def body(self) -> bytes:
        """The body, inflated if it was compressed."""
        if self._body is None:
            encoding = self.request.META.get("HTTP_CONTENT_ENCODING", "identity")
            self._body = _unpacked(self.received, encoding.strip().lower())
        return self._body

    def media(self, *, tables: bool = False) -> str:
        """Return what the body is; raise UnsupportedMediaTypeError if nothing known."""
        name = self.request.META.get("CONTENT_TYPE")
        if is_json(name, self.body):
            self.refuse_too_many_containers()
            return JSON
        kind = TABLES.get((name or "").partition(";")[0].strip().lower())
        if kind is None or not tables:
            raise UnsupportedMediaTypeError
        if kind == LINES:
            self.refuse_too_many_containers()
        if kind in {CSV, LINES} and self._may_be_cut_off:
            raise LengthRequiredError
        return kind

    def refuse_too_many_containers(self) -> None:
        """Refuse a body that would take far more memory than its bytes."""
        # The shorter ones can't have so many, and most are.
        if len(self.body) <= MOST_CONTAINERS:
            return
        if self.body.count(b"{") + self.body.count(b"[") > MOST_CONTAINERS:
            raise TooLargeError("The body has too many objects and lists in it.")

    @property
    def _may_be_cut_off(self) -> bool:
        """Whether an upload that broke off would look like one that is complete.

        The server can't tell how a body without a length ended. JSON, gzip and Parquet
        have an end of their own.
        """
        headers = self.request.META
        return not headers.get("CONTENT_LENGTH") and self.body is self.received

    def json(self) -> bytes:
        """Return the bytes of a body that has to be JSON.

        Calls that take nothing else have no query parameters either.
        """
        self.query()
        self.media()
        return self.body

    def fields(self, *known: str) -> dict[str, Any]:
        """Return the members of a small object; others than `known` are refused."""
        values = strict_json.decode(self.json())
        if not isinstance(values, dict):
            raise InvalidError("The body has to be a JSON object.")
        if unknown := [name for name in values if name not in known]:
            raise InvalidError(
                errors=[
                    fault(name, code="unknown", detail="there is no such field")
                    for name in unknown
                ]
            )
        return values

    @property
    def key(self) -> Key | None:
        """The request's name, if the client gave it one."""
        text = self.request.META.get("HTTP_IDEMPOTENCY_KEY")
        if text is None:
            return None
        return idempotency.make_key(
            self.credential.organization_id,
            text,
            str(self.request.method).encode(),
            self.request.get_full_path().encode(),
            self.received,
        )

    def query(self, *known: str) -> dict[str, str]:
        """Return the query parameters; others than `known` are refused."""
        if not self.request.META.get("QUERY_STRING"):
            return {}
        given = self.request.GET
        if unknown := sorted(given.keys() - set(known)):
            raise InvalidError(
                errors=[
                    fault(name, code="unknown_parameter", detail="no parameter here")
                    for name in unknown
                ]
            )
        return {name: str(given[name]) for name in given}


def _read(headers: Mapping[str, Any]) -> bytes:
    length = headers.get("CONTENT_LENGTH") or ""
    if not length:
        if headers.get("HTTP_TRANSFER_ENCODING"):
            return _read_unknown_length(headers["wsgi.input"])
        return b""
    if not length.isdigit() or int(length) > LARGEST_BODY:
        raise TooLargeError("The body is larger than 25 MB; send it in parts.")
    body: bytes = headers["wsgi.input"].read(int(length))
    refuse_cut_off(headers, body)
    return body


def _unpacked(data: bytes, encoding: str) -> bytes:
    if encoding in {"", "identity"}:
        return data
    if encoding in {"gzip", "x-gzip"}:
        return inflate(data)
    raise UnsupportedMediaTypeError("A body may be compressed with gzip only.")


def _read_unknown_length(stream: Any) -> bytes:
    parts, total = [], 0
    while part := stream.read(READ_AT_ONCE):
        parts.append(part)
        total += len(part)
        if total > LARGEST_BODY:
            raise TooLargeError("The body is larger than 25 MB; send it in parts.")
    if not parts:
        raise LengthRequiredError
    return b"".join(parts)


def inflate(data: bytes) -> bytes:
    """Decompress gzip, but never to more than is allowed.

    Raises
    ------
    TooLargeError
        More than 100 MB would come out.
    MalformedError
        No gzip, or the end is missing.
    """
    parts: list[bytes] = []
    left = LARGEST_INFLATED
    try:
        for part in _inflated(memoryview(data)):
            parts.append(part)
            left -= len(part)
            if left < 0:
                raise TooLargeError("The inflated body is larger than 100 MB.")
    except zlib.error:
        raise MalformedError("The body is not valid gzip.") from None
    return b"".join(parts)


def _inflated(data: memoryview) -> Iterator[bytes]:
    """Yield what the members of a gzip stream hold, a piece at a time.

    Each member hands back what it didn't use. In pieces that is never much; of the
    whole it would take the square of the length for a body of tiny members.
    """
    position = members = 0
    while position < len(data):
        members += 1
        if members > MOST_MEMBERS:
            raise TooLargeError(f"More than {MOST_MEMBERS} members are in the gzip.")
        member = zlib.decompressobj(GZIP)
        while not member.eof:
            piece = data[position : position + READ_AT_ONCE]
            if not piece:
                raise MalformedError("The gzip stream ends too early.")
            yield member.decompress(piece)
            position += len(piece) - len(member.unused_data)


Handler = Callable[..., Answer | HttpResponse]


def endpoint(
    document: type[APIView], *, scopes: Mapping[str, str], **handlers: Handler
) -> Callable[..., HttpResponse]:
    """Return a view that calls the handler of the request's method.

    `scopes` names what the caller must be allowed for each method, and `document`
    describes the methods in the OpenAPI document.
    """
    allowed = SimpleNamespace(allowed_methods=sorted(handlers))

    def view(request: HttpRequest, **path: str) -> HttpResponse:
        method = "GET" if request.method == "HEAD" else str(request.method)
        if method not in handlers:
            refused = MethodNotAllowed(method)
            context = {"request": request, "view": allowed}
            answer = problem_response(refused, context)
            assert answer is not None  # noqa: S101 (it knows this error)
            return answer
        try:
            with availability.watched():
                credential = credential_of(request)
                credential.require(scopes[method])
                answered = handlers[method](Call(request, credential), **path)
        except GovernanceError as error:
            return problem(request, error)
        if isinstance(answered, HttpResponse):
            return answered
        return HttpResponse(
            answered.body,
            status=answered.status,
            content_type="application/json",
            # Without it the answer would be sent in chunks.
            headers={"Content-Length": str(len(answered.body))},
        )

    view.csrf_exempt = True  # type: ignore[attr-defined]
    # By these two the generator of the document takes it for a view of DRF.
    view.cls = document  # type: ignore[attr-defined]
    view.initkwargs = {}  # type: ignore[attr-defined]
    return view


def said(status: int, **fields: Any) -> Answer:
    return Answer(status, msgspec.json.encode(fields))


def named(prefix: str, text: str) -> Any:
    """Return the UUID of a public id; raise NotFoundError if it can't be one."""
    try:
        return decode(prefix, text)
    except IdentifierError:
        raise NotFoundError from None
