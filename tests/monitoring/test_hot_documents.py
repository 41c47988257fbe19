"""The OpenAPI document knows the hot calls, and its examples are taken as they are."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from governance.models import RegisteredModel
from monitoring.api import hot
from tests.factories import make_alice, make_api_key
from tests.governance.api import Api
from tests.monitoring.calls import Caller

pytestmark = pytest.mark.django_db
METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture
def document(client: Client) -> dict[str, Any]:
    described: dict[str, Any] = client.get("/openapi.json").json()
    return described


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for method in METHODS & item.keys():
            yield method, path, item[method]


def example_of(body: dict[str, Any]) -> Any:
    [example] = body["content"]["application/json"]["examples"].values()
    return example["value"]


def test_every_hot_call_is_described(document: dict[str, Any]) -> None:
    call = Caller("")
    served = set()
    for pattern in hot.urlpatterns:
        path = "/" + re.sub(r"<str:(\w+)>", r"{\1}", str(pattern.pattern))
        refused = call.raw("DELETE", path.replace("{", "").replace("}", ""))
        for method in refused["Allow"].split(", "):
            served.add((method.lower(), path))
    described = {(method, path) for method, path, _ in operations(document)}
    assert len(served) >= 10
    assert served <= described


def test_every_body_is_json_with_an_example(document: dict[str, Any]) -> None:
    for method, path, operation in operations(document):
        content = operation.get("requestBody", {}).get("content", {})
        if any(media["schema"].get("format") != "binary" for media in content.values()):
            assert example_of(operation["requestBody"]), (method, path)


def test_the_examples_are_taken_as_they_are(document: dict[str, Any]) -> None:
    alice = make_alice()
    _, text = make_api_key(alice)
    call, api = Caller(text), Api(text)
    registration = document["paths"]["/api/models"]["post"]["requestBody"]
    assert api.post("/api/models", example_of(registration)).status_code == 201
    model = RegisteredModel.objects.for_organization(alice.organization).get()
    prediction, taken = "", []
    hot_paths = {str(pattern.pattern).split("<")[0] for pattern in hot.urlpatterns}
    for method, path, operation in sorted(
        operations(document), key=lambda one: (one[0] == "put", one[1])
    ):
        if path[1:].split("{")[0] not in hot_paths or method == "get":
            continue
        if "requestBody" not in operation or "{id}" in path:
            continue
        if path.endswith("/predict"):
            continue  # nothing is deployed
        address = path.format(model_id=model.slug, prediction_id=prediction)
        body = example_of(operation["requestBody"])
        status, answer = call(method.upper(), address, body)
        assert str(status) in operation["responses"], (address, answer)
        assert status < 300, (address, answer)
        prediction = prediction or str(answer.get("id", ""))
        taken.append(address)
    assert len(taken) >= 8
