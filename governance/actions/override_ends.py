"""The end of an override: what it made possible is undone, and a finding opens."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from governance.actions import approvals, findings, suspensions
from governance.actions.audit import Actor, deed, plain, record
from governance.models import Deployment, Finding, Notification, Override

Status = Override.Status


def locked(override: Override) -> Override:
    """Lock the model and then the override; return it as it is now."""
    approvals.lock(override.version)
    found: Override = (
        Override.objects.select_for_update(of=("self",))
        .select_related("version__model", "extends", "policy_version")
        .get(pk=override.pk)
    )
    return found


@deed
def end(
    override: Override,
    status: Status,
    reason: str,
    *,
    reverts: bool = True,
    actor: Actor | None,
) -> None:
    """End an override and what rests on it; part of a deed that holds its model's lock.

    `reverts` is false if another override goes on from it, or the model is retired.
    """
    before = override.status
    override.status = status
    override.ended_at = timezone.now()
    override.ended_by_id = actor.user_id if actor else None
    override.ended_label = actor.label if actor else "DriftGuard"
    override.end_reason = reason
    override.save(
        update_fields=["status", "ended_at", "ended_by", "ended_label", "end_reason"]
    )
    note(override, f"override.{status}", before=before, reason=reason, actor=actor)
    if before == Status.ACTIVE and reverts:
        _revert(override, actor=actor)


def _revert(override: Override, *, actor: Actor | None) -> None:
    """Undo what an override made possible; part of a deed that holds the model's lock.

    What is deployed under it is suspended, its permit dies, its fallback is named, and
    a finding opens.
    """
    rows = list(
        Deployment.objects.live()
        .filter(override=override)
        .select_for_update(of=("self",))
        .select_related("model", "version__model", "fallback_version")
    )
    word = "expired" if override.status == Status.EXPIRED else "was revoked"
    for row in rows:
        suspensions.halt(
            row,
            Deployment.Suspension.OVERRIDE_ENDED,
            f"Override {override.pk} {word}.",
            actor=actor,
            override=override.pk,
        )
    findings.open_finding(
        override.version,
        cause=f"override_ended:{override.pk}",
        severity=Finding.Severity.HIGH,
        title=f"Override {override.pk} of {', '.join(override.rules)} {word}"
        + ("; what was deployed under it is suspended" if rows else ""),
        detail={
            "override": override.pk,
            "environment": override.environment,
            "rules": override.rules,
            "deployments": [row.pk for row in rows],
            "justification": override.justification,
        },
        actor=actor,
    )
    Notification.objects.create(
        organization_id=override.organization_id,
        event="override.ended",
        version=override.version,
        subject=f"{override} {word}"[:500],
        payload=payload(override),
    )


def payload(override: Override) -> dict[str, Any]:
    """Return what messages say of an override."""
    found: dict[str, Any] = plain(
        {
            "override": override.pk,
            "model": override.version.model.slug,
            "version": override.version.version,
            "environment": override.environment,
            "rules": override.rules,
            "status": override.status,
            "requested_by": override.requested_label,
            "approved_by": override.decided_label,
            "expires_at": override.expires_at,
        }
    )
    return found


@deed
def note(
    override: Override,
    action: str,
    *,
    before: str | None,
    reason: str = "",
    actor: Actor | None,
) -> None:
    """Record a step of an override; part of a deed."""
    after: dict[str, Any] = {
        "status": override.status,
        "version": override.version.version,
        "environment": override.environment,
        "rules": override.rules,
        "expires_at": override.expires_at,
    }
    if action == "override.proposed":
        after["justification"] = override.justification
        after["extends"] = override.extends_id
    record(
        override.organization_id,
        actor=actor,
        action=action,
        object=override,
        before=None if before is None else {"status": str(before)},
        after=after,
        reason=reason,
        policy_version=override.policy_version_id,
        override_id=override.pk,
    )
