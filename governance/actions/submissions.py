"""Asking for an approval: the subject is bound, the first stage opens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from governance.actions import (
    approvals,
    authority,
    backtests,
    changes,
    effects,
    endings,
    low_risk,
    policies,
    quorums,
    subjects,
)
from governance.actions.audit import Actor, deed, record
from governance.decision import Stage
from governance.exceptions import (
    AlreadyExistsError,
    ConflictError,
    InvalidError,
    PermissionDeniedError,
    QuorumUnreachableError,
    fault,
)
from governance.models import (
    ApprovalRequest,
    ApprovalStage,
    Assessment,
    Evidence,
    Membership,
    ModelVersion,
    PolicyVersion,
    RegisteredModel,
    StageApprover,
)

Kind = ApprovalRequest.Kind
Role = Membership.Role
MAY_SUBMIT = (Role.OWNER, Role.MODEL_OWNER)
ACTION = "approval.requested"
FURTHEST = timedelta(days=366)  # how far ahead a policy may be decided
# Publishing a policy takes a second person; the policy itself can't say otherwise.
PUBLICATION = (Stage(role=Role.COMPLIANCE_OFFICER.value),)


@dataclass(frozen=True, slots=True)
class _Draft:
    """A request on its way: what it will be about, and who decides on it."""

    kind: Kind
    label: str
    subject: Mapping[str, Any]
    policy: PolicyVersion
    stages: tuple[Stage, ...]
    reason: str
    editors: frozenset[int]  # who made or last changed the subject
    row: Mapping[str, Any]  # the foreign keys of the subject
    proposal: Mapping[str, Any] = field(default_factory=dict)
    effective_at: datetime | None = None


@deed
def submit_version(
    version: ModelVersion,
    *,
    reason: str = "",
    evidence: Evidence | None = None,
    actor: Actor,
) -> ApprovalRequest:
    """Ask for a version to be approved as it is now.

    1. Lock the model and the version; it has to be one that still needs approval.
    2. Bind its fields, schema, baseline, policy and the evidence (the newest, unless
       one is given).
    3. Where the policy lets the system approve a low risk, it does so at once.
    4. Otherwise the first stage opens, with who may vote now.

    Raises ConflictError if it is approved or asked for already, and
    QuorumUnreachableError if too few others may vote.
    """
    version = approvals.lock(version)
    _require_submitter(version, actor)
    _check_state(version)
    evidence = _evidence_for(version, evidence)
    policy = policies.in_force_for(version.model)
    draft = _Draft(
        kind=Kind.DEPLOY,
        label=str(version),
        subject=subjects.of_version(version, evidence, policy),
        policy=policy,
        stages=policy.thresholds.controls.stages,
        reason=reason,
        editors=barred_from(version),
        row={"model": version.model, "version": version, "evidence": evidence},
    )
    granted = low_risk.grant(version, policy)
    request = _insert(draft, auto_approval=granted, actor=actor)
    if version.status in {ModelVersion.Status.DRAFT, ModelVersion.Status.REJECTED}:
        version.status = ModelVersion.Status.SUBMITTED
        version.save(update_fields=["status"])
    if granted is not None:
        return effects.conclude(request, actor=None)
    return request


@deed
def submit_change(
    model: RegisteredModel,
    *,
    version: ModelVersion | None = None,
    wanted: Mapping[str, Any],
    reason: str,
    actor: Actor,
) -> ApprovalRequest:
    """Ask for a change of what an approval rests on (see `changes.KINDS`).

    Raises InvalidError if a change is unknown or its value no good, or changes nothing.
    """
    subjects.lock(model.pk)
    model = RegisteredModel.objects.get(pk=model.pk)
    if version is not None:
        version = ModelVersion.objects.get(pk=version.pk, model=model)
    _require_submitter(model, actor)
    proposal = changes.read(model, version, wanted)
    policy = policies.in_force_for(model)
    editors = authority.editors_of(*([version] if version else []), model) | {
        model.owner_id
    }
    draft = _Draft(
        kind=Kind.CHANGE,
        label=f"{', '.join(proposal)} of {version or model}",
        subject=subjects.of_change(model, version, proposal),
        policy=policy,
        stages=policy.thresholds.controls.stages,
        reason=_required(reason),
        editors=editors | ({version.created_by_id} if version else set()),
        row={"model": model, "version": version},
        proposal=proposal,
    )
    return _insert(draft, actor=actor)


@deed
def submit_retirement(
    model: RegisteredModel, *, reason: str, actor: Actor
) -> ApprovalRequest:
    """Ask for a model to be retired for good. Raises ConflictError if it is."""
    subjects.lock(model.pk)
    model = RegisteredModel.objects.get(pk=model.pk)
    _require_submitter(model, actor)
    if model.retired_at is not None:
        raise ConflictError(f"{model} is retired already.")
    policy = policies.in_force_for(model)
    draft = _Draft(
        kind=Kind.RETIRE,
        label=str(model),
        subject=subjects.of_retirement(model),
        policy=policy,
        stages=policy.thresholds.controls.stages,
        reason=_required(reason),
        editors=authority.editors_of(model) | {model.owner_id},
        row={"model": model},
    )
    return _insert(draft, actor=actor)


@deed
def submit_publication(
    version: PolicyVersion,
    *,
    reason: str = "",
    effective_at: datetime | None = None,
    backtest: Mapping[str, Any] | None = None,
    actor: Actor,
) -> ApprovalRequest:
    """Ask for the draft of a policy to be published; a second person decides.

    `backtest` is attached. Raises ConflictError if it is no draft any more.
    """
    drafts = PolicyVersion.objects.select_for_update(of=("self",), no_key=True)
    version = drafts.select_related("policy").get(pk=version.pk)
    _require_person_or_key(version, policies.AUTHORS, actor)
    if version.status != PolicyVersion.Status.DRAFT:
        raise ConflictError(f"{version} is no draft: it is {version.status}.")
    _check_date(effective_at)
    proposal = {
        "effective_at": effective_at.isoformat() if effective_at else None,
        "backtest": dict(backtest) if backtest is not None else None,
        "backtest_digest": backtests.digest_of(backtest) if backtest else None,
    }
    draft = _Draft(
        kind=Kind.POLICY,
        label=str(version),
        subject=subjects.of_publication(version, proposal),
        policy=policies.default_of(version.organization_id),
        stages=PUBLICATION,
        reason=reason,
        editors=authority.editors_of(version)
        | ({version.created_by_id} if version.created_by_id else set()),
        row={"draft": version},
        proposal=proposal,
        effective_at=effective_at,
    )
    return _insert(draft, actor=actor)


def barred_from(version: ModelVersion) -> frozenset[int]:
    """Return who may not vote on a version's approval, besides whoever asks for it."""
    editors = authority.editors_of(version, version.model)
    return editors | {version.created_by_id, version.model.owner_id}


def _check_date(effective_at: datetime | None) -> None:
    now = timezone.now()
    if effective_at is not None and not now < effective_at < now + FURTHEST:
        detail = f"expected a moment within the next {FURTHEST.days} days"
        raise InvalidError(errors=[fault("effective_at", code="range", detail=detail)])


def _require_submitter(subject: ModelVersion | RegisteredModel, actor: Actor) -> None:
    _require_person_or_key(subject, MAY_SUBMIT, actor)


def _require_person_or_key(
    subject: ModelVersion | RegisteredModel | PolicyVersion,
    roles: Iterable[str],
    actor: Actor,
) -> None:
    """Refuse people without the role; a key was checked for its scope."""
    if actor.type == "user":
        authority.require_role(subject, roles, action=ACTION, actor=actor)


def _check_state(version: ModelVersion) -> None:
    if version.model.retired_at is not None:
        raise ConflictError(f"{version.model} is retired.")
    if version.status == ModelVersion.Status.UNREGISTERED:
        raise ConflictError(f"{version} has to be registered first.")
    open_one = version.requests.open().filter(kind=Kind.DEPLOY).first()
    if open_one is not None:
        raise AlreadyExistsError(
            f"Somebody has asked for {version} to be approved already.",
            extra={"request": open_one.pk},
        )
    if approvals.standing(version).is_valid:
        raise ConflictError(f"{version} is approved as it is now.")


def _evidence_for(version: ModelVersion, chosen: Evidence | None) -> Evidence | None:
    if chosen is None:
        assessment = Assessment.objects.filter(version=version).first()
        return assessment.evidence if assessment else None
    if chosen.version_id != version.pk:
        raise InvalidError(
            errors=[
                fault(
                    "evidence_id",
                    code="other_version",
                    detail=f"evidence {chosen.pk} is not about {version}",
                )
            ]
        )
    return chosen


def _required(reason: str) -> str:
    if not reason.strip():
        raise InvalidError(
            errors=[fault("reason", code="missing", detail="say why it is needed")]
        )
    return reason


def _insert(
    draft: _Draft,
    *,
    auto_approval: Mapping[str, Any] | None = None,
    actor: Actor,
) -> ApprovalRequest:
    """Store the request with its stages, and open the first unless it isn't needed."""
    if actor.user_id is None:
        raise PermissionDeniedError("A person or their key asks for an approval.")
    now = timezone.now()
    controls = draft.policy.thresholds.controls
    _refuse_second(draft)
    request = ApprovalRequest.objects.create(
        organization_id=draft.policy.organization_id,
        kind=draft.kind,
        label=draft.label[:500],
        proposal=dict(draft.proposal),
        reason=draft.reason,
        subject=dict(draft.subject),
        digest=subjects.digest_of(draft.subject),
        policy_version=draft.policy,
        requested_by_id=actor.user_id,
        requested_by_label=actor.label[:300],
        requested_with_id=int(actor.id) if actor.type == "api_key" else None,
        barred=sorted(draft.editors | authority.people_behind(actor)),
        auto_approval=auto_approval,
        submitted_at=now,
        expires_at=(draft.effective_at or now) + timedelta(days=controls.approval_days),
        **draft.row,
    )
    stages = [
        ApprovalStage.objects.create(
            organization_id=request.organization_id,
            request=request,
            number=number,
            role=stage.role,
            people=list(stage.people),
            quorum=stage.quorum,
            sla_hours=stage.sla_hours,
            escalate_to=stage.escalate_to,
        )
        for number, stage in enumerate(draft.stages, start=1)
    ]
    _remember(request, stages, actor=actor)
    if auto_approval is None:
        _require_reachable(request, stages)
        open_stage(request, stages[0], actor=actor)
    return request


def _refuse_second(draft: _Draft) -> None:
    """Refuse a second open request of the kind for the same subject."""
    names = ("model", "version", "draft")
    subject = {name: draft.row.get(name) for name in names}
    found = ApprovalRequest.objects.open().filter(kind=draft.kind, **subject).first()
    if found is not None:
        raise AlreadyExistsError(
            f"A request about {found.label} is open already.",
            extra={"request": found.pk},
        )


def _remember(
    request: ApprovalRequest, stages: Iterable[ApprovalStage], *, actor: Actor
) -> None:
    record(
        request.organization_id,
        actor=actor,
        action=ACTION,
        object=request,
        reason=request.reason,
        after={
            "kind": request.kind,
            "digest": request.digest,
            "proposal": request.proposal,
            "stages": [str(stage) for stage in stages],
            "evidence": request.evidence_id,
            "expires_at": request.expires_at,
        },
        policy_version=request.policy_version_id,
        approval_id=request.pk,
    )


def _require_reachable(
    request: ApprovalRequest, stages: Iterable[ApprovalStage]
) -> None:
    """Refuse stages whose quorums the people there are can't fill."""
    able = [
        (stage, set(quorums.voters(stage)).difference(request.barred))
        for stage in stages
    ]
    for stage, people in able:
        if len(people) < stage.quorum:
            raise QuorumUnreachableError(
                f"Stage {stage.number} needs {stage.quorum} of {stage.who}; "
                f"{len(people)} of them may vote on this.",
                extra={"stage": stage.number, "quorum": stage.quorum},
            )
    if not quorums.is_reachable((stage.quorum, people) for stage, people in able):
        raise QuorumUnreachableError(
            "Nobody votes in two stages, and there are not enough different people."
        )


def open_stage(
    request: ApprovalRequest, stage: ApprovalStage, *, actor: Actor | None
) -> None:
    """Open a stage: its clock starts, and who may vote now is who may vote at all."""
    now = timezone.now()
    stage.opened_at = now
    stage.due_at = now + timedelta(hours=stage.sla_hours)
    stage.save(update_fields=["opened_at", "due_at"])
    people = {
        pk: voter
        for pk, voter in quorums.voters(stage).items()
        if pk not in request.barred
    }
    StageApprover.objects.bulk_create(
        StageApprover(
            organization_id=request.organization_id,
            stage=stage,
            user_id=pk,
            label=voter.label,
            role=voter.role,
        )
        for pk, voter in people.items()
    )
    request.stage = stage.number
    request.save(update_fields=["stage"])
    record(
        request.organization_id,
        actor=actor,
        action="approval.stage_opened",
        object=request,
        after={
            "stage": str(stage),
            "approvers": [voter.label for voter in people.values()],
            "due_at": stage.due_at,
        },
        policy_version=request.policy_version_id,
        approval_id=request.pk,
    )
    endings.tell(
        request,
        f"Your vote is asked for: {request}",
        event="requested",
        people=people,
        due_at=stage.due_at.isoformat(),
    )
