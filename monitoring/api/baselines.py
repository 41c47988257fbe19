"""Baselines in the Drift dialect: sending, listing, activating them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any, ClassVar

import msgspec
from django.http import HttpResponse
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response

from governance.api.base import ApiView, StrictSerializer, validated
from governance.api.documents import READING, WRITING, operation
from governance.api.parsers import is_json, refuse_cut_off
from governance.exceptions import (
    InvalidError,
    MalformedError,
    NotFoundError,
    UnsupportedMediaTypeError,
    fault,
)
from governance.identifiers import IdentifierError, decode
from governance.models import ModelVersion, RegisteredModel
from monitoring.actions import baselines
from monitoring.api import live
from monitoring.api.drift import MODEL_ID, model_parameter
from monitoring.api.repeats import answered_before, once
from monitoring.models import Baseline

READ, WRITE = "mlops:read", "mlops:write"
LARGEST_BASELINE = 256 * 1024 * 1024
LONGEST_LABEL = 100
FILES = {
    "text/csv": "csv",
    "application/vnd.apache.parquet": "parquet",
    "application/x-parquet": "parquet",
}
_LIGHT = (
    "id",
    "label",
    "active",
    "kind",
    "sample_size",
    "created_at",
    "version__version",
)
EXAMPLE: dict[str, Any] = {
    "modelId": "credit-risk-classifier",
    "version": "v1",
    "featureData": {"income": [2100.0, 3200.5], "region": ["north", "south"]},
    "targetData": {"type": "classification", "values": [0, 1]},
    "labeledPredictions": {
        "probabilities": [[0.9, 0.1], [0.2, 0.8]],
        "predictedLabels": [0, 1],
        "actualLabels": [0, 1],
    },
}
BASELINE_ID = "baseline_01jjxkq6mwf1b8q2v6kz3w9d4t"


class _Head(msgspec.Struct):
    """What of a baseline's body is needed here; the rest is read where it is fitted."""

    modelId: int | str | None = None
    version: str | None = None
    modelVersion: str | None = None


class BytesParser(BaseParser):
    """Hands the body on as it is."""

    # What the OpenAPI document says; whatever a request says, it is read here.
    media_type = "application/json"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        body = stream.read()
        if parser_context is not None:
            refuse_cut_off(parser_context["request"].META, body)
        return body


class BaselineBody(serializers.Serializer[Any]):
    """A baseline as it is sent."""

    modelId = serializers.JSONField()
    version = serializers.CharField(max_length=LONGEST_LABEL)
    modelVersion = serializers.CharField(required=False, allow_null=True)
    featureData = serializers.DictField(child=serializers.ListField())
    targetData = serializers.DictField(required=False)
    labeledPredictions = serializers.DictField(required=False)


class BaselineMade(serializers.Serializer[Any]):
    """The id of a new baseline."""

    baselineId = serializers.CharField()


class BaselineLine(serializers.Serializer[Any]):
    """A baseline in a list."""

    baselineId = serializers.CharField()
    version = serializers.CharField()
    active = serializers.BooleanField()
    sampleSize = serializers.IntegerField()
    kind = serializers.CharField()
    modelVersion = serializers.CharField()
    createdAt = serializers.DateTimeField()


class BaselineList(serializers.Serializer[Any]):
    """The baselines of a model, newest first."""

    baselines = BaselineLine(many=True)


class BaselineWhole(BaselineLine):
    """A baseline with its data."""

    modelId = serializers.JSONField()
    featureData = serializers.DictField(child=serializers.ListField())
    targetData = serializers.DictField(allow_null=True)


class Activation(StrictSerializer):
    """Whose baseline to activate."""

    modelId = serializers.JSONField()


class Activated(serializers.Serializer[Any]):
    """The baseline that is active now."""

    activated = serializers.BooleanField()
    baselineId = serializers.CharField()


class BaselinesView(ApiView):
    """All baselines of a model: list them, send one."""

    parser_classes = [BytesParser]
    required_scopes: ClassVar[dict[str, str]] = {"GET": READ, "POST": WRITE}
    query_parameters: ClassVar[dict[str, frozenset[str]]] = {
        "GET": frozenset({"modelId"}),
        "POST": frozenset({"modelId", "version", "modelVersion"}),
    }
    largest_body = LARGEST_BASELINE

    @operation(
        "List a model's baselines",
        answer=BaselineList,
        parameters=[MODEL_ID],
        answer_example={
            "baselines": [
                {
                    "baselineId": BASELINE_ID,
                    "version": "v1",
                    "active": True,
                    "sampleSize": 10000,
                    "kind": "given",
                    "modelVersion": "2.1.0",
                    "createdAt": "2025-01-31T12:00:00Z",
                }
            ]
        },
        tag="Drift",
    )
    def get(self, request: Request) -> Response:
        model = self.model(model_parameter(request))
        found = _of(model).select_related("version").only(*_LIGHT)
        return Response({"baselines": [_line(baseline) for baseline in found]})

    @operation(
        "Send a baseline",
        request=BaselineBody,
        answer=BaselineMade,
        status=201,
        errors=(*WRITING, 409),
        parameters=[
            OpenApiParameter("modelId", description="for CSV and Parquet bodies"),
            OpenApiParameter("version", description="for CSV and Parquet bodies"),
            OpenApiParameter("modelVersion", description="for CSV and Parquet bodies"),
        ],
        example=EXAMPLE,
        answer_example={"baselineId": BASELINE_ID},
        description=(
            "The model's first baseline becomes active. CSV and Parquet bodies have a "
            "column for each feature, and optionally `prediction`, `actual_label` and "
            "`probability` (or `probability_0`, `probability_1`, …)."
        ),
        tag="Drift",
    )
    def post(self, request: Request) -> Response | HttpResponse:
        # The parser hands the bytes on; the stubs know of JSON only.
        data: Any = request.data
        body = bytes(data)
        before = answered_before(request, self.credential, body)
        if before is not None:
            return before
        form, head = _head(request, body)
        version = self._version(head)
        label = _label(head)

        fitted = baselines.fit(version, body, form=form)

        def make() -> Response:
            made = baselines.store(
                version,
                fitted,
                label=label,
                kind=Baseline.Kind.GIVEN,
                actor=self.actor,
            )
            return Response({"baselineId": made.public_id}, status=201)

        return once(request, self.credential, body, make)

    def _version(self, head: _Head) -> ModelVersion:
        if head.modelId is None:
            error = fault("modelId", code="missing", detail="the field is missing")
            raise InvalidError(errors=[error])
        model = self.model(str(head.modelId))
        return live.shown_version(model, head.modelVersion)


def _head(request: Request, body: bytes) -> tuple[str, _Head]:
    """Return what the body is, and whose baseline it describes."""
    given = request.query_params
    media = str(request.content_type or "")
    form = FILES.get(media.partition(";")[0].strip().lower())
    if form is not None:
        return form, _Head(
            given.get("modelId"), given.get("version"), given.get("modelVersion")
        )
    if not is_json(media, body):
        raise UnsupportedMediaTypeError(
            "A baseline is JSON, text/csv or application/vnd.apache.parquet."
        )
    try:
        return "json", msgspec.json.decode(body, type=_Head)
    except msgspec.ValidationError as error:
        where, _, detail = str(error).rpartition(" - at `$.")
        errors = [fault(detail.rstrip("`"), code="type", detail=where)] if where else []
        raise InvalidError(str(error), errors=errors) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedError(f"The body is not valid JSON: {error}") from None


def _label(head: _Head) -> str:
    text = head.version
    if text is None:
        error = fault("version", code="missing", detail="the field is missing")
        raise InvalidError(errors=[error])
    if not 1 <= len(text) <= LONGEST_LABEL or not text.isprintable():
        detail = f"expected 1 to {LONGEST_LABEL} printable characters"
        raise InvalidError(errors=[fault("version", code="length", detail=detail)])
    return text


class ActiveBaselineView(ApiView):
    """The active baseline of a model, with its data."""

    required_scopes: ClassVar[dict[str, str]] = {"GET": READ}
    query_parameters: ClassVar[dict[str, frozenset[str]]] = {
        "GET": frozenset({"modelId", "modelVersion"})
    }

    @operation(
        "Get the active baseline",
        answer=BaselineWhole,
        parameters=[
            MODEL_ID,
            OpenApiParameter("modelVersion", description="absent: the one shown"),
        ],
        answer_example={
            "baselineId": BASELINE_ID,
            "modelId": "credit-risk-classifier",
            "version": "v1",
            "active": True,
            "sampleSize": 2,
            "kind": "given",
            "modelVersion": "2.1.0",
            "featureData": EXAMPLE["featureData"],
            "targetData": EXAMPLE["targetData"],
            "createdAt": "2025-01-31T12:00:00Z",
        },
        tag="Drift",
    )
    def get(self, request: Request) -> Response:
        reference = model_parameter(request)
        version = live.shown_version(
            self.model(reference), request.query_params.get("modelVersion")
        )
        standard = baselines.in_use(version)
        if standard is None:
            raise NotFoundError
        baseline, kind = standard
        answer = {
            **_line(baseline),
            "kind": kind,
            "modelId": live.model_id(reference),
            **baselines.content(baseline),
        }
        return Response(answer)


class ActivationView(ApiView):
    """Activating a baseline."""

    required_scopes: ClassVar[dict[str, str]] = {"PUT": WRITE}

    @operation(
        "Activate a baseline",
        request=Activation,
        answer=Activated,
        errors=(*READING, 400, 411, 413, 415),
        example={"modelId": "credit-risk-classifier"},
        answer_example={"activated": True, "baselineId": BASELINE_ID},
        tag="Drift",
    )
    def put(self, request: Request, reference: str) -> Response:
        model = self.model(str(validated(Activation, request)["modelId"]))
        try:
            key = decode("baseline", reference)
        except IdentifierError:
            raise NotFoundError from None
        baseline = _of(model).select_related("version__model").filter(pk=key).first()
        if baseline is None:
            raise NotFoundError
        baselines.activate(baseline, actor=self.actor)
        return Response({"activated": True, "baselineId": baseline.public_id})


def _of(model: RegisteredModel) -> Any:
    return Baseline.objects.for_organization(model.organization_id).filter(model=model)


def _line(baseline: Baseline) -> dict[str, Any]:
    return {
        "baselineId": baseline.public_id,
        "version": baseline.label,
        "active": baseline.active,
        "sampleSize": baseline.sample_size,
        "kind": baseline.kind,
        "modelVersion": baseline.version.version,
        "createdAt": live.moment(baseline.created_at),
    }
