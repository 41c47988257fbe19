"""Sealing: what was received stands under the audit trail within a minute.

One entry carries the Merkle root of the receipts that no entry carries yet. Receipts
cover their rows in turn, by digest and root: so whoever changes a prediction that was
logged contradicts the trail. A receipt is marked in the transaction of the entry; its
mark is the queue, as no order of numbers tells what was committed later.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import rfc8785

from governance import merkle
from governance.actions.audit import Actor, deed, record
from governance.identifiers import uuid7
from governance.models import Organization
from monitoring.models import Receipt

# An entry covers no more than that; the next one goes on at once.
MOST = 20_000
# Read at a time.
ROWS = 2_000


def seal_due() -> int:
    """Seal all receipts that wait for it; return how many there were."""
    waiting = Receipt.objects.filter(seal=None).order_by("organization")
    total = 0
    for pk in waiting.values_list("organization", flat=True).distinct():
        organization = Organization.objects.get(pk=pk)
        while count := seal(organization, actor=None):
            total += count
    return total


@deed
def seal(organization: Organization, *, actor: Actor | None) -> int:
    """Put receipts under one entry of the trail; return how many.

    Receipts that somebody else holds at the moment are left for the next time.
    """
    receipts = list(
        Receipt.objects.for_organization(organization)
        .filter(seal=None)
        .order_by("id")
        .select_for_update(skip_locked=True)[:MOST]
    )
    if not receipts:
        return 0
    name = uuid7()
    Receipt.objects.filter(pk__in=[receipt.pk for receipt in receipts]).update(
        seal=name
    )
    record(
        organization,
        actor=actor,
        action="receipts.sealed",
        object=None,
        facts={
            "seal": str(name),
            "root": merkle.root(leaf(receipt) for receipt in receipts).hex(),
            "receipts": len(receipts),
            "rows": sum(receipt.rows for receipt in receipts),
        },
    )
    return len(receipts)


def leaf(receipt: Receipt) -> bytes:
    """Return what is sealed of a receipt: all of it that never changes."""
    said: dict[str, Any] = {
        "id": str(receipt.pk),
        "organization": receipt.organization_id,
        "kind": receipt.kind,
        "channel": receipt.channel,
        "model": receipt.model_id,
        "version": receipt.version_id,
        "api_key": receipt.api_key_id,
        "user": receipt.user_id,
        "environment": receipt.environment,
        "received_at": _moment(receipt.received_at),
        "rows": receipt.rows,
        "first_id": str(receipt.first_id),
        "last_id": str(receipt.last_id),
        "first_event": _moment(receipt.first_event),
        "last_event": _moment(receipt.last_event),
        "digest": bytes(receipt.digest).hex(),
        "merkle_root": bytes(receipt.merkle_root).hex(),
    }
    return rfc8785.dumps(said)


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def leaves(organization: Organization, name: str) -> Iterator[bytes]:
    """Yield what a seal covers, in its order; nothing if there is no such seal."""
    try:
        identifier = UUID(name)
    except ValueError:
        return
    sealed = Receipt.objects.for_organization(organization).filter(seal=identifier)
    for receipt in sealed.order_by("id").iterator(ROWS):
        yield leaf(receipt)
