"""Receipts come under the audit trail, each under exactly one entry."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection, transaction

from governance import merkle
from governance.models import AuditEntry, Organization
from monitoring import tasks
from monitoring.actions import seals
from monitoring.models import Receipt
from tests import factories
from tests.governance import trails
from tests.governance.api import api_of


def sealing(organization: Organization) -> list[dict[str, object]]:
    entries = AuditEntry.objects.for_organization(organization).order_by("seq")
    found = entries.filter(action="receipts.sealed").values_list("body", flat=True)
    return [json.loads(bytes(body))["facts"] for body in found]


@pytest.mark.django_db
def test_what_was_logged_is_sealed_within_the_minute_and_once() -> None:
    alice, charlie = factories.make_alice(), factories.make_charlie()
    for person in (alice, charlie):
        model = factories.make_model(person)
        api = api_of(person)
        for number in range(3):
            answer = api.post(
                "/api/logs/prediction",
                {"model_id": model.pk, "input_features": {"age": 3}, "prediction": 1},
            )
            assert answer.status_code == 201, (number, answer.content)
    tasks.seal_receipts()
    tasks.seal_receipts()
    for person in (alice, charlie):
        [facts] = sealing(person.organization)
        receipts = Receipt.objects.for_organization(person.organization)
        leaves = [seals.leaf(receipt) for receipt in receipts.order_by("id")]
        assert facts["receipts"] == len(leaves) == 3
        assert facts["rows"] == 3
        assert facts["root"] == merkle.root(leaves).hex()
        assert {str(receipt.seal) for receipt in receipts} == {facts["seal"]}
        assert list(seals.leaves(person.organization, str(facts["seal"]))) == leaves
    assert list(seals.leaves(alice.organization, "nonsense")) == []
    assert not list(
        seals.leaves(alice.organization, str(sealing(charlie.organization)[0]["seal"]))
    )


@pytest.mark.django_db
def test_nothing_new_leaves_no_entry() -> None:
    alice = factories.make_alice()
    factories.make_model(alice)
    tasks.seal_receipts()
    assert sealing(alice.organization) == []


def test_receipts_that_are_committed_late_are_not_forgotten(cloned_db: str) -> None:
    """An id below those that were sealed before: no order of numbers tells it."""
    alice = factories.make_alice()
    trails.receive(alice, 1)
    first = Receipt.objects.get()
    version = first.version
    ready, go_on = threading.Event(), threading.Event()

    def commit_late() -> None:
        try:
            with transaction.atomic():
                late = Receipt.objects.get()
                late.pk, late.seal = first.pk.__class__(int=first.pk.int - 1), None
                late.save(force_insert=True)
                ready.set()
                assert go_on.wait(30)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(commit_late)
        assert ready.wait(30)
        assert seals.seal_due() == 0
        go_on.set()
        late.result()
    assert version is not None
    assert seals.seal_due() == 1
    assert [one["receipts"] for one in sealing(alice.organization)] == [1, 1]


def test_sealed_by_many_at_once_each_receipt_is_under_one_entry(cloned_db: str) -> None:
    alice = factories.make_alice()
    trails.receive(alice, 2)
    Receipt.objects.update(seal=None)
    for number in range(40):
        receipt = Receipt.objects.first()
        assert receipt is not None
        receipt.pk = receipt.pk.__class__(int=receipt.pk.int + number + 1)
        receipt.save(force_insert=True)
    started = threading.Barrier(6)

    def work(number: int) -> int:
        started.wait()
        try:
            return seals.seal_due()
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        total = sum(pool.map(work, range(6)))
    total += seals.seal_due()
    assert total == 42
    facts = sealing(alice.organization)[1:]
    assert sum(int(str(one["receipts"])) for one in facts) == 42
    for one in facts:
        leaves = list(seals.leaves(alice.organization, str(one["seal"])))
        assert merkle.root(leaves).hex() == one["root"]


@pytest.mark.django_db
def test_more_receipts_than_one_entry_takes_are_sealed_by_several(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alice = factories.make_alice()
    trails.receive(alice, 5)
    Receipt.objects.update(seal=None)
    monkeypatch.setattr(seals, "MOST", 2)
    assert seals.seal_due() == 5
    assert [one["receipts"] for one in sealing(alice.organization)] == [5, 2, 2, 1]
