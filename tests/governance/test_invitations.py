"""Nobody joins without having said yes, and no link is good twice."""

from datetime import timedelta
from threading import Barrier, Thread

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from governance.actions import credentials, invitations, organizations
from governance.actions.audit import Actor
from governance.exceptions import (
    AlreadyExistsError,
    ConflictError,
    GovernanceError,
    InvalidError,
    NotFoundError,
    PermissionDeniedError,
    ThrottledError,
)
from governance.models import (
    AuditEntry,
    AuditPayload,
    Invitation,
    Membership,
    Notification,
    User,
)
from tests.factories import (
    PASSWORD,
    Person,
    make_alice,
    make_api_key,
    make_bob,
    make_charlie,
    make_member,
    make_user,
)

Role = Membership.Role
VISITOR = Actor(type="visitor", ip="192.0.2.1", channel="api")


@pytest.fixture
def alice(db: None) -> Person:
    return make_alice()


def invite(
    alice: Person, email: str = "grace@example.com", role: str = Role.AUDITOR
) -> tuple[Invitation, str]:
    made = invitations.invite(
        alice.organization, email=email, role=role, actor=alice.actor
    )
    return made, token_of(made)


def token_of(invitation: Invitation) -> str:
    return invitations.link(invitation).rpartition("/")[2]


def accept(token: str, user: User) -> Membership:
    return invitations.accept(token, user=user, actor=actor_of(user))


def actor_of(user: User) -> Actor:
    return Actor(type="user", id=str(user.pk), label=user.email, user_id=user.pk)


def told(person: Person) -> list[tuple[str, str]]:
    entries = AuditEntry.objects.for_organization(person.organization)
    return list(entries.values_list("action", "actor_label"))


class TestInviting:
    def test_makes_nobody_a_member(self, alice: Person) -> None:
        grace = make_user("grace@example.com")
        made, _ = invite(alice)
        assert made.state == "open"
        assert not Membership.objects.filter(user=grace).exists()

    def test_tells_nothing_about_accounts(self, alice: Person) -> None:
        make_user("grace@example.com")
        known, _ = invite(alice)
        unknown, _ = invite(alice, "nobody@example.com")
        for name in ("role", "status", "state", "invited_by", "closed_at"):
            assert getattr(known, name) == getattr(unknown, name)

    def test_puts_a_mail_into_the_outbox_without_its_link(self, alice: Person) -> None:
        made, token = invite(alice)
        mail = Notification.objects.get()
        assert (mail.event, mail.sent_at) == ("invitation.created", None)
        assert mail.payload["to"] == "grace@example.com"
        assert mail.payload["invitation"] == made.public_id
        assert token not in str(mail.payload)

    def test_keeps_a_digest_of_the_token_alone(self, alice: Person) -> None:
        made, token = invite(alice)
        assert len(token) >= 43
        with connection.cursor() as cursor:
            cursor.execute("SELECT i::text FROM governance_invitation i")
            assert token not in cursor.fetchone()[0]
        for payload in AuditPayload.objects.all():
            assert token not in bytes(payload.content).decode()
        # A row's mail can be written later, from the row and the server's own key.
        again = Invitation.objects.get(pk=made.pk)
        assert token_of(again) == token

    def test_is_good_for_seven_days(self, alice: Person) -> None:
        made, token = invite(alice)
        assert made.expires_at - made.created_at >= timedelta(days=7)
        Invitation.objects.update(
            created_at=timezone.now() - timedelta(days=8), expires_at=timezone.now()
        )
        made.refresh_from_db()
        assert made.state == "expired"
        for answer in (
            lambda: accept(token, make_user("grace@example.com")),
            lambda: invitations.decline(token, actor=VISITOR),
        ):
            with pytest.raises(NotFoundError):
                answer()

    def test_again_replaces_the_link(self, alice: Person) -> None:
        first, old = invite(alice)
        second, new = invite(alice, "Grace@Example.com")
        first.refresh_from_db()
        assert (first.state, second.state) == ("withdrawn", "open")
        with pytest.raises(NotFoundError):
            invitations.find(old)
        assert invitations.find(new) == second

    @pytest.mark.parametrize("role", ["compliance_officer", "model_owner", "auditor"])
    def test_needs_an_owner(self, alice: Person, role: str) -> None:
        bob = make_member(alice.organization, role)
        _, text = make_api_key(alice)
        key = credentials.authenticate(text, None, ip="", request_id="").actor
        for actor in (bob.actor, make_charlie().actor, key):
            with pytest.raises(PermissionDeniedError):
                invitations.invite(
                    alice.organization, email="x@example.com", role=role, actor=actor
                )
        assert not Invitation.objects.exists()

    def test_somebody_to_a_role_that_they_have_is_refused(self, alice: Person) -> None:
        bob = make_bob(alice.organization)
        with pytest.raises(AlreadyExistsError):
            invite(alice, bob.user.email.upper(), Role.COMPLIANCE_OFFICER)
        invite(alice, bob.user.email, Role.AUDITOR)

    def test_hundreds_is_refused(
        self, alice: Person, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(invitations, "ATTEMPTS", (2, 60))
        invitations.count_attempt(alice.organization)
        invitations.count_attempt(alice.organization)
        invitations.count_attempt(make_charlie().organization)
        with pytest.raises(ThrottledError):
            invitations.count_attempt(alice.organization)


class TestAccepting:
    def test_gives_the_role_from_the_inviter(self, alice: Person) -> None:
        made, token = invite(alice)
        grace = make_user("Grace@example.com")
        membership = accept(token, grace)
        assert (membership.role, membership.granted_by) == (Role.AUDITOR, alice.user)
        made.refresh_from_db()
        assert (made.state, made.closed_by) == ("accepted", grace)
        assert made.membership == membership
        assert told(alice)[:2] == [
            ("invitation.accepted", grace.email),
            ("member.added", grace.email),
        ]

    def test_works_once(self, alice: Person) -> None:
        _, token = invite(alice)
        grace = make_user("grace@example.com")
        accept(token, grace)
        organizations.end_member(Membership.objects.get(user=grace), actor=alice.actor)
        with pytest.raises(NotFoundError):
            accept(token, grace)

    def test_is_for_the_address_alone(self, alice: Person) -> None:
        made, token = invite(alice)
        with pytest.raises(ConflictError, match="another e-mail address"):
            accept(token, make_charlie().user)
        made.refresh_from_db()
        assert made.state == "open"

    @pytest.mark.parametrize("token", ["", "x", "\0", "é" * 43, "A" * 43])
    def test_needs_the_token(self, alice: Person, token: str) -> None:
        invite(alice)
        with pytest.raises(NotFoundError):
            accept(token, make_user("grace@example.com"))

    def test_ends_with_the_inviters_right(self, alice: Person) -> None:
        olga = make_member(alice.organization, Role.OWNER)
        _, token = invite(olga)
        membership = Membership.objects.get(user=olga.user)
        organizations.end_member(membership, actor=alice.actor)
        with pytest.raises(NotFoundError):
            accept(token, make_user("grace@example.com"))

    def test_gives_a_vote_only_with_a_second_person(self, alice: Person) -> None:
        bob = make_bob(alice.organization)
        _, token = invite(alice, role=Role.VALIDATOR)
        grace = make_user("grace@example.com")
        membership = accept(token, grace)
        assert membership.is_unconfirmed
        assert not credentials.roles_of(grace.pk, alice.organization.pk)
        mail = Notification.objects.get(event="member.unconfirmed")
        assert mail.payload["to"] == [bob.user.email]
        organizations.confirm_member(membership, actor=bob.actor)
        votes = Membership.objects.for_organization(alice.organization).voting()
        assert set(votes.values_list("user", flat=True)) == {bob.user.pk, grace.pk}

    def test_gives_the_second_member_a_vote_at_once(self, alice: Person) -> None:
        _, token = invite(alice, role=Role.COMPLIANCE_OFFICER)
        assert not accept(token, make_user("grace@example.com")).is_unconfirmed

    def test_no_one_accepts_a_vote_from_themselves(self, alice: Person) -> None:
        _, token = invite(alice, alice.user.email, Role.VALIDATOR)
        with pytest.raises(ConflictError, match="to themselves"):
            accept(token, alice.user)


class TestJoining:
    def join(self, token: str, password: str = PASSWORD) -> Membership:
        return invitations.join(
            token, email="", password=password, name="Grace", actor=VISITOR
        )

    def test_makes_the_account(self, alice: Person) -> None:
        _, token = invite(alice)
        membership = self.join(token)
        user = membership.user
        assert (user.email, user.name) == ("grace@example.com", "Grace")
        assert user.check_password(PASSWORD)
        assert told(alice)[0] == ("invitation.accepted", user.email)

    def test_with_a_weak_password_leaves_nothing(self, alice: Person) -> None:
        made, token = invite(alice)
        with pytest.raises(InvalidError):
            self.join(token, "short")
        assert not User.objects.filter(email="grace@example.com").exists()
        made.refresh_from_db()
        assert made.state == "open"

    def test_takes_no_account_over(self, alice: Person) -> None:
        grace = make_user("grace@example.com")
        _, token = invite(alice)
        with pytest.raises(AlreadyExistsError):
            self.join(token, "another long passphrase")
        grace.refresh_from_db()
        assert grace.check_password(PASSWORD)
        assert not Membership.objects.filter(user=grace).exists()


class TestEnding:
    def test_declining_kills_the_link(self, alice: Person) -> None:
        made, token = invite(alice)
        invitations.decline(token, actor=VISITOR)
        made.refresh_from_db()
        assert (made.state, made.closed_by) == ("declined", None)
        with pytest.raises(NotFoundError):
            accept(token, make_user("grace@example.com"))

    def test_withdrawing_kills_the_link(self, alice: Person) -> None:
        made, token = invite(alice)
        invitations.withdraw(made, actor=alice.actor)
        with pytest.raises(NotFoundError):
            accept(token, make_user("grace@example.com"))
        with pytest.raises(ConflictError):
            invitations.withdraw(made, actor=alice.actor)
        assert told(alice)[0] == ("invitation.withdrawn", alice.user.email)

    def test_withdrawing_needs_an_owner(self, alice: Person) -> None:
        made, _ = invite(alice)
        for actor in (make_bob(alice.organization).actor, make_charlie().actor):
            with pytest.raises(PermissionDeniedError):
                invitations.withdraw(made, actor=actor)


class TestOwnership:
    def test_of_what_a_service_registered_goes_to_who_has_the_link(
        self, db: None
    ) -> None:
        organization, _, offer = invitations.register_organization("Bank", actor=None)
        token = token_of(offer)
        membership = invitations.join(
            token, email="o@example.com", password=PASSWORD, name="O", actor=VISITOR
        )
        assert (membership.role, membership.granted_by) == (Role.OWNER, None)
        owner = Person(membership.user, organization)
        invite(owner, role=Role.COMPLIANCE_OFFICER)
        with pytest.raises(NotFoundError):
            accept(token, make_user())
        assert not Notification.objects.filter(payload__to="").exists()


class TestTheDatabaseRefuses:
    def change(self, invitation: Invitation, **fields: object) -> None:
        with pytest.raises(IntegrityError), transaction.atomic():
            Invitation.objects.filter(pk=invitation.pk).update(**fields)

    def test_states_that_are_none(self, alice: Person) -> None:
        made, _ = invite(alice)
        now = timezone.now()
        self.change(made, status="accepted", closed_at=now)
        self.change(made, status="declined")
        self.change(made, closed_at=now)
        self.change(made, expires_at=made.created_at)
        self.change(made, email="")
        self.change(made, role="king")

    def test_two_open_ones_for_the_same(self, alice: Person) -> None:
        first, _ = invite(alice)
        second, _ = invite(alice, "other@example.com")
        self.change(second, email=first.email.upper())


def test_of_many_answers_at_once_one_counts(cloned_db: str) -> None:
    alice = make_alice()
    made, token = invite(alice)
    grace = make_user("grace@example.com")
    answers = [lambda: accept(token, grace)] * 4
    answers += [lambda: invitations.decline(token, actor=VISITOR)] * 2
    answers += [lambda: invitations.withdraw(made, actor=alice.actor)] * 2
    start, outcomes = Barrier(len(answers)), []

    def run(answer: object) -> None:
        start.wait()
        try:
            answer()
            outcomes.append("done")
        except GovernanceError as error:
            outcomes.append(error.code)
        connection.close()

    threads = [Thread(target=run, args=[one]) for one in answers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == len(answers)
    assert outcomes.count("done") == 1
    assert set(outcomes) <= {"done", "not_found", "conflict"}
    made.refresh_from_db()
    assert (made.state == "accepted") == Membership.objects.filter(user=grace).exists()


def test_two_invitations_at_once_leave_one_open(cloned_db: str) -> None:
    alice = make_alice()
    start = Barrier(4)

    def run() -> None:
        start.wait()
        invite(alice)
        connection.close()

    threads = [Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Invitation.objects.count() == 4
    assert Invitation.objects.open().count() == 1
