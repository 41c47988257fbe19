"""The Drift dialect, call by call: `X-API-Key`, camelCase."""

from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest

from tests.contract.conftest import ok, until

pytestmark = pytest.mark.server
ROWS = 400


@pytest.fixture
def drift(http: httpx.Client) -> httpx.Client:
    key = ok(http.post("/auth/register", json={"name": "Pipelines"}), 200)["api_key"]
    http.headers["X-API-Key"] = key
    return http


def register(http: httpx.Client, **fields: Any) -> str:
    body = {"model_name": "Churn", "version": "1.0", "task": "binary", **fields}
    return str(ok(http.post("/api/models", json=body), 201)["slug"])


def sample(seed: int, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(shift, 1, ROWS)
    return x, 1 / (1 + np.exp(-x))


@pytest.fixture
def model(drift: httpx.Client) -> str:
    slug = register(
        drift,
        classes=["stay", "leave"],
        positive_class="leave",
        schema_definition={
            "features": ["tenure"],
            "feature_types": {"tenure": "float"},
        },
    )
    x, shares = sample(0)
    labels = np.where(np.random.default_rng(1).random(ROWS) < shares, "leave", "stay")
    baseline = {
        "modelId": slug,
        "version": "v1",
        "featureData": {"tenure": x.tolist()},
        "targetData": {"type": "classification", "values": labels.tolist()},
        "labeledPredictions": {
            "probabilities": [[1 - p, p] for p in shares.tolist()],
            "predictedLabels": np.where(shares > 0.5, "leave", "stay").tolist(),
            "actualLabels": labels.tolist(),
        },
    }
    answer = ok(drift.post("/api/v1/drift/baselines", json=baseline), 201)
    assert answer["baselineId"].startswith("baseline_")
    return slug


def log(http: httpx.Client, slug: str, shift: float) -> None:
    x, shares = sample(2, shift)
    rows = [
        {
            "input_features": {"tenure": float(value)},
            "prediction": "leave" if share > 0.5 else "stay",
            "probabilities": [1 - float(share), float(share)],
            "entity_id": f"c{number}",
        }
        for number, (value, share) in enumerate(zip(x, shares, strict=True))
    ]
    body = {"model_id": slug, "predictions": rows}
    ok(http.post("/api/logs/prediction/batch", json=body), 201)


def getter(http: httpx.Client, path: str, **query: Any) -> Callable[[], Any]:
    return lambda: ok(http.get(f"/api/v1/drift{path}", params=query), 200)


def test_predictions_and_ground_truth(drift: httpx.Client, model: str) -> None:
    body = {
        "modelId": model,
        "modelVersion": "1.0",
        "features": {"tenure": 1.5},
        "prediction": "leave",
        "probabilities": [0.2, 0.8],
        "entityId": "customer-1",
        "latencyMs": 12,
        "timestamp": "2026-01-31T10:00:00Z",
    }
    path = "/api/v1/drift/predictions"
    logged = ok(drift.post(path, json=body), 201)
    assert logged["predictionId"].startswith("pred_")
    without = {name: body[name] for name in body if name != "probabilities"}
    assert drift.post(path, json=without).status_code == 422

    page = getter(drift, "/predictions", modelId=model, limit=100)()
    assert page["total"] == 1
    (row,) = page["predictions"]
    assert row["modelId"] == model
    expected = {
        "predictionId": logged["predictionId"],
        "modelVersion": "1.0",
        "features": {"tenure": 1.5},
        "prediction": "leave",
        "probabilities": [0.2, 0.8],
        "entityId": "customer-1",
        "latencyMs": 12,
        "actualOutcome": None,
    }
    assert {name: row[name] for name in expected} == expected
    (waiting,) = getter(drift, "/predictions/unmatched", modelId=model)()["predictions"]
    assert waiting.keys() >= {"predictionId", "entityId", "timestamp"}

    outcome = {
        "modelId": model,
        "entityId": "customer-1",
        "actualOutcome": "leave",
        "outcomeTimestamp": "2026-02-15T10:00:00Z",
    }
    told = ok(drift.post("/api/v1/drift/ground-truth", json=outcome), 201)
    assert told["groundTruthId"].startswith("gt_")
    matched = getter(drift, "/predictions", modelId=model, hasGroundTruth="true")()
    assert [one["actualOutcome"] for one in matched["predictions"]] == ["leave"]
    assert getter(drift, "/predictions/unmatched", modelId=model)() == {
        "predictions": []
    }


def test_ground_truth_in_a_batch(drift: httpx.Client, model: str) -> None:
    log(drift, model, 0.0)
    records = [
        {"entityId": "c0", "actualOutcome": "stay"},
        {"entityId": "c1", "actualOutcome": "leave"},
    ]
    body = {"modelId": model, "records": records}
    answer = ok(drift.post("/api/v1/drift/ground-truth/batch", json=body), 200)
    assert (answer["inserted"], answer["matched"]) == (2, 2)


def test_baselines(drift: httpx.Client, model: str) -> None:
    (first,) = getter(drift, "/baselines", modelId=model)()["baselines"]
    assert (first["version"], first["active"], first["sampleSize"]) == (
        "v1",
        True,
        ROWS,
    )
    active = getter(drift, "/baselines/active", modelId=model)()
    assert active["modelId"] == model
    assert len(active["featureData"]["tenure"]) == ROWS
    assert active["targetData"]["type"] == "classification"
    body = {
        "modelId": model,
        "version": "v2",
        "featureData": {"tenure": [1.0, 2.0, 3.0]},
    }
    second = ok(drift.post("/api/v1/drift/baselines", json=body), 201)["baselineId"]
    path = f"/api/v1/drift/baselines/{second}/activate"
    answer = ok(drift.put(path, json={"modelId": model}), 200)
    assert answer == {"activated": True, "baselineId": second}
    unequal = {**body, "featureData": {"a": [1.0], "b": [1.0, 2.0]}}
    assert drift.post("/api/v1/drift/baselines", json=unequal).status_code == 422
    nobody = register(drift, model_name="Nobody")
    missing = drift.get("/api/v1/drift/baselines/active", params={"modelId": nobody})
    assert missing.status_code == 404


def test_an_analysis_and_its_result(drift: httpx.Client, model: str) -> None:
    log(drift, model, 2.0)
    body = {"modelId": model, "windowDays": 7}
    job = ok(drift.post("/api/v1/drift/analyze", json=body), 200)
    assert job["jobId"].startswith("drift_job_")
    assert job["status"] in {"queued", "running"}
    ended = until(
        getter(drift, f"/analyze/{job['jobId']}/status", modelId=model),
        lambda told: told["status"] in {"succeeded", "failed"},
    )
    assert ended["status"] == "succeeded", ended
    assert ended["startedAt"] <= ended["completedAt"]
    result = getter(drift, "/results/latest", modelId=model)()
    assert result["resultId"].startswith("result_")
    assert result["modelId"] == model
    assert result["status"] == "alert"
    assert result["algorithms"]["ks_test"]["drift"] is True
    assert result["algorithms"]["ks_test"]["score"] > 0.5
    assert result["algorithms"]["psi"]["drift"] is True
    listed = getter(drift, "/results", modelId=model, limit=50, status="alert")()
    assert result["resultId"] in {one["resultId"] for one in listed["results"]}
    assert getter(drift, "/results", modelId=model, status="ok")() == {"results": []}


def test_alerts(drift: httpx.Client, model: str) -> None:
    path = "/api/v1/drift/alerts"
    before = getter(drift, "/alerts", modelId=model)()
    assert before["accuracyDropWarning"] == 0.05
    assert before["accuracyDropAlert"] == 0.10
    assert before["performanceDropRelative"] == 0.15
    assert before["minBaselineSampleSize"] == 30
    body = {
        "modelId": model,
        "enabled": True,
        "algorithms": {
            "enabled": ["ks_test", "psi"],
            "overrides": {
                "ks_test": {"warningThreshold": 0.05, "alertThreshold": 0.15}
            },
        },
        "notifications": {"email": True, "recipients": ["team@example.com"]},
        "schedule": {"enabled": True, "frequency": "daily", "timeWindowDays": 7},
    }
    assert ok(drift.put(path, json=body), 200) == {"updated": True}
    after = getter(drift, "/alerts", modelId=model)()
    assert after["algorithms"]["enabled"] == ["ks_test", "psi"]
    assert after["schedule"]["frequency"] == "daily"
    for wrong in (
        {"algorithms": {"enabled": ["astrology"]}},
        {"algorithms": {"overrides": {"psi": {"warningThreshold": -1}}}},
        {
            "algorithms": {
                "overrides": {"psi": {"warningThreshold": 0.5, "alertThreshold": 0.1}}
            }
        },
        {"schedule": {"enabled": True, "frequency": "yearly", "timeWindowDays": 7}},
    ):
        refused = drift.put(path, json={"modelId": model, "enabled": True, **wrong})
        assert refused.status_code == 422, refused.text
        assert refused.json()["errors"][0]["loc"]


def test_performance(drift: httpx.Client, model: str) -> None:
    log(drift, model, 0.0)
    records = [
        {"entityId": f"c{number}", "actualOutcome": "stay"} for number in range(ROWS)
    ]
    body = {"modelId": model, "records": records}
    ok(drift.post("/api/v1/drift/ground-truth/batch", json=body), 200)
    history = until(
        getter(
            drift, "/performance", modelId=model, windowDays=30, granularity="daily"
        ),
        lambda told: sum(one["sampleSize"] or 0 for one in told["history"]) == ROWS,
    )["history"]
    labelled = [one for one in history if one["sampleSize"]]
    assert all(0 <= one["accuracy"] <= 1 for one in labelled)


def test_a_key_without_the_scope_is_refused(drift: httpx.Client, model: str) -> None:
    refused = drift.get(
        "/api/v1/drift/results",
        params={"modelId": model},
        headers={"X-API-Key": "dg_live_00000000_nonsense"},
    )
    assert refused.status_code == 401
    assert refused.headers["Content-Type"].startswith("application/problem+json")
