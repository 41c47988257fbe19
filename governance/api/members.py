"""Who belongs to the organization, in which roles, since when and until when."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from governance.actions import organizations
from governance.api.base import ApiView, StrictSerializer, TextField, flag_of, validated
from governance.api.documents import READING, WRITING, operation
from governance.exceptions import NotFoundError
from governance.models import Membership

EXAMPLE = {
    "id": 7,
    "email": "grace@example.com",
    "name": "Grace",
    "role": "compliance_officer",
    "state": "in_effect",
    "granted_by": "ada@example.com",
    "granted_at": "2025-01-31T12:00:00Z",
    "confirmed_by": "linus@example.com",
    "confirmed_at": "2025-01-31T13:00:00Z",
    "ended_at": None,
}


class MemberAnswer(serializers.Serializer[Any]):
    """One role of one person."""

    id = serializers.IntegerField()
    email = serializers.EmailField(source="user.email")
    name = serializers.CharField(source="user.name")
    role = serializers.ChoiceField(Membership.Role.choices)
    state = serializers.ChoiceField(["in_effect", "unconfirmed", "ended"])
    granted_by = serializers.EmailField(
        source="granted_by.email", default=None, allow_null=True
    )
    granted_at = serializers.DateTimeField()
    confirmed_by = serializers.EmailField(
        source="confirmed_by.email", default=None, allow_null=True
    )
    confirmed_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)


class MemberList(serializers.Serializer[Any]):
    """The roles of the organization's members."""

    members = MemberAnswer(many=True)


class MembersView(ApiView):
    """All members."""

    required_scopes: ClassVar[dict[str, str]] = {"GET": "governance:read"}
    query_parameters: ClassVar[dict[str, frozenset[str]]] = {
        "GET": frozenset({"ended"})
    }

    @operation(
        "List the members' roles",
        answer=MemberList,
        answer_example={"members": [EXAMPLE]},
        errors=READING,
        parameters=[
            OpenApiParameter("ended", bool, description="those that are over as well")
        ],
        tag="Members",
    )
    def get(self, request: Request) -> Response:
        rows = Membership.objects.for_organization(self.credential.organization_id)
        if not flag_of(request, "ended"):
            rows = rows.active()
        rows = rows.select_related("user", "granted_by", "confirmed_by")
        return Response({"members": MemberAnswer(rows.order_by("pk"), many=True).data})


class _MemberView(ApiView):
    def member(self, reference: str) -> Membership:
        """Return the role with this id in the caller's organization."""
        rows = Membership.objects.for_organization(self.credential.organization_id)
        is_id = reference.isascii() and reference.isdigit() and len(reference) < 19
        found: Membership | None = rows.filter(pk=reference).first() if is_id else None
        if found is None:
            raise NotFoundError
        return found


class ConfirmView(_MemberView):
    """The second person's word on a voting role."""

    required_scopes: ClassVar[dict[str, str]] = {"POST": "governance:write"}

    @operation(
        "Confirm a voting role as the second person",
        answer=MemberAnswer,
        answer_example=EXAMPLE,
        errors=(*READING, 409),
        tag="Members",
    )
    def post(self, request: Request, reference: str) -> Response:
        confirmed = organizations.confirm_member(
            self.member(reference), actor=self.actor
        )
        return Response(MemberAnswer(confirmed).data)


class EndFields(StrictSerializer):
    """Why a role ends."""

    reason = TextField(max_length=2000, required=False, default="", allow_blank=True)


class EndView(_MemberView):
    """The end of a role."""

    required_scopes: ClassVar[dict[str, str]] = {"POST": "governance:write"}

    @operation(
        "End a member's role, which stays on record",
        request=EndFields,
        answer=MemberAnswer,
        answer_example={
            **EXAMPLE,
            "state": "ended",
            "ended_at": "2025-06-30T12:00:00Z",
        },
        example={"reason": "left the company"},
        errors=(*WRITING, 409),
        tag="Members",
    )
    def post(self, request: Request, reference: str) -> Response:
        member = self.member(reference)
        data = validated(EndFields, request)
        ended = organizations.end_member(
            member, actor=self.actor, reason=data["reason"]
        )
        return Response(MemberAnswer(ended).data)
