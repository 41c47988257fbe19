"""Votes over the interface at the same moment, with real transactions."""

from typing import Any

import pytest

from governance.models import ApprovalRequest, ApprovalVote, AuditEntry
from tests import factories
from tests.governance import policies
from tests.governance.api import Api, signed_in
from tests.governance.deploying import make_ready
from tests.governance.test_approvals_api import APPROVE, OFFICER, address, ask
from tests.governance.test_concurrent_votes import together

pytestmark = pytest.mark.usefixtures("cloned_db")


def test_of_two_last_votes_one_decides() -> None:
    alice = factories.make_alice()
    people = [factories.make_bob(alice.organization) for _ in range(2)]
    made = ask(signed_in(alice), make_ready(alice))
    statuses: list[tuple[int, str]] = []

    def vote(api: Api) -> None:
        answer = api.post(address(made, "vote"), APPROVE)
        statuses.append((answer.status_code, answer.json().get("code", "")))

    voters = [signed_in(person) for person in people]
    outcomes = together([lambda api=one: vote(api) for one in voters])
    assert outcomes == {"done": 2}
    assert sorted(statuses) == [(200, ""), (409, "already_decided")]
    assert ApprovalVote.objects.count() == 1
    assert ApprovalRequest.objects.get().status == ApprovalRequest.Status.APPLIED


def test_of_two_votes_of_a_quorum_both_count() -> None:
    alice = factories.make_alice()
    people = [factories.make_bob(alice.organization) for _ in range(2)]
    policies.publish(alice.organization, stages=[{"role": OFFICER, "quorum": 2}])
    made = ask(signed_in(alice), make_ready(alice))
    voters = [signed_in(person) for person in people]
    answers: list[dict[str, Any]] = []

    def vote(api: Api) -> None:
        answers.append(api.post(address(made, "vote"), APPROVE).json())

    together([lambda api=one: vote(api) for one in voters])
    assert ApprovalVote.objects.filter(request=made["id"]).count() == 2
    assert "applied" in {one["status"] for one in answers}
    seqs = AuditEntry.objects.for_organization(alice.organization)
    found = list(seqs.order_by("seq").values_list("seq", flat=True))
    assert found == list(range(1, len(found) + 1))
