"""The Inference dialect, call by call: artifact, predict, and the model that blocks."""

from typing import Any

import httpx
import pytest

from tests import artifacts
from tests.contract.conftest import ok, until

pytestmark = pytest.mark.server
PASSWORD = "a long enough passphrase"
ROWS = 300


@pytest.fixture
def owner(http: httpx.Client, email: str) -> httpx.Client:
    body = {"email": email, "password": PASSWORD, "name": "Inference"}
    ok(http.post("/api/auth/register", json=body), 201)
    login = {"username": email, "password": PASSWORD}
    tokens = ok(http.post("/api/auth/login", json=login), 200)
    http.headers["Authorization"] = f"Bearer {tokens['access_token']}"
    return http


def instance(number: int, *, older: int = 0) -> dict[str, Any]:
    return {"age": 20 + number % 50 + older, "income": float(number * 37 % 1_000)}


def registered(owner: httpx.Client, instances: list[dict[str, Any]]) -> int:
    """Register a model whose baseline these are; return its id."""
    model = {
        "model_name": "Governed",
        "version": "1.0.0",
        "task": "binary",
        "classes": [0, 1],
        "schema_definition": {
            "features": ["age", "income"],
            "feature_types": {"age": "int", "income": "float"},
        },
    }
    pk: int = ok(owner.post("/api/models", json=model), 201)["id"]
    columns = {name: [row[name] for row in instances] for name in instances[0]}
    baseline = {"modelId": pk, "version": "launch", "featureData": columns}
    ok(owner.post("/api/v1/drift/baselines", json=baseline), 201)
    return pk


def test_the_whole_story(owner: httpx.Client) -> None:
    instances = [instance(number) for number in range(ROWS)]
    pk = registered(owner, instances)
    predict = f"/api/v1/models/{pk}/predict"
    refused = ok(owner.post(predict, json={"instances": instances[:1]}), 409)
    assert refused["state"] == "not_deployed"

    path = f"/api/models/{pk}/versions/1.0.0/artifact"
    binary = {"Content-Type": "application/octet-stream"}
    pickled = owner.put(path, content=b"\x80\x04\x95pickle", headers=binary)
    assert ok(pickled, 422)["errors"][0]["code"] == "artifact"
    kept = ok(owner.put(path, content=artifacts.classifier(), headers=binary), 200)
    assert ok(owner.get(path), 200)["digest"] == kept["digest"]
    taken = {"items": [{"model_id": pk, "version": "1.0.0"}], "reason": "It ran before"}
    ok(owner.post("/api/deployments/intake", json=taken), 201)

    answer = until(
        lambda: owner.post(predict, json={"instances": instances[:2]}),
        lambda one: one.status_code == 200,
    ).json()
    assert answer["predictions"] == [0, 0]
    assert [len(one) for one in answer["probabilities"]] == [2, 2]
    assert answer["model_version"] == "1.0.0"
    assert answer["governance_status"] in {"NOT_ASSESSED", "APPROVED"}
    logged = ok(owner.get(f"/api/logs/prediction/{answer['prediction_ids'][0]}"), 200)
    assert logged["input_features"] == instances[0]
    assert logged["prediction"] == answer["predictions"][0]

    # Its clients grow older, until it says of itself that it may not go on.
    drifted = [instance(number, older=60) for number in range(ROWS)]
    ok(owner.post(predict, json={"instances": drifted}), 200)
    blocked = until(
        lambda: owner.post(predict, json={"instances": drifted[:1]}),
        lambda one: one.status_code == 409,
    ).json()
    assert (blocked["code"], blocked["state"]) == ("permit_refused", "blocked")
    assert blocked["fallback"]["kind"] == "manual_review"
    status = ok(owner.get(f"/api/models/{pk}/status"), 200)
    assert status["governance_status"] == "BLOCKED"
