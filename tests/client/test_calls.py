"""The client's methods against a real server, and what they do with its refusals."""

import asyncio
import inspect
import json
import runpy
from pathlib import Path
from typing import Any

import httpx
import pytest
from driftguard_client import (
    AsyncDriftGuard,
    ConflictError,
    DriftGuard,
    DriftGuardError,
    InvalidError,
    NotAuthenticatedError,
    NotFoundError,
    PermissionDeniedError,
    UnavailableError,
    UnreachableError,
)

from tests.client.conftest import register
from tests.running_server import RunningServer

pytestmark = pytest.mark.server
CLIENT = Path(__file__).parents[2] / "client"
ROW = {"input_features": {"amount": 1.5, "country": "DE"}, "prediction": 1}


def test_the_async_client_is_made_from_the_other() -> None:
    tool = runpy.run_path(str(CLIENT / "tools" / "make_async.py"))
    source = (CLIENT / "driftguard_client" / "client.py").read_text()
    made = (CLIENT / "driftguard_client" / "_async.py").read_text()
    assert tool["converted"](source) == made


def test_both_clients_have_the_same_methods() -> None:
    def methods(kind: type) -> set[str]:
        return {name for name, _ in inspect.getmembers(kind) if name[0] != "_"}

    assert methods(DriftGuard) == methods(AsyncDriftGuard)


def test_predictions_and_outcomes(client: DriftGuard) -> None:
    one = client.log_prediction(
        "fraud", ROW["input_features"], 1, entity_id="a", probabilities=[0.2, 0.8]
    )
    assert client.prediction(one["id"])["entity_id"] == "a"
    assert client.set_label(one["id"], 0)["actual_label"] == 0
    batch = client.log_predictions([ROW, ROW], model="fraud")
    assert batch["accepted"] == 2
    quick = client.quick_log_predictions(
        "fraud", [{"features": {"amount": 2}, "prediction_value": 1}]
    )
    assert len(quick["prediction_ids"]) == 1
    drift = client.drift_log_prediction(
        "fraud", {"amount": 3}, 1, probabilities=[0.4, 0.6], entityId="b"
    )
    assert drift["predictionId"].startswith("pred_")
    assert client.log_ground_truth("fraud", "b", 1)["groundTruthId"]
    told = client.log_ground_truths("fraud", [{"entityId": "b", "actualOutcome": "0"}])
    assert told["inserted"] == 1
    csv = b"amount,country,prediction\n1.5,DE,1\n2.5,FR,0\n"
    assert client.upload_predictions("fraud", csv, "text/csv")["accepted"] == 2
    page = client.predictions("fraud", has_ground_truth=True)
    assert {row["entityId"] for row in page["predictions"]} == {"a", "b"}
    assert len(client.unmatched_predictions("fraud")) == 5


def test_the_registry(client: DriftGuard) -> None:
    made = client.quick_register_model(
        "Pricing", "1", [{"feature_name": "x", "feature_type": "float", "order": 1}]
    )
    assert client.model(made["id"])["slug"] == "pricing"
    assert client.update_model("pricing", purpose="prices")["purpose"] == "prices"
    client.register_model("Pricing", "2")
    versions = client.versions("pricing")["versions"]
    assert {one["version"] for one in versions} == {"1", "2"}
    assert [one["slug"] for one in client.models(search="pric")["results"]] == [
        "pricing"
    ]


def test_baselines_and_what_is_measured(client: DriftGuard) -> None:
    features = {"amount": [1.0, 2.0, 3.0], "country": ["DE", "FR", "DE"]}
    made = client.create_baseline("fraud", "launch", features)
    csv = b"amount,country\n1,DE\n2,FR\n"
    other = client.upload_baseline("fraud", "later", csv, "text/csv")
    assert client.active_baseline("fraud")["baselineId"] == made["baselineId"]
    client.activate_baseline("fraud", other["baselineId"])
    active = [one["version"] for one in client.baselines("fraud") if one["active"]]
    assert active == ["later"]
    assert client.status("fraud")["governance_status"] == "NOT_ASSESSED"
    assert client.drift("fraud")["drift_detected"] is False
    assert client.quick_drift("fraud")["drift_detected"] is False
    assert client.risk_history("fraud") == []
    assert client.results("fraud") == [] or client.results("fraud")[0]["resultId"]
    assert client.fairness("fraud")["attributes"] == []


def test_the_gate_is_closed_for_a_draft(owner: DriftGuard) -> None:
    with pytest.raises(ConflictError) as denied:
        owner.gate("fraud")
    assert denied.value.extra["gate"]["result"] == "DENY"


def test_people_sign_in(server: RunningServer) -> None:
    with DriftGuard(server.url) as stranger:
        person = stranger.register_user(
            "client@example.com", "a long enough passphrase", "Client"
        )
        tokens = stranger.login("client@example.com", "a long enough passphrase")
        again = stranger.refresh(tokens["refresh_token"])
        with DriftGuard(server.url, again["access_token"]) as signed_in:
            assert signed_in.models()["results"] == []
        stranger.logout(again["refresh_token"])
    assert person["email"] == "client@example.com"


def test_refusals_have_their_kinds(client: DriftGuard) -> None:
    with pytest.raises(NotFoundError):
        client.model("nothing")
    with pytest.raises(InvalidError) as wrong:
        client.log_predictions([{**ROW, "prediction": None}], model="fraud")
    assert wrong.value.errors[0]["loc"][:2] == ["predictions", 0]
    stranger = DriftGuard(client.settings.url, "dg_nothing")
    with stranger, pytest.raises(NotAuthenticatedError):
        stranger.models()
    with pytest.raises(InvalidError):
        client.update_model("fraud", nonsense=1)


def test_another_organizations_model_is_not_there(
    server: RunningServer, client: DriftGuard
) -> None:
    with register(server.url) as other:
        mine = client.model("fraud")["id"]
        with pytest.raises(NotFoundError):
            other.model(mine)


def test_a_name_with_slashes_stays_one_part_of_the_path(client: DriftGuard) -> None:
    with pytest.raises(NotFoundError):
        client.model("../auth/register")


class Answers(httpx.BaseTransport):
    """A server that answers in a given order."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def later(seconds: str = "0") -> httpx.Response:
    return httpx.Response(503, headers={"Retry-After": seconds}, json={"status": 503})


def test_a_repetition_carries_the_same_key() -> None:
    answers = Answers(
        httpx.ConnectError("refused"), later(), httpx.Response(201, json={"id": "x"})
    )
    with DriftGuard("http://somewhere", "dg_x", transport=answers) as client:
        assert client.log_prediction("m", {}, 1) == {"id": "x"}
    assert len({one.headers["Idempotency-Key"] for one in answers.requests}) == 1
    assert len({one.content for one in answers.requests}) == 1
    assert answers.requests[0].headers["Authorization"] == "Bearer dg_x"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (httpx.ReadTimeout("slow"), UnreachableError),
        (later(), UnavailableError),
        (httpx.Response(200, text="<html>"), DriftGuardError),
        (httpx.Response(403, json={"detail": "no scope"}), PermissionDeniedError),
    ],
)
def test_what_does_not_help_is_raised(answer: Any, kind: type[Exception]) -> None:
    with (
        DriftGuard(
            "http://somewhere", "dg_x", retries=0, transport=Answers(answer)
        ) as client,
        pytest.raises(kind),
    ):
        client.models()


def test_an_address_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DRIFTGUARD_URL", raising=False)
    with pytest.raises(DriftGuardError, match="DRIFTGUARD_URL"):
        DriftGuard()


def test_the_async_client(client: DriftGuard, tmp_path: Path) -> None:
    async def story() -> tuple[Any, Any]:
        settings = client.settings
        async with AsyncDriftGuard(settings.url, settings.credential) as twin:
            both = await asyncio.gather(twin.status("fraud"), twin.model("fraud"))
            await twin.download("/openapi.json", tmp_path / "openapi.json")
            return both[0], both[1]

    status, model = asyncio.run(story())
    assert status["model_id"] == "fraud"
    assert model["slug"] == "fraud"
    assert json.loads((tmp_path / "openapi.json").read_bytes())["openapi"]
    assert not (tmp_path / "openapi.json.part").exists()
