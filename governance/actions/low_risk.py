"""Approval by the system, where the policy lets it approve what has a low risk."""

from __future__ import annotations

from typing import Any

from governance.models import (
    Assessment,
    GovernanceStatus,
    ModelVersion,
    PolicyVersion,
)


def grant(version: ModelVersion, policy: PolicyVersion) -> dict[str, Any] | None:
    """Return why the system may approve a version by itself, or None if it may not.

    The risk is read again, under a lock: measured, within limits and at most the
    policy's threshold. The model's tier has to be set, and one that the policy names.
    """
    setting = policy.thresholds.controls.auto_approval
    if not setting.enabled or version.model.risk_tier not in setting.tiers:
        return None
    assessment = (
        Assessment.objects.select_for_update(of=("self",))
        .filter(version=version, status=GovernanceStatus.APPROVED)
        .first()
    )
    if assessment is None or assessment.score is None:
        return None
    if assessment.score > setting.maximum_risk:
        return None
    return {
        "policy_version": policy.number,
        "tier": version.model.risk_tier,
        "threshold": setting.maximum_risk,
        "risk": assessment.score,
        "evidence": assessment.evidence_id,
        "evaluated_at": assessment.evaluated_at and assessment.evaluated_at.isoformat(),
    }
