"""Erasing what entries of the trail say of before and after; the entries stay.

An entry keeps a salted hash of its payload. With the payload and its salt gone nobody
can guess back what it was, and every hash, proof and signature over the trail stays
good. The entry that says so is what erases: the database does both, or neither.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from governance.actions.audit import Actor, deed, record
from governance.actions.organizations import refused, roles_of_person
from governance.exceptions import ConflictError, InvalidError, fault
from governance.models import AuditEntry, AuditPayload, Membership, Organization

SHORTEST_REASON = 20
# An entry names what it erases; it should stay readable.
MOST_AT_ONCE = 10_000


@deed
def erase(
    organization: Organization,
    seqs: Iterable[int],
    *,
    actor: Actor | None,
    reason: str,
) -> int:
    """Erase the payloads of entries; return how many there were.

    Needs a compliance officer who made none of the entries, and a reason of at least
    20 characters. Raises ConflictError if there is nothing to erase.
    """
    wanted = sorted(set(seqs))
    _check(wanted, reason)
    payloads = AuditPayload.objects.for_organization(organization)
    found = payloads.filter(entry__seq__in=wanted).select_related("entry")
    entries = [payload.entry for payload in found.defer("salt", "content")]
    if actor is not None:
        _check_actor(organization, actor, entries)
    if not entries:
        raise ConflictError("None of these entries has a payload.")
    record(
        organization,
        actor=actor,
        action="payload.erased",
        object=None,
        reason=reason,
        facts={
            "erased": _spans(sorted(entry.seq for entry in entries)),
            "payloads": len(entries),
        },
    )
    return len(entries)


def _check(seqs: Sequence[int], reason: str) -> None:
    faults = []
    if len(reason.strip()) < SHORTEST_REASON:
        detail = f"say why, in at least {SHORTEST_REASON} characters"
        faults.append(fault("reason", code="too_short", detail=detail))
    if len(seqs) > MOST_AT_ONCE:
        detail = f"at most {MOST_AT_ONCE:,} entries at once"
        faults.append(fault("seq", code="too_many", detail=detail))
    if faults:
        raise InvalidError("Nothing was erased.", errors=faults)


def _check_actor(
    organization: Organization, actor: Actor, entries: Iterable[AuditEntry]
) -> None:
    roles = roles_of_person(organization, actor)
    if Membership.Role.COMPLIANCE_OFFICER not in roles:
        raise refused(organization, actor, "the role compliance officer")
    own = [one.seq for one in entries if (one.actor_type, one.actor_id) == _key(actor)]
    if own:
        raise refused(organization, actor, f"somebody who did not make entry {own[0]}")


def _key(actor: Actor) -> tuple[str, str]:
    return actor.type, actor.id


@deed
def purge(organization: Organization, *, before: datetime, actor: Actor | None) -> int:
    """Erase the oldest payloads of entries made before a moment, whose time is over.

    Returns how many; at most 10,000 go at once, so that it is called until none is
    left.
    """
    payloads = AuditPayload.objects.for_organization(organization)
    old = payloads.filter(entry__at__lt=before).order_by("entry__seq")
    seqs = list(old.values_list("entry__seq", flat=True)[:MOST_AT_ONCE])
    if not seqs:
        return 0
    between = payloads.filter(entry__seq__range=(seqs[0], seqs[-1]))
    is_whole = between.count() == len(seqs)
    record(
        organization,
        actor=actor,
        action="payload.purged",
        object=None,
        reason=f"The payloads of entries before {before:%Y-%m-%d} are not kept.",
        facts={
            "erased": [[seqs[0], seqs[-1]]] if is_whole else _spans(seqs),
            "payloads": len(seqs),
        },
    )
    return len(seqs)


def purge_due() -> int:
    """Erase, in all organizations, the payloads that the settings don't keep."""
    if not settings.AUDIT_PAYLOAD_DAYS:
        return 0
    before = timezone.now() - timedelta(days=settings.AUDIT_PAYLOAD_DAYS)
    total = 0
    for organization in Organization.objects.order_by("pk"):
        while count := purge(organization, before=before, actor=None):
            total += count
    return total


def _spans(seqs: Sequence[int]) -> list[list[int]]:
    """Return rising numbers as spans of neighbours: `[[1, 3], [7, 7]]`."""
    spans: list[list[int]] = []
    for seq in seqs:
        if spans and spans[-1][1] == seq - 1:
            spans[-1][1] = seq
        else:
            spans.append([seq, seq])
    return spans
