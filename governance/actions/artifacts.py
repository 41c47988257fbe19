"""Artifacts: a version's own model, bound by what was approved."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from governance.actions import authority, endings, registry, subjects
from governance.actions.audit import Actor, deed, record
from governance.exceptions import ApprovalRequiredError, ConflictError
from governance.models import Artifact, ModelVersion

Status = ModelVersion.Status


@deed
def store(
    version: ModelVersion,
    *,
    content: bytes,
    signature: Mapping[str, Any],
    actor: Actor,
) -> Artifact:
    """Keep a version's artifact, which was checked before; the same again is nothing.

    The version has its digest afterwards, which its approval binds. Raises
    ConflictError for bytes other than those that were announced or kept before, and
    ApprovalRequiredError if the version was approved without any.
    """
    subjects.lock(version.model_id)
    version = (
        ModelVersion.objects.select_for_update(of=("self",))
        .select_related("model")
        .get(pk=version.pk)
    )
    digest = hashlib.sha256(content).hexdigest()
    known = Artifact.objects.filter(version=version).defer("content").first()
    if known is not None and known.digest == digest:
        return known
    _refuse(version, digest)
    if not version.artifact_digest:
        version.artifact_digest = digest
        edited = authority.editor(actor)
        for name, value in edited.items():
            setattr(version, name, value)
        version.save(update_fields=["artifact_digest", *edited])
    made = Artifact.objects.create(
        organization_id=version.organization_id,
        version=version,
        digest=digest,
        size=len(content),
        content=content,
        signature=dict(signature),
        stored_by_id=registry.author_of(actor),
    )
    record(
        version.organization_id,
        actor=actor,
        action="version.artifact_stored",
        object=version,
        after={"size": len(content), "operators": signature["operators"]},
        facts={"artifact_digest": digest},
    )
    endings.void_stale(version.organization_id, model_id=version.model_id, actor=None)
    return made


def _refuse(version: ModelVersion, digest: str) -> None:
    again = {"next": "Register it under a new version of the model."}
    if version.status in {Status.UNREGISTERED, Status.RETIRED}:
        raise ConflictError(
            f"Version {version.version} is {version.get_status_display().lower()}.",
            extra=again,
        )
    if version.artifact_digest and version.artifact_digest != digest:
        raise ConflictError(
            f"Version {version.version} has the artifact {version.artifact_digest}, "
            f"and this is {digest}.",
            extra=again,
        )
    if not version.artifact_digest and version.status in registry.APPROVED:
        raise ApprovalRequiredError(
            f"Version {version.version} was approved without an artifact.", extra=again
        )
