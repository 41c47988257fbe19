"""The main way, end to end on the real processes, with little data.

A service registers its model, gives it a baseline and logs predictions; DriftGuard
measures them by itself and blocks the model when an important column has moved.
"""

import datetime as dt
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from driftguard.demo.api import Api
from driftguard.demo.story import stamp
from tests.running_server import RunningServer

pytestmark = pytest.mark.server

SECONDS = 120
COUNTRIES = ("DE", "FR", "IT", "SE")
BASELINE_ROWS = 800
ROWS = 400
PROBABILITIES = ([0.9, 0.1], [0.1, 0.9])  # by the answer


def amount(number: int) -> float:
    return (number * 37 % 400) / 4


@pytest.fixture(scope="module")
def api(server: RunningServer) -> Iterator[Api]:
    answer = httpx.post(f"{server.url}/auth/register", json={"name": "Flow Bank"})
    with Api(server.url, answer.raise_for_status().json()["api_key"]) as api:
        yield api


@pytest.fixture(scope="module")
def model(api: Api) -> str:
    """Register a model and give it a baseline with labelled predictions."""
    slug = api.post(
        "/api/models",
        {
            "model_name": "Flow",
            "version": "1.0",
            "task": "binary",
            "classes": [0, 1],
            "cadence": "daily",
            "schema_definition": {
                "features": ["amount", "country"],
                "feature_types": {"amount": "float", "country": "categorical"},
                "target": "late",
            },
        },
        key="register",
    )["slug"]
    numbers = range(BASELINE_ROWS)
    # Every tenth answer is wrong, so that there is something to get worse than.
    predicted = [number % 2 for number in numbers]
    actual = [1 - p if n % 10 == 0 else p for n, p in enumerate(predicted)]
    api.post(
        "/api/v1/drift/baselines",
        {
            "modelId": slug,
            "version": "at launch",
            "featureData": {
                "amount": [amount(number) for number in numbers],
                "country": [COUNTRIES[number % 4] for number in numbers],
            },
            "labeledPredictions": {
                "probabilities": [
                    [1 - p * 0.8 - 0.1, p * 0.8 + 0.1] for p in predicted
                ],
                "predictedLabels": predicted,
                "actualLabels": actual,
            },
        },
        key="baseline",
    )
    return str(slug)


def log(api: Api, model: str, at: dt.datetime, country: Callable[[int], str]) -> None:
    """Log a day's predictions; `country` says where each comes from."""
    predictions = [
        {
            "input_features": {"amount": amount(number), "country": country(number)},
            "prediction": number % 2,
            "probabilities": PROBABILITIES[number % 2],
            "timestamp": stamp(at),
        }
        for number in range(ROWS)
    ]
    body = {"model_id": model, "predictions": predictions}
    api.post("/api/logs/prediction/batch", body, key=f"rows of {stamp(at)}")


def wait_for(read: Callable[[], Any], holds: Callable[[Any], bool]) -> Any:
    deadline = time.monotonic() + SECONDS
    while not holds(answer := read()):
        assert time.monotonic() < deadline, answer
        time.sleep(0.2)
    return answer


def days_ago(days: int) -> dt.datetime:
    now = dt.datetime.now(dt.UTC)
    return dt.datetime.combine(now, dt.time(9), dt.UTC) - dt.timedelta(days=days)


@pytest.fixture(scope="module")
def story(api: Api, model: str) -> dict[str, Any]:
    """Log a quiet day and then one from a single country; keep what is said of them."""
    status = f"/api/models/{model}/status"
    log(api, model, days_ago(2), lambda number: COUNTRIES[number % 4])
    quiet = wait_for(
        lambda: api.get(status), lambda told: told["governance_status"] == "APPROVED"
    )
    log(api, model, days_ago(1), lambda _: "SE")
    moved = wait_for(
        lambda: api.get(status), lambda told: told["governance_status"] != "APPROVED"
    )
    return {"quiet": quiet, "moved": moved}


def test_a_quiet_day_is_within_limits(story: dict[str, Any]) -> None:
    assert story["quiet"]["drift_detected"] is False
    assert story["quiet"]["reasons"] == []
    assert story["quiet"]["risk_score"] < 10


def test_a_moved_important_column_blocks_at_once(story: dict[str, Any]) -> None:
    assert story["moved"]["governance_status"] == "BLOCKED"
    assert any("country" in reason for reason in story["moved"]["reasons"])
    assert story["moved"]["drift_detected"] is True


def test_the_drift_names_the_column_that_moved_and_only_it(
    api: Api, model: str, story: dict[str, Any]
) -> None:
    drift = api.get(f"/api/models/{model}/drift")
    assert drift["status"] == "alert"
    assert drift["window"]["predictions"] == ROWS
    detected = {
        column["feature"]
        for column in drift["drift_metrics"]
        if column["drift_detected"]
    }
    assert detected == {"country"}


def test_every_dialect_tells_the_same(
    api: Api, model: str, story: dict[str, Any]
) -> None:
    platform = api.get(f"/api/models/{model}/drift")
    quick = api.get(f"/models/{model}/drift/current")
    latest = api.get("/api/v1/drift/results/latest", modelId=model)
    assert quick["psi"] == platform["psi"]
    assert latest["status"] == platform["status"]
    assert latest["algorithms"]["psi"]["drift"] is True


def test_the_risk_history_has_the_scored_moments_newest_first(
    api: Api, model: str, story: dict[str, Any]
) -> None:
    scores = api.get(f"/api/models/{model}/risk-history")
    assert scores[0]["governance_status"] == "BLOCKED"
    assert scores[0]["risk_score"] > scores[-1]["risk_score"]


def test_the_predictions_come_back_as_they_were_logged(
    api: Api, model: str, story: dict[str, Any]
) -> None:
    page = api.get("/api/v1/drift/predictions", modelId=model, limit=1)
    assert page["total"] == 2 * ROWS
    [newest] = page["predictions"]
    assert newest["features"]["country"] == "SE"
    assert newest["timestamp"] == stamp(days_ago(1))


def test_another_organization_sees_nothing_of_it(
    server: RunningServer, model: str, story: dict[str, Any]
) -> None:
    answer = httpx.post(f"{server.url}/auth/register", json={"name": "Stranger"})
    key = answer.raise_for_status().json()["api_key"]
    for path in ("", "/status", "/drift", "/risk-history"):
        told = httpx.get(
            f"{server.url}/api/models/{model}{path}", headers={"X-API-Key": key}
        )
        assert told.status_code == 404, path
