"""Performance over time in the Drift dialect: realized and estimated, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from governance.api.base import ApiView
from governance.api.documents import READING, operation
from governance.exceptions import InvalidError, fault
from governance.models import ModelVersion
from monitoring.actions import alerts, standards
from monitoring.api import live
from monitoring.api.drift import MODEL_ID, READ, model_parameter
from monitoring.models import PerformanceResult

Json = dict[str, Any]
Period = PerformanceResult.Period
GRANULARITIES = {"hourly": Period.HOUR, "daily": Period.DAY, "weekly": Period.WEEK}
LENGTHS = {
    Period.HOUR: timedelta(hours=1),
    Period.DAY: timedelta(days=1),
    Period.WEEK: timedelta(weeks=1),
}
LONGEST_DAYS = 366
# Of hours nobody reads more.
LONGEST_HOURLY_DAYS = 62
NOT_YET = "Nothing has been recorded against a baseline yet; ask again in a moment."
NO_BASELINE = "The version has no baseline: no task is known, and nothing to compare."
_METRIC = {"value": 0.91, "n": 812, "low": 0.888, "high": 0.928}
EXAMPLE: Json = {
    "modelId": "credit-risk-classifier",
    "modelVersion": "2.1.0",
    "task": "binary",
    "primaryMetric": "roc_auc",
    "granularity": "daily",
    "windowStart": "2025-01-01T12:00:00Z",
    "windowEnd": "2025-01-31T12:00:00Z",
    "history": [
        {
            "timestamp": "2025-01-31T00:00:00Z",
            "end": "2025-01-31T12:00:00Z",
            "accuracy": 0.91,
            "sampleSize": 812,
            "predictions": 1_000,
            "labelledShare": 0.812,
            "isMature": True,
            "metrics": {"accuracy": _METRIC},
            "estimatedAccuracy": 0.904,
            "estimatedAccuracyInterval": [0.876, 0.932],
            "estimatedSampleSize": 1_000,
            "estimatedMetrics": {
                "accuracy": {"value": 0.904, "n": 1_000, "low": 0.876, "high": 0.932}
            },
        }
    ],
    "estimation": {
        "available": True,
        "method": "cbpe",
        "reason": None,
        "labelledRows": 10_000,
        "baseline": {"accuracy": {"value": 0.92, "n": 10_000}},
        "calibration": [],
    },
    "trust": {
        "backTest": {
            "accuracy": {
                "windows": 21,
                "mean_error": 0.004,
                "largest_error": 0.011,
                "covered": 1.0,
            }
        },
        "period": "2025-01-24 to 2025-01-30",
        "residual": {
            "accuracy": {
                "value": 0.006,
                "low": -0.014,
                "high": 0.026,
                "concept_drift": False,
            }
        },
        "reason": None,
    },
    "detail": None,
}


class PointDocument(serializers.Serializer[Any]):
    """One hour, day or week."""

    timestamp = serializers.DateTimeField(help_text="its start, in UTC")
    end = serializers.DateTimeField()
    accuracy = serializers.FloatField(allow_null=True, help_text="by the labels")
    sampleSize = serializers.IntegerField(help_text="labelled predictions")
    predictions = serializers.IntegerField()
    labelledShare = serializers.FloatField()
    isMature = serializers.BooleanField(help_text="enough labels are in to judge it")
    metrics = serializers.DictField(child=serializers.DictField())
    estimatedAccuracy = serializers.FloatField(allow_null=True)
    estimatedAccuracyInterval = serializers.ListField(
        child=serializers.FloatField(), allow_null=True
    )
    estimatedSampleSize = serializers.IntegerField()
    estimatedMetrics = serializers.DictField(child=serializers.DictField())


class EstimationDocument(serializers.Serializer[Any]):
    """How performance is estimated, or why it isn't."""

    available = serializers.BooleanField()
    method = serializers.CharField(allow_null=True)
    reason = serializers.CharField(allow_null=True)
    labelledRows = serializers.IntegerField(allow_null=True)
    baseline = serializers.DictField()
    calibration = serializers.ListField(child=serializers.DictField())


class TrustDocument(serializers.Serializer[Any]):
    """How far past estimates were off."""

    backTest = serializers.DictField(child=serializers.DictField())
    period = serializers.CharField(allow_null=True)
    residual = serializers.DictField(child=serializers.DictField())
    reason = serializers.CharField(allow_null=True)


class HistoryDocument(serializers.Serializer[Any]):
    """Performance over time."""

    modelId = serializers.JSONField()
    modelVersion = serializers.CharField()
    task = serializers.CharField(allow_null=True)
    primaryMetric = serializers.CharField(allow_null=True)
    granularity = serializers.ChoiceField(list(GRANULARITIES))
    windowStart = serializers.DateTimeField(allow_null=True)
    windowEnd = serializers.DateTimeField(allow_null=True)
    history = PointDocument(many=True)
    estimation = EstimationDocument()
    trust = TrustDocument()
    detail = serializers.CharField(allow_null=True)


class HistoryView(ApiView):
    """Performance over time."""

    required_scopes: ClassVar[dict[str, str]] = {"GET": READ}
    query_parameters: ClassVar[dict[str, frozenset[str]]] = {
        "GET": frozenset({"modelId", "modelVersion", "windowDays", "granularity"})
    }

    @operation(
        "Tell a model's performance over time",
        answer=HistoryDocument,
        errors=READING,
        parameters=[
            MODEL_ID,
            OpenApiParameter("modelVersion", description="absent: the one shown"),
            OpenApiParameter(
                "windowDays",
                int,
                description=(
                    f"up to the newest prediction, 1 to {LONGEST_DAYS} (hourly: "
                    f"{LONGEST_HOURLY_DAYS}); 30 if absent"
                ),
            ),
            OpenApiParameter(
                "granularity", enum=list(GRANULARITIES), description="daily if absent"
            ),
        ],
        answer_example=EXAMPLE,
        description=(
            "What labels say of each period, and beside it what calibrated scores let "
            "expect without them (CBPE; of a regression DLE). What can't be told is "
            "null, with a reason. `trust` tells how far estimates were off on the days "
            "whose labels are in, and what is left between the two: concept drift."
        ),
        tag="Drift",
    )
    def get(self, request: Request) -> Response:
        reference = model_parameter(request)
        version = live.shown_version(
            self.model(reference), request.query_params.get("modelVersion")
        )
        granularity = _granularity(request)
        days = _days(request, granularity)
        return Response(_told(reference, version, granularity, days))


def _granularity(request: Request) -> str:
    text = request.query_params.get("granularity", "daily")
    if text in GRANULARITIES:
        return text
    detail = f"expected one of {', '.join(GRANULARITIES)}"
    raise InvalidError(errors=[fault("granularity", code="choice", detail=detail)])


def _days(request: Request, granularity: str) -> int:
    longest = LONGEST_HOURLY_DAYS if granularity == "hourly" else LONGEST_DAYS
    text = request.query_params.get("windowDays", "30")
    if (
        text.isascii()
        and text.isdigit()
        and len(text) < 6
        and 1 <= int(text) <= longest
    ):
        return int(text)
    detail = f"expected a whole number of days from 1 to {longest}"
    raise InvalidError(errors=[fault("windowDays", code="range", detail=detail)])


def _told(reference: str, version: ModelVersion, granularity: str, days: int) -> Json:
    result = live.result_of(version)
    measured: Mapping[str, Any] = result.performance if result is not None else {}
    period = GRANULARITIES[granularity]
    end = _newest_end(version)
    start = None if end is None else end - timedelta(days=days)
    points: list[Json] = []
    if start is not None and end is not None:
        maturity, fewest = _maturity(version)
        points = [
            _point(one, LENGTHS[period], maturity, fewest)
            for one in _recorded(version, period, start, end)
        ]
    return {
        "modelId": live.model_id(reference),
        "modelVersion": version.version,
        "task": measured.get("task"),
        "primaryMetric": measured.get("primary_metric"),
        "granularity": granularity,
        "windowStart": live.moment(start),
        "windowEnd": live.moment(end),
        "history": points,
        "estimation": _estimation(version, measured),
        "trust": _trust(measured),
        "detail": None if points else _detail(version),
    }


def _newest_end(version: ModelVersion) -> datetime | None:
    newest = PerformanceResult.objects.filter(
        version=version, period=Period.HOUR, rows__gt=0
    ).order_by("-start")
    return newest.values_list("last_end", flat=True).first()


def _recorded(
    version: ModelVersion, period: str, start: datetime, end: datetime
) -> list[PerformanceResult]:
    """Return the recorded periods of which something lies in [start, end)."""
    found = PerformanceResult.objects.filter(
        version=version, period=period, last_end__gt=start, start__lt=end, rows__gt=0
    )
    return list(found.defer("sums").order_by("start"))


def _maturity(version: ModelVersion) -> tuple[float, int]:
    """Return the share and the number of labels from which a period is judged."""
    policy = alerts.policy_of(version.model)
    return policy.label_maturity, policy.minimum_sample


def _point(
    one: PerformanceResult, length: timedelta, maturity: float, fewest: int
) -> Json:
    realized, estimated = one.realized, one.estimated
    metrics = realized.get("metrics", {})
    expected = estimated.get("metrics", {})
    accuracy = metrics.get("accuracy", {})
    guess = expected.get("accuracy", {})
    share = min(one.labels / one.rows, 1.0)
    has_interval = guess.get("value") is not None and "low" in guess
    return {
        "timestamp": live.moment(one.start),
        "end": live.moment(min(one.start + length, one.last_end)),
        "accuracy": accuracy.get("value"),
        "sampleSize": realized.get("labelled", 0),
        "predictions": one.rows,
        "labelledShare": share,
        "isMature": share >= maturity and one.labels >= fewest,
        "metrics": metrics,
        "estimatedAccuracy": guess.get("value"),
        "estimatedAccuracyInterval": (
            [guess["low"], guess["high"]] if has_interval else None
        ),
        "estimatedSampleSize": estimated.get("used", 0),
        "estimatedMetrics": expected,
    }


def _estimation(version: ModelVersion, measured: Mapping[str, Any]) -> Json:
    estimated = measured.get("estimated", {})
    method = estimated.get("method")
    reason = estimated.get("reason")
    if not estimated:
        reason = _detail(version)
    return {
        "available": method is not None,
        "method": method,
        "reason": reason or None,
        "labelledRows": estimated.get("labelled_rows"),
        "baseline": estimated.get("baseline", {}),
        "calibration": estimated.get("calibration", []),
    }


def _trust(measured: Mapping[str, Any]) -> Json:
    found = measured.get("trust", {})
    return {
        "backTest": found.get("back_test", {}),
        "period": found.get("period"),
        "residual": found.get("residual", {}),
        "reason": found.get("reason") or None,
    }


def _detail(version: ModelVersion) -> str:
    return NO_BASELINE if standards.wanted(version) is None else NOT_YET
