import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.house.test_web import HEAVY
from tests.running_server import READY_SECONDS, ROOT, RunningServer

pytestmark = pytest.mark.server
Starter = Callable[..., RunningServer]


@pytest.fixture(scope="module")
def running(start_server: Starter) -> Iterator[RunningServer]:
    """The processes that the tests of this module kill one after another."""
    server = start_server()
    yield server
    server.stop()


def wait_for(question: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not question():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.1)


def kill(processes: list[psutil.Process]) -> None:
    assert processes, "there was nothing to kill"
    for process in processes:
        process.kill()
    psutil.wait_procs(processes, timeout=READY_SECONDS)


def remaining(directory: Path) -> list[str]:
    """Return the command lines that still have to do with ``directory``."""
    found = []
    for process in psutil.process_iter(["cmdline", "environ"]):
        if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
            continue
        environ = process.info["environ"] or {}
        line = " ".join(process.info["cmdline"] or [])
        # pytest's own children inherit its variables, never this directory.
        if str(directory) in line or environ.get("DRIFTGUARD_DATA_DIR") == str(
            directory
        ):
            found.append(line)
    return found


def test_serve_answers_on_its_address(server: RunningServer) -> None:
    assert f"DriftGuard is ready at {server.url}" in server.output
    assert httpx.get(f"{server.url}/healthz").json() == {"status": "ok"}
    assert httpx.get(f"{server.url}/readyz").json() == {"status": "ok"}


def test_serve_hands_out_static_files(server: RunningServer) -> None:
    answer = httpx.get(f"{server.url}/static/unfold/css/styles.css")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/css")


def test_the_console_names_the_process_of_every_line(server: RunningServer) -> None:
    wait_for(lambda: "celery@" in server.output, "the worker's first line")
    names = {line.split("|")[0].strip() for line in server.lines if "|" in line}
    assert (
        {"database", "worker"}
        <= names
        <= {"serve", "supervisor", "database", "web", "worker", "beat"}
    )


def test_nothing_is_written_beside_the_data_directory(server: RunningServer) -> None:
    written = {
        open_file.path
        for process in server.processes()
        for open_file in process.open_files()
        if open_file.mode != "r"
    }
    strangers = {
        path
        for path in written
        if not path.startswith((str(server.directory), "/dev/", "/proc/"))
    }
    assert strangers == set()


def test_a_web_process_is_lean_after_its_first_batch(running: RunningServer) -> None:
    made = httpx.post(f"{running.url}/auth/register", json={"name": "Lean Bank"})
    key = made.raise_for_status().json()["api_key"]
    features = {f"feature {number}": number / 7 for number in range(20)}
    rows = [{"input_features": features, "prediction": 1}] * 1000
    model = {"model_name": "Lean", "version": "1", "task": "binary"}
    batch = {"model_id": "lean", "predictions": rows}
    for path, body in (("models", model), ("logs/prediction/batch", batch)):
        httpx.post(
            f"{running.url}/api/{path}",
            headers={"X-API-Key": key},
            json=body,
            timeout=60,
        ).raise_for_status()
    workers = running.find("granian")[1:]
    assert len(workers) == 2
    for worker in workers:
        assert worker.memory_info().rss <= 120 * 1024 * 1024
        paths = " ".join(one.path for one in worker.memory_maps())
        assert [name for name in HEAVY if f"/{name}/" in paths] == []


def test_a_second_serve_on_the_same_data_directory_is_refused(
    server: RunningServer,
) -> None:
    second = subprocess.run(
        [sys.executable, "manage.py", "serve", "--port", "1"],
        cwd=ROOT,
        env=server.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert second.returncode == 1
    assert f"already runs on {server.directory}" in second.stderr
    assert f"process {server.process.pid}" in second.stderr


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        server = RunningServer(tmp_path, {})
        server.port = other.getsockname()[1]
        server.start(wait=False)
        assert server.process.wait() == 1
        wait_for(lambda: "--port" in server.output, "the message")
    wanted = f"can't listen on 127.0.0.1:{server.port}: somebody else does."
    assert wanted in server.output
    assert remaining(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("web server", "granian"),
        ("worker", "celery --quiet --app=driftguard.celery:app worker"),
        ("beat", "celery --quiet --app=driftguard.celery:app beat"),
        ("database", "bin/postgres -D"),
    ],
)
def test_a_killed_process_comes_back_by_itself(
    running: RunningServer, name: str, words: str
) -> None:
    victim = running.find(words)[0]
    family = [victim, *victim.children(recursive=True)]
    kill([victim])
    # What the victim had started must not live on beside its successor.
    psutil.wait_procs(family, timeout=READY_SECONDS)
    assert [process for process in family if process.is_running()] == []
    wait_for(lambda: bool(running.find(words)), f"another {name}")
    running.wait_until_ready()


def test_the_whole_database_killed_at_once_comes_back(running: RunningServer) -> None:
    postmaster = running.find("bin/postgres -D")[0]
    kill([postmaster, *postmaster.children(recursive=True)])
    wait_for(lambda: bool(running.find("bin/postgres -D")), "another database")
    running.wait_until_ready()


def test_a_killed_web_process_is_replaced(running: RunningServer) -> None:
    kill(running.find("granian")[-1:])
    wait_for(lambda: len(running.find("granian")) == 3, "two web processes")
    running.wait_until_ready()


def test_a_killed_supervisor_is_replaced_with_all_it_looked_after(
    running: RunningServer,
) -> None:
    before = running.find("supervisord")
    kill(before)
    wait_for(lambda: running.find("supervisord") not in ([], before), "another one")
    wait_for(lambda: running.output.count("is ready at") == 2, "the second start")
    running.wait_until_ready()


def test_commands_use_the_database_of_a_running_serve(running: RunningServer) -> None:
    command = (
        "from django.contrib.sessions.models import Session as S;S.objects.count()"
    )
    subprocess.run(
        [sys.executable, "manage.py", "shell", "-c", command],
        cwd=ROOT,
        env=running.environment(),
        check=True,
    )
    assert running.is_ready()


def test_serve_starts_again_after_it_was_killed(running: RunningServer) -> None:
    family = running.processes()
    running.process.kill()
    running.process.wait()
    # At once: the predecessor's processes are still ending.
    running.lines.clear()
    running.start()
    assert running.is_ready()
    psutil.wait_procs(family, timeout=READY_SECONDS)
    assert [process for process in family if process.is_running()] == []


def test_serve_starts_again_after_everything_was_killed(running: RunningServer) -> None:
    kill(running.processes())
    running.process.wait()
    # The number of a dead process belongs to somebody else after a reboot.
    pid_file = running.directory / "postgres/data/postmaster.pid"
    lines = pid_file.read_text().splitlines()
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:]]))
    running.lines.clear()
    running.start()
    assert running.is_ready()


def test_ctrl_c_stops_everything_and_the_database_last(running: RunningServer) -> None:
    assert running.stop(signal.SIGINT) == 0
    assert_stopped_cleanly(running)


def assert_stopped_cleanly(server: RunningServer) -> None:
    wait_for(lambda: "Stopped." in server.output, "the last line")
    assert remaining(server.directory) == []
    last = [line for line in server.lines if "|" in line][-2:]
    assert "database system is shut down" in last[0], "the database stops last"


@pytest.mark.rabbitmq
def test_serve_works_with_a_real_message_broker_and_stops_on_sigterm(
    start_server: Starter, tmp_path: Path
) -> None:
    url = os.environ.get("TEST_RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672//")
    server = start_server(tmp_path, CELERY_BROKER_URL=url, WEB_WORKERS="1")
    wait_for(lambda: "Connected to amqp://" in server.output, "the connection")
    assert server.is_ready()
    assert not (tmp_path / "messages").exists()
    assert server.stop() == 0
    assert_stopped_cleanly(server)
