"""The risk history of a model."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from governance.api.base import ApiView, limit_of
from governance.api.documents import operation
from governance.models import GovernanceStatus, RiskScore


class RiskPoint(serializers.Serializer[Any]):
    """One scored moment."""

    risk_score = serializers.FloatField(source="score")
    drift_component = serializers.FloatField(allow_null=True)
    fairness_component = serializers.FloatField(allow_null=True)
    governance_status = serializers.ChoiceField(GovernanceStatus.choices)
    explanation = serializers.ListField(child=serializers.CharField())
    version = serializers.CharField(source="version.version")
    policy_version = serializers.IntegerField(source="policy_version.number")
    evidence_id = serializers.IntegerField()
    computed_at = serializers.DateTimeField()


EXAMPLE: list[dict[str, Any]] = [
    {
        "risk_score": 62.5,
        "drift_component": 70.8,
        "fairness_component": 50.0,
        "governance_status": "AT_RISK",
        "explanation": ["The risk index is 62.5 (60% of drift 70.8 + …): at risk."],
        "version": "2.1.0",
        "policy_version": 1,
        "evidence_id": 311,
        "computed_at": "2025-01-31T12:00:00Z",
    }
]


class RiskHistoryView(ApiView):
    """The scored moments of a model over all its versions."""

    required_scopes: ClassVar[dict[str, str]] = {"GET": "models:read"}
    query_parameters: ClassVar[dict[str, frozenset[str]]] = {
        "GET": frozenset({"limit"})
    }

    @operation(
        "List a model's risk scores, newest first",
        answer=RiskPoint(many=True),
        parameters=[
            OpenApiParameter("limit", int, description="at most 1,000; 100 if absent")
        ],
        answer_example=EXAMPLE,
        tag="Models",
    )
    def get(self, request: Request, reference: str) -> Response:
        scores = RiskScore.objects.filter(model=self.model(reference)).select_related(
            "version", "policy_version"
        )
        return Response(RiskPoint(scores[: limit_of(request)], many=True).data)
