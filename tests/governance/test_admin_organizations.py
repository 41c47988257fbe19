"""Members and API keys in the admin: a deed behind each form, and a trace of it."""

import re

import pytest
from django.test import Client

from governance.actions import credentials
from governance.exceptions import NotAuthenticatedError
from governance.models import ApiKey, AuditEntry, Membership
from tests.factories import (
    Person,
    make_alice,
    make_api_key,
    make_bob,
    make_charlie,
    make_member,
)

pytestmark = pytest.mark.django_db
KEYS = "/admin/governance/apikey/"
MEMBERS = "/admin/governance/membership/"
Role = Membership.Role


def browser(person: Person, **options: bool) -> Client:
    client = Client(**options)
    client.force_login(person.user, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def alice() -> Person:
    return make_alice()


def key_form(owner: Person, **fields: object) -> dict[str, object]:
    form = {"name": "Scoring", "environment": "staging", "owner": owner.user.pk}
    return {**form, "scopes": ["mlops:write"], **fields}


def test_a_new_key_is_shown_once_and_works(alice: Person) -> None:
    client = browser(alice)

    answer = client.post(f"{KEYS}add/", key_form(alice))

    text = re.search(r"dg_stg_\w{47}", answer.content.decode())
    assert text is not None
    credential = credentials.authenticate(None, text[0], ip="", request_id="")
    assert credential.scopes == {"mlops:write", "mlops:read"}
    assert credential.environment == "staging"
    assert "no-store" in answer["Cache-Control"]
    # Neither the session nor a message nor any later page holds it.
    assert text[0] not in str(dict(client.session))
    assert text[0] not in str(client.cookies)
    assert text[0] not in client.get(KEYS).content.decode()


def test_the_trail_says_who_made_a_key_and_from_where(alice: Person) -> None:
    browser(alice).post(
        f"{KEYS}add/", key_form(alice), headers={"X-Request-ID": "request-1"}
    )

    entry = AuditEntry.objects.get(action="api_key.created")
    assert entry.actor_id == str(alice.user.pk)
    assert entry.request_id == "request-1"
    body = bytes(entry.body).decode()
    assert '"channel":"admin"' in body
    assert '"ip":"127.0.0.1"' in body
    assert '"role":"owner"' in body


def test_a_key_cannot_be_owned_by_a_stranger(alice: Person) -> None:
    answer = browser(alice).post(f"{KEYS}add/", key_form(make_charlie()))

    assert "Select a valid choice" in answer.content.decode()
    assert not ApiKey.objects.exists()


def test_only_an_owner_makes_keys(alice: Person) -> None:
    bob = make_bob(alice.organization)

    assert browser(bob).post(f"{KEYS}add/", key_form(bob)).status_code == 403
    assert not ApiKey.objects.exists()


def test_revoking_asks_first(alice: Person) -> None:
    key, text = make_api_key(alice)

    answer = browser(alice).get(f"{KEYS}{key.pk}/revoke/")

    assert "Revoke this key?" in answer.content.decode()
    credentials.authenticate(None, text, ip="", request_id="")


def test_a_revoked_key_is_refused(
    alice: Person, django_capture_on_commit_callbacks: object
) -> None:
    key, text = make_api_key(alice)

    answer = browser(alice).post(f"{KEYS}{key.pk}/revoke/", {"confirmed": "on"})

    assert answer["HX-Redirect"] == KEYS
    credentials.forget()
    with pytest.raises(NotAuthenticatedError):
        credentials.authenticate(None, text, ip="", request_id="")
    assert AuditEntry.objects.filter(action="api_key.revoked").count() == 1


def test_revoking_needs_the_token_against_forged_requests(alice: Person) -> None:
    key, _ = make_api_key(alice)
    client = browser(alice, enforce_csrf_checks=True)

    answer = client.post(f"{KEYS}{key.pk}/revoke/", {"confirmed": "on"})

    assert answer.status_code == 403
    key.refresh_from_db()
    assert key.revoked_at is None


@pytest.mark.parametrize("stranger", ["charlie", "bob"])
def test_nobody_but_an_owner_of_it_revokes_a_key(alice: Person, stranger: str) -> None:
    key, _ = make_api_key(alice)
    person = make_charlie() if stranger == "charlie" else make_bob(alice.organization)

    answer = browser(person).post(f"{KEYS}{key.pk}/revoke/", {"confirmed": "on"})

    assert answer.status_code == (404 if stranger == "charlie" else 403)
    key.refresh_from_db()
    assert key.revoked_at is None


def test_a_member_gets_another_role(alice: Person) -> None:
    dora = make_member(alice.organization, Role.MODEL_OWNER).user

    browser(alice).post(f"{MEMBERS}add/", {"user": dora.pk, "role": Role.AUDITOR})

    membership = Membership.objects.get(user=dora, role=Role.AUDITOR)
    assert membership.organization == alice.organization
    assert membership.granted_by == alice.user
    entry = AuditEntry.objects.filter(action="member.added").latest("seq")
    assert entry.actor_id == str(alice.user.pk)


def test_who_is_no_member_can_not_be_chosen(alice: Person) -> None:
    charlie, nobody = make_charlie().user.pk, 987_654
    for user in (charlie, nobody):
        answer = browser(alice).post(
            f"{MEMBERS}add/", {"user": user, "role": Role.AUDITOR}
        )
        assert "Select a valid choice" in answer.content.decode()
    assert not Membership.objects.filter(role=Role.AUDITOR).exists()


def test_the_second_person_confirms_a_voting_role(alice: Person) -> None:
    bob = make_bob(alice.organization)
    dora = make_member(alice.organization, Role.MODEL_OWNER)
    form = {"user": dora.user.pk, "role": Role.VALIDATOR}
    browser(alice).post(f"{MEMBERS}add/", form)
    membership = Membership.objects.get(user=dora.user, role=Role.VALIDATOR)
    confirm = f"{MEMBERS}{membership.pk}/confirm/"

    assert "Waits for a second person" in browser(bob).get(MEMBERS).content.decode()
    assert browser(dora).post(confirm, {"confirmed": "on"}).status_code == 403
    browser(alice).post(confirm, {"confirmed": "on"})
    membership.refresh_from_db()
    assert membership.is_unconfirmed
    browser(bob).post(confirm, {"confirmed": "on"})
    membership.refresh_from_db()
    assert membership.confirmed_by == bob.user


def test_what_a_deed_refuses_is_shown_and_nothing_is_stored(alice: Person) -> None:
    bob = make_bob(alice.organization)
    form = {"user": bob.user.pk, "role": Role.COMPLIANCE_OFFICER}

    answer = browser(alice).post(f"{MEMBERS}add/", form, follow=True)

    assert "has the role compliance_officer already" in answer.content.decode()
    assert Membership.objects.filter(user=bob.user).count() == 1


def test_the_last_owner_stays(alice: Person) -> None:
    membership = Membership.objects.get(user=alice.user)
    client = browser(alice)

    answer = client.post(f"{MEMBERS}{membership.pk}/end/", {"confirmed": "on"})

    assert Membership.objects.filter(pk=membership.pk).exists()
    page = client.get(answer["HX-Redirect"]).content.decode()
    assert "at least one owner" in page


def test_an_ended_role_stays_on_record(alice: Person) -> None:
    bob = make_bob(alice.organization)
    membership = Membership.objects.get(user=bob.user)

    browser(alice).post(f"{MEMBERS}{membership.pk}/end/", {"confirmed": "on"})

    membership.refresh_from_db()
    assert membership.ended_by == alice.user
    assert AuditEntry.objects.filter(action="member.ended").exists()
    assert "Ended" in browser(alice).get(MEMBERS).content.decode()
