"""What the interface says of requests for approval, and takes about them."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from governance.actions import endings, quorums
from governance.api.base import StrictSerializer, TextField
from governance.api.findings import CommentAnswer
from governance.models import (
    ApprovalRequest,
    ApprovalStage,
    ApprovalVote,
    Membership,
    StageApprover,
)

Status = ApprovalRequest.Status
Kind = ApprovalRequest.Kind
MOST_AT_ONCE = 100
LONGEST = 5_000
# The publication of a policy is asked for where its draft is.
SUBMITTED = [one for one in Kind.choices if one[0] != Kind.POLICY]
NEXT = {
    Status.APPLIED: "It is done.",
    Status.REJECTED: "Change what was refused, and ask again.",
    Status.CHANGES_REQUESTED: "Make the changes, and ask again.",
    Status.WITHDRAWN: "Ask again if it is wanted after all.",
    Status.EXPIRED: "Ask again.",
    Status.STALE: "Ask again: votes don't count for what has changed.",
}
DIGEST = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
ROW_EXAMPLE: dict[str, Any] = {
    "id": 9,
    "kind": "deploy",
    "status": "pending",
    "label": "Credit Risk Classifier 2.1.0",
    "model_id": 1,
    "model": "credit-risk-classifier",
    "version": "2.1.0",
    "draft": None,
    "reason": "Retrained on the autumn's data",
    "digest": DIGEST,
    "requested_by": "ada@example.com",
    "submitted_at": "2025-01-31T12:00:00Z",
    "expires_at": "2025-02-14T12:00:00Z",
    "open_stage": 1,
    "due_at": "2025-02-03T12:00:00Z",
    "is_overdue": False,
    "decided_at": None,
    "outcome": "",
    "applied_at": None,
}
EXAMPLE: dict[str, Any] = {
    **ROW_EXAMPLE,
    "subject": {"version": {"id": 4, "version": "2.1.0"}, "evidence": {"id": 311}},
    "proposal": {},
    "evidence": {
        "id": 311,
        "digest": "5f0c…",
        "window_start": "2025-01-24T12:00:00Z",
        "window_end": "2025-01-31T12:00:00Z",
        "created_at": "2025-01-31T12:00:00Z",
    },
    "policy": {"id": 1, "version": 3, "hash": "5f0c…"},
    "stages": [
        {
            "number": 1,
            "role": "compliance_officer",
            "people": [],
            "quorum": 1,
            "counted": 0,
            "approvers": [
                {
                    "email": "bob@example.com",
                    "role": "compliance_officer",
                    "has_voted": False,
                }
            ],
            "sla_hours": 72.0,
            "escalate_to": "owner",
            "opened_at": "2025-01-31T12:00:00Z",
            "due_at": "2025-02-03T12:00:00Z",
            "escalated_at": None,
            "completed_at": None,
        }
    ],
    "votes": [],
    "comments": [
        {
            "id": 4,
            "author": "bob@example.com",
            "text": "Which months are in the training data?",
            "created_at": "2025-01-31T13:00:00Z",
        }
    ],
    "auto_approval": None,
    "is_stale": False,
    "difference": [],
    "used_at": None,
    "next": "Stage 1 needs 1 of compliance officer; 0 of the votes are there.",
}


class Submission(StrictSerializer):
    """What is to be approved: a version, a change, or that a model is retired."""

    kind = serializers.ChoiceField(SUBMITTED, default=Kind.DEPLOY)
    model_id = serializers.JSONField(help_text="the model's id or slug")
    version = TextField(required=False, max_length=100)
    evidence_id = serializers.IntegerField(
        required=False, help_text="of a version; the newest if absent"
    )
    changes = serializers.DictField(
        required=False,
        help_text="of a change: as the `change_request` of a 409 has them",
    )
    reason = TextField(required=False, allow_blank=True, default="", max_length=LONGEST)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        kind = attrs["kind"]
        belongs = {"evidence_id": Kind.DEPLOY, "changes": Kind.CHANGE}
        misplaced = {
            name: [serializers.ErrorDetail(f"is for kind {of.value}", "misplaced")]
            for name, of in belongs.items()
            if name in attrs and kind != of
        }
        if kind == Kind.RETIRE and "version" in attrs:
            detail = "a model is retired as a whole"
            misplaced["version"] = [serializers.ErrorDetail(detail, "misplaced")]
        if misplaced:
            raise serializers.ValidationError(misplaced)
        return attrs


class _Ballot(StrictSerializer):
    """What somebody says; to approve, with the password again."""

    decision = serializers.ChoiceField(ApprovalVote.Decision.choices)
    password = TextField(
        required=False,
        max_length=1000,
        trim_whitespace=False,
        help_text="needed to approve",
    )
    on_behalf_of = serializers.EmailField(
        required=False, help_text="who has delegated their vote"
    )


class Vote(_Ballot):
    """A vote on one request."""

    reason = TextField(
        required=False,
        allow_blank=True,
        default="",
        max_length=LONGEST,
        help_text="needed unless it approves",
    )


class BulkVote(_Ballot):
    """The same vote on several requests, for one reason."""

    ids = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=2**63 - 1),
        allow_empty=False,
        max_length=MOST_AT_ONCE,
    )
    reason = TextField(max_length=LONGEST)


class DifferenceAnswer(serializers.Serializer[Any]):
    """One thing that isn't as it was when the request was made."""

    path = serializers.CharField()
    before = serializers.JSONField()
    after = serializers.JSONField()


class DraftAnswer(serializers.Serializer[Any]):
    """The draft of a policy that is to be published."""

    policy_id = serializers.IntegerField()
    policy = serializers.CharField(source="policy.name")
    version = serializers.IntegerField(source="number")


class EvidenceAnswer(serializers.Serializer[Any]):
    """The measurements that were chosen when it was asked for."""

    id = serializers.IntegerField()
    digest = serializers.CharField()
    window_start = serializers.DateTimeField(allow_null=True)
    window_end = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()


class DecidingPolicyAnswer(serializers.Serializer[Any]):
    """The policy version whose stages decide."""

    id = serializers.IntegerField(source="policy_id")
    version = serializers.IntegerField(source="number")
    hash = serializers.CharField(source="content_hash")


class ApproverAnswer(serializers.Serializer[Any]):
    """Somebody who could vote when the stage opened."""

    email = serializers.CharField(source="label")
    role = serializers.ChoiceField(Membership.Role.choices)
    has_voted = serializers.SerializerMethodField()

    def get_has_voted(self, approver: StageApprover) -> bool:
        return approver.user_id in self.context["principals"]


class StageAnswer(serializers.Serializer[Any]):
    """A stage; its clock starts when it opens."""

    number = serializers.IntegerField()
    role = serializers.CharField()
    people = serializers.ListField(child=serializers.CharField())
    quorum = serializers.IntegerField()
    counted = serializers.SerializerMethodField(help_text="votes that count")
    approvers = ApproverAnswer(many=True)
    sla_hours = serializers.FloatField()
    escalate_to = serializers.ChoiceField(Membership.Role.choices)
    opened_at = serializers.DateTimeField(allow_null=True)
    due_at = serializers.DateTimeField(allow_null=True)
    escalated_at = serializers.DateTimeField(allow_null=True)
    completed_at = serializers.DateTimeField(allow_null=True)

    def get_counted(self, stage: ApprovalStage) -> int:
        return _counted(stage, self.context["request_row"])


class VoteAnswer(serializers.Serializer[Any]):
    """One vote; never changed, never taken back."""

    stage = serializers.IntegerField(source="stage.number")
    decision = serializers.ChoiceField(ApprovalVote.Decision.choices)
    reason = serializers.CharField()
    voter = serializers.CharField(source="voter_label")
    on_behalf_of = serializers.SerializerMethodField()
    delegation_id = serializers.IntegerField(allow_null=True)
    role = serializers.ChoiceField(Membership.Role.choices)
    proof = serializers.CharField(help_text="how the voter showed who they are")
    batch = serializers.UUIDField(allow_null=True)
    cast_at = serializers.DateTimeField()

    def get_on_behalf_of(self, vote: ApprovalVote) -> str | None:
        return vote.principal_label if vote.delegation_id else None


class ApprovalRow(serializers.Serializer[Any]):
    """A request in a list."""

    id = serializers.IntegerField()
    kind = serializers.ChoiceField(Kind.choices)
    status = serializers.ChoiceField(Status.choices)
    # DRF keeps declared fields apart from what it has under this name.
    label = serializers.CharField()  # type: ignore[assignment]
    model_id = serializers.IntegerField(allow_null=True)
    model = serializers.CharField(source="model.slug", default=None, allow_null=True)
    version = serializers.CharField(
        source="version.version", default=None, allow_null=True
    )
    draft = DraftAnswer(allow_null=True)
    reason = serializers.CharField()
    digest = serializers.CharField(help_text="SHA-256 of the subject's canonical JSON")
    requested_by = serializers.CharField(source="requested_by_label")
    submitted_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    open_stage = serializers.SerializerMethodField()
    due_at = serializers.SerializerMethodField()
    is_overdue = serializers.SerializerMethodField()
    decided_at = serializers.DateTimeField(allow_null=True)
    outcome = serializers.CharField()
    applied_at = serializers.DateTimeField(allow_null=True)

    def get_open_stage(self, request: ApprovalRequest) -> int | None:
        stage = open_stage(request)
        return None if stage is None else stage.number

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_due_at(self, request: ApprovalRequest) -> str | None:
        stage = open_stage(request)
        if stage is None or stage.due_at is None:
            return None
        return str(serializers.DateTimeField().to_representation(stage.due_at))

    def get_is_overdue(self, request: ApprovalRequest) -> bool:
        stage = open_stage(request)
        return bool(stage and stage.due_at and stage.due_at <= timezone.now())


class ApprovalAnswer(ApprovalRow):
    """A request with its subject, its stages and its votes."""

    subject = serializers.JSONField()
    proposal = serializers.JSONField(help_text="what applying it does")
    evidence = EvidenceAnswer(allow_null=True)
    policy = DecidingPolicyAnswer(source="policy_version")
    stages = serializers.SerializerMethodField()
    votes = VoteAnswer(many=True)
    comments = CommentAnswer(many=True)
    auto_approval = serializers.JSONField(allow_null=True)
    is_stale = serializers.SerializerMethodField()
    difference = serializers.SerializerMethodField()
    used_at = serializers.DateTimeField(allow_null=True)
    next = serializers.SerializerMethodField()

    @extend_schema_field(StageAnswer(many=True))
    def get_stages(self, request: ApprovalRequest) -> Any:
        principals = {vote.principal_id for vote in request.votes.all()}
        context = {"request_row": request, "principals": principals}
        return StageAnswer(request.stages.all(), many=True, context=context).data

    def get_is_stale(self, request: ApprovalRequest) -> bool:
        return request.status == Status.STALE or bool(self.context["changes"])

    @extend_schema_field(DifferenceAnswer(many=True))
    def get_difference(self, request: ApprovalRequest) -> list[dict[str, Any]]:
        """Say what has changed: of an open request now, of a closed one what did."""
        if not request.is_open:
            return list(request.difference)
        return [one.to_json() for one in self.context["changes"]]

    def get_next(self, request: ApprovalRequest) -> str:
        """Say in one sentence what the request waits for."""
        if self.context["changes"]:
            return NEXT[Status.STALE]
        if request.status == Status.APPROVED:
            return request.outcome or "It is applied within the hour."
        stage = open_stage(request)
        if stage is None:
            return NEXT[Status(request.status)]
        have = _counted(stage, request)
        return (
            f"Stage {stage.number} needs {stage.quorum} of {stage.who}; {have} of the "
            f"votes {'is' if have == 1 else 'are'} there."
        )


def answer_of(request: ApprovalRequest) -> Any:
    """Return a request as answers have it, with what has changed since it was made."""
    changes = endings.changes_of(request) if request.is_open else []
    return ApprovalAnswer(request, context={"changes": changes}).data


def _counted(stage: ApprovalStage, request: ApprovalRequest) -> int:
    """Return how many votes count in a stage: now, or when it was decided."""
    votes = quorums.counted(stage, request.votes.all(), at=request.decided_at)
    return len({vote.principal_id for vote in votes})


def open_stage(request: ApprovalRequest) -> ApprovalStage | None:
    """Return the stage that waits for votes, None if none does."""
    if request.status != Status.PENDING:
        return None
    return next(one for one in request.stages.all() if one.number == request.stage)
