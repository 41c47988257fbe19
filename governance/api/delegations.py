"""Delegations: who votes for whom, from when until when."""

from __future__ import annotations

from typing import Any, ClassVar

import django_filters
from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from governance.actions import delegations
from governance.api.base import ApiView, StrictSerializer, TextField, validated
from governance.api.documents import WRITING, operation
from governance.api.findings import OptionalReason
from governance.api.lists import (
    PAGING,
    PAGING_DOCUMENT,
    FlagFilter,
    Page,
    one_of,
    page_of,
)
from governance.api.overrides import NoFields
from governance.api.registry_fields import member
from governance.models import Delegation, Membership, Organization, User

TAG = "Approvals"
VOTING = [
    (role.value, role.label)
    for role in (Membership.Role.VALIDATOR, Membership.Role.COMPLIANCE_OFFICER)
]
EXAMPLE: dict[str, Any] = {
    "id": 2,
    "delegator": "bob@example.com",
    "delegate": "carol@example.com",
    "role": "compliance_officer",
    "starts_at": "2025-02-03T08:00:00Z",
    "ends_at": "2025-02-14T18:00:00Z",
    "reason": "On leave",
    "is_in_effect": False,
    "created_by": "bob@example.com",
    "created_at": "2025-01-31T12:00:00Z",
    "confirmed_by": "bob@example.com",
    "confirmed_at": "2025-01-31T12:00:00Z",
    "ended_by": None,
    "ended_at": None,
}


class DelegationRequest(StrictSerializer):
    """Who shall vote for whom; without a delegator, for the caller."""

    delegator = serializers.EmailField(required=False)
    delegate = serializers.EmailField()
    role = serializers.ChoiceField(VOTING)
    starts_at = serializers.DateTimeField(required=False, help_text="now, if absent")
    ends_at = serializers.DateTimeField(help_text="at most 90 days later")
    reason = TextField(max_length=5_000)


class DelegationAnswer(serializers.Serializer[Any]):
    """A delegation; it counts once it is confirmed."""

    id = serializers.IntegerField()
    delegator = serializers.CharField(source="delegator_label")
    delegate = serializers.CharField(source="delegate_label")
    role = serializers.ChoiceField(VOTING)
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()
    reason = serializers.CharField()
    is_in_effect = serializers.SerializerMethodField()
    created_by = serializers.CharField(source="created_by.email")
    created_at = serializers.DateTimeField()
    confirmed_by = serializers.CharField(
        source="confirmed_by.email", default=None, allow_null=True
    )
    confirmed_at = serializers.DateTimeField(allow_null=True)
    ended_by = serializers.CharField(
        source="revoked_by.email", default=None, allow_null=True
    )
    ended_at = serializers.DateTimeField(source="revoked_at", allow_null=True)

    def get_is_in_effect(self, row: Delegation) -> bool:
        is_ended = row.revoked_at is not None
        counts = row.confirmed_at is not None and not is_ended
        return counts and row.starts_at <= timezone.now() < row.ends_at


class DelegationPage(Page):
    """One page of delegations."""

    results = DelegationAnswer(many=True)


class DelegationFilter(django_filters.FilterSet):  # type: ignore[misc]
    """The filters of a list of delegations."""

    delegator = django_filters.CharFilter(
        field_name="delegator_label", lookup_expr="iexact"
    )
    delegate = django_filters.CharFilter(
        field_name="delegate_label", lookup_expr="iexact"
    )
    role = django_filters.ChoiceFilter(choices=VOTING)
    in_effect = FlagFilter(method="counting")

    def counting(
        self, rows: QuerySet[Delegation], name: str, value: bool
    ) -> QuerySet[Delegation]:
        counting = Delegation.objects.in_effect().values("pk")
        return rows.filter(pk__in=counting) if value else rows.exclude(pk__in=counting)


class DelegationView(ApiView):
    """A view of the caller's delegations."""

    def rows(self) -> QuerySet[Delegation]:
        found: QuerySet[Delegation] = Delegation.objects.for_organization(
            self.credential.organization_id
        ).select_related("organization", "created_by", "confirmed_by", "revoked_by")
        return found

    def answer(self, row: Delegation, status: int = 200) -> Response:
        found = self.rows().get(pk=row.pk)
        return Response(DelegationAnswer(found).data, status=status)


class DelegationsView(DelegationView):
    """All delegations: list them, give one."""

    required_scopes: ClassVar[dict[str, str]] = {
        "GET": "governance:read",
        "POST": "governance:write",
    }
    query_parameters: ClassVar[dict[str, frozenset[str]]] = {
        "GET": frozenset(DelegationFilter.base_filters) | PAGING
    }

    @operation(
        "List delegations, newest first",
        answer=DelegationPage,
        parameters=[
            OpenApiParameter("delegator", description="their e-mail address"),
            OpenApiParameter("delegate", description="their e-mail address"),
            OpenApiParameter("role", enum=[value for value, _ in VOTING]),
            OpenApiParameter("in_effect", bool),
            *PAGING_DOCUMENT,
        ],
        answer_example={"next": None, "previous": None, "results": [EXAMPLE]},
        tag=TAG,
    )
    def get(self, request: Request) -> Response:
        return page_of(
            self.rows(), request, filters=DelegationFilter, answer=DelegationAnswer
        )

    @operation(
        "Let somebody vote for a person",
        request=DelegationRequest,
        answer=DelegationAnswer,
        status=201,
        errors=(*WRITING, 409),
        example={
            "delegate": "carol@example.com",
            "role": "compliance_officer",
            "ends_at": "2025-02-14T18:00:00Z",
            "reason": "On leave",
        },
        answer_example=EXAMPLE,
        description=(
            "To somebody with the same role, never passed on. One's own counts at "
            "once; for somebody absent a second person confirms it."
        ),
        tag=TAG,
    )
    def post(self, request: Request) -> Any:
        data = validated(DelegationRequest, request)
        organization = Organization.objects.get(pk=self.credential.organization_id)
        terms = delegations.Terms(
            delegator=self._person(data, "delegator"),
            delegate=self._person(data, "delegate"),
            role=data["role"],
            starts_at=data.get("starts_at", timezone.now()),
            ends_at=data["ends_at"],
            reason=data["reason"],
        )

        def give() -> Response:
            made = delegations.create(organization, terms, actor=self.actor)
            return self.answer(made, status=201)

        return self.once(give)

    def _person(self, data: dict[str, Any], field: str) -> User:
        if field not in data:
            return User.objects.get(pk=self.credential.user_id)
        return member(data[field], self.credential.organization_id, field=field)


class ConfirmDelegationView(DelegationView):
    """The second person, for somebody absent."""

    required_scopes: ClassVar[dict[str, str]] = {"POST": "governance:write"}

    @operation(
        "Confirm a delegation for somebody absent",
        request=NoFields,
        answer=DelegationAnswer,
        errors=(*WRITING, 409),
        example={},
        answer_example=EXAMPLE,
        tag=TAG,
    )
    def post(self, request: Request, reference: str) -> Response:
        row = one_of(self.rows(), reference)
        validated(NoFields, request)
        return self.answer(delegations.confirm(row, actor=self.actor))


class EndDelegationView(DelegationView):
    """End it early."""

    required_scopes: ClassVar[dict[str, str]] = {"POST": "governance:write"}

    @operation(
        "End a delegation now",
        request=OptionalReason,
        answer=DelegationAnswer,
        errors=(*WRITING, 409),
        example={"reason": "Back earlier"},
        answer_example={
            **EXAMPLE,
            "ended_by": "bob@example.com",
            "ended_at": "2025-02-10T08:00:00Z",
        },
        description="Votes that were cast under it stay.",
        tag=TAG,
    )
    def post(self, request: Request, reference: str) -> Response:
        row = one_of(self.rows(), reference)
        data = validated(OptionalReason, request)
        return self.answer(
            delegations.revoke(row, reason=data["reason"], actor=self.actor)
        )
