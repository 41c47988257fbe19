"""Policies: list them, make one, begin from a template."""

from __future__ import annotations

from typing import Any, ClassVar

import django_filters
from django.db.models import Count, Prefetch, QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.response import Response

from governance.actions import policies, policy_templates
from governance.api.base import ApiView, validated
from governance.api.documents import WRITING, operation
from governance.api.lists import (
    PAGING,
    PAGING_DOCUMENT,
    FlagFilter,
    Page,
    one_of,
    page_of,
)
from governance.api.policy_fields import (
    CONTENT,
    FILE,
    POLICY_EXAMPLE,
    YAML,
    NewPolicy,
    PolicyAnswer,
    PolicyParser,
    TemplateAnswer,
)
from governance.models import Organization, Policy, PolicyVersion

TAG = "Policies"
Status = PolicyVersion.Status
TEMPLATE_EXAMPLE: dict[str, Any] = {
    "name": "strict",
    "title": "Strict",
    "description": "For models whose failure would do lasting harm.",
    "content": CONTENT,
}


class PolicyPage(Page):
    """One page of policies."""

    results = PolicyAnswer(many=True)


class PolicyFilter(django_filters.FilterSet):  # type: ignore[misc]
    """The filters of a list of policies."""

    name = django_filters.CharFilter(lookup_expr="icontains")
    is_default = FlagFilter()


class PolicyView(ApiView):
    """A view of the caller's policies."""

    def rows(self) -> QuerySet[Policy]:
        shown = (
            PolicyVersion.objects.exclude(status=Status.ARCHIVED)
            .select_related("created_by", "edited_by")
            .order_by("-number")
        )
        found: QuerySet[Policy] = (
            Policy.objects.for_organization(self.credential.organization_id)
            .annotate(count=Count("versions"))
            .select_related("organization")
            .prefetch_related(Prefetch("versions", shown))
        )
        return found

    def policy(self, reference: str) -> Policy:
        return one_of(self.rows(), reference)

    def answer(self, policy: Policy, status: int = 200) -> Response:
        found = self.rows().get(pk=policy.pk)
        return Response(PolicyAnswer(found).data, status=status)


class PoliciesView(PolicyView):
    """All policies: list them, make one."""

    parser_classes = [PolicyParser]
    required_scopes: ClassVar[dict[str, str]] = {
        "GET": "governance:read",
        "POST": "governance:write",
    }
    query_parameters: ClassVar[dict[str, frozenset[str]]] = {
        "GET": frozenset(PolicyFilter.base_filters) | PAGING
    }

    @operation(
        "List policies, newest first",
        answer=PolicyPage,
        parameters=[
            OpenApiParameter("name", description="part of it"),
            OpenApiParameter("is_default", bool),
            *PAGING_DOCUMENT,
        ],
        answer_example={"next": None, "previous": None, "results": [POLICY_EXAMPLE]},
        tag=TAG,
    )
    def get(self, request: Request) -> Response:
        return page_of(self.rows(), request, filters=PolicyFilter, answer=PolicyAnswer)

    @operation(
        "Make a policy with a first draft",
        request={"application/json": NewPolicy, YAML: OpenApiTypes.STR},
        answer=PolicyAnswer,
        status=201,
        errors=(*WRITING, 409),
        example={"name": "Credit", "content": {"fairness_minimum": 0.85}},
        file_examples={YAML: FILE},
        answer_example={**POLICY_EXAMPLE, "is_default": False, "active": None},
        description=(
            "From JSON, from a template, or from a policy file (YAML). It holds for "
            "nobody until a second person has agreed to its publication."
        ),
        tag=TAG,
    )
    def post(self, request: Request) -> Any:
        data = validated(NewPolicy, request)
        organization = Organization.objects.get(pk=self.credential.organization_id)

        def create() -> Response:
            made = policies.create_policy(
                organization,
                name=data["name"],
                content=data["content"],
                actor=self.actor,
            )
            return self.answer(made.policy, status=201)

        return self.once(create)


class OnePolicyView(PolicyView):
    """One policy."""

    required_scopes: ClassVar[dict[str, str]] = {"GET": "governance:read"}

    @operation(
        "Get a policy", answer=PolicyAnswer, answer_example=POLICY_EXAMPLE, tag=TAG
    )
    def get(self, request: Request, reference: str) -> Response:
        return Response(PolicyAnswer(self.policy(reference)).data)


class TemplatesView(ApiView):
    """The policies to begin with."""

    required_scopes: ClassVar[dict[str, str]] = {"GET": "governance:read"}

    @operation(
        "List the templates of policies",
        answer=TemplateAnswer(many=True),
        answer_example=[TEMPLATE_EXAMPLE],
        tag=TAG,
    )
    def get(self, request: Request) -> Response:
        found = [_template(name) for name in policy_templates.names()]
        return Response(TemplateAnswer(found, many=True).data)


class TemplateView(ApiView):
    """One template."""

    required_scopes: ClassVar[dict[str, str]] = {"GET": "governance:read"}

    @operation(
        "Get a template of a policy",
        answer=TemplateAnswer,
        answer_example=TEMPLATE_EXAMPLE,
        tag=TAG,
    )
    def get(self, request: Request, name: str) -> Response:
        return Response(TemplateAnswer(_template(name)).data)


def _template(name: str) -> dict[str, Any]:
    """Return a template as answers have it, or raise NotFoundError."""
    document = policy_templates.read(name)
    return {
        "name": name,
        "title": document.name,
        "description": document.description,
        "content": document.content,
    }
