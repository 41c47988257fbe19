"""Verifying a trail in the house, by the very program that auditors use.

It is packed as a bundle and read back by `dg_verify`, against the installation's keys
and the checkpoints that were copied outside.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db import connection
from django.utils import timezone

from governance import signing
from governance.actions import bundles, checkpoints, copies, findings
from governance.actions.audit import Actor, Outcome, deed, record
from governance.exceptions import TrailBrokenError
from governance.models import (
    AuditEntry,
    Deployment,
    ModelVersion,
    Notification,
    Organization,
)
from governance.models import Finding as Open
from governance.verify import dg_verify

logger = logging.getLogger(__name__)

ACTION = "audit.verified"
EVERY = timedelta(hours=24)
# One finding, however often it is seen.
CAUSE = "audit:tampered"
_LOCK_CLASS = 0x44475652


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


def examine(
    organization: Organization, *, whole: bool = False, outside: bool = True
) -> Finding:
    """Verify a trail up to its newest checkpoint; changes nothing.

    `whole` looks at the entries after that too, which nobody has signed yet; without
    `outside` the copies of checkpoints there aren't asked.
    """
    with tempfile.TemporaryFile(dir=settings.DATA_DIR) as file:
        for piece in bundles.packed(organization, with_receipts=True, whole=whole):
            file.write(piece)
        try:
            report = dg_verify.verify(
                dg_verify.Archive(file),
                trusted_keys=[key.raw for key in signing.public_keys()],
                trusted_notes=_kept(organization) if outside else [],
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
    if found.result == "tampered":
        _alarm(organization, found)
    return found


@deed
def _alarm(organization: Organization, found: Finding) -> None:
    """Open a critical finding, once while it isn't closed, and tell of it.

    A finding belongs to a version: what is at stake is what has been approved and
    deployed longest, so that it stands there, and closes that gate.
    """
    title = f"The audit trail was tampered with: {found.why}"[:500]
    about = {"first_bad_seq": found.first_bad_seq, "why": found.why}
    version = _most_at_stake(organization)
    if version is not None:
        opened = findings.open_finding(
            version,
            cause=CAUSE,
            severity=Open.Severity.CRITICAL,
            title=title,
            detail=about,
            actor=None,
        )
        if opened.occurrences > 1:
            return
    # Where there is no version yet, it is the message that is there once.
    Notification.objects.get_or_create(
        organization=organization,
        event="audit.tampered",
        version=version,
        payload=about,
        defaults={"subject": title},
    )


def _most_at_stake(organization: Organization) -> ModelVersion | None:
    open_one = (
        Open.objects.for_organization(organization)
        .not_closed()
        .filter(cause=CAUSE)
        .select_related("version__model")
        .first()
    )
    if open_one is not None:
        return open_one.version
    live = Deployment.objects.live().for_organization(organization)
    oldest = live.order_by("started_at", "pk").select_related("version__model").first()
    if oldest is not None:
        return oldest.version
    versions = ModelVersion.objects.for_organization(organization)
    return versions.select_related("model").order_by("pk").first()


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
    """Verify the trails that have not been for a day, each by one worker."""
    for organization in Organization.objects.order_by("pk"):
        if not _is_due(organization):
            continue
        with _mine(organization) as is_mine:
            # Another worker may have done it since.
            if is_mine and _is_due(organization):
                verify(organization, actor=None)


def _is_due(organization: Organization) -> bool:
    last = last_run(organization)
    return last is None or last.at < timezone.now() - EVERY


@contextmanager
def _mine(organization: Organization) -> Iterator[bool]:
    """Try to be the only one who verifies a trail; whoever isn't doesn't wait.

    The lock is the session's, as the work takes several transactions; it goes with the
    connection if this process dies.
    """
    key = [_LOCK_CLASS, organization.pk % 2**31]
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", key)
        [is_mine] = cursor.fetchone()
    try:
        yield is_mine
    finally:
        if is_mine:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s, %s)", key)


def last_run(organization: Organization) -> AuditEntry | None:
    """Return the entry about the newest verification."""
    entries = AuditEntry.objects.for_organization(organization)
    found: AuditEntry | None = entries.filter(action=ACTION).order_by("-seq").first()
    return found
