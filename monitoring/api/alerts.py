"""Alert settings in the Drift dialect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from governance.api.base import ApiView, StrictSerializer, validated
from governance.api.documents import READING, WRITING, operation
from governance.models import RegisteredModel
from monitoring.actions import alerts
from monitoring.alerting.settings import FREQUENCIES, AlertSettings
from monitoring.api import live
from monitoring.api.drift import MODEL_ID, READ, model_parameter

WRITE = "mlops:write"
EXAMPLE: dict[str, Any] = {
    "modelId": "credit-risk-classifier",
    **AlertSettings().to_json(),
    "algorithms": {
        "enabled": ["psi", "ks_test", "chi_square", "jensen_shannon"],
        "overrides": {
            "ks_test": {"warningThreshold": 0.05, "alertThreshold": 0.15},
            "jensen_shannon": {"params": {"bins": "doane"}},
        },
    },
    "notifications": {
        "email": True,
        "slack": "https://hooks.example.com/services/T0/B0/x",
        "discord": None,
        "webhook": None,
        "recipients": ["model-risk@example.com"],
    },
    "schedule": {"enabled": True, "frequency": "daily", "timeWindowDays": 7},
}


class OverrideDocument(serializers.Serializer[Any]):
    """What is set otherwise of one algorithm."""

    warningThreshold = serializers.FloatField(required=False)
    alertThreshold = serializers.FloatField(required=False)
    params = serializers.DictField(required=False)


class AlgorithmsDocument(serializers.Serializer[Any]):
    """The algorithms that alert, and what is set of any."""

    enabled = serializers.ListField(child=serializers.CharField(), required=False)
    overrides = serializers.DictField(child=OverrideDocument(), required=False)


class ChannelsDocument(serializers.Serializer[Any]):
    """Where messages go."""

    email = serializers.BooleanField(required=False)
    slack = serializers.URLField(required=False, allow_null=True)
    discord = serializers.URLField(required=False, allow_null=True)
    webhook = serializers.URLField(required=False, allow_null=True)
    recipients = serializers.ListField(child=serializers.CharField(), required=False)


class ScheduleDocument(serializers.Serializer[Any]):
    """When analyses run by themselves."""

    enabled = serializers.BooleanField(required=False)
    frequency = serializers.ChoiceField(FREQUENCIES, required=False)
    timeWindowDays = serializers.IntegerField(required=False)


class SettingsDocument(serializers.Serializer[Any]):
    """The alert settings of a model."""

    modelId = serializers.JSONField()
    enabled = serializers.BooleanField(required=False)
    algorithms = AlgorithmsDocument(required=False)
    accuracyDropWarning = serializers.FloatField(required=False)
    accuracyDropAlert = serializers.FloatField(required=False)
    performanceDropRelative = serializers.FloatField(required=False)
    minBaselineSampleSize = serializers.IntegerField(required=False)
    notifications = ChannelsDocument(required=False)
    schedule = ScheduleDocument(required=False)


class SettingsAnswer(SettingsDocument):
    """The alert settings of a model, complete."""

    updatedAt = serializers.DateTimeField(allow_null=True)


class Updated(serializers.Serializer[Any]):
    """That they were stored."""

    updated = serializers.BooleanField()


class SettingsBody(StrictSerializer):
    """What of the body is read here: whose settings; the reader knows the rest."""

    modelId = serializers.JSONField()

    def get_fields(self) -> dict[str, Any]:
        rest = {
            name: serializers.JSONField(required=False, allow_null=True)
            for name in AlertSettings().to_json()
        }
        return {**super().get_fields(), **rest}


class AlertsView(ApiView):
    """The alert settings of a model: read them, replace them."""

    required_scopes: ClassVar[dict[str, str]] = {"GET": READ, "PUT": WRITE}
    query_parameters: ClassVar[dict[str, frozenset[str]]] = {
        "GET": frozenset({"modelId"})
    }

    @operation(
        "Tell the alert settings of a model",
        answer=SettingsAnswer,
        errors=READING,
        parameters=[MODEL_ID],
        answer_example={**EXAMPLE, "updatedAt": "2025-01-31T12:00:00Z"},
        tag="Drift",
    )
    def get(self, request: Request) -> Response:
        reference = model_parameter(request)
        return Response(_told(reference, self.model(reference)))

    @operation(
        "Replace the alert settings of a model",
        request=SettingsDocument,
        answer=Updated,
        errors=(*WRITING, 409),
        example=EXAMPLE,
        answer_example={"updated": True},
        description=(
            "What is absent has its default. Once a version is approved, settings can "
            "be made stricter, never looser: that takes a change request (409)."
        ),
        tag="Drift",
    )
    def put(self, request: Request) -> Response:
        given = validated(SettingsBody, request)
        model = self.model(str(given.pop("modelId")))
        alerts.change(model, settings=alerts.read(given), actor=self.actor)
        return Response({"updated": True})


def _told(reference: str, model: RegisteredModel) -> Mapping[str, Any]:
    config = alerts.config_of(model)
    settings = AlertSettings() if config is None else config.settings
    return {
        "modelId": live.model_id(reference),
        **settings.to_json(),
        "updatedAt": None if config is None else live.moment(config.updated_at),
    }
