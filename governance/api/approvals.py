"""Requests for approval: ask, vote, take back, decide on many at once."""

from __future__ import annotations

from typing import Any, ClassVar

import django_filters
from django.db.models import Prefetch, Q, QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from governance.actions import authority, discussions, endings, submissions, votes
from governance.actions.audit import Actor
from governance.api.approval_fields import (
    EXAMPLE,
    ROW_EXAMPLE,
    ApprovalAnswer,
    ApprovalRow,
    BulkVote,
    Submission,
    Vote,
    answer_of,
)
from governance.api.base import ApiView, flag_of, validated
from governance.api.documents import WRITING, operation
from governance.api.finding_actions import Comment
from governance.api.findings import OptionalReason
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
from governance.exceptions import InvalidError, NotFoundError, fault
from governance.models import (
    ApprovalRequest,
    ApprovalStage,
    ApprovalVote,
    Delegation,
    Evidence,
    RegisteredModel,
)

Kind = ApprovalRequest.Kind
TAG = "Approvals"
VOTED: dict[str, Any] = {
    **EXAMPLE,
    "status": "applied",
    "open_stage": None,
    "due_at": None,
    "decided_at": "2025-01-31T15:00:00Z",
    "applied_at": "2025-01-31T15:00:00Z",
    "votes": [
        {
            "stage": 1,
            "decision": "approve",
            "reason": "Looked at the slices",
            "voter": "bob@example.com",
            "on_behalf_of": None,
            "delegation_id": None,
            "role": "compliance_officer",
            "proof": "password",
            "batch": None,
            "cast_at": "2025-01-31T15:00:00Z",
        }
    ],
    "next": "It is done.",
}


class ApprovalPage(Page):
    """One page of requests."""

    results = ApprovalRow(many=True)


class ApprovalFilter(django_filters.FilterSet):  # type: ignore[misc]
    """The filters of a list of requests."""

    status = django_filters.MultipleChoiceFilter(choices=ApprovalRequest.Status.choices)
    kind = django_filters.MultipleChoiceFilter(choices=Kind.choices)
    model = ModelReferenceFilter(field_name="model")
    version = django_filters.CharFilter(field_name="version__version")
    since = django_filters.IsoDateTimeFilter(
        field_name="submitted_at", lookup_expr="gte"
    )
    until = django_filters.IsoDateTimeFilter(
        field_name="submitted_at", lookup_expr="lt"
    )


class ApprovalView(ApiView):
    """A view of the caller's requests."""

    def rows(self) -> QuerySet[ApprovalRequest]:
        found: QuerySet[ApprovalRequest] = (
            ApprovalRequest.objects.for_organization(self.credential.organization_id)
            .select_related("model", "version", "draft__policy")
            .prefetch_related("stages")
        )
        return found

    def approval(self, reference: str) -> ApprovalRequest:
        return one_of(self.rows(), reference)

    def answer(self, request: ApprovalRequest, status: int = 200) -> Response:
        """Read the request again, with all that belongs to it."""
        rows = ApprovalRequest.objects.select_related(
            "model", "version__model", "draft__policy", "evidence", "policy_version"
        ).prefetch_related(
            "comments",
            Prefetch("stages", ApprovalStage.objects.prefetch_related("approvers")),
            Prefetch("votes", ApprovalVote.objects.select_related("stage")),
        )
        return Response(answer_of(rows.get(pk=request.pk)), status=status)

    def ballot(self, data: dict[str, Any]) -> votes.Ballot:
        principal = data.get("on_behalf_of")
        organization = self.credential.organization_id
        return votes.Ballot(
            data["decision"],
            data["reason"],
            member(principal, organization, field="on_behalf_of")
            if principal
            else None,
        )

    def voter(self, data: dict[str, Any]) -> Actor:
        """Return who votes, as somebody who has given the password if they have.

        Not asked of a key: the deed refuses it, and the trail says so.
        """
        if "password" not in data or self.actor.type != "user":
            return self.actor
        return authority.confirmed(
            self.actor,
            data["password"],
            organization_id=self.credential.organization_id,
            path=self.request.path,
        )


class ApprovalsView(ApprovalView):
    """All requests: list them, make one."""

    required_scopes: ClassVar[dict[str, str]] = {
        "GET": "governance:read",
        "POST": "governance:write",
    }
    query_parameters: ClassVar[dict[str, frozenset[str]]] = {
        "GET": frozenset(ApprovalFilter.base_filters)
        | PAGING
        | {"mine", "waiting_for_me"}
    }

    @operation(
        "List requests for approval, newest first",
        answer=ApprovalPage,
        parameters=[
            OpenApiParameter("status", enum=ApprovalRequest.Status.values, many=True),
            OpenApiParameter("kind", enum=Kind.values, many=True),
            OpenApiParameter("model", description="the model's id or slug"),
            OpenApiParameter("version"),
            OpenApiParameter("mine", bool, description="asked for by the caller"),
            OpenApiParameter(
                "waiting_for_me",
                bool,
                description="for the caller's vote, their own or one delegated to them",
            ),
            OpenApiParameter("since", OpenApiTypes.DATETIME, description="submitted"),
            OpenApiParameter("until", OpenApiTypes.DATETIME, description="before then"),
            *PAGING_DOCUMENT,
        ],
        answer_example={"next": None, "previous": None, "results": [ROW_EXAMPLE]},
        tag=TAG,
    )
    def get(self, request: Request) -> Response:
        rows, me = self.rows(), self.credential.user_id
        if flag_of(request, "mine"):
            rows = rows.filter(requested_by=me)
        if flag_of(request, "waiting_for_me"):
            rows = rows.filter(self._waiting_for(me))
        return page_of(rows, request, filters=ApprovalFilter, answer=ApprovalRow)

    def _waiting_for(self, me: int) -> Q:
        """Find what waits for somebody's vote, or for one that they cast for others."""
        delegations = Delegation.objects.for_organization(
            self.credential.organization_id
        ).in_effect()
        delegators = delegations.filter(delegate=me).values_list("delegator", flat=True)
        found = Q()
        for person in {me, *delegators}:
            found |= Q(pk__in=ApprovalRequest.objects.waiting_for(person).values("pk"))
        has_voted = ApprovalVote.objects.filter(voter=me).values("request")
        return found & ~Q(barred__contains=[me]) & ~Q(pk__in=has_voted)

    @operation(
        "Ask for an approval",
        request=Submission,
        answer=ApprovalAnswer,
        status=201,
        errors=(*WRITING, 409),
        example={
            "model_id": "credit-risk-classifier",
            "version": "2.1.0",
            "reason": "Retrained on the autumn's data",
        },
        answer_example=EXAMPLE,
        description=(
            "Of a version (`deploy`), of a change of what was approved (`change`, with "
            "`changes`, such as the `change_request` of a 409), or of a model's "
            "retirement (`retire`). The subject is bound by its hash: what changes "
            "afterwards makes the request stale. A policy is published by "
            "`POST /api/policies/{id}/versions/{number}/publication`."
        ),
        tag=TAG,
    )
    def post(self, request: Request) -> Any:
        data = validated(Submission, request)
        model = self.model(str(data["model_id"]))

        def submit() -> Response:
            return self.answer(self._submit(model, data), status=201)

        return self.once(submit)

    def _submit(self, model: RegisteredModel, data: dict[str, Any]) -> ApprovalRequest:
        kind, reason, name = data["kind"], data["reason"], data.get("version")
        if kind == Kind.RETIRE:
            return submissions.submit_retirement(model, reason=reason, actor=self.actor)
        if kind == Kind.CHANGE:
            return submissions.submit_change(
                model,
                version=named_version(model, name) if name else None,
                wanted=data.get("changes", {}),
                reason=reason,
                actor=self.actor,
            )
        return submissions.submit_version(
            named_version(model, name),
            reason=reason,
            evidence=self._evidence(data.get("evidence_id")),
            actor=self.actor,
        )

    def _evidence(self, pk: int | None) -> Evidence | None:
        if pk is None:
            return None
        rows = Evidence.objects.for_organization(self.credential.organization_id)
        try:
            return one_of(rows, pk)
        except NotFoundError:
            detail = "there is no such evidence"
            raise InvalidError(
                errors=[fault("evidence_id", code="unknown", detail=detail)]
            ) from None


class OneApprovalView(ApprovalView):
    """One request."""

    required_scopes: ClassVar[dict[str, str]] = {"GET": "governance:read"}

    @operation(
        "Get a request for approval",
        answer=ApprovalAnswer,
        answer_example=EXAMPLE,
        description=(
            "With the subject and its hash, the stages with who could vote when they "
            "opened, and the votes. Of an open request, `difference` says what has "
            "changed since."
        ),
        tag=TAG,
    )
    def get(self, request: Request, reference: str) -> Response:
        return self.answer(self.approval(reference))


class VoteView(ApprovalView):
    """One person's vote."""

    required_scopes: ClassVar[dict[str, str]] = {"POST": "governance:write"}

    @operation(
        "Vote on a request",
        request=Vote,
        answer=ApprovalAnswer,
        errors=(*WRITING, 409, 429),
        example={
            "decision": "approve",
            "reason": "Looked at the slices",
            "password": "…",
        },
        answer_example=VOTED,
        description=(
            "By a person, never by a key; to approve, with the password again. Not by "
            "who asked for it, or made or last changed it. Everybody has one vote over "
            "all stages. The last vote that is needed also applies the request."
        ),
        tag=TAG,
    )
    def post(self, request: Request, reference: str) -> Response:
        # No Idempotency-Key: a vote counts once anyway, and the hash of a body with a
        # password is better not kept.
        found = self.approval(reference)
        data = validated(Vote, request)
        ballot = self.ballot(data)
        return self.answer(votes.cast(found, ballot, actor=self.voter(data)))


class CommentsView(ApprovalView):
    """The discussion."""

    required_scopes: ClassVar[dict[str, str]] = {"POST": "governance:write"}

    @operation(
        "Write something about a request",
        request=Comment,
        answer=ApprovalAnswer,
        status=201,
        errors=WRITING,
        example={"text": "Which months are in the training data?"},
        answer_example=EXAMPLE,
        description="No vote: who asked, and who may vote now, are told.",
        tag=TAG,
    )
    def post(self, request: Request, reference: str) -> Any:
        found = self.approval(reference)
        data = validated(Comment, request)

        def comment() -> Response:
            discussions.comment(found, text=data["text"], actor=self.actor)
            return self.answer(found, status=201)

        return self.once(comment)


class WithdrawView(ApprovalView):
    """Take it back."""

    required_scopes: ClassVar[dict[str, str]] = {"POST": "governance:write"}

    @operation(
        "Withdraw a request",
        request=OptionalReason,
        answer=ApprovalAnswer,
        errors=(*WRITING, 409),
        example={"reason": "2.1.1 follows tomorrow"},
        answer_example={**EXAMPLE, "status": "withdrawn"},
        description="By who made it, with whichever credential.",
        tag=TAG,
    )
    def post(self, request: Request, reference: str) -> Response:
        found = self.approval(reference)
        data = validated(OptionalReason, request)
        return self.answer(
            endings.withdraw(found, reason=data["reason"], actor=self.actor)
        )


class DecisionAnswer(serializers.Serializer[Any]):
    """What has become of one of several votes."""

    id = serializers.IntegerField()
    outcome = serializers.CharField(help_text="`done`, or the code of the error")
    detail = serializers.CharField()
    status = serializers.CharField(
        allow_null=True, help_text="of the request afterwards; null if there is none"
    )


class DecisionsAnswer(serializers.Serializer[Any]):
    """What has become of each vote, in the order of the request."""

    results = DecisionAnswer(many=True)


class DecideView(ApprovalView):
    """The same vote on many."""

    required_scopes: ClassVar[dict[str, str]] = {"POST": "governance:write"}

    @operation(
        "Vote on several requests, for one reason",
        request=BulkVote,
        answer=DecisionsAnswer,
        errors=(*(one for one in WRITING if one != 404), 429),
        example={
            "ids": [9, 12],
            "decision": "approve",
            "reason": "Quarterly review of 31 January",
            "password": "…",
        },
        answer_example={
            "results": [
                {"id": 9, "outcome": "done", "detail": "", "status": "applied"},
                {
                    "id": 12,
                    "outcome": "stale",
                    "detail": "Since it was asked for, the baseline changed.",
                    "status": "stale",
                },
            ]
        },
        description=(
            "Each is a vote of its own, checked again and in the trail; one that is "
            "refused doesn't hold up the others. At most 100."
        ),
        tag=TAG,
    )
    def post(self, request: Request) -> Response:
        data = validated(BulkVote, request)
        ballot = self.ballot(data)
        wanted = list(dict.fromkeys(data["ids"]))
        known = self.rows().in_bulk(wanted)
        results = votes.cast_all(
            [known[pk] for pk in wanted if pk in known],
            ballot,
            actor=self.voter(data),
        )
        errors = {one.request.pk: one.error for one in results}
        statuses = dict(self.rows().filter(pk__in=known).values_list("pk", "status"))
        shown = []
        for pk in wanted:
            error = errors[pk] if pk in known else NotFoundError()
            shown.append(
                {
                    "id": pk,
                    "outcome": error.code if error else "done",
                    "detail": error.detail if error else "",
                    "status": statuses.get(pk),
                }
            )
        return Response(DecisionsAnswer({"results": shown}).data)
