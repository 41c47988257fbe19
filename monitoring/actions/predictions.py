"""Logging predictions: rows, not decisions, so the trail isn't told of each."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db import connection

from governance.actions.credentials import Credential
from monitoring import ingest
from monitoring.actions import ground_truth
from monitoring.ingest import Answer, Key, Line, catalog, checking
from monitoring.ingest.catalog import Model
from monitoring.ingest.rows import Batch
from monitoring.models import Receipt

logger = logging.getLogger(__name__)

MONTHS_AHEAD = 3


@dataclass(frozen=True, slots=True)
class Stored:
    """What an answer can tell."""

    batch: Batch  # with the faults of the rows that were left out
    lines: Sequence[Line]
    receipts: ingest.Receipts

    @property
    def receipt(self) -> UUID:
        """The receipt of the first row."""
        return self.receipts[self.lines[0].version.id]


def log_predictions(  # noqa: PLR0913 (a request has that many parts)
    batch: Batch,
    *,
    credential: Credential,
    respond: Callable[[Stored], Answer],
    model: Model | None = None,
    channel: str = Receipt.Channel.HTTP,
    key: Key | None = None,
    leave_out_bad_rows: bool = False,
    also: Callable[[], None] | None = None,
) -> Answer:
    """Store the batch's rows, and the labels that came with them, in one transaction.

    Each row has the version that it names (an unknown one is registered as such), or
    its model's default one, and the governance status in force at its time. If one row
    is bad nothing is stored, or, with `leave_out_bad_rows`, all the others. `also` is
    done in the same transaction.

    Raises
    ------
    InvalidError
        Rows are bad; the first hundred faults are in it.
    NotFoundError
        There is no such model.
    UnavailableError, IdempotencyMismatchError, IdempotencyInFlightError
        See `ingest.store`.
    """
    organization_id = credential.organization_id
    lines = checking.check(
        batch,
        organization_id=organization_id,
        model=model,
        environment=credential.environment,
    )
    if batch.faults and not (leave_out_bad_rows and lines):
        raise batch.faults.error()
    if None in batch.versions:
        unnamed = {line.version for line in lines if batch.versions[line.row] is None}
        for version in unnamed:
            # What is deployed needs no memory of who came last.
            if not version.is_deployed:
                catalog.note_default(version)
    sender = ingest.Sender.of(credential, channel)
    labelled = [line for line in lines if batch.labels[line.row] is not None]

    def store_more() -> None:
        if labelled:
            ground_truth.log_with_predictions(
                [(line, batch.labels[line.row]) for line in labelled], sender=sender
            )
        if also is not None:
            also()

    return ingest.store(
        lines,
        sender=sender,
        respond=lambda receipts: respond(Stored(batch, lines, receipts)),
        key=key,
        also=store_more if labelled or also else None,
    )


def create_partitions() -> int:
    """Make the partitions of this month and the next three; return how many were made.

    Rows that stand in the default partition mean that nobody called this in time.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT monitoring_create_partitions(%s)", [MONTHS_AHEAD])
        (made,) = cursor.fetchone()
        cursor.execute("SELECT EXISTS (SELECT FROM monitoring_prediction_rest)")
        (is_used,) = cursor.fetchone()
    if is_used:
        logger.error("Predictions stand in the default partition: no month for them.")
    return int(made)
