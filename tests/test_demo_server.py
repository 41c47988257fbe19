"""The `serve` that the demo runs against: its own child, or one that runs already."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from driftguard.demo.server import Server, ServerError
from tests.running_server import ROOT, RunningServer, free_port
from tests.test_demo_command import FOREIGN

pytestmark = pytest.mark.server


def test_a_running_serve_on_the_same_directory_is_used_and_left_alone(
    server: RunningServer,
) -> None:
    used = Server(server.directory, "127.0.0.1", server.port)
    used.start()
    assert used.child is None
    used.stop()
    assert server.is_ready()


def test_a_running_serve_on_another_port_is_named(server: RunningServer) -> None:
    elsewhere = Server(server.directory, "127.0.0.1", free_port(), patience=1)
    with pytest.raises(ServerError, match=r"runs on .* already.*--port"):
        elsewhere.start()


def test_a_serve_that_does_not_start_is_told_with_its_last_words(
    tmp_path: Path, server: RunningServer
) -> None:
    taken = Server(tmp_path, "127.0.0.1", server.port)
    with pytest.raises(ServerError, match="Choose another port"):
        taken.start()


def test_an_interrupted_demo_stops_its_serve_and_does_not_report_success(
    tmp_path: Path,
) -> None:
    port = free_port()
    arguments = ["demo", "--exit", "--port", str(port), "--data-dir", str(tmp_path)]
    demo = subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if k not in FOREIGN},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert demo.stdout is not None
    assert "is ready" in demo.stdout.readline()
    demo.send_signal(signal.SIGTERM)
    rest, _ = demo.communicate()
    assert demo.returncode == 130, rest
    log = (tmp_path / "demo" / "serve.log").read_text()
    assert log.rstrip().endswith("Stopped.")
