"""The image and the compose file: every process as they run it, on real services."""

import base64
import json
import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from django.conf import settings
from kombu import Connection

from tests.running_server import free_port

ROOT = Path(__file__).parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
OURS = {
    name: service
    for name, service in COMPOSE["services"].items()
    if service["image"] == "driftguard"
}
RABBITMQ = os.environ.get("TEST_RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672//")
SECRET = secrets.token_urlsafe(48)


def command(name: str) -> list[str]:
    found: list[str] = OURS[name]["command"]
    assert found[:2] == ["python", "manage.py"]
    return [sys.executable, *found[1:]]


@pytest.fixture
def environment(cloned_db: str, tmp_path: Path) -> dict[str, str]:
    """Give what the compose file gives, with services of this machine."""
    login = settings.EXTERNAL_DATABASE
    options = "&".join(f"{k}={v}" for k, v in login["OPTIONS"].items())
    host = f"host={login['HOST']}&port={login['PORT']}&{options}"
    user = (
        f"{login['USER']}:{login['PASSWORD']}" if login["PASSWORD"] else login["USER"]
    )
    values = {
        "DATABASE_URL": f"postgresql://{user}@/{cloned_db}?{host}",
        "CELERY_BROKER_URL": RABBITMQ,
        "SECRET_KEY": SECRET,
        "SIGNING_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
        "SITE_URL": "https://driftguard.example.com",
        "NUM_PROXIES": "1",
        "OPEN_REGISTRATION": "false",
        "DRIFTGUARD_QUEUE_KEY": "",
    }
    assert values.keys() == OURS["web"]["environment"].keys()
    data = {"DRIFTGUARD_DATA_DIR": str(tmp_path), "DRIFTGUARD_ENV_FILE": ""}
    data |= {"LOG_LEVEL": "INFO"}
    return {**os.environ, **values, **data}


def run(arguments: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("name", OURS)
def test_each_process_may_do_as_little_as_it_can(name: str) -> None:
    service = OURS[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "user" not in service  # the image's, which is not root
    assert "privileged" not in service


def test_the_image_runs_as_nobody_in_particular() -> None:
    text = (ROOT / "Dockerfile").read_text()
    users = re.findall(r"^USER (\S+)$", text, re.M)
    assert users == ["10001:10001"]
    for copied in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.M):
        for path in copied.split():
            assert (ROOT / path).exists(), path
            first = path.partition("/")[0]
            assert f"!{first}" in (ROOT / ".dockerignore").read_text().splitlines()
    assert all(
        "latest" not in image for image in re.findall(r"^FROM (\S+)", text, re.M)
    )
    health = re.search(r"HEALTHCHECK.*?CMD (\[.*?\])", text, re.S)
    assert health is not None
    assert json.loads(health[1])[:2] == ["python", "manage.py"]


def test_every_secret_of_the_compose_file_has_an_example() -> None:
    asked = set(re.findall(r"\$\{(\w+):\?", (ROOT / "docker-compose.yml").read_text()))
    given = set(re.findall(r"^(\w+)=", (ROOT / ".env.example").read_text(), re.M))
    assert asked <= given


def test_the_deployment_is_clean_by_djangos_checks(environment: dict[str, str]) -> None:
    said = run(["check", "--deploy", "--fail-level=WARNING"], environment)
    assert "no issues" in said


@pytest.mark.rabbitmq
def test_each_process_runs_by_its_command(
    environment: dict[str, str], tmp_path: Path, queue: str
) -> None:
    run(OURS["migrate"]["command"][2:], environment)
    run(["ready"], environment)
    port = free_port()
    commands = {
        "web": [*command("web"), f"--port={port}"],
        "worker": command("worker"),
        "beat": command("beat"),
        "consumer": [*command("consumer")[:-1], RABBITMQ, f"--queue={queue}"],
    }
    # What each says when it has begun; beat says nothing, and keeps a file.
    signs = {"worker": "ready", "consumer": "QUEUE_KEY"}
    logs = {name: tmp_path / f"{name}.log" for name in commands}
    started = {}
    try:
        for name, arguments in commands.items():
            with logs[name].open("wb") as log:
                started[name] = subprocess.Popen(
                    arguments, cwd=ROOT, env=environment, stdout=log, stderr=log
                )
        deadline = time.monotonic() + 60
        while signs or not (answers(port) and any(tmp_path.glob("beat-schedule*"))):
            for name, process in started.items():
                said = logs[name].read_text()
                assert process.poll() is None, said
                if name in signs and signs[name] in said:
                    del signs[name]
            assert time.monotonic() < deadline, signs
            time.sleep(0.1)
    finally:
        for process in started.values():
            process.terminate()
        ended = {name: process.wait(60) for name, process in started.items()}
    # They are what was started, not its children: signals reach them.
    assert set(ended.values()) == {0}, ended


@pytest.fixture
def queue() -> Iterator[str]:
    name = f"test-{secrets.token_hex(4)}"
    yield name
    with Connection(RABBITMQ) as connection, connection.channel() as channel:
        for one in (name, f"{name}.dead"):
            channel.queue_delete(one)


def answers(port: int) -> bool:
    try:
        # Beside the process, without TLS, as the health check asks.
        return httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200
    except httpx.TransportError:
        return False
