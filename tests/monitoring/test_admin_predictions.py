"""Predictions, labels and receipts in the admin: found fast, never counted."""

import re

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from governance.models import ModelVersion
from monitoring.admin.predictions import NOT_ASSESSED_THEN
from monitoring.models import GroundTruth
from tests.factories import Person, make_alice, make_api_key, make_charlie
from tests.measured import make_measured_model, make_prediction

pytestmark = pytest.mark.django_db
PREDICTIONS = "/admin/monitoring/prediction/"


def browser(person: Person) -> Client:
    client = Client()
    client.force_login(person.user, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def alice() -> Person:
    return make_alice()


@pytest.fixture
def version(alice: Person) -> ModelVersion:
    return make_measured_model(alice)


def page(client: Client, path: str, **parameters: object) -> str:
    answer = client.get(path, parameters)
    assert answer.status_code == 200
    return answer.content.decode()


@pytest.mark.parametrize("table", ["prediction", "groundtruth", "receipt"])
def test_a_list_neither_counts_nor_reads_the_whole_table(
    alice: Person, version: ModelVersion, table: str
) -> None:
    make_prediction(version, label="1")
    client = browser(alice)

    with CaptureQueriesContext(
        connection,
    ) as queries:
        page(client, f"/admin/monitoring/{table}/")

    asked = [
        query["sql"] for query in queries if f'"monitoring_{table}"' in query["sql"]
    ]
    assert asked
    assert not [sql for sql in asked if "COUNT(" in sql]
    assert all("LIMIT" in sql and '"model_id" = ' in sql for sql in asked)


def test_the_list_is_of_the_model_last_used_unless_one_is_named(
    alice: Person, version: ModelVersion
) -> None:
    other = make_measured_model(alice, "Another model")
    here, there = make_prediction(version), make_prediction(other)
    ModelVersion.objects.filter(pk=other.pk).update(last_prediction_at=there.timestamp)
    client = browser(alice)

    assert there.public_id in page(client, PREDICTIONS)
    assert here.public_id not in page(client, PREDICTIONS)
    assert here.public_id in page(client, PREDICTIONS, model=version.model_id)


@pytest.mark.parametrize("wrong", ["0", "-1", "x", "9" * 30, "1 OR 1=1"])
def test_a_wrong_model_lists_nothing(
    alice: Person, version: ModelVersion, wrong: str
) -> None:
    prediction = make_prediction(version)

    assert prediction.public_id not in page(browser(alice), PREDICTIONS, model=wrong)


def test_a_foreign_model_lists_nothing(alice: Person, version: ModelVersion) -> None:
    foreign = make_measured_model(make_charlie(), "Foreign")
    prediction = make_prediction(foreign, "foreign-client")

    shown = page(browser(alice), PREDICTIONS, model=foreign.model_id)

    assert prediction.public_id not in shown
    assert "foreign-client" not in shown


def test_a_prediction_is_found_by_id_and_by_entity(
    alice: Person, version: ModelVersion
) -> None:
    wanted = make_prediction(version, "client-7")
    other = make_prediction(version, "client-77")
    client = browser(alice)

    for term in [wanted.public_id, str(wanted.pk), "client-7", " client-7 "]:
        shown = page(client, PREDICTIONS, q=term)
        assert wanted.public_id in shown, term
        assert other.public_id not in shown, term


def test_an_id_finds_its_row_whatever_model_it_is_of(
    alice: Person, version: ModelVersion
) -> None:
    wanted = make_prediction(version)
    busier = make_measured_model(alice, "Busier")
    ModelVersion.objects.filter(pk=busier.pk).update(
        last_prediction_at=wanted.timestamp
    )
    client = browser(alice)

    assert wanted.public_id not in page(client, PREDICTIONS)
    shown = page(client, PREDICTIONS, q=wanted.public_id)
    assert f"{PREDICTIONS}{wanted.pk}/change/" in shown
    stranger = browser(make_charlie())
    shown = page(stranger, PREDICTIONS, q=wanted.public_id)
    assert f"{PREDICTIONS}{wanted.pk}/change/" not in shown


@pytest.mark.parametrize("term", ["pred_x", "pred_", "%", "client-7' --"])
def test_what_is_nowhere_is_not_found(
    alice: Person, version: ModelVersion, term: str
) -> None:
    prediction = make_prediction(version, "client-7")

    assert prediction.public_id not in page(browser(alice), PREDICTIONS, q=term)


def test_a_prediction_shows_its_features_and_every_label_that_came(
    alice: Person, version: ModelVersion
) -> None:
    prediction = make_prediction(version, label="0")
    first = GroundTruth.objects.get(prediction_id=prediction.pk)
    GroundTruth.objects.filter(pk=first.pk).update(superseded=True)
    GroundTruth.objects.create(
        organization=first.organization,
        model=first.model,
        receipt=first.receipt,
        outcome_timestamp=first.outcome_timestamp,
        outcome="1",
        match=first.match,
        prediction_id=prediction.pk,
        supersedes=first,
    )

    shown = page(browser(alice), f"{PREDICTIONS}{prediction.pk}/change/")

    assert "income" in shown
    assert "replaced" in shown
    # The id in the heading is the id, not "Pred_…".
    assert f">{prediction.public_id}<" in re.sub(r"\s+", "", shown)
    assert shown.count("2026-04-30 12:00 UTC") == 2


def test_a_prediction_that_was_not_assessed_says_why(
    alice: Person, version: ModelVersion
) -> None:
    client = browser(alice)
    for verdict, is_told in (("NOT_ASSESSED", True), ("BLOCKED", False)):
        prediction = make_prediction(version, verdict=verdict)
        shown = page(client, f"{PREDICTIONS}{prediction.pk}/change/")
        assert (NOT_ASSESSED_THEN in shown) == is_told
    words = " ".join(page(client, PREDICTIONS).split())
    assert "had not been judged yet at that time" in words


def test_a_label_leads_to_its_prediction(alice: Person, version: ModelVersion) -> None:
    prediction = make_prediction(version, label="1")

    shown = page(browser(alice), "/admin/monitoring/groundtruth/")

    assert f"{PREDICTIONS}{prediction.pk}/change/" in shown


@pytest.mark.parametrize(
    ("stored", "words"), [("1", "1"), ('"1"', "1"), ('"na\\u00efve"', "naïve")]
)
def test_an_outcome_reads_as_its_prediction_does(
    alice: Person, version: ModelVersion, stored: str, words: str
) -> None:
    make_prediction(version, label=stored)

    shown = page(browser(alice), "/admin/monitoring/groundtruth/")

    assert f'<code class="dg-code">{words}</code>' in shown


def test_times_are_written_alike_everywhere(
    alice: Person, version: ModelVersion
) -> None:
    shown = page(browser(alice), "/admin/governance/modelversion/")

    assert f"{version.created_at:%Y-%m-%d %H:%M} UTC" in shown
    assert "a.m." not in shown
    assert "p.m." not in shown


def test_a_list_of_receipts_names_the_key_and_the_page_its_prefix_too(
    alice: Person, version: ModelVersion
) -> None:
    receipt = make_prediction(version).receipt
    key, _ = make_api_key(alice, name="Nightly scoring")
    type(receipt).objects.filter(pk=receipt.pk).update(api_key=key)
    someone = browser(alice)

    shown = page(someone, "/admin/monitoring/receipt/")
    assert "Nightly scoring" in shown
    assert key.prefix not in shown
    path = f"/admin/monitoring/receipt/{receipt.pk}/change/"
    assert f"Nightly scoring ({key.prefix})" in page(someone, path)
