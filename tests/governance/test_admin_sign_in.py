"""Who comes and goes through the login page, and what the trail says about it."""

import pytest
from django.test import Client

from governance.actions import sessions
from governance.exceptions import NotAuthenticatedError
from governance.models import AuditEntry
from tests.factories import PASSWORD, Person, make_alice, make_charlie, make_member

pytestmark = pytest.mark.django_db
NEW = "an entirely different phrase"


@pytest.fixture
def alice() -> Person:
    return make_alice()


def sign_in(person: Person, password: str = PASSWORD) -> Client:
    client = Client()
    form = {"username": person.user.email, "password": password}
    client.post("/admin/login/", form)
    return client


def told(action: str) -> list[tuple[int, str, str]]:
    entries = AuditEntry.objects.filter(action=action).order_by("seq")
    return list(entries.values_list("organization_id", "outcome", "actor_label"))


def test_a_login_is_remembered_in_every_organization_of_the_person(
    alice: Person,
) -> None:
    charlie = make_charlie()
    make_member(charlie.organization, "auditor", alice.user)

    assert sign_in(alice).get("/admin/").status_code == 200

    organizations = {alice.organization.pk, charlie.organization.pk}
    expected = {(pk, "done", alice.user.email) for pk in organizations}
    assert set(told("session.started")) == expected


def test_a_wrong_password_is_remembered(alice: Person) -> None:
    client = sign_in(alice, "wrong")

    assert client.get("/admin/").status_code == 302
    expected = [(alice.organization.pk, "failed", alice.user.email)]
    assert told("session.started") == expected


def test_guessing_is_locked_out_even_with_the_right_password_in_the_end(
    alice: Person,
) -> None:
    for _ in range(10):
        sign_in(alice, "wrong")

    assert sign_in(alice).get("/admin/").status_code == 302


def test_leaving_is_remembered(alice: Person) -> None:
    client = sign_in(alice)

    client.post("/admin/logout/")

    assert client.get("/admin/").status_code == 302
    assert told("session.ended") == [(alice.organization.pk, "done", alice.user.email)]


def change(client: Client, old: str = PASSWORD, new: str = NEW) -> str:
    form = {"old_password": old, "new_password1": new, "new_password2": new}
    return client.post("/admin/password_change/", form).content.decode()


def test_a_new_password_ends_what_the_old_one_began(alice: Person) -> None:
    here, elsewhere = sign_in(alice), sign_in(alice)
    issued = sessions.start(alice.user, alice.organization, actor=alice.actor)

    change(here)

    assert here.get("/admin/").status_code == 200
    assert elsewhere.get("/admin/").status_code == 302
    with pytest.raises(NotAuthenticatedError):
        sessions.refresh(issued.refresh, actor=alice.actor)
    assert sign_in(alice).get("/admin/").status_code == 302
    assert sign_in(alice, NEW).get("/admin/").status_code == 200
    assert [row[1] for row in told("user.password_changed")] == ["done"]


@pytest.mark.parametrize(("old", "new"), [("wrong", NEW), (PASSWORD, "short")])
def test_a_password_is_not_changed_to_a_weak_one_or_by_a_stranger(
    alice: Person, old: str, new: str
) -> None:
    client = sign_in(alice)

    change(client, old, new)

    assert sign_in(alice).get("/admin/").status_code == 200
    assert told("user.password_changed") == []


def test_there_is_no_redirect_that_tells_which_rows_exist(alice: Person) -> None:
    client = sign_in(alice)

    assert client.get(f"/admin/r/1/{alice.user.pk}/").status_code == 404
    assert client.get("/admin/r/1/999999/").status_code == 404
