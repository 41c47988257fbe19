import json
import os
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from django.core.management import BaseCommand, CommandError, call_command

from monitoring.management.commands.drift_report import Command
from tests.monitoring.reports.files import binary, write

ROOT = Path(__file__).parents[3]
ROLES = ("--prediction", "answer", "--probability", "score", "--label", "truth")


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    paths = (
        write(tmp_path / "before.csv", binary(400, 0)),
        write(tmp_path / "now.parquet", binary(400, 1, shift=1.0)),
    )
    return str(paths[0]), str(paths[1])


def told(*arguments: Any) -> str:
    out = StringIO()
    call_command("drift_report", *arguments, stdout=out, stderr=StringIO())
    return out.getvalue()


def refused(*arguments: Any) -> str:
    with pytest.raises(CommandError) as error:
        told(*arguments)
    return str(error.value)


def test_a_table_json_and_a_page_come_of_two_files(
    files: tuple[str, str], tmp_path: Path
) -> None:
    table = told(*files, *ROLES, "--timestamp", "at", "--period", "day")
    assert "Drift: alert" in table
    assert "2026-01-02" in table
    found = json.loads(told(*files, *ROLES, "--chunk-size", "100", "--json"))
    assert found["schema"] == "driftguard.drift_report/1"
    assert found["status"] == "alert"
    assert len(found["chunks"]) == 4
    page = tmp_path / "report.html"
    assert told(*files, "--html", str(page)) == ""
    assert page.read_text().startswith("<!doctype html>")
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".part"] == []


def test_options_reach_the_analysis(files: tuple[str, str]) -> None:
    found = json.loads(
        told(
            *files,
            *ROLES,
            *("--task", "binary", "--features", "x,city", "--categorical", "x"),
            *("--classes", "no,yes", "--positive", "no", "--favourable", "yes"),
            *("--threshold", "0.3", "--protected", "city,noise=-1/1"),
            *("--algorithms", "psi,cbpe", "--json"),
        )
    )
    assert [c["name"] for c in found["columns"] if c["is_input"]] == ["x", "city"]
    assert found["columns"][0]["kind"] == "categorical"
    settings = found["settings"]
    assert settings["classes"] == ["no", "yes"]
    assert (settings["positive"], settings["favourable"]) == ("no", "yes")
    assert settings["threshold"] == 0.3
    assert settings["protected"] == {"city": None, "noise": [-1.0, 1.0]}
    assert set(settings["algorithms"]) == {"psi", "cbpe"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--prediction", "nothing"), "has no column 'nothing'"),
        (("--period", "day"), "--period needs --timestamp"),
        (("--chunk-size", "0"), "expected a whole number from 1 on"),
        (("--chunk-size", "5", "--period", "day"), "not allowed with"),
        (("--json", "--html", "x.html"), "not allowed with"),
        (("--algorithms", "psy"), "did you mean psi?"),
        (("--algorithms", "psi,psi"), "named twice"),
        (("--exclude", ","), "expected at least one name"),
        (("--threshold", "nan"), "expected a number"),
        (("--protected", "x=3/2"), "do not rise"),
        (("--task", "ranking"), "invalid choice"),
        (("--html", "/nowhere/at/all.html"), "can't be written"),
    ],
)
def test_a_wrong_option_is_told(
    files: tuple[str, str], arguments: tuple[str, ...], words: str
) -> None:
    assert words in refused(*files, *arguments)


def test_an_unusable_file_is_told(files: tuple[str, str], tmp_path: Path) -> None:
    empty = tmp_path / "empty.csv"
    empty.write_text("x,city\n")
    assert "CURRENT has no rows" in refused(files[0], str(empty))
    assert "REFERENCE can't be read" in refused(str(tmp_path / "no.csv"), files[1])


def test_the_same_rows_as_csv_and_parquet_give_the_same_figures(
    tmp_path: Path,
) -> None:
    reference, current = binary(300, 0), binary(300, 1)
    found = []
    for kind in ("csv", "parquet"):
        paths = (
            write(tmp_path / f"before.{kind}", reference),
            write(tmp_path / f"now.{kind}", current),
        )
        told_of = json.loads(
            told(*map(str, paths), *ROLES, "--timestamp", "at", "--json")
        )
        for name in ("created_at", "reference", "current"):
            del told_of[name]
        found.append(told_of)
    assert found[0] == found[1]


def test_neither_a_database_nor_a_server_is_needed(
    files: tuple[str, str], tmp_path: Path
) -> None:
    place = tmp_path / "state"
    done = subprocess.run(
        [sys.executable, "manage.py", "drift_report", *files, *ROLES, "--json"],
        cwd=ROOT,
        env={
            **os.environ,
            "DRIFTGUARD_DATA_DIR": str(place),
            # Nobody listens there.
            "DATABASE_URL": "postgresql://nobody@127.0.0.1:9/nothing",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["status"] == "alert"
    assert not list(place.rglob("PG_VERSION"))
    embedded = {**os.environ, "DRIFTGUARD_DATA_DIR": str(place)}
    embedded.pop("DATABASE_URL", None)
    command = [sys.executable, "manage.py", "drift_report", *files]
    subprocess.run(command, cwd=ROOT, env=embedded, capture_output=True, check=True)
    assert not list(place.rglob("PG_VERSION"))


def test_the_page_of_an_evil_file_name_is_harmless(
    files: tuple[str, str], tmp_path: Path
) -> None:
    path = write(tmp_path / "<b>now.csv", pd.DataFrame({"x": [1, 2], "city": "a"}))
    page = tmp_path / "report.html"
    told(files[0], str(path), "--features", "x", "--html", str(page))
    assert "<b>now" not in page.read_text()


def test_the_documentation_lists_every_field_and_option(
    files: tuple[str, str],
) -> None:
    text = (ROOT / "docs" / "drift_report.md").read_text(encoding="utf-8")
    found = json.loads(told(*files, "--json"))
    rows = "\n".join(line.split("|")[1] for line in text.splitlines() if "|" in line)
    for name in found:
        assert f"`{name}`" in rows, name
    parser = Command().create_parser("manage.py", "drift_report")
    mine = (
        vars(parser.parse_args(["a", "b"])).keys()
        - vars(
            BaseCommand().create_parser("manage.py", "drift_report").parse_args([])
        ).keys()
    )
    for name in mine - {"reference", "current"}:
        assert f"`--{name.replace('_', '-')}" in text, name
