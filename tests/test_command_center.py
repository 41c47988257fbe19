"""The first page: which model is in trouble, since when, and why."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from driftguard.command_center import overview
from governance.actions import registry, risk
from governance.decision import ColumnFacts, Facts
from monitoring.models import Receipt
from tests.factories import Person, make_alice, make_charlie
from tests.measured import make_measured_model, make_prediction

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice() -> Person:
    return make_alice()


def browser(person: Person) -> Client:
    client = Client()
    client.force_login(person.user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def words(person: Person) -> str:
    page = browser(person).get("/admin/").content.decode()
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def make_quiet_model(person: Person, name: str) -> None:
    version = registry.register(
        person.organization, registry.Registration(name, "1"), actor=person.actor
    )
    facts = Facts(
        n=100,
        n_baseline=100,
        baseline_kind="given",
        evidence_age_hours=1.0,
        columns=(ColumnFacts("income", "ok", psi=0.01),),
    )
    risk.assess(version, facts=facts, source={}, window=None, is_evaluation=True)


def test_models_are_listed_worst_first_with_their_reasons(alice: Person) -> None:
    make_quiet_model(alice, "A quiet one")
    registry.register(
        alice.organization, registry.Registration("B new", "1"), actor=alice.actor
    )
    make_measured_model(alice, "C in trouble")

    page = words(alice)

    order = [page.index(name) for name in ("C in trouble", "B new", "A quiet one")]
    assert order == sorted(order)
    assert "income PSI" in page
    assert "(rule R1 of policy 1: an important column in drift alert → blocked)" in page


def test_the_cards_count_every_model_once(alice: Person) -> None:
    make_quiet_model(alice, "Quiet")
    make_quiet_model(alice, "Quiet, too")
    make_measured_model(alice, "In trouble")
    registry.register(
        alice.organization, registry.Registration("New", "1"), actor=alice.actor
    )

    cards = overview(alice.organization).cards

    assert {card.words: card.figure for card in cards} == {
        "Models": 4,
        "Blocked": 1,
        "At risk": 0,
        "Not assessed": 1,
        "Within limits": 2,
    }


def test_what_another_organization_has_is_neither_shown_nor_counted(
    alice: Person,
) -> None:
    charlie = make_charlie()
    make_prediction(make_measured_model(charlie, "Charlie's model"))

    found = overview(alice.organization)

    assert (found.total, found.models, found.changes) == (0, [], [])
    assert found.ingestion.predictions == 0
    assert "No model is registered yet" in words(alice)


def test_ingestion_counts_the_last_day_only(alice: Person) -> None:
    version = make_measured_model(alice)
    make_prediction(version)
    old = make_prediction(version)
    two_days_ago = timezone.now() - timedelta(days=2)
    Receipt.objects.filter(pk=old.receipt_id).update(received_at=two_days_ago)

    ingestion = overview(alice.organization).ingestion

    assert ingestion.predictions == 1
    assert sum(hour.rows for hour in ingestion.hours) == 1
    assert ingestion.hours[-1].rows == 1
    assert ingestion.waiting == 2


def test_the_page_costs_the_same_queries_with_one_model_and_with_many(
    alice: Person,
    django_assert_num_queries: Callable[..., Any],
    django_assert_max_num_queries: Callable[..., Any],
) -> None:
    make_measured_model(alice, "First")
    client = browser(alice)
    client.get("/admin/")
    with django_assert_max_num_queries(11) as before:
        client.get("/admin/")

    for number in range(6):
        make_measured_model(alice, f"Model {number}")

    with django_assert_num_queries(len(before.captured_queries)):
        client.get("/admin/")


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/", "/admin/"),
        ("/admin", "/admin/"),
        ("/command-center", "/admin/"),
    ],
)
def test_short_addresses_lead_into_the_admin(path: str, target: str) -> None:
    answer = Client().get(path)

    assert (answer.status_code, answer["Location"]) == (302, target)
