"""What both clients share: requests, answers, and when to try again; no I/O.

The synchronous and the asynchronous client only add the sending and the waiting.
"""

from __future__ import annotations

import os
import random
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote

import httpx

from driftguard_client.errors import (
    ApiError,
    ConflictError,
    DriftGuardError,
    InvalidError,
    NotAuthenticatedError,
    NotFoundError,
    PermissionDeniedError,
    UnavailableError,
)
from driftguard_client.version import __version__

KINDS: Mapping[int, type[ApiError]] = {
    401: NotAuthenticatedError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
}
LATER = frozenset({408, 425, 429, 500, 502, 503, 504})
# Still being answered under the same Idempotency-Key: the answer comes later.
IN_FLIGHT = "idempotency_in_flight"
LONGEST_WAIT = 60.0


@dataclass(frozen=True)
class Settings:
    """Where to send, with which credential, and how often to try."""

    url: str
    credential: str
    timeout: float  # seconds, for one attempt
    attempts: int

    @classmethod
    def of(
        cls, url: str | None, credential: str | None, timeout: float, retries: int
    ) -> Settings:
        """Fill in the environment's DRIFTGUARD_URL and DRIFTGUARD_API_KEY."""
        url = url or os.environ.get("DRIFTGUARD_URL", "")
        credential = credential or os.environ.get("DRIFTGUARD_API_KEY", "")
        if not url.startswith(("http://", "https://")):
            raise DriftGuardError(
                f"The server's address has to begin with https:// (or http://), "
                f"not be {url!r}; pass it or set DRIFTGUARD_URL."
            )
        return cls(url.rstrip("/"), credential, timeout, max(1, retries + 1))

    @property
    def headers(self) -> dict[str, str]:
        headers = {"User-Agent": f"driftguard-client/{__version__}"}
        if self.credential:
            headers["Authorization"] = f"Bearer {self.credential}"
        return headers


@dataclass
class Call:
    """One request, the same at every attempt."""

    method: str
    path: str
    query: Mapping[str, Any] | None = None
    body: Mapping[str, Any] | None = None
    content: bytes | None = None
    media: str = "application/json"
    key: str | None = None
    encoding: str = ""
    raw: bool = False
    headers: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.headers = {}
        if self.content is not None:
            self.headers["Content-Type"] = self.media
        if self.encoding:
            self.headers["Content-Encoding"] = self.encoding
        if self.method == "POST":
            # A repetition under the same key is stored once and answered the same.
            self.headers["Idempotency-Key"] = self.key or str(uuid.uuid4())

    @property
    def arguments(self) -> dict[str, Any]:
        """Return the arguments of `httpx.Client.request`."""
        query = {
            name: str(value).lower() if isinstance(value, bool) else value
            for name, value in (self.query or {}).items()
            if value is not None
        }
        body = None
        if self.body is not None:
            body = {k: v for k, v in self.body.items() if v is not None}
        return {
            "method": self.method,
            "url": self.path,
            "params": query or None,
            "json": body,
            "content": self.content,
            "headers": self.headers,
        }


def part(value: Any) -> str:
    """Return a value as one part of a path: nothing in it can lead elsewhere."""
    return quote(str(value), safe="")


def answer_of(response: httpx.Response, raw: bool = False) -> Any:
    """Return the decoded answer, or raise the error that it stands for."""
    if response.is_success:
        return response.content if raw else _decoded(response)
    problem = _decoded(response)
    if not isinstance(problem, Mapping):
        problem = {"title": response.reason_phrase}
    status = response.status_code
    if status in LATER or (status == 409 and problem.get("code") == IN_FLIGHT):
        raise UnavailableError(status, problem, _retry_after(response))
    raise KINDS.get(status, InvalidError if status < 500 else ApiError)(status, problem)


def _decoded(response: httpx.Response) -> Any:
    if not response.content:
        return None
    try:
        return response.json()
    except ValueError:
        if response.is_success:
            raise DriftGuardError(
                f"{response.url} answered with something else than JSON; is it "
                f"really DriftGuard?"
            ) from None
        return None


def _retry_after(response: httpx.Response) -> float | None:
    text = response.headers.get("Retry-After", "")
    if text.isdigit():
        return min(float(text), LONGEST_WAIT)
    try:
        at = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return min(
        max(0.0, (at - datetime.now(timezone.utc)).total_seconds()), LONGEST_WAIT
    )


def wait_before(attempt: int, error: Exception, longest: float = LONGEST_WAIT) -> float:
    """Return the seconds to wait before the next attempt.

    Twice as long each time, spread at random so that many clients don't come back at
    the same moment; never sooner than the server asked for.
    """
    spread = random.uniform(0.5, 1.0)  # noqa: S311 (no secret depends on it)
    backoff = min(longest, 0.25 * 2**attempt) * spread
    return max(backoff, getattr(error, "retry_after", None) or 0.0)
