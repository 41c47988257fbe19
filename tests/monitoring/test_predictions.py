"""Logging predictions: three dialects, one way."""

import datetime as dt
import gzip
import hashlib
import io
import json
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.db import connection
from django.utils import timezone

from governance import merkle
from governance.actions import intakes
from governance.models import Finding, GovernanceStatus, ModelVersion, StatusChange
from monitoring.ingest import catalog, tuples
from monitoring.models import GroundTruth, Prediction, Receipt
from tests import factories
from tests.factories import Person
from tests.monitoring.calls import Caller

pytestmark = pytest.mark.django_db

ONE = "/api/logs/prediction"
MANY = "/api/logs/prediction/batch"
DRIFT = "/api/v1/drift/predictions"
FEATURES = {"age": 41, "income": 55000.5, "region": "north"}
NUMBERS = {"task": "regression", "features": ["x"]}


@pytest.fixture
def alice() -> Person:
    return factories.make_alice()


@pytest.fixture
def call(alice: Person) -> Caller:
    return Caller(factories.make_api_key(alice)[1])


@pytest.fixture
def version(alice: Person) -> ModelVersion:
    return factories.make_version(alice)


def row(**fields: Any) -> dict[str, Any]:
    return {"input_features": FEATURES, "prediction": 1, **fields}


def codes(answer: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [(*error["loc"], error["code"]) for error in answer["errors"]]


def test_a_platform_prediction_is_stored_as_it_was_sent(
    call: Caller, version: ModelVersion
) -> None:
    body = (
        b'{"model_id": %d, "input_features": {"age":  41, "income": 5.50e4,'
        b' "region": "north"}, "prediction": 1, "probabilities": [0.2, 0.8],'
        b' "timestamp": "2026-03-01T12:00:00", "entity_id": "c-7", "latency_ms": 12}'
    ) % version.model_id
    status, answer = call.post(ONE, body)
    assert status == 201
    stored = Prediction.objects.get()
    assert answer == {
        "id": stored.public_id,
        "model_id": version.model_id,
        "model_version": "1.0.0",
        "prediction": 1,
        "timestamp": "2026-03-01T12:00:00Z",
    }
    assert stored.features == '{"age":  41, "income": 5.50e4, "region": "north"}'
    assert stored.decoded_prediction == 1
    assert stored.prediction_value == 1.0
    assert stored.probabilities == [0.2, 0.8]
    assert stored.confidence == 0.8
    assert stored.probability_of_prediction == 0.8
    assert stored.timestamp == dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
    assert (stored.entity_id, stored.latency_ms) == ("c-7", 12.0)
    assert stored.version_id == version.pk
    assert stored.organization_id == version.organization_id
    assert stored.verdict == GovernanceStatus.NOT_ASSESSED


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("2026-03-01T12:00:00+02:00", "2026-03-01T10:00:00Z"),
        ("2026-03-01T12:00:00.25Z", "2026-03-01T12:00:00.250000Z"),
        ("2026-03-01 12:00", "2026-03-01T12:00:00Z"),
        ("2026-03-01t12:00:00", "2026-03-01T12:00:00Z"),
        ("20260301T120000Z", "2026-03-01T12:00:00Z"),
        ("20260301 12", "2026-03-01T12:00:00Z"),
        ("2026-W09-7T12:00", "2026-03-01T12:00:00Z"),
    ],
)
def test_a_time_stamp_is_answered_in_utc(
    call: Caller, version: ModelVersion, sent: str, stored: str
) -> None:
    body = row(model_id=version.model_id, timestamp=sent)
    assert call.post(ONE, body)[1]["timestamp"] == stored


def test_a_prediction_without_a_time_stamp_is_of_now(
    call: Caller, version: ModelVersion
) -> None:
    before = timezone.now()
    call.post(ONE, row(model_id=version.model_id))
    assert before <= Prediction.objects.get().timestamp <= timezone.now()


def test_a_model_is_named_by_id_or_slug_and_the_answer_repeats_the_form(
    call: Caller, version: ModelVersion
) -> None:
    slug = version.model.slug
    assert call.post(ONE, row(model_id=slug))[1]["model_id"] == slug
    status, answer = call.post(
        f"/models/{slug}/predictions",
        {"predictions": [{"features": FEATURES, "prediction_value": 0.05}]},
    )
    assert (status, answer["accepted"]) == (200, 1)
    assert Prediction.objects.filter(model=version.model).count() == 2


def test_the_quick_start_answers_with_the_ids(
    call: Caller, version: ModelVersion
) -> None:
    rows = [{"features": FEATURES, "prediction_value": n / 10} for n in range(3)]
    path = f"/api/v1/models/{version.model_id}/predictions"
    status, answer = call.post(path, {"predictions": rows})
    assert status == 200
    assert sorted(answer) == ["accepted", "prediction_ids", "receipt_id"]
    stored = Prediction.objects.order_by("id")
    assert answer["prediction_ids"] == [one.public_id for one in stored]
    assert [one.prediction_value for one in stored] == [0.0, 0.1, 0.2]


def test_the_drift_dialect_takes_strings(call: Caller, version: ModelVersion) -> None:
    status, answer = call.post(
        DRIFT,
        {
            "modelId": version.model_id,
            "features": FEATURES,
            "prediction": "1",
            "probabilities": [0.25, 0.75],
            "entityId": "c-9",
            "latencyMs": 3.5,
            "modelVersion": "1.0.0",
        },
    )
    stored = Prediction.objects.get()
    assert (status, answer) == (201, {"predictionId": stored.public_id})
    assert (stored.prediction, stored.prediction_value) == ('"1"', 1.0)
    assert stored.probability_of_prediction == 0.75


def test_the_drift_dialect_needs_probabilities_of_a_classification(
    call: Caller, version: ModelVersion
) -> None:
    body = {"modelId": version.model_id, "features": FEATURES, "prediction": "1"}
    status, answer = call.post(DRIFT, body)
    assert (status, codes(answer)) == (422, [("probabilities", "missing")])
    assert not Prediction.objects.exists()


def test_a_regression_reads_the_number_in_the_string(
    call: Caller, alice: Person
) -> None:
    version = factories.make_version(alice, schema=NUMBERS)
    body = {"modelId": version.model_id, "features": {"x": 1}, "prediction": "12.5"}
    assert call.post(DRIFT, body)[0] == 201
    assert Prediction.objects.get().prediction_value == 12.5
    for bad in ("abc", "nan", "1_0", " 1", "1e999", ""):
        status, answer = call.post(DRIFT, {**body, "prediction": bad})
        assert (status, answer["errors"][0]["loc"]) == (422, ["prediction"]), bad


def test_elsewhere_a_number_in_a_string_is_no_number(
    call: Caller, alice: Person
) -> None:
    version = factories.make_version(alice, schema=NUMBERS)
    for bad in ("12", True):
        body = {"model_id": version.model_id, "input_features": {"x": 1}}
        status, answer = call.post(ONE, {**body, "prediction": bad})
        assert (status, codes(answer)) == (422, [("prediction", "type")])


def test_a_batch_is_one_receipt_whose_digest_covers_the_stored_rows(
    call: Caller, version: ModelVersion
) -> None:
    rows = [row(entity_id=f"c{n}", prediction=n % 2) for n in range(5)]
    rows[3] |= {"probabilities": [0.5, 0.5], "timestamp": "2026-01-02T03:04:05Z"}
    status, answer = call.post(
        MANY, {"model_id": version.model_id, "predictions": rows}
    )
    receipt = Receipt.objects.get()
    assert (status, answer) == (
        201,
        {
            "receipt_id": receipt.public_id,
            "receipt_ids": [receipt.public_id],
            "accepted": 5,
            "rejected": 0,
            "errors": [],
        },
    )
    assert (receipt.rows, receipt.kind, receipt.channel) == (5, "predictions", "http")
    assert receipt.api_key is not None
    assert receipt.pending
    columns = ", ".join(tuples.COLUMNS)
    copied = io.BytesIO()
    with connection.cursor() as cursor:
        cursor.copy_expert(
            f"COPY (SELECT {columns} FROM monitoring_prediction ORDER BY id) "
            "TO STDOUT (FORMAT binary)",
            copied,
        )
    payload = copied.getvalue()
    assert payload.startswith(tuples.HEADER)
    payload = payload[len(tuples.HEADER) : -len(tuples.TRAILER)]
    assert bytes(receipt.digest) == hashlib.sha256(payload).digest()
    leaves = split_tuples(payload)
    assert len(leaves) == 5
    assert bytes(receipt.merkle_root) == merkle.root(leaves)
    first = Prediction.objects.order_by("timestamp").first()
    assert first is not None
    assert receipt.first_event == first.timestamp


def split_tuples(payload: bytes) -> list[bytes]:
    """Cut binary COPY rows apart by the lengths in front of their fields."""
    rows, start, at = [], 0, 0
    while at < len(payload):
        fields = int.from_bytes(payload[at : at + 2], "big")
        at += 2
        for _ in range(fields):
            length = int.from_bytes(payload[at : at + 4], "big", signed=True)
            at += 4 + max(length, 0)
        rows.append(payload[start:at])
        start = at
    return rows


def test_one_bad_row_stores_nothing_and_is_named(
    call: Caller, version: ModelVersion
) -> None:
    rows = [row(), row(prediction=None), row(timestamp="2026-01-01"), row(extra=1)]
    body = {"model_id": version.model_id, "predictions": rows}
    status, answer = call.post(MANY, body)
    assert status == 422
    assert codes(answer) == [
        ("predictions", 1, "prediction", "missing"),
        ("predictions", 2, "timestamp", "timestamp"),
        ("predictions", 3, "extra", "unknown"),
    ]
    assert not Prediction.objects.exists()
    assert not Receipt.objects.exists()
    status, answer = call.post(f"{MANY}?on_error=skip", body)
    assert (status, answer["accepted"], answer["rejected"]) == (201, 1, 3)
    assert len(answer["errors"]) == 3
    assert Prediction.objects.count() == 1


def test_only_the_first_hundred_bad_rows_are_listed(
    call: Caller, version: ModelVersion
) -> None:
    rows = [row(), *[row(prediction=[])] * 250]
    status, answer = call.post(
        MANY, {"model_id": version.model_id, "predictions": rows}
    )
    assert (status, len(answer["errors"])) == (422, 100)
    assert answer["errors"][0]["loc"] == ["predictions", 1, "prediction"]
    assert "250" in answer["detail"]


def test_skipping_stores_nothing_if_no_row_is_good(
    call: Caller, version: ModelVersion
) -> None:
    body = {"model_id": version.model_id, "predictions": [row(prediction=None)]}
    assert call.post(f"{MANY}?on_error=skip", body)[0] == 422
    assert not Receipt.objects.exists()


def test_rows_of_several_models_and_versions_get_a_receipt_each(
    call: Caller, alice: Person, version: ModelVersion
) -> None:
    other = factories.make_version(alice)
    second = factories.make_version(alice, name=version.model.name, version="2")
    rows = [
        row(model_id=version.model_id, model_version="1.0.0"),
        row(model_id=other.model_id),
        row(model_version="2"),
    ]
    body = {"model_id": version.model.slug, "predictions": rows}
    status, answer = call.post(MANY, body)
    assert (status, len(answer["receipt_ids"])) == (201, 3)
    logged = Prediction.objects.order_by("id").values_list("version", flat=True)
    assert list(logged) == [version.pk, other.pk, second.pk]


def test_a_missing_model_is_not_found_and_in_a_mixed_batch_named(
    call: Caller, version: ModelVersion
) -> None:
    assert call.post(ONE, row(model_id=999_999_999))[0] == 404
    assert codes(call.post(ONE, row())[1]) == [("model_id", "missing")]
    rows = [row(model_id=version.model_id), row(model_id="nobody")]
    status, answer = call.post(MANY, {"predictions": rows})
    assert (status, codes(answer)) == (
        422,
        [("predictions", 1, "model_id", "not_found")],
    )


def test_charlie_gets_the_answer_of_a_model_that_is_missing(
    version: ModelVersion, call: Caller
) -> None:
    stored = call.post(ONE, row(model_id=version.model_id))[1]
    charlie = Caller(factories.make_api_key(factories.make_charlie())[1])
    theirs, nobodys = version.model_id, 999_999_999
    for path in (ONE, DRIFT):
        names = ("model_id", "input_features")
        if path == DRIFT:
            names = ("modelId", "features")
        answers = [
            charlie.post(path, {names[0]: pk, names[1]: FEATURES, "prediction": "1"})
            for pk in (theirs, nobodys)
        ]
        assert answers[0] == answers[1]
        assert answers[0][0] == 404
    assert charlie.get(f"{ONE}/{stored['id']}")[0] == 404
    assert charlie.put(f"{ONE}/{stored['id']}", {"actual_label": 1})[0] == 404
    assert charlie.get(f"{DRIFT}?modelId={theirs}")[0] == 404
    assert charlie.get(f"{DRIFT}/unmatched?modelId={theirs}")[0] == 404
    assert Prediction.objects.count() == 1


def test_a_key_that_may_only_read_logs_nothing(
    alice: Person, version: ModelVersion
) -> None:
    reader = Caller(factories.make_api_key(alice, scopes=["mlops:read"])[1])
    assert reader.post(ONE, row(model_id=version.model_id))[0] == 403
    assert reader.get(f"{DRIFT}?modelId={version.model_id}")[0] == 200
    assert Caller("dg_live_nonsense").post(ONE, row())[0] == 401
    assert not Prediction.objects.exists()


def test_the_key_may_stand_in_the_other_header(version: ModelVersion) -> None:
    person = Person(version.created_by, version.organization)
    text = factories.make_api_key(person)[1]
    bare = Caller("", Authorization="", **{"X-API-Key": text})
    assert bare.post(ONE, row(model_id=version.model_id))[0] == 201


def test_curl_without_a_content_type_is_understood(
    call: Caller, version: ModelVersion
) -> None:
    body = row(model_id=version.model_id)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert call.post(ONE, body, **form)[0] == 201
    assert call.post(ONE, body, **{"Content-Type": ""})[0] == 201
    assert call.post(ONE, b"a=1", **form)[0] == 415
    assert call.post(ONE, body, **{"Content-Type": "text/plain"})[0] == 415
    assert call.post(ONE, body, **{"Content-Type": "text/csv"})[0] == 415


def test_a_method_that_is_not_there_is_405(call: Caller) -> None:
    response = call.raw("DELETE", ONE)
    assert (response.status_code, response["Allow"]) == (405, "POST")


def test_gzip_is_inflated_and_counted(call: Caller, version: ModelVersion) -> None:
    body = json.dumps({"model_id": version.model_id, "predictions": [row()] * 3})
    packed = gzip.compress(body.encode())
    zipped = {"Content-Encoding": "gzip"}
    assert call.post(MANY, packed, **zipped)[1]["accepted"] == 3
    assert call.post(MANY, packed[:-5], **zipped)[0] == 400
    assert call.post(MANY, b"no gzip", **zipped)[0] == 400
    assert call.post(MANY, packed, **{"Content-Encoding": "br"})[0] == 415
    bomb = gzip.compress(bytes(101 * 1024 * 1024), compresslevel=1)
    assert call.post(MANY, bomb, **zipped)[0] == 413
    assert Prediction.objects.count() == 3


def test_what_is_too_large_is_413(call: Caller, version: ModelVersion) -> None:
    wide = {f"f{n}": 1 for n in range(501)}
    assert call.post(ONE, row(model_id=version.model_id, input_features=wide))[0] == 413
    many = {"model_id": version.model_id, "predictions": [row()] * 10_001}
    assert call.post(MANY, many)[0] == 413
    assert call.post(ONE, b"{" + b" " * 25 * 1024 * 1024 + b"}")[0] == 413
    assert not Prediction.objects.exists()


def test_ten_thousand_rows_are_stored(call: Caller, version: ModelVersion) -> None:
    rows = [row(entity_id=str(n)) for n in range(10_000)]
    body = {"model_id": version.model_id, "predictions": rows}
    assert call.post(MANY, body)[1]["accepted"] == 10_000
    assert Receipt.objects.get().rows == Prediction.objects.count() == 10_000


def test_csv_columns_are_fields_or_features(
    call: Caller, version: ModelVersion
) -> None:
    text = (
        "age,income,region,prediction,timestamp,entity_id,actual_label,"
        "probabilities.0,probabilities.1\r\n"
        '41,5.5e4,"north, west",1,2026-03-01T12:00:00Z,007,0,0.2,0.8\r\n'
        ",nan,01,0,,8,,,\r\n"
    )
    path = f"{MANY}?model_id={version.model_id}"
    status, answer = call.post(path, text.encode(), **{"Content-Type": "text/csv"})
    assert (status, answer.get("accepted")) == (201, 2), answer
    first, second = Prediction.objects.order_by("id")
    assert first.decoded_features == {
        "age": 41,
        "income": 55000.0,
        "region": "north, west",
    }
    assert (first.entity_id, first.probabilities) == ("007", [0.2, 0.8])
    assert second.decoded_features == {"age": None, "income": None, "region": "01"}
    assert second.probabilities is None
    assert GroundTruth.objects.get().prediction_id == first.pk


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("\n", 400),
        ("age\n1\n", 422),
        ("age,prediction\n1\n", 400),
        ("age,age,prediction\n1,2,3\n", 400),
        ('age,prediction\n"1,2\n', 400),
        ('region,prediction\nnorth,1\n"south,2\nwest,3\n', 400),
        ('prediction,region\n1,north\n2,"south', 400),
        ('region,prediction\n"north"s,1\n', 400),
        ("age,prediction\n99999999999999999999,1\n", 400),
        ("age,prediction\n1,1\n2,\n", 422),
        ("age,prediction\n" + "1,1\n" * 10_001, 413),
        ("age,prediction\n\0,1\n", 400),
    ],
)
def test_bad_csv_is_refused(
    call: Caller, version: ModelVersion, text: str, status: int
) -> None:
    path = f"{MANY}?model_id={version.model_id}"
    answered, answer = call.post(path, text.encode(), **{"Content-Type": "text/csv"})
    assert answered == status, answer
    assert not Prediction.objects.exists()


def test_parquet_rows_are_stored(call: Caller, version: ModelVersion) -> None:
    table = pa.table(
        {
            "age": [41.0, float("nan")],
            "region": pa.array(["north", None]).dictionary_encode(),
            "prediction": [1, 0],
            "probabilities": [[0.2, 0.8], [0.9, 0.1]],
            "timestamp": pa.array(
                [
                    dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC),
                    dt.datetime(2026, 3, 1, 13, tzinfo=dt.UTC),
                ],
                pa.timestamp("us"),  # without a zone: it is UTC
            ),
        }
    )
    path = f"{MANY}?model_id={version.model_id}"
    parquet = {"Content-Type": "application/vnd.apache.parquet"}
    sink = io.BytesIO()
    pq.write_table(table, sink)
    status, answer = call.post(path, sink.getvalue(), **parquet)
    assert (status, answer.get("accepted")) == (201, 2), answer
    first, second = Prediction.objects.order_by("id")
    assert first.decoded_features == {"age": 41.0, "region": "north"}
    assert second.decoded_features == {"age": None, "region": None}
    assert first.timestamp == dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
    assert call.post(path, b"PAR1 no", **parquet)[0] == 400
    sink = io.BytesIO()
    pq.write_table(pa.table({"age": [float("inf")], "prediction": [1]}), sink)
    assert call.post(path, sink.getvalue(), **parquet)[0] == 400


# What every reader of JSON takes differently, and we not at all.
FINE = b'{"input_features": {"a": 1}, "prediction": 1}'
HOSTILE: list[tuple[bytes, int]] = [
    (b"{", 400),
    (b"[]", 422),
    (b'"x"', 422),
    (b'\xef\xbb\xbf{"prediction": 1}', 400),
    (b'{"input_features": {"a": "\xff"}, "prediction": 1}', 400),
    (b'{"input_features": {"a": 1, "a": 2}, "prediction": 1}', 400),
    (b'{"input_features": {"a": 1}, "prediction": 1, "prediction": 1}', 400),
    (b'{"input_features": {"a": 1, "\\u0061": 2}, "prediction": 1}', 400),
    (b'{"input_features": {"a" : 1, "a" : 2}, "prediction": 1}', 400),
    (b'{"input_features": {"a": NaN}, "prediction": 1}', 400),
    (b'{"input_features": {"a": -Infinity}, "prediction": 1}', 400),
    (b'{"input_features": {"a": 1e999}, "prediction": 1}', 400),
    (b'{"input_features": {"a": 1}, "prediction": 1e999}', 400),
    (b'{"input_features": {"a": 9223372036854775808}, "prediction": 1}', 400),
    (b'{"input_features": {"a": 1}, "prediction": -9223372036854775809}', 400),
    (FINE[:-1] + b', "latency_ms": 1%s}' % (b"0" * 30), 400),
    (b'{"input_features": {"a": "\\u0000"}, "prediction": 1}', 400),
    (b'{"input_features": {"a": "\\ud800"}, "prediction": 1}', 400),
    (FINE.replace(b"1", b"[" * 20 + b"]" * 20, 1), 400),
    (FINE.replace(b"1", b"[" * 99999 + b"]" * 99999, 1), 400),
    (b'{"input_features": {"a": 01}, "prediction": 1}', 400),
    (b'{"input_features": {"a": 1,}, "prediction": 1}', 400),
    (b'{"input_features": [1], "prediction": 1}', 422),
    (b'{"input_features": null, "prediction": 1}', 422),
    (b'{"input_features": {"": 1}, "prediction": 1}', 422),
    (b'{"prediction": 1}', 422),
    (b'{"input_features": {"a": 1}}', 422),
    (b'{"input_features": {"a": 1}, "prediction": {}}', 422),
    (b'{"input_features": {"a": 1}, "prediction": ""}', 422),
    (FINE[:-1] + b', "organization_id": 1}', 422),
    (FINE[:-1] + b', "probabilities": [0.5, 0.6]}', 422),
    (FINE[:-1] + b', "probabilities": [1.5, -0.5]}', 422),
    (FINE[:-1] + b', "probabilities": [1.0]}', 422),
    (FINE[:-1] + b', "probabilities": [true, 0]}', 422),
    (FINE[:-1] + b', "probabilities": []}', 422),
    (FINE[:-1] + b', "latency_ms": "5"}', 422),
    (FINE[:-1] + b', "latency_ms": -1}', 422),
    (FINE[:-1] + b', "entity_id": ""}', 422),
    (FINE[:-1] + b', "entity_id": "%s"}' % (b"x" * 256), 422),
    (FINE[:-1] + b', "entity_id": 1.5}', 422),
    (FINE[:-1] + b', "timestamp": 1700000000}', 422),
    (FINE[:-1] + b', "timestamp": "2026-01-01"}', 422),
    (FINE[:-1] + b', "timestamp": "yesterday"}', 422),
    *(
        (FINE[:-1] + f', "timestamp": "2026-03-01{mark}12:00"}}'.encode(), 422)
        for mark in ("x", "_", "-", ":", "/", "  ", "T ", "TT", "é", "\\t", "\\n", "")
    ),
    (FINE[:-1] + b', "timestamp": "1969-12-31T23:59:59Z"}', 422),
    (FINE[:-1] + b', "timestamp": "2999-01-01T00:00:00Z"}', 422),
    (FINE[:-1] + b', "timestamp": "0001-01-01T00:00:00+23:59"}', 422),
]  # fmt: skip


@pytest.mark.parametrize(("body", "status"), HOSTILE)
def test_hostile_input_is_refused_and_stores_nothing(
    call: Caller, version: ModelVersion, body: bytes, status: int
) -> None:
    model = b'{"model_id": %d, ' % version.model_id
    if body.startswith(b"{") and len(body) > 1:
        body = body.replace(b"{", model, 1)
    answered, answer = call.post(ONE, body, **{"Content-Type": "application/json"})
    assert answered == status, answer
    many = b'{"predictions": [%s]}' % body
    answered, answer = call.post(MANY, many)
    assert answered == status, answer
    assert not Prediction.objects.exists()


def test_escapes_that_hide_nothing_are_kept_as_they_are(
    call: Caller, version: ModelVersion
) -> None:
    features = b'{"a": "\\u00e9\\n\\\\u0000 \\ud83d\\ude00"}'
    body = b'{"model_id": %d, "input_features": %s, "prediction": "Z\xc3\xbcrich"}'
    body %= (version.model_id, features)
    assert call.post(ONE, body)[0] == 201
    stored = Prediction.objects.get()
    assert stored.features == '{"a": "\\u00e9\\n\\\\u0000 \\ud83d\\ude00"}'
    assert stored.decoded_features == {"a": "é\n\\u0000 😀"}
    assert stored.decoded_prediction == "Zürich"


def test_integers_are_stored_exactly_to_2_63(
    call: Caller, version: ModelVersion
) -> None:
    features = {"a": 2**63 - 1, "b": -(2**63), "c": 1e300}
    assert (
        call.post(ONE, row(model_id=version.model_id, input_features=features))[0]
        == 201
    )
    assert Prediction.objects.get().decoded_features == features


def test_a_lenient_model_stores_what_its_schema_does_not_know(
    call: Caller, version: ModelVersion
) -> None:
    odd = {"age": "old", "colour": "red", "nested": {"a": [1]}}
    assert call.post(ONE, row(model_id=version.model_id, input_features=odd))[0] == 201


def test_a_strict_model_refuses_it_and_names_each_feature(
    call: Caller, alice: Person
) -> None:
    schema = {
        "features": [
            {"name": "age", "type": "int"},
            {"name": "income", "type": "float", "nullable": False},
            {"name": "member", "type": "boolean"},
        ],
        "attributes": {"sex": "categorical"},
        "schema_mode": "strict",
    }
    version = factories.make_version(alice, schema=schema)
    good = {"age": 3.0, "income": 5, "member": True, "sex": "f"}
    for fine in (good, {**good, "age": None}, {"age": 1, "income": 1, "member": 0}):
        body = row(model_id=version.model_id, input_features=fine)
        assert call.post(ONE, body)[0] == 201, fine
    bad = {"age": 3.5, "income": None, "colour": "red"}
    body = {"model_id": version.model_id, "predictions": [row(input_features=bad)]}
    status, answer = call.post(MANY, body)
    at = ("predictions", 0, "input_features")
    assert (status, codes(answer)) == (
        422,
        [
            (*at, "age", "type"),
            (*at, "income", "type"),
            (*at, "colour", "unknown"),
            (*at, "member", "missing"),
        ],
    )
    for wrong in ({"age": "12"}, {"age": True}, {"income": "5"}, {"member": 2}):
        body = row(model_id=version.model_id, input_features={**good, **wrong})
        assert call.post(ONE, body)[0] == 422, wrong


def test_predictions_without_a_version_stay_with_the_one_they_had(
    call: Caller, alice: Person, version: ModelVersion
) -> None:
    newer = factories.make_version(alice, name=version.model.name, version="2")
    catalog.forget()
    call.post(ONE, row(model_id=version.model_id, model_version="1.0.0"))
    call.post(ONE, row(model_id=version.model_id))
    assert Prediction.objects.latest("id").version_id == newer.pk
    newest = factories.make_version(alice, name=version.model.name, version="3")
    catalog.forget()
    call.post(ONE, row(model_id=version.model_id))
    assert Prediction.objects.latest("id").version_id == newer.pk
    adoption = intakes.Adoption(newest, "production")
    intakes.adopt([adoption], reason="Was there before.", actor=alice.actor)
    catalog.forget()
    call.post(ONE, row(model_id=version.model_id))
    assert Prediction.objects.latest("id").version_id == newest.pk


def test_an_unknown_version_is_registered_as_such_with_a_finding(
    call: Caller, version: ModelVersion
) -> None:
    body = row(model_id=version.model_id, model_version="9-rc1")
    assert call.post(ONE, body)[0] == 201
    unknown = ModelVersion.objects.get(version="9-rc1")
    assert unknown.status == ModelVersion.Status.UNREGISTERED
    assert Prediction.objects.get().version_id == unknown.pk
    assert Finding.objects.filter(version=unknown).exists()


def test_a_strict_model_refuses_an_unknown_version(call: Caller, alice: Person) -> None:
    schema = {"features": ["x"], "schema_mode": "strict"}
    version = factories.make_version(alice, schema=schema)
    body = row(model_id=version.model_id, model_version="9", input_features={"x": 1})
    status, answer = call.post(ONE, body)
    assert (status, codes(answer)) == (422, [("model_version", "unknown_version")])
    assert not ModelVersion.objects.filter(version="9").exists()


def test_a_version_registered_a_moment_ago_is_known_at_once(
    call: Caller, alice: Person, version: ModelVersion
) -> None:
    call.post(ONE, row(model_id=version.model_id))
    second = factories.make_version(alice, name=version.model.name, version="2")
    call.post(ONE, row(model_id=version.model_id, model_version="2"))
    assert Prediction.objects.latest("id").version_id == second.pk


def test_a_prediction_bears_the_status_in_force_at_its_time(
    call: Caller, version: ModelVersion
) -> None:
    for day, status, before in [
        (1, GovernanceStatus.APPROVED, GovernanceStatus.NOT_ASSESSED),
        (3, GovernanceStatus.BLOCKED, GovernanceStatus.APPROVED),
    ]:
        StatusChange.objects.create(
            organization=version.organization,
            version=version,
            status=status,
            previous=before,
            since=dt.datetime(2026, 2, day, tzinfo=dt.UTC),
        )
    for day, verdict in [
        ("01-31T23:59:59.999999", GovernanceStatus.NOT_ASSESSED),
        ("02-01T00:00:00", GovernanceStatus.APPROVED),
        ("02-02T12:00:00", GovernanceStatus.APPROVED),
        ("02-04T12:00:00", GovernanceStatus.BLOCKED),
    ]:
        call.post(ONE, row(model_id=version.model_id, timestamp=f"2026-{day}Z"))
        assert Prediction.objects.latest("id").verdict == verdict


def test_a_label_that_comes_along_is_stored_with_it(
    call: Caller, version: ModelVersion
) -> None:
    status, answer = call.post(ONE, row(model_id=version.model_id, actual_label=1))
    assert status == 201
    label = GroundTruth.objects.get()
    assert label.prediction_id == Prediction.objects.get().pk
    assert (label.match, label.outcome, label.counted) == ("matched", "1", False)
    assert label.receipt.kind == Receipt.Kind.GROUND_TRUTH
    shown = call.get(f"{ONE}/{answer['id']}")[1]
    assert (shown["actual_label"], shown["input_features"]) == (1, FEATURES)


def test_logged_predictions_are_listed_newest_first(
    call: Caller, version: ModelVersion
) -> None:
    for day in range(1, 6):
        at = f"2026-03-0{day}T12:00:00Z"
        body = row(model_id=version.model_id, timestamp=at, prediction=day % 2)
        if day == 2:
            body["actual_label"] = 0
        call.post(ONE, body)
    base = f"{DRIFT}?modelId={version.model.slug}"

    def days(query: str) -> tuple[list[int], int]:
        status, answer = call.get(base + query)
        assert status == 200, answer
        found = [int(one["timestamp"][8:10]) for one in answer["predictions"]]
        return found, answer["total"]

    assert days("") == ([5, 4, 3, 2, 1], 5)
    assert days("&limit=2&offset=1") == ([4, 3], 5)
    assert days("&startDate=2026-03-02&endDate=2026-03-03") == ([3, 2], 2)
    assert days("&startDate=2026-03-02T12:00:00%2B00:00") == ([5, 4, 3, 2], 4)
    assert days("&hasGroundTruth=true") == ([2], 1)
    assert days("&hasGroundTruth=false") == ([5, 4, 3, 1], 4)
    one = call.get(f"{base}&hasGroundTruth=true")[1]["predictions"][0]
    assert one == {
        "predictionId": one["predictionId"],
        "modelId": version.model.slug,
        "modelVersion": "1.0.0",
        "features": FEATURES,
        "prediction": "0",
        "probabilities": None,
        "entityId": None,
        "latencyMs": None,
        "timestamp": "2026-03-02T12:00:00Z",
        "actualOutcome": "0",
    }
    waiting = call.get(f"{DRIFT}/unmatched?modelId={version.model_id}&limit=3")[1]
    assert [one["timestamp"][8:10] for one in waiting["predictions"]] == [
        "05",
        "04",
        "03",
    ]


@pytest.mark.parametrize(
    "query",
    [
        "",
        "&limit=0",
        "&limit=1001",
        "&limit=ten",
        "&limit=%C2%B2",
        "&offset=-1",
        "&startDate=soon",
        "&startDate=2026-03-01x12:00",
        "&hasGroundTruth=1",
        "&order=up",
    ],
)
def test_bad_query_parameters_are_refused(
    call: Caller, version: ModelVersion, query: str
) -> None:
    base = f"{DRIFT}?modelId={version.model_id}" if query else DRIFT
    assert call.get(base + query)[0] == 422
