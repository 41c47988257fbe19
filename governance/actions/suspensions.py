"""Suspending what is deployed, alone and at once; only the gate lets it go on."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from governance.actions import approvals, authority, deployments, lifecycles
from governance.actions.audit import Actor, deed, record
from governance.actions.deployments import Fallback
from governance.exceptions import ConflictError, InvalidError, fault
from governance.models import Deployment, Membership

Role = Membership.Role
Suspension = Deployment.Suspension
MAY_SUSPEND = (Role.OWNER, Role.COMPLIANCE_OFFICER)


@deed
def suspend(deployment: Deployment, *, reason: str, actor: Actor) -> Deployment:
    """Suspend a deployment at once: its permit ends, its fallback is told.

    One person is enough: an owner or a compliance officer. Raises ConflictError if it
    is suspended or has ended.
    """
    deployment = locked(deployment)
    authority.require_role(
        deployment, MAY_SUSPEND, action="deployment.suspended", actor=actor
    )
    if not reason.strip():
        raise InvalidError(errors=[fault("reason", code="missing", detail="say why")])
    if not deployment.is_live:
        raise ConflictError(
            f"{deployment} is {deployment.state}.",
            extra={"deployment_status": deployment.state},
        )
    halt(deployment, Suspension.PERSON, reason, actor=actor)
    return deployment


@deed
def resume(
    deployment: Deployment,
    *,
    reason: str = "",
    fallback: Fallback | None = None,
    actor: Actor,
) -> Deployment:
    """Let a suspended deployment go on, if the gate lets its version through.

    What goes on is a new deployment. Raises ConflictError if it isn't suspended, and
    as `deployments.deploy` does.
    """
    deployment = locked(deployment)
    if not deployment.is_suspended:
        raise ConflictError(
            f"{deployment} is {deployment.state}, not suspended.",
            extra={"deployment_status": deployment.state},
        )
    return deployments.deploy(
        deployment.version,
        environment=deployment.environment,
        fallback=fallback or _kept(deployment),
        reason=reason,
        actor=actor,
    )


def _kept(deployment: Deployment) -> Fallback:
    return Fallback(
        deployment.fallback, deployment.fallback_version, deployment.fallback_text
    )


def locked(deployment: Deployment) -> Deployment:
    """Lock the model and then the deployment; return it as it is now."""
    approvals.lock(deployment.version)
    found: Deployment = (
        Deployment.objects.select_for_update(of=("self",))
        .select_related("model", "version__model", "fallback_version", "override")
        .get(pk=deployment.pk)
    )
    return found


@deed
def halt(
    deployment: Deployment,
    suspension: Suspension,
    reason: str,
    *,
    actor: Actor | None,
    **told: Any,
) -> None:
    """Suspend a locked, live deployment; part of a deed."""
    now = timezone.now()
    deployment.suspended_at = max(now, deployment.started_at)
    deployment.suspension = suspension
    deployment.suspended_by_id = actor.user_id if actor else None
    deployment.suspended_label = actor.label if actor else "DriftGuard"
    deployment.suspension_reason = reason.strip()
    deployment.save(
        update_fields=[
            "suspended_at",
            "suspension",
            "suspended_by",
            "suspended_label",
            "suspension_reason",
        ]
    )
    lifecycles.settle(deployment.model, [deployment.version])
    record(
        deployment.organization_id,
        actor=actor,
        action="deployment.suspended",
        object=deployment,
        before={"state": "deployed"},
        after={
            "state": "suspended",
            "cause": suspension.value,
            "fallback": deployments.fallback_json(deployment),
            **told,
        },
        reason=deployment.suspension_reason,
        override_id=deployment.override_id,
    )
    deployments.tell(
        deployment,
        "deployment.suspended",
        urgency="page",
        cause=suspension.value,
        reason=deployment.suspension_reason,
    )
