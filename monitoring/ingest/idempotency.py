"""Retried requests: the first answer again, and nothing stored twice."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from django.db import OperationalError

from governance.exceptions import (
    IdempotencyInFlightError,
    IdempotencyMismatchError,
    InvalidError,
)

if TYPE_CHECKING:
    from django.db.backends.utils import CursorWrapper

MAX_KEY_LENGTH = 255
# How long another transaction that holds a key is waited for.
WAIT_SECONDS = 5.0
LOCK_NOT_AVAILABLE = "55P03"

Identity: TypeAlias = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client is told, and told again when it repeats the request."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Key:
    """A client's name for a request, and a digest of what the request was."""

    organization_id: int
    text: str
    digest: bytes

    @property
    def identity(self) -> Identity:
        return self.organization_id, self.text


@dataclass(frozen=True, slots=True)
class Kept:
    """A request that was answered before."""

    digest: bytes
    answer: Answer

    def replay(self, key: Key) -> Answer:
        """Return the first answer, if it was to the same request."""
        if self.digest != key.digest:
            raise IdempotencyMismatchError
        return self.answer


def make_key(organization_id: int, text: str, *request: bytes) -> Key:
    """Return the key of the request that consists of these parts.

    Raises
    ------
    InvalidError
        The client's text can't be a key.
    """
    if not (1 <= len(text) <= MAX_KEY_LENGTH and text.isprintable()):
        raise InvalidError(
            f"An Idempotency-Key has 1 to {MAX_KEY_LENGTH} printable characters."
        )
    digest = hashlib.sha256()
    for part in request:
        digest.update(hashlib.sha256(part).digest())
    return Key(organization_id, text, digest.digest())


# A key older than a day is free again, whether or not it has been purged yet.
_CLAIM = """
    INSERT INTO monitoring_idempotencykey AS kept
        (organization_id, key, digest, status, response, created_at)
    VALUES {rows}
    ON CONFLICT (organization_id, key) DO UPDATE SET
        digest = EXCLUDED.digest, status = EXCLUDED.status,
        response = EXCLUDED.response, created_at = EXCLUDED.created_at
    WHERE kept.created_at < now() - interval '24 hours'
    RETURNING organization_id, key
"""
_ROW = "(%s, %s, %s, %s, %s, now())"
_KEPT = """
    SELECT organization_id, key, digest, status, response
    FROM monitoring_idempotencykey WHERE (organization_id, key) IN %s
"""
_FIND = """
    SELECT digest, status, response FROM monitoring_idempotencykey
    WHERE organization_id = %s AND key = %s
    AND created_at >= now() - interval '24 hours'
"""
_FINISH = """
    UPDATE monitoring_idempotencykey SET status = %s, response = %s
    WHERE organization_id = %s AND key = %s
"""


def claim(
    cursor: CursorWrapper,
    wanted: Mapping[Key, Answer | None],
    *,
    wait: float = WAIT_SECONDS,
) -> dict[Identity, Kept]:
    """Take these keys for the transaction that does what their requests want.

    With each stands the answer that the request will get, or None if `finish` will
    tell. Returns what was answered before, by the keys' identities. No two keys may
    have the same identity.

    Raises
    ------
    IdempotencyInFlightError
        Another transaction held a key for too long; this one has to be rolled back.
    """
    # In this order everywhere, so that two transactions never wait for each other.
    keys = sorted(wanted, key=lambda key: key.identity)
    values: list[int | str | bytes] = []
    for key in keys:
        answer = wanted[key] or Answer(0, b"")
        values += (key.organization_id, key.text, key.digest)
        values += (answer.status, answer.body)
    rows = ", ".join([_ROW] * len(keys))
    try:
        cursor.execute(
            f"SET LOCAL lock_timeout = {int(wait * 1000)};" + _CLAIM.format(rows=rows),
            values,
        )
    except OperationalError as error:
        if getattr(error.__cause__, "pgcode", None) == LOCK_NOT_AVAILABLE:
            raise IdempotencyInFlightError from error
        raise
    taken = set(cursor.fetchall())
    return _kept(cursor, [key.identity for key in keys if key.identity not in taken])


def _kept(
    cursor: CursorWrapper, identities: Sequence[Identity]
) -> dict[Identity, Kept]:
    if not identities:
        return {}
    cursor.execute(_KEPT, [tuple(identities)])
    return {
        (organization_id, text): Kept(bytes(digest), Answer(status, bytes(body)))
        for organization_id, text, digest, status, body in cursor.fetchall()
    }


def find(cursor: CursorWrapper, key: Key) -> Answer | None:
    """Return what the request was answered before, None if it never was.

    It claims nothing: for requests that have much to do before they store anything.

    Raises
    ------
    IdempotencyMismatchError
        The key was used with another request.
    """
    cursor.execute(_FIND, key.identity)
    found = cursor.fetchone()
    if found is None:
        return None
    digest, status, body = found
    return Kept(bytes(digest), Answer(status, bytes(body))).replay(key)


def finish(cursor: CursorWrapper, key: Key, answer: Answer) -> None:
    """Keep the answer of a request whose key was claimed without one."""
    cursor.execute(_FINISH, [answer.status, answer.body, key.organization_id, key.text])
