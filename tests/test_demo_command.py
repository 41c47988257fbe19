"""`manage.py demo --exit` on the real processes, twice on the same data directory."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.running_server import ROOT, free_port

pytestmark = pytest.mark.server
FOREIGN = ("DATABASE_URL", "SECRET_KEY", "OPEN_REGISTRATION", "LOG_LEVEL")


def run_demo(directory: Path) -> "subprocess.CompletedProcess[str]":
    # These are the tests' own; the demo uses its embedded default.
    inherited = {k: v for k, v in os.environ.items() if k not in FOREIGN}
    return subprocess.run(
        [
            *[sys.executable, "manage.py", "demo", "--exit"],
            *["--port", str(free_port()), "--data-dir", str(directory)],
        ],
        cwd=ROOT,
        env=inherited,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def first(directory: Path) -> "subprocess.CompletedProcess[str]":
    return run_demo(directory)


def test_the_demo_finds_exactly_what_is_in_the_data(
    first: "subprocess.CompletedProcess[str]",
) -> None:
    assert first.returncode == 0, first.stdout + first.stderr
    for words in ("PAY_STATUS 0.98", "0.774", "blocked"):
        assert words in first.stdout


def test_the_second_demo_reuses_what_is_there(
    first: "subprocess.CompletedProcess[str]", directory: Path
) -> None:
    notebook = directory / "demo" / "notebook.json"
    before = json.loads(notebook.read_text())
    second = run_demo(directory)
    assert second.returncode == 0, second.stdout + second.stderr
    after = json.loads(notebook.read_text())
    assert after["api_key"] == before["api_key"]
    assert after["password"] == before["password"]
