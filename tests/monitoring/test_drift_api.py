"""What the interfaces say of drift, status, performance and fairness."""

import datetime as dt
from typing import Any

import pytest
from django.test import Client

from governance.models import ModelVersion
from monitoring.actions import baselines
from tests.factories import Person, make_alice, make_api_key, make_charlie
from tests.monitoring import traffic
from tests.monitoring.test_refresh import answers, give_baseline, rows
from tests.monitoring.traffic import NOW

pytestmark = pytest.mark.django_db

PATHS = (
    "/api/models/{}/drift",
    "/models/{}/drift/current",
    "/api/models/{}/status",
    "/api/models/{}/performance",
    "/api/models/{}/fairness",
    "/api/models/{}/quarantines",
    "/api/v1/drift/results/latest?modelId={}",
    "/api/v1/drift/results?modelId={}",
)


@pytest.fixture
def alice() -> Person:
    return make_alice()


@pytest.fixture
def client(alice: Person) -> Client:
    return client_of(alice)


def client_of(person: Person, **fields: Any) -> Client:
    _, key = make_api_key(person, **fields)
    return Client(headers={"Authorization": f"Bearer {key}"})


@pytest.fixture
def version(alice: Person) -> ModelVersion:
    return traffic.make_watched(
        alice,
        features=["x", "y"],
        feature_types={"x": "float", "y": "float"},
        task="binary",
        classes=[0, 1],
        protected_attributes={"y": [0]},
        favourable_outcome=1,
    )


@pytest.fixture
def measured(version: ModelVersion) -> ModelVersion:
    give_baseline(version)
    receipt = traffic.log(version, rows(600, shift=0.6))
    traffic.label(version, answers(receipt, wrong=0.1))
    traffic.live(version)
    return version


def get(client: Client, path: str, version: ModelVersion) -> Any:
    answer = client.get(path.format(version.model.slug))
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_drift_names_every_feature_and_the_window(
    client: Client, measured: ModelVersion
) -> None:
    told = get(client, "/api/models/{}/drift", measured)
    assert told["model_id"] == measured.model.slug
    assert (told["status"], told["drift_detected"]) == ("alert", True)
    assert told["baseline_kind"] == "given"
    assert told["baseline_id"].startswith("baseline_")
    assert told["window"]["predictions"] == 600
    start, end = (
        dt.datetime.fromisoformat(told["window"][s]) for s in ("start", "end")
    )
    assert start < NOW < end
    by_name = {one["feature"]: one for one in told["drift_metrics"]}
    assert set(by_name) == {"x", "y"}
    assert by_name["x"]["drift_detected"] is True
    assert by_name["y"]["status"] == "ok"
    assert told["psi"] == by_name["x"]["psi"]
    assert told["ks"] == by_name["x"]["ks"]
    assert by_name["x"]["ks_p_value"] < 0.001
    assert told["score"]["status"] == "ok"
    assert told["last_24_hours"]["predictions"] == 600


def test_the_quick_start_s_path_says_the_same(
    client: Client, measured: ModelVersion
) -> None:
    current = get(client, "/models/{}/drift/current", measured)
    assert current == get(client, "/api/models/{}/drift", measured)


def test_the_model_may_be_named_by_its_number(
    client: Client, measured: ModelVersion
) -> None:
    told = client.get(f"/api/models/{measured.model.pk}/drift").json()
    assert told["model_id"] == measured.model.pk


def test_without_a_baseline_it_says_so(client: Client, version: ModelVersion) -> None:
    told = get(client, "/api/models/{}/drift", version)
    assert (told["status"], told["drift_detected"]) == ("no_baseline", False)
    assert "baseline" in told["detail"]
    assert (told["psi"], told["ks"], told["drift_metrics"]) == (None, None, [])
    traffic.log(version, rows(10))
    traffic.live(version)
    assert get(client, "/api/models/{}/drift", version)["status"] == "no_baseline"


def test_a_baseline_just_sent_is_not_missing(
    client: Client, version: ModelVersion
) -> None:
    give_baseline(version)
    told = get(client, "/api/models/{}/drift", version)
    assert (told["status"], told["drift_detected"]) == ("insufficient_data", False)
    assert told["baseline_id"].startswith("baseline_")
    assert told["baseline_kind"] == "given"
    assert "yet" in told["detail"]


def test_status_joins_approval_health_risk_and_drift(
    client: Client, measured: ModelVersion
) -> None:
    told = get(client, "/api/models/{}/status", measured)
    assert told["model_name"] == "Watched"
    assert (told["status"], told["deployment_status"]) == ("DRAFT", "draft")
    assert told["governance_status"] == "BLOCKED"
    assert told["drift_detected"] is True
    assert told["recent_predictions"] == 600
    assert 0 < told["risk_score"] <= 100
    assert 0 < told["fairness_score"] <= 1
    assert told["active_override"] is None
    assert told["policy"]["version"] == 1
    assert any("x" in reason for reason in told["reasons"])
    assert told["last_updated"].endswith("Z")


def test_a_model_without_traffic_is_not_assessed(
    client: Client, version: ModelVersion
) -> None:
    told = get(client, "/api/models/{}/status", version)
    assert told["governance_status"] == "NOT_ASSESSED"
    assert (told["risk_score"], told["recent_predictions"]) == (None, 0)


def test_a_quiet_model_has_no_reasons(client: Client, version: ModelVersion) -> None:
    give_baseline(version)
    traffic.log(version, rows(600))
    traffic.live(version)
    told = get(client, "/api/models/{}/status", version)
    assert (told["governance_status"], told["reasons"]) == ("APPROVED", [])


def test_performance_lists_the_periods_with_labels(
    client: Client, measured: ModelVersion
) -> None:
    told = get(client, "/api/models/{}/performance", measured)
    assert (told["task"], told["primary_metric"]) == ("binary", "roc_auc")
    (period,) = told["periods"]
    assert (period["rows"], period["labelled"]) == (600, 600)
    assert period["is_mature"] is True
    assert period["metrics"]["accuracy"]["n"] == 600
    assert told["baseline"]["labelled"] == 500


def test_fairness_lists_the_groups(client: Client, measured: ModelVersion) -> None:
    told = get(client, "/api/models/{}/fairness", measured)
    (attribute,) = told["attributes"]
    assert attribute["attribute"] == "y"
    assert {group["group"] for group in attribute["groups"]} == {
        "under 0",
        "0 and over",
    }
    assert sum(group["n"] for group in attribute["groups"]) == 600
    assert told["fairness_score"] == attribute["demographic_parity_ratio"]


def test_results_speak_the_drift_dialect(
    client: Client, measured: ModelVersion
) -> None:
    told = get(client, "/api/v1/drift/results/latest?modelId={}", measured)
    assert told["resultId"].startswith("result_")
    assert told["modelId"] == measured.model.slug
    assert told["status"] == "alert"
    assert told["algorithms"]["psi"]["drift"] is True
    assert told["algorithms"]["psi"]["feature"] == "x"
    assert set(told["algorithms"]["ks_test"]["features"]) == {"x", "y"}
    listed = get(client, "/api/v1/drift/results?modelId={}", measured)["results"]
    assert [one["resultId"] for one in listed] == [told["resultId"]]
    quiet = get(client, "/api/v1/drift/results?modelId={}&status=ok", measured)
    assert quiet == {"results": []}


def test_without_a_result_the_latest_is_missing(
    client: Client, version: ModelVersion
) -> None:
    path = f"/api/v1/drift/results/latest?modelId={version.model.slug}"
    assert client.get(path).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/drift/results/latest",
        "/api/v1/drift/results?modelId={}&status=green",
        "/api/v1/drift/results?modelId={}&limit=0",
        "/api/models/{}/drift?colour=red",
    ],
)
def test_wrong_parameters_are_named(
    client: Client, version: ModelVersion, path: str
) -> None:
    answer = client.get(path.format(version.model.slug))
    assert answer.status_code == 422
    assert answer.json()["errors"]


def test_a_version_can_be_asked_for(
    client: Client, alice: Person, measured: ModelVersion
) -> None:
    second = traffic.make_watched(alice, version="2", features=["x", "y"])
    baselines.create(second, features={"x": [1.0]}, label="2", actor=None)
    slug = measured.model.slug
    for name, status in (("1", "alert"), ("2", "insufficient_data")):
        told = client.get(f"/api/models/{slug}/drift", {"version": name}).json()
        assert (told["version"], told["status"]) == (name, status)
    missing = client.get(f"/api/models/{slug}/drift", {"version": "3"})
    assert missing.status_code == 404


@pytest.mark.parametrize("path", PATHS)
def test_charlie_sees_nothing(measured: ModelVersion, path: str) -> None:
    stranger = client_of(make_charlie())
    theirs = stranger.get(path.format(measured.model.slug))
    nobody = stranger.get(path.format("no-such-model"))
    assert theirs.status_code == nobody.status_code == 404
    same = {name: theirs.json()[name] for name in ("code", "detail", "errors")}
    assert same == {name: nobody.json()[name] for name in same}


@pytest.mark.parametrize("path", PATHS)
def test_nobody_is_asked_to_say_who_they_are(measured: ModelVersion, path: str) -> None:
    assert Client().get(path.format(measured.model.slug)).status_code == 401


@pytest.mark.parametrize("path", PATHS)
def test_reading_takes_few_queries(
    client: Client,
    measured: ModelVersion,
    path: str,
    django_assert_max_num_queries: Any,
) -> None:
    get(client, path, measured)
    with django_assert_max_num_queries(6):
        get(client, path, measured)
