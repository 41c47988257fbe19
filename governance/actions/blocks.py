"""What BLOCKED does to what is deployed, as the policy says for the model's tier.

Beat asks every few seconds. Suspending takes the model's lock, which an assessment
can't: it holds other locks already.
"""

from __future__ import annotations

from django.db.models import F, Q
from django.utils import timezone

from governance.actions import deployments, gate, policies, rounds, suspensions
from governance.actions.audit import Actor, deed, record
from governance.decision import Reaction
from governance.decision.controls import Blocked
from governance.models import Assessment, Deployment, GovernanceStatus, ModelVersion

MOST_AT_ONCE = 200


def sweep() -> int:
    """React to every deployed version that is blocked; returns how often."""
    blocked = Deployment.objects.live().filter(
        version__assessment__status=GovernanceStatus.BLOCKED
    )
    rows = blocked.select_related("version__model", "version__assessment")
    return rounds.over(rows.order_by("pk")[:MOST_AT_ONCE], _react)


def _react(row: Deployment) -> bool:
    reaction, assessment = reaction_to(row.version), row.version.assessment
    done = False
    if row.blocked_told_at is None or row.blocked_told_at < assessment.since:
        done = tell(row, actor=None)
    is_due = assessment.blocked_evaluations >= reaction.after_evaluations
    if reaction.action is Reaction.SUSPEND and is_due:
        done = suspend(row, actor=None) or done
    return done


def reaction_to(version: ModelVersion) -> Blocked:
    """Return what the policy says for the model's tier."""
    controls = policies.in_force_for(version.model).thresholds.controls
    return controls.blocked[version.model.effective_risk_tier]


@deed
def tell(deployment: Deployment, *, actor: Actor | None) -> bool:
    """Tell, once for each time, that what is deployed is blocked."""
    now = timezone.now()
    since = Q(blocked_told_at=None) | Q(
        blocked_told_at__lt=F("version__assessment__since")
    )
    told = Deployment.objects.live().filter(since, pk=deployment.pk).values("pk")
    if not Deployment.objects.filter(pk__in=told).update(blocked_told_at=now):
        return False
    reaction = reaction_to(deployment.version)
    assessment = deployment.version.assessment
    is_loud = reaction.action is not Reaction.NOTIFY
    deployments.tell(
        deployment,
        "deployment.blocked",
        urgency="page" if is_loud else "notify",
        reasons=assessment.reasons,
        action=reaction.action.value,
    )
    record(
        deployment.organization_id,
        actor=actor,
        action="deployment.blocked",
        object=deployment,
        after={
            "since": assessment.since,
            "reasons": assessment.reasons,
            "action": reaction.action.value,
            "after_evaluations": reaction.after_evaluations,
        },
    )
    return True


@deed
def suspend(deployment: Deployment, *, actor: Actor | None) -> bool:
    """Suspend a deployment by the policy; false if there is no reason any more.

    One that an override lets serve goes on, and so does one in an environment that
    only warns or observes.
    """
    deployment = suspensions.locked(deployment)
    assessment = Assessment.objects.get(version=deployment.version_id)
    reaction = reaction_to(deployment.version)
    is_due = (
        deployment.is_live
        and reaction.action is Reaction.SUSPEND
        and assessment.status == GovernanceStatus.BLOCKED
        and assessment.blocked_evaluations >= reaction.after_evaluations
    )
    if not is_due or gate.may_serve(deployment).judgement.is_open:
        return False
    number = assessment.blocked_evaluations
    suspensions.halt(
        deployment,
        Deployment.Suspension.POLICY,
        f"Blocked in {number} evaluation{'s' if number > 1 else ''}: "
        + "; ".join(assessment.reasons[:3]),
        actor=actor,
        evaluations=number,
        evidence=assessment.evidence_id,
    )
    return True
