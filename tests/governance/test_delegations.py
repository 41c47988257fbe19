"""Standing in for somebody: dated, same role, never passed on, one vote in all."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from governance.actions import delegations, organizations, votes
from governance.exceptions import (
    ConflictError,
    InvalidError,
    PermissionDeniedError,
)
from governance.models import (
    ApprovalRequest,
    ApprovalVote,
    AuditEntry,
    AuditPayload,
    Delegation,
    Membership,
    ModelVersion,
)
from tests.factories import (
    Person,
    make_alice,
    make_bob,
    make_charlie,
    make_member,
    make_version,
    submit,
    vote,
)
from tests.governance.policies import publish

pytestmark = pytest.mark.django_db
OFFICER = Membership.Role.COMPLIANCE_OFFICER
Status = ApprovalRequest.Status


@pytest.fixture
def alice() -> Person:
    return make_alice()


@pytest.fixture
def bob(alice: Person) -> Person:
    return make_bob(alice.organization)


@pytest.fixture
def dora(alice: Person, bob: Person) -> Person:
    return make_member(alice.organization, OFFICER)


@pytest.fixture
def version(alice: Person, dora: Person) -> ModelVersion:
    return make_version(alice)


def delegate(
    bob: Person, dora: Person, by: Person | None = None, **fields: Any
) -> Delegation:
    now = timezone.now()
    values: dict[str, Any] = {
        "delegator": bob.user,
        "delegate": dora.user,
        "role": OFFICER,
        "starts_at": now - timedelta(minutes=1),
        "ends_at": now + timedelta(days=3),
        "reason": "on holiday",
        **fields,
    }
    terms = delegations.Terms(**values)
    return delegations.create(bob.organization, terms, actor=(by or bob).actor)


def vote_for(
    request: ApprovalRequest, voter: Person, principal: Person
) -> ApprovalRequest:
    ballot = votes.Ballot("approve", on_behalf_of=principal.user)
    return votes.cast(request, ballot, actor=voter.actor)


def test_the_entry_says_on_whose_behalf(
    version: ModelVersion, bob: Person, dora: Person
) -> None:
    row = delegate(bob, dora)
    request = vote_for(submit(version), dora, bob)
    assert request.status == Status.APPLIED
    cast = ApprovalVote.objects.get()
    assert (cast.voter, cast.principal, cast.delegation) == (dora.user, bob.user, row)
    entry = AuditEntry.objects.get(action="approval.voted")
    assert entry.actor_id == str(dora.user.pk)
    payload = AuditPayload.objects.get(entry=entry)
    assert bob.user.email.encode() in bytes(payload.content)


def test_without_one_nobody_votes_for_another(
    version: ModelVersion, bob: Person, dora: Person
) -> None:
    with pytest.raises(PermissionDeniedError, match="a delegation"):
        vote_for(submit(version), dora, bob)


@pytest.mark.parametrize("hours", [(-48, -24), (24, 48)])
def test_it_counts_between_its_dates_only(
    version: ModelVersion, bob: Person, dora: Person, hours: tuple[int, int]
) -> None:
    start, end = (timezone.now() + timedelta(hours=one) for one in hours)
    if end < timezone.now():
        Delegation.objects.create(
            organization=bob.organization,
            delegator=bob.user,
            delegate=dora.user,
            role=OFFICER,
            starts_at=start,
            ends_at=end,
            created_by=bob.user,
            confirmed_by=bob.user,
            confirmed_at=start,
        )
    else:
        delegate(bob, dora, starts_at=start, ends_at=end)
    with pytest.raises(PermissionDeniedError):
        vote_for(submit(version), dora, bob)


def test_a_revoked_one_does_not_count(
    version: ModelVersion, bob: Person, dora: Person
) -> None:
    row = delegate(bob, dora)
    delegations.revoke(row, reason="back again", actor=bob.actor)
    with pytest.raises(PermissionDeniedError):
        vote_for(submit(version), dora, bob)
    with pytest.raises(ConflictError):
        delegations.revoke(row, actor=bob.actor)


def test_a_delegate_casts_one_vote_in_total(
    alice: Person, bob: Person, dora: Person
) -> None:
    make_member(alice.organization, OFFICER)
    publish(alice.organization, stages=[{"role": OFFICER, "quorum": 2}])
    delegate(bob, dora)
    request = vote_for(submit(make_version(alice)), dora, bob)
    with pytest.raises(ConflictError, match="one vote over all stages"):
        vote(request, dora)
    with pytest.raises(ConflictError, match="one vote over all stages"):
        vote(request, bob)
    assert request.status == Status.PENDING


def test_the_requester_is_never_the_delegate(
    alice: Person, bob: Person, dora: Person
) -> None:
    make_member(alice.organization, OFFICER, alice.user)
    version = make_version(alice)
    delegate(bob, alice)
    with pytest.raises(PermissionDeniedError):
        vote_for(submit(version), alice, bob)


def test_nobody_stands_in_for_the_requester(
    alice: Person, bob: Person, dora: Person
) -> None:
    make_member(alice.organization, OFFICER, alice.user)
    delegate(alice, dora)
    with pytest.raises(PermissionDeniedError):
        vote_for(submit(make_version(alice)), dora, alice)


def test_it_takes_the_same_role(alice: Person, bob: Person) -> None:
    vera = make_member(alice.organization, Membership.Role.VALIDATOR)
    with pytest.raises(InvalidError) as caught:
        delegate(bob, vera)
    assert caught.value.errors[0]["loc"] == ["delegate"]
    stranger = make_charlie()
    with pytest.raises(InvalidError):
        delegate(bob, stranger)


def test_a_delegate_who_loses_the_role_does_not_count(
    version: ModelVersion, alice: Person, bob: Person, dora: Person
) -> None:
    delegate(bob, dora)
    request = submit(version)
    membership = Membership.objects.active().get(user=dora.user)
    organizations.end_member(membership, actor=alice.actor)
    with pytest.raises(PermissionDeniedError):
        vote_for(request, dora, bob)


def test_it_is_not_passed_on(alice: Person, bob: Person, dora: Person) -> None:
    eve = make_member(alice.organization, OFFICER)
    delegate(bob, dora)
    with pytest.raises(ConflictError, match="not passed on"):
        delegate(dora, eve)
    with pytest.raises(ConflictError, match="not passed on"):
        delegate(eve, bob)
    with pytest.raises(ConflictError, match="a delegate in this time already"):
        delegate(bob, eve)
    # Another time is another matter.
    later = timezone.now() + timedelta(days=10)
    delegate(dora, eve, starts_at=later, ends_at=later + timedelta(days=1))


def test_the_database_passes_none_on(alice: Person, bob: Person, dora: Person) -> None:
    eve = make_member(alice.organization, OFFICER)
    row = delegate(bob, dora)
    row.pk = None
    row._state.adding = True
    row.delegator, row.delegate = dora.user, eve.user
    row.created_by = row.confirmed_by = dora.user
    with pytest.raises(IntegrityError, match="not passed on"), transaction.atomic():
        row.save()


class TestAbsence:
    def test_takes_two_others(
        self, version: ModelVersion, alice: Person, bob: Person, dora: Person
    ) -> None:
        eve = make_member(alice.organization, OFFICER)
        request = submit(version)
        row = delegate(bob, dora, by=alice)
        assert row.confirmed_at is None
        with pytest.raises(PermissionDeniedError):
            vote_for(request, dora, bob)
        with pytest.raises(PermissionDeniedError, match="a second person"):
            delegations.confirm(row, actor=alice.actor)
        with pytest.raises(PermissionDeniedError, match="else than the delegate"):
            delegations.confirm(row, actor=dora.actor)
        delegations.confirm(row, actor=eve.actor)
        assert vote_for(request, dora, bob).status == Status.APPLIED

    def test_is_not_arranged_by_the_delegate(self, bob: Person, dora: Person) -> None:
        with pytest.raises(PermissionDeniedError):
            delegate(bob, dora, by=dora)
        entry = AuditEntry.objects.get(action="delegation.created")
        assert entry.outcome == "denied"

    def test_is_not_arranged_by_anybody(
        self, alice: Person, bob: Person, dora: Person
    ) -> None:
        auditor = make_member(alice.organization, Membership.Role.AUDITOR)
        with pytest.raises(PermissionDeniedError):
            delegate(bob, dora, by=auditor)

    def test_the_database_wants_two_as_well(
        self, alice: Person, bob: Person, dora: Person
    ) -> None:
        row = delegate(bob, dora, by=alice)
        for person in (alice.user, dora.user, bob.user):
            with pytest.raises(IntegrityError), transaction.atomic():
                Delegation.objects.filter(pk=row.pk).update(
                    confirmed_by=person, confirmed_at=timezone.now()
                )


@pytest.mark.parametrize(
    ("fields", "loc"),
    [
        ({"ends_at": timezone.now() - timedelta(days=1)}, "ends_at"),
        ({"ends_at": timezone.now() + timedelta(days=100)}, "ends_at"),
        ({"reason": " "}, "reason"),
    ],
)
def test_dates_and_a_reason_are_needed(
    bob: Person, dora: Person, fields: dict[str, datetime | str], loc: str
) -> None:
    with pytest.raises(InvalidError) as caught:
        delegate(bob, dora, **fields)
    assert caught.value.errors[0]["loc"] == [loc]


def test_it_is_to_somebody_else(bob: Person, dora: Person) -> None:
    with pytest.raises(InvalidError):
        delegate(bob, bob)
