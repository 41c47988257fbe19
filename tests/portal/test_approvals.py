"""What people see of approvals, and what each of them may do there."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from governance.actions import delegations, limits, submissions
from governance.models import (
    ApprovalComment,
    ApprovalRequest,
    ApprovalStage,
    ApprovalVote,
    AuditEntry,
    Membership,
    ModelVersion,
)
from tests import factories
from tests.factories import PASSWORD, Person, make_bob, make_member
from tests.governance import policies
from tests.governance.deploying import make_ready
from tests.portal.conftest import browser, get, post

pytestmark = pytest.mark.django_db
APPROVE = {"decision": "approve", "password": PASSWORD}
QUERIES = 17
REJECT = {"decision": "reject", "reason": "Too old.", "password": PASSWORD}
HOSTILE = "<script>alert(1)</script>{{7*7}}\N{RIGHT-TO-LEFT OVERRIDE}"


@pytest.fixture
def version(alice: Person, bob: Person) -> ModelVersion:
    return make_ready(alice)


@pytest.fixture
def request_(version: ModelVersion) -> ApprovalRequest:
    return factories.submit(version, reason="It knows the new products.")


def path(request: ApprovalRequest, deed: str = "") -> str:
    return f"/approvals/{request.pk}{deed and '/'}{deed}"


def status(request: ApprovalRequest) -> str:
    return ApprovalRequest.objects.get(pk=request.pk).status


def test_what_waits_for_me_comes_first_with_its_clock(
    request_: ApprovalRequest, alice: Person, bob: Person
) -> None:
    page = get(bob, "/approvals")
    mine = page.partition("Waiting for your decision")[2].partition("1 of 1 request")[0]
    assert "Approve a version: Credit 1.0.0" in mine
    assert "days left" in mine
    assert f"waits for 1 vote of {bob.user.email}" in mine

    page = get(alice, "/approvals")
    assert "Nothing waits for you" in page
    assert "You have asked for" in page


def test_the_command_center_has_it_too(
    request_: ApprovalRequest, alice: Person, bob: Person
) -> None:
    page = get(bob, "/admin/")
    assert "1 decision waits for you" in page
    assert f'href="/approvals/{request_.pk}"' in page
    assert "days left" in page
    assert "waits for you" not in get(alice, "/admin/")


def test_a_clock_that_has_run_out_says_so(
    request_: ApprovalRequest, bob: Person
) -> None:
    past = timezone.now() - timedelta(hours=3)
    with pytest.MonkeyPatch.context() as patch:
        # The database keeps a stage as it opened: the clock of the reader moves.
        stage = request_.stages.get()
        assert stage.due_at is not None
        later = stage.due_at + (timezone.now() - past)
        patch.setattr(timezone, "now", lambda: later)
        assert "overdue by 3\xa0hours" in get(bob, path(request_))


def test_an_organization_without_requests_is_told_what_happens_next(
    alice: Person,
) -> None:
    page = get(alice, "/approvals")
    assert "Nobody has asked for an approval yet" in page


@pytest.mark.parametrize(
    ("asked", "number"),
    [
        ({"search": "credit"}, 1),
        ({"search": "nothing"}, 0),
        ({"status": "pending"}, 1),
        ({"status": "applied"}, 0),
        ({"kind": "deploy"}, 1),
        ({"kind": "policy"}, 0),
        ({"since": "2001-01-01"}, 1),
        ({"since": "2999-01-01"}, 0),
        ({"status": "nonsense"}, 1),
        ({"search": "a\0b"}, 1),
        ({"page": "nonsense"}, 1),
    ],
)
def test_the_list_is_filtered(
    request_: ApprovalRequest, bob: Person, asked: dict[str, str], number: int
) -> None:
    page = get(bob, "/approvals", **asked)
    assert f"{number} of 1 request" in page


def test_the_list_asks_the_database_no_more_for_more_rows(
    alice: Person, bob: Person, django_assert_num_queries: Callable[..., Any]
) -> None:
    def ask(name: str) -> None:
        factories.submit(make_ready(alice, name=name))
        client = browser(bob)
        with django_assert_num_queries(QUERIES):
            client.get("/approvals")

    ask("One")
    ask("Two")
    ask("Three")


def test_the_page_has_what_a_decision_needs(
    request_: ApprovalRequest, bob: Person
) -> None:
    page = get(bob, path(request_))
    assert "It knows the new products." in page
    assert "No version of this model was approved before" in page
    assert "Policy check, as of now" in page
    assert "Nothing else is missing" in page
    assert request_.digest in page
    assert 'name="password"' in page
    assert 'name="on_behalf_of"' not in page


def test_a_second_version_is_compared_with_the_approved_one(
    alice: Person, bob: Person
) -> None:
    factories.approve(make_ready(alice))
    second = make_ready(
        alice,
        version="2.0.0",
        schema={
            **factories.SCHEMA,
            "features": [
                {"name": "age", "type": "int", "importance": 0.2},
                {"name": "income", "type": "float", "importance": 0.3},
                {"name": "region", "type": "categorical"},
            ],
        },
    )
    page = get(bob, path(factories.submit(second)))
    assert "Compared with 1.0.0" in page
    assert "schema.features.age.importance" in page
    assert "version.version" not in page


def test_a_vote_with_the_password_decides(
    request_: ApprovalRequest, bob: Person
) -> None:
    answer = post(bob, path(request_, "vote"), **APPROVE)
    assert answer.status_code == 302
    assert status(request_) == "applied"
    (vote,) = ApprovalVote.objects.all()
    assert (vote.voter_id, vote.proof) == (bob.user.pk, "password")
    assert "the model&#x27;s owner deploys it" in get(bob, path(request_))


def test_a_wrong_password_is_said_and_counted(
    request_: ApprovalRequest, bob: Person
) -> None:
    wrong = {**APPROVE, "password": "a guess"}
    answer = post(bob, path(request_, "vote"), **wrong)
    assert answer.status_code == 403
    assert "The password is wrong." in answer.content.decode()
    assert AuditEntry.objects.filter(action="person.confirmed").count() == 1
    for _ in range(9):
        limits.hit("confirm", str(bob.user.pk), limit=10, seconds=900)
    answer = post(bob, path(request_, "vote"), **APPROVE)
    assert answer.status_code == 429
    assert "Too many attempts" in answer.content.decode()
    assert status(request_) == "pending"


def test_a_refusal_needs_a_reason_and_counts_no_password_without(
    request_: ApprovalRequest, bob: Person
) -> None:
    answer = post(bob, path(request_, "vote"), **{**REJECT, "reason": " "})
    assert answer.status_code == 422
    assert "Say why, so that it can be mended." in answer.content.decode()
    post(bob, path(request_, "vote"), **REJECT)
    assert status(request_) == "rejected"
    page = get(bob, path(request_))
    assert "Reason: Too old." in page
    assert "Ask for approval again" in page


def test_requested_changes_lead_back_to_who_asked(
    request_: ApprovalRequest, alice: Person, bob: Person
) -> None:
    post(
        bob,
        path(request_, "vote"),
        decision="changes_requested",
        reason="Drop region.",
        password=PASSWORD,
    )
    assert status(request_) == "changes_requested"
    assert f"{alice.user.email} makes the changes" in get(alice, path(request_))


def test_nobody_approves_what_they_asked_for(alice: Person, bob: Person) -> None:
    # Alice may vote, but not on this.
    make_member(alice.organization, Membership.Role.COMPLIANCE_OFFICER, alice.user)
    request = factories.submit(make_ready(alice))
    page = get(alice, path(request))
    assert "somebody else has to decide" in page
    assert 'name="password"' not in page
    answer = post(alice, path(request, "vote"), **APPROVE)
    assert answer.status_code == 403
    assert "needs somebody who neither asked for it" in answer.content.decode()
    assert status(request) == "pending"


VISITORS = ["auditor", "owner", "validator"]


@pytest.mark.parametrize("role", VISITORS)
def test_a_role_that_the_stage_does_not_ask_sees_no_vote_and_casts_none(
    request_: ApprovalRequest, alice: Person, role: str
) -> None:
    visitor = make_member(alice.organization, role)
    page = get(visitor, path(request_))
    assert 'name="decision"' not in page
    assert "is decided by compliance officer" in page
    assert post(visitor, path(request_, "vote"), **APPROVE).status_code == 403
    assert status(request_) == "pending"


def test_who_came_after_the_stage_opened_is_told_so(
    request_: ApprovalRequest, alice: Person
) -> None:
    late = make_bob(alice.organization)
    assert "who could vote when it opened" in get(late, path(request_))
    assert post(late, path(request_, "vote"), **APPROVE).status_code == 403


def test_nobody_votes_twice(alice: Person, bob: Person, version: ModelVersion) -> None:
    request = factories.submit(version)
    post(bob, path(request, "vote"), **APPROVE)
    again = post(bob, path(request, "vote"), **APPROVE)
    assert again.status_code == 409
    assert ApprovalVote.objects.count() == 1


DEEDS = {
    "vote": APPROVE,
    "withdraw": {},
    "comment": {"text": "Hello."},
}


@pytest.mark.parametrize("deed", DEEDS)
def test_another_organizations_request_is_a_missing_one(
    request_: ApprovalRequest, charlie: Person, deed: str
) -> None:
    assert post(charlie, path(request_, deed), **DEEDS[deed]).status_code == 404
    assert post(charlie, f"/approvals/{10**9}/{deed}").status_code == 404
    assert "Credit" not in get(charlie, "/approvals")
    assert status(request_) == "pending"
    assert not ApprovalComment.objects.exists()


@pytest.mark.parametrize("deed", DEEDS)
def test_nobody_does_anything_by_reading_or_without_signing_in(
    request_: ApprovalRequest, bob: Person, client: Any, deed: str
) -> None:
    assert browser(bob).get(path(request_, deed)).status_code == 405
    answer = client.post(path(request_, deed), DEEDS[deed])
    assert answer.status_code == 302
    assert "/login" in answer["Location"]
    assert status(request_) == "pending"


def test_only_who_asked_withdraws(
    request_: ApprovalRequest, alice: Person, bob: Person, auditor: Person
) -> None:
    for other in (bob, auditor):
        assert "Withdraw the request" not in get(other, path(request_))
        assert post(other, path(request_, "withdraw")).status_code == 403
    assert "Withdraw the request" in get(alice, path(request_))
    assert post(alice, path(request_, "withdraw")).status_code == 302
    assert status(request_) == "withdrawn"


def test_people_talk_about_it_and_an_auditor_listens(
    request_: ApprovalRequest, bob: Person, auditor: Person
) -> None:
    post(bob, path(request_, "comment"), text="What of pensioners?")
    assert "What of pensioners?" in get(auditor, path(request_))
    assert "Add the comment" not in get(auditor, path(request_))
    assert post(auditor, path(request_, "comment"), text="I").status_code == 403
    assert post(bob, path(request_, "comment"), text=" ").status_code == 422
    assert ApprovalComment.objects.count() == 1
    entry = AuditEntry.objects.get(action="approval.commented", outcome="done")
    assert entry.object_id == str(request_.pk)


def test_what_changed_since_is_shown_and_a_vote_closes_it(
    version: ModelVersion, alice: Person, bob: Person
) -> None:
    request = factories.submit(version)
    # Not through the deed, which would close it at once.
    ModelVersion.objects.filter(pk=version.pk).update(training_accuracy=0.5)
    page = get(bob, path(request))
    assert "Changed since it was asked for" in page
    assert "version.training_accuracy" in page
    answer = post(bob, path(request, "vote"), **APPROVE)
    assert answer.status_code == 409
    assert status(request) == "stale"
    assert "This made it stale" in get(bob, path(request))


def test_many_are_decided_together_each_by_itself(alice: Person, bob: Person) -> None:
    requests = [
        factories.submit(make_ready(alice, name=f"Model {one}")) for one in range(3)
    ]
    ModelVersion.objects.filter(requests=requests[1]).update(training_accuracy=0.5)
    ids = [one.pk for one in requests]
    answer = post(
        bob, "/approvals/decide", requests=ids, reason="Looked at all.", **APPROVE
    )
    assert answer.status_code == 302
    assert [status(one) for one in requests] == ["applied", "stale", "applied"]
    assert len(set(ApprovalVote.objects.values_list("batch", flat=True))) == 1


def test_a_bulk_decision_needs_a_reason_a_choice_and_the_right(
    request_: ApprovalRequest, alice: Person, bob: Person, charlie: Person
) -> None:
    given = {"requests": [request_.pk], "reason": "All good.", **APPROVE}
    without = post(bob, "/approvals/decide", **{**given, "reason": ""})
    assert without.status_code == 422
    assert re.search(r'value="\d+"[^>]* checked', without.content.decode())
    nothing = post(bob, "/approvals/decide", **{**given, "requests": []})
    assert "Tick the requests" in nothing.content.decode()
    wrong = post(bob, "/approvals/decide", **{**given, "password": "guess"})
    assert wrong.status_code == 403
    # Another's request is none that could be chosen; one's own is refused by the deed.
    assert post(charlie, "/approvals/decide", **given).status_code == 422
    assert post(alice, "/approvals/decide", **given).status_code == 302
    assert status(request_) == "pending"


def test_a_delegate_votes_for_who_is_absent(
    alice: Person, bob: Person, version: ModelVersion
) -> None:
    dora = make_bob(alice.organization)
    now = timezone.now()
    terms = delegations.Terms(
        bob.user,
        dora.user,
        "compliance_officer",
        now - timedelta(hours=1),
        now + timedelta(days=7),
        "On holiday.",
    )
    delegations.create(alice.organization, terms, actor=bob.actor)
    request = factories.submit(version)
    assert "Waiting for somebody whom you stand in for" in get(dora, "/approvals")
    page = get(dora, path(request))
    assert bob.user.email in page.partition('name="on_behalf_of"')[2]
    post(dora, path(request, "vote"), on_behalf_of=bob.user.pk, **APPROVE)
    vote = ApprovalVote.objects.get()
    assert (vote.voter_id, vote.principal_id) == (dora.user.pk, bob.user.pk)
    page = get(dora, path(request))
    assert f"for {bob.user.email}" in page
    assert "no vote of their own" in page
    # Whose vote it is can't be made up.
    other = make_bob(alice.organization)
    made_up = post(dora, path(request, "vote"), on_behalf_of=other.user.pk, **APPROVE)
    assert made_up.status_code in {409, 422}


def test_who_lost_the_role_sees_it_no_more(
    request_: ApprovalRequest, alice: Person, bob: Person
) -> None:
    Membership.objects.filter(user=bob.user).update(
        ended_at=timezone.now(), ended_by=alice.user
    )
    make_member(alice.organization, Membership.Role.AUDITOR, bob.user)
    assert "Nothing waits for you" in get(bob, "/approvals")
    assert 'name="decision"' not in get(bob, path(request_))


def test_hostile_texts_are_inert(alice: Person, bob: Person) -> None:
    version = make_ready(alice)
    request = factories.submit(version, reason=HOSTILE)
    post(bob, path(request, "comment"), text=HOSTILE)
    page = get(bob, path(request))
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    assert "{{7*7}}" in page


def test_two_stages_are_shown_with_who_is_asked(alice: Person, bob: Person) -> None:
    carol = make_member(alice.organization, Membership.Role.VALIDATOR)
    policies.publish(
        alice.organization,
        stages=[
            {"role": "validator", "quorum": 1, "sla_hours": 24, "escalate_to": "owner"},
            {"role": "compliance_officer"},
        ],
    )
    request = factories.submit(make_ready(alice))
    page = get(bob, path(request))
    assert "Stage 1: validator" in page
    assert "Not open yet" in page
    assert "Stage 1 of 2 waits for 1 vote" in page
    post(carol, path(request, "vote"), **APPROVE)
    assert "Stage 2 of 2 waits for 1 vote" in get(bob, path(request))
    assert ApprovalStage.objects.filter(request=request).count() == 2
    post(bob, path(request, "vote"), **APPROVE)
    assert status(request) == "applied"


def test_a_policys_request_shows_what_it_changes(alice: Person, bob: Person) -> None:
    draft = policies.draft(alice.organization, approval_days=7.0)
    request = submissions.submit_publication(draft, actor=alice.actor)
    page = get(bob, path(request))
    assert "What it changes" in page
    assert "approval_days" in page
    post(bob, path(request, "vote"), **APPROVE)
    assert "The policy is in force." in get(bob, path(request))


def test_a_change_shows_what_was_and_what_will_be(alice: Person, bob: Person) -> None:
    version = make_ready(alice)
    request = submissions.submit_change(
        version.model, wanted={"risk_tier": "low"}, reason="Small.", actor=alice.actor
    )
    page = get(bob, path(request))
    assert re.search(r"risk_tier.*high.*low", page, re.DOTALL)
    post(bob, path(request, "vote"), **APPROVE)
    assert "The change is in force." in get(bob, path(request))


def test_who_voted_for_another_is_asked_no_more(alice: Person, bob: Person) -> None:
    dora, eve = make_bob(alice.organization), make_bob(alice.organization)
    policies.publish(
        alice.organization, stages=[{"role": "compliance_officer", "quorum": 2}]
    )
    now = timezone.now()
    day = timedelta(days=1)
    terms = delegations.Terms(
        bob.user, dora.user, "compliance_officer", now - day, now + day, "Away."
    )
    delegations.create(alice.organization, terms, actor=bob.actor)
    request = factories.submit(make_ready(alice))
    post(dora, path(request, "vote"), on_behalf_of=bob.user.pk, **APPROVE)
    page = get(dora, path(request))
    assert f"waits for 1 vote of {eve.user.email}." in page
    assert "Your vote is cast." in page
    assert 'name="decision"' not in page
    assert post(dora, path(request, "vote"), **APPROVE).status_code == 409
    assert post(eve, path(request, "vote"), **APPROVE).status_code == 302
    assert status(request) == "applied"
