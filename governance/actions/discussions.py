"""The discussion of a request: questions and answers that are no votes."""

from __future__ import annotations

from governance.actions import authority, endings
from governance.actions.audit import Actor, deed, record
from governance.actions.registry import author_of
from governance.exceptions import InvalidError, fault
from governance.models import ApprovalComment, ApprovalRequest, Membership

Role = Membership.Role
# An auditor reads, and changes nothing.
MAY_COMMENT = tuple(role for role in Role if role != Role.AUDITOR)
ACTION = "approval.commented"


@deed
def comment(request: ApprovalRequest, *, text: str, actor: Actor) -> ApprovalComment:
    """Add to the discussion of a request; that goes on after it is decided.

    Whoever asked for it and whoever may vote now are told. Raises InvalidError for a
    text that says nothing.
    """
    if actor.type == "user":
        authority.require_role(request, MAY_COMMENT, action=ACTION, actor=actor)
    if not text.strip():
        raise InvalidError(
            errors=[fault("text", code="missing", detail="write something")]
        )
    made = ApprovalComment.objects.create(
        organization_id=request.organization_id,
        request=request,
        author_id=author_of(actor),
        author_label=actor.label[:300],
        text=text.strip(),
    )
    record(
        request.organization_id,
        actor=actor,
        action=ACTION,
        object=request,
        after={"comment": made.pk, "text": made.text},
        approval_id=request.pk,
    )
    stage = request.stages.filter(number=request.stage).first()
    asked = stage.approvers.values_list("user", flat=True) if stage else ()
    endings.tell(
        request,
        f"{made.author_label} wrote about {request}",
        event="commented",
        people={request.requested_by_id, *asked} - {made.author_id},
        comment=made.pk,
    )
    return made
