"""Retiring a model: its deployments, permits and overrides end; its history stays."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone

from governance.actions import deployments, findings, override_ends, registry
from governance.actions.audit import Actor, deed, record
from governance.models import (
    ApprovalRequest,
    Deployment,
    Finding,
    ModelVersion,
    Override,
    RegisteredModel,
)


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


def note_traffic(version: ModelVersion, at: datetime) -> None:
    """Open a finding on predictions that were made after the model was retired.

    They are stored, and marked. Part of counting them: it has told nobody yet.
    """
    retired_at = version.model.retired_at
    if retired_at is None or at < retired_at:
        return
    findings.open_finding(
        version,
        cause="traffic_after_retirement",
        severity=Finding.Severity.HIGH,
        title=f"{version} still predicts, though its model is retired",
        detail={"newest": at, "retired_at": retired_at},
        actor=None,
    )


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
