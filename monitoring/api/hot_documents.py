"""The hot calls in the OpenAPI document, which knows views of DRF only.

These classes describe; they never answer a request.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from rest_framework.views import APIView

from governance.api.documents import WRITING, operation
from monitoring.ingest.rows import DRIFT, PLATFORM, QUICK_START, REQUIRED, Dialect

Json = dict[str, Any]
LOGGING = (*WRITING, 409)

SCALAR: Json = {"oneOf": [{"type": t} for t in ("number", "string", "boolean")]}
TEXT: Json = {"type": "string"}
_MOMENT: Json = {"type": "string", "format": "date-time"}
_COUNT: Json = {"type": "integer", "minimum": 0}
_REFERENCE: Json = {"oneOf": [{"type": "integer"}, {"type": "string"}]}
PROBABILITIES: Json = {
    "type": "array",
    "items": {"type": "number", "minimum": 0, "maximum": 1},
}
FEATURES: Json = {"type": "object", "additionalProperties": True, "maxProperties": 500}
_FIELDS: Mapping[str, Json] = {
    "features": FEATURES,
    "prediction": SCALAR,
    "model": _REFERENCE,
    "version": TEXT,
    "timestamp": _MOMENT,
    "entity_id": TEXT,
    "probabilities": PROBABILITIES,
    "latency_ms": {"type": "number", "minimum": 0},
    "label": SCALAR,
}
# As the example of registering a model has it, so that one leads to the other.
_MODEL = "credit-risk-classifier"
EXAMPLE = {"age": 41, "income": 55000.5}
_AT = "2025-01-31T12:00:00Z"
PREDICTION = "pred_01jjy2kbt0ekx9hz8b6m1d3q7r"
_RECEIPT = "rcpt_01jjy2kbt0ekx9hz8b6m1d3q7s"
_OUTCOME_ID = "gt_01jjy2kbt0ekx9hz8b6m1d3q7t"


def object_of(properties: Mapping[str, Json], required: Iterable[str] = ()) -> Json:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(required) or list(properties),
        "additionalProperties": False,
    }


def list_of(items: Json) -> Json:
    return {"type": "array", "items": items}


def or_null(schema: Json) -> Json:
    return {"oneOf": [schema, {"type": "null"}]}


def _row(dialect: Dialect, *, with_model: bool) -> Json:
    required = [dialect.names[name] for name in REQUIRED]
    if with_model:
        required.append(dialect.names["model"])
    properties = {theirs: _FIELDS[ours] for ours, theirs in dialect.names.items()}
    return object_of(properties, required)


def said(description: str, **properties: Json) -> OpenApiResponse:
    return OpenApiResponse(object_of(properties), description=description)


def json_body(schema: Json) -> Json:
    return {"application/json": schema}


def _query(name: str, description: str, **more: Any) -> OpenApiParameter:
    return OpenApiParameter(name, description=description, **more)


IDEMPOTENCY = OpenApiParameter(
    "Idempotency-Key",
    location=OpenApiParameter.HEADER,
    description="A repetition within 24 hours gets the first answer again.",
)
_MODEL_QUERY = _query("modelId", "Id or slug of the model.", required=True)
_LIMIT_QUERY = _query("limit", "At most so many, 100 unless told.", type=int)
_LISTED: Json = {
    "predictionId": TEXT,
    "entityId": TEXT,
    "timestamp": _MOMENT,
}
_LISTED_EXAMPLE = {
    "predictionId": PREDICTION,
    "entityId": "client-7",
    "timestamp": _AT,
}


class LogOne(APIView):
    @operation(
        "Log a prediction",
        request=json_body(_row(PLATFORM, with_model=True)),
        answer=said(
            "Durably stored.",
            id=TEXT,
            model_id=_REFERENCE,
            model_version=TEXT,
            prediction=SCALAR,
            timestamp=_MOMENT,
        ),
        status=201,
        errors=LOGGING,
        parameters=[IDEMPOTENCY],
        example={"model_id": _MODEL, "input_features": EXAMPLE, "prediction": 0.87},
        answer_example={
            "id": PREDICTION,
            "model_id": _MODEL,
            "model_version": "2.1.0",
            "prediction": 0.87,
            "timestamp": _AT,
        },
        tag="Predictions",
    )
    def post(self) -> None:
        """Store one prediction; with `actual_label` its outcome too."""


class LogBatch(APIView):
    @operation(
        "Log up to 10,000 predictions",
        request={
            "application/json": object_of(
                {
                    "model_id": _REFERENCE,
                    "predictions": list_of(_row(PLATFORM, with_model=False)),
                },
                ["predictions"],
            ),
            "application/jsonl": TEXT,
            "text/csv": TEXT,
            "application/vnd.apache.parquet": {"type": "string", "format": "binary"},
        },
        answer=said(
            "Durably stored.",
            receipt_id=TEXT,
            receipt_ids=list_of(TEXT),
            accepted=_COUNT,
            rejected=_COUNT,
            errors=list_of({"type": "object"}),
        ),
        status=201,
        errors=LOGGING,
        parameters=[
            IDEMPOTENCY,
            _query("on_error", "What a bad row does.", enum=["fail", "skip"]),
            _query("model_id", "The model of rows that name none."),
        ],
        example={
            "model_id": _MODEL,
            "predictions": [{"input_features": EXAMPLE, "prediction": 0.87}],
        },
        file_examples={
            "application/jsonl": '{"input_features": {"age": 41, "income": 55000.5}, '
            '"prediction": 0.87, "timestamp": "2025-01-31T12:00:00Z"}\n',
            "text/csv": "age,income,prediction,timestamp\n"
            "41,55000.5,0.87,2025-01-31T12:00:00Z\n",
        },
        answer_example={
            "receipt_id": _RECEIPT,
            "receipt_ids": [_RECEIPT],
            "accepted": 1,
            "rejected": 0,
            "errors": [],
        },
        tag="Predictions",
    )
    def post(self) -> None:
        """Store all rows or none; with `on_error=skip` all good ones."""


_SHOWN_FIELDS: Json = {
    "id": TEXT,
    "model_id": _REFERENCE,
    "model_version": TEXT,
    "input_features": FEATURES,
    "prediction": SCALAR,
    "probabilities": or_null(PROBABILITIES),
    "entity_id": or_null(TEXT),
    "latency_ms": or_null({"type": "number"}),
    "timestamp": _MOMENT,
    "governance_status": TEXT,
    "actual_label": or_null(SCALAR),
}
_SHOWN_EXAMPLE = {
    "id": PREDICTION,
    "model_id": 1,
    "model_version": "2.1.0",
    "input_features": EXAMPLE,
    "prediction": 0.87,
    "probabilities": None,
    "entity_id": "client-7",
    "latency_ms": 12.5,
    "timestamp": _AT,
    "governance_status": "APPROVED",
    "actual_label": None,
}


class OnePrediction(APIView):
    @operation(
        "Show a prediction",
        answer=said("The prediction.", **_SHOWN_FIELDS),
        answer_example=_SHOWN_EXAMPLE,
        tag="Predictions",
    )
    def get(self, prediction_id: str) -> None:
        """Show what was logged, and the outcome if it is known."""

    @operation(
        "Tell what really happened",
        request=json_body(
            object_of(
                {"actual_label": SCALAR, "timestamp_actual_known": _MOMENT},
                ["actual_label"],
            )
        ),
        answer=said(
            "The prediction with its outcome.",
            **_SHOWN_FIELDS,
            timestamp_actual_known=_MOMENT,
            ground_truth_id=TEXT,
        ),
        errors=WRITING,
        example={"actual_label": 1},
        answer_example={
            **_SHOWN_EXAMPLE,
            "actual_label": 1,
            "timestamp_actual_known": _AT,
            "ground_truth_id": _OUTCOME_ID,
        },
        tag="Ground truth",
    )
    def put(self, prediction_id: str) -> None:
        """Store the outcome; a different one later is kept as a correction."""


class LogQuickStart(APIView):
    @operation(
        "Log predictions of a model",
        request=json_body(
            object_of({"predictions": list_of(_row(QUICK_START, with_model=False))})
        ),
        answer=said(
            "Durably stored.",
            receipt_id=TEXT,
            accepted=_COUNT,
            prediction_ids=list_of(TEXT),
        ),
        errors=LOGGING,
        parameters=[IDEMPOTENCY],
        example={
            "predictions": [{"features": {"amount": 120.5}, "prediction_value": 0.05}]
        },
        answer_example={
            "receipt_id": _RECEIPT,
            "accepted": 1,
            "prediction_ids": [PREDICTION],
        },
        tag="Predictions",
    )
    def post(self, model_id: str) -> None:
        """Store all rows or none."""


class DriftPredictions(APIView):
    @operation(
        "List predictions",
        answer=said(
            "Newest first.",
            predictions=list_of({"type": "object"}),
            total=_COUNT,
        ),
        parameters=[
            _MODEL_QUERY,
            _LIMIT_QUERY,
            _query("offset", "Skip so many.", type=int),
            _query("startDate", "From this day or moment."),
            _query("endDate", "To this day, or before this moment."),
            _query("hasGroundTruth", "With or without outcome.", type=bool),
        ],
        answer_example={
            "predictions": [
                {
                    **_LISTED_EXAMPLE,
                    "modelId": _MODEL,
                    "modelVersion": "2.1.0",
                    "features": EXAMPLE,
                    "prediction": "1",
                    "probabilities": [0.2, 0.8],
                    "latencyMs": 12.5,
                    "actualOutcome": "1",
                }
            ],
            "total": 248,
        },
        tag="Predictions",
    )
    def get(self) -> None:
        """List logged predictions with their outcomes."""

    @operation(
        "Log a prediction (Drift dialect)",
        request=json_body(_row(DRIFT, with_model=True)),
        answer=said("Durably stored.", predictionId=TEXT),
        status=201,
        errors=LOGGING,
        parameters=[IDEMPOTENCY],
        example={
            "modelId": _MODEL,
            "features": EXAMPLE,
            "prediction": "1",
            "probabilities": [0.2, 0.8],
        },
        answer_example={"predictionId": PREDICTION},
        tag="Predictions",
    )
    def post(self) -> None:
        """Store one prediction; its number or class is a string here."""


class UnmatchedPredictions(APIView):
    @operation(
        "List predictions without outcome",
        answer=said("Newest first.", predictions=list_of(object_of(_LISTED))),
        parameters=[_MODEL_QUERY, _LIMIT_QUERY],
        answer_example={"predictions": [_LISTED_EXAMPLE]},
        tag="Predictions",
    )
    def get(self) -> None:
        """List predictions whose outcome isn't known yet."""


_OUTCOME: Json = {
    "entityId": TEXT,
    "actualOutcome": TEXT,
    "outcomeTimestamp": _MOMENT,
    "predictionId": TEXT,
    "predictionTimestamp": _MOMENT,
}
_TOLD = ["entityId", "actualOutcome"]


class GroundTruthView(APIView):
    @operation(
        "List outcomes",
        answer=said("Newest first.", groundTruth=list_of({"type": "object"})),
        parameters=[
            _MODEL_QUERY,
            _LIMIT_QUERY,
            _query("match", "Only those, such as `ambiguous` or `waiting`."),
        ],
        answer_example={
            "groundTruth": [
                {
                    "groundTruthId": _OUTCOME_ID,
                    "entityId": "client-7",
                    "actualOutcome": "1",
                    "outcomeTimestamp": _AT,
                    "predictionId": None,
                    "match": "waiting",
                }
            ]
        },
        tag="Ground truth",
    )
    def get(self) -> None:
        """List outcomes, those that found no prediction among them."""

    @operation(
        "Tell an outcome",
        request=json_body(
            object_of({"modelId": _REFERENCE, **_OUTCOME}, ["modelId", *_TOLD])
        ),
        answer=said("Durably stored.", groundTruthId=TEXT, match=TEXT),
        status=201,
        errors=LOGGING,
        parameters=[IDEMPOTENCY],
        example={"modelId": _MODEL, "entityId": "client-7", "actualOutcome": "1"},
        answer_example={"groundTruthId": _OUTCOME_ID, "match": "matched"},
        tag="Ground truth",
    )
    def post(self) -> None:
        """Store an outcome and match it with its prediction."""


class GroundTruthBatch(APIView):
    @operation(
        "Tell up to 10,000 outcomes",
        request=json_body(
            object_of(
                {"modelId": _REFERENCE, "records": list_of(object_of(_OUTCOME, _TOLD))}
            )
        ),
        answer=said(
            "Durably stored.",
            inserted=_COUNT,
            matched=_COUNT,
            ambiguous=_COUNT,
            unmatched=_COUNT,
        ),
        errors=LOGGING,
        parameters=[IDEMPOTENCY],
        example={
            "modelId": _MODEL,
            "records": [{"entityId": "client-7", "actualOutcome": "1"}],
        },
        answer_example={"inserted": 1, "matched": 1, "ambiguous": 0, "unmatched": 0},
        tag="Ground truth",
    )
    def post(self) -> None:
        """Store all outcomes or none."""
