"""Governed inference in the OpenAPI document; see `hot_documents`."""

from __future__ import annotations

from rest_framework.views import APIView

from governance.api.documents import operation
from monitoring.api.hot_documents import (
    EXAMPLE,
    FEATURES,
    IDEMPOTENCY,
    LOGGING,
    PREDICTION,
    PROBABILITIES,
    SCALAR,
    TEXT,
    Json,
    json_body,
    list_of,
    object_of,
    or_null,
    said,
)

_INSTANCES: Json = {**list_of(FEATURES), "minItems": 1, "maxItems": 1_000}


class Predict(APIView):
    @operation(
        "Let the deployed artifact predict",
        request=json_body(object_of({"instances": _INSTANCES})),
        answer=said(
            "Predicted, and durably logged.",
            predictions=list_of(SCALAR),
            probabilities=or_null(list_of(PROBABILITIES)),
            prediction_ids=list_of(TEXT),
            model_version=TEXT,
            governance_status=TEXT,
        ),
        errors=LOGGING,
        parameters=[IDEMPOTENCY],
        example={"instances": [EXAMPLE]},
        answer_example={
            "predictions": [1],
            "probabilities": [[0.13, 0.87]],
            "prediction_ids": [PREDICTION],
            "model_version": "2.1.0",
            "governance_status": "APPROVED",
        },
        tag="Inference",
    )
    def post(self, model_id: str) -> None:
        """Ask what is deployed in the key's environment, in a process apart.

        409, with the fallback, for what is blocked, suspended, retired or not deployed,
        and for a version without an artifact. `probabilities` is null if the artifact
        gives none. 503 if it takes longer than it may.
        """
