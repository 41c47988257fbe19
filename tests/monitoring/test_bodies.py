"""Bodies that broke off, that grow when they are read, or that are damaged."""

import gzip
import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.http import HttpResponse
from django.test import RequestFactory
from django.urls import resolve

from governance.models import ModelVersion
from monitoring.models import Baseline, Prediction
from tests import factories
from tests.factories import Person
from tests.monitoring.calls import Caller

pytestmark = pytest.mark.django_db

MANY = "/api/logs/prediction/batch"
CSV = {"Content-Type": "text/csv"}
PARQUET = {"Content-Type": "application/vnd.apache.parquet"}
GZIP = {"Content-Encoding": "gzip"}
TABLE = b"age,prediction\n41,1\n42,0\n"


@pytest.fixture
def alice() -> Person:
    return factories.make_alice()


@pytest.fixture
def key(alice: Person) -> str:
    return factories.make_api_key(alice)[1]


@pytest.fixture
def call(key: str) -> Caller:
    return Caller(key)


@pytest.fixture
def version(alice: Person) -> ModelVersion:
    return factories.make_version(alice)


@pytest.fixture
def path(version: ModelVersion) -> str:
    return f"{MANY}?model_id={version.model_id}"


def wired(
    key: str, path: str, body: bytes, module: str | None = None, **meta: str
) -> HttpResponse:
    """Send a body as a server hands it on: what came is in the stream, however long."""
    request = RequestFactory().post(
        path, headers={"Authorization": f"Bearer {key}"}, content_type="text/csv"
    )
    request.META.pop("CONTENT_LENGTH", None)
    request.META |= {"wsgi.input": io.BytesIO(body), **meta}
    request._stream = request.META["wsgi.input"]
    match = resolve(request.path, module)
    answer: HttpResponse = match.func(request, *match.args, **match.kwargs)
    return answer


def parquet(**columns: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, compression="zstd")
    return sink.getvalue()


def test_a_body_that_broke_off_is_refused(key: str, path: str) -> None:
    announced = str(len(TABLE) + 100)
    hot = "monitoring.api.hot"
    answer = wired(key, path, TABLE, hot, CONTENT_LENGTH=announced)
    assert answer.status_code == 400, answer.content
    assert not Prediction.objects.exists()
    whole = wired(key, path, TABLE, hot, CONTENT_LENGTH=str(len(TABLE)))
    assert whole.status_code == 201


def test_a_baseline_that_broke_off_is_refused(key: str, version: ModelVersion) -> None:
    path = f"/api/v1/drift/baselines?modelId={version.model_id}&version=v1"
    table = b"age,income,region\n41,1.5,north\n42,2.5,south\n"
    answer = wired(key, path, table, CONTENT_LENGTH=str(len(table) + 100))
    assert answer.status_code == 400, answer.content
    assert not Baseline.objects.exists()
    assert wired(key, path, table, CONTENT_LENGTH=str(len(table))).status_code == 201


def test_a_table_without_a_length_needs_an_end_of_its_own(key: str, path: str) -> None:
    chunked = {"HTTP_TRANSFER_ENCODING": "chunked"}
    hot = "monitoring.api.hot"
    assert wired(key, path, TABLE, hot, **chunked).status_code == 411
    zipped = chunked | {"HTTP_CONTENT_ENCODING": "gzip"}
    assert wired(key, path, gzip.compress(TABLE), hot, **zipped).status_code == 201


def test_a_gzip_stream_may_have_several_members(call: Caller, path: str) -> None:
    halves = gzip.compress(TABLE[:20]) + gzip.compress(TABLE[20:])
    assert call.post(path, halves, **CSV, **GZIP)[1]["accepted"] == 2
    assert call.post(path, gzip.compress(b"") * 10_001, **CSV, **GZIP)[0] == 413
    assert call.post(path, gzip.compress(TABLE) + b"rest", **CSV, **GZIP)[0] == 400


def test_a_small_body_of_many_objects_is_refused_before_it_is_read(
    call: Caller,
) -> None:
    body = b'{"predictions": [' + b",".join([b"{}"] * 1_000_001) + b"]}"
    status, answer = call.post(MANY, gzip.compress(body, 1), **GZIP)
    assert status == 413
    assert "objects" in answer["detail"]


@pytest.mark.parametrize(
    "body",
    [
        b"age,prediction\n",
        parquet(age=pa.array([], pa.int64()), prediction=pa.array([], pa.int64())),
    ],
)
def test_a_table_without_rows_is_refused(call: Caller, path: str, body: bytes) -> None:
    kind = PARQUET if body.startswith(b"PAR1") else CSV
    status, answer = call.post(path, body, **kind)
    assert (status, answer["errors"][0]["code"]) == (422, "too_few")


@pytest.mark.parametrize(
    "columns",
    [
        {"age": pa.array([b"\xff"])},
        {"age": [1], "timestamp": pa.array([2**62], pa.timestamp("us"))},
        {"age": pa.array([2**60], pa.duration("s"))},
    ],
)
def test_parquet_values_that_are_none_are_refused(
    call: Caller, path: str, columns: dict[str, Any]
) -> None:
    body = parquet(**columns, prediction=[1])
    assert call.post(path, body, **PARQUET)[0] in {400, 422}
    assert not Prediction.objects.exists()


@pytest.mark.parametrize(
    "age",
    [
        pa.array(["x" * 1_000_000] * 200).dictionary_encode(),
        pa.array([[0] * 1_000] * 10_000 + [[0] * 10_000]),
    ],
)
def test_a_small_file_that_grows_is_refused(call: Caller, path: str, age: Any) -> None:
    body = parquet(age=age.slice(0, 10_000), prediction=[1] * min(len(age), 10_000))
    assert len(body) < 1_000_000
    assert call.post(path, body, **PARQUET)[0] == 413
    assert not Prediction.objects.exists()


@pytest.mark.parametrize("name", [" ", "a\x01"])
def test_a_version_that_nobody_can_read_is_not_registered(
    call: Caller, version: ModelVersion, name: str
) -> None:
    body = {"model_id": version.model_id, "input_features": {}, "prediction": 1}
    status, answer = call.post(
        "/api/logs/prediction", json.dumps(body | {"model_version": name}).encode()
    )
    assert status == 422, answer
    assert version.model.versions.count() == 1


@pytest.mark.parametrize(
    "path",
    [
        "/api/logs/prediction",
        "/api/v1/drift/predictions",
        "/api/v1/drift/ground-truth",
        "/api/v1/drift/ground-truth/batch",
        "/models/1/predictions",
    ],
)
def test_a_parameter_that_is_none_is_refused(
    call: Caller, version: ModelVersion, path: str
) -> None:
    path = path.replace("1", str(version.model_id)) if "models" in path else path
    status, answer = call.post(f"{path}?dry_run=true", {})
    assert (status, answer["errors"][0]["loc"]) == (422, ["dry_run"])
