"""The portfolio: found, filtered and sorted, by whoever belongs to the organization."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from driftguard.portal.portfolio import PAGE
from governance.actions import registry, risk
from governance.decision import ColumnFacts, Facts
from governance.models import RegisteredModel
from tests.factories import Person, make_alice, make_charlie, make_version
from tests.measured import make_measured_model

pytestmark = pytest.mark.django_db
HOSTILE = "<script>alert(1)</script>{{7*7}}\N{RIGHT-TO-LEFT OVERRIDE}"


@pytest.fixture
def alice() -> Person:
    return make_alice()


def browser(person: Person) -> Client:
    client = Client()
    client.force_login(person.user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def show(person: Person, **asked: Any) -> str:
    return browser(person).get("/dashboard", asked).content.decode()


def names(page: str) -> list[str]:
    """Return the models of the page's table, from top to bottom."""
    return re.findall(r'<th scope="row"><a [^>]*>([^<]*)</a>', page)


def judge(person: Person, name: str, psi: float, status: str = "ok") -> None:
    version = make_version(person, name=name)
    facts = Facts(
        n=100,
        n_baseline=100,
        baseline_kind="given",
        evidence_age_hours=1.0,
        columns=(ColumnFacts("income", status, psi=psi),),
    )
    risk.assess(version, facts=facts, source={}, window=None, is_evaluation=True)


@pytest.fixture
def three(alice: Person) -> Person:
    judge(alice, "Quiet", 0.01)
    judge(alice, "Loud", 1.0, "alert")
    make_version(alice, name="Unseen", risk_tier="low", purpose="prices of tulips")
    return alice


def test_the_worst_come_first(three: Person) -> None:
    page = show(three)
    assert names(page) == ["Loud", "Unseen", "Quiet"]
    assert "3 of 3 models" in page
    assert 'aria-sort="descending"' in page


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({"search": "tulips"}, ["Unseen"]),
        ({"search": "loud"}, ["Loud"]),
        ({"search": "nothing like it"}, []),
        ({"health": "BLOCKED"}, ["Loud"]),
        ({"health": "NOT_ASSESSED"}, ["Unseen"]),
        ({"health": "APPROVED"}, ["Quiet"]),
        ({"tier": "low"}, ["Unseen"]),
        ({"tier": "high"}, ["Loud", "Quiet"]),  # unset counts as high
        ({"approval": "deployed"}, []),
        ({"cadence": "stream", "order": "name"}, ["Loud", "Quiet", "Unseen"]),
        ({"order": "-name"}, ["Unseen", "Quiet", "Loud"]),
        ({"order": "-risk"}, ["Loud", "Quiet", "Unseen"]),
        ({"order": "risk"}, ["Quiet", "Loud", "Unseen"]),
        # What is not known is left out.
        ({"order": "password"}, ["Loud", "Unseen", "Quiet"]),
        ({"page": "nonsense"}, ["Loud", "Unseen", "Quiet"]),
        ({"health": "nonsense"}, ["Loud", "Unseen", "Quiet"]),
        ({"search": "a\0b"}, ["Loud", "Unseen", "Quiet"]),
    ],
)
def test_it_is_searched_filtered_and_sorted(
    three: Person, asked: dict[str, str], found: list[str]
) -> None:
    assert names(show(three, **asked)) == found


def test_another_organizations_models_are_not_there(three: Person) -> None:
    charlie = make_charlie()
    assert names(show(charlie)) == []
    assert "No model is registered yet" in show(charlie)


def test_a_stranger_is_sent_to_the_sign_in() -> None:
    answer = Client().get("/dashboard")
    assert answer.status_code == 302
    assert answer["Location"].startswith("/admin/login/")


def test_htmx_gets_the_table_alone(three: Person) -> None:
    answer = browser(three).get("/dashboard", headers={"HX-Request": "true"})
    text = answer.content.decode()
    assert text.lstrip().startswith('<section id="portfolio"')
    assert "HX-Request" in answer["Vary"]


def test_a_long_list_has_pages_that_keep_the_question(alice: Person) -> None:
    for number in range(PAGE + 3):
        registry.register(
            alice.organization,
            registry.Registration(f"Model {number:03}", "1"),
            actor=alice.actor,
        )
    first = show(alice, order="name", search="model")
    assert len(names(first)) == PAGE
    (following,) = re.findall(r'rel="next" href="([^"]*)"', first)
    second = browser(alice).get(f"/dashboard{following.replace('&amp;', '&')}")
    assert names(second.content.decode()) == ["Model 050", "Model 051", "Model 052"]


def test_hostile_names_are_inert(alice: Person) -> None:
    version = make_version(alice, name="Model", purpose=HOSTILE)
    RegisteredModel.objects.filter(pk=version.model_id).update(name=HOSTILE)
    page = show(alice)
    assert "<script>alert" not in page
    assert "49" not in names(page)[0]


def test_the_number_of_queries_does_not_grow(
    alice: Person, django_assert_num_queries: Callable[..., Any]
) -> None:
    def ask(client: Client) -> None:
        with django_assert_num_queries(9):
            client.get("/dashboard")

    client = browser(alice)
    make_measured_model(alice, name="One")
    ask(client)
    for number in range(5):
        make_measured_model(alice, name=f"More {number}")
    ask(client)
