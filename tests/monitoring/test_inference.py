"""The deployed artifact predicts: governed, logged, refused when it may not."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from governance.actions import deployments
from governance.models import ApprovalRequest, Artifact, AuditEntry, ModelVersion
from monitoring.actions import inference
from monitoring.ingest import catalog
from monitoring.models import Prediction, Receipt
from tests import artifacts, factories
from tests.factories import Person
from tests.governance.api import Api, api_of, faults
from tests.governance.deploying import fresh, make_ready, measure
from tests.monitoring.calls import Caller

pytestmark = pytest.mark.django_db

SCHEMA: dict[str, Any] = {
    "features": [{"name": "age", "type": "int"}, {"name": "income", "type": "float"}],
    "task": "binary",
    "classes": [0, 1],
}
OLD, YOUNG = {"age": 70, "income": 10.5}, {"age": 20, "income": 3}


@pytest.fixture(autouse=True)
def _no_memory() -> Iterator[None]:
    inference.forget()
    yield
    inference.pool.end()


@pytest.fixture
def alice() -> Person:
    return factories.make_alice()


@pytest.fixture
def call(alice: Person) -> Caller:
    return Caller(factories.make_api_key(alice)[1])


def put(
    api: Api, version: ModelVersion, content: bytes, kind: str = "application/onnx"
) -> Any:
    path = f"/api/models/{version.model.slug}/versions/{version.version}/artifact"
    return Client(raise_request_exception=False).generic(
        "PUT", path, content, kind, headers=api.headers
    )


def deployed(alice: Person, content: bytes | None = None, **fields: Any) -> Any:
    """Return a version that serves an artifact in production."""
    version = make_ready(alice, schema=fields.pop("schema", SCHEMA), **fields)
    if content is not None:
        assert put(api_of(alice), version, content).status_code == 200
    version = fresh(factories.approve(fresh(version)))
    deployments.deploy(version, environment="production", actor=alice.actor)
    anew()
    return fresh(version)


def anew() -> None:
    catalog.forget()
    inference.forget()


def predict(call: Caller, *instances: Any, model: str = "credit") -> tuple[int, Any]:
    body = {"instances": list(instances)}
    return call.post(f"/api/v1/models/{model}/predict", body)


class TestPredicting:
    def test_it_answers_what_the_artifact_says_and_logs_each_instance(
        self, alice: Person, call: Caller
    ) -> None:
        version = deployed(alice, artifacts.classifier())
        status, said = predict(call, OLD, YOUNG)
        assert status == 200
        assert said["predictions"] == [1, 0]
        assert said["probabilities"][0] == pytest.approx([0.018, 0.982], abs=1e-3)
        assert said["model_version"] == "1.0.0"
        assert said["governance_status"] == "NOT_ASSESSED"
        rows = Prediction.objects.order_by("id")
        assert [row.public_id for row in rows] == said["prediction_ids"]
        assert [json.loads(row.features) for row in rows] == [OLD, YOUNG]
        assert [row.decoded_prediction for row in rows] == [1, 0]
        assert rows[0].probabilities == said["probabilities"][0]
        assert rows[0].latency_ms is not None
        assert {row.version_id for row in rows} == {version.pk}
        receipt = Receipt.objects.get()
        assert (receipt.channel, receipt.rows) == ("inference", 2)

    def test_a_regression_gives_values_and_no_probabilities(
        self, alice: Person, call: Caller
    ) -> None:
        schema = {**SCHEMA, "task": "regression", "classes": None}
        deployed(alice, artifacts.regressor(), schema=schema)
        _, said = predict(call, OLD)
        assert (said["predictions"], said["probabilities"]) == ([150.5], None)

    def test_inputs_by_name_labels_of_text_and_attributes_that_are_logged_only(
        self, alice: Person, call: Caller
    ) -> None:
        schema = {
            "features": [
                {"name": "region", "type": "categorical"},
                {"name": "age", "type": "int"},
            ],
            "task": "binary",
            "classes": ["no", "yes"],
            "attributes": ["gender"],
            "schema_mode": "strict",
        }
        deployed(alice, artifacts.one_input_a_feature(), schema=schema)
        row = {"age": 20, "region": "south", "gender": "f"}
        status, said = predict(call, row, {**row, "region": "north"})
        assert status == 200, said
        assert said["predictions"] == ["yes", "no"]
        assert json.loads(Prediction.objects.earliest("id").features) == row

    def test_a_retry_gets_the_first_answer_and_logs_nothing(
        self, alice: Person, call: Caller
    ) -> None:
        deployed(alice, artifacts.classifier())
        path, body = "/api/v1/models/credit/predict", {"instances": [OLD]}
        key = {"Idempotency-Key": "the first"}
        first = call.post(path, body, **key)
        assert first[0] == 200
        assert call.post(path, body, **key) == first
        assert Prediction.objects.count() == 1
        other = call.post(path, {"instances": [YOUNG]}, **key)
        assert other[0] == 422

    @pytest.mark.parametrize(
        ("instance", "loc", "code"),
        [
            ({"age": 70}, ["income"], "missing"),
            ({**OLD, "age": "70"}, ["age"], "type"),
            ({**OLD, "age": True}, ["age"], "type"),
            ({**OLD, "extra": [1]}, ["extra"], "type"),
            ({}, [], "type"),
            ([1, 2], [], "type"),
        ],
    )
    def test_instances_are_checked(
        self, alice: Person, call: Caller, instance: Any, loc: list[str], code: Any
    ) -> None:
        deployed(alice, artifacts.classifier())
        status, said = predict(call, OLD, instance)
        assert status == 422
        assert said["errors"][0]["loc"] == ["instances", 1, *loc]
        assert said["errors"][0]["code"] == code
        assert not Prediction.objects.exists()

    def test_a_lenient_model_logs_what_its_artifact_does_not_take(
        self, alice: Person, call: Caller
    ) -> None:
        deployed(alice, artifacts.classifier())
        assert predict(call, {**OLD, "extra": 1})[0] == 200
        assert json.loads(Prediction.objects.get().features)["extra"] == 1

    def test_an_artifact_that_gives_no_number_gives_no_answer(
        self, alice: Person, call: Caller
    ) -> None:
        deployed(alice, artifacts.classifier())
        # Of a missing number this one makes a probability that is none.
        status, said = predict(call, {**OLD, "age": None})
        assert (status, said["errors"][0]["code"]) == (422, "artifact")
        assert not Prediction.objects.exists()

    def test_a_strict_model_takes_no_unknown_feature(
        self, alice: Person, call: Caller
    ) -> None:
        schema = {**SCHEMA, "schema_mode": "strict"}
        deployed(alice, artifacts.classifier(), schema=schema)
        _, said = predict(call, {**OLD, "extra": 1})
        assert said["errors"][0]["code"] == "unknown"

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            (b"{", 400),
            (b'{"instances": [{"age": NaN}]}', 400),
            (b'{"instances": [{"age": 1, "age": 2}]}', 400),
            (b"[]", 422),
            (b"{}", 422),
            (b'{"instances": []}', 422),
            (b'{"instances": 1, "more": 1}', 422),
            (json.dumps({"instances": [OLD] * 1_001}).encode(), 413),
        ],
    )
    def test_bodies_are_checked(
        self, alice: Person, call: Caller, body: bytes, status: int
    ) -> None:
        deployed(alice, artifacts.classifier())
        assert call.post("/api/v1/models/credit/predict", body)[0] == status

    def test_an_artifact_that_takes_too_long_is_unavailable(
        self, alice: Person, call: Caller, settings: Any
    ) -> None:
        schema = {**SCHEMA, "task": "regression", "classes": None}
        deployed(alice, artifacts.slow(), schema=schema)
        settings.INFERENCE_SECONDS = 1
        status, said = predict(call, {"age": 6_000, "income": 0})
        assert (status, said["code"]) == (503, "unavailable")
        assert predict(call, YOUNG)[0] == 200
        assert Prediction.objects.count() == 1


class TestGoverning:
    def test_a_blocked_model_does_not_predict(
        self, alice: Person, call: Caller
    ) -> None:
        version = deployed(alice, artifacts.classifier())
        measure(version)
        anew()
        assert predict(call, OLD)[1]["governance_status"] == "APPROVED"
        assert Prediction.objects.get().verdict == "APPROVED"
        measure(version, drift=0.9)
        anew()
        status, said = predict(call, OLD)
        assert (status, said["code"], said["state"]) == (
            409,
            "permit_refused",
            "blocked",
        )
        assert said["fallback"]["kind"] == "manual_review"
        assert said["next"]
        # Remembered for a second, refusals too; and never the same error twice.
        assert predict(call, OLD) == (status, said)
        assert Prediction.objects.count() == 1

    def test_nothing_deployed_no_prediction(self, alice: Person, call: Caller) -> None:
        make_ready(alice)
        status, said = predict(call, OLD)
        assert (status, said["state"]) == (409, "not_deployed")

    def test_another_environment_has_its_own_deployment(self, alice: Person) -> None:
        deployed(alice, artifacts.classifier())
        key = factories.make_api_key(alice, environment="staging")[1]
        assert predict(Caller(key), OLD)[1]["environment"] == "staging"

    def test_a_version_without_an_artifact_says_what_to_do(
        self, alice: Person, call: Caller
    ) -> None:
        deployed(alice)
        status, said = predict(call, OLD)
        assert (status, said["code"]) == (409, "conflict")
        assert "artifact" in said["next"][0]
        assert said["fallback"]

    def test_others_find_nothing_and_keys_need_the_scope(self, alice: Person) -> None:
        deployed(alice, artifacts.classifier())
        charlie = Caller(factories.make_api_key(factories.make_charlie())[1])
        assert predict(charlie, OLD)[0] == 404
        weak = Caller(factories.make_api_key(alice, scopes=["mlops:write"])[1])
        assert predict(weak, OLD)[0] == 403
        assert not Prediction.objects.exists()


class TestTheArtifact:
    def test_it_is_kept_once_and_told(self, alice: Person) -> None:
        version, content = make_ready(alice, schema=SCHEMA), artifacts.classifier()
        api = api_of(alice)
        said = put(api, version, content).json()
        assert said["digest"] == hashlib.sha256(content).hexdigest()
        assert said["size"] == len(content)
        assert said["signature"]["inputs"][0]["features"] == ["age", "income"]
        assert put(api, version, content).json() == said
        path = f"/api/models/{version.model_id}/versions/1.0.0/artifact"
        assert api.get(path).json() == said
        assert fresh(version).artifact_digest == said["digest"]
        assert bytes(Artifact.objects.get().content) == content
        entry = AuditEntry.objects.get(action="version.artifact_stored")
        assert json.loads(bytes(entry.body))["facts"] == {
            "artifact_digest": said["digest"]
        }

    def test_it_is_never_replaced(self, alice: Person) -> None:
        version, api = make_ready(alice, schema=SCHEMA), api_of(alice)
        put(api, version, artifacts.classifier())
        other = put(api, version, artifacts.classifier(bias=1.0))
        assert other.status_code == 409
        assert "new version" in other.json()["next"]

    def test_it_has_to_be_what_was_announced_and_approved(self, alice: Person) -> None:
        content = artifacts.classifier()
        digest = hashlib.sha256(content).hexdigest()
        version = make_ready(alice, schema=SCHEMA)
        ModelVersion.objects.filter(pk=version.pk).update(artifact_digest=digest)
        version, api = fresh(factories.approve(fresh(version))), api_of(alice)
        assert put(api, version, artifacts.classifier(bias=1.0)).status_code == 409
        assert put(api, version, content).status_code == 200

    def test_an_approval_without_one_gets_none_afterwards(self, alice: Person) -> None:
        version = fresh(factories.approve(make_ready(alice, schema=SCHEMA)))
        refused = put(api_of(alice), version, artifacts.classifier())
        assert refused.json()["code"] == "approval_required"

    def test_it_makes_an_open_request_stale(self, alice: Person) -> None:
        version = make_ready(alice, schema=SCHEMA)
        factories.make_bob(alice.organization)
        request = factories.submit(version)
        put(api_of(alice), version, artifacts.classifier())
        assert ApprovalRequest.objects.get(pk=request.pk).status == "stale"

    @pytest.mark.parametrize(
        ("content", "kind", "status"),
        [
            (b"\x80\x04pickle", "application/octet-stream", 422),
            (b"", "application/octet-stream", 422),
            (artifacts.regressor(), "application/octet-stream", 422),
            (artifacts.classifier(), "application/json", 415),
            (artifacts.classifier(), "text/csv", 415),
        ],
    )
    def test_what_is_none_is_refused(
        self, alice: Person, content: bytes, kind: str, status: int
    ) -> None:
        version = make_ready(alice, schema=SCHEMA)
        answer = put(api_of(alice), version, content, kind)
        assert answer.status_code == status
        if status == 422:
            assert faults(answer) == {"": "artifact"}
        assert not Artifact.objects.exists()

    def test_others_find_none(self, alice: Person) -> None:
        version = make_ready(alice, schema=SCHEMA)
        charlie = api_of(factories.make_charlie())
        assert put(charlie, version, artifacts.classifier()).status_code == 404
        weak = api_of(alice, scopes=["models:read"])
        assert put(weak, version, artifacts.classifier()).status_code == 403
        path = f"/api/models/{version.model_id}/versions/no%00such/artifact"
        assert api_of(alice).get(path).status_code == 404


def test_a_web_process_loads_no_onnxruntime() -> None:
    code = (
        "import django, sys; django.setup(); import monitoring.api.urls; "
        "print([m for m in sys.modules if m.split('.')[0] in "
        "{'onnx', 'onnxruntime', 'sklearn'}])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip().splitlines()[-1] == "[]"
