"""The auditor's bundle: a trail with all that is needed to verify it offline.

Its files are read in one snapshot of the database, row by row, so that what is erased
meanwhile doesn't look as if it had been erased silently, and that a trail of any length
takes the same memory. What the form of the files is, `dg_verify.py` says.
"""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import rfc8785
from django.conf import settings
from django.db import connection, transaction
from django.db.models import Max
from django.utils.module_loading import import_string

from governance import merkle, signing
from governance.actions import checkpoints, trees
from governance.actions.audit import Actor, deed, record
from governance.archive import Writer
from governance.exceptions import TrailBrokenError
from governance.models import AuditEntry, AuditHead, Checkpoint, Organization
from governance.verify import dg_verify

logger = logging.getLogger(__name__)

# Rows that the database hands over at a time.
ROWS = 2000
README = Path(dg_verify.__file__).with_name("README.txt")


@dataclass(frozen=True, slots=True)
class Trail:
    """A trail as it stands in the snapshot, up to the checkpoint that covers it."""

    organization: Organization
    size: int
    # What the head says of the entry `size`, and how many entries there are really.
    head_seq: int
    head_digest: str
    last: int
    with_receipts: bool = True


def export(
    organization: Organization, *, actor: Actor | None, with_receipts: bool = True
) -> Iterator[bytes]:
    """Record the export; return the bundle, in which its own entry is the last.

    A trail that contradicts its checkpoints is exported as it is: the bundle shows it.
    """
    record_export(organization, actor=actor, form="bundle", filters={})
    try:
        checkpoints.sign(organization)
    except TrailBrokenError as error:
        logger.error("The bundle of %s will show: %s", organization.slug, error)
    return packed(organization, with_receipts=with_receipts)


@deed
def record_export(
    organization: Organization,
    *,
    actor: Actor | None,
    form: str,
    filters: dict[str, str],
) -> None:
    """Remember that somebody takes the trail, or a part of it, away."""
    record(
        organization,
        actor=actor,
        action="audit.exported",
        object=organization,
        after={"format": form, "filters": filters},
    )


def packed(
    organization: Organization, *, with_receipts: bool, whole: bool = False
) -> Iterator[bytes]:
    """Yield the bundle up to the newest checkpoint; `whole` goes on to the end."""
    writer = Writer()
    with snapshot():
        trail = read_trail(organization, with_receipts=with_receipts, whole=whole)
        for name, content in contents(trail).items():
            yield from writer.file(name, content())
        manifest = manifest_of(trail, writer)
    yield writer.plain(dg_verify.MANIFEST, manifest)
    yield writer.plain(dg_verify.SIGNATURE, seal(manifest))
    yield writer.end()


@contextmanager
def snapshot() -> Iterator[None]:
    """Let all that is read be of one moment; whoever waits for it may be slow."""
    is_outermost = not connection.in_atomic_block
    with transaction.atomic():
        if is_outermost:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
                )
                cursor.execute("SET LOCAL idle_in_transaction_session_timeout = '5min'")
        yield


def read_trail(
    organization: Organization, *, with_receipts: bool, whole: bool
) -> Trail:
    """Return what the snapshot has of a trail, up to its newest checkpoint.

    The trail may have grown since that was signed: then the entry that follows tells
    the digest of the last one that is covered.
    """
    head = AuditHead.objects.filter(pk=organization.pk).first()
    seq, digest = (head.seq, bytes(head.digest).hex()) if head else (0, "")
    entries = AuditEntry.objects.for_organization(organization)
    last = entries.aggregate(last=Max("seq"))["last"] or 0
    newest = Checkpoint.objects.for_organization(organization).first()
    size = newest.size if newest else 0
    following = entries.filter(seq=size + 1).values_list("body", flat=True).first()
    if whole or not 0 < size < seq or following is None:
        return Trail(organization, max(seq, last), seq, digest, last, with_receipts)
    digest = _named_before(bytes(following))
    return Trail(organization, size, size, digest, size + last - seq, with_receipts)


def _named_before(body: bytes) -> str:
    try:
        return str(json.loads(body)["prev"])
    except (ValueError, TypeError, KeyError):
        return ""


def contents(trail: Trail) -> dict[str, Callable[[], Iterable[bytes]]]:
    """Return what gives the content of each file, but for manifest and signature."""
    return {
        dg_verify.README: partial(_readme, trail),
        dg_verify.ENTRIES: partial(_entries, trail),
        dg_verify.INDEX: partial(_index, trail),
        dg_verify.PAYLOADS: partial(_payloads, trail),
        dg_verify.CHECKPOINTS: partial(_checkpoints, trail),
        dg_verify.PROOFS: partial(_proofs, trail),
        dg_verify.RECEIPTS: partial(_receipts, trail),
    }


def _rows(query: str, *parameters: int | str) -> Iterator[tuple[Any, ...]]:
    with closing(connection.chunked_cursor()) as cursor:
        cursor.execute(query, parameters)
        while rows := cursor.fetchmany(ROWS):
            yield from rows


def _readme(trail: Trail) -> Iterator[bytes]:
    yield README.read_bytes()


def _entries(trail: Trail) -> Iterator[bytes]:
    query = """
        SELECT body FROM governance_auditentry
        WHERE organization_id = %s AND seq <= %s ORDER BY seq
    """
    for (body,) in _rows(query, trail.organization.pk, trail.size):
        yield _on_one_line(body)


def _index(trail: Trail) -> Iterator[bytes]:
    query = """
        SELECT organization_id, seq, encode(leaf_hash, 'hex'),
            to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
            actor_type, actor_id, actor_label, action, object_type, object_id,
            object_label, outcome, request_id, approval_id, override_id
        FROM governance_auditentry
        WHERE organization_id = %s AND seq <= %s ORDER BY seq
    """
    for row in _rows(query, trail.organization.pk, trail.size):
        yield dg_verify.canonical(row) + b"\n"


def _payloads(trail: Trail) -> Iterator[bytes]:
    query = """
        SELECT entry.seq, encode(payload.salt, 'hex'), payload.content
        FROM governance_auditentry entry JOIN governance_auditpayload payload
            ON payload.entry_id = entry.id
            AND payload.organization_id = entry.organization_id
        WHERE entry.organization_id = %s AND entry.seq <= %s ORDER BY entry.seq
    """
    for seq, salt, content in _rows(query, trail.organization.pk, trail.size):
        yield b"%d\t%s\t%s" % (seq, salt.encode(), _on_one_line(content))


def _on_one_line(content: bytes | memoryview) -> bytes:
    """Return what ends where its line ends.

    Canonical JSON has no line feeds; one that somebody put there becomes a byte that
    is no UTF-8, so that it is found where it is and shifts nothing that follows.
    """
    return bytes(content).replace(b"\n", b"\xff") + b"\n"


CHECKPOINT_ROWS = """
    SELECT size, encode(root, 'hex'), key_id,
        to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), note
    FROM governance_checkpoint
    WHERE organization_id = %s AND size <= %s ORDER BY size
"""


def _checkpoints(trail: Trail) -> Iterator[bytes]:
    for row in _rows(CHECKPOINT_ROWS, trail.organization.pk, trail.size):
        yield dg_verify.canonical(row) + b"\n"


def _proofs(trail: Trail) -> Iterator[bytes]:
    """Prove from the kept tiles that each checkpoint goes on from the one before."""
    subtrees = trees.subtrees(trail.organization)
    before = 0
    for size, *_ in _rows(CHECKPOINT_ROWS, trail.organization.pk, trail.size):
        if before:
            yield dg_verify.canonical([before, size, _proof(before, size, subtrees)])
            yield b"\n"
        before = size


def _proof(first: int, second: int, subtrees: merkle.Subtrees) -> list[str]:
    try:
        proof = merkle.consistency_proof(first, second, subtrees)
    except LookupError:
        # Tiles or entries are missing: whoever verifies shall see it.
        return []
    return [one.hex() for one in proof]


def _receipts(trail: Trail) -> Iterator[bytes]:
    if not trail.with_receipts:
        return
    leaves = import_string(settings.SEALED_RECEIPTS)
    query = """
        SELECT body FROM governance_auditentry
        WHERE organization_id = %s AND seq <= %s AND action = %s ORDER BY seq
    """
    parameters = (trail.organization.pk, trail.size, dg_verify.SEALING)
    for (body,) in _rows(query, *parameters):
        try:
            seal = json.loads(bytes(body))["facts"]["seal"]
        except (ValueError, TypeError, KeyError):
            continue
        for leaf in leaves(trail.organization, seal):
            yield leaf + b"\n"


def manifest_of(trail: Trail, written: Writer) -> bytes:
    """Return what the bundle says of itself, as canonical JSON."""
    organization = trail.organization
    said: dict[str, Any] = {
        "format": dg_verify.FORMAT,
        "organization": {
            "id": organization.pk,
            "slug": organization.slug,
            "name": organization.name,
        },
        "origin": checkpoints.origin(organization),
        "head": {"seq": trail.head_seq, "digest": trail.head_digest},
        "last": trail.last,
        "with_receipts": trail.with_receipts,
        "keys": [key.text for key in signing.public_keys()],
        "files": written.contents,
        "packed": written.packed,
        "made_at": datetime.now(UTC).isoformat(),
    }
    return rfc8785.dumps(said)


def seal(manifest: bytes) -> bytes:
    """Return the signature of the manifest, with the key that made it."""
    signature = signing.sign(dg_verify.SEALED + manifest)
    value = base64.b64encode(signature.value).decode()
    return f"{signature.key.text} {value}\n".encode()
