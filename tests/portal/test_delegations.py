"""Who votes for whom: arranged by oneself, or by two others for somebody absent."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from governance.models import Delegation
from tests.factories import Person, make_bob
from tests.portal.conftest import get, post

pytestmark = pytest.mark.django_db
PATH = "/approvals/delegations"


@pytest.fixture
def dora(alice: Person) -> Person:
    return make_bob(alice.organization)


def terms(delegator: Person, delegate: Person, /, **changed: Any) -> dict[str, Any]:
    today = timezone.now().date()
    return {
        "delegator": delegator.user.pk,
        "delegate": delegate.user.pk,
        "role": "compliance_officer",
        "starts_at": today.isoformat(),
        "ends_at": (today + timedelta(days=7)).isoformat(),
        "reason": "On holiday.",
        **changed,
    }


def test_ones_own_votes_are_given_at_once(bob: Person, dora: Person) -> None:
    assert "Everybody votes for themselves" in get(bob, PATH)
    assert post(bob, f"{PATH}/create", **terms(bob, dora)).status_code == 302
    page = get(dora, PATH)
    assert f"{dora.user.email} votes for {bob.user.email}" in page
    assert "In effect" in page
    row = Delegation.objects.get()
    assert post(dora, f"{PATH}/revoke", delegation=row.pk).status_code == 302
    assert "Revoked" in get(bob, PATH)


def test_for_somebody_absent_it_takes_two(
    alice: Person, bob: Person, dora: Person
) -> None:
    post(alice, f"{PATH}/create", **terms(bob, dora))
    row = Delegation.objects.get()
    assert "Waits for a second person" in get(alice, PATH)
    for nobody in (alice, dora):
        assert "Agree as the second person" not in get(nobody, PATH)
        post(nobody, f"{PATH}/confirm", delegation=row.pk)
        row.refresh_from_db()
        assert row.confirmed_at is None
    other = make_bob(alice.organization)
    assert "Agree as the second person" in get(other, PATH)
    post(other, f"{PATH}/confirm", delegation=row.pk)
    row.refresh_from_db()
    assert row.confirmed_by == other.user


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"reason": ""}, "Write a sentence here"),
        ({"ends_at": "2001-01-01"}, "Expected an end after the start"),
        ({"starts_at": "soon"}, "Enter a valid date."),
        ({"role": "validator"}, "Select a valid choice."),
        ({"delegate": "0"}, "Select a valid choice."),
    ],
)
def test_what_is_wrong_is_said_at_its_field(
    bob: Person, dora: Person, changed: dict[str, str], words: str
) -> None:
    answer = post(bob, f"{PATH}/create", **terms(bob, dora, **changed))
    assert answer.status_code == 422
    assert words in answer.content.decode()
    assert not Delegation.objects.exists()


def test_an_auditor_and_a_stranger_arrange_nothing(
    bob: Person, dora: Person, auditor: Person, charlie: Person, client: Any
) -> None:
    post(bob, f"{PATH}/create", **terms(bob, dora))
    row = Delegation.objects.get()
    assert 'action="/approvals/delegations' not in get(auditor, PATH)
    assert bob.user.email not in get(charlie, PATH)
    for visitor in (auditor, charlie):
        post(visitor, f"{PATH}/create", **terms(bob, dora))
        for deed in ("confirm", "revoke"):
            post(visitor, f"{PATH}/{deed}", delegation=row.pk)
    revoked = post(charlie, f"{PATH}/revoke", delegation=row.pk)
    assert revoked.status_code == 404
    assert "/login" in client.post(f"{PATH}/create")["Location"]
    row.refresh_from_db()
    assert row.revoked_at is None
    assert Delegation.objects.count() == 1


def test_nobody_arranges_the_votes_of_others_for_themselves(
    bob: Person, dora: Person
) -> None:
    answer = post(dora, f"{PATH}/create", **terms(bob, dora))
    assert answer.status_code == 422
    assert not Delegation.objects.exists()
