"""Findings: list them, open one, work on it until somebody else closes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import django_filters
from django.db.models import Prefetch, QuerySet
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from governance.actions import findings
from governance.api.base import ApiView, StrictSerializer, TextField, validated
from governance.api.documents import WRITING, F, operation
from governance.api.lists import (
    PAGING,
    PAGING_DOCUMENT,
    ModelReferenceFilter,
    Page,
    one_of,
    page_of,
)
from governance.api.registry import named_version
from governance.api.registry_fields import member
from governance.models import Finding, FindingAction

ROW_EXAMPLE: dict[str, Any] = {
    "id": 17,
    "model_id": 1,
    "model": "credit-risk-classifier",
    "version": "2.1.0",
    "cause": "drift:PAY_STATUS",
    "severity": "critical",
    "status": "open",
    "title": "PAY_STATUS PSI 1.05 > 0.25",
    "detail": {"observed": 1.05, "limit": 0.25},
    "occurrences": 1,
    "owner": "ada@example.com",
    "due_at": "2025-02-07T12:00:00Z",
    "opened_at": "2025-01-31T12:00:00Z",
    "last_seen_at": "2025-01-31T12:00:00Z",
    "resolved_by": "",
    "resolved_at": None,
    "resolution": "",
    "closed_by": "",
    "closed_at": None,
    "closing_reason": "",
}
EXAMPLE: dict[str, Any] = {
    **ROW_EXAMPLE,
    "next": "Begin to work on it (start).",
    "comments": [
        {
            "id": 4,
            "author": "ada@example.com",
            "text": "The bureau changed its codes in August.",
            "created_at": "2025-01-31T13:00:00Z",
        }
    ],
    "links": [],
    "actions": [],
    "remediations": [],
}


class CommentAnswer(serializers.Serializer[Any]):
    """One contribution to the discussion."""

    id = serializers.IntegerField()
    author = serializers.CharField(source="author_label")
    text = serializers.CharField()
    created_at = serializers.DateTimeField()


class LinkAnswer(serializers.Serializer[Any]):
    """Something that the finding rests on."""

    id = serializers.IntegerField()
    evidence_id = serializers.IntegerField(allow_null=True)
    reference = serializers.CharField()
    note = serializers.CharField()
    added_by = serializers.CharField(source="added_label")
    created_at = serializers.DateTimeField()


class ActionAnswer(serializers.Serializer[Any]):
    """Something that was asked for because of the finding."""

    id = serializers.IntegerField()
    kind = serializers.ChoiceField(FindingAction.Kind.choices)
    status = serializers.ChoiceField(FindingAction.Status.choices)
    note = serializers.CharField()
    until = serializers.DateTimeField(allow_null=True)
    requested_by = serializers.CharField(source="requested_label")
    requested_at = serializers.DateTimeField()
    decided_by = serializers.CharField(source="decided_label")
    decided_at = serializers.DateTimeField(allow_null=True)
    decision = serializers.CharField()


class RemediationAnswer(serializers.Serializer[Any]):
    """A version that was declared not to have what was found."""

    id = serializers.IntegerField()
    version = serializers.CharField(source="version.version")
    reason = serializers.CharField()
    declared_by = serializers.CharField(source="declared_label")
    declared_at = serializers.DateTimeField()


class FindingRow(serializers.Serializer[Any]):
    """A finding in a list."""

    id = serializers.IntegerField()
    model_id = serializers.IntegerField(source="version.model_id")
    model = serializers.CharField(source="version.model.slug")
    version = serializers.CharField(source="version.version")
    cause = serializers.CharField()
    severity = serializers.ChoiceField(Finding.Severity.choices)
    status = serializers.ChoiceField(Finding.Status.choices)
    title = serializers.CharField()
    detail = serializers.JSONField()
    occurrences = serializers.IntegerField()
    owner = serializers.EmailField(source="owner.email", default=None)
    due_at = serializers.DateTimeField(allow_null=True)
    opened_at = serializers.DateTimeField()
    last_seen_at = serializers.DateTimeField()
    resolved_by = serializers.CharField(source="resolved_label")
    resolved_at = serializers.DateTimeField(allow_null=True)
    resolution = serializers.CharField()
    closed_by = serializers.CharField(source="closed_label")
    closed_at = serializers.DateTimeField(allow_null=True)
    closing_reason = serializers.CharField()


class FindingAnswer(FindingRow):
    """A finding with all that belongs to it."""

    next = serializers.SerializerMethodField(help_text="what has to happen now")
    comments = CommentAnswer(many=True)
    links = LinkAnswer(many=True)
    actions = ActionAnswer(many=True)
    remediations = RemediationAnswer(many=True)

    def get_next(self, finding: Finding) -> str:
        return findings.NEXT[findings.Status(finding.status)]


class FindingPage(Page):
    """One page of findings."""

    results = FindingRow(many=True)


class FindingFilter(django_filters.FilterSet):  # type: ignore[misc]
    """The filters of a list of findings."""

    model = ModelReferenceFilter(field_name="version__model")
    version = django_filters.CharFilter(field_name="version__version")
    status = django_filters.MultipleChoiceFilter(choices=Finding.Status.choices)
    severity = django_filters.MultipleChoiceFilter(choices=Finding.Severity.choices)
    owner = django_filters.CharFilter(field_name="owner__email", lookup_expr="iexact")
    cause = django_filters.CharFilter()
    due_before = django_filters.IsoDateTimeFilter(
        field_name="due_at", lookup_expr="lte"
    )


FILTERS_DOCUMENT = [
    OpenApiParameter("model", description="the model's id or slug"),
    OpenApiParameter("version"),
    OpenApiParameter("status", enum=Finding.Status.values, many=True),
    OpenApiParameter("severity", enum=Finding.Severity.values, many=True),
    OpenApiParameter("owner", description="the owner's e-mail"),
    OpenApiParameter("cause", description="such as R1:PAY_STATUS"),
    OpenApiParameter("due_before", description="ISO 8601"),
    *PAGING_DOCUMENT,
]


class FindingReport(StrictSerializer):
    """The body of a finding that a person opens."""

    model_id = serializers.JSONField(help_text="the model's id or slug")
    version = TextField(required=False, max_length=100)
    title = TextField(max_length=500)
    severity = serializers.ChoiceField(Finding.Severity.choices)
    detail = TextField(required=False, max_length=10_000, default="")
    owner = serializers.EmailField(required=False)
    due_at = serializers.DateTimeField(required=False)


class FindingChange(StrictSerializer):
    """Whose a finding is, and until when."""

    owner = serializers.EmailField(required=False)
    due_at = serializers.DateTimeField(required=False)


class Reason(StrictSerializer):
    """Why."""

    reason = TextField(max_length=5_000)


class OptionalReason(StrictSerializer):
    """Why, if there is something to say."""

    reason = TextField(max_length=5_000, required=False, allow_blank=True, default="")


class FindingView(ApiView):
    """A view of the caller's findings."""

    def rows(self) -> QuerySet[Finding]:
        found: QuerySet[Finding] = Finding.objects.for_organization(
            self.credential.organization_id
        ).select_related("version__model", "owner")
        return found

    def finding(self, reference: str) -> Finding:
        return one_of(self.rows(), reference)

    def answer(self, finding: Finding, status: int = 200) -> Response:
        """Read the finding again, with all that belongs to it."""
        actions = Prefetch("actions", FindingAction.objects.order_by("pk"))
        rows = self.rows().prefetch_related(
            "comments", "links", actions, "remediations__version"
        )
        return Response(FindingAnswer(rows.get(pk=finding.pk)).data, status=status)


class FindingsView(FindingView):
    """All findings: list them, open one."""

    required_scopes: ClassVar[dict[str, str]] = {
        "GET": "governance:read",
        "POST": "governance:write",
    }
    query_parameters: ClassVar[dict[str, frozenset[str]]] = {
        "GET": frozenset(FindingFilter.base_filters) | PAGING
    }

    @operation(
        "List findings, newest first",
        answer=FindingPage,
        parameters=FILTERS_DOCUMENT,
        answer_example={"next": None, "previous": None, "results": [ROW_EXAMPLE]},
        tag="Findings",
    )
    def get(self, request: Request) -> Response:
        return page_of(self.rows(), request, filters=FindingFilter, answer=FindingRow)

    @operation(
        "Open a finding",
        request=FindingReport,
        answer=FindingAnswer,
        status=201,
        errors=WRITING,
        example={
            "model_id": 1,
            "version": "2.1.0",
            "title": "The model card names no owner of the data",
            "severity": "medium",
        },
        answer_example=EXAMPLE,
        tag="Findings",
    )
    def post(self, request: Request) -> Any:
        data = validated(FindingReport, request)
        model = self.model(str(data["model_id"]))
        version = named_version(model, data.get("version"))
        owner = data.get("owner")

        def report() -> Response:
            made = findings.report(
                version,
                title=data["title"],
                severity=data["severity"],
                detail=data["detail"],
                owner=member(owner, model.organization_id) if owner else None,
                due_at=data.get("due_at"),
                actor=self.actor,
            )
            return self.answer(made, status=201)

        return self.once(report)


class OneFindingView(FindingView):
    """One finding."""

    required_scopes: ClassVar[dict[str, str]] = {
        "GET": "governance:read",
        "PATCH": "governance:write",
    }

    @operation(
        "Get a finding",
        answer=FindingAnswer,
        answer_example=EXAMPLE,
        tag="Findings",
    )
    def get(self, request: Request, reference: str) -> Response:
        return self.answer(self.finding(reference))

    @operation(
        "Assign a finding",
        request=FindingChange,
        answer=FindingAnswer,
        errors=(*WRITING, 409),
        example={"owner": "ada@example.com", "due_at": "2025-02-14T12:00:00Z"},
        answer_example=EXAMPLE,
        tag="Findings",
    )
    def patch(self, request: Request, reference: str) -> Response:
        finding = self.finding(reference)
        data = validated(FindingChange, request)
        owner = data.get("owner")
        changed = findings.assign(
            finding,
            owner=member(owner, finding.organization_id) if owner else None,
            due_at=data.get("due_at"),
            actor=self.actor,
        )
        return self.answer(changed)


class _StepView(FindingView):
    """A view that takes a finding from one state to the next."""

    required_scopes: ClassVar[dict[str, str]] = {"POST": "governance:write"}
    body: type[StrictSerializer] = Reason

    def step(self, request: Request, reference: str, deed: Any) -> Response:
        finding = self.finding(reference)
        data = validated(self.body, request)
        return self.answer(deed(finding, reason=data["reason"], actor=self.actor))


def step(
    summary: str, request: type[StrictSerializer], reason: str
) -> Callable[[F], F]:
    decorator: Callable[[F], F] = operation(
        summary,
        request=request,
        answer=FindingAnswer,
        errors=(*WRITING, 409),
        example={"reason": reason},
        answer_example=EXAMPLE,
        tag="Findings",
    )
    return decorator


class StartView(_StepView):
    """open → in_progress."""

    body = OptionalReason

    @step("Begin to work on a finding", OptionalReason, "Looking at the data feed")
    def post(self, request: Request, reference: str) -> Response:
        return self.step(request, reference, findings.start)


class ResolveView(_StepView):
    """in_progress → resolved."""

    @step("Resolve a finding", Reason, "The feed was repaired; PSI is 0.04 again")
    def post(self, request: Request, reference: str) -> Response:
        return self.step(request, reference, findings.resolve)


class ReopenView(_StepView):
    """resolved → in_progress."""

    @step("Send a finding back to work", Reason, "Only one of two feeds was repaired")
    def post(self, request: Request, reference: str) -> Response:
        return self.step(request, reference, findings.reopen)


class CloseView(_StepView):
    """resolved → closed, by somebody else."""

    @step("Close a finding", Reason, "Seen over a whole week")
    def post(self, request: Request, reference: str) -> Response:
        return self.step(request, reference, findings.close)
