"""The Quick start, call by call, as Swagger's user types it."""

import httpx
import pytest

from tests.contract.conftest import ok

pytestmark = pytest.mark.server


def test_the_whole_story(http: httpx.Client) -> None:
    organization = ok(
        http.post("/auth/register", json={"name": "My Test Company"}), 200
    )
    assert {"id", "name", "slug", "api_key"} <= organization.keys()
    assert organization["api_key"].startswith("dg_")
    http.headers["Authorization"] = f"Bearer {organization['api_key']}"

    body = {
        "name": "Production Fraud Model",
        "version": "1.0.0",
        "description": "Fraud",
        "features": [
            {"feature_name": "amount", "feature_type": "continuous", "order": 1},
            {"feature_name": "merchant", "feature_type": "categorical", "order": 2},
            {"feature_name": "is_foreign", "feature_type": "boolean", "order": 3},
        ],
    }
    model = ok(http.post("/models", json=body), 200)
    assert model["name"] == body["name"]
    assert model["version"] == "1.0.0"
    assert [one["feature_name"] for one in model["features"]] == [
        "amount",
        "merchant",
        "is_foreign",
    ]

    features = {"amount": 120.50, "merchant": "shop", "is_foreign": False}
    row = {
        "features": features,
        "prediction_value": 0.05,
        "timestamp": "2026-01-31T12:00:00Z",
    }
    for path in (
        f"/api/v1/models/{model['id']}/predictions",
        f"/models/{model['id']}/predictions",
    ):
        answer = ok(http.post(path, json={"predictions": [row]}), 200)
        assert answer["accepted"] == 1
        assert answer["receipt_id"].startswith("rcpt_")
        (prediction,) = answer["prediction_ids"]
        assert prediction.startswith("pred_")

    drift = ok(http.get(f"/models/{model['id']}/drift/current"), 200)
    assert drift["drift_detected"] is False
    assert drift["model_id"] in {model["id"], str(model["id"])}
