"""A client of one dialect: plain HTTP, as the published description has it."""

import time
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import httpx
import pytest

from tests.running_server import RunningServer

_numbers = count(1)
SECONDS = 60


@pytest.fixture
def http(server: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=30) as client:
        yield client


@pytest.fixture
def email() -> str:
    return f"contract{next(_numbers)}@example.com"


def ok(answer: httpx.Response, status: int) -> Any:
    """Return the decoded answer, which has to have this status."""
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


def until(ask: Callable[[], Any], holds: Callable[[Any], bool]) -> Any:
    """Ask again until the answer is as it has to become, within a minute."""
    deadline = time.monotonic() + SECONDS
    while not holds(told := ask()):
        assert time.monotonic() < deadline, f"it stayed at {told}"
        time.sleep(0.2)
    return told
