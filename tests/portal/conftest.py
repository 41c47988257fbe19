"""People in front of the pages, as Django's test client."""

from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client

from governance.models import Membership
from tests.factories import Person, make_alice, make_bob, make_charlie, make_member


def browser(person: Person) -> Client:
    client = Client()
    client.force_login(person.user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def get(person: Person, path: str, **asked: Any) -> str:
    answer = browser(person).get(path, asked)
    assert answer.status_code == 200, answer.content
    return answer.content.decode()


def post(person: Person, path: str, **given: Any) -> HttpResponse:
    """Send a form; what it answers is shown at once, and not followed."""
    answer: HttpResponse = browser(person).post(path, given)
    return answer


@pytest.fixture
def alice() -> Person:
    return make_alice()


@pytest.fixture
def bob(alice: Person) -> Person:
    return make_bob(alice.organization)


@pytest.fixture
def charlie() -> Person:
    return make_charlie()


@pytest.fixture
def auditor(alice: Person) -> Person:
    return make_member(alice.organization, Membership.Role.AUDITOR)
