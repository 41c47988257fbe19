"""Signed checkpoints of the trails, and their copies outside the database.

A checkpoint says what the first entries of a trail are. Whoever keeps one can tell
later whether these were changed or cut off, even by somebody who rules the database:
so each is copied to other places as soon as it is signed, and none is signed that
doesn't go on from those before it.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Max, OuterRef, Q, Subquery
from django.utils import timezone

from governance import merkle, notes, signing
from governance.actions import copies, trees
from governance.actions.audit import Actor, deed, record
from governance.exceptions import InvalidError, TrailBrokenError, fault
from governance.models import AuditEntry, AuditHead, Checkpoint, Organization
from governance.signing import PublicKey

logger = logging.getLogger(__name__)

# Who asks for a checkpoint gets none that is older, if there is more to say.
FRESH = timedelta(seconds=60)
_LOCK_CLASS = 0x44474350


def origin(organization: Organization | int) -> str:
    """Return the name of a trail: its first entry makes it one of a kind."""
    pk = organization if isinstance(organization, int) else organization.pk
    entries = AuditEntry.objects.for_organization(pk)
    first = entries.filter(seq=1).values_list("body", flat=True).first()
    return f"driftguard/{pk}/{hashlib.sha256(bytes(first or b'')).hexdigest()[:16]}"


def sign(organization: Organization) -> Checkpoint | None:
    """Sign a checkpoint over all entries, unless the last one covers them already.

    Returns the newest checkpoint; None for a trail without entries. It leaves no entry,
    which would want a checkpoint again. Raises TrailBrokenError if the trail doesn't go
    on from the last checkpoint, here or in any of the places outside.
    """
    with transaction.atomic():
        _lock(organization)
        last = Checkpoint.objects.for_organization(organization).first()
        head = AuditHead.objects.filter(pk=organization.pk).first()
        if head is None or head.seq == 0 or (last and last.size == head.seq):
            return last
        trees.grow(organization, head.seq)
        _check_going_on(organization, head.seq, last)
        return _insert(organization, head.seq, last)


def _lock(organization: Organization) -> None:
    """Let one checkpoint of a trail be signed at a time."""
    with connection.cursor() as cursor:
        key = hashlib.sha256(b"%d" % organization.pk).digest()
        number = int.from_bytes(key[:4], signed=True)
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", (_LOCK_CLASS, number))


def _check_going_on(
    organization: Organization, size: int, last: Checkpoint | None
) -> None:
    before = [notes.read(last.note)] if last else []
    before += copies.newest(organization)
    name = origin(organization)
    for statement in before:
        if statement.origin != name:
            raise TrailBrokenError(f"It is {name}, but was {statement.origin}.")
        if statement.size > size:
            raise TrailBrokenError(
                f"It has {size} entries, but had {statement.size} on "
                f"{statement.at:%Y-%m-%d %H:%M} UTC: some are missing."
            )
        if trees.root(organization, statement.size) != statement.root:
            raise TrailBrokenError(
                f"Its first {statement.size} entries are not those of "
                f"{statement.at:%Y-%m-%d %H:%M} UTC any more."
            )


def _insert(
    organization: Organization, size: int, last: Checkpoint | None
) -> Checkpoint:
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        [at] = cursor.fetchone()
    statement = notes.Statement(
        origin=origin(organization),
        size=size,
        root=trees.root(organization, size),
        at=at.astimezone(UTC),
        after=notes.digest(last.note) if last else None,
    )
    signature = signing.sign(statement.text.encode())
    made: Checkpoint = Checkpoint.objects.create(
        organization=organization,
        size=size,
        root=statement.root,
        key_id=signature.key.id,
        at=at,
        note=notes.signed(statement, signature),
    )
    return made


def current(organization: Organization) -> Checkpoint | None:
    """Return a checkpoint that is up to date, or hardly a minute old."""
    last: Checkpoint | None = Checkpoint.objects.for_organization(organization).first()
    if last is not None and last.at > timezone.now() - FRESH:
        return last
    made = sign(organization)
    copies.bring_up_to_date(organization)
    return made


def sign_due() -> int:
    """Sign and copy what is due in all organizations; return how many failed.

    What fails is told in the log and beside the copies, and holds up nobody else.
    """
    failed = 0
    for organization in due(timezone.now()):
        try:
            sign(organization)
        except TrailBrokenError as error:
            failed += 1
            logger.error("No checkpoint of %s: %s", organization.slug, error)
    for organization in Organization.objects.filter(pk__in=copies.due()):
        failed += not copies.bring_up_to_date(organization)
    return failed


def due(now: datetime) -> Iterator[Organization]:
    """Yield the organizations with entries that wait for a checkpoint."""
    newest = Checkpoint.objects.filter(organization=OuterRef("pk")).order_by("-size")
    waiting = Organization.objects.annotate(
        seq=Subquery(AuditHead.objects.filter(pk=OuterRef("pk")).values("seq")),
        size=Subquery(newest.values("size")[:1]),
        signed_at=Subquery(newest.values("at")[:1]),
    ).filter(
        Q(size=None)
        | Q(
            size__lt=F("seq"),
            signed_at__lte=now - timedelta(seconds=settings.CHECKPOINT_SECONDS),
        ),
        seq__gt=0,
    )
    yield from waiting.order_by("pk")


@dataclass(frozen=True, slots=True)
class Proof:
    """A path of the tree, and the roots that it leads to."""

    size: int
    hashes: list[bytes]
    roots: list[bytes]


def inclusion(organization: Organization, seq: int, size: int | None) -> Proof:
    """Return the proof that an entry is among the first `size`; absent: the newest.

    Raises InvalidError for what no checkpoint covers.
    """
    size = _covered(organization, size, "size")
    if not 1 <= seq <= size:
        raise _out_of_range("seq", size)
    found = trees.subtrees(organization)
    return Proof(
        size,
        merkle.inclusion_proof(seq - 1, size, found),
        [merkle.range_hash(0, size, found)],
    )


def consistency(organization: Organization, first: int, second: int | None) -> Proof:
    """Return the proof that the first `second` entries go on from the first `first`.

    Raises InvalidError for what no checkpoint covers.
    """
    second = _covered(organization, second, "second")
    if not 1 <= first <= second:
        raise _out_of_range("first", second)
    found = trees.subtrees(organization)
    return Proof(
        second,
        merkle.consistency_proof(first, second, found),
        [merkle.range_hash(0, size, found) for size in (first, second)],
    )


def _covered(organization: Organization, size: int | None, name: str) -> int:
    checkpoints = Checkpoint.objects.for_organization(organization)
    largest: int = checkpoints.aggregate(largest=Max("size"))["largest"] or 0
    if size is None:
        return largest
    if not 1 <= size <= largest:
        raise _out_of_range(name, largest)
    return size


def _out_of_range(name: str, largest: int) -> InvalidError:
    detail = f"expected a whole number from 1 to {largest}, which checkpoints cover"
    return InvalidError(errors=[fault(name, code="range", detail=detail)])


def rotate_key(*, actor: Actor | None) -> PublicKey:
    """Let another key sign from now on; return its public half.

    1. The next key is made. 2. Every trail says so. 3. Checkpoints that cover these
    entries are signed with the old key, so that whoever trusts it can trust the new
    one. 4. The new key takes over, unless the environment names the key: then that has
    to be changed. A step that was cut off is done again.
    """
    following = signing.prepare_next()
    for organization in Organization.objects.order_by("pk"):
        _announce(organization, following, actor=actor)
        sign(organization)
        copies.bring_up_to_date(organization)
    return signing.take_next() if signing.is_kept_here() else following


@deed
def _announce(
    organization: Organization, following: PublicKey, *, actor: Actor | None
) -> None:
    record(
        organization,
        actor=actor,
        action="signing_key.rotated",
        object=None,
        facts={"key": following.text, "before": signing.public_key().text},
    )
