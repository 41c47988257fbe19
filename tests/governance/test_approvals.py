"""From asking for an approval to having it, and all that keeps it from coming."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from governance.actions import (
    approvals,
    effects,
    endings,
    organizations,
    registry,
    submissions,
    votes,
)
from governance.actions.audit import Actor
from governance.exceptions import (
    AlreadyDecidedError,
    AlreadyExistsError,
    ConflictError,
    ExpiredError,
    InvalidError,
    PermissionDeniedError,
    QuorumUnreachableError,
    ReauthenticationRequiredError,
    StaleError,
)
from governance.models import (
    ApiKey,
    ApprovalRequest,
    ApprovalVote,
    AuditEntry,
    Evidence,
    Membership,
    ModelVersion,
    Notification,
)
from tests.factories import (
    Person,
    approve,
    make_alice,
    make_api_key,
    make_bob,
    make_charlie,
    make_member,
    make_version,
    submit,
    vote,
)
from tests.governance.policies import publish

pytestmark = pytest.mark.django_db
Role = Membership.Role
Status = ApprovalRequest.Status


@pytest.fixture
def alice() -> Person:
    return make_alice()


@pytest.fixture
def bob(alice: Person) -> Person:
    return make_bob(alice.organization)


@pytest.fixture
def version(alice: Person, bob: Person) -> ModelVersion:
    return make_version(alice)


def reread(request: ApprovalRequest) -> ApprovalRequest:
    return ApprovalRequest.objects.get(pk=request.pk)


def entries(action: str) -> list[AuditEntry]:
    return list(AuditEntry.objects.filter(action=action))


def key_actor(person: Person, **fields: Any) -> Actor:
    key, _ = make_api_key(person, **fields)
    return Actor(
        type="api_key",
        id=str(key.pk),
        label=key.name,
        auth_method="api_key",
        user_id=person.user.pk,
    )


class TestSubmission:
    def test_binds_the_version_and_opens_the_first_stage(
        self, version: ModelVersion, bob: Person
    ) -> None:
        request = submit(version, reason="ready")
        version.refresh_from_db()
        assert version.status == ModelVersion.Status.SUBMITTED
        assert request.digest == approvals.subject_digest(version)
        (stage,) = request.stages.all()
        assert [one.user for one in stage.approvers.all()] == [bob.user]
        assert stage.due_at - stage.opened_at == timedelta(hours=72)
        assert request.expires_at - request.submitted_at == timedelta(days=14)
        (entry,) = entries("approval.requested")
        assert entry.object_id == str(request.pk)
        told = Notification.objects.get(event="approval.requested")
        assert told.payload["recipients"] == [bob.user.pk]

    def test_chooses_the_newest_evidence_unless_one_is_named(
        self, version: ModelVersion, alice: Person
    ) -> None:
        rows = [
            Evidence.objects.create(
                organization=alice.organization, version=version, facts={}, digest=text
            )
            for text in ("old", "new")
        ]
        version.assessment.evidence = rows[1]
        version.assessment.save()
        request = submit(version)
        assert request.evidence == rows[1]
        endings.withdraw(request, actor=alice.actor)
        assert submit(version, evidence=rows[0]).subject["evidence"]["digest"] == "old"

    def test_refuses_evidence_of_another_version(
        self, version: ModelVersion, alice: Person
    ) -> None:
        other = Evidence.objects.create(
            organization=alice.organization,
            version=make_version(alice),
            facts={},
            digest="x",
        )
        with pytest.raises(InvalidError):
            submit(version, evidence=other)

    def test_is_refused_twice(self, version: ModelVersion) -> None:
        submit(version)
        with pytest.raises(AlreadyExistsError):
            submit(version)

    def test_is_refused_for_what_is_approved_as_it_is(
        self, version: ModelVersion
    ) -> None:
        approve(version)
        with pytest.raises(ConflictError, match="is approved as it is now"):
            submit(version)

    @pytest.mark.parametrize("role", [Role.AUDITOR, Role.VALIDATOR])
    def test_needs_the_role(
        self, version: ModelVersion, alice: Person, role: str
    ) -> None:
        dora = make_member(alice.organization, role)
        with pytest.raises(PermissionDeniedError):
            submissions.submit_version(version, actor=dora.actor)
        assert entries("approval.requested")[0].outcome == "denied"

    def test_is_refused_where_nobody_else_may_vote(self, alice: Person) -> None:
        version = make_version(alice)
        with pytest.raises(QuorumUnreachableError, match="0 of them may vote"):
            submit(version)
        assert not ApprovalRequest.objects.exists()
        version.refresh_from_db()
        assert version.status == ModelVersion.Status.DRAFT

    def test_is_refused_where_one_person_would_fill_two_stages(
        self, alice: Person, bob: Person
    ) -> None:
        make_member(alice.organization, Role.VALIDATOR, bob.user)
        stages = [{"role": "validator"}, {"role": "compliance_officer"}]
        publish(alice.organization, stages=stages)
        with pytest.raises(QuorumUnreachableError, match="different people"):
            submit(make_version(alice))

    def test_an_owner_who_is_officer_too_does_not_count_for_the_quorum(
        self, alice: Person
    ) -> None:
        make_member(alice.organization, Role.COMPLIANCE_OFFICER, alice.user)
        with pytest.raises(QuorumUnreachableError):
            submit(make_version(alice))


class TestFourEyes:
    def test_nobody_votes_on_what_they_asked_for(
        self, version: ModelVersion, alice: Person
    ) -> None:
        make_member(alice.organization, Role.COMPLIANCE_OFFICER, alice.user)
        request = submit(version)
        with pytest.raises(PermissionDeniedError):
            vote(request, alice)
        (entry,) = entries("approval.voted")
        assert (entry.outcome, entry.actor_id) == ("denied", str(alice.user.pk))
        assert reread(request).status == Status.PENDING

    def test_nobody_votes_on_what_they_last_changed(
        self, alice: Person, bob: Person
    ) -> None:
        eve = make_member(alice.organization, Role.COMPLIANCE_OFFICER)
        make_member(alice.organization, Role.MODEL_OWNER, eve.user)
        version = make_version(alice)
        schema = {**version.schema.to_json(), "schema_mode": "strict"}
        registry.change_schema(
            version, schema=type(version.schema).from_json(schema), actor=eve.actor
        )
        request = submit(ModelVersion.objects.get(pk=version.pk))
        with pytest.raises(PermissionDeniedError):
            vote(request, eve)
        assert vote(request, bob).status == Status.APPLIED

    def test_a_key_counts_as_its_owner_and_its_creator(
        self, version: ModelVersion, alice: Person, bob: Person
    ) -> None:
        eve = make_member(alice.organization, Role.COMPLIANCE_OFFICER)
        actor = key_actor(alice)
        ApiKey.objects.filter(pk=int(actor.id)).update(created_by=eve.user)
        request = submissions.submit_version(version, actor=actor)
        for person in (alice, eve):
            with pytest.raises(PermissionDeniedError):
                vote(request, person)
        assert vote(request, bob).status == Status.APPLIED

    def test_a_key_never_votes(self, version: ModelVersion, bob: Person) -> None:
        request = submit(version)
        for decision in ("approve", "reject"):
            with pytest.raises(PermissionDeniedError, match="a person"):
                votes.cast(
                    request, votes.Ballot(decision, "because"), actor=key_actor(bob)
                )

    def test_a_superuser_is_nobody_here(self, version: ModelVersion) -> None:
        request = submit(version)
        root = make_charlie()
        root.user.is_superuser = root.user.is_staff = True
        root.user.save()
        with pytest.raises(PermissionDeniedError):
            vote(request, Person(root.user, version.organization))

    @pytest.mark.parametrize("decision", ["approve", "reject", "changes_requested"])
    @pytest.mark.parametrize("role", [Role.AUDITOR, Role.MODEL_OWNER, Role.VALIDATOR])
    def test_every_way_of_voting_needs_the_role(
        self, version: ModelVersion, alice: Person, decision: str, role: str
    ) -> None:
        request = submit(version)
        dora = make_member(alice.organization, role)
        with pytest.raises(PermissionDeniedError):
            vote(request, dora, decision, "because")
        assert reread(request).status == Status.PENDING

    def test_a_role_given_later_does_not_count_on_open_requests(
        self, version: ModelVersion, alice: Person, bob: Person
    ) -> None:
        request = submit(version)
        eve = make_member(alice.organization, Role.COMPLIANCE_OFFICER)
        with pytest.raises(PermissionDeniedError):
            vote(request, eve)


class TestVoting:
    def test_the_last_vote_approves_the_version(
        self, version: ModelVersion, bob: Person
    ) -> None:
        request = vote(submit(version), bob)
        assert request.status == Status.APPLIED
        version.refresh_from_db()
        assert version.status == ModelVersion.Status.APPROVED
        assert approvals.standing(version).is_valid
        assert [entry.actor_id for entry in entries("approval.voted")] == [
            str(bob.user.pk)
        ]
        assert entries("approval.applied")
        assert entries("version.approved")

    def test_approving_needs_the_password_of_this_moment(
        self, version: ModelVersion, bob: Person
    ) -> None:
        request = submit(version)
        with pytest.raises(ReauthenticationRequiredError):
            votes.cast(
                request,
                votes.Ballot("approve"),
                actor=replace(bob.actor, auth_method="session"),
            )
        (entry,) = entries("approval.voted")
        assert entry.outcome == "denied"
        vote(request, bob)
        assert ApprovalVote.objects.get().proof == "password"

    @pytest.mark.parametrize("decision", ["reject", "changes_requested"])
    def test_a_refusal_needs_a_reason(
        self, version: ModelVersion, bob: Person, decision: str
    ) -> None:
        request = submit(version)
        with pytest.raises(InvalidError):
            vote(request, bob, decision, " ")
        assert vote(request, bob, decision, "not yet").outcome == "not yet"

    def test_a_rejected_version_can_be_asked_for_again(
        self, version: ModelVersion, bob: Person
    ) -> None:
        first = vote(submit(version), bob, "reject", "too little data")
        version.refresh_from_db()
        assert (first.status, version.status) == (Status.REJECTED, "rejected")
        assert vote(submit(version), bob).status == Status.APPLIED

    def test_requested_changes_make_it_a_draft(
        self, version: ModelVersion, bob: Person
    ) -> None:
        vote(submit(version), bob, "changes_requested", "document it")
        version.refresh_from_db()
        assert version.status == ModelVersion.Status.DRAFT

    def test_what_is_decided_takes_no_more_votes(
        self, version: ModelVersion, alice: Person, bob: Person
    ) -> None:
        eve = make_member(alice.organization, Role.COMPLIANCE_OFFICER)
        request = vote(submit(version), bob)
        with pytest.raises(AlreadyDecidedError):
            vote(request, eve)

    def test_stages_open_one_after_the_other(self, alice: Person, bob: Person) -> None:
        vera = make_member(alice.organization, Role.VALIDATOR)
        publish(
            alice.organization,
            stages=[{"role": "validator"}, {"role": "compliance_officer"}],
        )
        version = make_version(alice)
        request = submit(version)
        with pytest.raises(PermissionDeniedError):
            vote(request, bob)
        # A second officer who comes before the second stage opens may vote in it.
        eve = make_member(alice.organization, Role.COMPLIANCE_OFFICER)
        request = vote(request, vera)
        version.refresh_from_db()
        assert (request.stage, version.status) == (2, "in_validation")
        assert vote(request, eve).status == Status.APPLIED

    def test_a_quorum_takes_that_many_people(self, alice: Person, bob: Person) -> None:
        eve = make_member(alice.organization, Role.COMPLIANCE_OFFICER)
        publish(
            alice.organization, stages=[{"role": "compliance_officer", "quorum": 2}]
        )
        request = vote(submit(make_version(alice)), bob)
        assert request.status == Status.PENDING
        with pytest.raises(ConflictError, match="one vote over all stages"):
            vote(request, bob)
        assert vote(request, eve).status == Status.APPLIED

    def test_nobody_votes_in_two_stages(self, alice: Person, bob: Person) -> None:
        make_member(alice.organization, Role.VALIDATOR, bob.user)
        make_member(alice.organization, Role.VALIDATOR)
        eve = make_member(alice.organization, Role.COMPLIANCE_OFFICER)
        publish(
            alice.organization,
            stages=[{"role": "validator"}, {"role": "compliance_officer"}],
        )
        request = vote(submit(make_version(alice)), bob)
        with pytest.raises(ConflictError, match="one vote over all stages"):
            vote(request, bob)
        assert vote(request, eve).status == Status.APPLIED

    def test_nobody_strands_a_request_by_voting_where_others_could(
        self, alice: Person, bob: Person
    ) -> None:
        make_member(alice.organization, Role.VALIDATOR, bob.user)
        vera = make_member(alice.organization, Role.VALIDATOR)
        publish(
            alice.organization,
            stages=[{"role": "validator"}, {"role": "compliance_officer"}],
        )
        request = submit(make_version(alice))
        # Bob is the only officer: whoever else validates, he has to decide.
        with pytest.raises(ConflictError, match="needed in another stage"):
            vote(request, bob)
        denied = AuditEntry.objects.filter(action="approval.voted", outcome="denied")
        assert denied.get().approval_id == request.pk
        assert vote(request, vera).stage == 2
        assert vote(request, bob).status == Status.APPLIED

    def test_where_somebody_is_missing_anyway_votes_go_on(
        self, alice: Person, bob: Person
    ) -> None:
        vera = make_member(alice.organization, Role.VALIDATOR)
        publish(
            alice.organization,
            stages=[{"role": "validator"}, {"role": "compliance_officer"}],
        )
        request = submit(make_version(alice))
        end_roles(bob, alice)
        assert vote(request, vera).stage == 2

    def test_named_people_decide_where_the_policy_names_them(
        self, alice: Person, bob: Person
    ) -> None:
        eve = make_member(alice.organization, Role.COMPLIANCE_OFFICER)
        publish(alice.organization, stages=[{"people": [eve.user.email.upper()]}])
        request = submit(make_version(alice))
        with pytest.raises(PermissionDeniedError):
            vote(request, bob)
        assert vote(request, eve).status == Status.APPLIED


class TestRemovedVoter:
    def test_does_not_count_and_the_stage_opens_again(
        self, alice: Person, bob: Person
    ) -> None:
        eve, dan = (
            make_member(alice.organization, Role.COMPLIANCE_OFFICER) for _ in range(2)
        )
        publish(
            alice.organization, stages=[{"role": "compliance_officer", "quorum": 2}]
        )
        request = vote(submit(make_version(alice)), bob)
        end_roles(bob, alice)
        request = vote(request, eve)
        assert request.status == Status.PENDING
        assert vote(request, dan).status == Status.APPLIED

    def test_of_an_earlier_stage_sends_it_back_there(
        self, alice: Person, bob: Person
    ) -> None:
        vera, victor = (
            make_member(alice.organization, Role.VALIDATOR) for _ in range(2)
        )
        publish(
            alice.organization,
            stages=[{"role": "validator"}, {"role": "compliance_officer"}],
        )
        request = vote(submit(make_version(alice)), vera)
        end_roles(vera, alice)
        request = vote(request, bob)
        assert (request.status, request.stage) == (Status.PENDING, 1)
        assert vote(request, victor).status == Status.APPLIED

    def test_takes_the_approval_along_until_it_is_used(
        self, version: ModelVersion, alice: Person, bob: Person
    ) -> None:
        approve(version)
        request = version.requests.get()
        end_roles(bob, alice)
        found = approvals.standing(version)
        assert [one.code for one in found.problems] == ["quorum"]
        approvals.note_use(request, actor=alice.actor)
        assert approvals.standing(version).is_valid

    def test_leaves_their_name_in_the_record(
        self, version: ModelVersion, alice: Person, bob: Person
    ) -> None:
        request = vote(submit(version), bob)
        end_roles(bob, alice)
        assert request.votes.get().voter_label == bob.user.email


def end_roles(person: Person, owner: Person) -> None:
    for one in Membership.objects.active().filter(user=person.user):
        organizations.end_member(one, actor=owner.actor)


class TestStaleness:
    def test_a_change_voids_the_votes_and_says_which(
        self, version: ModelVersion, alice: Person, bob: Person
    ) -> None:
        request = submit(version)
        registry.update(version.model, changes={"risk_tier": "low"}, actor=alice.actor)
        found = reread(request)
        assert found.status == Status.STALE
        assert found.difference == [
            {"path": "model.risk_tier", "before": "", "after": "low"}
        ]
        assert "from nothing to low" in found.outcome
        version.refresh_from_db()
        assert version.status == ModelVersion.Status.DRAFT
        with pytest.raises(AlreadyDecidedError):
            vote(request, bob)

    def test_a_change_behind_the_deeds_is_found_at_the_vote(
        self, version: ModelVersion, bob: Person
    ) -> None:
        request = submit(version)
        ModelVersion.objects.filter(pk=version.pk).update(artifact_digest="f" * 64)
        with pytest.raises(StaleError, match="the artifact changed") as caught:
            vote(request, bob)
        assert caught.value.extra["difference"]
        assert reread(request).status == Status.STALE
        assert not ApprovalVote.objects.exists()

    def test_newer_evidence_voids_nothing(
        self, version: ModelVersion, alice: Person, bob: Person
    ) -> None:
        request = submit(version)
        version.assessment.evidence = Evidence.objects.create(
            organization=alice.organization, version=version, facts={}, digest="n"
        )
        version.assessment.save()
        assert vote(request, bob).status == Status.APPLIED

    def test_a_change_after_the_approval_ends_its_validity(
        self, version: ModelVersion
    ) -> None:
        approve(version)
        ModelVersion.objects.filter(pk=version.pk).update(artifact_digest="f" * 64)
        found = approvals.standing(approvals.lock(version))
        assert [one.code for one in found.problems] == ["stale"]
        assert [one.path for one in found.problems[0].differences] == [
            "version.artifact_digest"
        ]
        # It can be asked for again, as it is now.
        version.refresh_from_db()
        approve(version)
        assert approvals.standing(version).is_valid

    def test_a_stricter_policy_asks_for_a_new_approval(
        self, version: ModelVersion, alice: Person
    ) -> None:
        approve(version)
        pending = submit(make_version(alice))
        publish(alice.organization, fairness_minimum=0.9)
        assert reread(pending).status == Status.STALE
        assert "rules and stages" in reread(pending).outcome
        assert [one.code for one in approvals.standing(version).problems] == ["stale"]
        version.refresh_from_db()
        assert version.status == ModelVersion.Status.APPROVED

    def test_a_policy_with_the_same_rules_and_stages_does_not(
        self, version: ModelVersion, alice: Person
    ) -> None:
        approve(version)
        pending = submit(make_version(alice))
        publish(alice.organization, intake_days={"high": 3})
        assert reread(pending).status == Status.PENDING
        assert approvals.standing(version).is_valid


class TestEnding:
    def test_the_requester_takes_it_back(
        self, version: ModelVersion, alice: Person, bob: Person
    ) -> None:
        request = submit(version)
        with pytest.raises(PermissionDeniedError):
            endings.withdraw(request, actor=bob.actor)
        endings.withdraw(request, reason="a mistake", actor=alice.actor)
        assert reread(request).status == Status.WITHDRAWN
        with pytest.raises(AlreadyDecidedError):
            vote(request, bob)
        with pytest.raises(AlreadyDecidedError):
            endings.withdraw(request, actor=alice.actor)

    def test_its_time_is_over_after_fourteen_days(
        self, version: ModelVersion, bob: Person, later: Any
    ) -> None:
        request = submit(version)
        later(days=14, seconds=1)
        with pytest.raises(ExpiredError):
            vote(request, bob)
        assert reread(request).status == Status.EXPIRED
        version.refresh_from_db()
        assert version.status == ModelVersion.Status.DRAFT
        assert [one.code for one in approvals.standing(version).problems] == ["expired"]


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that lets time pass for our own clock."""
    real = timezone.now

    def pass_by(**time: float) -> None:
        monkeypatch.setattr(timezone, "now", lambda: real() + timedelta(**time))

    return pass_by


class TestBulk:
    def test_each_is_a_vote_of_its_own(self, alice: Person, bob: Person) -> None:
        requests = [submit(make_version(alice)) for _ in range(3)]
        endings.withdraw(requests[1], actor=alice.actor)
        results = votes.cast_all(
            requests, votes.Ballot("approve", "as discussed"), actor=bob.actor
        )
        assert [one.error and one.error.code for one in results] == [
            None,
            "already_decided",
            None,
        ]
        found = ApprovalVote.objects.all()
        assert len(found) == 2
        assert len({vote.batch for vote in found}) == 1
        assert {vote.reason for vote in found} == {"as discussed"}
        assert len(entries("approval.voted")) == 2

    def test_needs_one_reason(self, version: ModelVersion, bob: Person) -> None:
        with pytest.raises(InvalidError):
            votes.cast_all([submit(version)], votes.Ballot("approve"), actor=bob.actor)


class TestApplying:
    def test_twice_changes_nothing(
        self, version: ModelVersion, alice: Person, bob: Person
    ) -> None:
        request = vote(submit(version), bob)
        with pytest.raises(AlreadyDecidedError):
            effects.apply(request, actor=alice.actor)

    def test_a_pending_request_is_not_applied(
        self, version: ModelVersion, alice: Person
    ) -> None:
        with pytest.raises(AlreadyDecidedError):
            effects.apply(submit(version), actor=alice.actor)
