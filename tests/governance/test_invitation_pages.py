"""The page behind an invitation's link, and the list of invitations in the admin."""

import re

import pytest
from django.test import Client

from governance.actions import invitations
from governance.admin import invitation_pages
from governance.models import AuditEntry, Invitation, Membership, User
from tests.factories import (
    PASSWORD,
    Person,
    make_alice,
    make_bob,
    make_charlie,
    make_member,
    make_user,
)

pytestmark = pytest.mark.django_db
LIST = "/admin/governance/invitation/"
PAGE = "/invitations"
NEW = {
    "answer": "register",
    "register-name": "Grace",
    "register-password": "grace's long phrase",
    "register-again": "grace's long phrase",
}
OLD = {"answer": "sign_in", "sign_in-password": PASSWORD}


@pytest.fixture
def alice() -> Person:
    return make_alice()


def browser(person: Person | None = None, **options: bool) -> Client:
    client = Client(**options)
    if person:
        backend = "django.contrib.auth.backends.ModelBackend"
        client.force_login(person.user, backend=backend)
    return client


def link_for(alice: Person, email: str = "grace@example.com", role: str = "auditor"):
    made = invitations.invite(
        alice.organization, email=email, role=role, actor=alice.actor
    )
    return f"{PAGE}/{invitations.link(made).rpartition('/')[2]}"


def opened(link: str, person: Person | None = None) -> Client:
    """Return a browser that has followed the link."""
    client = browser(person)
    answer = client.get(link)
    assert (answer.status_code, answer["Location"]) == (302, PAGE)
    return client


class TestTheAdmin:
    def test_an_owner_invites_and_sees_the_link_once(self, alice: Person) -> None:
        make_user("grace@example.com")
        client = browser(alice)
        form = {"email": "grace@example.com", "role": "auditor"}
        answer = client.post(f"{LIST}add/", form)
        link = re.search(
            r"https?://\S+/invitations/([\w-]{43})", answer.content.decode()
        )
        assert link is not None
        assert "no-store" in answer["Cache-Control"]
        assert link[1] not in client.get(LIST).content.decode()
        assert link[1] not in str(dict(client.session))
        assert not Membership.objects.filter(user__email="grace@example.com").exists()

    def test_an_unknown_address_is_no_different(self, alice: Person) -> None:
        make_user("grace@example.com")
        pages = []
        for email in ("grace@example.com", "nobody@example.com"):
            form = {"email": email, "role": "auditor"}
            answer = browser(alice).post(f"{LIST}add/", form)
            text = answer.content.decode().partition('<div class="dg dg-narrow">')[2]
            text = re.sub(r"[\w-]{43}", "<token>", text.partition("</div>")[0])
            pages.append((answer.status_code, text.replace(email, "<email>")))
        assert "<email>" in pages[0][1]
        assert "<token>" in pages[0][1]
        assert pages[0] == pages[1]

    def test_nobody_else_invites(self, alice: Person) -> None:
        bob = make_bob(alice.organization)
        form = {"email": "x@example.com", "role": "auditor"}
        assert browser(bob).post(f"{LIST}add/", form).status_code == 403
        assert not Invitation.objects.exists()

    def test_withdrawing_asks_first(self, alice: Person) -> None:
        link = link_for(alice)
        pk = Invitation.objects.get().pk
        client = browser(alice)
        assert "Withdraw this" in client.get(f"{LIST}{pk}/withdraw/").content.decode()
        assert browser().get(link).status_code == 302
        for stranger, status in (
            (make_charlie(), 404),
            (make_bob(alice.organization), 403),
        ):
            answer = browser(stranger).post(
                f"{LIST}{pk}/withdraw/", {"confirmed": "on"}
            )
            assert answer.status_code == status
        client.post(f"{LIST}{pk}/withdraw/", {"confirmed": "on"})
        assert browser().get(link).status_code == 404
        assert "Withdrawn" in client.get(LIST).content.decode()


class TestThePage:
    def test_shows_who_invites_to_what_and_not_the_token(self, alice: Person) -> None:
        link = link_for(alice)
        page = opened(link).get(PAGE).content.decode()
        for words in ("Alice&#x27;s bank", "Alice", "grace@example.com", "auditor"):
            assert words in page
        assert link.rpartition("/")[2] not in page

    def test_tells_nothing_about_accounts(self, alice: Person) -> None:
        pages = []
        for email in ("grace@example.com", "nobody@example.com"):
            if email.startswith("grace"):
                make_user(email)
            page = opened(link_for(alice, email)).get(PAGE).content.decode()
            page = re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", page)
            pages.append(page.replace(email, "<email>"))
        assert pages[0] == pages[1]

    def test_somebody_new_makes_an_account_and_sits_down(self, alice: Person) -> None:
        client = opened(link_for(alice))
        answer = client.post(PAGE, NEW)
        assert (answer.status_code, answer["Location"]) == (302, "/admin/")
        page = client.get("/admin/").content.decode()
        assert "Welcome to" in page
        assert "Alice&#x27;s bank" in page
        actions = AuditEntry.objects.for_organization(alice.organization)
        assert set(actions.values_list("action", flat=True)) >= {
            "invitation.accepted",
            "member.added",
            "session.started",
        }
        assert client.get(PAGE).status_code == 404

    def test_an_account_signs_in_and_sits_down(self, alice: Person) -> None:
        charlie = make_charlie()
        client = opened(link_for(alice, charlie.user.email))
        assert client.post(PAGE, OLD).status_code == 302
        # In the organization that they have just joined, home or not.
        assert "Alice&#x27;s bank" in client.get("/admin/").content.decode()

    def test_a_wrong_password_says_no_more(self, alice: Person) -> None:
        make_user("grace@example.com")
        wrong = {**OLD, "sign_in-password": "wrong"}
        known = opened(link_for(alice)).post(PAGE, wrong).content.decode()
        unknown = opened(link_for(alice, "nobody@example.com")).post(PAGE, wrong)
        for page in (known, unknown.content.decode()):
            assert invitation_pages.REFUSED in page
        assert not Membership.objects.filter(user__email="grace@example.com").exists()

    def test_guessing_is_locked_out(self, alice: Person) -> None:
        make_user("grace@example.com")
        client = opened(link_for(alice))
        for _ in range(10):
            client.post(PAGE, {**OLD, "sign_in-password": "wrong"})
        assert invitation_pages.REFUSED in client.post(PAGE, OLD).content.decode()

    def test_a_new_account_takes_no_old_one_over(self, alice: Person) -> None:
        grace = make_user("grace@example.com")
        page = opened(link_for(alice)).post(PAGE, NEW).content.decode()
        assert invitation_pages.TAKEN in page
        grace.refresh_from_db()
        assert grace.check_password(PASSWORD)

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"register-again": "other"}, "not the same"),
            (
                {"register-password": "short", "register-again": "short"},
                "too short",
            ),
            ({"register-name": ""}, "required"),
        ],
    )
    def test_what_is_wrong_is_said(
        self, alice: Person, fields: dict[str, str], words: str
    ) -> None:
        page = opened(link_for(alice)).post(PAGE, {**NEW, **fields}).content.decode()
        assert words in page
        assert not User.objects.filter(email="grace@example.com").exists()

    def test_who_is_signed_in_accepts_with_one_press(self, alice: Person) -> None:
        charlie = make_charlie()
        client = opened(link_for(alice, charlie.user.email), charlie)
        assert "Sign in and accept" not in client.get(PAGE).content.decode()
        assert client.post(PAGE, {"answer": "accept"}).status_code == 302
        assert Membership.objects.filter(
            user=charlie.user, organization=alice.organization
        ).exists()

    def test_another_person_is_told_to_sign_out(self, alice: Person) -> None:
        client = opened(link_for(alice), make_charlie())
        assert "another address" in client.get(PAGE).content.decode()
        answer = client.post(PAGE, {"answer": "accept"})
        assert "another e-mail address" in answer.content.decode()
        assert Invitation.objects.get().state == "open"

    def test_nobody_accepts_without_showing_who_they_are(self, alice: Person) -> None:
        assert (
            opened(link_for(alice)).post(PAGE, {"answer": "accept"}).status_code == 200
        )
        assert Invitation.objects.get().state == "open"

    def test_a_vote_waits_for_the_second_person(self, alice: Person) -> None:
        make_bob(alice.organization)
        client = opened(link_for(alice, role="validator"))
        answer = client.post(PAGE, NEW)
        assert "second person" in answer.content.decode()
        assert client.get("/admin/").status_code == 302
        bob = Person(
            Membership.objects.get(role="compliance_officer").user, alice.organization
        )
        pk = Membership.objects.get(role="validator").pk
        confirm = f"/admin/governance/membership/{pk}/confirm/"
        browser(bob).post(confirm, {"confirmed": "on"})
        form = {"username": "grace@example.com", "password": "grace's long phrase"}
        assert client.post("/admin/login/", form)["Location"] == "/admin/"

    def test_declining_is_final(self, alice: Person) -> None:
        link = link_for(alice)
        client = opened(link)
        assert "declined" in client.post(PAGE, {"answer": "decline"}).content.decode()
        assert client.get(link).status_code == 404
        assert Invitation.objects.get().state == "declined"

    def test_answers_need_the_token_against_forged_requests(
        self, alice: Person
    ) -> None:
        client = browser(enforce_csrf_checks=True)
        client.get(link_for(alice))
        answer = client.post(PAGE, NEW)
        assert answer.status_code == 403
        assert "This form can't be taken" in answer.content.decode()
        assert Invitation.objects.get().state == "open"

    @pytest.mark.parametrize("path", [PAGE, f"{PAGE}/x", f"{PAGE}/{'A' * 43}"])
    def test_without_an_open_invitation_says_so(self, alice: Person, path: str) -> None:
        answer = browser().get(path)
        assert answer.status_code == 404
        assert "can't be answered" in answer.content.decode()

    def test_a_link_without_an_address_asks_for_it(self) -> None:
        organization, _, offer = invitations.register_organization("Bank", actor=None)
        client = opened(f"{PAGE}/{invitations.link(offer).rpartition('/')[2]}")
        assert "is required" in client.post(PAGE, NEW).content.decode()
        form = {**NEW, "register-email": "o@example.com"}
        assert client.post(PAGE, form).status_code == 302
        member = Membership.objects.get(user__email="o@example.com")
        assert (member.organization, member.role) == (organization, "owner")


def test_a_member_of_the_page_sees_their_history(alice: Person) -> None:
    dora = make_member(alice.organization, "auditor")
    membership = Membership.objects.get(user=dora.user)
    path = f"/admin/governance/membership/{membership.pk}/change/"
    assert browser(alice).get(path).status_code == 200
