"""The OpenAPI document says all there is to say, and nothing that isn't so."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client
from drf_spectacular.generators import SchemaGenerator
from jsonschema import Draft202012Validator

from tests.factories import make_alice, make_api_key

METHODS = ("get", "post", "put", "patch", "delete")
DOCUMENT: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)
OPERATIONS = {
    f"{method.upper()} {path}": item[method]
    for path, item in sorted(DOCUMENT["paths"].items())
    for method in METHODS
    if method in item
}
Json = dict[str, Any]
JSON = "application/json"
each = pytest.mark.parametrize("name", OPERATIONS)


def bodies(operation: Json) -> Iterator[tuple[str, str, Json]]:
    """Yield whose body it is (the request's, or a status), its type and description."""
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        yield "request", media, content
    for status, response in operation["responses"].items():
        for media, content in response.get("content", {}).items():
            yield status, media, content


def examples(content: Json) -> list[Any]:
    return [one["value"] for one in content.get("examples", {}).values()]


def test_the_document_is_of_the_version_that_it_names() -> None:
    assert DOCUMENT["openapi"].startswith("3.1")
    assert len(OPERATIONS) > 50


def test_operations_have_names_of_their_own() -> None:
    names = [operation["operationId"] for operation in OPERATIONS.values()]
    assert len(set(names)) == len(names)
    assert not any(re.search(r"_\d+$", name) for name in names)


@each
def test_an_operation_says_what_it_does(name: str) -> None:
    operation = OPERATIONS[name]
    assert operation["summary"]
    assert operation["tags"]
    assert len(operation["summary"]) < 80


@each
def test_parameters_of_the_address_have_the_published_names(name: str) -> None:
    _, path = name.split()
    inside = set(re.findall(r"\{(\w+)\}", path))
    described = {
        one["name"]
        for one in OPERATIONS[name].get("parameters", ())
        if one["in"] == "path"
    }
    assert inside == described
    assert "reference" not in inside
    if path.startswith("/api/models/"):
        assert "{id}" in path
    if path.startswith("/models/"):
        assert "{model_id}" in path


@each
def test_every_body_has_an_example_that_fits(name: str) -> None:
    for whose, media, content in bodies(OPERATIONS[name]):
        if content["schema"].get("format") == "binary":
            continue
        found = examples(content)
        assert found, (whose, media)
        schema = {**content["schema"], "components": DOCUMENT["components"]}
        validator = Draft202012Validator(schema)
        for example in found:
            faults = [
                f"{error.json_path}: {error.message[:120]}"
                for error in validator.iter_errors(example)
                # An example may leave fields out, if whose they are is an answer.
                if whose == "request" or error.validator != "required"
            ]
            assert faults == [], (whose, media)


@each
def test_every_operation_tells_its_errors(name: str) -> None:
    operation = OPERATIONS[name]
    told = set(operation["responses"])
    needed = {"503"}
    if "security" in operation and {} not in operation["security"]:
        needed |= {"401", "403"}
    if "requestBody" in operation:
        needed |= {"400", "413", "415", "422"}
    if "{" in name:
        needed |= {"404"}
    assert needed <= told
    assert any(status.startswith("2") for status in told)


class Caller:
    """Does all the wrong things to one operation."""

    def __init__(self, name: str, key: str) -> None:
        self.method, path = name.split()
        self.path = re.sub(r"\{\w+\}", "no-such-thing", path)
        self.operation = OPERATIONS[name]
        self.key = {"Authorization": f"Bearer {key}"}
        self.client = Client(raise_request_exception=False)

    def send(
        self,
        body: bytes = b"",
        query: str = "",
        kind: str = "application/json",
        **headers: str,
    ) -> HttpResponse:
        return self.client.generic(
            self.method, self.path + query, body, kind, headers={**self.key, **headers}
        )

    def all(self) -> Iterator[tuple[str, HttpResponse]]:
        yield "nothing at all", self.send()
        yield "no credential", self.send(Authorization="")
        yield "a bad credential", self.send(Authorization="Bearer nonsense")
        yield "an unknown parameter", self.send(query="?no_such_parameter=1")
        yield "no limit", self.send(query="?limit=many")
        if "requestBody" not in self.operation:
            return
        example = json.dumps(self.example()).encode()
        yield "the example", self.send(example)
        yield "no JSON", self.send(b"{")
        yield "no object", self.send(b"[]")
        yield "an empty object", self.send(b"{}")
        yield "an unknown field", self.send(b'{"no_such_field": 1}')
        yield "another type", self.send(b"<xml/>", kind="application/xml")
        yield "not a number", self.send(b'{"a": NaN}')
        yield "bad gzip", self.send(b"xyz", **{"Content-Encoding": "gzip"})
        yield "a key too long", self.send(example, **{"Idempotency-Key": "k" * 300})

    def example(self) -> Any:
        content = self.operation["requestBody"]["content"]
        return examples(content[JSON])[0] if JSON in content else {}


@pytest.mark.django_db
@each
def test_whatever_goes_wrong_is_described(name: str) -> None:
    _, key = make_api_key(make_alice())
    _, weak = make_api_key(make_alice(), scopes=[])
    for credential in (key, weak):
        for what, answer in Caller(name, credential).all():
            told = OPERATIONS[name]["responses"]
            assert str(answer.status_code) in told, (what, answer.content)
            if answer.status_code >= 400:
                assert answer["Content-Type"] == "application/problem+json"
