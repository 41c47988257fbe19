"""Deploying a version: the gate is asked, and what it says is remembered.

Whoever deploys holds the model's lock first (`approvals.lock`), so that of two at once
the second one finds what the first has done.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction

from governance.actions import approvals, authority, findings, gate, lifecycles
from governance.actions.audit import Actor, deed, plain, record
from governance.actions.gate import Asked
from governance.actions.registry import author_of
from governance.decision.gate import Purpose
from governance.exceptions import ConflictError, GateClosedError, InvalidError, fault
from governance.models import (
    Deployment,
    Finding,
    Membership,
    ModelVersion,
    Notification,
)

Role = Membership.Role
Kind = Deployment.Kind
MAY_DEPLOY = (Role.OWNER, Role.MODEL_OWNER)
KINDS = {
    Purpose.DEPLOY: Kind.DEPLOY,
    Purpose.RESUME: Kind.RESUME,
    Purpose.ROLLBACK: Kind.ROLLBACK,
    Purpose.RECENT_ROLLBACK: Kind.ROLLBACK,
}
# What came in without an approval, or under an override, may be deployed again.
PROVISIONAL = (Kind.INTAKE, Kind.BREAK_GLASS)


@dataclass(frozen=True, slots=True)
class Fallback:
    """What serves instead of a deployment that may not."""

    kind: str = Deployment.Fallback.MANUAL_REVIEW
    version: ModelVersion | None = None
    text: str = ""


@deed
def deploy(
    version: ModelVersion,
    *,
    environment: str,
    fallback: Fallback | None = None,
    reason: str = "",
    actor: Actor,
) -> Deployment:
    """Put a version into an environment, if the gate lets it through.

    The one that was there is retired; the same version again resumes it, if it is
    suspended. An earlier version is a rollback; to one that was live within 30 days it
    skips the rule on age, and opens a finding. Raises ApprovalRequiredError or
    GateClosedError, with the rules and what to do next; ConflictError if the version is
    there already. A person needs the role owner or model owner.
    """
    version = approvals.lock(version)
    require_deployer(version, environment, actor=actor)
    asked = gate.ask(version, environment, lock=True)
    if not asked.judgement.is_open:
        raise gate.closed(asked, action="deployment.requested", actor=actor)
    _refuse_twice(asked)
    made = put(
        asked,
        kind=KINDS[asked.facts.purpose],
        fallback=fallback,
        reason=reason,
        actor=actor,
    )
    if asked.facts.purpose is Purpose.RECENT_ROLLBACK:
        _note_skipped_age(made, asked)
    if made.approval is not None:
        approvals.note_use(made.approval, actor=actor)
    return made


def require_deployer(version: ModelVersion, environment: str, *, actor: Actor) -> None:
    """Refuse whoever may not deploy, and whatever is retired with its model.

    A key needs the scope, which has been checked; it acts in no role.
    """
    if actor.type == "user":
        authority.require_role(
            version, MAY_DEPLOY, action="deployment.requested", actor=actor
        )
    if version.model.retired_at is not None:
        record(
            version.organization_id,
            actor=actor,
            action="deployment.requested",
            object=version,
            after={"environment": environment},
            outcome="denied",
            reason="the model is retired",
        )
        raise ConflictError(
            f"{version.model} is retired.", extra={"next": ["Register a new model."]}
        )


def _refuse_twice(asked: Asked) -> None:
    current = asked.current
    if current is None or current.version_id != asked.version.pk:
        return
    is_provisional = current.kind in PROVISIONAL or current.override_id is not None
    if current.is_suspended or is_provisional:
        return
    raise ConflictError(
        f"{asked.version.version} is deployed in {asked.environment} already.",
        extra={"deployment_id": current.pk, "deployment_status": "deployed"},
    )


@deed
def put(
    asked: Asked,
    *,
    kind: Kind,
    fallback: Fallback | None,
    reason: str,
    actor: Actor,
    limits: Mapping[str, Any] | None = None,
) -> Deployment:
    """Replace what is in the environment; part of a deed that has asked the gate.

    `limits` are the dates of an intake or a break-glass.
    """
    version, current, now = asked.version, asked.current, asked.at
    chosen = fallback or default_fallback(version, asked.environment)
    _check_fallback(chosen, version)
    if current is not None:
        _end(current, version, now, actor=actor)
    key = int(actor.id) if actor.type == "api_key" else None
    made = Deployment(
        organization_id=version.organization_id,
        model_id=version.model_id,
        version=version,
        environment=asked.environment,
        kind=kind,
        reason=reason.strip(),
        requested_by_id=author_of(actor),
        requested_label=actor.label,
        requested_with_id=key,
        mode=asked.judgement.mode.value,
        gate=plain(asked.to_json()),
        policy_version=asked.policy,
        approval=asked.standing.request if asked.standing.is_valid else None,
        override=asked.used_override,
        fallback=chosen.kind,
        fallback_version=chosen.version,
        fallback_text=chosen.text,
        **{"started_at": now, **(limits or {})},
    )
    _store(made, actor=actor)
    touched = {version.pk: version}
    if current is not None:
        touched.setdefault(current.version_id, current.version)
    lifecycles.settle(version.model, touched.values())
    _remember(made, current, actor=actor)
    tell(made, "deployment.started")
    return made


def _store(made: Deployment, *, actor: Actor) -> None:
    """Store a deployment; the database says no if its override ends at this moment."""
    try:
        with transaction.atomic():
            made.save(force_insert=True)
    except IntegrityError:
        if made.override is None:
            raise
        record(
            made.organization_id,
            actor=actor,
            action="deployment.requested",
            object=made.version,
            outcome="denied",
            reason="the override has just ended",
            override_id=made.override_id,
        )
        raise GateClosedError(
            f"Override {made.override_id} has just ended.",
            extra={"next": ["Ask for another override, or mend what it was for."]},
        ) from None


def _end(
    current: Deployment, successor: ModelVersion, now: datetime, *, actor: Actor
) -> None:
    is_same = current.version_id == successor.pk
    current.ended_at = max(now, current.suspended_at or now, current.started_at)
    current.end = Deployment.End.RESUMED if is_same else Deployment.End.REPLACED
    current.ended_by_id = actor.user_id
    current.ended_label = actor.label
    current.save(update_fields=["ended_at", "end", "ended_by", "ended_label"])


def default_fallback(version: ModelVersion, environment: str) -> Fallback:
    """Return the version that was there before another one came; else manual review."""
    before = (
        Deployment.objects.filter(model=version.model_id, environment=environment)
        .exclude(version=version)
        .select_related("version")
        .order_by("-started_at", "-pk")
        .first()
    )
    if before is None:
        return Fallback()
    return Fallback(Deployment.Fallback.PREVIOUS_VERSION, before.version)


def _check_fallback(fallback: Fallback, version: ModelVersion) -> None:
    detail = where = ""
    if fallback.kind == Deployment.Fallback.PREVIOUS_VERSION:
        where = "version"
        if fallback.version is None:
            detail = "which version?"
        elif fallback.version == version:
            detail = "has to be another version"
        elif fallback.version.model_id != version.model_id:
            detail = "is a version of another model"
    elif fallback.kind == Deployment.Fallback.FIXED_RULE and not fallback.text.strip():
        where, detail = "text", "say which rule"
    if detail:
        raise InvalidError(
            errors=[fault("fallback", where, code="fallback", detail=detail)]
        )


def _remember(made: Deployment, before: Deployment | None, *, actor: Actor) -> None:
    record(
        made.organization_id,
        actor=actor,
        action="deployment.started",
        object=made,
        before=None
        if before is None
        else {
            "deployment": before.pk,
            "version": before.version.version,
            "end": before.end,
        },
        after={
            "deployment": made.pk,
            "model": made.model.slug,
            "version": made.version.version,
            "environment": made.environment,
            "kind": made.kind,
            "approval": made.approval_id,
            "fallback": fallback_json(made),
            "gate": made.gate,
        },
        reason=made.reason,
        policy_version=made.policy_version_id,
        approval_id=made.approval_id,
        override_id=made.override_id,
    )


def _note_skipped_age(made: Deployment, asked: Asked) -> None:
    """Open the finding that a rollback leaves: its evidence was not asked how old."""
    findings.open_finding(
        made.version,
        cause=f"rollback:{made.environment}",
        severity=Finding.Severity.MEDIUM,
        title=f"Rolled back to {made.version} in {made.environment}, "
        "without asking how old its evaluation is",
        detail={
            "deployment": made.pk,
            "replaced": asked.current.version.version if asked.current else None,
            "evaluation_age_hours": asked.facts.evaluation_age_hours,
            "reason": made.reason,
        },
        actor=None,
    )


def fallback_json(deployment: Deployment) -> dict[str, Any]:
    """Return what serves instead, as status, permit and refusals have it."""
    version = deployment.fallback_version
    return {
        "kind": deployment.fallback,
        "version": version.version if version else None,
        "text": deployment.fallback_text
        or Deployment.Fallback(deployment.fallback).label,
    }


def tell(
    deployment: Deployment, event: str, *, urgency: str = "notify", **more: Any
) -> None:
    """Queue a message about a deployment; part of a deed.

    DriftGuard stops no foreign endpoint: whoever serves hears of it by this, and by
    the permit.
    """
    words = event.rpartition(".")[2]
    Notification.objects.create(
        organization_id=deployment.organization_id,
        event=event,
        version=deployment.version,
        subject=f"{deployment}: {words}"[:500],
        payload=plain(
            {
                "deployment": deployment.pk,
                "model": deployment.version.model.slug,
                "version": deployment.version.version,
                "environment": deployment.environment,
                "state": deployment.state,
                "kind": deployment.kind,
                "fallback": fallback_json(deployment),
                "urgency": urgency,
                **more,
            }
        ),
    )
