"""A client of the API for tests: JSON in, JSON out, with a key."""

import json
from typing import Any

from django.http import HttpResponse
from django.test import Client

from governance.actions import sessions
from tests import factories


class Api:
    """Speaks to the API with one credential, or with none."""

    def __init__(self, text: str = "", **headers: str) -> None:
        self.client = Client(raise_request_exception=False)
        self.headers = {**({"Authorization": f"Bearer {text}"} if text else {})}
        self.headers.update(headers)

    def __call__(self, method: str, path: str, body: Any = None) -> HttpResponse:
        content = b"" if body is None else json.dumps(body).encode()
        return self.client.generic(
            method, path, content, "application/json", headers=self.headers
        )

    def get(self, path: str) -> HttpResponse:
        return self("GET", path)

    def post(self, path: str, body: Any = None) -> HttpResponse:
        return self("POST", path, body)

    def patch(self, path: str, body: Any = None) -> HttpResponse:
        return self("PATCH", path, body)


def api_of(person: factories.Person, **fields: Any) -> Api:
    _, text = factories.make_api_key(person, **fields)
    return Api(text)


def signed_in(person: factories.Person) -> Api:
    """Speak with a person's own token, in their roles."""
    made = sessions.start(person.user, person.organization, actor=person.actor)
    return Api(made.access)


def faults(response: HttpResponse) -> dict[str, str]:
    """Return where → code of every fault in a problem."""
    return {
        ".".join(map(str, one["loc"])): one["code"] for one in response.json()["errors"]
    }
