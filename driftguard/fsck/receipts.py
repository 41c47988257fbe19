"""Receipts and the rows that they cover: as many as they say, byte for byte."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import connection

from driftguard.fsck.faults import Fault
from governance.actions import bundles
from governance.models import Organization
from monitoring.actions import bulk
from monitoring.ingest import tuples
from monitoring.models import Prediction, Receipt

TABLE = Receipt._meta.db_table
AT_ONCE = 500
ROWS = 2_000

# A row belongs to what its receipt says of it; that both are of the same organization
# is a matter of references.
_STRAYS = """
    SELECT p.id, p.receipt_id FROM monitoring_prediction AS p
    JOIN monitoring_receipt AS r ON r.id = p.receipt_id
    WHERE (%(only)s IS NULL OR p.organization_id = %(only)s) AND (
        r.kind <> 'predictions' OR r.model_id <> p.model_id
        OR r.version_id <> p.version_id
        OR p.id NOT BETWEEN r.first_id AND r.last_id
    )
"""

# The identifiers of a receipt lie close together; the table has no index on receipts.
_PREDICTIONS = """
    SELECT {columns}
    FROM unnest(%s::uuid[], %s::uuid[], %s::uuid[]) AS r(id, first_id, last_id)
    CROSS JOIN LATERAL (
        SELECT * FROM monitoring_prediction AS p
        WHERE p.id BETWEEN r.first_id AND r.last_id AND p.receipt_id = r.id OFFSET 0
    ) AS p ORDER BY r.id, p.id
"""
_LABELS = """
    SELECT {columns} FROM monitoring_groundtruth
    WHERE receipt_id = ANY(%s) ORDER BY receipt_id, id
"""


@dataclass(slots=True)
class _Found:
    rows: int = 0
    digest: Any = field(default_factory=hashlib.sha256)


def check_strays(organization: Organization | None) -> Iterator[Fault]:
    """Yield predictions that their receipt doesn't cover."""
    only = None if organization is None else organization.pk
    with bundles.snapshot(), closing(connection.chunked_cursor()) as cursor:
        cursor.execute(_STRAYS, {"only": only})
        while rows := cursor.fetchmany(ROWS):
            for key, receipt in rows:
                what = f"receipt {receipt} doesn't cover it"
                yield Fault(Prediction._meta.db_table, str(key), what)


def batches(organization: Organization) -> Iterator[list[Receipt]]:
    """Yield an organization's receipts, some at a time."""
    receipts = Receipt.objects.for_organization(organization).order_by("pk")
    last = UUID(int=0)
    while batch := list(receipts.filter(pk__gt=last)[:AT_ONCE]):
        yield batch
        last = batch[-1].pk


def check(receipts: Sequence[Receipt]) -> list[Fault]:
    """Compare receipts with the rows that are there."""
    found = {receipt.pk: _Found() for receipt in receipts}
    kinds = Receipt.Kind
    _read_predictions([r for r in receipts if r.kind == kinds.PREDICTIONS], found)
    _read_labels([r for r in receipts if r.kind == kinds.GROUND_TRUTH], found)
    faults = []
    for receipt in receipts:
        there = found[receipt.pk]
        if there.rows != receipt.rows:
            what = f"says {receipt.rows} rows, {there.rows} are there"
            faults.append(Fault(TABLE, str(receipt.pk), what))
        elif there.digest.digest() != bytes(receipt.digest):
            what = "its rows are not those that were received: their digest is another"
            faults.append(Fault(TABLE, str(receipt.pk), what))
    return faults


def _read_predictions(receipts: Sequence[Receipt], found: dict[UUID, _Found]) -> None:
    spans = [(r.pk, r.first_id, r.last_id) for r in receipts]
    columns = [list(column) for column in zip(*spans, strict=True)] or [[], [], []]
    place = tuples.HEAD_LENGTH - 16

    def add(row: bytes) -> None:
        there = found[UUID(bytes=row[place : place + 16])]
        there.rows += 1
        there.digest.update(row)

    names = ", ".join(f"p.{name}" for name in tuples.COLUMNS)
    bulk.each_tuple(_PREDICTIONS.format(columns=names), columns, add)


def _read_labels(receipts: Sequence[Receipt], found: dict[UUID, _Found]) -> None:
    count = len(tuples.LABEL_START)
    place = count + tuples.LABEL_RECEIPT

    def add(row: bytes) -> None:
        there = found[UUID(bytes=row[place : place + 16])]
        there.rows += 1
        there.digest.update(row[count:])

    names = ", ".join(tuples.FIXED_LABEL_COLUMNS)
    keys = [receipt.pk for receipt in receipts]
    bulk.each_tuple(_LABELS.format(columns=names), [keys], add)
