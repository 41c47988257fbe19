from datetime import timedelta

import pytest
from django.db import ProgrammingError
from django.utils import timezone

from governance.actions import credentials, organizations
from governance.actions.audit import Actor
from governance.exceptions import (
    AlreadyExistsError,
    ConflictError,
    InvalidError,
    NotAuthenticatedError,
    PermissionDeniedError,
)
from governance.models import AuditEntry, Membership, TokenSession
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _empty_cache() -> None:
    credentials.forget()


@pytest.fixture
def alice() -> factories.Person:
    return factories.make_alice()


def last_of(person: factories.Person) -> AuditEntry:
    return AuditEntry.objects.for_organization(person.organization)[0]


class TestMembers:
    def test_an_owner_gives_them_another_role(self, alice: factories.Person) -> None:
        user = factories.make_member(alice.organization, "model_owner").user
        made = organizations.add_member(
            alice.organization, user=user, role="auditor", actor=alice.actor
        )
        assert made.granted_by == alice.user
        assert last_of(alice).action == "member.added"
        assert last_of(alice).actor_label == alice.user.email

    def test_nobody_becomes_one_unasked(self, alice: factories.Person) -> None:
        charlie = factories.make_charlie()
        with pytest.raises(ConflictError, match="invited"):
            organizations.add_member(
                alice.organization, user=charlie.user, role="owner", actor=alice.actor
            )

    def test_a_role_is_held_once(self, alice: factories.Person) -> None:
        with pytest.raises(AlreadyExistsError):
            organizations.add_member(
                alice.organization, user=alice.user, role="owner", actor=alice.actor
            )

    @pytest.mark.parametrize("role", ["compliance_officer", "model_owner", "auditor"])
    def test_nobody_else_does(self, alice: factories.Person, role: str) -> None:
        bob = factories.make_member(alice.organization, role)
        with pytest.raises(PermissionDeniedError):
            organizations.add_member(
                alice.organization, user=bob.user, role="owner", actor=bob.actor
            )
        assert last_of(alice).outcome == "denied"

    def test_an_owner_of_another_organization_does_not(
        self, alice: factories.Person
    ) -> None:
        charlie = factories.make_charlie()
        with pytest.raises(PermissionDeniedError):
            organizations.add_member(
                alice.organization, user=charlie.user, role="owner", actor=charlie.actor
            )

    def test_a_role_claimed_by_the_actor_alone_is_none(
        self, alice: factories.Person
    ) -> None:
        bob = factories.make_bob(alice.organization)
        liar = Actor(type="user", role="owner", user_id=bob.user.pk)
        with pytest.raises(PermissionDeniedError):
            organizations.add_member(
                alice.organization, user=bob.user, role="owner", actor=liar
            )

    def test_leaving_ends_sessions_and_keys(self, alice: factories.Person) -> None:
        bob = factories.make_bob(alice.organization)
        _, text = factories.make_api_key(bob)
        session = TokenSession.objects.create(
            organization=alice.organization,
            user=bob.user,
            expires_at=timezone.now() + timedelta(days=1),
        )
        membership = Membership.objects.get(user=bob.user)
        organizations.end_member(membership, actor=alice.actor)
        session.refresh_from_db()
        assert session.revoked_at is not None
        assert last_of(alice).action == "member.ended"
        membership.refresh_from_db()
        assert membership.ended_by == alice.user
        with pytest.raises(NotAuthenticatedError):
            credentials.authenticate(text, None, ip="", request_id="")

    def test_the_last_owner_stays(self, alice: factories.Person) -> None:
        membership = Membership.objects.get(user=alice.user)
        with pytest.raises(ConflictError, match="at least one owner"):
            organizations.end_member(membership, actor=alice.actor)

    def test_an_ended_role_stays_on_record_and_may_come_again(
        self, alice: factories.Person
    ) -> None:
        bob = factories.make_bob(alice.organization)
        membership = Membership.objects.get(user=bob.user)
        before = timezone.now()
        organizations.end_member(membership, actor=alice.actor)
        with pytest.raises(ConflictError, match="ended already"):
            organizations.end_member(membership, actor=alice.actor)
        factories.make_member(alice.organization, "compliance_officer", bob.user)
        rows = Membership.objects.filter(user=bob.user)
        assert rows.count() == 2
        assert rows.active().count() == rows.active(before).count() == 1
        assert rows.active(before).get() == membership

    def test_everybody_may_leave_and_nobody_else_may_send_them(
        self, alice: factories.Person
    ) -> None:
        bob = factories.make_bob(alice.organization)
        dora = factories.make_member(alice.organization, "auditor")
        membership = Membership.objects.get(user=bob.user)
        for stranger in (dora, factories.make_charlie()):
            with pytest.raises(PermissionDeniedError):
                organizations.end_member(membership, actor=stranger.actor)
        organizations.end_member(membership, actor=bob.actor)
        assert credentials.roles_of(bob.user.pk, alice.organization.pk) == frozenset()

    def test_the_database_keeps_them(self, alice: factories.Person) -> None:
        with pytest.raises(ProgrammingError, match="permission denied"):
            Membership.objects.filter(user=alice.user).delete()


class TestKeys:
    def test_an_owner_makes_one_that_is_kept_as_a_digest(
        self, alice: factories.Person
    ) -> None:
        key, text = organizations.create_api_key(
            alice.organization, name="loader", owner=alice.user, actor=alice.actor
        )
        assert text.encode() not in bytes(key.digest)
        assert text.startswith(key.prefix)
        assert set(key.scopes) == set(credentials.ORDINARY_SCOPES)
        assert last_of(alice).action == "api_key.created"
        assert text not in bytes(last_of(alice).payload.content).decode()

    def test_a_key_makes_no_key(self, alice: factories.Person) -> None:
        _, text = factories.make_api_key(alice)
        actor = credentials.authenticate(text, None, ip="", request_id="").actor
        with pytest.raises(PermissionDeniedError):
            organizations.create_api_key(
                alice.organization, name="x", owner=alice.user, actor=actor
            )

    def test_its_owner_is_a_member(self, alice: factories.Person) -> None:
        charlie = factories.make_charlie()
        with pytest.raises(InvalidError):
            organizations.create_api_key(
                alice.organization, name="x", owner=charlie.user, actor=alice.actor
            )

    def test_its_scopes_exist(self, alice: factories.Person) -> None:
        with pytest.raises(InvalidError, match="no such scope"):
            factories.make_api_key(alice, scopes=["world:rule"])

    def test_revoking_is_remembered_once(self, alice: factories.Person) -> None:
        key, _ = factories.make_api_key(alice)
        organizations.revoke_api_key(key, actor=alice.actor, reason="leaked")
        assert last_of(alice).action == "api_key.revoked"
        before = AuditEntry.objects.count()
        organizations.revoke_api_key(key, actor=alice.actor)
        assert AuditEntry.objects.count() == before

    def test_its_owner_may_revoke_it(self, alice: factories.Person) -> None:
        bob = factories.make_bob(alice.organization)
        key, _ = factories.make_api_key(bob)
        organizations.revoke_api_key(key, actor=bob.actor)

    def test_others_may_not(self, alice: factories.Person) -> None:
        key, _ = factories.make_api_key(alice)
        bob = factories.make_bob(alice.organization)
        for stranger in (bob, factories.make_charlie()):
            with pytest.raises(PermissionDeniedError):
                organizations.revoke_api_key(key, actor=stranger.actor)
