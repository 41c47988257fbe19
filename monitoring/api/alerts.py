"""Alert settings in the Drift dialect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from governance.api.base import ApiView, StrictSerializer, TextField, validated
from governance.api.documents import READING, WRITING, operation
from governance.exceptions import InvalidError, fault
from governance.models import RegisteredModel
from monitoring.actions import alerts
from monitoring.alerting.settings import FREQUENCIES, AlertSettings
from monitoring.api import live
from monitoring.api.drift import MODEL_ID, READ, model_parameter

WRITE = "mlops:write"
DEFAULT_DAYS, LONGEST_DAYS = 90, 180
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


_OUTCOME: dict[str, Any] = {
    "alerts": 1,
    "cleared": 0,
    "events": [
        {
            "date": "2025-01-24",
            "event": "raised",
            "cause": "drift:income",
            "feature": "income",
            "level": "alert",
            "source": "live",
            "title": "income: psi 0.31 ≥ 0.25",
            "algorithm": "psi",
            "score": 0.31,
            "warning": 0.1,
            "alert": 0.25,
        }
    ],
    "eventsLeftOut": 0,
    "stillOpen": ["drift:income"],
    "algorithms": {
        "psi": {
            "alertDays": 1,
            "warningDays": 0,
            "features": {"income": {"alertDays": ["2025-01-24"], "warningDays": []}},
        }
    },
}
PREVIEW_EXAMPLE: dict[str, Any] = {
    "modelId": "credit-risk-classifier",
    "modelVersion": "2.1.0",
    "windowStart": "2024-11-03",
    "windowEnd": "2025-01-31",
    "days": 90,
    "daysWithData": 89,
    "daysMeasured": 89,
    "daysWithoutData": ["2024-12-25"],
    "analyses": 0,
    "proposed": _OUTCOME,
    "current": _OUTCOME,
    "notReplayed": [],
    "limitedByPolicy": [],
    "looser": [],
}


class OverrideDocument(serializers.Serializer[Any]):
    """What is set otherwise of one algorithm."""

    warningThreshold = serializers.FloatField(required=False, allow_null=True)
    alertThreshold = serializers.FloatField(required=False, allow_null=True)
    params = serializers.DictField(required=False, allow_null=True)


class AlgorithmsDocument(serializers.Serializer[Any]):
    """The algorithms that alert, and what is set of any."""

    enabled = serializers.ListField(
        child=serializers.CharField(), required=False, allow_null=True
    )
    overrides = serializers.DictField(
        child=OverrideDocument(), required=False, allow_null=True
    )


@extend_schema_field(
    {"anyOf": [{"type": "string", "format": "uri"}, {"enum": [False, None]}]}
)
class WebhookField(serializers.JSONField):
    """The address of a webhook; `false` and null are none."""


class ChannelsDocument(serializers.Serializer[Any]):
    """Where messages go."""

    email = serializers.BooleanField(required=False, allow_null=True)
    slack = WebhookField(required=False)
    discord = WebhookField(required=False)
    webhook = WebhookField(required=False)
    recipients = serializers.ListField(
        child=serializers.CharField(), required=False, allow_null=True
    )


class ScheduleDocument(serializers.Serializer[Any]):
    """When analyses run by themselves."""

    enabled = serializers.BooleanField(required=False, allow_null=True)
    frequency = serializers.ChoiceField(FREQUENCIES, required=False, allow_null=True)
    timeWindowDays = serializers.IntegerField(required=False, allow_null=True)


class SettingsDocument(serializers.Serializer[Any]):
    """The alert settings of a model."""

    modelId = serializers.JSONField()
    enabled = serializers.BooleanField(required=False, allow_null=True)
    algorithms = AlgorithmsDocument(required=False, allow_null=True)
    accuracyDropWarning = serializers.FloatField(required=False, allow_null=True)
    accuracyDropAlert = serializers.FloatField(required=False, allow_null=True)
    performanceDropRelative = serializers.FloatField(required=False, allow_null=True)
    minBaselineSampleSize = serializers.IntegerField(required=False, allow_null=True)
    notifications = ChannelsDocument(required=False, allow_null=True)
    schedule = ScheduleDocument(required=False, allow_null=True)


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


class DaysDocument(serializers.Serializer[Any]):
    """On which days something was at a level."""

    alertDays = serializers.ListField(child=serializers.DateField())
    warningDays = serializers.ListField(child=serializers.DateField())


class AlgorithmDocument(serializers.Serializer[Any]):
    """What one algorithm would have said."""

    alertDays = serializers.IntegerField()
    warningDays = serializers.IntegerField()
    features = serializers.DictField(child=DaysDocument())


class EventDocument(serializers.Serializer[Any]):
    """Something that somebody would have been told."""

    date = serializers.DateField()
    event = serializers.ChoiceField(("raised", "worsened", "cleared"))
    cause = serializers.CharField()
    feature = serializers.CharField()
    level = serializers.CharField()
    title = serializers.CharField()
    algorithm = serializers.CharField()
    score = serializers.FloatField()
    warning = serializers.FloatField()
    alert = serializers.FloatField()

    def get_fields(self) -> dict[str, Any]:
        # `source` is a name of DRF's own.
        return {
            **super().get_fields(),
            "source": serializers.ChoiceField(("live", "analysis")),
        }


class OutcomeDocument(serializers.Serializer[Any]):
    """What some settings would have done."""

    alerts = serializers.IntegerField(help_text="how often somebody would be told")
    cleared = serializers.IntegerField()
    events = EventDocument(many=True)
    eventsLeftOut = serializers.IntegerField()
    stillOpen = serializers.ListField(child=serializers.CharField())
    algorithms = serializers.DictField(child=AlgorithmDocument())


class NotReplayedDocument(serializers.Serializer[Any]):
    """An enabled algorithm that the replay knows nothing of."""

    algorithm = serializers.CharField()
    reason = serializers.CharField()


class PreviewDocument(serializers.Serializer[Any]):
    """What settings would have done, and what the present ones did."""

    modelId = serializers.JSONField()
    modelVersion = serializers.CharField()
    windowStart = serializers.DateField(allow_null=True)
    windowEnd = serializers.DateField(allow_null=True)
    days = serializers.IntegerField()
    daysWithData = serializers.IntegerField()
    daysMeasured = serializers.IntegerField()
    daysWithoutData = serializers.ListField(child=serializers.DateField())
    analyses = serializers.IntegerField()
    proposed = OutcomeDocument()
    current = OutcomeDocument()
    notReplayed = NotReplayedDocument(many=True)
    limitedByPolicy = serializers.ListField(child=serializers.CharField())
    looser = serializers.ListField(child=serializers.DictField())


class PreviewRequest(SettingsDocument):
    """The settings to try; those of `PUT /alerts`, or below `configuration`."""

    modelVersion = serializers.CharField(required=False, allow_null=True)
    days = serializers.IntegerField(
        required=False, allow_null=True, min_value=1, max_value=LONGEST_DAYS
    )
    configuration = serializers.DictField(required=False, allow_null=True)


class PreviewBody(SettingsBody):
    """What of the body is read here; the reader knows the rest."""

    modelVersion = TextField(required=False, allow_null=True)
    days = serializers.JSONField(required=False, allow_null=True)
    configuration = serializers.JSONField(required=False, allow_null=True)


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


class PreviewView(ApiView):
    """Trying alert settings on the past."""

    required_scopes: ClassVar[dict[str, str]] = {"POST": WRITE}

    @operation(
        "Try alert settings on the past",
        request=PreviewRequest,
        answer=PreviewDocument,
        errors=WRITING,
        example={**EXAMPLE, "days": 90},
        answer_example=PREVIEW_EXAMPLE,
        description=(
            "How often settings would have alerted in the days up to the newest "
            "prediction, and when, by algorithm and feature; beside it the present "
            "settings. Replayed is what was recorded of each day, by the labels known "
            "today, with one result a day. `daysWithoutData` lists the days of which "
            "nothing is known; `notReplayed` the algorithms that only analyses run, if "
            "none of these days has one. Nothing is stored."
        ),
        tag="Drift",
    )
    def post(self, request: Request) -> Response:
        given = validated(PreviewBody, request)
        reference = str(given.pop("modelId"))
        version = live.shown_version(
            self.model(reference), given.pop("modelVersion", None)
        )
        days = _days(given.pop("days", None))
        settings = alerts.read(_configuration(given))
        from monitoring.actions import previews

        return Response(
            {
                "modelId": live.model_id(reference),
                "modelVersion": version.version,
                **previews.preview(version, settings, days=days),
            }
        )


def _days(value: Any) -> int:
    if value is None:
        return DEFAULT_DAYS
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if is_whole and 1 <= value <= LONGEST_DAYS:
        return int(value)
    detail = f"expected a whole number of days from 1 to {LONGEST_DAYS}"
    raise InvalidError(errors=[fault("days", code="range", detail=detail)])


def _configuration(given: dict[str, Any]) -> Mapping[str, Any]:
    """Return the settings to try, which may stand in an object of their own."""
    inner = given.pop("configuration", None)
    if inner is None:
        return given
    if given:
        detail = "give the settings either here or beside it"
        raise InvalidError(
            errors=[fault("configuration", code="excess", detail=detail)]
        )
    if not isinstance(inner, Mapping):
        detail = "expected an object"
        raise InvalidError(errors=[fault("configuration", code="type", detail=detail)])
    return inner


def _told(reference: str, model: RegisteredModel) -> Mapping[str, Any]:
    config = alerts.config_of(model)
    settings = AlertSettings() if config is None else config.settings
    return {
        "modelId": live.model_id(reference),
        **settings.to_json(),
        "updatedAt": None if config is None else live.moment(config.updated_at),
    }
