"""Deploying a version of a model."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from governance.actions import deployments
from governance.api.base import (
    ApiView,
    FlagField,
    StrictSerializer,
    TextField,
    flag_of,
    validated,
)
from governance.api.documents import WRITING, operation
from governance.api.registry import named_version
from governance.models import ApiKey


class DeploymentRequest(StrictSerializer):
    """Which version, where to, and whether an override is meant to let it through."""

    override = FlagField(default=False)
    version = TextField(required=False, max_length=100)
    environment = serializers.ChoiceField(
        ApiKey.Environment.choices, default=ApiKey.Environment.PRODUCTION
    )


class DeploymentAnswer(serializers.Serializer[Any]):
    """What the gate said, and what has become of the version."""

    deployment_status = serializers.CharField()
    gate = serializers.JSONField()


class DeployView(ApiView):
    """The gate's door: closed until a version is approved."""

    required_scopes: ClassVar[dict[str, str]] = {"POST": "governance:write"}
    query_parameters: ClassVar[dict[str, frozenset[str]]] = {
        "POST": frozenset({"dry_run"})
    }

    @operation(
        "Deploy a version",
        request=DeploymentRequest,
        answer=DeploymentAnswer,
        errors=(*WRITING, 409),
        parameters=[
            OpenApiParameter("dry_run", bool, description="ask, but don't deploy")
        ],
        example={"override": False, "version": "2.1.0", "environment": "production"},
        answer_example={
            "deployment_status": "deployed",
            "gate": {"result": "ALLOW", "rules": []},
        },
        tag="Models",
    )
    def post(self, request: Request, reference: str) -> Response:
        model = self.model(reference)
        data = validated(DeploymentRequest, request)
        version = named_version(model, data.get("version"))
        deployments.deploy(
            version,
            environment=data["environment"],
            override=data["override"],
            dry_run=flag_of(request, "dry_run"),
            actor=self.actor,
        )
