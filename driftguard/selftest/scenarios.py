"""What an attempt is made of, and the ways in which it is made."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.db import connection, models
from django.http import HttpResponseBase
from django.test import Client
from django.urls import reverse

from governance.models import User

Act = Callable[[], Any]
BACKEND = "django.contrib.auth.backends.ModelBackend"


@dataclass(frozen=True, slots=True)
class Trial:
    """One thing that must not happen: the ways to try it, and how to tell."""

    ways: Mapping[str, Act]
    is_through: Callable[[], bool]
    # What may be done instead, and makes `is_through` true.
    meant: Act | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """A control: what must not happen, and what has to be there to try it."""

    what: str
    prepare: Callable[[Any], Trial]


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who sends requests, with a key, a token or the cookie of a session."""

    headers: Mapping[str, str] = field(default_factory=dict)
    user: User | None = None

    def _client(self) -> Client:
        hosts = [one for one in settings.ALLOWED_HOSTS if "*" not in one]
        host = hosts[0].lstrip(".") if hosts else "127.0.0.1"
        client = Client(
            raise_request_exception=False,
            headers={"host": host, **self.headers},
        )
        if self.user is not None:
            client.force_login(self.user, backend=BACKEND)
        return client

    def send(self, method: str, path: str, body: Any = None) -> HttpResponseBase:
        """Send JSON to the API."""
        content = b"" if body is None else json.dumps(body, default=str).encode()
        answer: HttpResponseBase = self._client().generic(
            method, path, content, "application/json", secure=settings.HTTPS
        )
        return answer

    def post(self, path: str, body: Any = None) -> HttpResponseBase:
        return self.send("POST", path, body)

    def submit(self, path: str, fields: Mapping[str, Any]) -> HttpResponseBase:
        """Send a form of the admin."""
        answer: HttpResponseBase = self._client().post(
            path, dict(fields), secure=settings.HTTPS
        )
        return answer


def sql(statement: str, *parameters: str | int) -> Act:
    """Return what runs a statement as the application's role."""

    def act() -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement, parameters)

    return act


def page(row: models.Model, name: str = "change") -> str:
    """Return the address of a row's page in the admin."""
    options = row._meta
    route = f"admin:{options.app_label}_{options.model_name}_change"
    path = reverse(route, args=[row.pk])
    return path if name == "change" else path.replace("change/", f"{name}/")


def admin_ways(
    visitor: Visitor, row: models.Model, fields: Mapping[str, Any]
) -> dict[str, Act]:
    """Return how to change and delete a row in the admin: by form and by action."""
    options = row._meta
    listed = reverse(f"admin:{options.app_label}_{options.model_name}_changelist")
    chosen = {
        "action": "delete_selected",
        "_selected_action": str(row.pk),
        "post": "yes",
    }
    return {
        "admin form": lambda: visitor.submit(page(row), fields),
        "admin deletion": lambda: visitor.submit(page(row, "delete"), {"post": "yes"}),
        "admin action": lambda: visitor.submit(listed, chosen),
    }
