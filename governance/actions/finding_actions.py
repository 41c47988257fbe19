"""What is said, linked, asked for and declared about a finding."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.utils import timezone

from governance.actions import authority
from governance.actions.audit import Actor, deed, plain, record
from governance.actions.findings import CLOSERS, WORKERS
from governance.actions.registry import author_of
from governance.exceptions import (
    AlreadyExistsError,
    ConflictError,
    InvalidError,
    fault,
)
from governance.models import (
    Evidence,
    Finding,
    FindingAction,
    FindingComment,
    FindingLink,
    Membership,
    ModelVersion,
    Notification,
    Remediation,
)

Kind = FindingAction.Kind
Status = FindingAction.Status
# Nobody accepts a risk for longer than a year: then it is looked at again.
LONGEST_ACCEPTANCE = timedelta(days=366)
DECLARERS = (Membership.Role.OWNER, Membership.Role.MODEL_OWNER)


@deed
def comment(finding: Finding, *, text: str, actor: Actor) -> FindingComment:
    """Add to the discussion of a finding; that goes on after it is closed."""
    made = FindingComment.objects.create(
        organization_id=finding.organization_id,
        finding=finding,
        author_id=author_of(actor),
        author_label=actor.label,
        text=text.strip(),
    )
    record(
        finding.organization_id,
        actor=actor,
        action="finding.commented",
        object=finding,
        after={"comment": made.pk, "text": made.text},
    )
    return made


@deed
def link(
    finding: Finding,
    *,
    evidence: Evidence | None = None,
    reference: str = "",
    note: str = "",
    actor: Actor,
) -> FindingLink:
    """Link what a finding rests on: evidence of the same model, or an address.

    Raises InvalidError for neither of them, or for another model's evidence.
    """
    if evidence is None and not reference.strip():
        detail = "name the evidence, or where to find it"
        raise InvalidError(errors=[fault("reference", code="missing", detail=detail)])
    model_id = finding.version.model_id
    if evidence is not None and evidence.version.model_id != model_id:
        detail = "is about another model"
        raise InvalidError(errors=[fault("evidence_id", code="other", detail=detail)])
    made = FindingLink.objects.create(
        organization_id=finding.organization_id,
        finding=finding,
        evidence=evidence,
        reference=reference.strip(),
        note=note.strip(),
        added_by_id=author_of(actor),
        added_label=actor.label,
    )
    record(
        finding.organization_id,
        actor=actor,
        action="finding.linked",
        object=finding,
        after={
            "evidence": made.evidence_id,
            "digest": evidence.digest if evidence else None,
            "reference": made.reference,
            "note": made.note,
        },
    )
    return made


@deed
def request(
    finding: Finding,
    *,
    kind: str,
    note: str,
    until: datetime | None = None,
    actor: Actor,
) -> FindingAction:
    """Ask for the model to be retrained, restricted, or its risk to be accepted.

    Accepting a risk needs a date, at most a year away, and a second person to agree.
    Raises ConflictError once the finding is closed.
    """
    action = "finding.action_requested"
    authority.require_role(finding, WORKERS, action=action, actor=actor)
    finding = Finding.objects.select_for_update(of=("self",)).get(pk=finding.pk)
    if finding.is_closed:
        raise ConflictError("The finding is closed.")
    _check_until(Kind(kind), until)
    made = FindingAction.objects.create(
        organization_id=finding.organization_id,
        finding=finding,
        kind=Kind(kind),
        note=note.strip(),
        until=until,
        requested_by_id=author_of(actor),
        requested_label=actor.label,
    )
    record(
        finding.organization_id,
        actor=actor,
        action=action,
        object=finding,
        after={"action": made.pk, "kind": kind, "until": until},
        reason=made.note,
    )
    return made


def _check_until(kind: Kind, until: datetime | None) -> None:
    detail = ""
    now = timezone.now()
    if until is None:
        detail = "until when?" if kind == Kind.ACCEPT_RISK else ""
    elif until <= now:
        detail = "has passed"
    elif kind == Kind.ACCEPT_RISK and until > now + LONGEST_ACCEPTANCE:
        detail = f"at most {LONGEST_ACCEPTANCE.days} days from now"
    if detail:
        raise InvalidError(errors=[fault("until", code="range", detail=detail)])


@deed
def decide(
    action: FindingAction, *, done: bool, reason: str, actor: Actor
) -> FindingAction:
    """Say that an action was done, or is declined; of a risk: accept it, or don't.

    A risk is accepted by a compliance officer who has just shown who they are, and who
    didn't ask for it. Raises ConflictError if it was decided before, or its date has
    passed.
    """
    action = (
        FindingAction.objects.select_for_update(of=("self",))
        .select_related("finding")
        .get(pk=action.pk)
    )
    _check_decider(action, done=done, actor=actor)
    if action.status != Status.REQUESTED:
        raise ConflictError(f"It is {action.get_status_display().lower()} already.")
    if action.finding.is_closed:
        raise ConflictError("The finding is closed.")
    if done and action.until is not None and action.until <= timezone.now():
        raise ConflictError("Its date has passed; ask for it again.")
    if not reason.strip():
        raise InvalidError(errors=[fault("reason", code="missing", detail="say why")])
    action.status = Status.DONE if done else Status.DECLINED
    action.decided_by_id = author_of(actor)
    action.decided_label = actor.label
    action.decided_at = timezone.now()
    action.decision = reason.strip()
    action.save(
        update_fields=[
            "status",
            "decided_by",
            "decided_label",
            "decided_at",
            "decision",
        ]
    )
    record(
        action.organization_id,
        actor=actor,
        action="finding.action_decided",
        object=action.finding,
        before={"status": Status.REQUESTED.value},
        after={
            "action": action.pk,
            "kind": action.kind,
            "status": action.status,
            "until": action.until,
        },
        reason=action.decision,
    )
    return action


def _check_decider(action: FindingAction, *, done: bool, actor: Actor) -> None:
    name = "finding.action_decided"
    if action.kind != Kind.ACCEPT_RISK:
        authority.require_role(action, WORKERS, action=name, actor=actor)
        return
    authority.require_role(action, CLOSERS, action=name, actor=actor)
    people = {action.requested_by_id}
    authority.require_another(action, people, action=name, actor=actor)
    if done:
        authority.require_confirmation(action, action=name, actor=actor)


@deed
def end_acceptance(action: FindingAction, *, actor: Actor | None) -> bool:
    """Tell, once, that a risk is no longer accepted; false if it was told before.

    The gate has counted the finding again since the moment itself.
    """
    now = timezone.now()
    ended = FindingAction.objects.filter(
        pk=action.pk,
        kind=Kind.ACCEPT_RISK,
        status=Status.DONE,
        until__lte=now,
        ended_at=None,
    ).update(ended_at=now)
    if not ended:
        return False
    finding = action.finding
    record(
        finding.organization_id,
        actor=actor,
        action="finding.acceptance_ended",
        object=finding,
        after={"action": action.pk, "until": action.until},
    )
    if not finding.is_closed:
        Notification.objects.create(
            organization_id=finding.organization_id,
            event="finding.acceptance_ended",
            version=finding.version,
            subject=f"The risk is no longer accepted: {finding.title}"[:500],
            payload=plain({"finding": finding.pk, "until": action.until}),
        )
    return True


@deed
def declare_remediated(
    finding: Finding, *, version: ModelVersion, reason: str, actor: Actor
) -> Remediation:
    """Declare that another version of the model doesn't have what was found.

    The finding then doesn't stand in that version's way. Needs the role owner or model
    owner; raises AlreadyExistsError the second time.
    """
    action = "finding.remediation_declared"
    authority.require_role(finding, DECLARERS, action=action, actor=actor)
    if version.model_id != finding.version.model_id or version == finding.version:
        detail = "has to be another version of the same model"
        raise InvalidError(errors=[fault("version", code="other", detail=detail)])
    if not reason.strip():
        raise InvalidError(errors=[fault("reason", code="missing", detail="say why")])
    try:
        with transaction.atomic():
            made = Remediation.objects.create(
                organization_id=finding.organization_id,
                finding=finding,
                version=version,
                reason=reason.strip(),
                declared_by_id=author_of(actor),
                declared_label=actor.label,
            )
    except IntegrityError:
        raise AlreadyExistsError("It was declared before.") from None
    record(
        finding.organization_id,
        actor=actor,
        action=action,
        object=finding,
        after={"version": version.version},
        reason=made.reason,
    )
    return made
