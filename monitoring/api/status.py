"""The state of a model on one page: approval, health, risk and drift."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from governance.actions import deployments
from governance.api.base import ApiView
from governance.api.documents import operation
from governance.api.permits import ENVIRONMENT, environment_of
from governance.models import (
    Assessment,
    Deployment,
    GovernanceStatus,
    ModelVersion,
    Override,
)
from monitoring.api import live
from monitoring.api.drift import VERSION
from monitoring.models import LiveResult

EXAMPLE: dict[str, Any] = {
    "model_id": 1,
    "model_name": "Credit Risk Classifier",
    "version": "2.1.0",
    "status": "DEPLOYED",
    "deployment_status": "deployed",
    "governance_status": "AT_RISK",
    "risk_score": 62.5,
    "fairness_score": 0.892,
    "drift_detected": False,
    "recent_predictions": 1247,
    "reasons": ["income PSI 0.31 > 0.25 (rule R1: …)"],
    "active_override": None,
    "deployment": {
        "id": 7,
        "environment": "production",
        "state": "deployed",
        "kind": "deploy",
        "started_at": "2025-01-31T12:00:00Z",
        "suspension": None,
    },
    "fallback": {"kind": "previous_version", "version": "2.0.0", "text": "…"},
    "policy": {"id": 1, "version": 1},
    "last_updated": "2025-01-31T12:00:03Z",
}


class StatusPolicy(serializers.Serializer[Any]):
    """The policy that the status was decided by."""

    id = serializers.IntegerField()
    version = serializers.IntegerField()


class StatusAnswer(serializers.Serializer[Any]):
    """The state of a model."""

    model_id = serializers.JSONField()
    model_name = serializers.CharField()
    version = serializers.CharField()
    status = serializers.CharField()
    deployment_status = serializers.CharField()
    governance_status = serializers.ChoiceField(GovernanceStatus.choices)
    risk_score = serializers.FloatField(allow_null=True)
    fairness_score = serializers.FloatField(allow_null=True)
    drift_detected = serializers.BooleanField()
    recent_predictions = serializers.IntegerField()
    reasons = serializers.ListField(child=serializers.CharField())
    active_override = serializers.JSONField(allow_null=True)
    deployment = serializers.JSONField(allow_null=True)
    fallback = serializers.JSONField(allow_null=True)
    policy = StatusPolicy(allow_null=True)
    last_updated = serializers.DateTimeField()


class StatusView(ApiView):
    """The state of a model."""

    required_scopes: ClassVar[dict[str, str]] = {"GET": "models:read"}
    query_parameters: ClassVar[dict[str, frozenset[str]]] = {
        "GET": frozenset({"version", "environment"})
    }

    @operation(
        "Tell the state of a model",
        answer=StatusAnswer,
        parameters=[VERSION, ENVIRONMENT],
        answer_example=EXAMPLE,
        tag="Models",
    )
    def get(self, request: Request, reference: str) -> Response:
        model = self.model(reference)
        version = live.shown_version(model, request.query_params.get("version"))
        assessment = (
            Assessment.objects.filter(version=version)
            .select_related("policy_version")
            .first()
        )
        result = (
            LiveResult.objects.filter(version=version)
            .only("status", "predictions", "computed_at")
            .first()
        )
        environment = environment_of(request, self.credential.environment)
        return Response(
            _status(reference, version, assessment, result)
            | _serving(version, environment)
        )


def _status(
    reference: str,
    version: ModelVersion,
    assessment: Assessment | None,
    result: LiveResult | None,
) -> dict[str, Any]:
    policy = assessment.policy_version if assessment is not None else None
    updates = [version.created_at]
    if assessment is not None:
        updates += [at for at in (assessment.evaluated_at, assessment.since) if at]
    return {
        "model_id": live.model_id(reference),
        "model_name": version.model.name,
        "version": version.version,
        "status": version.status.upper(),
        "deployment_status": version.status,
        "governance_status": assessment.status
        if assessment is not None
        else GovernanceStatus.NOT_ASSESSED,
        "risk_score": assessment.score if assessment is not None else None,
        "fairness_score": assessment.fairness_score if assessment is not None else None,
        "drift_detected": result is not None
        and result.status == LiveResult.Status.ALERT,
        "recent_predictions": result.predictions if result is not None else 0,
        "reasons": _reasons(assessment),
        "policy": None
        if policy is None
        else {"id": policy.policy_id, "version": policy.number},
        "last_updated": live.moment(max(updates)),
    }


def _serving(version: ModelVersion, environment: str) -> dict[str, Any]:
    """Tell what lets the version serve in an environment, and what serves instead."""
    here = {"version": version, "environment": environment}
    override = Override.objects.in_force().filter(**here).first()
    row = (
        Deployment.objects.filter(**here)
        .select_related("fallback_version")
        .order_by("-started_at", "-pk")
        .first()
    )
    return {
        "active_override": None
        if override is None
        else {
            "id": override.pk,
            "environment": environment,
            "rules": override.rules,
            "expires_at": live.moment(override.expires_at),
        },
        "deployment": None
        if row is None
        else {
            "id": row.pk,
            "environment": environment,
            "state": row.state,
            "kind": row.kind,
            "started_at": live.moment(row.started_at),
            "live_until": live.moment(row.live_until),
            "suspension": row.suspension_reason or None,
        },
        "fallback": None if row is None else deployments.fallback_json(row),
    }


def _reasons(assessment: Assessment | None) -> list[str]:
    """Return why the status isn't "within limits"; nothing if all rules hold."""
    if assessment is None:
        return ["Nothing has been measured yet."]
    verdict = assessment.verdict
    is_quiet = not verdict.get("failed") and not verdict.get("missing")
    if is_quiet and assessment.status == GovernanceStatus.APPROVED:
        return []
    return list(assessment.reasons)
