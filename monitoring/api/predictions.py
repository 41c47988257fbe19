"""Logging and reading predictions, in all dialects."""

from __future__ import annotations

from typing import Any

import msgspec
from django.urls import path

from governance.exceptions import InvalidError, NotFoundError, fault
from governance.identifiers import encode, encode_all
from monitoring.actions import ground_truth, predictions
from monitoring.actions.predictions import Stored
from monitoring.api import hot_documents, labels, prediction_lists
from monitoring.api.endpoints import (
    CSV,
    JSON,
    LINES,
    PARQUET,
    Call,
    endpoint,
    named,
    said,
)
from monitoring.ingest import Answer, Sender, catalog, moments, reading, tables
from monitoring.ingest.rows import DRIFT, PLATFORM, QUICK_START, Batch
from monitoring.models import Prediction

READ, WRITE = "mlops:read", "mlops:write"
READERS = {
    JSON: reading.read_many,
    LINES: reading.read_lines,
    CSV: tables.read_csv,
    PARQUET: tables.read_parquet,
}


def log_one(call: Call) -> Answer:
    """POST /api/logs/prediction: one prediction of the Platform dialect."""

    def respond(stored: Stored) -> Answer:
        line = stored.lines[0]
        return said(
            201,
            id=encode("pred", line.id),
            model_id=stored.batch.models[0],
            model_version=line.version.name,
            prediction=stored.batch.predictions[0],
            timestamp=moments.as_text(line.at),
        )

    return predictions.log_predictions(
        reading.read_one(call.json(), PLATFORM),
        credential=call.credential,
        channel=call.channel,
        respond=respond,
        key=call.key,
    )


def log_batch(call: Call) -> Answer:
    """POST /api/logs/prediction/batch: JSON, JSON Lines, CSV or Parquet."""
    parameters = call.query("on_error", "model_id")
    on_error = parameters.get("on_error", "fail")
    if on_error not in {"fail", "skip"}:
        raise InvalidError(
            errors=[fault("on_error", code="choice", detail="expected fail or skip")]
        )
    return predictions.log_predictions(
        _batch(call, parameters.get("model_id")),
        credential=call.credential,
        channel=call.channel,
        respond=_receipt_answer,
        key=call.key,
        leave_out_bad_rows=on_error == "skip",
    )


def _batch(call: Call, model: str | None) -> Batch:
    batch = READERS[call.media(tables=True)](call.body, PLATFORM)
    if model is not None:
        batch.models = [model if one is None else one for one in batch.models]
    return batch


def _receipt_answer(stored: Stored) -> Answer:
    faults = stored.batch.faults
    receipts = [encode("rcpt", receipt) for receipt in stored.receipts.values()]
    return said(
        201,
        receipt_id=receipts[0],
        # One for each version that the rows name.
        receipt_ids=receipts,
        accepted=len(stored.lines),
        rejected=len(faults.rows),
        errors=faults.first(),
    )


def log_quick_start(call: Call, model_id: str) -> Answer:
    """POST /models/{id}/predictions of the Quick start."""

    def respond(stored: Stored) -> Answer:
        return said(
            200,
            receipt_id=encode("rcpt", stored.receipt),
            accepted=len(stored.lines),
            prediction_ids=encode_all("pred", [line.id for line in stored.lines]),
        )

    found = catalog.find(call.credential.organization_id, model_id)
    return predictions.log_predictions(
        reading.read_many(call.json(), QUICK_START),
        credential=call.credential,
        channel=call.channel,
        respond=respond,
        model=found,
        key=call.key,
    )


def log_drift(call: Call) -> Answer:
    """POST /api/v1/drift/predictions."""

    def respond(stored: Stored) -> Answer:
        return said(201, predictionId=encode("pred", stored.lines[0].id))

    return predictions.log_predictions(
        reading.read_one(call.json(), DRIFT),
        credential=call.credential,
        channel=call.channel,
        respond=respond,
        key=call.key,
    )


def show(call: Call, prediction_id: str) -> Answer:
    """GET /api/logs/prediction/{id}."""
    call.query()
    return said(200, **_shown(_own(call, prediction_id)))


def put_label(call: Call, prediction_id: str) -> Answer:
    """PUT /api/logs/prediction/{id}: what really happened."""
    row = _own(call, prediction_id)
    model = catalog.find(row.organization_id, row.model_id)
    task = next(
        (v.task for v in model.versions.values() if v.id == row.version_id), None
    )
    names = labels.PLATFORM
    told = call.fields(*names.values())
    label = labels.read_one(told, names, task=task, prediction_id=row.pk)

    def respond(logged: list[ground_truth.Logged]) -> Answer:
        current = ground_truth.current_of([row.pk]).get(row.pk)
        return said(
            200,
            **{
                **_shown(row),
                "actual_label": current.outcome if current else label.outcome,
            },
            timestamp_actual_known=moments.as_text(
                moments.microseconds(label.outcome_timestamp)
            ),
            ground_truth_id=logged[0].public_id,
        )

    return ground_truth.log_labels(
        model.row,
        [label],
        sender=Sender.of(call.credential, call.channel),
        actor=call.credential.actor,
        respond=respond,
        key=call.key,
    )


def _own(call: Call, text: str) -> Prediction:
    """Return the caller's prediction with this public id, or raise NotFoundError."""
    row = (
        Prediction.objects.for_organization(call.credential.organization_id)
        .filter(pk=named("pred", text))
        .select_related("version")
        .first()
    )
    if row is None:
        raise NotFoundError
    return row


def _shown(row: Prediction) -> dict[str, Any]:
    label = ground_truth.current_of([row.pk]).get(row.pk)
    return {
        "id": row.public_id,
        "model_id": row.model_id,
        "model_version": row.version.version,
        "input_features": msgspec.Raw(row.features.encode()),
        "prediction": row.decoded_prediction,
        "probabilities": row.probabilities,
        "entity_id": row.entity_id,
        "latency_ms": row.latency_ms,
        "timestamp": moments.as_text(moments.microseconds(row.timestamp)),
        "governance_status": row.verdict,
        "actual_label": label and label.outcome,
    }


_quick_start = endpoint(
    hot_documents.LogQuickStart, scopes={"POST": WRITE}, POST=log_quick_start
)
urlpatterns = [
    path(
        "api/logs/prediction",
        endpoint(hot_documents.LogOne, scopes={"POST": WRITE}, POST=log_one),
    ),
    path(
        "api/logs/prediction/batch",
        endpoint(hot_documents.LogBatch, scopes={"POST": WRITE}, POST=log_batch),
    ),
    path(
        "api/logs/prediction/<str:prediction_id>",
        endpoint(
            hot_documents.OnePrediction,
            scopes={"GET": READ, "PUT": WRITE},
            GET=show,
            PUT=put_label,
        ),
    ),
    path("api/v1/models/<str:model_id>/predictions", _quick_start),
    path("models/<str:model_id>/predictions", _quick_start),
    path(
        "api/v1/drift/predictions",
        endpoint(
            hot_documents.DriftPredictions,
            scopes={"GET": READ, "POST": WRITE},
            GET=prediction_lists.logged,
            POST=log_drift,
        ),
    ),
    path(
        "api/v1/drift/predictions/unmatched",
        endpoint(
            hot_documents.UnmatchedPredictions,
            scopes={"GET": READ},
            GET=prediction_lists.unmatched,
        ),
    ),
]
