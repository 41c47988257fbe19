"""A database that was restored from a backup: what its trail lost is acknowledged.

The copies outside say that there was more. That looks like a trail that was cut off,
and no checkpoint is signed any more, until somebody says that it was a restore: then
the entry that says so names what is missing, and the copies of that are set aside, not
deleted.
"""

from __future__ import annotations

from governance import notes
from governance.actions import checkpoints, copies, trees, verification
from governance.actions.audit import Actor, deed, record
from governance.exceptions import ConflictError, InvalidError, fault
from governance.models import AuditHead, Organization


def acknowledge(
    organization: Organization, *, reason: str, actor: Actor | None
) -> notes.Statement:
    """Say that a trail was cut off by a restore; return what was the last known of it.

    1. The trail has to be intact as far as it goes. 2. An entry says what is missing.
    3. The copies outside are set aside. 4. A checkpoint is signed and copied anew.
    A step that was cut off is done again. Raises ConflictError if nothing is missing,
    if what is left was tampered with, or if a place can't be written to.
    """
    if not reason.strip():
        raise InvalidError(
            errors=[fault("reason", code="missing", detail="say what was restored")]
        )
    lost = _lost(organization)
    found = verification.examine(organization, whole=True, outside=False)
    if not found.is_intact:
        raise ConflictError(
            f"What is left of the trail is {found.result}: {found.why} "
            "Restore another backup."
        )
    _remember(organization, lost, reason=reason, actor=actor)
    copies.set_aside(organization, f"lost-{lost.root.hex()[:16]}")
    checkpoints.sign(organization)
    copies.bring_up_to_date(organization)
    return lost


def _lost(organization: Organization) -> notes.Statement:
    """Return the largest checkpoint outside that the trail does not go on from."""
    head = AuditHead.objects.filter(pk=organization.pk).first()
    size = head.seq if head else 0
    trees.grow(organization, size)
    lost = [
        one
        for one in copies.newest(organization)
        if one.size > size or trees.root(organization, one.size) != one.root
    ]
    if not lost:
        raise ConflictError(
            f"Nothing is missing: the trail of {organization.slug} goes on from every "
            "copy outside."
        )
    return max(lost, key=lambda one: one.size)


@deed
def _remember(
    organization: Organization,
    lost: notes.Statement,
    *,
    reason: str,
    actor: Actor | None,
) -> None:
    head = AuditHead.objects.filter(pk=organization.pk).first()
    record(
        organization,
        actor=actor,
        action="trail.restored",
        object=organization,
        reason=reason,
        facts={
            "entries": head.seq if head else 0,
            "lost_size": lost.size,
            "lost_root": lost.root.hex(),
            "lost_at": lost.at.isoformat(),
        },
    )
