"""The demo's client: it repeats what may be repeated, and says what was refused."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from driftguard.demo.api import Api, ApiError

Answer = tuple[int, dict[str, Any]]
CUT = 0  # the connection is closed without an answer


class ScriptedServer(ThreadingHTTPServer):
    """Gives the answers of a script in their order, and keeps the requests."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: list[Answer] = []
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: ScriptedServer

    def do_GET(self) -> None:
        self.answer(b"")

    def do_POST(self) -> None:
        self.answer(self.rfile.read(int(self.headers["Content-Length"])))

    def answer(self, body: bytes) -> None:
        self.server.requests.append((self.command, self.path, dict(self.headers), body))
        status, content = self.server.script.pop(0)
        if status == CUT:
            self.close_connection = True
            return
        payload = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_: Any) -> None:
        """Keep the console quiet."""


@pytest.fixture
def scripted() -> Iterator[ScriptedServer]:
    server = ScriptedServer()
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def api(scripted: ScriptedServer) -> Iterator[Api]:
    with Api(scripted.url, "dg_live_key", patience=20) as api:
        yield api


def test_a_post_with_a_key_is_repeated_until_it_is_acknowledged(
    scripted: ScriptedServer, api: Api
) -> None:
    busy = {"code": "idempotency_in_flight", "detail": "being answered"}
    scripted.script = [(503, {}), (CUT, {}), (409, busy), (201, {"accepted": 1})]
    assert api.post("/rows", {"a": 1}, key="k1") == {"accepted": 1}
    assert api.retries == 3
    keys = {headers["Idempotency-Key"] for _, _, headers, _ in scripted.requests}
    bodies = {body for _, _, _, body in scripted.requests}
    assert keys == {"k1"}
    assert bodies == {b'{"a":1}'}


@pytest.mark.parametrize("status", [CUT, 503])
def test_a_post_without_a_key_is_tried_once(
    scripted: ScriptedServer, api: Api, status: int
) -> None:
    scripted.script = [(status, {})]
    with pytest.raises((ApiError, httpx.TransportError)):
        api.post("/rows", {})
    assert len(scripted.requests) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422, 500])
def test_a_refusal_is_not_repeated(
    scripted: ScriptedServer, api: Api, status: int
) -> None:
    scripted.script = [(status, {"code": "conflict"})]
    with pytest.raises(ApiError) as refused:
        api.post("/rows", {}, key="k1")
    assert refused.value.status == status
    assert len(scripted.requests) == 1


def test_a_refusal_is_told_with_its_fields(scripted: ScriptedServer, api: Api) -> None:
    fault = {"loc": ["predictions", 3, "AGE"], "code": "type", "detail": "no number"}
    scripted.script = [(422, {"detail": "Not valid.", "errors": [fault]})]
    with pytest.raises(
        ApiError, match=r"POST /rows answered 422: Not valid\.; predictions\.3\.AGE: no"
    ):
        api.post("/rows", {})


def test_patience_ends(scripted: ScriptedServer) -> None:
    scripted.script = [(503, {"detail": "later"})] * 50
    with Api(scripted.url, "key", patience=0.3) as api, pytest.raises(ApiError):
        api.get("/rows")
    assert 2 <= len(scripted.requests) < 10


def test_a_server_that_is_not_there_times_out() -> None:
    # Port 9 (discard) refuses connections.
    nobody = Api("http://127.0.0.1:9", "key", patience=0.3)
    with nobody as api, pytest.raises(TimeoutError, match="GET /rows"):
        api.get("/rows")


def test_a_get_carries_the_key_of_the_organization_and_its_parameters(
    scripted: ScriptedServer, api: Api
) -> None:
    scripted.script = [(200, {"total": 0})]
    assert api.get("/rows", limit=1) == {"total": 0}
    [(_, path, headers, _)] = scripted.requests
    assert path == "/rows?limit=1"
    assert headers["Authorization"] == "Bearer dg_live_key"
