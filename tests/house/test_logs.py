import json
import logging
import logging.config
import subprocess
import sys
import time

import psutil
import pytest
import structlog

from driftguard import logs
from tests.running_server import ROOT

KEY = "dg_production_Ab3dEf7h_" + "x" * 38


def formatted(message: str, *arguments: object, **extra: object) -> dict[str, object]:
    """Return what the console handler prints for one line of the logging module."""
    chosen = logs.configuration("INFO")["formatters"]["json"]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=chosen["foreign_pre_chain"], processors=chosen["processors"]
    )
    record = logging.LogRecord("test", logging.INFO, "", 1, message, arguments, None)
    line = formatter.format(record)
    parsed: dict[str, object] = json.loads(line)
    return parsed


def test_a_line_is_json_with_its_level_logger_and_request() -> None:
    with structlog.contextvars.bound_contextvars(request_id="order-42"):
        line = formatted("stored %d rows", 3)
    assert line["event"] == "stored 3 rows"
    assert line["level"] == "info"
    assert line["logger"] == "test"
    assert line["request_id"] == "order-42"
    assert str(line["timestamp"]).endswith("Z")


@pytest.mark.parametrize(
    "secret",
    [
        KEY,
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
        "driftguard:hunter2",
    ],
)
def test_credentials_in_a_message_are_hidden(secret: str) -> None:
    line = formatted("refused amqp://%s@host/", secret)
    assert secret not in json.dumps(line)
    assert logs.HIDDEN in str(line["event"])


@pytest.mark.parametrize("name", ["password", "api_key", "Authorization", "new_token"])
def test_a_field_with_a_secret_name_is_hidden(name: str) -> None:
    assert logs.hide_secrets(None, "info", {name: "hunter2", "rows": 3}) == {
        name: logs.HIDDEN,
        "rows": 3,
    }


def test_a_tethered_process_ends_with_its_parent() -> None:
    sleeper = f"{sys.executable} -m driftguard.tether sleep 600"
    parent = subprocess.Popen(
        ["/bin/sh", "-c", f"{sleeper} & echo $!; wait"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    while child.name() != "sleep":
        time.sleep(0.01)
    parent.kill()
    parent.wait()
    child.wait(30)
