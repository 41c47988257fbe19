"""Before somebody asks for an approval: what will be bound, checked, and by whom."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.translation import gettext as _

from driftguard.portal.gates import GatePanel, check_panel
from governance.actions import approvals, policies, quorums, submissions
from governance.actions.approvals import Standing
from governance.admin.display import Badge, life_cycle
from governance.admin.tenancy import Seat
from governance.decision import Stage
from governance.models import (
    ApprovalRequest,
    ApprovalStage,
    Assessment,
    Membership,
    ModelVersion,
    PolicyVersion,
    RegisteredModel,
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A stage as it would open now: who would be asked, and whether they are enough."""

    stage: Stage
    who: str
    people: tuple[str, ...]
    is_enough: bool


@dataclass(frozen=True, slots=True)
class Submission:
    """The page on which somebody asks for a version to be approved."""

    model: RegisteredModel
    version: ModelVersion
    badge: Badge
    versions: tuple[ModelVersion, ...]
    environment: str
    policy: PolicyVersion
    standing: Standing
    open_request: ApprovalRequest | None
    assessment: Assessment | None
    gate: GatePanel
    stages: tuple[Asked, ...]
    may_be_automatic: bool
    why_not: str  # why this person can't submit it now

    @property
    def days(self) -> float:
        return self.policy.thresholds.controls.approval_days


def submission(version: ModelVersion, environment: str, seat: Seat) -> Submission:
    """Read the page of a version; `version.model` is read along."""
    policy = policies.in_force_for(version.model)
    controls = policy.thresholds.controls
    barred = submissions.barred_from(version) | {seat.user.pk}
    standing = approvals.standing(version)
    open_request = (
        version.requests.open().filter(kind=ApprovalRequest.Kind.DEPLOY).first()
    )
    automatic = controls.auto_approval
    return Submission(
        model=version.model,
        version=version,
        badge=life_cycle(version),
        versions=tuple(version.model.versions.all()),
        environment=environment,
        policy=policy,
        standing=standing,
        open_request=open_request,
        assessment=Assessment.objects.filter(version=version).first(),
        gate=check_panel(version, environment),
        stages=tuple(
            _asked(stage, version.organization_id, barred) for stage in controls.stages
        ),
        may_be_automatic=automatic.enabled
        and version.model.risk_tier in automatic.tiers,
        why_not=_why_not(version, standing, open_request, seat),
    )


def _asked(stage: Stage, organization_id: int, barred: frozenset[int]) -> Asked:
    row = ApprovalStage(
        organization_id=organization_id, role=stage.role, people=list(stage.people)
    )
    able = {pk: one for pk, one in quorums.voters(row).items() if pk not in barred}
    return Asked(
        stage=stage,
        who=row.who,
        people=tuple(one.label for one in able.values()),
        is_enough=len(able) >= stage.quorum,
    )


def _why_not(
    version: ModelVersion,
    standing: Standing,
    open_request: ApprovalRequest | None,
    seat: Seat,
) -> str:
    if version.model.retired_at is not None:
        return _("The model is retired. Register a new model.")
    if version.status == ModelVersion.Status.UNREGISTERED:
        return _(
            "Predictions named this version, but nobody has registered it. Register "
            "it with POST /api/models first."
        )
    if open_request is not None:
        return _("Somebody has asked for it already; the request is open.")
    if standing.is_valid:
        return _("It is approved as it is now. Next, it is deployed.")
    if not seat.has_one_of(submissions.MAY_SUBMIT):
        roles = [Membership.Role(one).label.lower() for one in submissions.MAY_SUBMIT]
        return _("Only a person with the role %(roles)s asks for an approval.") % {
            "roles": _(" or ").join(roles)
        }
    return ""
