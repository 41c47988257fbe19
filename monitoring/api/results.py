"""Drift results in the Drift dialect: of analyses, and the live ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from governance.api.base import ApiView, limit_of
from governance.api.documents import operation
from governance.exceptions import InvalidError, NotFoundError, fault
from governance.identifiers import IdentifierError, decode, encode
from monitoring.actions import results
from monitoring.api import live
from monitoring.api.drift import MODEL_ID, READ, model_parameter
from monitoring.api.live import SCORE
from monitoring.models import DriftResult, LiveResult

Json = dict[str, Any]

STATUSES = ("ok", "warning", "alert")
RESULT_ID = "result_01jjxkq6mwf1b8q2v6kz3w9d4t"
VERSION = OpenApiParameter(
    "modelVersion", description="absent: the version that the model shows"
)
EXAMPLE: Json = {
    "resultId": RESULT_ID,
    "modelId": "credit-risk-classifier",
    "modelVersion": "2.1.0",
    "kind": "analysis",
    "jobId": "drift_job_01jjxkq6mwf1b8q2v6kz3w9d4t",
    "status": "warning",
    "algorithms": {
        "ks_test": {
            "drift": True,
            "score": 0.18,
            "pValue": 0.0004,
            "status": "warning",
            "warningThreshold": 0.1,
            "alertThreshold": 0.2,
            "votes": True,
            "feature": "income",
            "features": {"income": 0.18, "age": 0.02},
            "family": "univariate",
            "reason": None,
        },
        "psi": {"drift": False, "score": 0.05, "status": "ok"},
    },
    "baselineId": "baseline_01jjxkq6mwf1b8q2v6kz3w9d4t",
    "windowStart": "2025-01-24T12:00:00Z",
    "windowEnd": "2025-01-31T12:00:00Z",
    "predictions": 1247,
    "createdAt": "2025-01-31T12:00:03Z",
}
DETAIL_EXAMPLE: Json = {
    **EXAMPLE,
    "labels": 900,
    "features": [{"name": "income", "status": "warning", "algorithms": {}, "bins": {}}],
    "rootCause": {
        "features": [
            {
                "feature": "income",
                "contribution": 0.82,
                "psi": 0.21,
                "importance": 0.4,
                "status": "warning",
                "bins": [
                    {
                        "low": 5200.0,
                        "high": None,
                        "baseline": 0.1,
                        "window": 0.22,
                        "change": 0.12,
                    }
                ],
            }
        ],
        "slices": [
            {
                "feature": "region",
                "category": "north",
                "low": None,
                "high": None,
                "is_missing": False,
                "baseline_share": 0.1,
                "window_share": 0.25,
                "before": 0.09,
                "after": 0.01,
                "fall": 0.08,
                "fall_share": 0.89,
            }
        ],
    },
    "provenance": {"rows_digest": "9f86d081884c7d65…"},
}


class ResultAnswer(serializers.Serializer[Any]):
    """A drift result."""

    resultId = serializers.CharField()
    modelId = serializers.JSONField()
    modelVersion = serializers.CharField()
    kind = serializers.ChoiceField(["analysis", "live"])
    jobId = serializers.CharField(allow_null=True)
    status = serializers.ChoiceField(DriftResult.Status.choices)
    algorithms = serializers.DictField(child=serializers.DictField())
    baselineId = serializers.CharField(allow_null=True)
    windowStart = serializers.DateTimeField(allow_null=True)
    windowEnd = serializers.DateTimeField(allow_null=True)
    predictions = serializers.IntegerField()
    createdAt = serializers.DateTimeField()


class ResultDetail(ResultAnswer):
    """A drift result with everything behind it."""

    labels = serializers.IntegerField()
    features = serializers.ListField(child=serializers.DictField())
    rootCause = serializers.DictField(allow_null=True)
    provenance = serializers.DictField(allow_null=True)


class ResultLine(serializers.Serializer[Any]):
    """A drift result in a list."""

    resultId = serializers.CharField()
    status = serializers.ChoiceField(DriftResult.Status.choices)
    createdAt = serializers.DateTimeField()


class ResultList(serializers.Serializer[Any]):
    """Drift results, newest first."""

    results = ResultLine(many=True)


class LatestResultView(ApiView):
    """The latest drift result of a model."""

    required_scopes: ClassVar[dict[str, str]] = {"GET": READ}
    query_parameters: ClassVar[dict[str, frozenset[str]]] = {
        "GET": frozenset({"modelId", "modelVersion"})
    }

    @operation(
        "Tell the latest drift result",
        answer=ResultAnswer,
        parameters=[MODEL_ID, VERSION],
        answer_example=EXAMPLE,
        description=(
            "That of the newest analysis, for an hour and as long as no predictions "
            "arrive after it; otherwise the live result."
        ),
        tag="Drift",
    )
    def get(self, request: Request) -> Response:
        reference = model_parameter(request)
        version = live.shown_version(
            self.model(reference), request.query_params.get("modelVersion")
        )
        found = results.latest(version)
        if found is None:
            raise NotFoundError
        return Response(summary(reference, found))


class ResultsView(ApiView):
    """The drift results of a model."""

    required_scopes: ClassVar[dict[str, str]] = {"GET": READ}
    query_parameters: ClassVar[dict[str, frozenset[str]]] = {
        "GET": frozenset({"modelId", "limit", "status"})
    }

    @operation(
        "List drift results, newest first",
        answer=ResultList,
        parameters=[
            MODEL_ID,
            OpenApiParameter("limit", int, description="at most 1,000; 50 if absent"),
            OpenApiParameter("status", enum=STATUSES),
        ],
        answer_example={
            "results": [
                {
                    "resultId": RESULT_ID,
                    "status": "warning",
                    "createdAt": "2025-01-31T12:00:03Z",
                }
            ]
        },
        tag="Drift",
    )
    def get(self, request: Request) -> Response:
        model = self.model(model_parameter(request))
        status = request.query_params.get("status")
        if status is not None and status not in STATUSES:
            detail = f"expected one of {', '.join(STATUSES)}"
            raise InvalidError(errors=[fault("status", code="choice", detail=detail)])
        found = results.lines(model, status=status, limit=limit_of(request, default=50))
        return Response(
            {
                "results": [
                    {
                        "resultId": line.public_id,
                        "status": line.status,
                        "createdAt": live.moment(line.created_at),
                    }
                    for line in found
                ]
            }
        )


class ResultView(ApiView):
    """One drift result, with everything behind it."""

    required_scopes: ClassVar[dict[str, str]] = {"GET": READ}
    query_parameters: ClassVar[dict[str, frozenset[str]]] = {
        "GET": frozenset({"modelId"})
    }

    @operation(
        "Tell everything about a drift result",
        answer=ResultDetail,
        parameters=[OpenApiParameter("modelId", description="id or slug")],
        answer_example=DETAIL_EXAMPLE,
        description=(
            "Every column with every algorithm, the cause of the drift, and what the "
            "result was computed from. A live result keeps its id until the next "
            "measurement only."
        ),
        tag="Drift",
    )
    def get(self, request: Request, reference: str) -> Response:
        try:
            key = decode("result", reference)
        except IdentifierError:
            raise NotFoundError from None
        found = results.named(self.credential.organization_id, key)
        if found is None:
            raise NotFoundError
        model = request.query_params.get("modelId")
        if model is not None and self.model(model).pk != found.model_id:
            raise NotFoundError
        name = model or found.version.model.slug
        return Response({**summary(name, found), **_detail(found)})


def summary(reference: str, result: DriftResult | LiveResult) -> Json:
    """Return what each algorithm says of a window."""
    if isinstance(result, LiveResult):
        return _live_summary(reference, result)
    return {
        **_head(reference, result),
        "kind": "analysis",
        "jobId": encode("drift_job", result.run_id),
        "algorithms": {
            name: _algorithm(told) for name, told in result.algorithms.items()
        },
        "createdAt": live.moment(result.created_at),
    }


def _live_summary(reference: str, result: LiveResult) -> Json:
    report = result.drift
    columns = [c for c in report.get("columns", ()) if c["name"] != SCORE]
    algorithms = {
        name: {
            **told,
            "family": "univariate",
            "features": {
                column["name"]: column["algorithms"][name]["score"]
                for column in columns
                if name in column["algorithms"]
            },
        }
        for name, told in report.get("algorithms", {}).items()
    }
    return {
        **_head(reference, result),
        "kind": "live",
        "jobId": None,
        "algorithms": {name: _algorithm(told) for name, told in algorithms.items()},
        "createdAt": live.moment(result.computed_at),
    }


def _head(reference: str, result: DriftResult | LiveResult) -> Json:
    baseline = result.baseline
    return {
        "resultId": result.public_id,
        "modelId": live.model_id(reference),
        "modelVersion": result.version.version,
        "status": result.status,
        "baselineId": None if baseline is None else baseline.public_id,
        "windowStart": live.moment(result.window_start),
        "windowEnd": live.moment(result.window_end),
        "predictions": result.predictions,
    }


def _algorithm(told: Mapping[str, Any]) -> Json:
    """Return what one algorithm says, by the dialect's names."""
    answer = {
        "drift": told["drift"],
        "score": told["score"],
        "pValue": told["p_value"],
        "status": told["status"],
        "warningThreshold": told["warning"],
        "alertThreshold": told["alert"],
        "votes": told["votes"],
        "feature": told.get("column"),
        "features": told["features"],
        "family": told["family"],
        "reason": told.get("reason") or None,
    }
    for name, kept in (
        ("statistic", "statistic"),
        ("interval", "interval"),
        ("n", "n"),
        ("nBaseline", "n_baseline"),
        ("parameters", "parameters"),
        ("detail", "detail"),
    ):
        if told.get(kept) not in (None, {}):
            answer[name] = told[kept]
    return answer


def _detail(result: DriftResult | LiveResult) -> Json:
    report = result.drift
    return {
        "labels": result.labels,
        "features": list(report.get("columns", ())),
        "rootCause": getattr(result, "root_cause", None),
        "provenance": getattr(result, "provenance", None),
    }
