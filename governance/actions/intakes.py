"""Adopting models that are in production already: at once, and until a date."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

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
from governance.actions.suspensions import locked
from governance.exceptions import ConflictError, InvalidError, fault
from governance.models import Deployment, Finding, Membership, ModelVersion

Role = Membership.Role
Status = ModelVersion.Status
MAY_ADOPT = (Role.OWNER, Role.COMPLIANCE_OFFICER)
# Between the finding that an intake is overdue, and the gate that closes.
GRACE = timedelta(days=7)
# What was refused, or nobody has described, is no candidate.
NO_CANDIDATE = (Status.UNREGISTERED, Status.REJECTED)
MOST_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Adoption:
    """One version that is in production already, and since when."""

    version: ModelVersion
    environment: str
    since: datetime | None = None
    fallback: Fallback | None = None


@deed
def adopt(
    adoptions: Sequence[Adoption], *, reason: str, actor: Actor
) -> list[Deployment]:
    """Take up versions that are in production already: all of them, or none.

    They count as deployed until a due date by tier, by which they have to be approved
    and deployed through the gate. Needs the role owner or compliance officer. Raises
    ConflictError for a model that was ever deployed in that environment: from then on
    the gate is the only way.
    """
    if not reason.strip():
        raise InvalidError(errors=[fault("reason", code="missing", detail="say why")])
    # All in the order of their models: two intakes at once don't wait for each other.
    ordered = sorted(
        enumerate(adoptions), key=lambda one: (one[1].version.model_id, one[0])
    )
    made = {
        place: _adopt(adoption, place, reason, actor=actor)
        for place, adoption in ordered
    }
    return [made[place] for place in sorted(made)]


def _adopt(adoption: Adoption, place: int, reason: str, *, actor: Actor) -> Deployment:
    version = approvals.lock(adoption.version)
    authority.require_role(
        version, MAY_ADOPT, action="deployment.requested", actor=actor
    )
    _check_candidate(version, adoption, place)
    asked = gate.ask(version, adoption.environment, lock=True)
    tier = version.model.effective_risk_tier
    days = asked.policy.thresholds.controls.intake_days[tier]
    return deployments.put(
        asked,
        kind=Deployment.Kind.INTAKE,
        fallback=adoption.fallback,
        reason=reason,
        actor=actor,
        limits={
            "started_at": adoption.since or asked.at,
            "due_at": asked.at + timedelta(days=days),
        },
    )


def _check_candidate(version: ModelVersion, adoption: Adoption, place: int) -> None:
    if adoption.since is not None and adoption.since > timezone.now():
        raise InvalidError(
            errors=[fault("items", place, "since", code="range", detail="lies ahead")]
        )
    detail = ""
    if version.model.retired_at is not None:
        detail = f"{version.model} is retired."
    elif version.status in NO_CANDIDATE:
        word = version.get_status_display().lower()
        detail = f"{version} is {word}; it can't be adopted."
    elif Deployment.objects.filter(
        model=version.model_id, environment=adoption.environment
    ).exists():
        detail = (
            f"{version.model} was deployed in {adoption.environment} before: "
            "only the gate leads there now."
        )
    if detail:
        raise ConflictError(
            detail, extra={"item": place, "next": ["Deploy it through the gate."]}
        )


def sweep(now: datetime | None = None) -> int:
    """Open findings on overdue intakes; later suspend what is still not approved."""
    now = now or timezone.now()
    live = Deployment.objects.live().filter(kind=Deployment.Kind.INTAKE)
    due = live.filter(due_at__lte=now, overdue_at=None)
    over = live.filter(overdue_at__lte=now - GRACE)
    due, over = (
        rows.select_related("version__model").order_by("due_at", "pk")[:MOST_AT_ONCE]
        for rows in (due, over)
    )
    noted = rounds.over(due, partial(note_overdue, actor=None))
    return noted + rounds.over(over, partial(close, actor=None))


@deed
def note_overdue(deployment: Deployment, *, actor: Actor | None) -> bool:
    """Open a finding: an intake was not approved in time. False if it is done."""
    deployment = locked(deployment)
    now = timezone.now()
    if not deployment.is_live or deployment.overdue_at or not deployment.due_at:
        return False
    deployment.overdue_at = now
    deployment.save(update_fields=["overdue_at"])
    closes_at = now + GRACE
    findings.open_finding(
        deployment.version,
        cause=f"intake_overdue:{deployment.environment}",
        severity=Finding.Severity.HIGH,
        title=f"{deployment} was adopted and should have been approved by "
        f"{deployment.due_at:%Y-%m-%d}; on {closes_at:%Y-%m-%d} it is suspended",
        detail={
            "deployment": deployment.pk,
            "due_at": deployment.due_at,
            "suspended_on": closes_at,
        },
        actor=actor,
    )
    record(
        deployment.organization_id,
        actor=actor,
        action="deployment.intake_overdue",
        object=deployment,
        after={"due_at": deployment.due_at, "suspended_on": closes_at},
    )
    deployments.tell(deployment, "deployment.intake_overdue", suspended_on=closes_at)
    return True


@deed
def close(deployment: Deployment, *, actor: Actor | None) -> bool:
    """Suspend an intake that nobody approved after its finding. False if it is done."""
    deployment = locked(deployment)
    limit = timezone.now() - GRACE
    is_over = deployment.overdue_at is not None and deployment.overdue_at <= limit
    if not (deployment.is_live and is_over):
        return False
    suspensions.halt(
        deployment,
        Deployment.Suspension.INTAKE_OVERDUE,
        "It was adopted and not approved in time.",
        actor=actor,
    )
    return True
