"""Whose votes count: who could vote when a stage opened, and still can."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from governance.models import ApprovalRequest, ApprovalStage, ApprovalVote, Membership
from governance.models.organizations import MembershipQuerySet


@dataclass(frozen=True, slots=True)
class Voter:
    """A person who may vote, and in which role."""

    user_id: int
    label: str
    role: str


def voters(
    stage: ApprovalStage, *, since: datetime | None = None, at: datetime | None = None
) -> dict[int, Voter]:
    """Return who may vote in a stage at `at` (now), by their user's id.

    `since` is when the stage opened: a role that was given later doesn't count.
    """
    members = _holders(stage.organization_id, stage.role, since=since, at=at)
    found = members.select_related("user").order_by("user_id", "role")
    named = {address.lower() for address in stage.people}
    return {
        one.user_id: Voter(one.user_id, one.user.email, one.role)
        for one in found
        if not named or one.user.email.lower() in named
    }


def _holders(
    organization_id: int,
    role: str,
    *,
    since: datetime | None = None,
    at: datetime | None = None,
) -> MembershipQuerySet:
    """Find who votes in a role (in any, if it is empty), since and at these times."""
    here = Membership.objects.for_organization(organization_id)
    members: MembershipQuerySet = here.voting(at)
    if since is not None:
        members = members & here.voting(since)
    members = members.filter(user__is_active=True, user__is_service=False)
    return members.filter(role=role) if role else members


def holds(
    user_id: int,
    organization_id: int,
    role: str,
    *,
    since: datetime | None = None,
    at: datetime | None = None,
) -> bool:
    """Tell whether somebody votes in a role at `at` (now), and has since `since`."""
    members = _holders(organization_id, role, since=since, at=at)
    return members.filter(user=user_id).exists()


def counted(
    stage: ApprovalStage,
    votes: Iterable[ApprovalVote],
    *,
    at: datetime | None = None,
) -> list[ApprovalVote]:
    """Return the approving votes of a stage that count at `at` (now).

    Neither the vote of somebody who was removed meanwhile counts, nor one for them.
    """
    opened = stage.opened_at
    if opened is None:
        return []
    able = voters(stage, since=opened, at=at)
    return [
        vote
        for vote in votes
        if vote.stage_id == stage.pk
        and vote.decision == ApprovalVote.Decision.APPROVE
        and vote.principal_id in able
        and (
            vote.voter_id == vote.principal_id
            or holds(
                vote.voter_id, stage.organization_id, vote.role, since=opened, at=at
            )
        )
    ]


def shortfalls(request: ApprovalRequest, *, at: datetime | None = None) -> list[str]:
    """Say for each stage of a request whose quorum isn't there what it lacks."""
    if request.auto_approval is not None:
        return []
    votes = list(request.votes.all())
    found = []
    stages = list(request.stages.all())
    for stage in stages:
        have = len({vote.principal_id for vote in counted(stage, votes, at=at)})
        if have < max(stage.quorum, 1):
            found.append(
                f"Stage {stage.number} needs {stage.quorum} of {stage.who}; "
                f"{have} of the votes {'counts' if have == 1 else 'count'}."
            )
    return found if stages else ["The request has no stage."]


def remaining(
    request: ApprovalRequest, *, used: Collection[int] = (), at_stage: int | None = None
) -> list[tuple[int, set[int]]]:
    """Return how many votes each stage lacks, and who has one left for it.

    With `used`, as it would be after these people's one vote in the stage `at_stage`.
    """
    votes = list(request.votes.all())
    gone = {*request.barred, *used}
    for vote in votes:
        gone |= {vote.voter_id, vote.principal_id}
    needs = []
    for stage in request.stages.all():
        have = len({vote.principal_id for vote in counted(stage, votes)})
        have += stage.number == at_stage
        able = set(voters(stage, since=stage.opened_at)) - gone
        needs.append((max(stage.quorum - have, 0), able))
    return needs


def is_reachable(needs: Iterable[tuple[int, Collection[int]]]) -> bool:
    """Tell whether each stage finds its quorum, nobody voting in two of them.

    `needs` has a quorum and the people who may vote for each stage. Looks for
    different people for all seats at once (augmenting paths, as Kuhn's algorithm).
    """
    seats = [people for quorum, people in needs for _ in range(quorum)]
    taken: dict[int, int] = {}  # person → seat

    def take(seat: int, tried: set[int]) -> bool:
        for person in seats[seat]:
            if person not in tried:
                tried.add(person)
                if person not in taken or take(taken[person], tried):
                    taken[person] = seat
                    return True
        return False

    return all(take(seat, set()) for seat in range(len(seats)))
