"""A small client of the HTTP interface: it retries, and never stores twice."""

import json
import time
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

import httpx

# Answers that say "later", not "no".
LATER = {
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
}
LONGEST_PAUSE = 2.0  # seconds between two tries


class ApiError(Exception):
    """DriftGuard refused a call; the message is its own explanation."""

    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self.problem = _problem(response)
        faults = [
            f"{'.'.join(map(str, error['loc']))}: {error['detail']}"
            for error in self.problem.get("errors", [])[:3]
        ]
        said = "; ".join([str(self.problem.get("detail", "")), *faults])
        call = f"{response.request.method} {response.request.url.path}"
        super().__init__(f"{call} answered {self.status}: {said}")


class Api:
    """One organization's calls, authenticated by its API key.

    A call is tried again while the server is away or asks for patience, for up to
    ``patience`` seconds. That is safe for what stores only with an idempotency key:
    a POST without one is tried once.
    """

    def __init__(self, address: str, key: str, *, patience: float = 60.0) -> None:
        self.patience = patience
        self.retries = 0
        self.client = httpx.Client(
            base_url=address,
            headers={"Authorization": f"Bearer {key}"},
            timeout=60.0,
            trust_env=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.client.close()

    def get(self, path: str, **params: str | int) -> Any:
        return self._call("GET", path, again=True, params=params)

    def post(self, path: str, body: Any, *, key: str = "") -> Any:
        headers = {"Content-Type": "application/json"}
        if key:
            headers["Idempotency-Key"] = key
        content = json.dumps(body, allow_nan=False, separators=(",", ":"))
        return self._call(
            "POST", path, again=bool(key), content=content, headers=headers
        )

    def _call(self, method: str, path: str, *, again: bool, **request: Any) -> Any:
        deadline = time.monotonic() + self.patience
        pause = 0.1
        while True:
            response = self._try(method, path, again=again, **request)
            if response is not None and response.is_success:
                return response.json()
            may_wait = again and time.monotonic() < deadline
            if response is not None and not (may_wait and _is_later(response)):
                raise ApiError(response)
            if not may_wait:
                raise TimeoutError(f"{method} {path}: no answer from the server")
            self.retries += 1
            time.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def _try(
        self, method: str, path: str, *, again: bool, **request: Any
    ) -> httpx.Response | None:
        try:
            return self.client.request(method, path, **request)
        except httpx.TransportError:
            if not again:
                raise
            return None


def _is_later(response: httpx.Response) -> bool:
    if response.status_code == HTTPStatus.CONFLICT:
        # The same request is being answered at this moment.
        return _problem(response).get("code") == "idempotency_in_flight"
    return response.status_code in LATER


def _problem(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {"detail": response.text[:200]}
    return body if isinstance(body, dict) else {"detail": str(body)[:200]}
