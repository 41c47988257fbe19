"""Bytes in, durable rows out: the hot path of predictions.

`reading` and `tables` turn a body into a batch of sound rows, `checking` holds them
against their version, and `store` commits them. Nothing here knows HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from django.db import connection

from monitoring.ingest.checking import Line
from monitoring.ingest.group_commit import flusher
from monitoring.ingest.idempotency import Answer, Key
from monitoring.ingest.writing import Flush, Receipts, Request, Sender, commit

__all__ = ["Answer", "Key", "Line", "Receipts", "Sender", "store"]

# So many rows share a commit with others; more are worth one of their own.
FEW_ROWS = 50


def store(
    lines: Sequence[Line],
    *,
    sender: Sender,
    respond: Callable[[Receipts], Answer],
    key: Key | None = None,
    also: Callable[[], None] | None = None,
) -> Answer:
    """Store rows durably, all or none, and return what to answer.

    Parameters
    ----------
    lines : sequence of Line
        What `checking.check` accepted.
    sender : Sender
        Who sent the rows, and by which way.
    respond : callable
        Makes the answer out of the receipts, by the version's id. It is kept with the
        key, in the same transaction.
    key : Key or None
        If the same request was stored before, its answer is returned instead.
    also : callable or None
        Done in the same transaction, if the rows are new.

    Raises
    ------
    UnavailableError
        The database is away or too slow.
    IdempotencyMismatchError, IdempotencyInFlightError
        The key was used with another request, or is just being used.
    """
    request = Request(lines, sender, respond, key, also)
    if also is None and len(lines) <= FEW_ROWS and not connection.in_atomic_block:
        flusher.store(request)
    else:
        commit(Flush([request]))
    return request.outcome()
