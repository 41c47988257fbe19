"""The fields of a model in a request and in an answer, in both dialects."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.utils.dateparse import parse_duration
from django.utils.duration import duration_iso_string
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from governance.actions.registry import PARTS, Registration
from governance.api.base import NumberField, StrictSerializer, TextField
from governance.exceptions import InvalidError, fault
from governance.models import Membership, ModelVersion, RegisteredModel, User
from governance.schema import SCHEMA_FIELDS, Schema, SchemaError

MODEL_FIELDS = ("description", "purpose", "external_ref", "risk_tier", "cadence")
VERSION_FIELDS = (
    "description",
    "training_accuracy",
    "fairness_baseline",
    "artifact_digest",
)
# A few centuries more would overflow the database's interval arithmetic.
LONGEST_HORIZON = timedelta(days=3650)


@extend_schema_field(OpenApiTypes.DURATION)
class HorizonField(serializers.Field[timedelta, Any, str, Any]):
    """A time span: ISO 8601 (`P30D`, `PT6H`), or a number of days."""

    def to_internal_value(self, data: Any) -> timedelta:
        span = None
        if isinstance(data, int | float) and not isinstance(data, bool):
            span = timedelta(days=min(data, 1e6))
        elif isinstance(data, str) and data.startswith("P"):
            span = parse_duration(data)
        if span is None or not timedelta(0) <= span <= LONGEST_HORIZON:
            raise serializers.ValidationError(
                "expected an ISO 8601 duration such as P30D, or a number of days, "
                f"up to {LONGEST_HORIZON.days} days",
                code="duration",
            )
        return span

    def to_representation(self, value: timedelta) -> str:
        return duration_iso_string(value)


class LabelHorizon(StrictSerializer):
    """When labels come, after the prediction: not before `min`, not after `max`."""

    min = HorizonField(required=False, allow_null=True)
    max = HorizonField(required=False, allow_null=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        low, high = attrs.get("min"), attrs.get("max")
        if low is not None and high is not None and low > high:
            raise serializers.ValidationError(
                {"max": [serializers.ErrorDetail("is below min", "range")]}
            )
        return attrs


class SchemaFields(StrictSerializer):
    """The fields of `governance.schema`, which reads them itself."""

    task = serializers.JSONField(
        required=False, help_text="binary, multiclass or regression; else inferred"
    )
    classes = serializers.JSONField(
        required=False, help_text="in the order of `probabilities`"
    )
    positive_class = serializers.JSONField(required=False)
    favourable_outcome = serializers.JSONField(
        required=False, help_text="the outcome that fairness asks for"
    )
    decision_threshold = serializers.JSONField(required=False)
    primary_metric = serializers.JSONField(
        required=False, help_text="roc_auc, accuracy, mae or rmse"
    )
    protected_attributes = serializers.JSONField(
        required=False, help_text='["SEX"] or {"AGE": [30, 45, 60]} (bands)'
    )
    attributes = serializers.JSONField(
        required=False, help_text="logged for fairness, never a model input"
    )
    schema_mode = serializers.JSONField(required=False, help_text="lenient or strict")
    importance = serializers.JSONField(
        required=False, help_text='{"age": 0.4}, in any unit'
    )
    schema_definition = serializers.JSONField(
        required=False, help_text='{"features", "target", "feature_types"}'
    )
    features = serializers.JSONField(required=False)
    feature_types = serializers.JSONField(required=False)
    target = serializers.JSONField(required=False)
    target_type = serializers.JSONField(required=False)


class ModelFields(SchemaFields):
    """What both dialects can say of a model beyond its name and version."""

    description = TextField(required=False, allow_blank=True, max_length=10_000)
    purpose = TextField(required=False, allow_blank=True, max_length=10_000)
    external_ref = TextField(required=False, allow_blank=True, max_length=200)
    risk_tier = serializers.ChoiceField(
        RegisteredModel.RiskTier.choices,
        required=False,
        help_text="unset counts as high",
    )
    cadence = serializers.ChoiceField(RegisteredModel.Cadence.choices, required=False)
    label_horizon = LabelHorizon(required=False, allow_null=True)
    owner = serializers.EmailField(required=False, help_text="a member's e-mail")


class VersionFields(serializers.Serializer[Any]):
    """What is known of one version at its birth."""

    training_accuracy = NumberField(
        required=False, allow_null=True, min_value=0, max_value=1
    )
    fairness_baseline = NumberField(
        required=False, allow_null=True, min_value=0, max_value=1
    )
    artifact_digest = serializers.RegexField(
        r"^[0-9a-f]{64}$", required=False, help_text="SHA-256 in hex"
    )
    baseline = serializers.JSONField(
        required=False, help_text="as in POST /api/v1/drift/baselines"
    )


class PlatformRegistration(VersionFields, ModelFields):
    """The body of `POST /api/models`."""

    model_name = TextField(max_length=200)
    version = TextField(max_length=100)


class QuickRegistration(VersionFields, ModelFields):
    """The body of `POST /models`."""

    name = TextField(max_length=200, source="model_name")
    version = TextField(max_length=100)


class ModelChange(ModelFields):
    """The body of `PATCH /api/models/{id}`."""

    model_name = TextField(max_length=200, required=False)
    version = TextField(
        max_length=100,
        required=False,
        help_text="whose schema fields are meant; the shown version if absent",
    )


def model_fields(data: Mapping[str, Any], organization_id: int) -> dict[str, Any]:
    """Return a model's own fields under the names of its columns."""
    fields = {name: data[name] for name in MODEL_FIELDS if name in data}
    if "label_horizon" in data:
        horizon = data["label_horizon"] or {}
        fields["label_horizon_min"] = horizon.get("min")
        fields["label_horizon_max"] = horizon.get("max")
    if "owner" in data:
        fields["owner"] = member(data["owner"], organization_id)
    return fields


def member(email: str, organization_id: int, *, field: str = "owner") -> User:
    """Return the member with this address, or raise InvalidError for the field."""
    membership = (
        Membership.objects.for_organization(organization_id)
        .in_effect()
        .filter(user__email__iexact=email)
        .select_related("user")
        .first()
    )
    if membership is None:
        raise InvalidError(
            errors=[fault(field, code="not_a_member", detail="no member has it")]
        )
    return membership.user


def schema_fields(data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: data[name] for name in SCHEMA_FIELDS if data.get(name) is not None}


def read_schema(definition: Mapping[str, Any]) -> Schema:
    """Return the schema, or raise InvalidError that names every fault of it."""
    try:
        return Schema.from_json(definition)
    except SchemaError as error:
        raise InvalidError(
            errors=[
                fault(*one.loc, code=one.code, detail=one.detail)
                for one in error.errors
            ]
        ) from None


def registration(data: Mapping[str, Any], organization_id: int) -> Registration:
    """Turn a validated body of either dialect into what the deed takes."""
    parts = {name: data[name] for name in PARTS if data.get(name) is not None}
    if "baseline" in data and "baseline" not in PARTS:
        raise InvalidError(
            errors=[fault("baseline", code="unavailable", detail="is not kept here")]
        )
    schema = schema_fields(data)
    return Registration(
        name=data["model_name"],
        version=data["version"],
        schema=read_schema(schema) if schema else None,
        model_fields=model_fields(data, organization_id),
        version_fields={
            name: data[name] for name in VERSION_FIELDS if data.get(name) is not None
        },
        parts=parts,
    )


class FeatureAnswer(serializers.Serializer[Any]):
    """A feature as the Quick start describes it."""

    feature_name = serializers.CharField(source="name")
    feature_type = serializers.CharField(source="type", allow_null=True)
    order = serializers.IntegerField()
    importance = serializers.FloatField(allow_null=True)


class VersionAnswer(serializers.Serializer[Any]):
    """What both dialects answer about a model, shown through one version of it."""

    id = serializers.IntegerField(source="model.pk")
    slug = serializers.CharField(source="model.slug")
    version = serializers.CharField()
    description = serializers.CharField(source="model.description")
    status = serializers.CharField()
    deployment_status = serializers.CharField(source="status")
    governance_status = serializers.CharField(source="assessment.status")
    risk_score = serializers.FloatField(source="assessment.score", allow_null=True)
    risk_tier = serializers.SerializerMethodField()
    purpose = serializers.CharField(source="model.purpose")
    external_ref = serializers.CharField(source="model.external_ref")
    owner = serializers.EmailField(source="model.owner.email")
    cadence = serializers.CharField(source="model.cadence")
    label_horizon = serializers.SerializerMethodField()
    training_accuracy = serializers.FloatField(allow_null=True)
    fairness_baseline = serializers.FloatField(allow_null=True)
    artifact_digest = serializers.CharField()
    task = serializers.CharField(source="schema.task", allow_null=True)
    classes = serializers.ListField(source="schema.classes", allow_null=True)
    positive_class = serializers.CharField(
        source="schema.positive_class", allow_null=True
    )
    favourable_outcome = serializers.CharField(
        source="schema.favourable_outcome", allow_null=True
    )
    decision_threshold = serializers.FloatField(
        source="schema.decision_threshold", allow_null=True
    )
    primary_metric = serializers.CharField(
        source="schema.primary_metric", allow_null=True
    )
    protected_attributes = serializers.DictField(source="schema.protected")
    attributes = serializers.DictField(source="schema.attributes")
    schema_mode = serializers.CharField(source="schema.mode")
    created_by = serializers.IntegerField(source="created_by_id")
    created_at = serializers.DateTimeField()
    last_prediction_at = serializers.DateTimeField(allow_null=True)

    def get_risk_tier(self, version: ModelVersion) -> str | None:
        return version.model.risk_tier or None

    @extend_schema_field(
        {
            "type": "object",
            "properties": {
                side: {"type": ["string", "null"], "format": "duration"}
                for side in ("min", "max")
            },
        }
    )
    def get_label_horizon(self, version: ModelVersion) -> dict[str, str | None]:
        model = version.model
        spans = {"min": model.label_horizon_min, "max": model.label_horizon_max}
        return {
            name: None if span is None else duration_iso_string(span)
            for name, span in spans.items()
        }


class PlatformModel(VersionAnswer):
    """A model as the Platform dialect answers it."""

    model_name = serializers.CharField(source="model.name")
    schema_definition = serializers.SerializerMethodField()

    def get_schema_definition(self, version: ModelVersion) -> dict[str, Any]:
        schema = version.schema
        types = {one.name: one.type for one in schema.features if one.type}
        if schema.target and schema.target_type:
            types[schema.target] = schema.target_type
        return {
            "features": [one.name for one in schema.features],
            "target": schema.target,
            "feature_types": types,
            "importance": {
                one.name: one.importance
                for one in schema.features
                if one.importance is not None
            },
        }


class QuickModel(VersionAnswer):
    """A model as the Quick start answers it."""

    name = serializers.CharField(source="model.name")
    features = FeatureAnswer(many=True, source="schema.features")
