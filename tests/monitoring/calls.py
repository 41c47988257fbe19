"""Calling the hot endpoints the way their WSGI application does."""

import json
from typing import Any

from django.test import RequestFactory
from django.urls import resolve

__all__ = ["Caller"]


class Caller:
    """Somebody with an API key; every call returns the status and the decoded body."""

    def __init__(self, key: str, **headers: str) -> None:
        self.key = key
        self.headers = headers

    def __call__(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, Any]:
        response = self.raw(method, path, body, **headers)
        return response.status_code, json.loads(response.content)

    def raw(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = {"Authorization": f"Bearer {self.key}", **self.headers, **headers}
        content_type = given.pop("Content-Type", "application/json")
        request = RequestFactory().generic(
            method,
            path,
            b"" if body is None else data,
            content_type=content_type,
            headers={name: value for name, value in given.items() if value},
        )
        match = resolve(request.path, "monitoring.api.hot")
        return match.func(request, *match.args, **match.kwargs)

    def post(self, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        return self("POST", path, body, **headers)

    def get(self, path: str) -> tuple[int, Any]:
        return self("GET", path)

    def put(self, path: str, body: Any) -> tuple[int, Any]:
        return self("PUT", path, body)
