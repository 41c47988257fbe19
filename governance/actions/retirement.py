"""Retiring a model: its deployments, permits and overrides end; its history stays."""

from __future__ import annotations

from django.utils import timezone

from governance.actions import deployments, override_ends, registry
from governance.actions.audit import Actor, deed, record
from governance.models import ApprovalRequest, Deployment, Override, RegisteredModel


@deed
def retire(
    model: RegisteredModel, *, under: ApprovalRequest, actor: Actor | None
) -> RegisteredModel:
    """Carry out an approved request to retire a model, which is being applied.

    From now on there is no permit, no deployment and no schedule; predictions that
    still come are stored, marked, and open a finding. The caller holds the model's
    lock. Raises ConflictError without such a request.
    """
    rows = Deployment.objects.open().filter(model=model)
    for row in rows.select_related("version__model", "fallback_version", "model"):
        _end(row, under, actor=actor)
    for override in Override.objects.open().filter(version__model=model):
        override_ends.end(
            override,
            Override.Status.REVOKED,
            "The model is retired.",
            reverts=False,
            actor=actor,
        )
    return registry.retire(model, under=under, actor=actor)


def _end(
    deployment: Deployment, under: ApprovalRequest, *, actor: Actor | None
) -> None:
    now = timezone.now()
    deployment.ended_at = max(now, deployment.suspended_at or now)
    deployment.end = Deployment.End.RETIRED
    deployment.ended_by_id = actor.user_id if actor else None
    deployment.ended_label = actor.label if actor else "DriftGuard"
    deployment.save(update_fields=["ended_at", "end", "ended_by", "ended_label"])
    record(
        deployment.organization_id,
        actor=actor,
        action="deployment.ended",
        object=deployment,
        after={"end": deployment.end, "version": deployment.version.version},
        reason=under.reason,
        approval_id=under.pk,
    )
    deployments.tell(deployment, "deployment.retired", urgency="page")
