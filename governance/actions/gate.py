"""Asking the gate: what it has to know is gathered, the answer is remembered.

Locks are taken in the order of `approvals`: that of the model, rows, the trail's head.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from governance.actions import approvals, policies, revalidations
from governance.actions.approvals import Standing
from governance.actions.audit import Actor, deed, record
from governance.decision import FailedRule, Mode, Status
from governance.decision.gate import (
    GateFacts,
    Judgement,
    OpenFinding,
    Purpose,
    judge,
    serving,
)
from governance.exceptions import ApprovalRequiredError, ConflictError, GateClosedError
from governance.models import (
    Assessment,
    Deployment,
    Finding,
    ModelVersion,
    Override,
    PolicyVersion,
)

# A version that was live within so many days is known: it may come back at once.
RECENT = timedelta(days=30)
HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the gate was asked, what it knew, and what it said."""

    version: ModelVersion
    environment: str
    policy: PolicyVersion
    standing: Standing
    override: Override | None  # in force, used or not
    current: Deployment | None  # open in the environment now
    facts: GateFacts
    judgement: Judgement
    at: datetime

    @property
    def used_override(self) -> Override | None:
        """The override that lets the version pass, if it takes one."""
        return self.override if self.judgement.override is not None else None

    @property
    def approval_id(self) -> int | None:
        """The request that approved the version, whether it counts or not."""
        request = self.standing.request
        return request.pk if request else None

    def to_json(self) -> dict[str, Any]:
        """Return the answer as the interface, rows and entries have it."""
        judgement = self.judgement
        is_lenient = judgement.strict != judgement.result
        return {
            "result": judgement.result.value,
            "environment": self.environment,
            "mode": judgement.mode.value,
            "would_be": judgement.strict.value if is_lenient else None,
            "model": self.version.model.slug,
            "version": self.version.version,
            "purpose": self.facts.purpose.value,
            "rules": [rule.to_json() for rule in judgement.rules],
            "policy": {
                "id": self.policy.policy_id,
                "version": self.policy.number,
                "hash": self.policy.content_hash,
            },
            "approval_id": self.approval_id,
            "override_id": judgement.override,
            "evidence_id": self.facts.evidence,
            "checked_at": self.at.isoformat().replace("+00:00", "Z"),
        }


def ask(version: ModelVersion, environment: str, *, lock: bool = False) -> Asked:
    """Return what the gate says of a version in an environment now.

    With `lock`, the caller has called `approvals.lock`, and the rows that the answer
    rests on stay as they are until the transaction ends.
    """
    now = timezone.now()
    policy = policies.in_force_for(version.model)
    current = _current(version, environment, lock=lock)
    override = _override(version, environment, now, lock=lock)
    standing = approvals.standing(version)
    purpose = _purpose(version, environment, current, now)
    facts = _facts(version, environment, purpose, policy, standing, current, override)
    mode = mode_of(policy, environment, now)
    judgement = judge(facts, policy.thresholds, mode)
    return Asked(
        version, environment, policy, standing, override, current, facts, judgement, now
    )


def may_serve(deployment: Deployment) -> Asked:
    """Return whether what is deployed may go on: whether its version is blocked."""
    version, environment = deployment.version, deployment.environment
    now = timezone.now()
    policy = policies.in_force_for(version.model)
    override = _override(version, environment, now, lock=False)
    standing = Standing(deployment.approval)
    facts = _facts(
        version, environment, Purpose.DEPLOY, policy, standing, deployment, override
    )
    mode = mode_of(policy, environment, now)
    judgement = serving(facts, policy.thresholds, mode)
    return Asked(
        version,
        environment,
        policy,
        standing,
        override,
        deployment,
        facts,
        judgement,
        now,
    )


def mode_of(policy: PolicyVersion, environment: str, at: datetime) -> Mode:
    """Return what a closed gate does; observing ends by itself, with prevention."""
    setting = policy.thresholds.controls.environments[environment]
    if setting.mode is not Mode.OBSERVE:
        return setting.mode
    is_over = setting.until is None or datetime.fromisoformat(setting.until) <= at
    return Mode.PREVENT if is_over else Mode.OBSERVE


def _current(
    version: ModelVersion, environment: str, *, lock: bool
) -> Deployment | None:
    rows = Deployment.objects.open().filter(
        model=version.model_id, environment=environment
    )
    if lock:
        rows = rows.select_for_update(of=("self",))
    return rows.select_related("version", "override").first()


def _override(
    version: ModelVersion, environment: str, at: datetime, *, lock: bool
) -> Override | None:
    rows = Override.objects.in_force(at).filter(
        version=version, environment=environment
    )
    if lock:
        rows = rows.select_for_update(of=("self",))
    found: Override | None = rows.first()
    return found


def _purpose(
    version: ModelVersion,
    environment: str,
    current: Deployment | None,
    now: datetime,
) -> Purpose:
    if current is not None and current.version_id == version.pk:
        return Purpose.RESUME if current.is_suspended else Purpose.DEPLOY
    before = list(
        Deployment.objects.filter(version=version, environment=environment).exclude(
            ended_at=None
        )
    )
    if not before:
        return Purpose.DEPLOY
    newest = max(one.live_until or now for one in before)
    return Purpose.RECENT_ROLLBACK if now - newest <= RECENT else Purpose.ROLLBACK


def _facts(
    version: ModelVersion,
    environment: str,
    purpose: Purpose,
    policy: PolicyVersion,
    standing: Standing,
    current: Deployment | None,
    override: Override | None,
) -> GateFacts:
    now = timezone.now()
    assessment = (Assessment.objects.filter(version=version).first()) or Assessment(
        version=version
    )
    evaluated_at = assessment.evaluated_at
    due = revalidations.due_at(version, policy, standing)
    problem = standing.problems[0] if standing.problems else None
    return GateFacts(
        version=version.version,
        environment=environment,
        purpose=purpose,
        approval=" ".join(one.detail for one in standing.problems),
        approval_code=problem.code if problem else "",
        baseline=version.baseline_kind,
        is_validated=version.baseline_labelled,
        has_traffic=version.last_prediction_at is not None,
        status=Status(assessment.status),
        score=assessment.score,
        failed=tuple(
            FailedRule.from_json(one) for one in assessment.verdict.get("failed", ())
        ),
        reasons=tuple(assessment.reasons),
        evidence=assessment.evidence_id,
        evaluation_age_hours=(now - evaluated_at) / HOUR if evaluated_at else None,
        cadence=version.model.cadence,
        findings=tuple(_findings(version, current, now)),
        revalidation_due=due.isoformat() if due is not None and due <= now else "",
        tier=version.model.risk_tier,
        override=override.pk if override else None,
        override_rules=frozenset(override.rules) if override else frozenset(),
    )


def _findings(
    version: ModelVersion, current: Deployment | None, now: datetime
) -> list[OpenFinding]:
    """Return the critical findings of the version, and of the one that it replaces.

    Those of the latter that the version is declared not to have don't count.
    """
    replaced = [current.version_id] if current is not None else []
    found = (
        Finding.objects.for_organization(version.organization_id)
        .critical(now)
        .filter(version__in={version.pk, *replaced})
        .exclude(remediations__version=version)
        .select_related("version")
        .order_by("pk")
    )
    return [
        OpenFinding(
            one.pk, one.version.version, one.title, one.version_id == version.pk
        )
        for one in found
    ]


def closed(asked: Asked, *, action: str, actor: Actor, **told: Any) -> ConflictError:
    """Remember that the gate was closed; return the error to raise.

    Without an approval it is ApprovalRequiredError, else GateClosedError.
    """
    version, gate = asked.version, asked.to_json()
    lacks_approval = any(rule.rule == "approval" for rule in asked.judgement.closing)
    kind = ApprovalRequiredError if lacks_approval else GateClosedError
    record(
        version.organization_id,
        actor=actor,
        action=action,
        object=version,
        after={"gate": gate, **told},
        outcome="denied",
        reason=kind.code,
        policy_version=asked.policy.pk,
        approval_id=asked.approval_id,
        override_id=asked.override.pk if asked.override else None,
    )
    listed = "; ".join(
        rule.detail or f"{rule.rule} is {rule.observed}, not {rule.limit}"
        for rule in asked.judgement.closing[:3]
    )
    return kind(
        f"The gate to {asked.environment} is closed for {version.version}: {listed}",
        extra={
            "gate": gate,
            "deployment_status": version.status,
            "next": list(asked.judgement.steps),
        },
    )


@deed
def check(version: ModelVersion, *, environment: str, actor: Actor) -> Asked:
    """Ask the gate, and do nothing else; the answer is in the trail.

    Raises as a deployment would: ApprovalRequiredError or GateClosedError.
    """
    asked = ask(version, environment)
    if not asked.judgement.is_open:
        raise closed(asked, action="gate.checked", actor=actor)
    record(
        version.organization_id,
        actor=actor,
        action="gate.checked",
        object=version,
        after={"gate": asked.to_json()},
        policy_version=asked.policy.pk,
        approval_id=asked.approval_id,
        override_id=asked.judgement.override,
    )
    return asked
