"""One transaction: idempotency keys, receipts, rows."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from operator import attrgetter
from typing import NamedTuple, Self, TypeAlias
from uuid import UUID

from django.db import (
    IntegrityError,
    InterfaceError,
    OperationalError,
    connection,
    transaction,
)

from governance import availability, merkle
from governance.actions.credentials import Credential
from governance.exceptions import GovernanceError
from governance.identifiers import uuid7
from governance.models import ApiKey
from monitoring.ingest import idempotency, moments, tuples
from monitoring.ingest.checking import Line
from monitoring.ingest.idempotency import Answer, Key
from monitoring.models import Receipt

# After that long a lost connection isn't worth a second try: somebody waits.
RETRY_WITHIN_SECONDS = 0.5


Receipts: TypeAlias = Mapping[int, UUID]  # by the id of their rows' version


class Sender(NamedTuple):
    """Who sends, and by which way: what the rows of one receipt have in common."""

    organization_id: int
    api_key_id: int | None
    user_id: int | None
    environment: str
    channel: str

    @classmethod
    def of(cls, credential: Credential, channel: str = Receipt.Channel.HTTP) -> Self:
        is_key = credential.api_key_id is not None
        return cls(
            credential.organization_id,
            credential.api_key_id,
            None if is_key else credential.user_id,
            credential.environment or ApiKey.Environment.PRODUCTION,
            str(channel),
        )


@dataclass(slots=True)
class Request:
    """Rows that are stored together or not at all, and what to answer then."""

    lines: Sequence[Line]
    sender: Sender
    respond: Callable[[Receipts], Answer]
    key: Key | None = None
    # Done in the same transaction, if the request is new.
    also: Callable[[], None] | None = None
    answer: Answer | None = None
    error: GovernanceError | None = None

    def outcome(self) -> Answer:
        """Return the answer, or raise the error."""
        if self.error is not None:
            raise self.error
        if self.answer is None:
            raise RuntimeError("the request was neither stored nor refused")
        return self.answer


@dataclass(slots=True)
class Flush:
    """Requests that share a transaction; no two of them have the same key.

    Its receipts keep their ids when it is tried again: a second try after a doubtful
    commit meets them, and stores nothing twice.
    """

    requests: Sequence[Request]
    receipts: dict[tuple[Sender, int], UUID] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for request in self.requests:
            for line in request.lines:
                group = request.sender, line.version.id
                if group not in self.receipts:
                    self.receipts[group] = uuid7()

    def write(self, *, wait: float) -> None:
        """Store what is new, in the caller's transaction.

        Every request has its answer or its error afterwards.
        """
        for request in self.requests:
            request.error = None
            request.answer = request.respond(self._receipts_of(request))
        rows = _Rows(self.requests, self.receipts)
        fresh = self._claim(wait)
        if len(fresh) < len(self.requests):
            rows = _Rows(fresh, self.receipts)
        rows.write()
        for request in fresh:
            if request.also is not None:
                request.also()

    def _receipts_of(self, request: Request) -> Receipts:
        versions = dict.fromkeys(line.version.id for line in request.lines)
        return {version: self.receipts[request.sender, version] for version in versions}

    @property
    def is_one_statement(self) -> bool:
        """Whether there is nothing to do but to write rows."""
        return all(
            request.key is None and request.also is None for request in self.requests
        )

    def _claim(self, wait: float) -> list[Request]:
        """Claim the keys; return the requests that were not made before."""
        wanted = {
            request.key: request.answer
            for request in self.requests
            if request.key is not None
        }
        if not wanted:
            return list(self.requests)
        with connection.cursor() as cursor:
            kept = idempotency.claim(cursor, wanted, wait=wait)
        fresh = []
        for request in self.requests:
            if request.key is None or request.key.identity not in kept:
                fresh.append(request)
                continue
            try:
                request.answer = kept[request.key.identity].replay(request.key)
            except GovernanceError as error:
                request.error = error
        return fresh


_FIELDS = Receipt._meta.concrete_fields
_COLUMNS = ", ".join(str(field.column) for field in _FIELDS)
_INSERT = f"INSERT INTO {Receipt._meta.db_table} ({_COLUMNS}) VALUES"
_PLACES = ", ".join(["%s"] * len(_FIELDS))


class _Rows:
    """The receipts and the rows of some requests, as they go to the database."""

    def __init__(
        self,
        requests: Iterable[Request],
        receipts: Mapping[tuple[Sender, int], UUID],
    ) -> None:
        groups: dict[tuple[Sender, int], list[Line]] = {}
        for request in requests:
            for line in request.lines:
                groups.setdefault((request.sender, line.version.id), []).append(line)
        self.receipts: list[Receipt] = []
        self.tuples: list[bytes] = []
        received_at = datetime.now(UTC)
        for (sender, _), lines in groups.items():
            # The order in which anybody reads them again.
            lines.sort(key=attrgetter("id"))
            identifier = receipts[sender, lines[0].version.id]
            rows = [
                tuples.head(
                    line.id,
                    sender.organization_id,
                    line.version.model_id,
                    line.version.id,
                    identifier,
                )
                + line.tail
                for line in lines
            ]
            self.tuples += rows
            self.receipts.append(_receipt(identifier, sender, lines, rows, received_at))

    def write(self) -> None:
        if self.tuples:
            rows = ", ".join([f"({_PLACES})"] * len(self.receipts))
            tuples.copy(
                tuples.COPY_PREDICTIONS,
                self.tuples,
                first=f"{_INSERT} {rows}",
                parameters=[
                    getattr(receipt, field.attname)
                    for receipt in self.receipts
                    for field in _FIELDS
                ],
            )


def _receipt(
    identifier: UUID,
    sender: Sender,
    lines: Sequence[Line],
    rows: Sequence[bytes],
    received_at: datetime,
) -> Receipt:
    version = lines[0].version
    moments_of = [line.at for line in lines]
    return Receipt(
        id=identifier,
        organization_id=sender.organization_id,
        kind=Receipt.Kind.PREDICTIONS,
        channel=sender.channel,
        model_id=version.model_id,
        version_id=version.id,
        api_key_id=sender.api_key_id,
        user_id=sender.user_id,
        environment=sender.environment,
        received_at=received_at,
        rows=len(lines),
        first_id=lines[0].id,
        last_id=lines[-1].id,
        first_event=moments.as_datetime(min(moments_of)),
        last_event=moments.as_datetime(max(moments_of)),
        digest=hashlib.sha256(b"".join(rows)).digest(),
        merkle_root=merkle.root(rows),
    )


def commit(flush: Flush, *, wait: float = idempotency.WAIT_SECONDS) -> None:
    """Store the requests durably; each has its answer or its error afterwards.

    Inside a transaction of the caller's it is part of that, and durable with it.

    Raises
    ------
    UnavailableError
        The database is away. Nothing was stored, unless it went away at the commit and
        didn't come back; a repetition with the same Idempotency-Key is safe.
    IdempotencyInFlightError
        Another transaction holds one of the keys.
    """
    if connection.in_atomic_block:
        _write(flush, wait)
        return
    availability.check()
    started = time.monotonic()
    try:
        _write(flush, wait)
    except (OperationalError, InterfaceError) as error:
        if not availability.is_lost(error):
            raise
        connection.close()
        if time.monotonic() - started > RETRY_WITHIN_SECONDS:
            raise availability.lost() from error
        # Somebody else may know by now that a second try is in vain.
        availability.check()
        _write_again(flush, wait)


def _write(flush: Flush, wait: float) -> None:
    if flush.is_one_statement:
        flush.write(wait=wait)
        return
    with transaction.atomic():
        flush.write(wait=wait)


def _write_again(flush: Flush, wait: float) -> None:
    try:
        _write(flush, wait)
    except IntegrityError as error:
        # The first try had been committed; only its confirmation was lost.
        if "monitoring_receipt_pkey" not in str(error):
            raise
    except (OperationalError, InterfaceError) as error:
        connection.close()
        if availability.is_lost(error):
            raise availability.lost() from error
        raise
