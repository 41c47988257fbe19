"""What a version's deployments make of its state, and of what its model shows."""

from __future__ import annotations

from collections.abc import Iterable

from governance.models import ApiKey, Deployment, ModelVersion, RegisteredModel

Status = ModelVersion.Status
PRODUCTION = ApiKey.Environment.PRODUCTION


def settle(model: RegisteredModel, versions: Iterable[ModelVersion]) -> None:
    """Give versions the state that follows from their deployments; then the model.

    Part of a deed about a deployment, whose entry says what happened.
    """
    for version in versions:
        status = status_of(version)
        if version.status != status:
            version.status = status
            version.save(update_fields=["status"])
    show(model.pk)


def status_of(version: ModelVersion) -> str:
    """Return a version's state: the best that any environment makes of it."""
    rows = list(Deployment.objects.filter(version=version))
    if any(row.is_live for row in rows):
        return Status.DEPLOYED
    if any(row.is_suspended for row in rows):
        return Status.SUSPENDED
    if any(row.environment == PRODUCTION for row in rows):
        return Status.RETIRED
    if version.approved_subjects.exists():
        return Status.APPROVED
    return Status.DRAFT if rows else version.status


def show(model_id: int) -> None:
    """Let the model show the version in production, else one with traffic.

    One that is deployed elsewhere goes before the newest with traffic.
    """
    open_ones = Deployment.objects.open().filter(model=model_id)
    versions = ModelVersion.objects.filter(model=model_id)
    shown = (
        open_ones.filter(environment=PRODUCTION).values_list("version").first()
        or open_ones.order_by("started_at").values_list("version").last()
        or versions.exclude(last_prediction_at=None).values_list("pk").first()
    )
    if shown is not None:
        RegisteredModel.objects.filter(pk=model_id).exclude(
            current_version=shown[0]
        ).update(current_version=shown[0])
