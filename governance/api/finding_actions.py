"""What is said, linked, asked for and declared about a finding."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from governance.actions import authority, finding_actions
from governance.api.base import FlagField, StrictSerializer, TextField, validated
from governance.api.documents import WRITING, operation
from governance.api.findings import EXAMPLE, FindingAnswer, FindingView
from governance.api.lists import one_of
from governance.api.registry import named_version
from governance.exceptions import InvalidError, fault
from governance.models import Evidence, FindingAction


class Comment(StrictSerializer):
    """What somebody says."""

    text = TextField(max_length=10_000)


class Link(StrictSerializer):
    """Evidence that is kept here, or an address elsewhere."""

    evidence_id = serializers.IntegerField(required=False, min_value=1)
    reference = TextField(required=False, max_length=1000, default="")
    note = TextField(required=False, max_length=5_000, default="")


class Action(StrictSerializer):
    """What is asked for."""

    kind = serializers.ChoiceField(FindingAction.Kind.choices)
    note = TextField(max_length=5_000)
    until = serializers.DateTimeField(
        required=False, help_text="of a risk that is to be accepted"
    )


class ActionDecision(StrictSerializer):
    """What has become of it; accepting a risk needs the password again."""

    done = FlagField()
    reason = TextField(max_length=5_000)
    password = TextField(required=False, max_length=1000, trim_whitespace=False)


class RemediationBody(StrictSerializer):
    """Which version doesn't have what was found, and why."""

    version = TextField(max_length=100)
    reason = TextField(max_length=5_000)


class CommentsView(FindingView):
    """The discussion of a finding."""

    required_scopes: ClassVar[dict[str, str]] = {"POST": "governance:write"}

    @operation(
        "Comment on a finding",
        request=Comment,
        answer=FindingAnswer,
        status=201,
        errors=WRITING,
        example={"text": "The bureau changed its codes on Monday."},
        answer_example=EXAMPLE,
        tag="Findings",
    )
    def post(self, request: Request, reference: str) -> Any:
        finding = self.finding(reference)
        data = validated(Comment, request)

        def comment() -> Response:
            finding_actions.comment(finding, text=data["text"], actor=self.actor)
            return self.answer(finding, status=201)

        return self.once(comment)


class LinksView(FindingView):
    """What a finding rests on."""

    required_scopes: ClassVar[dict[str, str]] = {"POST": "governance:write"}

    @operation(
        "Link evidence to a finding",
        request=Link,
        answer=FindingAnswer,
        status=201,
        errors=WRITING,
        example={"evidence_id": 311, "note": "The window in which it was seen"},
        answer_example=EXAMPLE,
        tag="Findings",
    )
    def post(self, request: Request, reference: str) -> Any:
        finding = self.finding(reference)
        data = validated(Link, request)
        evidence = self._evidence(data.get("evidence_id"))

        def link() -> Response:
            finding_actions.link(
                finding,
                evidence=evidence,
                reference=data["reference"],
                note=data["note"],
                actor=self.actor,
            )
            return self.answer(finding, status=201)

        return self.once(link)

    def _evidence(self, pk: int | None) -> Evidence | None:
        if pk is None:
            return None
        rows = Evidence.objects.for_organization(self.credential.organization_id)
        found = rows.filter(pk=pk).select_related("version").first()
        if found is None:
            raise InvalidError(
                errors=[fault("evidence_id", code="unknown", detail="is not there")]
            )
        return found


class ActionsView(FindingView):
    """What is to be done about a finding."""

    required_scopes: ClassVar[dict[str, str]] = {"POST": "governance:write"}

    @operation(
        "Ask for an action",
        request=Action,
        answer=FindingAnswer,
        status=201,
        errors=(*WRITING, 409),
        example={
            "kind": "accept_risk",
            "note": "The new model is due in March.",
            "until": "2025-03-31T00:00:00Z",
        },
        answer_example=EXAMPLE,
        tag="Findings",
    )
    def post(self, request: Request, reference: str) -> Any:
        finding = self.finding(reference)
        data = validated(Action, request)

        def ask() -> Response:
            finding_actions.request(
                finding,
                kind=data["kind"],
                note=data["note"],
                until=data.get("until"),
                actor=self.actor,
            )
            return self.answer(finding, status=201)

        return self.once(ask)


class ActionDecisionView(FindingView):
    """Whether an action was done."""

    required_scopes: ClassVar[dict[str, str]] = {"POST": "governance:write"}

    @operation(
        "Decide on an action",
        request=ActionDecision,
        answer=FindingAnswer,
        errors=(*WRITING, 409),
        example={"done": True, "reason": "Small exposure", "password": "…"},
        answer_example=EXAMPLE,
        tag="Findings",
    )
    def post(self, request: Request, reference: str, action: str) -> Response:
        finding = self.finding(reference)
        found = one_of(FindingAction.objects.filter(finding=finding), action)
        data = validated(ActionDecision, request)
        actor = self.actor
        if "password" in data:
            actor = authority.confirmed(
                actor,
                data["password"],
                organization_id=finding.organization_id,
                path=request.path,
            )
        finding_actions.decide(
            found, done=data["done"], reason=data["reason"], actor=actor
        )
        return self.answer(finding)


class RemediationsView(FindingView):
    """The versions that were declared not to have what was found."""

    required_scopes: ClassVar[dict[str, str]] = {"POST": "governance:write"}

    @operation(
        "Declare that a version remedies a finding",
        request=RemediationBody,
        answer=FindingAnswer,
        status=201,
        errors=(*WRITING, 409),
        example={"version": "2.2.0", "reason": "Trained without PAY_STATUS"},
        answer_example=EXAMPLE,
        tag="Findings",
    )
    def post(self, request: Request, reference: str) -> Any:
        finding = self.finding(reference)
        data = validated(RemediationBody, request)
        version = named_version(finding.version.model, data["version"])

        def declare() -> Response:
            finding_actions.declare_remediated(
                finding, version=version, reason=data["reason"], actor=self.actor
            )
            return self.answer(finding, status=201)

        return self.once(declare)
