"""Registering, signing in and out."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from axes.helpers import get_cool_off
from django.conf import settings
from django.contrib.auth import authenticate
from django.contrib.auth.signals import user_logged_in
from django.http import HttpRequest
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from governance import tokens
from governance.actions import invitations, limits, organizations, sessions
from governance.actions.audit import Actor
from governance.api.authentication import client_address
from governance.api.base import ApiView, StrictSerializer, TextField, validated
from governance.api.documents import operation
from governance.exceptions import (
    NotAuthenticatedError,
    PermissionDeniedError,
    ThrottledError,
)
from governance.models import User

ERRORS = (400, 401, 403, 411, 413, 415, 422, 429, 503)
# A wrong password and an unknown user take this long, whatever was done meanwhile.
FAILURE_SECONDS = 0.4
LOGINS_PER_ADDRESS = (60, 60)  # attempts, in seconds
LOGINS_PER_ACCOUNT = (60, 15 * 60)
REGISTRATION_SECONDS = 60 * 60


def attempted_username(
    request: HttpRequest, credentials: Mapping[str, Any] | None = None
) -> str:
    """Return whom a login names, for django-axes: capitals don't begin a new count."""
    given = (credentials or request.POST).get("username") or ""
    return str(given).lower()


class OpenView(ApiView):
    """A call that needs no credential, because it is how one gets one."""

    authentication_classes = []
    permission_classes = [AllowAny]

    def visitor(self, user: User | None = None) -> Actor:
        request = self.request
        return Actor(
            type="user" if user else "visitor",
            id=str(user.pk) if user else "",
            label=user.email if user else "",
            auth_method="password" if user else "",
            ip=client_address(request),
            request_id=request.META.get("HTTP_X_REQUEST_ID", ""),
            channel="api",
            user_id=user.pk if user else None,
        )

    def check_registration(self) -> None:
        """Refuse where strangers may not register, or one registers too often."""
        if not settings.OPEN_REGISTRATION:
            raise PermissionDeniedError(
                "Registration is closed here. An administrator makes organizations "
                "with `manage.py create_organization`."
            )
        limits.hit(
            "register",
            self.visitor().ip,
            limit=settings.REGISTRATIONS_PER_HOUR,
            seconds=REGISTRATION_SECONDS,
        )


class OrganizationName(StrictSerializer):
    """The body of the Quick start's registration."""

    name = TextField(max_length=200)


class OrganizationAnswer(serializers.Serializer[Any]):
    """A new organization and its key."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    slug = serializers.CharField()
    api_key = serializers.CharField(help_text="shown this once")
    owner_link = serializers.URLField(
        help_text="makes the person who opens it first the owner, within seven days"
    )


class RegisterOrganizationView(OpenView):
    """The Quick start's first call."""

    @operation(
        "Make an organization and its first API key",
        request=OrganizationName,
        answer=OrganizationAnswer,
        errors=ERRORS,
        example={"name": "My Test Company"},
        answer_example={
            "id": 1,
            "name": "My Test Company",
            "slug": "my-test-company",
            "api_key": "dg_live_…",
            "owner_link": "https://driftguard.example/invitations/Zm9y…",
        },
        tag="Quick start",
        auth=[],
    )
    def post(self, request: Request) -> Response:
        self.check_registration()
        data = validated(OrganizationName, request)
        organization, text, offer = invitations.register_organization(
            data["name"], actor=self.visitor()
        )
        return Response(
            {
                "id": organization.pk,
                "name": organization.name,
                "slug": organization.slug,
                "api_key": text,
                "owner_link": invitations.link(offer),
            }
        )


class PersonFields(StrictSerializer):
    """The body of a person's registration."""

    email = serializers.EmailField(max_length=254)
    password = TextField(max_length=1000, trim_whitespace=False)
    name = TextField(max_length=200, required=False, allow_blank=True, default="")


class OwnOrganization(serializers.Serializer[Any]):
    """The organization that was made for a person."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    slug = serializers.CharField()


class PersonAnswer(serializers.Serializer[Any]):
    """A new user."""

    id = serializers.IntegerField()
    email = serializers.EmailField()
    name = serializers.CharField()
    organization = OwnOrganization()


class RegisterPersonView(OpenView):
    """A person with an organization of their own."""

    @operation(
        "Register with e-mail and password",
        request=PersonFields,
        answer=PersonAnswer,
        status=201,
        errors=(*ERRORS, 409),
        example={
            "email": "ada@example.com",
            "password": "a long enough passphrase",
            "name": "Ada",
        },
        answer_example={
            "id": 1,
            "email": "ada@example.com",
            "name": "Ada",
            "organization": {
                "id": 1,
                "name": "Ada's organization",
                "slug": "adas-organization",
            },
        },
        tag="Sign-in",
        auth=[],
    )
    def post(self, request: Request) -> Response:
        self.check_registration()
        data = validated(PersonFields, request)
        user, organization = organizations.register_person(
            data["email"], data["password"], data["name"], actor=self.visitor()
        )
        answer = {
            "id": user.pk,
            "email": user.email,
            "name": user.name,
            "organization": organization,
        }
        return Response(PersonAnswer(answer).data, status=201)


class PasswordView(OpenView):
    """A call in which somebody shows with a password who they are."""

    def authenticated(self, email: str, password: str) -> User:
        """Return the user, or answer as slowly and as little for every reason."""
        started = time.monotonic()
        email = email.lower()
        self._check_limits(email)
        request = self.request._request
        user = authenticate(request, username=email, password=password)
        is_locked = getattr(request, "axes_locked_out", False)
        # Axes would put its own answer in the place of ours.
        request.axes_locked_out = False  # type: ignore[attr-defined]
        if isinstance(user, User) and not is_locked:
            user_logged_in.send(sender=User, request=request, user=user)
            return user
        reason = "locked out" if is_locked else "wrong password"
        actor = replace(self.visitor(), label=email, auth_method="password")
        sessions.record_failure(email, actor=actor, reason=reason)
        time.sleep(max(0.0, started + FAILURE_SECONDS - time.monotonic()))
        if is_locked:
            pause = get_cool_off()
            raise ThrottledError(
                "Too many failed attempts; try again later.",
                retry_after=int(pause.total_seconds()) if pause else 60,
            )
        raise NotAuthenticatedError("E-mail address or password is wrong.")

    def _check_limits(self, email: str) -> None:
        limit, seconds = LOGINS_PER_ADDRESS
        limits.hit("login address", self.visitor().ip, limit=limit, seconds=seconds)
        limit, seconds = LOGINS_PER_ACCOUNT
        limits.hit("login account", email, limit=limit, seconds=seconds)


class Login(StrictSerializer):
    """The body of a login."""

    username = TextField(max_length=254, help_text="the e-mail address")
    password = TextField(max_length=1000, trim_whitespace=False)
    organization = TextField(
        required=False, help_text="slug or id, for members of several"
    )


class TokensAnswer(serializers.Serializer[Any]):
    """An access token, and a refresh token that gets the next."""

    access_token = serializers.CharField(source="access")
    token_type = serializers.CharField(default="bearer")
    expires_in = serializers.IntegerField(help_text="seconds")
    refresh_token = serializers.CharField(source="refresh")


TOKENS = {
    "access_token": "eyJ…",
    "token_type": "bearer",
    "expires_in": 2592000,
    "refresh_token": "eyJ…",
}


class LoginView(PasswordView):
    """E-mail and password for tokens."""

    @operation(
        "Sign in",
        request=Login,
        answer=TokensAnswer,
        errors=(*ERRORS, 409),
        example={"username": "ada@example.com", "password": "…"},
        answer_example=TOKENS,
        tag="Sign-in",
        auth=[],
    )
    def post(self, request: Request) -> Response:
        data = validated(Login, request)
        user = self.authenticated(data["username"], data["password"])
        organization = sessions.organization_for(user, data.get("organization"))
        made = sessions.start(user, organization, actor=self.visitor(user))
        return Response(TokensAnswer(made).data)


class RefreshToken(StrictSerializer):
    """The body of a refresh, and of a logout."""

    refresh_token = TextField(max_length=4000)


class RefreshView(OpenView):
    """A refresh token for the next pair."""

    @operation(
        "Exchange a refresh token",
        request=RefreshToken,
        answer=TokensAnswer,
        errors=ERRORS,
        example={"refresh_token": "eyJ…"},
        answer_example=TOKENS,
        tag="Sign-in",
        auth=[],
    )
    def post(self, request: Request) -> Response:
        limit, seconds = LOGINS_PER_ADDRESS
        limits.hit("refresh", self.visitor().ip, limit=limit, seconds=seconds)
        data = validated(RefreshToken, request)
        made = sessions.refresh(data["refresh_token"], actor=self.visitor())
        return Response(TokensAnswer(made).data)


class LogoutView(OpenView):
    """The end of a session."""

    @operation(
        "Sign out",
        request=RefreshToken,
        answer=None,
        status=204,
        errors=ERRORS,
        example={"refresh_token": "eyJ…"},
        tag="Sign-in",
        auth=[],
    )
    def post(self, request: Request) -> Response:
        data = validated(RefreshToken, request)
        claims = tokens.read(data["refresh_token"], kind=tokens.REFRESH)
        user = User.objects.filter(pk=claims.user_id).first()
        sessions.end(claims.session_id, actor=self.visitor(user))
        return Response(status=204)
