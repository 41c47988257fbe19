"""Governed inference: the deployed artifact predicts, and every answer is logged."""

from __future__ import annotations

from django.urls import path

from governance.identifiers import encode_all
from monitoring.actions import inference
from monitoring.actions.inference import Predicted
from monitoring.actions.predictions import Stored
from monitoring.api import inference_documents
from monitoring.api.endpoints import Call, endpoint, said
from monitoring.ingest import Answer, catalog

INVOKE = "inference:invoke"


def predict(call: Call, model_id: str) -> Answer:
    """POST /api/v1/models/{id}/predict."""

    def respond(predicted: Predicted, stored: Stored) -> Answer:
        return said(
            200,
            predictions=predicted.predictions,
            probabilities=predicted.probabilities,
            prediction_ids=encode_all("pred", [line.id for line in stored.lines]),
            model_version=predicted.version,
            governance_status=predicted.governance_status,
        )

    model = catalog.find(call.credential.organization_id, model_id)
    return inference.predict(
        call.fields("instances").get("instances"),
        model=model,
        credential=call.credential,
        respond=respond,
        key=call.key,
    )


urlpatterns = [
    path(
        "api/v1/models/<str:model_id>/predict",
        endpoint(inference_documents.Predict, scopes={"POST": INVOKE}, POST=predict),
    ),
]
