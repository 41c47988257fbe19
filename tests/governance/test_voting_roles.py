"""Who may vote: giving a voting role takes two people, neither of them its holder."""

from datetime import timedelta
from importlib import import_module
from threading import Barrier, Thread

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from governance.actions import credentials, organizations
from governance.actions.audit import Actor
from governance.exceptions import ConflictError, PermissionDeniedError
from governance.models import AuditEntry, Membership
from tests.factories import (
    Person,
    make_alice,
    make_bob,
    make_charlie,
    make_member,
    make_user,
)

Role = Membership.Role
OFFICER = Role.COMPLIANCE_OFFICER


@pytest.fixture
def alice(db: None) -> Person:
    return make_alice()


def give(role: str, person: Person, giver: Person) -> Membership:
    return organizations.add_member(
        giver.organization, user=person.user, role=role, actor=giver.actor
    )


def third(alice: Person) -> Person:
    """Return the third member of Alice's bank, besides Bob."""
    make_bob(alice.organization)
    return make_member(alice.organization, Role.MODEL_OWNER)


def votes(person: Person, at: object = None) -> set[str]:
    rows = Membership.objects.for_organization(person.organization).voting(at)
    return set(rows.filter(user=person.user).values_list("role", flat=True))


def test_the_second_member_votes_at_once(alice: Person) -> None:
    dora = make_member(alice.organization, Role.AUDITOR)
    assert not give(OFFICER, dora, alice).needs_confirmation
    assert votes(dora) == {OFFICER}


def test_the_service_of_a_registration_is_no_person(db: None) -> None:
    organization, _, _ = organizations.register_organization("Bank", actor=None)
    alice = make_member(organization, Role.OWNER)
    dora = make_member(organization, Role.AUDITOR)
    assert not give(OFFICER, dora, alice).needs_confirmation


@pytest.mark.parametrize("role", [OFFICER, Role.VALIDATOR])
def test_from_the_third_on_a_second_person_has_to_agree(
    alice: Person, role: str
) -> None:
    dora = third(alice)
    membership = give(role, dora, alice)
    assert membership.needs_confirmation
    assert votes(dora) == set()
    # Until then the role isn't there at all.
    assert credentials.roles_of(dora.user.pk, alice.organization.pk) == {"model_owner"}
    before = timezone.now()
    bob = Person(
        Membership.objects.get(role=OFFICER, granted_by=None).user, alice.organization
    )
    organizations.confirm_member(membership, actor=bob.actor)
    assert votes(dora) == {role}
    entry = AuditEntry.objects.for_organization(alice.organization)[0]
    assert (entry.action, entry.actor_id) == ("member.confirmed", str(bob.user.pk))
    # Requests that were open before don't know the role.
    assert votes(dora, before) == set()
    both = Membership.objects.voting(before) & Membership.objects.voting()
    assert set(both.values_list("user", flat=True)) == {bob.user.pk}


@pytest.mark.parametrize("role", [Role.OWNER, Role.MODEL_OWNER, Role.AUDITOR])
def test_other_roles_need_nobody(alice: Person, role: str) -> None:
    third(alice)
    dora = make_member(
        alice.organization, Role.AUDITOR if role != Role.AUDITOR else Role.OWNER
    )
    assert not give(role, dora, alice).needs_confirmation
    assert votes(dora) == set()


def test_people_who_left_still_count_as_members(alice: Person) -> None:
    bob = make_bob(alice.organization)
    organizations.end_member(Membership.objects.get(user=bob.user), actor=alice.actor)
    dora = make_member(alice.organization, Role.AUDITOR)
    assert give(OFFICER, dora, alice).needs_confirmation


def test_nobody_gives_one_to_themselves(alice: Person) -> None:
    with pytest.raises(ConflictError, match="to themselves"):
        give(OFFICER, alice, alice)
    assert votes(alice) == set()


def test_neither_giver_nor_holder_nor_stranger_confirms(alice: Person) -> None:
    dora = third(alice)
    make_member(alice.organization, Role.OWNER, dora.user)
    auditor = make_member(alice.organization, Role.AUDITOR)
    membership = give(OFFICER, dora, alice)
    key = Actor(type="api_key", user_id=make_bob(alice.organization).user.pk)
    refused = [alice.actor, dora.actor, auditor.actor, make_charlie().actor, key]
    for actor in refused:
        with pytest.raises(PermissionDeniedError):
            organizations.confirm_member(membership, actor=actor)
    denied = AuditEntry.objects.for_organization(alice.organization).filter(
        action="permission.denied", outcome="denied"
    )
    assert denied.count() == len(refused)
    assert votes(dora) == set()


def test_an_officer_who_waits_for_confirmation_confirms_nobody(alice: Person) -> None:
    dora = third(alice)
    eve = make_member(alice.organization, Role.AUDITOR)
    give(OFFICER, dora, alice)
    with pytest.raises(PermissionDeniedError):
        organizations.confirm_member(give(OFFICER, eve, alice), actor=dora.actor)


def test_what_is_over_or_done_is_not_confirmed(alice: Person) -> None:
    dora = third(alice)
    bob = make_bob(alice.organization)
    membership = give(OFFICER, dora, alice)
    organizations.confirm_member(membership, actor=bob.actor)
    with pytest.raises(ConflictError):
        organizations.confirm_member(membership, actor=bob.actor)
    other = give(Role.VALIDATOR, dora, alice)
    organizations.end_member(other, actor=alice.actor)
    with pytest.raises(ConflictError):
        organizations.confirm_member(other, actor=bob.actor)
    assert votes(dora) == {OFFICER}


def test_an_ended_role_voted_until_then(alice: Person) -> None:
    bob = make_bob(alice.organization)
    before = timezone.now()
    organizations.end_member(Membership.objects.get(user=bob.user), actor=alice.actor)
    assert votes(bob) == set()
    assert votes(bob, before) == {OFFICER}
    assert votes(bob, before - timedelta(days=1)) == set()
    assert not (
        Membership.objects.voting(before) & Membership.objects.voting()
    ).exists()


class TestTheDatabaseRefuses:
    def change(self, membership: Membership, **fields: object) -> None:
        with pytest.raises(IntegrityError), transaction.atomic():
            Membership.objects.filter(pk=membership.pk).update(**fields)

    @pytest.fixture
    def pending(self, alice: Person) -> Membership:
        return give(OFFICER, third(alice), alice)

    def test_the_giver_as_second_person(self, pending: Membership) -> None:
        self.change(
            pending, confirmed_by=pending.granted_by, confirmed_at=timezone.now()
        )

    def test_the_holder_as_second_person(self, pending: Membership) -> None:
        self.change(pending, confirmed_by=pending.user, confirmed_at=timezone.now())

    def test_a_confirmation_by_nobody(self, pending: Membership) -> None:
        self.change(pending, confirmed_at=timezone.now())
        self.change(pending, confirmed_by=make_user())

    def test_a_confirmation_before_the_grant(self, pending: Membership) -> None:
        long_ago = pending.granted_at - timedelta(days=1)
        self.change(pending, confirmed_by=make_user(), confirmed_at=long_ago)

    def test_a_vote_in_a_role_of_ones_own_making(self, pending: Membership) -> None:
        own = {"granted_by": pending.user}
        self.change(pending, needs_confirmation=False, **own)
        self.change(
            pending, confirmed_by=make_user(), confirmed_at=timezone.now(), **own
        )

    def test_an_end_before_the_beginning(self, pending: Membership) -> None:
        self.change(pending, ended_at=pending.granted_at - timedelta(days=1))

    def test_an_ending_without_an_end(self, pending: Membership) -> None:
        self.change(pending, ended_by=make_user())


def test_two_grants_at_once_are_not_both_the_second_member(cloned_db: str) -> None:
    alice = make_alice()
    people = [make_user() for _ in range(6)]
    start = Barrier(len(people))

    def join(user: object) -> None:
        start.wait()
        organizations.grant(
            alice.organization,
            user,
            OFFICER,
            giver=alice.user.pk,
            actor=alice.actor,
        )
        connection.close()

    threads = [Thread(target=join, args=[user]) for user in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    officers = Membership.objects.filter(role=OFFICER)
    assert officers.count() == len(people)
    assert officers.filter(needs_confirmation=False).count() == 1


def test_two_owners_can_not_end_each_other(cloned_db: str) -> None:
    alice = make_alice()
    bob = make_member(alice.organization, Role.OWNER)
    start = Barrier(2)
    refused = []

    def end(membership: Membership, actor: Actor) -> None:
        start.wait()
        try:
            organizations.end_member(membership, actor=actor)
        except (ConflictError, PermissionDeniedError) as error:
            refused.append(error)
        connection.close()

    owners = {one.user_id: one for one in Membership.objects.filter(role=Role.OWNER)}
    threads = [
        Thread(target=end, args=[owners[bob.user.pk], alice.actor]),
        Thread(target=end, args=[owners[alice.user.pk], bob.actor]),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 1
    assert Membership.objects.active().filter(role=Role.OWNER).count() == 1


def test_roles_given_before_there_was_a_rule_wait_as_well(alice: Person) -> None:
    migration = import_module("governance.migrations.0007_second_persons")
    second = make_member(alice.organization, Role.AUDITOR)
    give(Role.VALIDATOR, second, alice)
    dora = third(alice)
    give(OFFICER, dora, alice)
    Membership.objects.update(needs_confirmation=False)
    for _ in range(2):
        with connection.cursor() as cursor:
            cursor.execute(migration.FORWARD)
    assert votes(second) == {Role.VALIDATOR}
    assert (
        Membership.objects.get(role=OFFICER, granted_by=None).needs_confirmation
        is False
    )
    assert Membership.objects.unconfirmed().get().user == dora.user
