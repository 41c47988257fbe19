"""The command `driftguard`, against a real server."""

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pandas as pd
import pytest
import yaml
from driftguard_client import DriftGuard
from driftguard_client.cli import main

from tests.client.conftest import stored

pytestmark = pytest.mark.server


@pytest.fixture
def run(client: DriftGuard, monkeypatch: pytest.MonkeyPatch) -> DriftGuard:
    return at_the_console(client, monkeypatch)


@pytest.fixture
def run_as_owner(owner: DriftGuard, monkeypatch: pytest.MonkeyPatch) -> DriftGuard:
    return at_the_console(owner, monkeypatch)


def at_the_console(client: DriftGuard, monkeypatch: pytest.MonkeyPatch) -> DriftGuard:
    monkeypatch.setenv("DRIFTGUARD_URL", client.settings.url)
    monkeypatch.setenv("DRIFTGUARD_API_KEY", client.settings.credential)
    return client


def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "amount": [float(number % 20) for number in range(200)],
            "code": [number % 4 for number in range(200)],
            "country": ["DE", "FR"] * 100,
            "score": [number % 10 / 10 for number in range(200)],
            "predicted": [int(number % 10 >= 5) for number in range(200)],
            "defaulted": [int(number % 9 >= 5) for number in range(200)],
            "row": range(200),
        }
    )


def test_log_takes_lines_tables_and_columns(
    run: DriftGuard, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = tmp_path / "rows.jsonl"
    lines.write_text('{"input_features": {"amount": 1}, "prediction": 1}\n\n' * 3)
    table = tmp_path / "rows.csv"
    table.write_text("amount,country,prediction,entity_id\n1.5,DE,1,a\n,FR,0,b\n")
    columns = tmp_path / "rows.parquet"
    frame()[["amount", "country"]].assign(prediction=1).to_parquet(columns)
    for path in (lines, table, columns):
        assert main(["log", "--model", "fraud", str(path)]) == 0
    assert stored(run) == 3 + 2 + 200
    assert "200 accepted, 0 rejected" in capsys.readouterr().out
    rows = run.predictions("fraud", limit=1000)["predictions"]
    missing = {"amount": None, "country": "FR"}
    assert [row["entityId"] for row in rows if row["features"] == missing] == ["b"]


def test_log_says_which_row_is_bad(
    run: DriftGuard, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = tmp_path / "rows.jsonl"
    good, bad = '{"input_features": {}, "prediction": 1}', '{"input_features": {}}'
    lines.write_text(f"{good}\n{bad}\n")
    assert main(["log", "--model", "fraud", str(lines)]) == 2
    assert "predictions.1.prediction" in capsys.readouterr().err
    assert main(["log", "--model", "fraud", "--skip-bad-rows", str(lines)]) == 1
    assert stored(run) == 1
    lines.write_text(f"{good}\nnonsense\n")
    assert main(["log", "--model", "fraud", str(lines)]) == 2
    assert "line 2 is not JSON" in capsys.readouterr().err


def test_status_drift_and_gate_say_it_by_their_status(
    run_as_owner: DriftGuard, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", "fraud"]) == 1
    assert json.loads(capsys.readouterr().out)["governance_status"] == "NOT_ASSESSED"
    assert main(["drift", "fraud"]) == 0
    capsys.readouterr()
    assert main(["gate", "--model", "fraud", "--version", "1.0.0"]) == 1
    told = capsys.readouterr().out
    assert "DENY" in told
    assert "next:" in told
    assert main(["deploy", "--model", "fraud"]) == 1
    assert main(["gate", "--model", "nothing"]) == 2


@pytest.fixture
def run_as_auditor(
    owner: DriftGuard, monkeypatch: pytest.MonkeyPatch
) -> Iterator[DriftGuard]:
    """The owner's organization, as somebody sees it who was invited to audit it."""
    url, email = owner.settings.url, "auditor@client.test"
    headers = {"Authorization": f"Bearer {owner.settings.credential}"}
    invitation = httpx.post(
        f"{url}/api/invitations",
        headers=headers,
        json={"email": email, "role": "auditor"},
    )
    token = invitation.json()["link"].rpartition("/")[2]
    password = "a long enough passphrase"
    accepted = {"token": token, "name": "Auditor", "password": password}
    httpx.post(f"{url}/api/invitations/accept", json=accepted).raise_for_status()
    with DriftGuard(url) as stranger:
        access = stranger.login(email, password)["access_token"]
    with DriftGuard(url, access) as made:
        yield at_the_console(made, monkeypatch)


def test_export_audit_writes_the_trail_in_each_form(
    run_as_auditor: DriftGuard, tmp_path: Path
) -> None:
    trail = tmp_path / "trail"
    assert main(["export-audit", str(trail)]) == 0
    with zipfile.ZipFile(trail) as bundle:
        assert {"entries.jsonl", "manifest.json"} <= set(bundle.namelist())
    for form, first in (("csv", "seq,"), ("jsonl", '{"')):
        assert main(["export-audit", str(trail), "--format", form]) == 0
        assert trail.read_text().startswith(first), form


def test_init_describes_and_apply_brings_it(
    run: DriftGuard, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "loans.parquet"
    frame().to_parquet(source)
    arguments = "--label defaulted --prediction predicted --probability score"
    extra = ["--ignore", "row", "--categorical", "code", "--name", "Loans"]
    command = ["init", "--from-parquet", str(source), *arguments.split(), *extra]
    assert main(command) == 0
    described = yaml.safe_load((tmp_path / "loans.yaml").read_text())
    types = described["schema_definition"]["feature_types"]
    assert types == {"amount": "float", "code": "categorical", "country": "categorical"}
    assert main(command) == 2  # a person may have changed it meanwhile

    apply = ["apply", "-f", str(tmp_path), "--yes"]
    capsys.readouterr()
    assert main([*apply, "--plan"]) == 0
    planned = capsys.readouterr().out
    assert "+ model Loans 1.0.0" in planned
    assert "+ baseline of Loans 1.0.0" in planned
    assert main(apply) == 0
    assert run.active_baseline("loans")["sampleSize"] == 200
    capsys.readouterr()
    assert main(apply) == 0
    assert "Nothing to do." in capsys.readouterr().out


def test_apply_changes_what_is_described_otherwise(
    run: DriftGuard, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "tips.yaml"
    described = {"model_name": "Tips", "version": "1", "task": "regression"}
    steps = (
        ({}, "+ model Tips 1"),
        ({"purpose": "tells tips"}, "~ model Tips: purpose"),
        ({"version": "1.1"}, "+ version Tips 1.1"),
    )
    for change, planned in steps:
        described |= change
        path.write_text(yaml.safe_dump(described))
        assert main(["apply", "-f", str(path), "--yes"]) == 0
        assert planned in capsys.readouterr().out
    assert run.model("tips")["purpose"] == "tells tips"
    assert len(run.versions("tips")["versions"]) == 2


def test_register_takes_a_description(run: DriftGuard, tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    path.write_text("model_name: Tips\nversion: '1'\ntask: regression\n")
    assert main(["register", str(path)]) == 0
    assert run.model("tips")["task"] == "regression"


@pytest.mark.parametrize(
    "text", ["", "- a list", "model_name: only", "{", "version: 1"]
)
def test_a_wrong_description_is_refused(
    run: DriftGuard, tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.yaml"
    path.write_text(text)
    assert main(["apply", "-f", str(path), "--yes"]) == 2
    assert "model.yaml" in capsys.readouterr().err


def test_a_missing_file_is_named(
    run: DriftGuard, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["log", "--model", "fraud", "not-there.jsonl"]) == 2
    assert "not-there.jsonl" in capsys.readouterr().err
