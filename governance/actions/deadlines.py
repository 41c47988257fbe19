"""What happens to requests as time passes; swept by beat."""

from __future__ import annotations

import logging

from django.utils import timezone

from governance.actions import effects, endings
from governance.actions.audit import Actor, deed, record
from governance.exceptions import ConflictError, ExpiredError, NotYetError
from governance.models import ApprovalRequest, ApprovalStage, Membership

logger = logging.getLogger(__name__)
Status = ApprovalRequest.Status


def sweep(*, actor: Actor | None = None) -> dict[str, int]:
    """Expire, void, apply and escalate what is due; return how many of each.

    Each request is a deed of its own. One that another process holds or has decided
    meanwhile is left for the next time.
    """
    now = timezone.now()
    requests = ApprovalRequest.objects.all()
    expired = [one for one in requests.overdue(now) if endings.expire(one, actor=actor)]
    stale = [one for one in requests.open() if endings.make_stale(one, actor=actor)]
    applied = [one for one in requests.approved() if _try(one, actor=actor)]
    late = ApprovalStage.objects.late(now).select_related("request")
    told = [stage for stage in late if escalate(stage, actor=actor)]
    return {
        "expired": len(expired),
        "stale": len(stale),
        "applied": len(applied),
        "escalated": len(told),
    }


def _try(request: ApprovalRequest, *, actor: Actor | None) -> bool:
    """Apply an approved request if nothing speaks against it any more."""
    try:
        effects.apply(request, actor=actor)
    except (NotYetError, ExpiredError):
        return False
    except ConflictError as error:
        logger.info("Request %s is not applied: %s", request.pk, error)
        return False
    return True


@deed
def escalate(stage: ApprovalStage, *, actor: Actor | None) -> bool:
    """Tell those whom the policy names that a stage's time is over; once only."""
    request = endings.locked(stage.request)
    stage = ApprovalStage.objects.get(pk=stage.pk)
    is_due = (
        request.status == Status.PENDING
        and request.stage == stage.number
        and stage.escalated_at is None
        and stage.due_at is not None
        and stage.due_at <= timezone.now()
    )
    if not is_due:
        return False
    stage.escalated_at = timezone.now()
    stage.save(update_fields=["escalated_at"])
    people = Membership.objects.for_organization(request.organization_id).in_effect()
    told = set(people.filter(role=stage.escalate_to).values_list("user", flat=True))
    told |= set(stage.approvers.values_list("user", flat=True))
    endings.tell(
        request,
        f"Overdue since {stage.due_at:%Y-%m-%d %H:%M} UTC: {request}, {stage}",
        event="overdue",
        people=told,
    )
    record(
        request.organization_id,
        actor=actor,
        action="approval.escalated",
        object=request,
        after={"stage": str(stage), "due_at": stage.due_at, "to": stage.escalate_to},
        policy_version=request.policy_version_id,
        approval_id=request.pk,
    )
    return True
