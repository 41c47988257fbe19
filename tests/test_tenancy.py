"""Every route, method and caller, found in the URL configuration itself."""

import json
import re
from collections.abc import Iterator

import pytest
from django.http import HttpResponse
from django.urls import URLPattern, URLResolver, get_resolver

from driftguard.portal import urls as pages
from governance.identifiers import encode, uuid7
from governance.models import RegisteredModel
from tests import factories
from tests.governance.api import Api, api_of

pytestmark = pytest.mark.django_db

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
SAFE = {"GET"}
# What needs no credential, and what is no part of the API.
OPEN = {
    "",
    "admin",
    "auth/register",
    "api/auth/register",
    "api/auth/login",
    "api/auth/refresh",
    "api/auth/logout",
    "api/invitations/accept",
    "api/invitations/decline",
    "invitations",
    "invitations/<str:token>",
    "command-center",
    "dashboard",
    "docs",
    "healthz",
    "openapi.json",
    "api/permit-keys",
    "readyz",
    "redoc",
}
READING = ["mlops:read", "models:read", "governance:read", "audit:read"]
MODEL_ID = 987_654_321_000
# What is no number can't be a model's integer id.
UNKNOWN = encode("pred", uuid7())


def routes(
    patterns: list[URLPattern | URLResolver], prefix: str = ""
) -> Iterator[tuple[str, list[str]]]:
    for pattern in patterns:
        path = prefix + str(pattern.pattern).removeprefix("^").removesuffix("$")
        if isinstance(pattern, URLResolver):
            # Pages have their own tests: a form isn't called with a key.
            if not path.startswith("admin/") and pattern.urlconf_name is not pages:
                yield from routes(pattern.url_patterns, path)
        elif path not in OPEN:
            yield path, list(pattern.pattern.converters)


ROUTES = sorted(dict(routes(get_resolver().url_patterns)))


def address(route: str, model: object) -> str:
    """Fill a route in: its first part in angle brackets is a model, unless it isn't."""
    names_model = "models/<" in route
    start, _, rest = route.partition("<")
    path = "/" + start
    if rest:
        path += str(model) if names_model else UNKNOWN
        path += rest.partition(">")[2]
    start, _, rest = path.partition("<")
    return start + (UNKNOWN + rest.partition(">")[2] if rest else "")


def call(api: Api, method: str, route: str, model: object) -> HttpResponse:
    """Name the model wherever a route could look for it: path, query and body."""
    path = address(route, model)
    if method in SAFE:
        wants_model = "drift/" in route and "models/" not in route
        return api(method, f"{path}?modelId={model}" if wants_model else path)
    body = {"modelId": str(model), "model_id": model} if "<" not in route else {}
    if "activate" in route:
        body = {"modelId": str(model)}
    return api(method, path, body)


def comparable(response: HttpResponse, model: object) -> tuple[int, bytes]:
    """Return an answer without the reference that the caller used."""
    reference = rf"(?<!\w){re.escape(str(model))}(?!\w)".encode()
    return response.status_code, re.sub(reference, b"<model>", response.content)


def test_the_walk_finds_the_routes() -> None:
    assert "api/models/<str:reference>" in ROUTES
    assert len(ROUTES) >= 20


@pytest.mark.parametrize("route", ROUTES)
def test_nobody_gets_nothing(route: str) -> None:
    model = factories.make_model(factories.make_alice())
    for method in METHODS:
        response = call(Api(), method, route, model.pk)
        assert response.status_code in {401, 405}, (method, response.content)
        assert response["Content-Type"] == "application/problem+json"


# They name no object, and each reading is an entry of the reader's own trail.
TRAIL = [f"api/audit{rest}" for rest in ("", "/export", "/bundle", "/checkpoint")]


@pytest.mark.parametrize("route", TRAIL[:2])
def test_the_trail_holds_nothing_of_another_organization(route: str) -> None:
    secret = factories.make_model(factories.make_alice(), name="Alice's secret model")
    response = call(api_of(factories.make_charlie()), "GET", route, secret.pk)
    assert response.status_code == 200
    assert b"secret model" not in response.getvalue()


@pytest.mark.parametrize("route", [one for one in ROUTES if one not in TRAIL])
def test_another_organizations_object_is_a_missing_one(route: str) -> None:
    model = factories.make_model(factories.make_alice())
    charlie = api_of(factories.make_charlie())
    before = json.dumps(list(RegisteredModel.objects.values()), default=str)
    for method in METHODS:
        for reference, missing in ((model.pk, MODEL_ID), (model.slug, "missing-slug")):
            theirs = call(charlie, method, route, reference)
            nothing = call(charlie, method, route, missing)
            assert comparable(theirs, reference) == comparable(nothing, missing)
            assert theirs.status_code < 500
            if "models/<" in route:
                assert theirs.status_code in {404, 405}, (method, theirs.content)
    assert json.dumps(list(RegisteredModel.objects.values()), default=str) == before


@pytest.mark.parametrize("route", ROUTES)
def test_a_key_that_may_read_changes_nothing(route: str) -> None:
    alice = factories.make_alice()
    model = factories.make_model(alice)
    reader = api_of(alice, scopes=READING)
    for method in METHODS:
        response = call(reader, method, route, model.pk)
        if method in SAFE:
            assert response.status_code not in {401, 403}, (method, response.content)
        else:
            assert response.status_code in {403, 405}, (method, response.content)


@pytest.mark.parametrize("route", ROUTES)
def test_the_owner_is_always_answered(route: str) -> None:
    alice = factories.make_alice()
    model = factories.make_model(alice)
    api = api_of(alice)
    for method in METHODS:
        response = call(api, method, route, model.pk)
        assert response.status_code < 500, response.content
        assert response.status_code not in {401, 403}, (method, response.content)
        assert response["X-Request-ID"]
        if response.status_code >= 400:
            assert response["Content-Type"] == "application/problem+json"
            problem = response.json()
            assert problem["status"] == response.status_code
            assert set(problem) >= {"type", "title", "detail", "instance", "errors"}


@pytest.mark.parametrize("route", ROUTES)
def test_no_scope_at_all_opens_nothing(route: str) -> None:
    alice = factories.make_alice()
    model = factories.make_model(alice)
    api = api_of(alice, scopes=[])
    for method in METHODS:
        response = call(api, method, route, model.pk)
        assert response.status_code in {403, 405}, (method, response.content)
