"""From evidence to the governance status: decided, stored and told together."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import rfc8785
from django.utils import timezone

from governance.actions import findings, policies
from governance.actions.audit import Actor, deed, record
from governance.decision import (
    Effect,
    Facts,
    FailedRule,
    Level,
    PreviousState,
    Status,
    Verdict,
    decide,
    explain,
)
from governance.decision.causes import cause_of_rule
from governance.models import (
    Assessment,
    Evidence,
    Finding,
    ModelVersion,
    Notification,
    PolicyVersion,
    RiskScore,
    StatusChange,
)

# The history gets a point when the index moves by one, and hourly in any case.
NOTABLE_CHANGE = 1.0
HISTORY_STEP = timedelta(hours=1)
# Which failed rules count once the status is this.
EFFECTS = {
    Status.AT_RISK: {Effect.AT_RISK},
    Status.BLOCKED: {Effect.AT_RISK, Effect.BLOCK},
}
SEVERITY = {
    Effect.AT_RISK: Finding.Severity.MEDIUM,
    Effect.BLOCK: Finding.Severity.CRITICAL,
}


@dataclass(frozen=True, slots=True)
class _Judgement:
    """One assessment on its way: what was known, what was decided, and when."""

    version: ModelVersion
    assessment: Assessment
    policy: PolicyVersion
    verdict: Verdict
    reasons: list[str]
    now: datetime
    actor: Actor | None


@deed
def assess(
    version: ModelVersion,
    *,
    facts: Facts,
    source: Mapping[str, Any],
    window: tuple[datetime, datetime] | None,
    is_evaluation: bool,
    actor: Actor | None = None,
) -> Assessment:
    """Judge a version by the policy in force, and store what follows from it.

    1. Lock the version's assessment: two workers decide one after the other.
    2. Decide, given the state before (`governance.decision.decide`).
    3. Store a point of the risk history if the index has moved by one point, an hour
       has passed, or the status changes; with it the evidence.
    4. At a change of status: its row, a finding per failed rule, a notification, and
       an entry of the trail.
    5. Rewrite the assessment.

    `source` names the baseline and the counts that the facts come from. `is_evaluation`
    says whether this counts towards the consecutive evaluations that a change needs.
    """
    assessment = _locked(version)
    policy = policies.in_force_for(version.model)
    verdict = decide(
        facts, policy.thresholds, _previous(assessment), counts=is_evaluation
    )
    judgement = _Judgement(
        version,
        assessment,
        policy,
        verdict,
        explain(verdict, policy.spoken),
        timezone.now(),
        actor,
    )
    is_notable = _is_notable(judgement)
    if is_notable or verdict.is_changed:
        evidence = _store_evidence(version, facts, source, window)
        assessment.evidence = evidence
        if is_notable:
            _store_score(judgement, evidence)
    if verdict.is_changed:
        _change_status(judgement)
    _open_findings(judgement, is_evaluation=is_evaluation)
    _rewrite(judgement, rows=facts.n, is_evaluation=is_evaluation)
    return assessment


def _locked(version: ModelVersion) -> Assessment:
    Assessment.objects.get_or_create(
        version=version, defaults={"organization_id": version.organization_id}
    )
    return Assessment.objects.select_for_update().get(version=version)


def _previous(assessment: Assessment) -> PreviousState:
    return PreviousState(
        Status(assessment.status),
        Status(assessment.candidate) if assessment.candidate else None,
        assessment.candidate_evaluations,
    )


def _is_notable(judgement: _Judgement) -> bool:
    risk = judgement.verdict.risk
    if risk is None:
        return False
    last = RiskScore.objects.filter(version=judgement.version).first()
    return (
        last is None
        or judgement.verdict.is_changed
        or abs(risk.score - last.score) >= NOTABLE_CHANGE
        or judgement.now - last.computed_at >= HISTORY_STEP
    )


def _store_evidence(
    version: ModelVersion,
    facts: Facts,
    source: Mapping[str, Any],
    window: tuple[datetime, datetime] | None,
) -> Evidence:
    content = facts.to_json()
    start, end = window or (None, None)
    return Evidence.objects.create(
        organization_id=version.organization_id,
        version=version,
        facts=content,
        digest=hashlib.sha256(rfc8785.dumps(content)).hexdigest(),
        source=dict(source),
        window_start=start,
        window_end=end,
    )


def _store_score(judgement: _Judgement, evidence: Evidence) -> None:
    verdict, version = judgement.verdict, judgement.version
    risk = verdict.risk
    if risk is None:
        return
    RiskScore.objects.create(
        organization_id=version.organization_id,
        model_id=version.model_id,
        version=version,
        score=risk.score,
        drift_component=risk.drift,
        fairness_component=risk.fairness,
        governance_status=verdict.status.value,
        explanation=judgement.reasons,
        terms=verdict.to_json()["risk"],
        policy_version=judgement.policy,
        evidence=evidence,
        computed_at=judgement.now,
    )


def _change_status(judgement: _Judgement) -> None:
    version, verdict = judgement.version, judgement.verdict
    evidence = judgement.assessment.evidence
    change = StatusChange.objects.create(
        organization_id=version.organization_id,
        version=version,
        status=verdict.status.value,
        previous=verdict.previous.value,
        reasons=judgement.reasons,
        evidence=evidence,
        policy_version=judgement.policy,
        since=judgement.now,
    )
    told = {
        "model": version.model.name,
        "version": version.version,
        "status": change.status,
        "previous": change.previous,
        "reasons": judgement.reasons,
        "score": verdict.risk.score if verdict.risk else None,
        "evidence": evidence.pk if evidence else None,
    }
    Notification.objects.create(
        organization_id=version.organization_id,
        event="model.status_changed",
        version=version,
        subject=f"{version} is {change.get_status_display().lower()}"[:500],
        payload=told,
    )
    record(
        version.organization_id,
        actor=judgement.actor,
        action="model.status_changed",
        object=version,
        before={"status": change.previous},
        after=told,
        policy_version=judgement.policy.pk,
    )


def _open_findings(judgement: _Judgement, *, is_evaluation: bool) -> None:
    """Open one finding per failed rule that made the status what it is.

    A refresh comes every few seconds: what is open already is touched only when the
    status changes or an evaluation counts.
    """
    failed = [rule for rule in judgement.verdict.failed if _counts(rule, judgement)]
    if not failed:
        return
    # Of several rules with one cause the gravest stands for it.
    failed.sort(key=lambda rule: findings.SEVERITIES.index(SEVERITY[rule.effect]))
    causes = {cause_of(rule): rule for rule in failed}
    if not (is_evaluation or judgement.verdict.is_changed):
        known = Finding.objects.not_closed().filter(
            version=judgement.version, cause__in=causes
        )
        for cause in known.values_list("cause", flat=True):
            del causes[cause]
    for cause, rule in causes.items():
        findings.open_finding(
            judgement.version,
            cause=cause,
            severity=SEVERITY[rule.effect],
            title=rule.evidence,
            detail={
                "rule": rule.rule,
                "name": rule.name,
                "level": rule.level.value,
                "effect": rule.effect.value,
                "subject": rule.subject,
                "observed": rule.observed,
                "limit": rule.limit,
                "policy_version": judgement.policy.pk,
                "evidence": judgement.assessment.evidence_id,
            },
            actor=judgement.actor,
        )


def cause_of(rule: FailedRule) -> str:
    """Return the stable key of what went wrong, such as `drift:PAY_STATUS`."""
    return cause_of_rule(rule.rule, rule.subject)[:300]


def _counts(rule: FailedRule, judgement: _Judgement) -> bool:
    return rule.level is not Level.ADVISORY and rule.effect in EFFECTS.get(
        judgement.verdict.status, set()
    )


def _rewrite(judgement: _Judgement, *, rows: int, is_evaluation: bool) -> None:
    assessment, verdict = judgement.assessment, judgement.verdict
    if verdict.is_changed:
        assessment.since = judgement.now
    assessment.status = verdict.status.value
    assessment.candidate = verdict.candidate.value if verdict.candidate else ""
    assessment.candidate_evaluations = verdict.candidate_evaluations
    if verdict.status is not Status.BLOCKED:
        assessment.blocked_evaluations = 0
    elif is_evaluation or verdict.is_changed:
        assessment.blocked_evaluations += 1
    assessment.verdict = verdict.to_json()
    assessment.reasons = judgement.reasons
    assessment.score = verdict.risk.score if verdict.risk else None
    assessment.fairness_score = verdict.risk.fairness_ratio if verdict.risk else None
    assessment.rows = rows
    assessment.evaluated_at = judgement.now
    assessment.policy_version = judgement.policy
    assessment.save()
