"""A client's view: a real server, an organization of its own, a model."""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import httpx
import pytest
from driftguard_client import DriftGuard

from tests.running_server import RunningServer

_numbers = count(1)


def register(url: str) -> DriftGuard:
    """Return the client of a new organization with the model `fraud`."""
    with DriftGuard(url) as stranger:
        number = next(_numbers)
        key = stranger.register_organization(f"Client {number}")["api_key"]
    return with_model(DriftGuard(url, key))


def with_model(client: DriftGuard) -> DriftGuard:
    client.register_model(
        "Fraud",
        "1.0.0",
        task="binary",
        classes=[0, 1],
        schema_definition={
            "features": ["amount", "country"],
            "feature_types": {"amount": "float", "country": "categorical"},
        },
    )
    return client


@pytest.fixture
def client(server: RunningServer) -> Iterator[DriftGuard]:
    with register(server.url) as made:
        yield made


@pytest.fixture
def owner(server: RunningServer) -> Iterator[DriftGuard]:
    """A person, who may ask the gate."""
    email, password = f"owner{next(_numbers)}@client.test", "a long enough passphrase"
    with DriftGuard(server.url) as stranger:
        stranger.register_user(email, password, "Owner")
        token = stranger.login(email, password)["access_token"]
    with with_model(DriftGuard(server.url, token)) as made:
        yield made


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def fragile(start_server: Callable[..., RunningServer]) -> RunningServer:
    """A server that the test may kill."""
    return start_server()


def stored(client: DriftGuard) -> int:
    """Return how many predictions the server has."""
    return int(client.predictions("fraud", limit=1)["total"])


def is_up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", timeout=2).is_success
    except httpx.HTTPError:
        return False
