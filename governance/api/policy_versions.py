"""Versions of a policy: draft, compare, try on the past, ask for publication."""

from __future__ import annotations

from typing import Any, ClassVar

import django_filters
from django.db.models import QuerySet
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.response import Response

from governance.actions import backtests, policies, publications, submissions
from governance.api.approval_fields import EXAMPLE as APPROVAL_EXAMPLE
from governance.api.approval_fields import ApprovalAnswer, answer_of
from governance.api.base import limit_of, validated
from governance.api.documents import READING, WRITING, operation
from governance.api.lists import PAGING, PAGING_DOCUMENT, Page, page_of
from governance.api.policies import TAG, PolicyView
from governance.api.policy_fields import (
    FILE,
    LINE_EXAMPLE,
    VERSION_EXAMPLE,
    YAML,
    BacktestAnswer,
    DiffAnswer,
    PolicyDraft,
    PolicyParser,
    PolicyVersionAnswer,
    PolicyVersionLine,
    PublicationRequest,
    TouchedAnswer,
)
from governance.decision import comparison, documents
from governance.exceptions import ConflictError, InvalidError, NotFoundError, fault
from governance.models import PolicyVersion

Status = PolicyVersion.Status
BODY = {"application/json": PolicyDraft, YAML: OpenApiTypes.STR}
DRAFT = {"content": {"fairness_minimum": 0.85}}
BACKTEST: dict[str, Any] = {
    "since": "2025-01-01T12:00:00Z",
    "until": "2025-01-31T12:00:00Z",
    "draft": {"version": 4, "hash": LINE_EXAMPLE["hash"]},
    "evidence": 720,
    "step": "hour",
    "models": 1,
    "totals": {
        "days": 30,
        "flips": 1,
        "new_blocks": 0,
        "lifted_blocks": 0,
        "unnecessary_overrides": 0,
    },
    "flips": [
        {
            "version_id": 4,
            "model_id": 1,
            "model": "Credit Risk Classifier",
            "version": "2.1.0",
            "day": "2025-01-31",
            "before": "APPROVED",
            "after": "AT_RISK",
            "is_new_block": False,
            "is_lifted_block": False,
            "reasons": ["Fairness of region 0.82 < 0.85 (policy 4, R7)"],
            "reasons_before": [],
        }
    ],
    "left_out": 0,
    "overrides": [],
}


class PolicyVersionPage(Page):
    """One page of versions."""

    results = PolicyVersionLine(many=True)


class VersionFilter(django_filters.FilterSet):  # type: ignore[misc]
    """The filters of a list of versions."""

    status = django_filters.MultipleChoiceFilter(choices=Status.choices)


class VersionView(PolicyView):
    """A view of the versions of one policy."""

    def versions(self, reference: str) -> QuerySet[PolicyVersion]:
        found: QuerySet[PolicyVersion] = PolicyVersion.objects.filter(
            policy=self.policy(reference)
        ).select_related("policy", "organization", "created_by", "edited_by")
        return found

    def version(self, reference: str, number: str) -> PolicyVersion:
        """Return the policy's version of this number, or raise NotFoundError."""
        rows = self.versions(reference)
        is_number = number.isascii() and number.isdigit() and len(number) < 9
        found = rows.filter(number=int(number)).first() if is_number else None
        if found is None:
            raise NotFoundError
        return found

    def shown(self, version: PolicyVersion, status: int = 200) -> Response:
        rows = PolicyVersion.objects.select_related(
            "policy", "created_by", "edited_by"
        ).prefetch_related("requests")
        found = rows.get(pk=version.pk)
        return Response(PolicyVersionAnswer(found).data, status=status)


class VersionsView(VersionView):
    """All versions of a policy: list them, draft one."""

    parser_classes = [PolicyParser]
    required_scopes: ClassVar[dict[str, str]] = {
        "GET": "governance:read",
        "POST": "governance:write",
    }
    query_parameters: ClassVar[dict[str, frozenset[str]]] = {
        "GET": frozenset(VersionFilter.base_filters) | PAGING
    }

    @operation(
        "List the versions of a policy, newest first",
        answer=PolicyVersionPage,
        parameters=[
            OpenApiParameter("status", enum=Status.values, many=True),
            *PAGING_DOCUMENT,
        ],
        answer_example={"next": None, "previous": None, "results": [LINE_EXAMPLE]},
        tag=TAG,
    )
    def get(self, request: Request, reference: str) -> Response:
        return page_of(
            self.versions(reference),
            request,
            filters=VersionFilter,
            answer=PolicyVersionLine,
        )

    @operation(
        "Draft the next version of a policy",
        request=BODY,
        answer=PolicyVersionAnswer,
        status=201,
        errors=WRITING,
        example=DRAFT,
        file_examples={YAML: FILE},
        answer_example=VERSION_EXAMPLE,
        description=(
            "From JSON, from a template, or from a policy file (YAML); the name in a "
            "file doesn't rename the policy. What is left out has its default."
        ),
        tag=TAG,
    )
    def post(self, request: Request, reference: str) -> Any:
        policy = self.policy(reference)
        data = validated(PolicyDraft, request)

        def draft() -> Response:
            made = policies.add_draft(policy, content=data["content"], actor=self.actor)
            return self.shown(made, status=201)

        return self.once(draft)


class OneVersionView(VersionView):
    """One version."""

    parser_classes = [PolicyParser]
    required_scopes: ClassVar[dict[str, str]] = {
        "GET": "governance:read",
        "PUT": "governance:write",
    }

    @operation(
        "Get a version of a policy",
        answer=PolicyVersionAnswer,
        answer_example=VERSION_EXAMPLE,
        tag=TAG,
    )
    def get(self, request: Request, reference: str, number: str) -> Response:
        return self.shown(self.version(reference, number))

    @operation(
        "Replace the content of a draft",
        request=BODY,
        answer=PolicyVersionAnswer,
        errors=(*WRITING, 409),
        example=DRAFT,
        file_examples={YAML: FILE},
        answer_example=VERSION_EXAMPLE,
        description=(
            "What was published never changes: 409. A request to publish the draft "
            "becomes stale, and who edits it doesn't vote on it."
        ),
        tag=TAG,
    )
    def put(self, request: Request, reference: str, number: str) -> Response:
        version = self.version(reference, number)
        data = validated(PolicyDraft, request)
        return self.shown(
            policies.edit_draft(version, content=data["content"], actor=self.actor)
        )


class FileView(VersionView):
    """A version as a file."""

    required_scopes: ClassVar[dict[str, str]] = {"GET": "governance:read"}

    @operation(
        "Export a version of a policy as a file (YAML)",
        answer=OpenApiTypes.BINARY,
        media=(YAML,),
        description="What is posted back says the same.",
        tag=TAG,
    )
    def get(self, request: Request, reference: str, number: str) -> HttpResponse:
        version = self.version(reference, number)
        text = documents.write(
            documents.Document(version.policy.name, "", version.thresholds.to_json()),
            f"Version {version.number} ({version.status}) of {version.policy.name}",
            f"SHA-256 {version.content_hash}",
        )
        name = f"policy-{version.policy_id}-v{version.number}.yaml"
        return HttpResponse(
            text,
            content_type=f"{YAML}; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )


class DiffView(VersionView):
    """What a version changes."""

    required_scopes: ClassVar[dict[str, str]] = {"GET": "governance:read"}
    query_parameters: ClassVar[dict[str, frozenset[str]]] = {
        "GET": frozenset({"against"})
    }

    @operation(
        "Compare two versions of a policy",
        answer=DiffAnswer,
        errors=(*READING, 409),
        parameters=[
            OpenApiParameter(
                "against", int, description="an earlier version; the active if absent"
            )
        ],
        answer_example={
            "before": {**LINE_EXAMPLE, "version": 3, "status": "active"},
            "after": LINE_EXAMPLE,
            "is_binding": True,
            "changes": [
                {
                    "path": "fairness_minimum",
                    "before": 0.8,
                    "after": 0.85,
                    "sentence": "fairness minimum: 0.8 → 0.85",
                }
            ],
            "patch": "-fairness_minimum: 0.8\n+fairness_minimum: 0.85",
        },
        tag=TAG,
    )
    def get(self, request: Request, reference: str, number: str) -> Response:
        after = self.version(reference, number)
        before = self._other(request, reference)
        old, new = before.thresholds.to_json(), after.thresholds.to_json()
        found = {
            "before": before,
            "after": after,
            "changes": [one.to_json() for one in comparison.changes(old, new)],
            "patch": comparison.unified(old, new),
        }
        return Response(DiffAnswer(found).data)

    def _other(self, request: Request, reference: str) -> PolicyVersion:
        wanted = request.query_params.get("against")
        if wanted is None:
            active = self.versions(reference).filter(status=Status.ACTIVE).first()
            if active is None:
                raise ConflictError(
                    "No version of this policy is in force.",
                    extra={"next": ["Name another version in `against`."]},
                )
            return active
        try:
            return self.version(reference, wanted)
        except NotFoundError:
            detail = "the policy has no such version"
            raise InvalidError(
                errors=[fault("against", code="unknown_version", detail=detail)]
            ) from None


class BacktestView(VersionView):
    """What a draft would have said."""

    required_scopes: ClassVar[dict[str, str]] = {"GET": "governance:read"}
    query_parameters: ClassVar[dict[str, frozenset[str]]] = {"GET": frozenset({"days"})}

    @operation(
        "Try a version on what was measured lately",
        answer=BacktestAnswer,
        parameters=[
            OpenApiParameter("days", int, description="up to today; 30 if absent")
        ],
        answer_example=BACKTEST,
        description=(
            "Decides on the stored evidence by the policies in force and with this "
            "version in force, and shows per model and day where that differs. Changes "
            "nothing."
        ),
        tag=TAG,
    )
    def get(self, request: Request, reference: str, number: str) -> Response:
        version = self.version(reference, number)
        days = limit_of(
            request, default=30, highest=backtests.LONGEST_DAYS, name="days"
        )
        return Response(BacktestAnswer(backtests.run(version, days=days)).data)


class TouchedView(VersionView):
    """Whom publishing a draft would reach."""

    required_scopes: ClassVar[dict[str, str]] = {"GET": "governance:read"}

    @operation(
        "List what publishing a version would touch",
        answer=TouchedAnswer,
        answer_example={
            "models": ["Credit Risk Classifier"],
            "requests": [
                {
                    "id": 9,
                    "label": "Approve a version: Credit Risk Classifier 2.1.0",
                    "status": "pending",
                }
            ],
            "deployments": [
                {
                    "model": "credit-risk-classifier",
                    "version": "2.0.0",
                    "status": "deployed",
                }
            ],
        },
        description=(
            "Models that would keep another version, open requests that would become "
            "stale, deployments that were approved under other rules."
        ),
        tag=TAG,
    )
    def get(self, request: Request, reference: str, number: str) -> Response:
        found = publications.touched(self.version(reference, number))
        return Response(found.to_json())


class PublicationView(VersionView):
    """Ask for a draft to be published."""

    required_scopes: ClassVar[dict[str, str]] = {"POST": "governance:write"}

    @operation(
        "Ask for a draft to be published",
        request=PublicationRequest,
        answer=ApprovalAnswer,
        status=201,
        errors=(*WRITING, 409),
        example={"reason": "As the board decided in January", "days": 30},
        answer_example={
            **APPROVAL_EXAMPLE,
            "kind": "policy",
            "label": "Default policy v4",
            "model_id": None,
            "model": None,
            "version": None,
            "draft": {"policy_id": 1, "policy": "Default policy", "version": 4},
            "evidence": None,
        },
        description=(
            "With a backtest attached. A second person publishes it: a compliance "
            "officer who neither wrote nor last edited it, by "
            "`POST /api/approvals/{id}/vote`."
        ),
        tag=TAG,
    )
    def post(self, request: Request, reference: str, number: str) -> Any:
        draft = self.version(reference, number)
        data = validated(PublicationRequest, request)
        if (said := self.answered_before()) is not None:
            return said
        backtest = publications.tried(draft, days=data["days"])

        def ask() -> Response:
            made = submissions.submit_publication(
                draft,
                reason=data["reason"],
                effective_at=data.get("effective_at"),
                backtest=backtest,
                actor=self.actor,
            )
            return Response(answer_of(made), status=201)

        return self.once(ask)
