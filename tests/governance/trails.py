"""Small trails with everything in them that a trail can have, and their bundles."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from django.db import connection

from governance import archive, signing
from governance.actions import audit, bundles, checkpoints, copies, erasure
from governance.models import Organization
from governance.verify import dg_verify
from monitoring.actions import seals
from monitoring.models import Receipt
from tests import factories

REASON = "Art. 17 request of 3 May, case 4711"


def say(organization: Organization, count: int, action: str = "thing.changed") -> None:
    """Record entries, some with a payload and some without."""

    @audit.deed
    def all_at_once() -> None:
        for number in range(count):
            audit.record(
                organization,
                actor=None,
                action=action,
                object=organization,
                before={"limit": number} if number % 3 else None,
                after={"limit": number + 0.5, "name": 'Ünï "cöde"'}
                if number % 3
                else None,
                reason="because\nof this" if number % 2 else "",
                approval_id=number or None,
            )

    all_at_once()


def receive(person: factories.Person, count: int) -> None:
    """Make receipts as if rows had come in, and seal them."""
    version = factories.make_version(person)
    moment = datetime(2025, 1, 31, tzinfo=UTC)
    for number in range(count):
        Receipt.objects.create(
            organization=person.organization,
            kind=Receipt.Kind.PREDICTIONS,
            channel=Receipt.Channel.HTTP,
            model=version.model,
            version=version,
            rows=number + 1,
            first_id=version.model.receipts.model().pk,
            last_id=version.model.receipts.model().pk,
            first_event=moment,
            last_event=moment,
            digest=bytes([number]) * 32,
            merkle_root=bytes([number + 1]) * 32,
        )
    seals.seal(person.organization, actor=None)


def make_trail() -> factories.Person:
    """Make a trail with checkpoints, an erasure, a seal and a rotation of the key."""
    alice = factories.make_alice()
    organization = alice.organization
    say(organization, 5)
    sign(organization)
    say(organization, 4)
    receive(alice, 3)
    sign(organization)
    erasure.erase(organization, [6, 7, 8], actor=None, reason=REASON)
    say(organization, 3)
    sign(organization)
    say(organization, 3)
    return alice


def sign(organization: Organization) -> str:
    """Sign a checkpoint and copy it outside; return its text."""
    made = checkpoints.sign(organization)
    assert made is not None
    assert copies.bring_up_to_date(organization)
    return made.note


def bundle_of(organization: Organization) -> bytes:
    return b"".join(bundles.export(organization, actor=None))


def unpacked(bundle: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(bundle)) as file:
        return {name: file.read(name) for name in file.namelist()}


def packed(files: dict[str, bytes]) -> bytes:
    """Pack files in the form of a bundle, whatever they hold."""
    writer = archive.Writer()
    pieces = [
        b"".join(writer.file(name, [files[name]])) for name in dg_verify.NAMES[:-2]
    ]
    pieces += [writer.plain(name, files[name]) for name in dg_verify.NAMES[-2:]]
    return b"".join([*pieces, writer.end()])


def resealed(files: dict[str, bytes]) -> dict[str, bytes]:
    """Return the files under a new manifest, signed by the installation's own key.

    So does an insider who changes the database and then exports it.
    """
    writer = archive.Writer()
    for name in dg_verify.NAMES[:-2]:
        list(writer.file(name, [files[name]]))
    manifest = dg_verify.read_json(files[dg_verify.MANIFEST])
    manifest |= {"files": writer.contents, "packed": writer.packed}
    said = dg_verify.canonical(manifest)
    return {**files, dg_verify.MANIFEST: said, dg_verify.SIGNATURE: bundles.seal(said)}


class Files:
    """A bundle that is neither in a file nor in a directory."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files

    def chunks(self, name: str) -> Iterator[bytes]:
        if name not in self.files:
            raise dg_verify.Incomplete(f"{name} is missing")
        yield self.files[name]


def verify(
    bundle: bytes | dict[str, bytes],
    *notes: str,
    keys: list[bytes] | None = None,
) -> dg_verify.Report:
    """Verify a bundle, trusting the installation's keys unless others are named."""
    source = (
        Files(bundle)
        if isinstance(bundle, dict)
        else dg_verify.Archive(io.BytesIO(bundle))
    )
    read = [dg_verify.read_note(note) for note in notes]
    return dg_verify.verify(
        source,
        trusted_keys=[key.raw for key in signing.public_keys()]
        if keys is None
        else keys,
        trusted_notes=[note for note in read if note is not None],
    )


Found = tuple[str, int | None, int | None]


def found_in(run: Callable[[], object]) -> Found:
    """Return what a verification says: its result, and the first and last bad entry."""
    try:
        run()
    except dg_verify.Tampered as found:
        return "tampered", found.seq, found.last or found.seq
    except dg_verify.Incomplete:
        return "incomplete", None, None
    return "intact", None, None


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def tamper(statement: str, *parameters: object) -> None:
    """Do what only somebody who rules the database can."""
    cursor = connection.cursor()
    cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    cursor.execute("SET LOCAL ROLE NONE")
    for table in ("auditentry", "auditpayload", "audithead", "checkpoint", "audittile"):
        cursor.execute(f"ALTER TABLE governance_{table} DISABLE TRIGGER USER")
    cursor.execute(statement, parameters)
    cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    cursor.execute("SET LOCAL ROLE driftguard_app")
