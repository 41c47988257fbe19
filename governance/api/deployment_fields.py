"""What the interface says of deployments, and takes about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers

from governance.actions import deployments
from governance.actions.deployments import Fallback
from governance.api.base import FlagField, NumberField, StrictSerializer, TextField
from governance.exceptions import InvalidError, fault
from governance.models import ApiKey, Deployment, ModelVersion, RegisteredModel

ENVIRONMENTS = ApiKey.Environment.choices
PRODUCTION = ApiKey.Environment.PRODUCTION
GATE: dict[str, Any] = {
    "result": "ALLOW",
    "environment": "production",
    "mode": "prevent",
    "would_be": None,
    "model": "credit-risk-classifier",
    "version": "2.1.0",
    "purpose": "deploy",
    "rules": [
        {
            "rule": "approval",
            "name": "the version is approved as it is now",
            "level": "hard",
            "passed": True,
            "observed": "valid",
            "limit": "valid",
            "subject": "",
            "detail": "",
            "evidence": None,
            "override": None,
            "next": "",
        }
    ],
    "policy": {"id": 1, "version": 3, "hash": "5f0c…"},
    "approval_id": 9,
    "override_id": None,
    "evidence_id": 311,
    "checked_at": "2025-01-31T12:00:00Z",
}
EXAMPLE: dict[str, Any] = {
    "deployment_id": 7,
    "deployment_status": "deployed",
    "model_id": 1,
    "model": "credit-risk-classifier",
    "version": "2.1.0",
    "environment": "production",
    "kind": "deploy",
    "started_at": "2025-01-31T12:00:00Z",
    "fallback": {"kind": "previous_version", "version": "2.0.0", "text": "…"},
    "gate": GATE,
}


class FallbackFields(StrictSerializer):
    """What serves instead when the version may not."""

    kind = serializers.ChoiceField(Deployment.Fallback.choices)
    version = TextField(max_length=100, required=False)
    text = TextField(max_length=500, required=False, default="")


class DeploymentRequest(StrictSerializer):
    """Which version, where to, and whether an override is meant to let it through."""

    override = FlagField(default=False)
    version = TextField(
        required=False, max_length=100, help_text="absent: the newest approved one"
    )
    environment = serializers.ChoiceField(ENVIRONMENTS, default=PRODUCTION)
    fallback = FallbackFields(required=False)
    reason = TextField(max_length=5_000, required=False, default="")
    justification = TextField(
        max_length=5_000,
        required=False,
        min_length=20,
        help_text="of the override, if one has to be asked for",
    )
    expires_at = serializers.DateTimeField(
        required=False, help_text="of the override; absent: the policy's limit"
    )


class RollbackRequest(StrictSerializer):
    """Which earlier version comes back, and why."""

    version = TextField(
        required=False, max_length=100, help_text="absent: the one before"
    )
    environment = serializers.ChoiceField(ENVIRONMENTS, default=PRODUCTION)
    fallback = FallbackFields(required=False)
    reason = TextField(max_length=5_000)


class SuspensionRequest(StrictSerializer):
    """Where to stop the model, and why."""

    environment = serializers.ChoiceField(ENVIRONMENTS, default=PRODUCTION)
    reason = TextField(max_length=5_000)


class ResumptionRequest(StrictSerializer):
    """Where to let the model go on."""

    environment = serializers.ChoiceField(ENVIRONMENTS, default=PRODUCTION)
    fallback = FallbackFields(required=False)
    reason = TextField(max_length=5_000, required=False, default="")


class BreakGlassRequest(StrictSerializer):
    """The version that has to serve now, whatever the gate says."""

    version = TextField(required=False, max_length=100)
    environment = serializers.ChoiceField(ENVIRONMENTS, default=PRODUCTION)
    hours = NumberField(required=False, help_text="at most 8; absent: the most")
    fallback = FallbackFields(required=False)
    reason = TextField(max_length=5_000)
    password = TextField(max_length=1000, trim_whitespace=False)


class Ratification(StrictSerializer):
    """Whether a second person stands by it."""

    agrees = FlagField()
    reason = TextField(max_length=5_000)
    password = TextField(max_length=1000, trim_whitespace=False)


class AdoptionFields(StrictSerializer):
    """One version that is in production already."""

    model_id = serializers.JSONField(help_text="the model's id or slug")
    version = TextField(required=False, max_length=100)
    environment = serializers.ChoiceField(ENVIRONMENTS, default=PRODUCTION)
    since = serializers.DateTimeField(required=False)
    fallback = FallbackFields(required=False)


class IntakeRequest(StrictSerializer):
    """Versions that are in production already, and why they are taken up."""

    items = serializers.ListField(
        child=AdoptionFields(), allow_empty=False, max_length=200
    )
    reason = TextField(max_length=5_000)


class DeploymentAnswer(serializers.Serializer[Any]):
    """A deployment: what was in an environment from when until when."""

    deployment_id = serializers.IntegerField(source="pk")
    deployment_status = serializers.CharField(source="state")
    model_id = serializers.IntegerField()
    model = serializers.CharField(source="model.slug")
    version = serializers.CharField(source="version.version")
    environment = serializers.CharField()
    kind = serializers.ChoiceField(Deployment.Kind.choices)
    reason = serializers.CharField()
    requested_by = serializers.CharField(source="requested_label")
    started_at = serializers.DateTimeField()
    live_until = serializers.DateTimeField(allow_null=True)
    mode = serializers.CharField()
    gate = serializers.JSONField()
    approval_id = serializers.IntegerField(allow_null=True)
    override_id = serializers.IntegerField(allow_null=True)
    fallback = serializers.SerializerMethodField()
    due_at = serializers.DateTimeField(allow_null=True)
    overdue_at = serializers.DateTimeField(allow_null=True)
    until = serializers.DateTimeField(allow_null=True)
    ratify_by = serializers.DateTimeField(allow_null=True)
    ratified_by = serializers.CharField(source="ratified_label")
    ratified_at = serializers.DateTimeField(allow_null=True)
    suspended_at = serializers.DateTimeField(allow_null=True)
    suspension = serializers.CharField()
    suspended_by = serializers.CharField(source="suspended_label")
    suspension_reason = serializers.CharField()
    ended_at = serializers.DateTimeField(allow_null=True)
    end = serializers.CharField()
    ended_by = serializers.CharField(source="ended_label")

    def get_fallback(self, deployment: Deployment) -> dict[str, Any]:
        return deployments.fallback_json(deployment)


def fallback_of(
    data: Mapping[str, Any] | None, model: RegisteredModel
) -> Fallback | None:
    """Return what a request names as the fallback, if it names one."""
    if data is None:
        return None
    version: ModelVersion | None = None
    if name := data.get("version"):
        version = model.versions.filter(version=name).first()
        if version is None:
            raise InvalidError(
                errors=[
                    fault("fallback", "version", code="unknown_version", detail=name)
                ]
            )
    return Fallback(data["kind"], version, data["text"])
