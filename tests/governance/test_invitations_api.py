"""Invitations and members over HTTP."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from governance.actions import credentials, invitations
from governance.api import auth
from governance.models import Invitation, Membership, Organization, User
from tests.factories import (
    PASSWORD,
    Person,
    make_alice,
    make_bob,
    make_charlie,
    make_member,
    make_user,
)
from tests.governance.api import Api, api_of, faults

pytestmark = pytest.mark.django_db
nobody = Api()
PATH = "/api/invitations"
GRACE = {"email": "grace@example.com", "role": "auditor"}


@pytest.fixture(autouse=True)
def _quick_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "FAILURE_SECONDS", 0.0)
    credentials.forget()


@pytest.fixture
def alice() -> Person:
    return make_alice()


def signed_in(person: Person) -> Api:
    body = {
        "username": person.user.email,
        "password": PASSWORD,
        "organization": person.organization.slug,
    }
    return Api(nobody.post("/api/auth/login", body).json()["access_token"])


def invited(alice: Person, **fields: str) -> str:
    """Invite Grace, and return the token that she gets."""
    answer = signed_in(alice).post(PATH, {**GRACE, **fields})
    assert answer.status_code == 201, answer.content
    return answer.json()["link"].rpartition("/")[2]


def test_the_link_is_shown_once(alice: Person) -> None:
    api = signed_in(alice)
    made = api.post(PATH, GRACE).json()
    assert made["state"] == "open"
    assert made["invited_by"] == alice.user.email
    link = made.pop("link")
    listed = api.get(PATH)
    assert listed.json() == {"invitations": [made]}
    assert link.rpartition("/")[2].encode() not in listed.content


def test_a_retry_invites_once_and_shows_the_same_link(alice: Person) -> None:
    api = signed_in(alice)
    api.headers["Idempotency-Key"] = "one"
    first, second = api.post(PATH, GRACE), api.post(PATH, GRACE)
    assert first.json() == second.json()
    assert Invitation.objects.count() == 1
    assert api.post(PATH, {**GRACE, "role": "owner"}).status_code == 422


def test_an_address_with_an_account_is_answered_like_any_other(alice: Person) -> None:
    make_user("grace@example.com")
    api = signed_in(alice)
    answers = [
        api.post(PATH, {**GRACE, "email": email})
        for email in ("grace@example.com", "nobody@example.com")
    ]
    assert [one.status_code for one in answers] == [201, 201]
    shapes = [{**one.json(), "email": 0, "id": 0, "link": 0} for one in answers]
    for shape in shapes:
        del shape["created_at"], shape["expires_at"]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, {"email", "role"}),
        ({**GRACE, "email": "no address"}, {"email"}),
        ({**GRACE, "email": "a\r\nBcc: b@example.com"}, {"email"}),
        ({**GRACE, "role": "king"}, {"role"}),
        ({**GRACE, "organization": 2, "invited_by": 1}, {"organization", "invited_by"}),
    ],
)
def test_bad_fields_are_named(
    alice: Person, body: dict[str, object], wrong: set[str]
) -> None:
    response = signed_in(alice).post(PATH, body)
    assert response.status_code == 422
    assert set(faults(response)) == wrong


def test_keys_and_other_roles_invite_nobody(alice: Person) -> None:
    bob = make_bob(alice.organization)
    for api in (api_of(alice), signed_in(bob)):
        assert api.post(PATH, GRACE).status_code == 403
    auditor = make_member(alice.organization, "auditor")
    assert signed_in(auditor).post(PATH, GRACE).status_code == 403


def test_somebody_new_accepts_with_name_and_password(alice: Person) -> None:
    token = invited(alice)
    body = {"token": token, "name": "Grace", "password": "grace's long phrase"}
    answer = nobody.post(f"{PATH}/accept", body)
    assert answer.status_code == 200, answer.content
    assert answer.json() == {
        "email": "grace@example.com",
        "role": "auditor",
        "organization": alice.organization.slug,
        "needs_confirmation": False,
    }
    grace = Person(User.objects.get(email="grace@example.com"), alice.organization)
    login = {"username": grace.user.email, "password": body["password"]}
    assert nobody.post("/api/auth/login", login).status_code == 200
    assert nobody.post(f"{PATH}/accept", body).status_code == 404


def test_an_account_accepts_with_its_password(alice: Person) -> None:
    make_user("grace@example.com")
    token = invited(alice)
    wrong = nobody.post(f"{PATH}/accept", {"token": token, "password": "wrong"})
    assert wrong.status_code == 401
    right = nobody.post(f"{PATH}/accept", {"token": token, "password": PASSWORD})
    assert right.status_code == 200


def test_who_is_signed_in_accepts_with_the_token_alone(alice: Person) -> None:
    charlie = make_charlie()
    token = invited(alice, email=charlie.user.email)
    api = signed_in(charlie)
    assert api.post(f"{PATH}/accept", {"token": token}).status_code == 200
    # And goes on working where they were at home.
    assert api.get("/api/models").status_code == 200
    home = nobody.post(
        "/api/auth/login", {"username": charlie.user.email, "password": PASSWORD}
    )
    assert home.status_code == 200


def test_nobody_accepts_for_somebody_else(alice: Person) -> None:
    token = invited(alice)
    charlie = make_charlie()
    assert (
        signed_in(charlie).post(f"{PATH}/accept", {"token": token}).status_code == 409
    )
    assert api_of(charlie).post(f"{PATH}/accept", {"token": token}).status_code == 403
    assert Invitation.objects.get().state == "open"


def test_what_is_missing_is_named(alice: Person) -> None:
    token = invited(alice)
    response = nobody.post(f"{PATH}/accept", {"token": token})
    assert set(faults(response)) == {"password"}
    weak = {"token": token, "name": "Grace", "password": "12345"}
    assert set(faults(nobody.post(f"{PATH}/accept", weak))) == {"password"}
    assert nobody.post(f"{PATH}/accept", {}).status_code == 422
    unknown = {"token": "A" * 43, "password": PASSWORD}
    assert nobody.post(f"{PATH}/accept", unknown).status_code == 404


def test_declining_needs_the_token_alone(alice: Person) -> None:
    token = invited(alice)
    assert nobody.post(f"{PATH}/decline", {"token": token}).status_code == 204
    assert nobody.post(f"{PATH}/decline", {"token": token}).status_code == 404


def test_withdrawing_is_the_owners(alice: Person) -> None:
    invited(alice)
    path = f"{PATH}/{Invitation.objects.get().public_id}"
    charlie = make_charlie()
    assert signed_in(charlie)("DELETE", path).status_code == 404
    bob = make_bob(alice.organization)
    assert signed_in(bob)("DELETE", path).status_code == 403
    api = signed_in(alice)
    assert api("DELETE", path).status_code == 204
    assert api("DELETE", path).status_code == 409


def test_guessing_tokens_is_throttled(
    alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("governance.api.invitations.LOGINS_PER_ADDRESS", (2, 60))
    body = {"token": "A" * 43, "password": PASSWORD}
    codes = [nobody.post(f"{PATH}/accept", body).status_code for _ in range(3)]
    assert codes == [404, 404, 429]


class TestMembers:
    def test_are_listed_with_their_history(self, alice: Person) -> None:
        bob = make_bob(alice.organization)
        make_charlie()
        api = signed_in(alice)
        listed = api.get("/api/members").json()["members"]
        assert [one["email"] for one in listed] == [alice.user.email, bob.user.email]
        member = listed[1]
        answer = api.post(f"/api/members/{member['id']}/end", {"reason": "left"})
        assert answer.json()["state"] == "ended"
        assert len(api.get("/api/members").json()["members"]) == 1
        everybody = api.get("/api/members?ended=true").json()["members"]
        assert [one["state"] for one in everybody] == ["in_effect", "ended"]

    def test_a_second_person_confirms_a_vote(self, alice: Person) -> None:
        bob = make_bob(alice.organization)
        token = invited(alice, role="validator")
        body = {"token": token, "name": "Grace", "password": "grace's long phrase"}
        assert nobody.post(f"{PATH}/accept", body).json()["needs_confirmation"] is True
        pk = Membership.objects.get(role="validator").pk
        path = f"/api/members/{pk}/confirm"
        assert signed_in(alice).post(path).status_code == 403
        assert signed_in(make_charlie()).post(path).status_code == 404
        assert signed_in(bob).post(path).json()["state"] == "in_effect"
        assert signed_in(bob).post(path).status_code == 409

    @pytest.mark.parametrize("reference", ["0", "x", "9" * 30, "1.5", "-1", "²"])
    def test_missing_ones_are_missing(self, alice: Person, reference: str) -> None:
        api = signed_in(alice)
        assert api.post(f"/api/members/{reference}/confirm").status_code == 404
        assert api.post(f"/api/members/{reference}/end", {}).status_code == 404


class TestOwnership:
    def test_a_registered_organization_is_claimed_with_its_link(self) -> None:
        made = nobody.post("/auth/register", {"name": "Bank"}).json()
        token = made["owner_link"].rpartition("/")[2]
        body = {"token": token, "name": "Grace", "password": "grace's long phrase"}
        assert set(faults(nobody.post(f"{PATH}/accept", body))) == {"email"}
        answer = nobody.post(f"{PATH}/accept", {**body, "email": "grace@example.com"})
        assert answer.json()["role"] == "owner"
        grace = Person(
            User.objects.get(email="grace@example.com"),
            Organization.objects.get(pk=made["id"]),
        )
        assert credentials.roles_of(grace.user.pk, made["id"]) == {"owner"}

    def test_the_console_offers_it_as_well(self) -> None:
        nobody.post("/auth/register", {"name": "Bank"})
        out = StringIO()
        call_command("invite_owner", "bank", "--email=o@example.com", stdout=out)
        token = out.getvalue().strip().rpartition("/")[2]
        assert invitations.find(token).email == "o@example.com"
        with pytest.raises(CommandError, match="no organization"):
            call_command("invite_owner", "nowhere")
        with pytest.raises(CommandError, match="no e-mail"):
            call_command("invite_owner", "bank", "--email=x")
