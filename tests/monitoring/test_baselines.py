"""Baselines: sent in three forms, read back, activated; what is wrong is named."""

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
from django.test import Client
from sklearn.metrics import roc_auc_score

from governance.models import AuditEntry, ModelVersion
from governance.schema import Schema
from monitoring.actions import baselines, standards
from monitoring.models import Baseline
from tests.factories import Person, make_alice, make_api_key, make_charlie
from tests.monitoring import traffic

pytestmark = pytest.mark.django_db

PATH = "/api/v1/drift/baselines"
TYPES = {"income": "float", "region": "categorical"}


@pytest.fixture
def alice() -> Person:
    return make_alice()


@pytest.fixture
def version(alice: Person) -> ModelVersion:
    return traffic.make_watched(alice, features=list(TYPES), feature_types=TYPES)


@pytest.fixture
def client(alice: Person) -> Client:
    return client_of(alice)


def client_of(person: Person) -> Client:
    _, key = make_api_key(person)
    return Client(headers={"X-API-Key": key})


def body(of: ModelVersion, /, **changes: Any) -> dict[str, Any]:
    return {
        "modelId": of.model.slug,
        "version": "v1",
        "featureData": {
            "income": [1, 2.5, None, 4],
            "region": ["north", "south", "north", None],
        },
        "targetData": {"type": "classification", "values": [0, 1, 1, 0]},
        "labeledPredictions": {
            "probabilities": [[0.9, 0.1], [0.2, 0.8]],
            "predictedLabels": [0, 1],
            "actualLabels": [0, 1],
        },
        **changes,
    }


def post(client: Client, content: Any, **headers: str) -> Any:
    return client.post(PATH, content, content_type="application/json", headers=headers)


def faults(answer: Any) -> list[list[Any]]:
    return [error["loc"] for error in answer.json()["errors"]]


def test_a_baseline_is_stored_listed_and_read_back_as_it_was_sent(
    client: Client, version: ModelVersion
) -> None:
    sent = body(version)
    answer = post(client, sent)
    assert answer.status_code == 201, answer.content
    key = answer.json()["baselineId"]
    assert key.startswith("baseline_")
    listed = client.get(PATH, {"modelId": version.model.pk}).json()["baselines"]
    assert [one["baselineId"] for one in listed] == [key]
    assert (listed[0]["version"], listed[0]["active"]) == ("v1", True)
    assert listed[0]["sampleSize"] == 4
    active = client.get(f"{PATH}/active", {"modelId": version.model.pk}).json()
    assert active["featureData"] == sent["featureData"]
    assert active["targetData"] == sent["targetData"]
    assert active["modelId"] == version.model.pk
    assert active["baselineId"] == key
    assert active["createdAt"].endswith("Z")
    entry = AuditEntry.objects.get(action="baseline.created")
    assert entry.actor_type == "api_key"


def test_without_a_baseline_there_is_no_active_one(
    client: Client, version: ModelVersion
) -> None:
    answer = client.get(f"{PATH}/active", {"modelId": version.model.slug})
    assert answer.status_code == 404
    listed = client.get(PATH, {"modelId": version.model.slug})
    assert listed.json() == {"baselines": []}


def test_the_first_becomes_active_and_another_one_when_it_is_asked_for(
    client: Client, version: ModelVersion
) -> None:
    first = post(client, body(version)).json()["baselineId"]
    second = post(client, body(version, version="v2")).json()["baselineId"]
    assert active_of(version) == first
    answer = client.put(
        f"{PATH}/{second}/activate",
        {"modelId": version.model.slug},
        content_type="application/json",
    )
    assert answer.status_code == 200
    assert answer.json() == {"activated": True, "baselineId": second}
    assert active_of(version) == second
    assert Baseline.objects.filter(active=True).count() == 1
    assert AuditEntry.objects.filter(action="baseline.activated").count() == 1


def active_of(version: ModelVersion) -> str:
    standard = standards.wanted(version)
    assert standard is not None
    return standard.baseline.public_id


def test_sending_the_same_again_changes_nothing_and_something_else_is_refused(
    client: Client, version: ModelVersion
) -> None:
    first = post(client, body(version))
    again = post(client, body(version))
    assert again.status_code == 201
    assert again.json() == first.json()
    other = post(client, body(version, featureData={"income": [1.0], "region": ["x"]}))
    assert other.status_code == 409
    assert Baseline.objects.count() == 1


def test_a_repeated_request_gets_the_first_answer(
    client: Client, version: ModelVersion
) -> None:
    key = {"Idempotency-Key": "the only one"}
    first = post(client, body(version), **key)
    again = post(client, body(version), **key)
    assert (again.status_code, again.json()) == (201, first.json())
    other = post(client, body(version, version="v2"), **key)
    assert other.status_code == 422
    assert other.json()["code"] == "idempotency_mismatch"
    # Not even fitted again: by now the schema would refuse it.
    strict = {"features": ["height"], "schema_mode": "strict"}
    version.schema_definition = Schema.from_json(strict).to_json()
    version.save(update_fields=["schema_definition"])
    late = post(client, body(version), **key)
    assert (late.status_code, late.json()) == (201, first.json())
    assert post(client, body(version)).status_code == 422


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"featureData": {"income": [1, 2], "region": ["a"]}}, "featureData.region"),
        ({"featureData": {"income": [1, "two"]}}, "featureData.income.1"),
        ({"featureData": {"income": [True]}}, "featureData.income.0"),
        ({"featureData": {"region": [["nested"]]}}, "featureData.region.0"),
        ({"featureData": {"income": 5}}, "featureData.income"),
        ({"featureData": {}}, "featureData"),
        ({"featureData": {"income": []}}, "featureData"),
        ({"targetData": {"type": "guess", "values": []}}, "targetData.type"),
        ({"targetData": [1, 2]}, "targetData"),
        (
            {"labeledPredictions": {"predictedLabels": [1], "actualLabels": [1, 0]}},
            "labeledPredictions",
        ),
        (
            {"labeledPredictions": {"probabilities": [[0.5, 0.4]]}},
            "labeledPredictions.probabilities.0",
        ),
        (
            {"labeledPredictions": {"probabilities": [[0.5, 0.5], [1.0]]}},
            "labeledPredictions.probabilities.1",
        ),
        ({"labeledPredictions": {"guesses": []}}, "labeledPredictions.guesses"),
        ({"version": None}, "version"),
        ({"version": ""}, "version"),
        ({"modelId": None}, "modelId"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_is_wrong_is_named(
    client: Client, version: ModelVersion, changes: dict[str, Any], expected: str
) -> None:
    answer = post(client, body(version, **changes))
    assert answer.status_code == 422, answer.content
    assert expected in [".".join(map(str, loc)) for loc in faults(answer)]
    assert not Baseline.objects.exists()


@pytest.mark.parametrize(
    "rest",
    ["", '"version": "2"}', '"featureData": {"income": [NaN]}}', '"\\ud800": 1}'],
)
def test_bad_json_is_malformed(
    client: Client, version: ModelVersion, rest: str
) -> None:
    sent = f'{{"modelId": {version.model.pk}, "version": "1", {rest}'
    answer = post(client, sent)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")


def test_other_types_are_not_taken(client: Client, version: ModelVersion) -> None:
    answer = client.post(PATH, "<xml/>", content_type="application/xml")
    assert answer.status_code == 415


def table() -> pa.Table:
    return pa.table(
        {
            "income": [1.0, 2.0, float("nan")],
            "region": ["north", None, "south"],
            "prediction": [0, 1, 1],
            "actual_label": [0, 1, 0],
            "probability_0": [0.9, 0.2, 0.4],
            "probability_1": [0.1, 0.8, 0.6],
        }
    )


@pytest.mark.parametrize("form", ["text/csv", "application/vnd.apache.parquet"])
def test_a_file_is_a_baseline_too(
    client: Client, version: ModelVersion, form: str
) -> None:
    sink = io.BytesIO()
    if form == "text/csv":
        pa.csv.write_csv(table(), sink)
    else:
        pa.parquet.write_table(table(), sink)
    query = f"?modelId={version.model.slug}&version=file"
    answer = client.post(PATH + query, sink.getvalue(), content_type=form)
    assert answer.status_code == 201, answer.content
    baseline = Baseline.objects.get()
    assert (baseline.label, baseline.sample_size) == ("file", 3)
    assert baseline.performance["metrics"]["accuracy"]["value"] == 2 / 3
    active = client.get(f"{PATH}/active", {"modelId": version.model.slug}).json()
    assert active["featureData"]["income"] == [1.0, 2.0, None]


def test_a_broken_file_is_malformed(client: Client, version: ModelVersion) -> None:
    query = f"?modelId={version.model.slug}&version=file"
    form = "application/vnd.apache.parquet"
    answer = client.post(PATH + query, b"PAR1 nonsense", content_type=form)
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "text",
    [
        'income,region\n1,"north\n2,south\n',
        'income,region\n1,north\n2,"south',
        'income,"region\n1,north\n',
        'income,region\n1,"north"s\n2,south\n',
    ],
)
def test_a_quote_that_is_not_closed_is_malformed(
    client: Client, version: ModelVersion, text: str
) -> None:
    query = f"?modelId={version.model.slug}&version=file"
    answer = client.post(PATH + query, text, content_type="text/csv")
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")
    assert "line" in answer.json()["detail"]
    assert not Baseline.objects.exists()


def test_quotes_where_they_belong_are_read(
    client: Client, version: ModelVersion
) -> None:
    query = f"?modelId={version.model.slug}&version=file"
    text = 'income,region\n1,"north, ""far"""\n"2",5" pipe\n'
    answer = client.post(PATH + query, text, content_type="text/csv")
    assert answer.status_code == 201, answer.content
    active = client.get(f"{PATH}/active", {"modelId": version.model.slug}).json()
    assert active["featureData"] == {
        "income": [1, 2],
        "region": ['north, "far"', '5" pipe'],
    }


def test_a_web_process_fits_in_a_process_of_its_own(
    client: Client, version: ModelVersion, settings: Any
) -> None:
    settings.PROCESS = "web"
    assert post(client, body(version)).status_code == 201
    refused = post(client, body(version, version="v2", featureData={"income": ["x"]}))
    assert refused.status_code == 422
    assert faults(refused) == [["featureData", "income", 0]]
    settings.PROCESS = "worker"
    again = post(client, body(version))
    assert again.status_code == 201  # the same baseline, byte for byte
    assert Baseline.objects.count() == 1


def test_no_more_baselines_are_fitted_at_once_than_there_are_places(
    client: Client,
    version: ModelVersion,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.PROCESS = "web"
    monkeypatch.setattr(baselines, "PLACE_SECONDS", 0.01)
    taken = [baselines.PLACES.acquire() for _ in range(2)]
    answer = post(client, body(version))
    for _ in taken:
        baselines.PLACES.release()
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert not Baseline.objects.exists()
    assert post(client, body(version)).status_code == 201


def test_charlie_sees_as_much_as_of_a_model_that_does_not_exist(
    client: Client, version: ModelVersion
) -> None:
    made = post(client, body(version)).json()["baselineId"]
    stranger = client_of(make_charlie())
    slug = version.model.slug
    for reference in (slug, "no-such-model"):
        sent = {**body(version), "modelId": reference}
        asked = {"modelId": reference}
        answers = [
            post(stranger, sent),
            stranger.get(PATH, asked),
            stranger.get(f"{PATH}/active", asked),
            stranger.put(
                f"{PATH}/{made}/activate", asked, content_type="application/json"
            ),
        ]
        assert [answer.status_code for answer in answers] == [404] * 4


def test_a_key_that_may_only_read_sends_none(
    alice: Person, version: ModelVersion
) -> None:
    _, key = make_api_key(alice, scopes=["mlops:read"])
    reader = Client(headers={"Authorization": f"Bearer {key}"})
    assert post(reader, body(version)).status_code == 403
    assert reader.get(PATH, {"modelId": version.model.slug}).status_code == 200


def test_realized_performance_equals_scikit_learn_s(
    client: Client, alice: Person
) -> None:
    rng = np.random.default_rng(1)
    scores = rng.random(400)
    labels = (rng.random(400) < scores).astype(int)
    version = traffic.make_watched(alice, name="Scored", features=["x"])
    sent = body(
        version,
        featureData={"x": [1.0] * 400},
        targetData=None,
        labeledPredictions={
            "probabilities": [[1 - score, score] for score in scores.tolist()],
            "predictedLabels": ["no" if s < 0.5 else "yes" for s in scores.tolist()],
            "actualLabels": [
                "no" if label == 0 else "yes" for label in labels.tolist()
            ],
        },
    )
    assert post(client, sent).status_code == 201
    found = Baseline.objects.get().performance
    assert found["task"] == "binary"
    expected = roc_auc_score(labels, scores)
    assert found["metrics"]["roc_auc"]["value"] == pytest.approx(expected)
    layout = Baseline.objects.get().outcomes
    assert layout is not None
    assert layout.classes == ("no", "yes")


def test_the_kinds_of_untyped_features_come_from_the_values(alice: Person) -> None:
    version = traffic.make_watched(alice, name="Untyped", features=["n", "t", "b"])
    client = client_of(alice)
    sent = body(
        version,
        featureData={"n": [0, 1, 0], "t": ["1", "2", "1"], "b": [True, False, None]},
        targetData=None,
        labeledPredictions=None,
    )
    assert post(client, sent).status_code == 201
    grid = Baseline.objects.get().grid
    kinds = {name: column.kind for name, column in grid.columns.items()}
    assert kinds == {"n": "numeric", "t": "categorical", "b": "categorical"}
