"""Telling what really happened, in the Drift dialect; and what found no prediction."""

from __future__ import annotations

from collections import Counter

from django.urls import path

from governance.exceptions import InvalidError, fault
from governance.identifiers import encode
from monitoring.actions import ground_truth
from monitoring.actions.ground_truth import Logged
from monitoring.actions.matching import Match
from monitoring.api import hot_documents, labels
from monitoring.api.endpoints import Call, endpoint, said
from monitoring.api.prediction_lists import (
    HIGHEST_LIMIT,
    Parameters,
    as_string,
    text_of,
)
from monitoring.ingest import Answer, Sender, catalog, exact
from monitoring.ingest.catalog import Model
from monitoring.ingest.labels import Label
from monitoring.models import GroundTruth

READ, WRITE = "mlops:read", "mlops:write"


def log_one(call: Call) -> Answer:
    """POST /api/v1/drift/ground-truth."""
    values = call.fields("modelId", *labels.DRIFT.values())
    model = _model(call, values.pop("modelId", None))
    label = labels.read_one(values, labels.DRIFT, task=model.default.task)

    def respond(logged: list[Logged]) -> Answer:
        first = logged[0]
        return said(201, groundTruthId=first.public_id, match=first.found.match.value)

    return _log(call, model, [label], respond)


def log_batch(call: Call) -> Answer:
    """POST /api/v1/drift/ground-truth/batch."""
    values = call.fields("modelId", "records")
    model = _model(call, values.get("modelId"))
    return _log(
        call, model, labels.read_records(values, task=model.default.task), _counted
    )


def _counted(logged: list[Logged]) -> Answer:
    matches = Counter(one.found.match for one in logged)
    return said(
        200,
        inserted=len(logged),
        matched=sum(one.is_matched for one in logged),
        ambiguous=matches[Match.AMBIGUOUS],
        unmatched=matches[Match.WAITING],
    )


def listed(call: Call) -> Answer:
    """GET /api/v1/drift/ground-truth: outcomes, such as the ambiguous ones."""
    given = Parameters(call.query("modelId", "match", "limit"))
    limit = given.number("limit", 100, lowest=1, highest=HIGHEST_LIMIT)
    match = given.choice("match", Match.values)
    model = catalog.find(call.credential.organization_id, given.required("modelId"))
    found = GroundTruth.objects.filter(model=model.id)
    if match is not None:
        found = found.filter(match=match)
    return said(
        200,
        groundTruth=[
            {
                "groundTruthId": row.public_id,
                "predictionId": row.prediction_id and encode("pred", row.prediction_id),
                "entityId": row.entity_id,
                "actualOutcome": as_string(row.decoded_outcome),
                "outcomeTimestamp": text_of(row.outcome_timestamp),
                "match": row.match,
                "superseded": row.superseded,
            }
            for row in found.order_by("-id")[:limit]
        ],
    )


def _model(call: Call, reference: object) -> Model:
    if reference is None:
        raise InvalidError(
            errors=[fault("modelId", code="missing", detail="the field is missing")]
        )
    try:
        name = exact.reference(reference)
    except exact.RefusedError as refused:
        raise InvalidError(
            errors=[fault("modelId", code=refused.code, detail=str(refused))]
        ) from None
    return catalog.find(call.credential.organization_id, name)


def _log(
    call: Call,
    model: Model,
    told: list[Label],
    respond: ground_truth.Respond,
) -> Answer:
    return ground_truth.log_labels(
        model.row,
        told,
        sender=Sender.of(call.credential, call.channel),
        actor=call.credential.actor,
        respond=respond,
        key=call.key,
    )


urlpatterns = [
    path(
        "api/v1/drift/ground-truth",
        endpoint(
            hot_documents.GroundTruthView,
            scopes={"GET": READ, "POST": WRITE},
            GET=listed,
            POST=log_one,
        ),
    ),
    path(
        "api/v1/drift/ground-truth/batch",
        endpoint(
            hot_documents.GroundTruthBatch, scopes={"POST": WRITE}, POST=log_batch
        ),
    ),
]
