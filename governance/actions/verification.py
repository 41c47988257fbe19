"""Verifying a trail in the house, by the very program that auditors use.

It is packed as a bundle and read back by `dg_verify`, against the installation's keys
and the checkpoints that were copied outside.
"""

from __future__ import annotations

import logging
import tempfile
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from governance import signing
from governance.actions import bundles, checkpoints, copies
from governance.actions.audit import Actor, Outcome, deed, record
from governance.exceptions import TrailBrokenError
from governance.models import AuditEntry, Organization
from governance.verify import dg_verify

logger = logging.getLogger(__name__)

ACTION = "audit.verified"
EVERY = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Finding:
    """What a verification came to."""

    result: str  # intact, tampered or incomplete
    why: str = ""
    entries: int = 0
    first_bad_seq: int | None = None

    @property
    def is_intact(self) -> bool:
        """Whether everything is as it was recorded."""
        return self.result == "intact"


def examine(organization: Organization, *, whole: bool = False) -> Finding:
    """Verify a trail up to its newest checkpoint; changes nothing.

    `whole` looks at the entries after that too, which nobody has signed yet.
    """
    with tempfile.TemporaryFile(dir=settings.DATA_DIR) as file:
        for piece in bundles.packed(organization, with_receipts=True, whole=whole):
            file.write(piece)
        try:
            report = dg_verify.verify(
                dg_verify.Archive(file),
                trusted_keys=[key.raw for key in signing.public_keys()],
                trusted_notes=_kept(organization),
            )
        except dg_verify.Tampered as found:
            return Finding("tampered", str(found), first_bad_seq=found.seq)
        except dg_verify.Uncovered as found:
            result = "intact" if whole else "incomplete"
            return Finding(result, str(found))
        except (dg_verify.Incomplete, dg_verify.Usage) as found:
            return Finding("incomplete", str(found))
    return Finding("intact", entries=report.entries)


def _kept(organization: Organization) -> list[dg_verify.Note]:
    """Return what the copies outside say: the last of each day, of each place."""
    read = map(dg_verify.read_note, copies.last_of_each_day(organization))
    return [note for note in read if note is not None]


def verify(organization: Organization, *, actor: Actor | None) -> Finding:
    """Verify a trail up to now, and remember what came of it."""
    try:
        checkpoints.sign(organization)
        copies.bring_up_to_date(organization)
    except TrailBrokenError as error:
        logger.error("The trail of %s: %s", organization.slug, error)
    found = examine(organization)
    if not found.is_intact:
        logger.error("The trail of %s: %s", organization.slug, found.why)
    _remember(organization, found, actor=actor)
    return found


@deed
def _remember(
    organization: Organization, found: Finding, *, actor: Actor | None
) -> None:
    record(
        organization,
        actor=actor,
        action=ACTION,
        object=organization,
        outcome=Outcome.DONE if found.is_intact else Outcome.FAILED,
        reason=found.why,
        facts={
            "result": found.result,
            "entries": found.entries,
            "first_bad_seq": found.first_bad_seq,
        },
    )


def verify_due() -> None:
    """Verify the trails that have not been for a day."""
    for organization in Organization.objects.order_by("pk"):
        last = last_run(organization)
        if last is None or last.at < timezone.now() - EVERY:
            verify(organization, actor=None)


def last_run(organization: Organization) -> AuditEntry | None:
    """Return the entry about the newest verification."""
    entries = AuditEntry.objects.for_organization(organization)
    found: AuditEntry | None = entries.filter(action=ACTION).order_by("-seq").first()
    return found
