"""The trail of deeds: who did what to which object, with what outcome.

Deeds nest. `record` only buffers an entry; the outermost deed appends all of them as
its last statement, under the row lock of the organization's head. So the lock is held
for a moment only, and two deeds can't wait for each other.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import json
import math
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby, pairwise
from operator import attrgetter
from typing import Any, NamedTuple, ParamSpec, TypeVar

import rfc8785
from django.db import connection, models, transaction

from governance.exceptions import GovernanceError
from governance.models import ApprovalRequest, AuditEntry, Organization, Override

P = ParamSpec("P")
R = TypeVar("R")

Outcome = AuditEntry.Outcome
LARGEST_EXACT = 2**53 - 1  # RFC 8785 numbers are float64
# RFC 8785 for what holds neither fractions nor names beyond ASCII, in a tenth of the
# time that `rfc8785` takes.
_canonical = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), sort_keys=True
).encode


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, and how they came in; copied into the entry as text.

    A person's role is all that they hold in the organization, joined by commas. A key
    acts for its owner, who is `user_id`.
    """

    type: str  # user, api_key or system
    id: str = ""
    label: str = ""
    role: str = ""
    auth_method: str = ""
    key_prefix: str = ""
    ip: str = ""
    request_id: str = ""
    channel: str = ""
    user_id: int | None = None


SYSTEM = Actor(type="system", label="DriftGuard")


class Subject(NamedTuple):
    """An object of the trail that is no row: what a failed login was about."""

    type: str
    id: str
    label: str


class _Entry(NamedTuple):
    """What the database is handed, cut where it fills in `at`, `prev` and `seq`."""

    organization_id: int
    outcome: str
    start: str
    middle: str
    end: str
    salt: bytes
    payload: bytes | None


_buffer: ContextVar[list[_Entry] | None] = ContextVar("audit_buffer", default=None)


def deed(function: Callable[P, R]) -> Callable[P, R]:
    """Make a function one transaction that its audit entries belong to.

    A deed inside a deed is a savepoint of it. When a deed is refused, what it did is
    undone; the entries that record the refusal are appended in a transaction of their
    own. Don't call deeds inside a transaction that goes on to write: the head's lock
    would then be held until its end.
    """

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        call = functools.partial(function, *args, **kwargs)
        entries = _buffer.get()
        return _outermost(call) if entries is None else _nested(call, entries)

    return wrapper


def _outermost(call: Callable[[], R]) -> R:
    entries: list[_Entry] = []
    token = _buffer.set(entries)
    try:
        with transaction.atomic():
            result = call()
            _append(entries)
            return result
    except GovernanceError as error:
        error.refusals = _refusals(entries)
        keep_refusals(error)
        raise
    finally:
        _buffer.reset(token)


def keep_refusals(error: GovernanceError) -> None:
    """Append the entries that say what was refused.

    Called again by whoever undoes the transaction around a refused deed: it takes the
    entries along.
    """
    if error.refusals:
        with transaction.atomic():
            _append(error.refusals)


def _nested(call: Callable[[], R], entries: list[_Entry]) -> R:
    mark = len(entries)
    try:
        with transaction.atomic():
            return call()
    except BaseException:
        entries[mark:] = _refusals(entries[mark:])
        raise


def _refusals(entries: Iterable[_Entry]) -> list[_Entry]:
    return [entry for entry in entries if entry.outcome != Outcome.DONE]


def record(  # noqa: PLR0913 (an entry has that many parts)
    organization: Organization | int,
    *,
    actor: Actor | None,
    action: str,
    object: models.Model | Subject | None,
    before: Any = None,
    after: Any = None,
    outcome: str = Outcome.DONE,
    reason: str = "",
    policy_version: int | None = None,
    approval_id: int | None = None,
    override_id: int | None = None,
    facts: Mapping[str, Any] | None = None,
) -> None:
    """Remember something that happened; `actor=None` is the system.

    `before` and `after` are JSON values, kept apart from the entry so that they can be
    erased. `facts` stay for ever, so that they name no person: hashes, numbers, keys.
    What is done to a request for approval or to an override bears its id.
    Inside a deed the entry is buffered; elsewhere it is appended at once.
    """
    pk = organization if isinstance(organization, int) else organization.pk
    body = {
        "v": 1,
        "org": pk,
        "actor": _actor_json(actor or SYSTEM),
        "auth": {
            "method": (actor or SYSTEM).auth_method,
            "key_prefix": (actor or SYSTEM).key_prefix,
        },
        "action": action,
        "object": _object_json(object),
        "outcome": str(outcome),
        "reason": _sound(reason),
        "request_id": _sound((actor or SYSTEM).request_id, 128),
        "ip": (actor or SYSTEM).ip,
        "channel": (actor or SYSTEM).channel,
        "policy_version": policy_version,
        "approval_id": _named(approval_id, ApprovalRequest, object),
        "override_id": _named(override_id, Override, object),
    }
    if facts is not None:
        body["facts"] = plain(facts)
    payload = None
    if before is not None or after is not None:
        payload = rfc8785.dumps(plain({"before": before, "after": after}))
    entry = _entry(pk, body, payload)
    entries = _buffer.get()
    if entries is not None:
        entries.append(entry)
        return
    with transaction.atomic():
        _append([entry])


def _entry(pk: int, body: dict[str, Any], payload: bytes | None) -> _Entry:
    salt = secrets.token_bytes(32)
    body["payload_hash"] = payload_hash(salt, payload)
    said = {name: _canonical(body[name]) for name in body if name != "facts"}
    if "facts" in body:
        said["facts"] = rfc8785.dumps(body["facts"]).decode()
    start, middle, end, _ = (
        ",".join(f'"{name}":{said[name]}' for name in sorted(said) if low < name < high)
        for low, high in pairwise(("", "at", "prev", "seq", "w"))
    )
    return _Entry(
        organization_id=pk,
        outcome=body["outcome"],
        start=f'{{{start},"at":"',
        middle=f'",{middle},"prev":"',
        end=f'",{end},"seq":',
        salt=salt,
        payload=payload,
    )


def _named(
    given: int | None, table: type[models.Model], subject: models.Model | Subject | None
) -> int | None:
    """Return the id of the decision that an entry belongs to: given, or its object."""
    return subject.pk if given is None and isinstance(subject, table) else given


def _actor_json(actor: Actor) -> dict[str, str]:
    return {
        "type": actor.type,
        "id": actor.id,
        "label": _sound(actor.label, 300),
        "role": actor.role,
    }


def _object_json(subject: models.Model | Subject | None) -> dict[str, str]:
    if isinstance(subject, models.Model):
        subject = Subject(subject._meta.model_name or "", str(subject.pk), str(subject))
    kind, identifier, label = subject or ("", "", "")
    return {"type": kind, "id": identifier[:64], "label": _sound(label, 500)}


def _sound(text: str, longest: int = 10_000) -> str:
    """Keep what both PostgreSQL and UTF-8 can hold."""
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()[:longest]


def plain(value: Any) -> Any:
    """Return the JSON value that stands for `value` in an entry.

    Integers that float64 can't hold exactly, dates and everything else that JSON has no
    word for become text.
    """
    if isinstance(value, Mapping):
        return {_sound(str(name)): plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(inner) for inner in value]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) <= LARGEST_EXACT:
        return int(value)
    if isinstance(value, float) and math.isfinite(value):
        return float(value)
    return value.isoformat() if isinstance(value, datetime) else _sound(str(value))


def _append(entries: Sequence[_Entry]) -> None:
    """Append to the trails, always in the order of the organizations' ids.

    Two deeds over the same organizations then never wait for each other.
    """
    by_organization = attrgetter("organization_id")
    for pk, group in groupby(sorted(entries, key=by_organization), by_organization):
        _append_to(pk, list(group))


# The only way in: it locks the head, then numbers, chains and dates the entries.
APPEND = "SELECT governance_append_audit(%s, %s, %s, %s, %s::bytea[], %s::bytea[])"


def _append_to(organization_id: int, entries: Sequence[_Entry]) -> None:
    columns = zip(
        *(
            (entry.start, entry.middle, entry.end, entry.salt, entry.payload)
            for entry in entries
        ),
        strict=True,
    )
    with connection.cursor() as cursor:
        cursor.execute(APPEND, [organization_id, *map(list, columns)])


def payload_hash(salt: bytes, payload: bytes | None) -> str | None:
    """Return what the entry keeps of its payload: a hash that tells nothing alone."""
    if payload is None:
        return None
    return hmac.new(salt, payload, hashlib.sha256).hexdigest()
