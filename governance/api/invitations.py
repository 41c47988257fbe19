"""Inviting people to the organization, and answering."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from django.http import HttpResponse
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from governance.actions import invitations, limits
from governance.api.auth import ERRORS, LOGINS_PER_ADDRESS, OpenView, PasswordView
from governance.api.authentication import credential_of
from governance.api.base import ApiView, StrictSerializer, TextField, validated
from governance.api.documents import READING, WRITING, operation
from governance.exceptions import (
    InvalidError,
    NotFoundError,
    PermissionDeniedError,
    fault,
)
from governance.identifiers import IdentifierError, decode
from governance.models import Invitation, Membership, Organization, User

Role = Membership.Role

EXAMPLE = {"email": "grace@example.com", "role": "compliance_officer"}
ANSWER = {
    "id": "inv_01h455vb4pex5vsknk084sn02q",
    "email": "grace@example.com",
    "role": "compliance_officer",
    "state": "open",
    "invited_by": "ada@example.com",
    "created_at": "2025-01-31T12:00:00Z",
    "expires_at": "2025-02-07T12:00:00Z",
    "closed_at": None,
}
LINK = "https://driftguard.example/invitations/Zm9y…"


class InvitationFields(StrictSerializer):
    """Whom to invite, and as what."""

    email = serializers.EmailField(max_length=254)
    role = serializers.ChoiceField(Role.choices)


class InvitationAnswer(serializers.Serializer[Any]):
    """An invitation; the link that answers it is shown apart from it, once."""

    id = serializers.CharField(source="public_id")
    email = serializers.EmailField()
    role = serializers.ChoiceField(Role.choices)
    state = serializers.ChoiceField(
        ["open", "accepted", "declined", "withdrawn", "expired"]
    )
    invited_by = serializers.EmailField(source="invited_by.email", default=None)
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    closed_at = serializers.DateTimeField(allow_null=True)


class NewInvitation(InvitationAnswer):
    """An invitation that has just been made."""

    link = serializers.URLField(help_text="shown this once; also sent by mail")


class InvitationList(serializers.Serializer[Any]):
    """The invitations of the organization, newest first."""

    invitations = InvitationAnswer(many=True)


class InvitationsView(ApiView):
    """All invitations: list them, make one."""

    required_scopes: ClassVar[dict[str, str]] = {
        "GET": "governance:read",
        "POST": "governance:write",
    }

    @operation(
        "List invitations",
        answer=InvitationList,
        answer_example={"invitations": [ANSWER]},
        errors=READING,
        tag="Members",
    )
    def get(self, request: Request) -> Response:
        rows = Invitation.objects.for_organization(
            self.credential.organization_id
        ).select_related("invited_by")
        return Response({"invitations": InvitationAnswer(rows, many=True).data})

    @operation(
        "Invite somebody to join the organization",
        request=InvitationFields,
        answer=NewInvitation,
        status=201,
        errors=(*WRITING, 409, 429),
        example=EXAMPLE,
        answer_example={**ANSWER, "link": LINK},
        tag="Members",
    )
    def post(self, request: Request) -> HttpResponse:
        data = validated(InvitationFields, request)
        organization = Organization.objects.get(pk=self.credential.organization_id)
        invitations.count_attempt(organization)

        def invite() -> Response:
            made = invitations.invite(organization, **data, actor=self.actor)
            return Response(InvitationAnswer(made).data, status=201)

        # What is kept for a retry has no link in it.
        kept = self.once(invite)
        answer = kept.data if isinstance(kept, Response) else json.loads(kept.content)
        if kept.status_code != 201:
            return kept
        invitation = Invitation(pk=decode("inv", answer["id"]))
        return Response({**answer, "link": invitations.link(invitation)}, status=201)


class InvitationView(ApiView):
    """One invitation."""

    required_scopes: ClassVar[dict[str, str]] = {"DELETE": "governance:write"}

    @operation(
        "Withdraw an invitation",
        answer=None,
        status=204,
        errors=(*READING, 409),
        tag="Members",
    )
    def delete(self, request: Request, reference: str) -> Response:
        rows = Invitation.objects.for_organization(self.credential.organization_id)
        try:
            found = rows.filter(pk=decode("inv", reference)).first()
        except IdentifierError:
            found = None
        if found is None:
            raise NotFoundError
        invitations.withdraw(found, actor=self.actor)
        return Response(status=204)


class Acceptance(StrictSerializer):
    """The token of the link, and who one is."""

    token = TextField(max_length=200)
    email = serializers.EmailField(
        required=False, help_text="only if the invitation names no address"
    )
    password = TextField(
        max_length=1000,
        required=False,
        trim_whitespace=False,
        help_text="of the account, or of the new one; not with an access token",
    )
    name = TextField(
        max_length=200, required=False, help_text="makes an account of this name"
    )


class MembershipAnswer(serializers.Serializer[Any]):
    """The role that one has now."""

    email = serializers.EmailField(source="user.email")
    role = serializers.ChoiceField(Role.choices)
    organization = serializers.SlugField(source="organization.slug")
    needs_confirmation = serializers.BooleanField(
        source="is_unconfirmed",
        help_text="a second person has to confirm the role before it counts",
    )


class AcceptView(PasswordView):
    """Saying yes to an invitation."""

    @operation(
        "Accept an invitation",
        description="With an access token, or with the password of the account. With "
        "a `name`, an account is made first.",
        request=Acceptance,
        answer=MembershipAnswer,
        errors=(*ERRORS, 404, 409),
        example={
            "token": "Zm9y…",
            "name": "Grace",
            "password": "a long enough passphrase",
        },
        answer_example={
            "email": "grace@example.com",
            "role": "compliance_officer",
            "organization": "ada-s-organization",
            "needs_confirmation": False,
        },
        tag="Members",
        auth=[],
    )
    def post(self, request: Request) -> Response:
        data = validated(Acceptance, request)
        limit, seconds = LOGINS_PER_ADDRESS
        limits.hit("invitation", self.visitor().ip, limit=limit, seconds=seconds)
        membership = self._accept(data)
        return Response(MembershipAnswer(membership).data)

    def _accept(self, data: dict[str, Any]) -> Membership:
        token, headers = data["token"], self.request.META
        if headers.get("HTTP_AUTHORIZATION") or headers.get("HTTP_X_API_KEY"):
            credential = credential_of(self.request)
            if credential.api_key_id is not None:
                raise PermissionDeniedError("People join organizations, keys don't.")
            user = User.objects.get(pk=credential.user_id)
            return invitations.accept(token, user=user, actor=credential.actor)
        email = invitations.find(token).email or data.get("email", "")
        if missing := [
            name
            for name, value in (("email", email), ("password", data.get("password")))
            if not value
        ]:
            raise InvalidError(
                errors=[fault(one, code="required", detail="needed") for one in missing]
            )
        if "name" in data:
            return invitations.join(
                token,
                email=email,
                password=data["password"],
                name=data["name"],
                actor=self.visitor(),
            )
        user = self.authenticated(email, data["password"])
        return invitations.accept(token, user=user, actor=self.visitor(user))


class Refusal(StrictSerializer):
    """The token of the link."""

    token = TextField(max_length=200)


class DeclineView(OpenView):
    """Saying no to an invitation."""

    @operation(
        "Decline an invitation",
        request=Refusal,
        answer=None,
        status=204,
        errors=(*ERRORS, 404),
        example={"token": "Zm9y…"},
        tag="Members",
        auth=[],
    )
    def post(self, request: Request) -> Response:
        data = validated(Refusal, request)
        limit, seconds = LOGINS_PER_ADDRESS
        limits.hit("invitation", self.visitor().ip, limit=limit, seconds=seconds)
        invitations.decline(data["token"], actor=self.visitor())
        return Response(status=204)
