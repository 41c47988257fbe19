"""Asking for an analysis through the Drift dialect, and reading what it found."""

import datetime as dt
import json
from typing import Any

import pytest
from django.test import Client

from governance.models import AuditEntry, ModelVersion
from monitoring.actions import analysis_job, analysis_queue
from monitoring.detectors import DETECTORS
from monitoring.models import AnalysisRun, DriftResult, LiveResult
from tests.factories import Person, make_alice, make_api_key, make_charlie
from tests.monitoring import traffic
from tests.monitoring.test_refresh import answers, give_baseline, rows
from tests.monitoring.traffic import HOUR, NOW

pytestmark = pytest.mark.django_db

ANALYZE = "/api/v1/drift/analyze"
LATEST = "/api/v1/drift/results/latest"
RESULTS = "/api/v1/drift/results"


@pytest.fixture
def alice() -> Person:
    return make_alice()


@pytest.fixture
def client(alice: Person) -> Client:
    return client_of(alice)


def client_of(person: Person, **fields: Any) -> Client:
    _, key = make_api_key(person, **fields)
    return Client(headers={"X-API-Key": key})


@pytest.fixture
def version(alice: Person) -> ModelVersion:
    version = traffic.make_watched(
        alice,
        features=["x", "y"],
        feature_types={"x": "float", "y": "float"},
        task="binary",
        classes=[0, 1],
    )
    give_baseline(version)
    return version


def analyze(client: Client, version: ModelVersion, **fields: Any) -> Any:
    body = {"modelId": version.model.slug, **fields}
    return client.post(ANALYZE, json.dumps(body), content_type="application/json")


def job(client: Client, version: ModelVersion, **fields: Any) -> str:
    answer = analyze(client, version, **fields)
    assert answer.status_code == 200, answer.content
    return str(answer.json()["jobId"])


def status_of(client: Client, version: ModelVersion, job_id: str) -> Any:
    answer = client.get(f"{ANALYZE}/{job_id}/status?modelId={version.model.slug}")
    assert answer.status_code == 200, answer.content
    return answer.json()


def get(client: Client, path: str, **query: Any) -> Any:
    answer = client.get(path, query)
    assert answer.status_code == 200, answer.content
    return answer.json()


def log(version: ModelVersion, count: int = 600, shift: float = 0.8) -> None:
    receipt = traffic.log(version, rows(count, shift=shift))
    traffic.label(version, answers(receipt, wrong=0.1))
    traffic.live(version)


def test_a_client_asks_follows_and_reads(client: Client, version: ModelVersion) -> None:
    log(version)
    answer = analyze(client, version, windowDays=7)
    assert answer.status_code == 200
    asked = answer.json()
    assert asked["status"] == "running"
    assert asked["jobId"].startswith("drift_job_")
    waiting = status_of(client, version, asked["jobId"])
    assert (waiting["status"], waiting["progress"]) == ("queued", 0.0)
    assert waiting["startedAt"] is waiting["completedAt"] is waiting["resultId"] is None
    assert waiting["windowEnd"] == (NOW.replace(minute=0) + HOUR).isoformat().replace(
        "+00:00", "Z"
    )
    assert "error" not in waiting
    assert analysis_job.work()
    done = status_of(client, version, asked["jobId"])
    assert (done["status"], done["progress"]) == ("succeeded", 1.0)
    assert done["startedAt"] <= done["completedAt"]
    told = get(client, LATEST, modelId=version.model.slug)
    assert told["resultId"] == done["resultId"]
    assert (told["status"], told["kind"]) == ("alert", "analysis")
    assert told["jobId"] == asked["jobId"]
    assert told["modelId"] == version.model.slug
    assert told["algorithms"]["ks_test"]["drift"] is True
    assert told["algorithms"]["ks_test"]["score"] > 0.2
    assert told["algorithms"]["cbpe"]["family"] == "performance"
    listed = get(client, RESULTS, modelId=version.model.pk)["results"]
    assert [one["resultId"] for one in listed] == [told["resultId"]]


def test_the_status_shows_the_step_at_work(
    client: Client, version: ModelVersion
) -> None:
    job_id = job(client, version)
    claim = analysis_queue.claim()
    assert claim is not None
    claim.tell("domain_classifier", 0.45)
    told = status_of(client, version, job_id)
    assert (told["status"], told["step"]) == ("running", "domain_classifier")
    assert told["progress"] == 0.45
    analysis_queue.fail(claim, reason="No memory is left.", actor=None)
    told = status_of(client, version, job_id)
    assert (told["status"], told["error"]) == ("failed", "No memory is left.")
    assert told["step"] is None


def test_a_result_is_told_with_everything_behind_it(
    client: Client, version: ModelVersion
) -> None:
    log(version)
    job_id = job(client, version)
    analysis_job.work()
    result_id = status_of(client, version, job_id)["resultId"]
    told = get(client, f"{RESULTS}/{result_id}")
    assert told["modelId"] == version.model.slug
    assert get(client, f"{RESULTS}/{result_id}", modelId=version.model.pk) == {
        **told,
        "modelId": version.model.pk,
    }
    assert {one["name"] for one in told["features"]} == {"x", "y", "__score__"}
    assert told["rootCause"]["features"][0]["feature"] == "x"
    assert told["provenance"]["window"]["rows"] == 600
    assert told["labels"] == 600


def test_the_live_result_is_the_latest_where_no_analysis_has_run(
    client: Client, version: ModelVersion
) -> None:
    log(version)
    told = get(client, LATEST, modelId=version.model.slug)
    assert (told["kind"], told["jobId"]) == ("live", None)
    assert told["algorithms"]["psi"]["feature"] == "x"
    whole = get(client, f"{RESULTS}/{told['resultId']}")
    assert whole["rootCause"] is None
    assert whole["features"]


def test_an_analysis_stays_the_latest_until_more_is_known(
    client: Client, version: ModelVersion
) -> None:
    log(version)
    job(client, version)
    analysis_job.work()
    model = version.model.slug

    def kinds() -> tuple[str, int]:
        latest = get(client, LATEST, modelId=model)
        listed = get(client, RESULTS, modelId=model)["results"]
        assert listed[0]["resultId"] == latest["resultId"]
        return latest["kind"], len(listed)

    # Measured again, but of nothing new.
    traffic.live(version)
    assert kinds() == ("analysis", 1)
    # Predictions arrive; within the hour who asked still reads what they asked for.
    traffic.log(version, rows(50))
    traffic.live(version)
    assert kinds() == ("analysis", 1)
    long_ago = NOW - 2 * HOUR
    DriftResult.objects.update(created_at=long_ago)
    assert kinds() == ("live", 2)
    LiveResult.objects.update(received_at=long_ago - HOUR)
    assert kinds() == ("analysis", 1)


def test_results_are_filtered_and_limited(
    client: Client, version: ModelVersion
) -> None:
    log(version)
    for days in (1, 2, 3):
        job(client, version, windowDays=days)
        analysis_job.work()
    model = version.model.slug
    everything = get(client, RESULTS, modelId=model)["results"]
    assert len(everything) == 3
    moments = [one["createdAt"] for one in everything]
    assert moments == sorted(moments, reverse=True)
    assert get(client, RESULTS, modelId=model, limit=2)["results"] == everything[:2]
    assert len(get(client, RESULTS, modelId=model, status="alert")["results"]) == 3
    assert get(client, RESULTS, modelId=model, status="ok")["results"] == []


def test_an_explicit_window_is_analysed(client: Client, version: ModelVersion) -> None:
    log(version)
    start, end = NOW - HOUR, NOW + dt.timedelta(minutes=1)
    job_id = job(
        client, version, windowStart=start.isoformat(), windowEnd=end.isoformat()
    )
    analysis_job.work()
    told = get(client, LATEST, modelId=version.model.slug)
    assert told["predictions"] == 600
    assert status_of(client, version, job_id)["windowStart"] == told["windowStart"]


def test_only_the_named_algorithms_run(client: Client, version: ModelVersion) -> None:
    log(version)
    job(client, version, algorithms=["psi", "cbpe", "psi"])
    analysis_job.work()
    told = get(client, LATEST, modelId=version.model.slug)
    assert set(told["algorithms"]) == {"psi", "cbpe"}
    assert told["status"] == "alert"


def test_an_unknown_algorithm_is_refused_by_its_place(
    client: Client, version: ModelVersion
) -> None:
    answer = analyze(client, version, algorithms=["psi", "magic"])
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["loc"] == ["algorithms", 1]
    for none in ([], "psi", [1], None):
        assert analyze(client, version, algorithms=none).status_code == 422


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"windowDays": 0}, "windowDays"),
        ({"windowDays": 3_661}, "windowDays"),
        ({"windowDays": True}, "windowDays"),
        ({"windowDays": "7"}, "windowDays"),
        ({"windowDays": 7.5}, "windowDays"),
        ({"windowDays": None}, "windowDays"),
        ({"windowStart": "yesterday"}, "windowStart"),
        ({"windowEnd": "0001-01-01T00:00:00Z"}, "windowEnd"),
        ({"windowStart": "9999-12-31T23:59:59Z", "windowDays": 9}, "windowStart"),
        (
            {
                "windowStart": "2025-01-02T00:00:00Z",
                "windowEnd": "2025-01-01T00:00:00Z",
            },
            "windowStart",
        ),
        (
            {
                "windowStart": "2025-01-01T00:00:00Z",
                "windowEnd": "2025-01-08T00:00:00Z",
                "windowDays": 7,
            },
            "windowDays",
        ),
        ({"days": 7}, "days"),
    ],
)
def test_a_window_that_is_none_is_refused_by_name(
    client: Client, version: ModelVersion, fields: dict[str, Any], name: str
) -> None:
    answer = analyze(client, version, **fields)
    assert answer.status_code == 422, answer.content
    assert [one["loc"] for one in answer.json()["errors"]] == [[name]]
    assert not AnalysisRun.objects.exists()


def test_the_model_has_to_be_named(client: Client) -> None:
    answer = client.post(ANALYZE, "{}", content_type="application/json")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == ["modelId"]


def test_without_a_baseline_the_state_forbids_it(client: Client, alice: Person) -> None:
    bare = traffic.make_watched(alice, name="Bare", features=["x"])
    answer = analyze(client, bare)
    assert answer.status_code == 409
    assert "baseline" in answer.json()["detail"]


def test_too_many_at_once_are_asked_to_come_back(
    client: Client, version: ModelVersion
) -> None:
    for _ in range(20):
        job(client, version)
    answer = analyze(client, version)
    assert answer.status_code == 429
    assert int(answer["Retry-After"]) > 0


def test_a_retried_request_is_one_analysis(
    client: Client, version: ModelVersion
) -> None:
    body = json.dumps({"modelId": version.model.slug})

    def post(text: str) -> Any:
        return client.post(
            ANALYZE,
            text,
            content_type="application/json",
            headers={"Idempotency-Key": "once"},
        )

    first, second = post(body), post(body)
    assert first.json() == second.json()
    assert AnalysisRun.objects.count() == 1
    other = post(json.dumps({"modelId": version.model.slug, "windowDays": 3}))
    assert other.status_code == 422


def test_an_analysis_can_be_given_up(client: Client, version: ModelVersion) -> None:
    job_id = job(client, version)
    path = f"{ANALYZE}/{job_id}?modelId={version.model.slug}"
    for _ in range(2):
        answer = client.delete(path)
        assert answer.status_code == 200
        assert answer.json() == {"jobId": job_id, "status": "cancelled"}
    assert analysis_job.work() is False
    assert status_of(client, version, job_id)["status"] == "cancelled"
    entry = AuditEntry.objects.get(action="analysis.cancelled")
    assert entry.actor_type == "api_key"


def test_one_that_is_over_can_t_be_given_up(
    client: Client, version: ModelVersion
) -> None:
    job_id = job(client, version)
    analysis_job.work()
    answer = client.delete(f"{ANALYZE}/{job_id}?modelId={version.model.slug}")
    assert answer.status_code == 409
    assert "succeeded" in answer.json()["detail"]


def test_a_key_that_may_read_can_t_ask_or_cancel(
    client: Client, alice: Person, version: ModelVersion
) -> None:
    job_id = job(client, version)
    reader = client_of(alice, scopes=["mlops:read"])
    assert analyze(reader, version).status_code == 403
    path = f"{ANALYZE}/{job_id}?modelId={version.model.slug}"
    assert reader.delete(path).status_code == 403
    assert status_of(reader, version, job_id)["status"] == "queued"


def test_charlie_finds_nothing(client: Client, version: ModelVersion) -> None:
    log(version)
    job_id = job(client, version)
    analysis_job.work()
    result_id = status_of(client, version, job_id)["resultId"]
    stranger = client_of(make_charlie())
    his = traffic.make_watched(make_charlie(), name="His", features=["x"])
    assert analyze(stranger, version).status_code == 404
    for model in (version.model.slug, his.model.slug):
        for answer in (
            stranger.get(f"{ANALYZE}/{job_id}/status", {"modelId": model}),
            stranger.delete(f"{ANALYZE}/{job_id}?modelId={model}"),
            stranger.get(f"{RESULTS}/{result_id}"),
            stranger.get(f"{RESULTS}/{result_id}", {"modelId": model}),
            stranger.get(LATEST, {"modelId": model}),
        ):
            assert answer.status_code == 404, answer.content
    assert AnalysisRun.objects.get().status == "succeeded"


def test_a_run_is_found_under_its_own_model_only(
    client: Client, alice: Person, version: ModelVersion
) -> None:
    other = traffic.make_watched(alice, name="Other", features=["x"])
    job_id = job(client, version)
    path = f"{ANALYZE}/{job_id}/status"
    assert client.get(path, {"modelId": other.model.slug}).status_code == 404
    assert client.get(path).status_code == 422
    analysis_job.work()
    result_id = status_of(client, version, job_id)["resultId"]
    answer = client.get(f"{RESULTS}/{result_id}", {"modelId": other.model.slug})
    assert answer.status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        f"{ANALYZE}/drift_job_nonsense/status",
        f"{ANALYZE}/pred_01jjxkq6mwf1b8q2v6kz3w9d4t/status",
        f"{RESULTS}/result_nonsense",
        f"{RESULTS}/drift_job_01jjxkq6mwf1b8q2v6kz3w9d4t",
    ],
)
def test_ids_that_can_t_be_are_missing(
    client: Client, version: ModelVersion, path: str
) -> None:
    assert client.get(path, {"modelId": version.model.slug}).status_code == 404


def test_the_registry_is_listed(client: Client) -> None:
    told = get(client, "/api/v1/drift/algorithms")["algorithms"]
    assert [one["name"] for one in told] == list(DETECTORS)
    by_name = {one["name"]: one for one in told}
    psi = by_name["psi"]
    assert (psi["warningThreshold"], psi["alertThreshold"]) == (0.1, 0.25)
    assert (psi["votes"], psi["mayVote"], psi["live"]) == (True, True, True)
    assert psi["range"] == {"minimum": 0.0, "maximum": None}
    assert by_name["kl_divergence"]["mayVote"] is False
    assert by_name["cbpe"]["appliesTo"] == ["binary", "multiclass"]
    assert by_name["ddm"]["parameters"]["min_errors"]["default"] == 5
    assert all(one["score"] and one["source"] for one in told)


def test_reading_takes_few_queries(
    client: Client, version: ModelVersion, django_assert_max_num_queries: Any
) -> None:
    log(version)
    job_id = job(client, version)
    analysis_job.work()
    result_id = status_of(client, version, job_id)["resultId"]
    for path in (
        f"{ANALYZE}/{job_id}/status?modelId={version.model.slug}",
        f"{LATEST}?modelId={version.model.slug}",
        f"{RESULTS}?modelId={version.model.slug}",
        f"{RESULTS}/{result_id}",
        "/api/v1/drift/algorithms",
    ):
        get(client, path)
        with django_assert_max_num_queries(6):
            get(client, path)
