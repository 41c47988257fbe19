"""Break-glass: in an emergency one person opens the gate, and answers for it.

Only where the policy allows it. It ends by itself, can't be extended, and a second
person has to stand by it within a day.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial

from django.db.models import Q
from django.utils import timezone

from governance.actions import (
    approvals,
    authority,
    deployments,
    findings,
    gate,
    rounds,
    suspensions,
)
from governance.actions.audit import Actor, deed, record
from governance.actions.deployments import Fallback
from governance.actions.gate import Asked
from governance.actions.suspensions import locked
from governance.exceptions import ConflictError, InvalidError, fault
from governance.models import Deployment, Finding, Membership, ModelVersion

Role = Membership.Role
MAY_BREAK = (Role.OWNER, Role.MODEL_OWNER, Role.COMPLIANCE_OFFICER)
MAY_RATIFY = (Role.OWNER, Role.COMPLIANCE_OFFICER)
SHORTEST_REASON = 20
# A new one so soon after another would be an extension.
PAUSE = timedelta(hours=24)
MOST_AT_ONCE = 200


@deed
def open_gate(
    version: ModelVersion,
    *,
    environment: str,
    reason: str,
    hours: float | None = None,
    fallback: Fallback | None = None,
    actor: Actor,
) -> Deployment:
    """Deploy past the closed gate for some hours; opens a critical finding.

    Needs the policy's leave, and a person who has just shown who they are. Raises
    ConflictError where the policy forbids it, the gate is open anyway, or the last one
    was less than a day ago or not ratified.
    """
    version = approvals.lock(version)
    action = "deployment.requested"
    authority.require_role(version, MAY_BREAK, action=action, actor=actor)
    authority.require_confirmation(version, action=action, actor=actor)
    asked = gate.ask(version, environment, lock=True)
    setting = asked.policy.thresholds.controls.break_glass
    longest = setting.maximum_hours
    wanted = longest if hours is None else hours
    _check(asked, reason, wanted, longest)
    if not setting.allowed:
        raise _refused(asked, "The policy doesn't allow it.", actor=actor)
    if version.model.retired_at is not None:
        raise _refused(asked, f"{version.model} is retired.", actor=actor)
    if asked.judgement.is_open:
        raise ConflictError("The gate is open.", extra={"next": ["Deploy it."]})
    _refuse_extension(asked, actor=actor)
    made = deployments.put(
        asked,
        kind=Deployment.Kind.BREAK_GLASS,
        fallback=fallback,
        reason=reason,
        actor=actor,
        limits={
            "until": asked.at + timedelta(hours=wanted),
            "ratify_by": asked.at + timedelta(hours=setting.ratify_hours),
        },
    )
    _open_finding(made, f"{made} was deployed past the gate by {actor.label}")
    deployments.tell(
        made, "deployment.break_glass", urgency="page", until=made.until, reason=reason
    )
    return made


def _check(asked: Asked, reason: str, hours: float, longest: float) -> None:
    errors = []
    if len(reason.strip()) < SHORTEST_REASON:
        detail = f"say why, in at least {SHORTEST_REASON} characters"
        errors.append(fault("reason", code="too_short", detail=detail))
    if not 0 < hours <= longest:
        detail = f"more than 0 and at most {longest:g}"
        errors.append(fault("hours", code="range", detail=detail))
    if errors:
        raise InvalidError(errors=errors)


def _refuse_extension(asked: Asked, *, actor: Actor) -> None:
    last = (
        Deployment.objects.filter(
            model=asked.version.model_id,
            environment=asked.environment,
            kind=Deployment.Kind.BREAK_GLASS,
        )
        .order_by("-started_at", "-pk")
        .first()
    )
    if last is None:
        return
    is_ratified = last.ratified_at is not None
    over_since = last.live_until or last.until or asked.at
    if is_ratified and asked.at - over_since >= PAUSE:
        return
    why = "was never ratified" if not is_ratified else "ended less than a day ago"
    raise _refused(asked, f"It can't be extended: the last one {why}.", actor=actor)


def _refused(asked: Asked, detail: str, *, actor: Actor) -> ConflictError:
    record(
        asked.version.organization_id,
        actor=actor,
        action="deployment.requested",
        object=asked.version,
        after={"kind": "break_glass", "gate": asked.to_json()},
        outcome="denied",
        reason=detail,
        policy_version=asked.policy.pk,
    )
    return ConflictError(
        detail,
        extra={"gate": asked.to_json(), "next": list(asked.judgement.steps)},
    )


def _open_finding(deployment: Deployment, title: str) -> None:
    findings.open_finding(
        deployment.version,
        cause=f"break_glass:{deployment.pk}",
        severity=Finding.Severity.CRITICAL,
        title=title,
        detail={
            "deployment": deployment.pk,
            "environment": deployment.environment,
            "until": deployment.until,
            "ratify_by": deployment.ratify_by,
            "reason": deployment.reason,
        },
        actor=None,
    )


@deed
def ratify(
    deployment: Deployment, *, agrees: bool, reason: str, actor: Actor
) -> Deployment:
    """Stand by a break-glass as the second person, or have it reverted at once.

    It doesn't last any longer for it. Raises ConflictError once that was decided, or
    the time for it is over.
    """
    deployment = locked(deployment)
    action = "deployment.ratified"
    authority.require_role(deployment, MAY_RATIFY, action=action, actor=actor)
    people = {deployment.requested_by_id}
    authority.require_another(deployment, people, action=action, actor=actor)
    authority.require_confirmation(deployment, action=action, actor=actor)
    if not reason.strip():
        raise InvalidError(errors=[fault("reason", code="missing", detail="say why")])
    _require_unratified(deployment)
    now = timezone.now()
    deployment.ratification = reason.strip()
    if agrees:
        deployment.ratified_by_id = actor.user_id
        deployment.ratified_label = actor.label
        deployment.ratified_at = now
    else:
        deployment.unratified_at = now
    deployment.save(
        update_fields=[
            "ratification",
            "ratified_by",
            "ratified_label",
            "ratified_at",
            "unratified_at",
        ]
    )
    record(
        deployment.organization_id,
        actor=actor,
        action=action,
        object=deployment,
        after={"agrees": agrees},
        reason=deployment.ratification,
    )
    if not agrees:
        _revert(deployment, f"Not ratified: {deployment.ratification}", actor=actor)
    return deployment


def _require_unratified(deployment: Deployment) -> None:
    detail = ""
    if deployment.ratify_by is None:
        detail = "It is no break-glass."
    elif deployment.ratified_at or deployment.unratified_at:
        detail = "That was decided before, or its time is over."
    elif deployment.ratify_by <= timezone.now():
        detail = "The time to ratify it is over."
    if detail:
        raise ConflictError(detail)


def _revert(deployment: Deployment, reason: str, *, actor: Actor | None) -> None:
    if deployment.is_live:
        cause = Deployment.Suspension.BREAK_GLASS_ENDED
        suspensions.halt(deployment, cause, reason, actor=actor)


def sweep(now: datetime | None = None) -> int:
    """End what has had its hours, and revert what nobody stood by in time."""
    now = now or timezone.now()
    over = Q(until__lte=now, ended_at=None, suspended_at=None)
    alone = Q(ratify_by__lte=now, ratified_at=None, unratified_at=None)
    rows = Deployment.objects.filter(
        over | alone, kind=Deployment.Kind.BREAK_GLASS
    ).select_related("version__model")
    due = rows.order_by("until", "pk")[:MOST_AT_ONCE]
    return rounds.over(due, partial(finish, actor=None))


@deed
def finish(deployment: Deployment, *, actor: Actor | None) -> bool:
    """Do what is due of a break-glass now; false if it is done."""
    deployment = locked(deployment)
    now = timezone.now()
    is_over = deployment.until is not None and deployment.until <= now
    is_alone = (
        deployment.ratify_by is not None
        and deployment.ratify_by <= now
        and not (deployment.ratified_at or deployment.unratified_at)
    )
    was_live = deployment.is_live
    if is_alone:
        deployment.unratified_at = now
        deployment.save(update_fields=["unratified_at"])
        _open_finding(deployment, f"Nobody stood by the break-glass of {deployment}")
        record(
            deployment.organization_id,
            actor=actor,
            action="deployment.unratified",
            object=deployment,
            after={"ratify_by": deployment.ratify_by},
        )
        deployments.tell(deployment, "deployment.unratified", urgency="page")
    if is_over or is_alone:
        _revert(deployment, "Its hours are over.", actor=actor)
    return is_alone or (was_live and not deployment.is_live)
