"""The registered models, in the Platform dialect and in the Quick start's."""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from governance.actions import registry
from governance.actions.audit import deed
from governance.api.base import ApiView, limit_of, validated
from governance.api.documents import WRITING, operation
from governance.api.registry_fields import (
    ModelChange,
    PlatformModel,
    PlatformRegistration,
    QuickModel,
    QuickRegistration,
    VersionAnswer,
    model_fields,
    read_schema,
    registration,
    schema_fields,
)
from governance.api.registry_lists import (
    LIST_DOCUMENT,
    LIST_PARAMETERS,
    ModelFilter,
    Pages,
    filter_faults,
)
from governance.exceptions import InvalidError, NotFoundError, fault
from governance.models import ModelVersion, Organization, RegisteredModel
from governance.schema import Schema

# A baseline may come along.
LARGEST_REGISTRATION = 256 * 1024 * 1024
EXAMPLE = {
    "model_name": "Credit Risk Classifier",
    "version": "2.1.0",
    "description": "Scores applications",
    "training_accuracy": 0.87,
    "fairness_baseline": 0.92,
    "schema_definition": {
        "features": ["age", "income"],
        "target": "credit_approved",
        "feature_types": {"age": "int", "income": "float"},
    },
}
QUICK_EXAMPLE = {
    "name": "Production Fraud Model",
    "version": "1.0.0",
    "description": "Card payments",
    "features": [{"feature_name": "amount", "feature_type": "continuous", "order": 1}],
}
SAME_ANSWER: dict[str, Any] = {
    "id": 1,
    "status": "draft",
    "deployment_status": "draft",
    "governance_status": "NOT_ASSESSED",
    "risk_score": None,
    "risk_tier": None,
    "purpose": "",
    "external_ref": "",
    "owner": "ada@example.com",
    "cadence": "stream",
    "label_horizon": {"min": None, "max": None},
    "training_accuracy": None,
    "fairness_baseline": None,
    "artifact_digest": "",
    "task": None,
    "classes": None,
    "positive_class": None,
    "favourable_outcome": None,
    "decision_threshold": None,
    "primary_metric": None,
    "protected_attributes": {},
    "attributes": {},
    "schema_mode": "lenient",
    "created_by": 1,
    "created_at": "2025-01-31T12:00:00Z",
    "last_prediction_at": None,
}
ANSWER: dict[str, Any] = {
    **SAME_ANSWER,
    "slug": "credit-risk-classifier",
    "model_name": "Credit Risk Classifier",
    "version": "2.1.0",
    "description": "Scores applications",
    "training_accuracy": 0.87,
    "fairness_baseline": 0.92,
    "schema_definition": {
        "features": ["age", "income"],
        "target": "credit_approved",
        "feature_types": {"age": "int", "income": "float"},
        "importance": {},
    },
}
QUICK_ANSWER: dict[str, Any] = {
    **SAME_ANSWER,
    "slug": "production-fraud-model",
    "name": "Production Fraud Model",
    "version": "1.0.0",
    "description": "Card payments",
    "features": [
        {
            "feature_name": "amount",
            "feature_type": "continuous",
            "order": 1,
            "importance": None,
        }
    ],
}


def page_of(one: dict[str, Any]) -> dict[str, Any]:
    """Return the example of a page with one model on it."""
    return {"next": None, "previous": None, "results": [one]}


class Page(serializers.Serializer[Any]):
    """Where a page of a list stands."""

    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)


class ModelPage(Page):
    """One page of models."""

    results = PlatformModel(many=True)


class VersionPage(serializers.Serializer[Any]):
    """The versions of a model."""

    versions = PlatformModel(many=True)
    total = serializers.IntegerField()


class QuickModelPage(Page):
    """One page of models in the Quick start's words."""

    results = QuickModel(many=True)


class ModelsView(ApiView):
    """All models: list them, register one."""

    required_scopes: ClassVar[dict[str, str]] = {
        "GET": "models:read",
        "POST": "models:write",
    }
    query_parameters: ClassVar[dict[str, frozenset[str]]] = {"GET": LIST_PARAMETERS}
    largest_body = LARGEST_REGISTRATION
    registration_serializer: type[serializers.Serializer[Any]] = PlatformRegistration
    answer_serializer: type[VersionAnswer] = PlatformModel
    created_status = 201

    @operation(
        "List models",
        answer=ModelPage,
        answer_example=page_of(ANSWER),
        parameters=LIST_DOCUMENT,
        tag="Models",
        operation_id="api_models_list",
    )
    def get(self, request: Request) -> Response:
        models = RegisteredModel.objects.for_organization(
            self.credential.organization_id
        )
        filters = ModelFilter(
            request.query_params,
            models.select_related("owner", "current_version__assessment"),
        )
        if not filters.is_valid():
            raise InvalidError(errors=filter_faults(filters))
        pages = Pages()
        answer = self.answer_serializer(
            [shown_version(model) for model in pages.of(filters.qs, request)], many=True
        )
        return pages.get_paginated_response(answer.data)

    @operation(
        "Register a model, or a new version of one",
        request=PlatformRegistration,
        answer=PlatformModel,
        status=201,
        errors=(*WRITING, 409),
        example=EXAMPLE,
        answer_example=ANSWER,
        tag="Models",
    )
    def post(self, request: Request) -> Response | HttpResponse:
        before = self.answered_before()
        if before is not None:
            return before
        data = validated(self.registration_serializer, request)
        organization = Organization.objects.get(pk=self.credential.organization_id)
        wanted = registry.prepare(organization, registration(data, organization.pk))
        return self.once(lambda: self._register(organization, wanted))

    def _register(
        self, organization: Organization, wanted: registry.Registration
    ) -> Response:
        version = registry.register(organization, wanted, actor=self.actor)
        answer = self.answer_serializer(fresh(version))
        return Response(answer.data, status=self.created_status)


class QuickModelsView(ModelsView):
    """The same in the Quick start's words, which answers 200."""

    registration_serializer = QuickRegistration
    answer_serializer = QuickModel
    created_status = 200

    @operation(
        "List models",
        answer=QuickModelPage,
        answer_example=page_of(QUICK_ANSWER),
        parameters=LIST_DOCUMENT,
        tag="Quick start",
        operation_id="models_list",
    )
    def get(self, request: Request) -> Response:
        return super().get(request)

    @operation(
        "Register a model, or a new version of one",
        request=QuickRegistration,
        answer=QuickModel,
        errors=(*WRITING, 409),
        example=QUICK_EXAMPLE,
        answer_example=QUICK_ANSWER,
        tag="Quick start",
    )
    def post(self, request: Request) -> Response | HttpResponse:
        return super().post(request)


class ModelView(ApiView):
    """One model."""

    required_scopes: ClassVar[dict[str, str]] = {
        "GET": "models:read",
        "PATCH": "models:write",
    }

    @operation("Get a model", answer=PlatformModel, answer_example=ANSWER, tag="Models")
    def get(self, request: Request, reference: str) -> Response:
        version = shown_version(self.model(reference))
        return Response(PlatformModel(fresh(version)).data)

    @operation(
        "Change a model",
        request=ModelChange,
        answer=PlatformModel,
        errors=(*WRITING, 409),
        example={"risk_tier": "high", "protected_attributes": ["SEX"]},
        answer_example=ANSWER,
        tag="Models",
    )
    def patch(self, request: Request, reference: str) -> Response:
        model = self.model(reference)
        data = validated(ModelChange, request)
        changes = model_fields(data, model.organization_id)
        if "model_name" in data:
            changes["name"] = data["model_name"]
        version = named_version(model, data.get("version"))
        self._change(model, version, changes, schema_fields(data))
        return Response(PlatformModel(fresh(version)).data)

    @deed
    def _change(
        self,
        model: RegisteredModel,
        version: ModelVersion,
        changes: dict[str, Any],
        schema: dict[str, Any],
    ) -> None:
        registry.update(model, changes=changes, actor=self.actor)
        if schema:
            registry.change_schema(
                version, schema=changed_schema(version, schema), actor=self.actor
            )


class QuickModelView(ApiView):
    """One model in the Quick start's words."""

    required_scopes: ClassVar[dict[str, str]] = {"GET": "models:read"}

    @operation(
        "Get a model",
        answer=QuickModel,
        answer_example=QUICK_ANSWER,
        tag="Quick start",
    )
    def get(self, request: Request, reference: str) -> Response:
        return Response(QuickModel(fresh(shown_version(self.model(reference)))).data)


class VersionsView(ApiView):
    """The versions of one model, newest first."""

    required_scopes: ClassVar[dict[str, str]] = {"GET": "models:read"}
    query_parameters: ClassVar[dict[str, frozenset[str]]] = {
        "GET": frozenset({"limit", "offset"})
    }

    @operation(
        "List the versions of a model",
        answer=VersionPage,
        answer_example={"versions": [ANSWER], "total": 1},
        parameters=[
            OpenApiParameter("limit", int, description="at most 1,000; 100 if absent"),
            OpenApiParameter("offset", int),
        ],
        tag="Models",
    )
    def get(self, request: Request, reference: str) -> Response:
        model = self.model(reference)
        start = offset_of(request)
        rows = model.versions.select_related("assessment")
        page = list(rows[start : start + limit_of(request)])
        for version in page:
            version.model = model
        return Response(
            {"versions": PlatformModel(page, many=True).data, "total": rows.count()}
        )


def offset_of(request: Request) -> int:
    """Return the query parameter `offset`, 0 if absent."""
    text = request.query_params.get("offset", "0")
    if text.isascii() and text.isdigit() and len(text) < 10:
        return int(text)
    raise InvalidError(
        errors=[fault("offset", code="range", detail="expected a whole number")]
    )


def shown_version(model: RegisteredModel) -> ModelVersion:
    """Return the version whose state the model shows."""
    version = model.current_version
    if version is None:
        raise NotFoundError
    version.model = model
    return version


def named_version(model: RegisteredModel, name: str | None) -> ModelVersion:
    """Return the version of this name, or the shown one; InvalidError for another."""
    if name is None:
        return shown_version(model)
    found = model.versions.filter(version=name).first()
    if found is None:
        raise InvalidError(
            errors=[fault("version", code="unknown_version", detail=name)]
        )
    found.model = model
    return found


def fresh(version: ModelVersion) -> ModelVersion:
    """Read a version again, with all that an answer says about it."""
    return ModelVersion.objects.select_related("model__owner", "assessment").get(
        pk=version.pk
    )


def changed_schema(version: ModelVersion, changes: dict[str, Any]) -> Schema:
    """Return the version's schema with these fields of a request in their place."""
    definition = version.schema.to_json()
    nested = changes.pop("schema_definition", None)
    if isinstance(nested, dict):
        changes = {**nested, **changes}
    if "importance" in changes and "features" not in changes:
        for feature in definition["features"]:
            feature["importance"] = None
    return read_schema({**definition, **changes})
