"""Analyses in the Drift dialect: ask for one, follow it, give it up."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from django.db import transaction
from django.http import HttpResponse
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from governance.api.base import ApiView, StrictSerializer, validated
from governance.api.documents import READING, WRITING, operation
from governance.exceptions import InvalidError, NotFoundError, fault
from governance.identifiers import IdentifierError, decode, encode
from monitoring import nudges
from monitoring.actions import analysis_runs
from monitoring.api import live
from monitoring.api.drift import MODEL_ID, READ, model_parameter
from monitoring.models import AnalysisRun

WRITE = "mlops:write"
JOB_ID = "drift_job_01jjxkq6mwf1b8q2v6kz3w9d4t"
FIRST_MOMENT = datetime(1970, 1, 1, tzinfo=UTC)
FARTHEST = timedelta(days=366)
MOST_DAYS = analysis_runs.LONGEST_WINDOW.days


class DaysField(serializers.IntegerField):
    """A whole number of days: neither `true`, nor `"7"`, nor 7.5."""

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("invalid")
        return int(super().to_internal_value(data))


class AnalyzeBody(StrictSerializer):
    """Which window of which model."""

    modelId = serializers.JSONField(help_text="id or slug")
    modelVersion = serializers.CharField(
        required=False, help_text="absent: the version that the model shows"
    )
    windowDays = DaysField(
        required=False,
        min_value=1,
        max_value=MOST_DAYS,
        help_text="up to the newest predictions, unless an end is given",
    )
    windowStart = serializers.DateTimeField(required=False)
    windowEnd = serializers.DateTimeField(required=False, help_text="not included")
    algorithms = serializers.ListField(
        child=serializers.CharField(),
        required=False,
        allow_empty=False,
        help_text="those to run; absent: the whole registry",
    )


class JobAnswer(serializers.Serializer[Any]):
    """An analysis that was asked for."""

    jobId = serializers.CharField()
    status = serializers.CharField()


class JobStatus(serializers.Serializer[Any]):
    """Where an analysis is."""

    jobId = serializers.CharField()
    modelId = serializers.JSONField()
    status = serializers.ChoiceField(AnalysisRun.Status.choices)
    progress = serializers.FloatField(help_text="share of the work that is done")
    step = serializers.CharField(allow_null=True)
    requestedAt = serializers.DateTimeField()
    startedAt = serializers.DateTimeField(allow_null=True)
    completedAt = serializers.DateTimeField(allow_null=True)
    windowStart = serializers.DateTimeField()
    windowEnd = serializers.DateTimeField()
    baselineId = serializers.CharField()
    resultId = serializers.CharField(allow_null=True)
    error = serializers.CharField(required=False, help_text="if it failed")


STATUS_EXAMPLE: dict[str, Any] = {
    "jobId": JOB_ID,
    "modelId": "credit-risk-classifier",
    "status": "running",
    "progress": 0.45,
    "step": "domain_classifier",
    "requestedAt": "2025-01-31T12:00:00Z",
    "startedAt": "2025-01-31T12:00:01Z",
    "completedAt": None,
    "windowStart": "2025-01-24T12:00:00Z",
    "windowEnd": "2025-01-31T12:00:00Z",
    "baselineId": "baseline_01jjxkq6mwf1b8q2v6kz3w9d4t",
    "resultId": None,
}


class AnalyzeView(ApiView):
    """Asking for an analysis."""

    required_scopes: ClassVar[dict[str, str]] = {"POST": WRITE}

    @operation(
        "Analyse a window of predictions",
        request=AnalyzeBody,
        answer=JobAnswer,
        errors=(*WRITING, 409, 429),
        example={"modelId": "credit-risk-classifier", "windowDays": 7},
        answer_example={"jobId": JOB_ID, "status": "running"},
        description=(
            "Runs the registry of algorithms over the window, in the background; "
            "GET …/analyze/{id}/status tells where it is, and whether it still waits. "
            "The window is [windowStart, windowEnd), by the predictions' own time "
            "stamps. Two of windowDays, windowStart and windowEnd say all; a window "
            "without an end ends with the hour of the newest prediction, one without a "
            "length is that of the live view."
        ),
        tag="Drift",
    )
    def post(self, request: Request) -> Response | HttpResponse:
        given = validated(AnalyzeBody, request)
        _refuse_impossible(given)
        algorithms = given.get("algorithms")
        if algorithms is not None:
            _refuse_unknown(algorithms)
        version = live.shown_version(
            self.model(str(given["modelId"])), given.get("modelVersion")
        )
        window = analysis_runs.window_of(
            version,
            days=given.get("windowDays"),
            start=given.get("windowStart"),
            end=given.get("windowEnd"),
        )

        def ask() -> Response:
            run = analysis_runs.request(
                version, window=window, algorithms=algorithms, actor=self.actor
            )
            transaction.on_commit(nudges.analyse)
            return Response({"jobId": run.public_id, "status": "running"})

        return self.once(ask)


def _refuse_impossible(given: dict[str, Any]) -> None:
    """Refuse moments that no prediction can have."""
    latest = timezone.now() + FARTHEST
    errors = [
        fault(name, code="range", detail="expected a moment after 1970, not far ahead")
        for name in ("windowStart", "windowEnd")
        if given.get(name) is not None and not FIRST_MOMENT < given[name] < latest
    ]
    if errors:
        raise InvalidError(errors=errors)


def _refuse_unknown(names: list[str]) -> None:
    # numpy stays out of the web process until somebody names an algorithm.
    from monitoring.detectors import DETECTORS

    errors = [
        fault("algorithms", place, code="unknown", detail=f"no algorithm {name!r:.60}")
        for place, name in enumerate(names)
        if name not in DETECTORS
    ]
    if errors:
        raise InvalidError(errors=errors[:100])


class JobView(ApiView):
    """Giving an analysis up."""

    required_scopes: ClassVar[dict[str, str]] = {"DELETE": WRITE}
    query_parameters: ClassVar[dict[str, frozenset[str]]] = {
        "DELETE": frozenset({"modelId"})
    }

    @operation(
        "Cancel an analysis",
        answer=JobAnswer,
        errors=(*READING, 409),
        parameters=[MODEL_ID],
        answer_example={"jobId": JOB_ID, "status": "cancelled"},
        description=(
            "It stops within moments and leaves no result. Cancelling it again answers "
            "the same; one that has finished is refused with 409."
        ),
        tag="Drift",
    )
    def delete(self, request: Request, reference: str) -> Response:
        run = analysis_runs.cancel(_run(self, request, reference), actor=self.actor)
        return Response({"jobId": run.public_id, "status": run.status})


class JobStatusView(ApiView):
    """Where an analysis is."""

    required_scopes: ClassVar[dict[str, str]] = {"GET": READ}
    query_parameters: ClassVar[dict[str, frozenset[str]]] = {
        "GET": frozenset({"modelId"})
    }

    @operation(
        "Tell where an analysis is",
        answer=JobStatus,
        parameters=[
            MODEL_ID,
            OpenApiParameter("reference", location="path", description="the jobId"),
        ],
        answer_example=STATUS_EXAMPLE,
        tag="Drift",
    )
    def get(self, request: Request, reference: str) -> Response:
        run = _run(self, request, reference)
        return Response(_told(run, model_parameter(request)))


def _run(view: ApiView, request: Request, reference: str) -> AnalysisRun:
    """Return the caller's run of this id, or raise NotFoundError."""
    model = view.model(model_parameter(request))
    try:
        key = decode("drift_job", reference)
    except IdentifierError:
        raise NotFoundError from None
    found = (
        AnalysisRun.objects.for_organization(model.organization_id)
        .filter(model=model, pk=key)
        .select_related("result", "version__model")
        .defer("result__algorithms", "result__drift", "result__root_cause")
        .first()
    )
    if found is None:
        raise NotFoundError
    return found


def _told(run: AnalysisRun, reference: str) -> dict[str, Any]:
    result = getattr(run, "result", None)
    answer = {
        "jobId": run.public_id,
        "modelId": live.model_id(reference),
        "status": run.status,
        "progress": run.progress,
        "step": run.step or None,
        "requestedAt": live.moment(run.requested_at),
        "startedAt": live.moment(run.started_at),
        "completedAt": live.moment(run.completed_at),
        "windowStart": live.moment(run.window_start),
        "windowEnd": live.moment(run.window_end),
        "baselineId": encode("baseline", run.baseline_id),
        "resultId": None if result is None else result.public_id,
    }
    return answer | ({"error": run.error} if run.error else {})
