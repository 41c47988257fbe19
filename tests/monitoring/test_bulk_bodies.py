"""Tables and JSON Lines of the batch endpoint: as strict as JSON, every fault named."""

import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from governance.models import ModelVersion
from monitoring.models import GroundTruth, Prediction
from tests import factories
from tests.factories import Person
from tests.monitoring.calls import Caller

pytestmark = pytest.mark.django_db

CSV = {"Content-Type": "text/csv"}
LINES = {"Content-Type": "application/jsonl"}
PARQUET = {"Content-Type": "application/vnd.apache.parquet"}


@pytest.fixture
def alice() -> Person:
    return factories.make_alice()


@pytest.fixture
def version(alice: Person) -> ModelVersion:
    return factories.make_version(alice, schema={"task": "regression"})


@pytest.fixture
def call(alice: Person) -> Caller:
    return Caller(factories.make_api_key(alice)[1])


@pytest.fixture
def path(version: ModelVersion) -> str:
    return f"/api/logs/prediction/batch?model_id={version.model_id}"


def line(**fields: Any) -> bytes:
    row = {"input_features": {"age": 41}, "prediction": 0.5, **fields}
    return json.dumps(row).encode() + b"\n"


def faults(answer: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [(*error["loc"], error["code"]) for error in answer["errors"]]


def test_json_lines_are_rows(call: Caller, path: str) -> None:
    body = line(entity_id="a") + b"\r\n" + line(actual_label=1).rstrip()
    status, answer = call.post(path, body, **LINES)
    assert (status, answer["accepted"]) == (201, 2), answer
    first, second = Prediction.objects.order_by("id")
    assert (first.entity_id, first.decoded_features) == ("a", {"age": 41})
    assert GroundTruth.objects.get().prediction_id == second.pk
    assert call.post(path, body, **{"Content-Type": "application/x-ndjson"})[0] == 201


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"\n", 422, "too_few"),
        (line() + b"{", 400, "Row 2"),
        (line() + line().strip() + b" " + line(), 400, "Row 2"),
        (b'{"input_features": {},\n"prediction": 1}\n', 400, "Row 1"),
        (line() + b'{"prediction": 1, "prediction": 2}', 400, "Row 2"),
        (line() + b"[1]", 422, '["predictions", 1]'),
        (line() + line(prediction=None), 422, '["predictions", 1, "prediction"]'),
        (line() + line(more=1), 422, '["predictions", 1, "more"]'),
        (line() * 10_001, 413, "too_large"),
    ],
)
def test_bad_lines_are_refused_by_their_number(
    call: Caller, path: str, body: bytes, status: int, said: str
) -> None:
    answered, answer = call.post(path, body, **LINES)
    assert answered == status, answer
    assert said in json.dumps(answer)
    assert not Prediction.objects.exists()


def test_good_lines_are_stored_where_bad_ones_are_left_out(
    call: Caller, path: str
) -> None:
    body = line() + line(prediction="none") + line()
    status, answer = call.post(f"{path}&on_error=skip", body, **LINES)
    assert (status, answer["accepted"], answer["rejected"]) == (201, 2, 1)
    assert faults(answer) == [("predictions", 1, "prediction", "type")]


def test_cells_of_a_table_are_read_one_by_one(call: Caller, path: str) -> None:
    # Names and cells that mean something to what puts the rows together.
    body = (
        '100%s,"a ""b""",word,prediction\r\n'
        '1,"2\n3",true,0.5\r\n-1.5e3,4,"x,""y""\\",1\r\n'
    )
    status, answer = call.post(path, body.encode(), **CSV)
    assert status == 201, answer
    assert [row.decoded_features for row in Prediction.objects.order_by("id")] == [
        {"100%s": 1, 'a "b"': "2\n3", "word": True},
        {"100%s": -1500.0, 'a "b"': 4, "word": 'x,"y"\\'},
    ]


def test_a_table_names_row_and_field_too(call: Caller, path: str) -> None:
    body = b"age,prediction,latency_ms\n1,1,1\n\n2,none,1\n3,3,-1\n"
    status, answer = call.post(path, body, **CSV)
    assert (status, faults(answer)) == (
        422,
        [
            ("predictions", 1, "prediction", "type"),
            ("predictions", 2, "latency_ms", "range"),
        ],
    ), answer
    sink = io.BytesIO()
    table = {"age": [[1], [2]], "prediction": pa.array([1.0, None], pa.float32())}
    pq.write_table(pa.table(table), sink)
    status, answer = call.post(path, sink.getvalue(), **PARQUET)
    assert (status, faults(answer)) == (
        422,
        [("predictions", 1, "prediction", "missing")],
    ), answer
    assert not Prediction.objects.exists()


def test_a_column_cannot_hold_the_features(call: Caller, path: str) -> None:
    body = b'input_features,prediction\n"{}",1\n'
    status, answer = call.post(path, body, **CSV)
    assert (status, faults(answer)) == (422, [("input_features", "unknown")])
    hidden = b'probabilities,prediction\n"[1],""model_id"":7",1\n'
    assert call.post(path, hidden, **CSV)[0] == 400
