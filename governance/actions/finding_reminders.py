"""What nobody does anything about is told again, and not to its owner alone."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial

from django.db.models import Q
from django.utils import timezone

from governance.actions import finding_actions, rounds
from governance.actions.audit import Actor, deed, record
from governance.models import Finding, FindingAction, Membership, Notification

# A critical finding that nobody has begun with by then is told to the officers.
UNATTENDED_AFTER = timedelta(hours=24)
AGAIN_AFTER = timedelta(days=7)
# Told to the owner of the finding, and to everybody with one of these roles.
TOLD = (Membership.Role.OWNER, Membership.Role.COMPLIANCE_OFFICER)
MOST_AT_ONCE = 200


def remind_due(now: datetime | None = None) -> int:
    """Tell of findings that are overdue or unattended, and of acceptances that end.

    Returns how many were told; what is left over waits for the next round.
    """
    now = now or timezone.now()
    waiting = Finding.objects.filter(
        Q(reminded_at=None) | Q(reminded_at__lte=now - AGAIN_AFTER)
    )
    told = sum(
        rounds.over(
            found.order_by("due_at", "pk")[:MOST_AT_ONCE],
            partial(remind, event=event, actor=None),
        )
        for event, found in (
            ("finding.overdue", waiting.overdue(now)),
            ("finding.unattended", waiting.unattended(now - UNATTENDED_AFTER)),
        )
    )
    ended = FindingAction.objects.filter(
        kind=FindingAction.Kind.ACCEPT_RISK,
        status=FindingAction.Status.DONE,
        until__lte=now,
        ended_at=None,
    ).select_related("finding__version")
    ends = partial(finding_actions.end_acceptance, actor=None)
    return told + rounds.over(ended[:MOST_AT_ONCE], ends)


@deed
def remind(finding: Finding, *, event: str, actor: Actor | None) -> bool:
    """Tell of a finding; false if another process has just told of it, or closed it."""
    now = timezone.now()
    told = (
        Finding.objects.not_closed()
        .filter(pk=finding.pk)
        .filter(Q(reminded_at=None) | Q(reminded_at__lte=now - AGAIN_AFTER))
        .update(reminded_at=now)
    )
    if not told:
        return False
    words = event.rpartition(".")[2]
    payload = {
        "finding": finding.pk,
        "model": finding.version.model.name,
        "version": finding.version.version,
        "severity": finding.severity,
        "status": finding.status,
        "owner": finding.owner.email if finding.owner else None,
        "due_at": finding.due_at.isoformat() if finding.due_at else None,
        "roles": [str(role) for role in TOLD],
    }
    Notification.objects.create(
        organization_id=finding.organization_id,
        event=event,
        version=finding.version,
        subject=f"A finding is {words}: {finding.title}"[:500],
        payload=payload,
    )
    record(
        finding.organization_id,
        actor=actor,
        action=event,
        object=finding,
        after=payload,
    )
    return True
