"""What applying an approved request does: one function for each kind."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from django.utils import timezone

from governance.actions import (
    approvals,
    changes,
    endings,
    policies,
    quorums,
    registry,
    retirement,
    subjects,
)
from governance.actions.audit import Actor, deed, record
from governance.decision import Effect, Level, Verdict
from governance.decision import Status as Health
from governance.exceptions import (
    AlreadyDecidedError,
    ExpiredError,
    NotYetError,
    StaleError,
)
from governance.models import (
    ApprovalRequest,
    ApprovedSubject,
    Assessment,
    GovernanceStatus,
    ModelVersion,
)

Kind = ApprovalRequest.Kind
Status = ApprovalRequest.Status
Effects = Callable[[ApprovalRequest, Actor | None], None]


@deed
def conclude(request: ApprovalRequest, *, actor: Actor | None) -> ApprovalRequest:
    """Note that a locked request has all it needs, and apply it if that can be.

    If not, it stays approved, and says what it waits for.
    """
    request.status = Status.APPROVED
    request.decided_at = timezone.now()
    request.save(update_fields=["status", "decided_at"])
    record(
        request.organization_id,
        actor=actor,
        action="approval.approved",
        object=request,
        reason="" if request.auto_approval is None else "low risk, as the policy says",
        after={"status": request.status, "auto_approval": request.auto_approval},
        policy_version=request.policy_version_id,
        approval_id=request.pk,
    )
    endings.tell(request, f"{request.label}: approved")
    try:
        return apply(request, actor=actor)
    except NotYetError as error:
        request.outcome = error.detail
        request.save(update_fields=["outcome"])
        return request


@deed
def apply(request: ApprovalRequest, *, actor: Actor | None) -> ApprovalRequest:
    """Do what an approved request asks for.

    Everything is checked once more, under lock: it is approved, its time isn't over,
    the subject is as it was, the votes still count, and what its kind adds. Raises
    AlreadyDecidedError, ExpiredError, StaleError, or NotYetError if it may be tried
    again later.
    """
    request = endings.locked(request)
    if request.status != Status.APPROVED:
        word = request.get_status_display().lower()
        raise AlreadyDecidedError(f"The request is {word}.")
    if request.expires_at <= timezone.now():
        raise ExpiredError("The request has expired.")
    if changed := endings.changes_of(request):
        raise StaleError(
            endings.stale_sentence(changed),
            extra={"difference": [one.to_json() for one in changed]},
        )
    if lacking := quorums.shortfalls(request):
        raise StaleError(" ".join(lacking))
    EFFECTS[Kind(request.kind)](request, actor)
    request.status, request.applied_at = Status.APPLIED, timezone.now()
    request.outcome = ""
    request.save(update_fields=["status", "applied_at", "outcome"])
    record(
        request.organization_id,
        actor=actor,
        action="approval.applied",
        object=request,
        after={"kind": request.kind, "proposal": request.proposal},
        policy_version=request.policy_version_id,
        approval_id=request.pk,
    )
    return request


def _approve_version(request: ApprovalRequest, actor: Actor | None) -> None:
    version = request.version
    if version is None:
        raise NotYetError
    _require_health(version)
    ApprovedSubject.objects.create(
        organization_id=request.organization_id,
        version=version,
        request=request,
        subject=request.subject,
        digest=request.digest,
    )
    registry.note_approval(version, actor=actor)


def _require_health(version: ModelVersion) -> None:
    """Refuse while the newest evaluation blocks by what no override may pass."""
    assessment = Assessment.objects.filter(version=version).first()
    if assessment is None or assessment.status != GovernanceStatus.BLOCKED:
        return
    verdict = Verdict.from_json(assessment.verdict)
    blocking = [rule for rule in verdict.failed if rule.effect is Effect.BLOCK]
    is_hard = any(rule.level is Level.HARD for rule in blocking)
    if is_hard or verdict.band is Health.BLOCKED:
        raise NotYetError(
            f"{version} is blocked by its newest evaluation: "
            f"{' '.join(assessment.reasons[:3])}"
        )


def _change(request: ApprovalRequest, actor: Actor | None) -> None:
    """Apply the changes; what was approved stays approved, as it is then."""
    model = request.model
    if model is None:
        raise NotYetError
    approved = ModelVersion.objects.filter(
        model=model, status__in=registry.APPROVED
    ).select_related("model")
    valid = [
        found for version in approved if (found := _valid_subject(version)) is not None
    ]
    changes.apply(request, actor=actor)
    for before in valid:
        version = ModelVersion.objects.select_related("model").get(pk=before.version_id)
        subject = subjects.of_version(version, before.request.evidence)
        digest = subjects.digest_of(subject)
        if digest != before.digest:
            ApprovedSubject.objects.create(
                organization_id=request.organization_id,
                version=version,
                request=before.request,
                change=request,
                subject=subject,
                digest=digest,
            )


def _valid_subject(version: ModelVersion) -> ApprovedSubject | None:
    if not approvals.standing(version).is_valid:
        return None
    found: ApprovedSubject | None = version.approved_subjects.select_related(
        "request__evidence"
    ).first()
    return found


def _publish(request: ApprovalRequest, actor: Actor | None) -> None:
    draft, wanted = request.draft, request.proposal.get("effective_at")
    if draft is None:
        raise NotYetError
    if wanted is not None and datetime.fromisoformat(wanted) > timezone.now():
        raise NotYetError(f"It takes effect at {wanted}.")
    policies.activate(draft, actor=actor)
    endings.void_stale(request.organization_id, model_id=None, actor=None)


def _retire(request: ApprovalRequest, actor: Actor | None) -> None:
    """Retire the model: nothing of it is on its way into production any more."""
    if request.model is None:
        raise NotYetError
    retirement.retire(request.model, under=request, actor=actor)


EFFECTS: dict[Kind, Effects] = {
    Kind.DEPLOY: _approve_version,
    Kind.CHANGE: _change,
    Kind.POLICY: _publish,
    Kind.RETIRE: _retire,
}
