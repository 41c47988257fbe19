"""The documentation says what is so: its commands run, its tables are complete."""

import ast
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
from django.urls import resolve

from monitoring.actions import alerts
from tests.running_server import ROOT, RunningServer

README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("**/*.md")), ROOT / "data" / "README.md"]


def section(page: Path, heading: str) -> str:
    """Return what stands under a heading of the second level."""
    text = page.read_text(encoding="utf-8")
    [body] = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    return str(body)


def settings_read() -> set[str]:
    """Find every variable that the settings take from the environment."""
    tree = ast.parse((ROOT / "driftguard" / "settings.py").read_text(encoding="utf-8"))
    return {
        str(node.args[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and re.fullmatch(r"environment\.\w+", ast.unparse(node.func))
        and isinstance(node.args[0], ast.Constant)
    }


def test_the_configuration_table_lists_every_setting_and_no_other() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \|", section(README, "Configuration"), re.M)
    assert sorted(rows) == sorted(settings_read())


def test_the_readme_keeps_the_promises_of_the_tests() -> None:
    promises = section(README, "What DriftGuard promises")
    assert re.findall(r"\*\*(C\d)", promises) == ["C1", "C2", "C3"]
    for path in re.findall(r"`(tests/\S+?)`", promises):
        assert (ROOT / path).is_file(), path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    local = [link for link in links if not re.match(r"\w+:", link)]
    missing = [link for link in local if not (page.parent / link).exists()]
    assert missing == []


@pytest.mark.server
@pytest.mark.curl
def test_the_first_calls_of_the_readme_run(server: RunningServer) -> None:
    [script] = re.findall(
        r"^```bash\n(.*?)^```", section(README, "First calls"), re.M | re.S
    )
    published = "HOST=http://127.0.0.1:8000"
    assert published in script
    done = subprocess.run(
        [shutil.which("bash") or "bash", "-euo", "pipefail"],
        input=script.replace(published, f"HOST={server.url}"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert '"accepted":2' in done.stdout.replace(" ", "")
    assert '"governance_status":"NOT_ASSESSED"' in done.stdout.replace(" ", "")


@pytest.fixture(scope="module")
def stranger(server: RunningServer) -> httpx.Client:
    """Return a client of an organization that has just been made."""
    answer = httpx.post(f"{server.url}/auth/register", json={"name": "Reader"})
    key = answer.raise_for_status().json()["api_key"]
    return httpx.Client(base_url=server.url, headers={"X-API-Key": key})


def json_blocks(page: Path, heading: str) -> list[dict[str, Any]]:
    blocks = re.findall(r"^```json\n(.*?)^```", section(page, heading), re.M | re.S)
    return [json.loads(block) for block in blocks]


@pytest.mark.server
def test_the_registration_of_the_tour_is_accepted(stranger: httpx.Client) -> None:
    [example] = json_blocks(ROOT / "docs" / "api.md", "Register a model")
    answer = stranger.post("/api/models", json=example)
    assert answer.status_code == 201, answer.text
    assert answer.json()["slug"] == "credit-default"


@pytest.mark.server
def test_the_error_of_the_tour_has_the_fields_of_a_real_one(
    stranger: httpx.Client,
) -> None:
    [example] = json_blocks(ROOT / "docs" / "api.md", "Errors")
    stranger.post("/api/models", json={"model_name": "Erring", "version": "1"})
    good = {"input_features": {"a": 1}, "prediction": 1}
    bad = {**good, "timestamp": "yesterday"}
    rows = {"model_id": "erring", "predictions": [good, good, good, bad]}
    answer = stranger.post("/api/logs/prediction/batch", json=rows)
    assert answer.json().keys() == example.keys()
    for name in ("type", "title", "status", "code", "instance"):
        assert answer.json()[name] == example[name]
    [told], [shown] = answer.json()["errors"], example["errors"]
    assert (told["loc"], told["code"]) == (shown["loc"], shown["code"])


@pytest.mark.server
def test_every_call_that_the_tour_names_exists(stranger: httpx.Client) -> None:
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    calls = set(re.findall(r"`(GET|POST|PUT) (/[\w/{}-]+)`", text))
    assert len(calls) > 10
    for method, path in sorted(calls):
        address = path.replace("{id}", "no-such-thing")
        assert resolve(address), path
        answer = stranger.request(method, address)
        is_list = method == "GET" and "{" not in path
        # 403: the key of a registration neither decides nor invites.
        known = {400, 403, 404, 411, 415, 422} | ({200} if is_list else set())
        assert answer.status_code in known, (method, path)


def test_the_alert_settings_of_the_tour_are_valid() -> None:
    [example] = json_blocks(ROOT / "docs" / "api.md", "Alerts and schedules")
    assert example.pop("modelId") == "credit-default"
    settings = alerts.read(example).to_json()
    for name, value in example.items():
        kept = settings[name]
        assert kept == ({**kept, **value} if isinstance(value, dict) else value)


@pytest.mark.server
def test_the_tour_names_every_call_of_the_drift_dialect(server: RunningServer) -> None:
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    document = httpx.get(f"{server.url}/openapi.json").raise_for_status().json()
    calls = [path for path in document["paths"] if path.startswith("/api/v1/drift/")]
    assert len(calls) > 10
    for path in calls:
        words = [part for part in path.split("/")[4:] if "{" not in part]
        missing = [word for word in words if word not in text]
        assert missing == [], path
