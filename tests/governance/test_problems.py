"""What a client sees when something goes wrong."""

import pytest
from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore
from django.db import OperationalError
from django.test import Client, RequestFactory

from governance.actions import registry
from governance.api.exceptions import (
    bad_request,
    page_not_found,
    permission_denied,
    server_error,
)
from tests import factories
from tests.governance.api import Api, api_of

pytestmark = pytest.mark.django_db
BODY = {"model_name": "m", "version": "1"}


@pytest.fixture
def api() -> Api:
    return api_of(factories.make_alice())


def test_a_bug_shows_nothing_of_itself(api: Api, monkeypatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("/srv/secret.py SELECT password")

    monkeypatch.setattr(registry, "register", broken)
    response = api.post("/api/models", BODY)
    assert response.status_code == 500
    assert response["Content-Type"] == "application/problem+json"
    assert b"secret" not in response.content
    assert b"Zero" not in response.content
    assert response["X-Request-ID"]


def test_a_database_that_is_away_is_a_503(api: Api, monkeypatch) -> None:
    def away(*_: object, **__: object) -> None:
        raise OperationalError("could not connect to server at 10.0.0.7")

    monkeypatch.setattr(registry, "register", away)
    response = api.post("/api/models", BODY)
    assert response.status_code == 503
    assert int(response["Retry-After"]) >= 1
    assert b"10.0.0.7" not in response.content


def test_a_body_of_unknown_length_is_refused(api: Api) -> None:
    response = Client().generic(
        "POST",
        "/api/models",
        b"",
        headers={**api.headers, "Transfer-Encoding": "chunked"},
        CONTENT_LENGTH="",
    )
    assert response.status_code == 411


def test_a_body_that_is_too_large_is_refused_unread(api: Api) -> None:
    response = Client().generic(
        "PATCH",
        "/api/models/1",
        b"{}",
        "application/json",
        headers=api.headers,
        CONTENT_LENGTH=str(26 * 1024 * 1024),
    )
    assert response.status_code == 413


def test_a_compressed_body_is_refused_where_none_is_taken(api: Api) -> None:
    api.headers["Content-Encoding"] = "gzip"
    assert api.post("/api/models", BODY).status_code == 415


@pytest.mark.parametrize("body", [None, [], 5, "text"])
def test_a_body_that_is_no_object_is_refused(api: Api, body: object) -> None:
    assert api.post("/api/models", body).status_code == 422


def test_an_unknown_host_is_answered_in_the_one_shape(api: Api) -> None:
    response = api.client.get(
        "/api/models", headers={**api.headers, "Host": "elsewhere.example"}
    )
    assert response.status_code == 400
    assert response["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("accept", ["text/html", "*/*"])
def test_a_page_whose_database_is_away_is_a_503(accept: str, monkeypatch) -> None:
    def away(*_: object, **__: object) -> None:
        raise OperationalError("could not connect to server at 10.0.0.7")

    monkeypatch.setattr(SessionStore, "load", away)
    client = Client(raise_request_exception=False)
    client.cookies[settings.SESSION_COOKIE_NAME] = "a" * 32
    response = client.get("/admin/", headers={"Accept": accept})
    assert response.status_code == 503
    assert int(response["Retry-After"]) >= 1
    assert b"10.0.0.7" not in response.content
    kind = "text/html" if accept == "text/html" else "application/problem+json"
    assert response["Content-Type"].startswith(kind)


def test_browsers_get_pages_and_clients_get_problems() -> None:
    for accept, kind in (
        ("text/html,*/*", "text/html"),
        ("*/*", "application/problem"),
    ):
        request = RequestFactory().get("/nothing", headers={"Accept": accept})
        assert page_not_found(request, Exception())["Content-Type"].startswith(kind)
        assert server_error(request)["Content-Type"].startswith(kind)
        for view in (bad_request, permission_denied):
            assert view(request, Exception())["Content-Type"].startswith(kind)


@pytest.mark.parametrize(
    ("view", "status", "words"),
    [
        (bad_request, 400, "not acceptable"),
        (permission_denied, 403, "may not do that"),
        (page_not_found, 404, "no such page"),
        (server_error, 500, "request <code>name-of-it</code>"),
    ],
)
def test_pages_of_errors_are_ours(view, status: int, words: str) -> None:
    request = RequestFactory().get(
        "/x", headers={"Accept": "text/html", "X-Request-ID": "name-of-it"}
    )
    response = view(request) if view is server_error else view(request, Exception())
    page = response.content.decode()
    assert response.status_code == status
    assert words in page
    assert "driftguard/plain.css" in page
    # Neither an inline script nor an inline style: the policy may forbid both.
    assert "<script" not in page
    assert "style=" not in page
    assert "<style" not in page
