"""Whatever a client may send by the OpenAPI document, the answer is in the document.

Schemathesis makes requests out of the document, sound ones and broken ones, and checks
what comes back: status, type and body as described, no server error, broken requests
refused, no call without its credential.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from pytest_django import DjangoDbBlocker
from schemathesis import Case
from schemathesis.config import SchemathesisConfig

from driftguard.wsgi import application
from governance.actions import credentials
from monitoring.ingest import catalog
from tests import factories
from tests.conftest import clone

EXAMPLES = 2  # of each operation; the whole takes less than a minute
STORIES, STEPS = 30, 6  # of calls that take what others answered
FOLLOWED = 5  # at least so many of them have to succeed
# Beside those that schemathesis expects for a request that breaks the document.
REFUSED = [400, 401, 403, 404, 405, 406, 409, 411, 413, 415, 422, 429]


def document() -> dict[str, Any]:
    """Return the document with one credential of the two that each do for a call."""
    made = SchemaGenerator().get_schema(request=None, public=True)
    found: dict[str, Any] = json.loads(json.dumps(made, default=str))
    for operations in found["paths"].values():
        for operation in operations.values():
            security = operation.get("security", [])
            operation["security"] = [one for one in security if "X-API-Key" not in one]
    return found


schema = schemathesis.openapi.from_dict(
    document(),
    config=SchemathesisConfig.from_dict(
        {
            "checks": {
                "negative_data_rejection": {"expected-statuses": REFUSED},
                # What may be said depends on what is there, which no document tells.
                "positive_data_acceptance": {"enabled": False},
            }
        }
    ),
)
schema.app = application


@schemathesis.serializer("application/jsonl", "application/vnd.apache.parquet")
def as_bytes(context: Any, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


@pytest.fixture(scope="module")
def key(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[str]:
    """Return the key of somebody who has a model, in a database of the module's own."""
    with django_db_blocker.unblock(), clone():
        catalog.forget()
        credentials.forget()
        alice = factories.make_alice()
        factories.make_version(alice, name="Credit risk classifier", version="2.1.0")
        yield factories.make_api_key(alice)[1]
        catalog.forget()
        credentials.forget()


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_an_operation_answers_as_it_says(case: Case, key: str) -> None:
    case.call_and_validate(headers={"Authorization": f"Bearer {key}"})


def test_calls_that_follow_from_others_answer_as_they_say(key: str) -> None:
    machine = schema.as_state_machine()
    answered: list[int] = []

    class Story(machine):  # type: ignore[misc, valid-type]
        def get_call_kwargs(self, case: Case) -> dict[str, Any]:
            return {"headers": {"Authorization": f"Bearer {key}"}}

        def after_call(self, response: Any, case: Case) -> None:
            answered.append(response.status_code)

    run_state_machine_as_test(
        Story,
        settings=settings(
            max_examples=STORIES,
            stateful_step_count=STEPS,
            derandomize=True,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert len(answered) > STORIES
    assert sum(status < 300 for status in answered) >= FOLLOWED
