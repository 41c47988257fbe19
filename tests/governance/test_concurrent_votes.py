"""Many at once, with real transactions: exactly one outcome, and no deadlock."""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from threading import Barrier, Thread

import pytest
from django.db import connection, connections
from django.utils import timezone

from governance.actions import (
    deadlines,
    endings,
    organizations,
    registry,
    submissions,
    votes,
)
from governance.exceptions import (
    AlreadyDecidedError,
    ApprovalRequiredError,
    GovernanceError,
)
from governance.models import (
    ApprovalRequest,
    ApprovalVote,
    ApprovedSubject,
    AuditEntry,
    Membership,
    ModelVersion,
    PolicyVersion,
    RegisteredModel,
)
from tests.factories import (
    Person,
    make_alice,
    make_bob,
    make_member,
    make_version,
    submit,
    vote,
)
from tests.governance.policies import draft, publish

pytestmark = pytest.mark.usefixtures("cloned_db")
Status = ApprovalRequest.Status
OFFICER = Membership.Role.COMPLIANCE_OFFICER
AT_ONCE = 20


def together(acts: Sequence[Callable[[], object]]) -> Counter[str]:
    """Do all at the same moment, each on a connection; count what came of them."""
    barrier = Barrier(len(acts))
    outcomes: Counter[str] = Counter()

    def run(act: Callable[[], object]) -> None:
        try:
            # As long as a worker waits: here nobody is to give up.
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '60s'")
            barrier.wait()
            act()
            outcomes["done"] += 1
        except GovernanceError as error:
            outcomes[error.code] += 1
        except Exception as error:  # noqa: BLE001 (a deadlock is to be counted, too)
            outcomes[f"{type(error).__name__}: {error}"] += 1
        finally:
            connections.close_all()

    threads = [Thread(target=run, args=[act]) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


def officers(alice: Person, count: int = AT_ONCE) -> list[Person]:
    return [make_member(alice.organization, OFFICER) for _ in range(count)]


def voting(
    request: ApprovalRequest, people: Sequence[Person]
) -> list[Callable[[], object]]:
    def act(person: Person) -> Callable[[], object]:
        actor = person.actor
        return lambda: votes.cast(request, votes.Ballot("approve"), actor=actor)

    return [act(person) for person in people]


def assert_trail_is_whole(alice: Person) -> None:
    numbers = AuditEntry.objects.for_organization(alice.organization).order_by("seq")
    found = list(numbers.values_list("seq", flat=True))
    assert found == list(range(1, len(found) + 1))


def test_of_twenty_last_votes_one_decides() -> None:
    alice = make_alice()
    people = officers(alice)
    request = submit(make_version(alice))
    assert together(voting(request, people)) == {
        "done": 1,
        "already_decided": AT_ONCE - 1,
    }
    request.refresh_from_db()
    assert request.status == Status.APPLIED
    assert ApprovalVote.objects.count() == ApprovedSubject.objects.count() == 1
    assert AuditEntry.objects.filter(action="approval.applied").count() == 1
    assert_trail_is_whole(alice)


def test_a_quorum_of_five_takes_five_of_twenty() -> None:
    alice = make_alice()
    people = officers(alice)
    publish(alice.organization, stages=[{"role": OFFICER, "quorum": 5}])
    request = submit(make_version(alice))
    assert together(voting(request, people)) == {"done": 5, "already_decided": 15}
    voters = request.votes.values_list("voter", flat=True)
    assert len(set(voters)) == len(voters) == 5


def test_one_person_twenty_times_has_one_vote() -> None:
    alice = make_alice()
    people = officers(alice, 3)
    publish(alice.organization, stages=[{"role": OFFICER, "quorum": 2}])
    request = submit(make_version(alice))
    assert together(voting(request, [people[0]] * AT_ONCE)) == {
        "done": 1,
        "conflict": AT_ONCE - 1,
    }
    request.refresh_from_db()
    assert (request.status, request.votes.count()) == (Status.PENDING, 1)


def test_votes_and_refusals_at_once_come_to_one_end() -> None:
    alice = make_alice()
    people = officers(alice)
    request = submit(make_version(alice))
    acts = voting(request, people[:10])
    for person in people[10:]:
        actor = person.actor
        acts.append(
            lambda actor=actor: votes.cast(
                request, votes.Ballot("reject", "no"), actor=actor
            )
        )
    assert together(acts) == {"done": 1, "already_decided": AT_ONCE - 1}
    request.refresh_from_db()
    cast = request.votes.get()
    assert (
        request.status
        == {"approve": Status.APPLIED, "reject": Status.REJECTED}[cast.decision]
    )


def test_expiry_during_a_vote_is_one_of_both() -> None:
    alice = make_alice()
    people = officers(alice, 10)
    publish(alice.organization, approval_days=0.01)
    request = submit(make_version(alice))
    real = timezone.now
    timezone.now = lambda: real() + timedelta(days=0.01, seconds=-0.05)  # type: ignore[assignment]
    try:
        sweeps = [deadlines.sweep] * 10
        outcomes = together([*voting(request, people), *sweeps])
    finally:
        timezone.now = real
    request.refresh_from_db()
    assert request.status in {Status.APPLIED, Status.EXPIRED}
    cast = request.votes.count()
    assert cast == (1 if request.status == Status.APPLIED else 0)
    assert set(outcomes) <= {"done", "expired", "already_decided"}
    assert_trail_is_whole(alice)


def test_a_change_during_the_last_vote_never_slips_in_between() -> None:
    """Either it comes first and the vote is void, or it is refused as approved."""
    alice = make_alice()
    people = officers(alice, 4)
    for _ in range(8):
        version = make_version(alice, risk_tier="high")
        request = submit(version)
        actor, model = alice.actor, version.model
        change = [
            lambda model=model, actor=actor: registry.update(
                model, changes={"risk_tier": "low"}, actor=actor
            )
        ]
        outcomes = together([*voting(request, people), *change])
        request.refresh_from_db()
        tier = RegisteredModel.objects.get(pk=model.pk).risk_tier
        version = ModelVersion.objects.get(pk=version.pk)
        if request.status == Status.APPLIED:
            assert (tier, version.status) == ("high", "approved")
            assert outcomes[ApprovalRequiredError.code] == 1
        else:
            assert (request.status, tier) == (Status.STALE, "low")
            assert version.status == "draft"
        assert not set(outcomes) - {
            "done",
            "stale",
            "already_decided",
            "approval_required",
        }


def test_of_twenty_submissions_one_is_made() -> None:
    alice = make_alice()
    make_bob(alice.organization)
    version, actor = make_version(alice), alice.actor
    acts = [lambda: submissions.submit_version(version, actor=actor)] * AT_ONCE
    assert together(acts) == {"done": 1, "already_exists": AT_ONCE - 1}


def test_a_policy_published_during_votes_leaves_no_approval_under_the_old_one() -> None:
    alice = make_alice()
    people = officers(alice, 3)
    requests = [submit(make_version(alice)) for _ in range(4)]
    version = draft(alice.organization, minimum_sample=77)
    publication = submissions.submit_publication(version, actor=alice.actor)
    acts = [act for one in requests for act in voting(one, people)]
    outcomes = together([*acts, *voting(publication, people)])
    assert set(outcomes) <= {"done", "stale", "already_decided"}
    assert PolicyVersion.objects.get(pk=version.pk).status == "active"
    for one in requests:
        one.refresh_from_db()
        assert one.status in {Status.APPLIED, Status.STALE}


def test_a_voter_removed_during_the_vote_counts_or_not_but_never_half() -> None:
    alice = make_alice()
    for _ in range(5):
        people = officers(alice, 2)
        request = submit(make_version(alice))
        membership = Membership.objects.active().get(user=people[0].user)
        actor = alice.actor
        removal = [
            lambda membership=membership, actor=actor: organizations.end_member(
                membership, actor=actor
            )
        ]
        outcomes = together([*voting(request, people[:1]), *removal])
        assert set(outcomes) <= {"done", "permission_denied"}
        request.refresh_from_db()
        if request.status == Status.PENDING:
            # Refused, or cast a moment before the removal: it takes another vote.
            assert vote(request, people[1]).status == Status.APPLIED
        else:
            assert (request.status, outcomes["done"]) == (Status.APPLIED, 2)


def test_withdrawal_and_vote_at_once_are_one_of_both() -> None:
    alice = make_alice()
    people = officers(alice, 5)
    request, actor = submit(make_version(alice)), alice.actor
    acts = [*voting(request, people), lambda: endings.withdraw(request, actor=actor)]
    assert together(acts) == {"done": 1, AlreadyDecidedError.code: 5}
