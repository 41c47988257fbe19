"""Drift, performance and fairness of a model, read from what was measured last."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from governance.api.base import ApiView
from governance.api.documents import operation
from governance.exceptions import InvalidError, fault
from monitoring.api import live
from monitoring.models import LiveResult

READ = "mlops:read"
VERSION = OpenApiParameter(
    "version", description="a version's name; absent: the version that the model shows"
)
MODEL_ID = OpenApiParameter("modelId", required=True, description="id or slug")
STATUSES = ("ok", "warning", "alert")

WINDOW_EXAMPLE = {
    "start": "2025-01-24T12:00:00Z",
    "end": "2025-01-31T12:00:00Z",
    "predictions": 1247,
    "later": None,
}
DRIFT_EXAMPLE: dict[str, Any] = {
    "model_id": 1,
    "version": "2.1.0",
    "drift_detected": False,
    "status": "warning",
    "psi": 0.18,
    "ks": 0.15,
    "drift_metrics": [
        {
            "feature": "income",
            "kind": "numeric",
            "status": "warning",
            "drift_detected": False,
            "psi": 0.18,
            "ks": 0.15,
            "ks_p_value": 0.0004,
            "importance": 0.5,
            "n": 1247,
            "n_baseline": 10000,
            "missing": 0,
            "invalid": 0,
            "direction": "higher",
            "algorithms": {},
        }
    ],
    "score": None,
    "baseline_id": "baseline_01jjxkq6mwf1b8q2v6kz3w9d4t",
    "baseline_kind": "given",
    "window": WINDOW_EXAMPLE,
    "computed_at": "2025-01-31T12:00:03Z",
}
PERFORMANCE_EXAMPLE: dict[str, Any] = {
    "model_id": 1,
    "version": "2.1.0",
    "task": "binary",
    "primary_metric": "roc_auc",
    "baseline": {"rows": 10000, "labelled": 10000, "metrics": {}},
    "periods": [
        {
            "period": "2025-01",
            "rows": 9000,
            "labelled": 9000,
            "labelled_share": 1.0,
            "is_mature": True,
            "metrics": {"roc_auc": {"value": 0.886, "n": 9000}},
            "drop": {"value": 0.002, "low": -0.01, "high": 0.014},
        }
    ],
    "detail": None,
    "computed_at": "2025-01-31T12:00:03Z",
}
FAIRNESS_EXAMPLE: dict[str, Any] = {
    "model_id": 1,
    "version": "2.1.0",
    "fairness_score": 0.892,
    "favourable_outcome": "1",
    "attributes": [],
    "detail": None,
    "window": WINDOW_EXAMPLE,
    "computed_at": "2025-01-31T12:00:03Z",
}


class LaterAnswer(serializers.Serializer[Any]):
    """A newer calendar period, not shown: it has too few predictions to be judged."""

    start = serializers.DateTimeField()
    predictions = serializers.IntegerField()
    needed = serializers.IntegerField()


class WindowAnswer(serializers.Serializer[Any]):
    """The hours that an answer is about."""

    start = serializers.DateTimeField(allow_null=True)
    end = serializers.DateTimeField(allow_null=True)
    predictions = serializers.IntegerField()
    later = LaterAnswer(allow_null=True)


class DriftAnswer(serializers.Serializer[Any]):
    """The live drift of a model."""

    model_id = serializers.JSONField()
    version = serializers.CharField()
    drift_detected = serializers.BooleanField()
    status = serializers.ChoiceField(LiveResult.Status.choices)
    psi = serializers.FloatField(allow_null=True)
    ks = serializers.FloatField(allow_null=True)
    drift_metrics = serializers.ListField(child=serializers.DictField())
    score = serializers.DictField(allow_null=True)
    baseline_id = serializers.CharField(allow_null=True)
    baseline_kind = serializers.CharField(allow_null=True)
    window = WindowAnswer()
    computed_at = serializers.DateTimeField(allow_null=True)


class PerformanceAnswer(serializers.Serializer[Any]):
    """Realized performance by period."""

    model_id = serializers.JSONField()
    version = serializers.CharField()
    task = serializers.CharField(allow_null=True)
    primary_metric = serializers.CharField(allow_null=True)
    baseline = serializers.DictField(allow_null=True)
    periods = serializers.ListField(child=serializers.DictField())
    detail = serializers.CharField(allow_null=True)
    computed_at = serializers.DateTimeField(allow_null=True)


class FairnessAnswer(serializers.Serializer[Any]):
    """Group fairness of the live window."""

    model_id = serializers.JSONField()
    version = serializers.CharField()
    fairness_score = serializers.FloatField(allow_null=True)
    favourable_outcome = serializers.CharField(allow_null=True)
    attributes = serializers.ListField(child=serializers.DictField())
    detail = serializers.CharField(allow_null=True)
    window = WindowAnswer()
    computed_at = serializers.DateTimeField(allow_null=True)


class _LiveView(ApiView):
    """A view of what a version's live result says."""

    required_scopes: ClassVar[dict[str, str]] = {"GET": READ}
    query_parameters: ClassVar[dict[str, frozenset[str]]] = {
        "GET": frozenset({"version"})
    }


class DriftView(_LiveView):
    """The live drift of a model."""

    @operation(
        "Tell the live drift of a model",
        answer=DriftAnswer,
        parameters=[VERSION],
        answer_example=DRIFT_EXAMPLE,
        tag="Monitoring",
    )
    def get(self, request: Request, reference: str) -> Response:
        version = live.shown_version(
            self.model(reference), request.query_params.get("version")
        )
        return Response(live.drift_of(reference, version, live.result_of(version)))


class PerformanceView(_LiveView):
    """The realized performance of a model."""

    @operation(
        "Tell a model's realized performance, period by period",
        answer=PerformanceAnswer,
        parameters=[VERSION],
        answer_example=PERFORMANCE_EXAMPLE,
        tag="Monitoring",
    )
    def get(self, request: Request, reference: str) -> Response:
        version = live.shown_version(
            self.model(reference), request.query_params.get("version")
        )
        result = live.result_of(version)
        return Response(live.performance_of(reference, version, result))


class FairnessView(_LiveView):
    """The group fairness of a model."""

    @operation(
        "Tell a model's fairness by protected attribute",
        answer=FairnessAnswer,
        parameters=[VERSION],
        answer_example=FAIRNESS_EXAMPLE,
        tag="Monitoring",
    )
    def get(self, request: Request, reference: str) -> Response:
        version = live.shown_version(
            self.model(reference), request.query_params.get("version")
        )
        return Response(live.fairness_of(reference, version, live.result_of(version)))


def model_parameter(request: Request) -> str:
    """Return the query parameter `modelId`, which has to be there."""
    reference = request.query_params.get("modelId")
    if not reference:
        error = fault("modelId", code="missing", detail="it has to be given")
        raise InvalidError("The parameter modelId is missing.", errors=[error])
    return str(reference)
