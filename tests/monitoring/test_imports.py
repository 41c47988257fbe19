"""`manage.py import_predictions`: as strict as the API, once however often it runs."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from governance.models import AuditEntry, ModelVersion
from monitoring.ingest import files
from monitoring.models import GroundTruth, ImportMark, Prediction, Receipt
from tests import factories
from tests.factories import Person
from tests.running_server import RunningServer

ROOT = Path(__file__).parents[2]
KEY = "DRIFTGUARD_IMPORT_KEY"
SMALL = 10  # rows of a part


@pytest.fixture
def alice(monkeypatch: pytest.MonkeyPatch, db: object) -> Person:
    person = factories.make_alice()
    monkeypatch.setenv(KEY, factories.make_api_key(person)[1])
    monkeypatch.setattr(files, "ROWS", SMALL)
    return person


@pytest.fixture
def version(alice: Person) -> ModelVersion:
    return factories.make_version(alice, name="Loans", schema={"task": "regression"})


def rows(count: int) -> list[dict[str, Any]]:
    return [
        {
            "age": number,
            "region": "north\nwest" if number % 3 else None,
            "prediction": number / 4,
            "entity_id": f"e{number}",
            "timestamp": f"2026-03-01T12:{number // 60 % 60:02}:{number % 60:02}Z",
            "actual_label": 1.5 if number == 0 else None,
        }
        for number in range(count)
    ]


def write(path: Path, table: list[dict[str, Any]]) -> Path:
    """Write the rows in the format that the file's name says."""
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(table), path, row_group_size=7)
    elif path.suffix == ".csv":
        lines = [",".join(table[0])]
        for row in table:
            cells = ("" if cell is None else str(cell) for cell in row.values())
            lines.append(",".join(f'"{c}"' if "\n" in c else c for c in cells))
        path.write_text("\r\n".join(lines) + "\r\n", newline="")
    else:
        names = ("age", "region")
        with path.open("w") as file:
            for row in table:
                features = {name: row[name] for name in names}
                fields = {name: row[name] for name in row if name not in names}
                file.write(json.dumps({"input_features": features, **fields}) + "\n")
    return path


def run(*arguments: Any) -> str:
    said = io.StringIO()
    call_command(
        "import_predictions", *map(str, arguments), stdout=said, stderr=io.StringIO()
    )
    return said.getvalue()


def refused(*arguments: Any) -> str:
    listed = io.StringIO()
    with pytest.raises(CommandError) as error:
        call_command(
            "import_predictions",
            *map(str, arguments),
            stdout=io.StringIO(),
            stderr=listed,
        )
    return f"{listed.getvalue()}{error.value}"


def stored() -> list[str | None]:
    return list(Prediction.objects.order_by("id").values_list("entity_id", flat=True))


def expected(count: int) -> list[str]:
    return [f"e{number}" for number in range(count)]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_file_is_stored_once(
    version: ModelVersion, tmp_path: Path, kind: str
) -> None:
    path = write(tmp_path / f"loans.{kind}", rows(25))
    assert "25 rows stored." in run(path, "--model", "loans")
    assert stored() == expected(25)
    second = Prediction.objects.order_by("id")[1]
    assert second.decoded_features == {"age": 1, "region": "north\nwest"}
    assert second.timestamp.isoformat() == "2026-03-01T12:00:01+00:00"
    assert GroundTruth.objects.get().outcome == "1.5"
    assert set(Receipt.objects.values_list("channel", flat=True)) == {"file"}
    entry = AuditEntry.objects.get(action="predictions.imported")
    assert json.loads(bytes(entry.body))["facts"] == {
        "rows": 25,
        "accepted": 25,
        "rejected": 0,
    }

    said = run(path, "--model", "loans")
    assert "0 rows stored, 25 rows stood there before." in said
    assert stored() == expected(25)


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_file_that_has_grown_is_continued(
    version: ModelVersion, tmp_path: Path, kind: str
) -> None:
    path = write(tmp_path / f"day.{kind}", rows(15))
    run(path, "--model", "loans")
    write(path, rows(40))
    assert "25 rows stored, 15 rows stood" in run(path, "--model", "loans")
    write(path, rows(15))
    assert "0 rows stored, 15 rows stood" in run(path, "--model", "loans")
    assert stored() == expected(40)


def test_half_a_line_is_no_end_of_a_file(version: ModelVersion, tmp_path: Path) -> None:
    path = tmp_path / "cut.csv"
    path.write_text("entity_id,prediction\ne0,1\ne1,2")
    run(path, "--model", "loans")
    path.write_text("entity_id,prediction\ne0,1\ne1,22\n")
    assert "2 rows stored." in run(path, "--model", "loans")
    path.write_text("entity_id,prediction\ne0,1\ne1,2\ne2,3\n")
    assert "1 rows stored, 2 rows stood" in run(path, "--model", "loans")


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_bad_row_ends_the_import_until_it_is_mended(
    version: ModelVersion, tmp_path: Path, kind: str
) -> None:
    table = rows(25)
    table[13]["timestamp"] = "yesterday"
    path = write(tmp_path / f"loans.{kind}", table)
    said = refused(path, "--model", "loans")
    assert f"{path}, row 14, timestamp: " in said
    # A part of a CSV file has so many lines, and some rows here take two.
    settled = len(stored())
    assert f"first {settled} rows are settled" in said
    assert 0 < settled < 13
    assert stored() == expected(settled)
    if kind == "parquet":  # another file altogether once it is written anew
        said = refused(path, "--model", "loans", "--on-error", "skip")
        assert "1 rows were left out" in said
        assert stored() == [name for name in expected(25) if name != "e13"]
    else:
        run(write(path, rows(25)), "--model", "loans")
        assert stored() == expected(25)


def test_a_part_of_bad_rows_alone_is_left_out(
    version: ModelVersion, tmp_path: Path
) -> None:
    table = rows(30)
    for row in table[10:20]:
        row["prediction"] = "none"
    path = write(tmp_path / "loans.csv", table)
    said = refused(path, "--model", "loans", "--on-error", "skip")
    assert "row 11, " in said
    assert "row 20, " in said
    assert "10 rows were left out" in said
    assert stored() == expected(10) + expected(30)[20:]
    assert "0 rows stored, 30 rows stood" in run(path, "--model", "loans")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", b"prediction\n" + b"1\n" * 12 + b"1,2\n", "Row 13 has 2 cells"),
        ("a.csv", b"prediction\n\xff\n", "is not UTF-8"),
        ("a.csv", b"age\n1\n", "no column with the predictions"),
        ("a.csv", b"", "no columns"),
        ("a.jsonl", b'{"input_features":{},"prediction":1}\n' * 12 + b"{", "Row 13"),
        ("a.parquet", b"PAR1", "not a valid Parquet file"),
        ("a.txt", b"", "A file ends with .csv"),
    ],
)
def test_what_cannot_be_read_is_refused(
    version: ModelVersion, tmp_path: Path, name: str, text: bytes, said: str
) -> None:
    path = tmp_path / name
    path.write_bytes(text)
    assert said in refused(path, "--model", "loans")
    assert Prediction.objects.count() in {0, 10}


def test_the_key_decides_whose_predictions_they_are(
    version: ModelVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "loans.csv", rows(5))
    run(path, "--model", "loans")
    charlie = factories.make_charlie()
    monkeypatch.setenv(KEY, factories.make_api_key(charlie)[1])
    assert "stored." not in refused(path, "--model", "loans")
    factories.make_version(charlie, name="Loans", schema={"task": "regression"})
    # What Alice has stored is no reason to leave out Charlie's rows.
    assert "5 rows stored." in run(path, "--model", "loans")
    reader = factories.make_api_key(charlie, scopes=["mlops:read"])[1]
    monkeypatch.setenv(KEY, reader)
    assert "lacks the scope" in refused(path)
    monkeypatch.delenv(KEY)
    assert KEY in refused(path)
    assert Prediction.objects.count() == 10
    assert ImportMark.objects.count() == 2


@pytest.mark.server
def test_kill_9_loses_nothing_and_stores_nothing_twice(
    server: RunningServer, tmp_path: Path
) -> None:
    count = 30_000
    path = tmp_path / "many.csv"
    with path.open("w") as file:
        # More than a megabyte: a process of its own reads it.
        file.write("x,prediction,entity_id,timestamp\n")
        for number in range(count):
            file.write(f"{number / 4},{number},e{number},2026-01-31T10:00:00Z\n")
    made = httpx.post(f"{server.url}/auth/register", json={"name": "File Bank"})
    key = made.raise_for_status().json()["api_key"]
    http = httpx.Client(base_url=server.url, headers={"X-API-Key": key}, timeout=30)
    body = {"model_name": "Filed", "version": "1", "task": "regression"}
    http.post("/api/models", json=body).raise_for_status()

    def page(offset: int = 0, limit: int = 1) -> Any:
        query = {"modelId": "filed", "limit": limit, "offset": offset}
        return http.get("/api/v1/drift/predictions", params=query).json()

    def start() -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [sys.executable, "manage.py", "import_predictions", path, "--model=filed"],
            cwd=ROOT,
            env={**server.environment(), KEY: key},
        )

    kills = 0
    for _ in range(2):
        before = page()["total"]
        process = start()
        while page()["total"] == before and process.poll() is None:
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
    assert kills == 2
    assert 0 < page()["total"] < count
    assert start().wait() == 0
    assert page()["total"] == count
    entities: Counter[str] = Counter()
    while (number := entities.total()) < count:
        entities.update(row["entityId"] for row in page(number, 1000)["predictions"])
    assert set(entities.values()) == {1}


def test_two_imports_of_an_organization_do_not_run_at_once(
    version: ModelVersion, tmp_path: Path
) -> None:
    path = write(tmp_path / "loans.csv", rows(5))
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            name = f"driftguard import {version.organization_id}"
            cursor.execute("SELECT pg_advisory_lock(hashtext(%s))", [name])
        assert "Another import" in refused(path, "--model", "loans")
        with other.cursor() as cursor:
            # A connection that is closed keeps its locks for another moment.
            cursor.execute("SELECT pg_advisory_unlock(hashtext(%s))", [name])
    finally:
        other.close()
    run(path, "--model", "loans")
