"""Permits, the keys to check them with, and the environments they are for."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from governance.actions import environments, permits
from governance.api.base import ApiView
from governance.api.documents import READING, operation
from governance.exceptions import InvalidError, NotFoundError, fault
from governance.models import ApiKey

ENVIRONMENT = OpenApiParameter(
    "environment", enum=ApiKey.Environment.values, description="absent: the key's"
)


def environment_of(request: Request, default: str) -> str:
    """Return the query parameter `environment`."""
    text = request.query_params.get("environment", default)
    if text in ApiKey.Environment.values:
        return text
    listed = ", ".join(ApiKey.Environment.values)
    raise InvalidError(errors=[fault("environment", code="choice", detail=listed)])


class PermitAnswer(serializers.Serializer[Any]):
    """A permit, and what it says."""

    permit = serializers.CharField(help_text="JWS in compact form, Ed25519")
    expires_at = serializers.DateTimeField()
    claims = serializers.JSONField()


CLAIMS: dict[str, Any] = {
    "iss": "driftguard",
    "sub": "model:1",
    "iat": 1738324800,
    "exp": 1738325100,
    "model": "credit-risk-classifier",
    "version": "2.1.0",
    "environment": "production",
    "status": "APPROVED",
    "deployment": 7,
    "policy": {"id": 1, "version": 3, "hash": "5f0c…"},
    "override": None,
    "fallback": {"kind": "previous_version", "version": "2.0.0", "text": "…"},
}


class PermitView(ApiView):
    """Whether the deployed version may serve."""

    required_scopes: ClassVar[dict[str, str]] = {"GET": "models:read"}
    query_parameters: ClassVar[dict[str, frozenset[str]]] = {
        "GET": frozenset({"environment"})
    }

    @operation(
        "Get a permit for what is deployed",
        answer=PermitAnswer,
        errors=(*READING, 409),
        parameters=[ENVIRONMENT],
        answer_example={
            "permit": "eyJhbGciOiJFZERTQSIs…",
            "expires_at": "2025-01-31T12:05:00Z",
            "claims": CLAIMS,
        },
        description=(
            "Lives five minutes; check it with the keys of `/api/permit-keys`, then "
            "nothing has to be asked until it ends. None for what is suspended, "
            "blocked, retired or not deployed: 409 with the fallback."
        ),
        tag="Deployments",
    )
    def get(self, request: Request, reference: str) -> Response:
        environment = environment_of(request, self.credential.environment)
        permit = permits.issue(self.model(reference), environment)
        answer = PermitAnswer(
            {
                "permit": permit.token,
                "expires_at": permit.expires_at,
                "claims": permit.claims,
            }
        )
        return Response(answer.data)


class KeySet(serializers.Serializer[Any]):
    """A JWK set (RFC 7517)."""

    keys = serializers.ListField(child=serializers.DictField())


class PermitKeysView(ApiView):
    """The public keys of permits; anybody may have them."""

    authentication_classes = []
    permission_classes = [AllowAny]

    @operation(
        "Get the public keys of permits",
        answer=KeySet,
        errors=(422, 503),
        answer_example={
            "keys": [
                {
                    "kty": "OKP",
                    "crv": "Ed25519",
                    "use": "sig",
                    "alg": "EdDSA",
                    "kid": "9f86d081884c7d65",
                    "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
                }
            ]
        },
        description="A JWK set. A replaced key stays in it: what it signed soon ends.",
        tag="Deployments",
        auth=[],
    )
    def get(self, request: Request) -> Response:
        return Response(permits.key_set())


class EnvironmentAnswer(serializers.Serializer[Any]):
    """An environment, and what a closed gate does in it."""

    name = serializers.CharField()
    mode = serializers.CharField()
    until = serializers.DateTimeField(allow_null=True)
    policy = serializers.JSONField()
    deployed = serializers.IntegerField()
    suspended = serializers.IntegerField()
    would_have_been_blocked = serializers.IntegerField(
        help_text="live deployments that prevention would have refused"
    )


ENVIRONMENTS: list[dict[str, Any]] = [
    {
        "name": "production",
        "mode": "prevent",
        "until": None,
        "policy": {"id": 1, "version": 3},
        "deployed": 12,
        "suspended": 1,
        "would_have_been_blocked": 0,
    }
]


class EnvironmentsView(ApiView):
    """The environments."""

    required_scopes: ClassVar[dict[str, str]] = {"GET": "governance:read"}

    @operation(
        "List the environments with the gate's mode",
        answer=EnvironmentAnswer(many=True),
        answer_example=ENVIRONMENTS,
        description=(
            "The mode stands in the policy; so it is changed by publishing another "
            "policy version, which takes two people."
        ),
        tag="Deployments",
    )
    def get(self, request: Request) -> Response:
        found = environments.overview(self.credential.organization_id)
        return Response(EnvironmentAnswer(found, many=True).data)


class EnvironmentView(ApiView):
    """One environment."""

    required_scopes: ClassVar[dict[str, str]] = {"GET": "governance:read"}

    @operation(
        "Get an environment",
        answer=EnvironmentAnswer,
        answer_example=ENVIRONMENTS[0],
        tag="Deployments",
    )
    def get(self, request: Request, name: str) -> Response:
        for found in environments.overview(self.credential.organization_id):
            if found.name == name:
                return Response(EnvironmentAnswer(found).data)
        raise NotFoundError
