"""Four eyes in the database: what raw SQL as driftguard_app can't do."""

from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from django.db import Error, IntegrityError, ProgrammingError, connection, transaction

from governance.actions import policies, submissions
from governance.models import (
    ApprovalRequest,
    ApprovalStage,
    ApprovalVote,
    ApprovedSubject,
    ModelVersion,
    PolicyVersion,
    StageApprover,
)
from tests.factories import (
    Person,
    approve,
    make_alice,
    make_api_key,
    make_bob,
    make_member,
    make_version,
    submit,
    vote,
)
from tests.governance.policies import draft

pytestmark = pytest.mark.django_db
Refused = Callable[[str], AbstractContextManager[None]]


@pytest.fixture
def alice() -> Person:
    return make_alice()


@pytest.fixture
def bob(alice: Person) -> Person:
    return make_bob(alice.organization)


@pytest.fixture
def request_(alice: Person, bob: Person) -> ApprovalRequest:
    return submit(make_version(alice))


@contextmanager
def refused(match: str | None = None, error: type[Error] = IntegrityError) -> Any:
    with pytest.raises(error, match=match), transaction.atomic():
        yield


def run(sql: str, *values: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)


def test_the_session_is_the_applications() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        assert cursor.fetchone() == ("driftguard_app",)


@pytest.mark.parametrize("status", ["approved", "applied", "deployed"])
def test_a_request_does_not_begin_decided(
    request_: ApprovalRequest, status: str
) -> None:
    request_.pk, request_._state.adding = None, True
    request_.status = status
    with refused():
        request_.save()


def test_a_request_is_not_approved_without_its_quorum(
    request_: ApprovalRequest,
) -> None:
    with refused("quorum"):
        run(
            "UPDATE governance_approvalrequest SET status = 'approved', "
            "decided_at = now() WHERE id = %s",
            request_.pk,
        )


def test_a_request_does_not_skip_its_approval(request_: ApprovalRequest) -> None:
    with refused("does not become applied"):
        run(
            "UPDATE governance_approvalrequest SET status = 'applied', "
            "decided_at = now(), applied_at = now() WHERE id = %s",
            request_.pk,
        )


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("barred", "{}"),
        ("digest", "x"),
        ("subject", '{"a": 1}'),
        ("proposal", '{"a": 1}'),
        ("auto_approval", '{"risk": 1}'),
        ("expires_at", "2999-01-01"),
        ("requested_by_label", "somebody else"),
        ("kind", "retire"),
    ],
)
def test_what_is_asked_for_stays(
    request_: ApprovalRequest, column: str, value: str
) -> None:
    with refused():
        run(
            f"UPDATE governance_approvalrequest SET {column} = %s WHERE id = %s",
            value,
            request_.pk,
        )


def test_an_ended_request_stays_ended(request_: ApprovalRequest, bob: Person) -> None:
    vote(request_, bob, "reject", "no")
    with refused("does not become pending"):
        run(
            "UPDATE governance_approvalrequest SET status = 'pending' WHERE id = %s",
            request_.pk,
        )


def test_no_quorum_is_zero_nor_lowered(request_: ApprovalRequest) -> None:
    for quorum in (0, 5):
        with refused():
            ApprovalStage.objects.filter(request=request_).update(quorum=quorum)
    stage = request_.stages.get()
    stage.pk, stage._state.adding, stage.number, stage.quorum = None, True, 2, 0
    with refused("approval_quorum_from_one"):
        stage.save()


def a_vote(request: ApprovalRequest, person: Person, **fields: Any) -> ApprovalVote:
    stage = request.stages.get()
    return ApprovalVote(
        **{
            "organization": request.organization,
            "request": request,
            "stage": stage,
            "decision": "approve",
            "voter": person.user,
            "voter_label": person.user.email,
            "principal": person.user,
            "principal_label": person.user.email,
            "role": "compliance_officer",
            "proof": "password",
            **fields,
        }
    )


def test_the_requester_has_no_vote(request_: ApprovalRequest, alice: Person) -> None:
    with refused("does not vote on it"):
        a_vote(request_, alice).save()


def test_nor_has_who_last_changed_the_subject(alice: Person, bob: Person) -> None:
    eve = make_member(alice.organization, "compliance_officer")
    request = submit(make_version(alice))
    # Also where it was changed later, past every deed.
    ModelVersion.objects.filter(pk=request.version_id).update(edited_by=eve.user)
    with refused("does not vote on it"):
        a_vote(request, eve).save()


def test_nor_has_the_creator_of_the_key_it_was_asked_with(
    alice: Person, bob: Person
) -> None:
    eve = make_member(alice.organization, "compliance_officer")
    key, _ = make_api_key(alice)
    key.created_by = eve.user
    key.save()
    request = submit(make_version(alice))
    request.pk, request._state.adding = None, True
    request.requested_with = key
    with refused("barred from voting"):
        request.save()


def test_nor_has_somebody_without_the_role(
    request_: ApprovalRequest, alice: Person
) -> None:
    dora = make_member(alice.organization, "auditor")
    with refused("no approver"):
        a_vote(request_, dora).save()
    stage = request_.stages.get()
    StageApprover.objects.create(
        organization=alice.organization,
        stage=stage,
        user=dora.user,
        label="x",
        role="compliance_officer",
    )
    with refused("no approver"):
        a_vote(request_, dora).save()


def test_nor_has_who_got_the_role_after_the_stage_opened(
    request_: ApprovalRequest, alice: Person
) -> None:
    late = make_member(alice.organization, "compliance_officer")
    StageApprover.objects.create(
        organization=alice.organization,
        stage=request_.stages.get(),
        user=late.user,
        label="x",
        role="compliance_officer",
    )
    with refused("no approver"):
        a_vote(request_, late).save()


def test_nobody_votes_twice_or_for_another(alice: Person, bob: Person) -> None:
    eve = make_member(alice.organization, "compliance_officer")
    request = submit(make_version(alice))
    with refused():
        a_vote(request, bob, principal=eve.user).save()
    vote_ = a_vote(request, bob)
    vote_.save()
    with refused("one vote"):
        a_vote(request, bob).save()


def test_an_approval_needs_its_proof_and_a_refusal_its_reason(
    request_: ApprovalRequest, bob: Person
) -> None:
    with refused("approval_vote_is_proved"):
        a_vote(request_, bob, proof="").save()
    with refused("approval_refusal_has_a_reason"):
        a_vote(request_, bob, decision="reject").save()


@pytest.mark.parametrize("table", ["stageapprover", "approvalvote", "approvedsubject"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET id = id", "DELETE FROM {}"])
def test_history_is_final(
    table: str, statement: str, alice: Person, bob: Person
) -> None:
    approve(make_version(alice))
    with refused("permission denied", ProgrammingError):
        run(statement.format(f"governance_{table}"))


@pytest.mark.parametrize(
    "table", ["approvalrequest", "approvalstage", "delegation", "policyversion"]
)
def test_history_is_kept(table: str) -> None:
    for statement in ("DELETE FROM {}", "TRUNCATE {} CASCADE"):
        with refused("permission denied", ProgrammingError):
            run(statement.format(f"governance_{table}"))


def test_a_version_is_not_approved_by_writing_it(alice: Person, bob: Person) -> None:
    version = make_version(alice)
    with refused("approved request only"):
        ModelVersion.objects.filter(pk=version.pk).update(status="approved")
    request = submit(version)
    with refused("without an approved request"):
        ApprovedSubject.objects.create(
            organization=alice.organization,
            version=version,
            request=request,
            subject=request.subject,
            digest=request.digest,
        )


def test_what_is_approved_is_what_was_voted_on(alice: Person, bob: Person) -> None:
    version = approve(make_version(alice))
    for fields in (
        {"digest": "x"},
        {"digest": "x", "change": version.requests.get()},
    ):
        with refused("without an approved request"):
            ApprovedSubject.objects.create(
                **{
                    "organization": alice.organization,
                    "version": version,
                    "request": version.requests.get(),
                    "subject": {},
                    **fields,
                }
            )


def test_the_system_approves_nothing_that_the_policy_does_not_let_it(
    alice: Person, bob: Person
) -> None:
    request = submit(make_version(alice))
    copied = make_version(alice)
    request.pk, request._state.adding = None, True
    request.version, request.model = copied, copied.model
    request.auto_approval = {"risk": 1}
    request.save()
    with refused("lets the system approve nothing"):
        run(
            "UPDATE governance_approvalrequest SET status = 'approved' WHERE id = %s",
            request.pk,
        )


class TestPolicy:
    @pytest.mark.parametrize(
        "column", ["content", "content_hash", "number", "published_at"]
    )
    def test_stays_as_it_was_published(self, alice: Person, column: str) -> None:
        version = policies.default_of(alice.organization.pk)
        value = {"content": "{}", "number": "9", "content_hash": "x"}.get(column)
        with refused("stays as it was published"):
            run(
                f"UPDATE governance_policyversion SET {column} = %s WHERE id = %s",
                value,
                version.pk,
            )

    def test_is_not_published_by_writing_it(self, alice: Person, bob: Person) -> None:
        version = draft(alice.organization, minimum_sample=1)
        submissions.submit_publication(version, actor=alice.actor)
        PolicyVersion.objects.filter(status="active").update(status="archived")
        with refused("published by an approved request only"):
            PolicyVersion.objects.filter(pk=version.pk).update(status="active")

    def test_does_not_come_back(self, alice: Person) -> None:
        version = policies.default_of(alice.organization.pk)
        PolicyVersion.objects.filter(pk=version.pk).update(status="archived")
        for status in ("active", "draft"):
            with refused("published by an approved request only"):
                PolicyVersion.objects.filter(pk=version.pk).update(status=status)

    def test_does_not_begin_as_active(self, alice: Person) -> None:
        version = policies.default_of(alice.organization.pk)
        PolicyVersion.objects.filter(pk=version.pk).update(status="archived")
        version.pk, version._state.adding, version.number = None, True, 2
        version.status = "active"
        with refused("begins as a draft"):
            version.save()

    def test_another_one_does_not_become_the_default(self, alice: Person) -> None:
        with refused("the default one stays"):
            run("UPDATE governance_policy SET is_default = NOT is_default")
