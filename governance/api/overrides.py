"""Overrides: ask for one, decide on it, end it."""

from __future__ import annotations

from typing import Any, ClassVar

import django_filters
from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from governance.actions import authority, override_terms, overrides
from governance.actions.override_checks import Terms
from governance.api.base import ApiView, StrictSerializer, TextField, validated
from governance.api.documents import WRITING, operation
from governance.api.lists import (
    PAGING,
    PAGING_DOCUMENT,
    ModelReferenceFilter,
    Page,
    one_of,
    page_of,
)
from governance.api.registry import named_version
from governance.models import ApiKey, Override

ENVIRONMENTS = ApiKey.Environment.choices
EXAMPLE: dict[str, Any] = {
    "id": 3,
    "model_id": 1,
    "model": "credit-risk-classifier",
    "version": "2.1.0",
    "environment": "production",
    "rules": ["R7"],
    "status": "under_review",
    "justification": "The group has 41 applicants; the retrained model is due.",
    "requested_by": "ada@example.com",
    "requested_at": "2025-01-31T12:00:00Z",
    "expires_at": "2025-02-03T12:00:00Z",
    "next": "The reviewer approves or rejects it.",
}


class RuleName(TextField):
    """The name of a rule of the gate."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=40, **kwargs)


class OverrideRequest(StrictSerializer):
    """Which rules shall not count, for which version, where, why and until when."""

    model_id = serializers.JSONField(help_text="the model's id or slug")
    version = TextField(required=False, max_length=100)
    environment = serializers.ChoiceField(
        ENVIRONMENTS, default=ApiKey.Environment.PRODUCTION
    )
    rules = serializers.ListField(child=RuleName(), allow_empty=False, max_length=20)
    justification = TextField(max_length=5_000, help_text="at least 20 characters")
    expires_at = serializers.DateTimeField()
    starts_at = serializers.DateTimeField(required=False)


class OverrideChange(StrictSerializer):
    """What is proposed instead."""

    justification = TextField(max_length=5_000)
    rules = serializers.ListField(
        child=RuleName(), allow_empty=False, max_length=20, required=False
    )
    expires_at = serializers.DateTimeField(required=False)


class ExtensionRequest(StrictSerializer):
    """Until when it shall go on, and why."""

    justification = TextField(max_length=5_000)
    expires_at = serializers.DateTimeField()


class Grant(StrictSerializer):
    """Why it is granted; needs the password again."""

    reason = TextField(max_length=5_000)
    password = TextField(max_length=1000, trim_whitespace=False)


class OverrideReason(StrictSerializer):
    """Why."""

    reason = TextField(max_length=5_000)


class NoFields(StrictSerializer):
    """Nothing."""


class OverrideAnswer(serializers.Serializer[Any]):
    """An override."""

    id = serializers.IntegerField()
    model_id = serializers.IntegerField(source="version.model_id")
    model = serializers.CharField(source="version.model.slug")
    version = serializers.CharField(source="version.version")
    environment = serializers.CharField()
    rules = serializers.ListField(child=serializers.CharField())
    status = serializers.ChoiceField(Override.Status.choices)
    in_force = serializers.BooleanField(source="is_in_force")
    justification = serializers.CharField()
    is_justified = serializers.BooleanField()
    requested_by = serializers.CharField(source="requested_label")
    requested_at = serializers.DateTimeField()
    reviewed_by = serializers.CharField(source="reviewed_label")
    reviewed_at = serializers.DateTimeField(allow_null=True)
    decided_by = serializers.CharField(source="decided_label")
    decided_at = serializers.DateTimeField(allow_null=True)
    decision = serializers.CharField()
    extends = serializers.IntegerField(source="extends_id", allow_null=True)
    starts_at = serializers.DateTimeField(allow_null=True)
    activated_at = serializers.DateTimeField(allow_null=True)
    expires_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)
    ended_by = serializers.CharField(source="ended_label")
    end_reason = serializers.CharField()
    gate = serializers.JSONField()
    next = serializers.SerializerMethodField()

    def get_next(self, override: Override) -> str:
        return overrides.NEXT[overrides.Status(override.status)]


class OverridePage(Page):
    """One page of overrides."""

    results = OverrideAnswer(many=True)


class MetricsAnswer(serializers.Serializer[Any]):
    """How the organization lives with its exceptions."""

    active = serializers.IntegerField()
    awaiting = serializers.IntegerField(help_text="a decision")
    oldest_waiting_hours = serializers.FloatField(allow_null=True)
    expiring_soon = serializers.IntegerField(help_text="within 72 hours")
    average_age_hours = serializers.FloatField(allow_null=True)


class OverrideFilter(django_filters.FilterSet):  # type: ignore[misc]
    """The filters of a list of overrides."""

    model = ModelReferenceFilter(field_name="version__model")
    version = django_filters.CharFilter(field_name="version__version")
    environment = django_filters.ChoiceFilter(choices=ENVIRONMENTS)
    status = django_filters.MultipleChoiceFilter(choices=Override.Status.choices)
    rule = django_filters.CharFilter(field_name="rules", method="of_rule")

    def of_rule(
        self, rows: QuerySet[Override], name: str, value: str
    ) -> QuerySet[Override]:
        return rows.filter(rules__contains=[value])


class OverrideView(ApiView):
    """A view of the caller's overrides."""

    def rows(self) -> QuerySet[Override]:
        found: QuerySet[Override] = Override.objects.for_organization(
            self.credential.organization_id
        ).select_related("version__model")
        return found

    def override(self, reference: str) -> Override:
        return one_of(self.rows(), reference)

    def answer(self, override: Override, status: int = 200) -> Response:
        found = self.rows().get(pk=override.pk)
        return Response(OverrideAnswer(found).data, status=status)


class OverridesView(OverrideView):
    """All overrides: list them, ask for one."""

    required_scopes: ClassVar[dict[str, str]] = {
        "GET": "governance:read",
        "POST": "governance:write",
    }
    query_parameters: ClassVar[dict[str, frozenset[str]]] = {
        "GET": frozenset(OverrideFilter.base_filters) | PAGING
    }

    @operation(
        "List overrides, newest first",
        answer=OverridePage,
        parameters=[
            OpenApiParameter("model", description="the model's id or slug"),
            OpenApiParameter("version"),
            OpenApiParameter("environment", enum=ApiKey.Environment.values),
            OpenApiParameter("status", enum=Override.Status.values, many=True),
            OpenApiParameter("rule", description="such as R7"),
            *PAGING_DOCUMENT,
        ],
        answer_example={"next": None, "previous": None, "results": [EXAMPLE]},
        tag="Overrides",
    )
    def get(self, request: Request) -> Response:
        return page_of(
            self.rows(), request, filters=OverrideFilter, answer=OverrideAnswer
        )

    @operation(
        "Ask for an override",
        request=OverrideRequest,
        answer=OverrideAnswer,
        status=201,
        errors=(*WRITING, 409),
        example={
            "model_id": 1,
            "version": "2.1.0",
            "rules": ["R7"],
            "justification": "The group has 41 applicants; the retrained model is due.",
            "expires_at": "2025-02-03T12:00:00Z",
        },
        answer_example={**EXAMPLE, "status": "proposed"},
        tag="Overrides",
    )
    def post(self, request: Request) -> Any:
        data = validated(OverrideRequest, request)
        model = self.model(str(data["model_id"]))
        version = named_version(model, data.get("version"))

        def propose() -> Response:
            made = overrides.propose(
                version,
                environment=data["environment"],
                terms=Terms(
                    rules=data["rules"],
                    justification=data["justification"],
                    expires_at=data["expires_at"],
                    starts_at=data.get("starts_at"),
                ),
                actor=self.actor,
            )
            return self.answer(made, status=201)

        return self.once(propose)


class OverrideMetricsView(OverrideView):
    """How many there are, how long they wait and last."""

    required_scopes: ClassVar[dict[str, str]] = {"GET": "governance:read"}

    @operation(
        "Count the overrides",
        answer=MetricsAnswer,
        answer_example={
            "active": 2,
            "awaiting": 1,
            "oldest_waiting_hours": 3.5,
            "expiring_soon": 1,
            "average_age_hours": 20.0,
        },
        tag="Overrides",
    )
    def get(self, request: Request) -> Response:
        found = override_terms.metrics(self.credential.organization_id)
        return Response(MetricsAnswer(found).data)


class OneOverrideView(OverrideView):
    """One override."""

    required_scopes: ClassVar[dict[str, str]] = {
        "GET": "governance:read",
        "PATCH": "governance:write",
    }

    @operation(
        "Get an override",
        answer=OverrideAnswer,
        answer_example=EXAMPLE,
        tag="Overrides",
    )
    def get(self, request: Request, reference: str) -> Response:
        return self.answer(self.override(reference))

    @operation(
        "Change a proposal, or propose a rejected one again",
        request=OverrideChange,
        answer=OverrideAnswer,
        errors=(*WRITING, 409),
        example={"justification": "The retrained model is due on Friday, see TICKET-7"},
        answer_example={**EXAMPLE, "status": "proposed"},
        description=(
            "What was approved is never changed: an extension is a new review (409)."
        ),
        tag="Overrides",
    )
    def patch(self, request: Request, reference: str) -> Response:
        override = self.override(reference)
        data = validated(OverrideChange, request)
        changed = overrides.resubmit(
            override,
            justification=data["justification"],
            rules=data.get("rules"),
            expires_at=data.get("expires_at"),
            actor=self.actor,
        )
        return self.answer(changed)


class _StepView(OverrideView):
    """A view that takes an override from one state to the next."""

    required_scopes: ClassVar[dict[str, str]] = {"POST": "governance:write"}


class ReviewView(_StepView):
    """proposed → under_review."""

    @operation(
        "Begin to review an override",
        request=NoFields,
        answer=OverrideAnswer,
        errors=(*WRITING, 409),
        example={},
        answer_example=EXAMPLE,
        tag="Overrides",
    )
    def post(self, request: Request, reference: str) -> Response:
        override = self.override(reference)
        validated(NoFields, request)
        return self.answer(overrides.begin_review(override, actor=self.actor))


class ApproveView(_StepView):
    """under_review → approved → active, by a second person."""

    @operation(
        "Approve an override",
        request=Grant,
        answer=OverrideAnswer,
        errors=(*WRITING, 409, 429),
        example={"reason": "Small exposure, short term", "password": "…"},
        answer_example={**EXAMPLE, "status": "active"},
        description="By somebody else than whoever asked, with the password again.",
        tag="Overrides",
    )
    def post(self, request: Request, reference: str) -> Response:
        override = self.override(reference)
        data = validated(Grant, request)
        actor = authority.confirmed(
            self.actor,
            data["password"],
            organization_id=override.organization_id,
            path=request.path,
        )
        return self.answer(
            overrides.approve(override, reason=data["reason"], actor=actor)
        )


class RejectView(_StepView):
    """under_review → rejected."""

    @operation(
        "Reject an override",
        request=OverrideReason,
        answer=OverrideAnswer,
        errors=(*WRITING, 409),
        example={"reason": "Wait for the retrained model"},
        answer_example={**EXAMPLE, "status": "rejected"},
        tag="Overrides",
    )
    def post(self, request: Request, reference: str) -> Response:
        override = self.override(reference)
        data = validated(OverrideReason, request)
        return self.answer(
            overrides.reject(override, reason=data["reason"], actor=self.actor)
        )


class RevokeView(_StepView):
    """→ revoked; what is deployed under it is suspended."""

    @operation(
        "Revoke an override",
        request=OverrideReason,
        answer=OverrideAnswer,
        errors=(*WRITING, 409),
        example={"reason": "The complaint was upheld"},
        answer_example={**EXAMPLE, "status": "revoked"},
        tag="Overrides",
    )
    def post(self, request: Request, reference: str) -> Response:
        override = self.override(reference)
        data = validated(OverrideReason, request)
        return self.answer(
            overrides.revoke(override, reason=data["reason"], actor=self.actor)
        )


class ExtendView(_StepView):
    """A new review of an active one."""

    @operation(
        "Ask for an active override to go on",
        request=ExtensionRequest,
        answer=OverrideAnswer,
        status=201,
        errors=(*WRITING, 409),
        example={
            "justification": "The retrained model is two days late, see TICKET-7",
            "expires_at": "2025-02-05T12:00:00Z",
        },
        answer_example={**EXAMPLE, "id": 4, "extends": 3, "status": "proposed"},
        tag="Overrides",
    )
    def post(self, request: Request, reference: str) -> Any:
        override = self.override(reference)
        data = validated(ExtensionRequest, request)

        def extend() -> Response:
            made = overrides.extend(
                override,
                justification=data["justification"],
                expires_at=data["expires_at"],
                actor=self.actor,
            )
            return self.answer(made, status=201)

        return self.once(extend)
