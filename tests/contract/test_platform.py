"""The Platform dialect, call by call: JWT or API key in `Authorization: Bearer`."""

import httpx
import pytest

from tests.contract.conftest import ok, until

pytestmark = pytest.mark.server
PASSWORD = "a long enough passphrase"
MODEL = {
    "model_name": "Credit Risk Classifier",
    "version": "2.1.0",
    "description": "Predicts credit risk",
    "training_accuracy": 0.87,
    "fairness_baseline": 0.92,
    "schema_definition": {
        "features": ["age", "income", "credit_score"],
        "target": "credit_approved",
        "feature_types": {"age": "int", "income": "float", "credit_score": "int"},
    },
}
FEATURES = {"age": 35, "income": 75000.0, "credit_score": 720}


@pytest.fixture
def signed_in(http: httpx.Client, email: str) -> httpx.Client:
    body = {"email": email, "password": PASSWORD, "name": "Contract"}
    person = ok(http.post("/api/auth/register", json=body), 201)
    assert person["email"] == email
    assert {"id", "name", "slug"} <= person["organization"].keys()
    login = {"username": email, "password": PASSWORD}
    tokens = ok(http.post("/api/auth/login", json=login), 200)
    assert tokens["token_type"] == "bearer"
    assert tokens["expires_in"] > 0
    http.headers["Authorization"] = f"Bearer {tokens['access_token']}"
    return http


def test_the_whole_story(signed_in: httpx.Client) -> None:
    http = signed_in
    model = ok(http.post("/api/models", json=MODEL), 201)
    assert {**MODEL, **model}["model_name"] == MODEL["model_name"]
    assert isinstance(model["id"], int)
    assert (model["status"], model["deployment_status"]) == ("draft", "draft")
    pk = model["id"]

    one = {
        "model_id": pk,
        "input_features": FEATURES,
        "prediction": 0.87,
        "actual_label": None,
        "timestamp": "2026-01-31T10:30:00Z",
    }
    logged = ok(http.post("/api/logs/prediction", json=one), 201)
    assert logged["id"].startswith("pred_")
    assert logged["model_id"] == pk
    assert logged["prediction"] == 0.87
    assert logged["timestamp"].endswith("Z")

    batch = {"predictions": [{**one, "prediction": share / 10} for share in range(10)]}
    answer = ok(http.post("/api/logs/prediction/batch", json=batch), 201)
    assert answer["receipt_id"].startswith("rcpt_")
    assert (answer["accepted"], answer["rejected"], answer["errors"]) == (10, 0, [])

    label = {"actual_label": 1, "timestamp_actual_known": "2026-02-28T10:30:00Z"}
    ok(http.put(f"/api/logs/prediction/{logged['id']}", json=label), 200)

    def status() -> dict[str, object]:
        told: dict[str, object] = ok(http.get(f"/api/models/{pk}/status"), 200)
        return told

    told = until(status, lambda found: found["recent_predictions"] is not None)
    assert told["model_id"] == pk
    assert told["version"] == "2.1.0"
    assert told["governance_status"] == "NOT_ASSESSED"
    assert told["active_override"] is None
    assert {
        "model_name",
        "status",
        "deployment_status",
        "risk_score",
        "fairness_score",
        "drift_detected",
        "recent_predictions",
        "reasons",
        "policy",
        "last_updated",
    } <= told.keys()


def test_what_was_measured_and_the_gate(signed_in: httpx.Client) -> None:
    http = signed_in
    pk = ok(http.post("/api/models", json=MODEL), 201)["id"]
    drift = ok(http.get(f"/api/models/{pk}/drift"), 200)
    assert drift["model_id"] == pk
    assert drift["drift_detected"] is False
    assert drift["status"] in {"no_baseline", "insufficient_data"}
    history = ok(http.get(f"/api/models/{pk}/risk-history?limit=30"), 200)
    assert history == []

    denied = ok(http.post(f"/api/models/{pk}/deploy", json={"override": False}), 409)
    assert denied["code"] == "approval_required"
    assert denied["gate"]["result"] == "DENY"


def test_a_second_version_belongs_to_the_same_model(signed_in: httpx.Client) -> None:
    first = ok(signed_in.post("/api/models", json=MODEL), 201)
    again = signed_in.post("/api/models", json=MODEL)
    assert ok(again, 409)["status"] == 409
    second = ok(signed_in.post("/api/models", json={**MODEL, "version": "2.2.0"}), 201)
    assert second["id"] == first["id"]
    assert ok(signed_in.get("/api/models"), 200)
    assert ok(signed_in.get(f"/api/models/{first['slug']}"), 200)["id"] == first["id"]


def test_published_curl_calls_send_no_content_type(http: httpx.Client) -> None:
    body = b'{"username": "nobody@example.com", "password": "wrong"}'
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert (
        http.post("/api/auth/login", content=body, headers=headers).status_code == 401
    )
    assert http.post("/api/auth/login", content=body).status_code == 401


def test_a_key_is_valid_wherever_a_token_is(http: httpx.Client) -> None:
    made = ok(http.post("/auth/register", json={"name": "Keys"}), 200)
    for header in (
        {"Authorization": f"Bearer {made['api_key']}"},
        {"Authorization": f"Bearer Bearer {made['api_key']}"},
        {"X-API-Key": made["api_key"]},
    ):
        assert ok(http.get("/api/models", headers=header), 200)["results"] == []
    assert http.get("/api/models").status_code == 401


def test_tokens_are_refreshed_and_ended(signed_in: httpx.Client, email: str) -> None:
    login = {"username": email, "password": PASSWORD}
    first = ok(signed_in.post("/api/auth/login", json=login), 200)
    body = {"refresh_token": first["refresh_token"]}
    second = ok(signed_in.post("/api/auth/refresh", json=body), 200)
    assert second["refresh_token"] != first["refresh_token"]
    ended = {"refresh_token": second["refresh_token"]}
    assert signed_in.post("/api/auth/logout", json=ended).status_code in {200, 204}
    assert signed_in.post("/api/auth/refresh", json=ended).status_code == 401


def test_the_same_email_twice_is_a_conflict(
    signed_in: httpx.Client, email: str
) -> None:
    body = {"email": email.upper(), "password": PASSWORD, "name": "Again"}
    assert signed_in.post("/api/auth/register", json=body).status_code == 409
    weak = {"email": "x@example.com", "password": "12345", "name": "Weak"}
    assert signed_in.post("/api/auth/register", json=weak).status_code == 422
