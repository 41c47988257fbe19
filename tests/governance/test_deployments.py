"""What goes through the gate, what doesn't, and what the database keeps of it."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import DatabaseError, OperationalError, connection, transaction
from django.utils import timezone

from governance.actions import (
    deployments,
    finding_actions,
    findings,
    gate,
    registry,
    suspensions,
)
from governance.actions.deployments import Fallback
from governance.exceptions import (
    ApprovalRequiredError,
    ConflictError,
    GateClosedError,
    GovernanceError,
    InvalidError,
    PermissionDeniedError,
)
from governance.models import (
    AuditEntry,
    Deployment,
    Finding,
    Membership,
    ModelVersion,
    Notification,
)
from tests import factories
from tests.factories import Person
from tests.governance import policies
from tests.governance.deploying import (
    again,
    fresh,
    make_approved,
    make_ready,
    measure,
    move,
)

Role = Membership.Role


@pytest.fixture
def alice(db: None) -> Person:
    return factories.make_alice()


@pytest.fixture
def version(alice: Person) -> ModelVersion:
    return make_approved(alice)


def deploy(version: ModelVersion, person: Person, **fields: object) -> Deployment:
    fields = {"environment": "production", **fields}
    return deployments.deploy(version, actor=person.actor, **fields)


def entries(action: str) -> list[str]:
    rows = AuditEntry.objects.filter(action=action).order_by("seq")
    return [entry.outcome for entry in rows]


class TestDeploying:
    def test_an_approved_version_is_deployed_and_the_model_shows_it(
        self, version: ModelVersion, alice: Person
    ) -> None:
        made = deploy(version, alice)
        assert (made.kind, made.state, made.mode) == ("deploy", "deployed", "prevent")
        assert made.approval is not None
        assert made.gate["result"] == "ALLOW"
        assert fresh(version).status == "deployed"
        version.model.refresh_from_db()
        assert version.model.current_version == version
        assert entries("deployment.started") == ["done"]
        assert entries("approval.used") == ["done"]
        told = Notification.objects.get(event="deployment.started")
        assert told.payload["fallback"]["kind"] == "manual_review"

    def test_one_that_is_not_approved_stays_out_and_that_is_remembered(
        self, alice: Person
    ) -> None:
        version = make_ready(alice)
        with pytest.raises(ApprovalRequiredError) as caught:
            deploy(version, alice)
        assert caught.value.extra["next"] == [
            "Ask for its approval, and have it approved by a compliance officer."
        ]
        assert entries("deployment.requested") == ["denied"]
        assert not Deployment.objects.exists()
        assert fresh(version).status == "draft"

    def test_an_approval_kept_after_its_subject_changed_does_not_count(
        self, version: ModelVersion, alice: Person
    ) -> None:
        ModelVersion.objects.filter(pk=version.pk).update(artifact_digest="f" * 64)
        with pytest.raises(ApprovalRequiredError) as caught:
            deploy(version, alice)
        rule = caught.value.extra["gate"]["rules"][0]
        assert (rule["rule"], rule["observed"]) == ("approval", "stale")
        assert "artifact" in rule["detail"]

    def test_the_vote_of_somebody_removed_before_the_deployment_does_not_count(
        self, version: ModelVersion, alice: Person
    ) -> None:
        Membership.objects.filter(role="compliance_officer").update(
            ended_at=timezone.now()
        )
        with pytest.raises(ApprovalRequiredError) as caught:
            deploy(version, alice)
        assert caught.value.extra["gate"]["rules"][0]["observed"] == "quorum"

    @pytest.mark.parametrize(
        "role", [Role.VALIDATOR, Role.COMPLIANCE_OFFICER, Role.AUDITOR]
    )
    def test_other_roles_do_not_deploy(
        self, role: str, version: ModelVersion, alice: Person
    ) -> None:
        person = factories.make_member(alice.organization, role)
        with pytest.raises(PermissionDeniedError):
            deploy(version, person)
        assert entries("deployment.requested") == ["denied"]

    def test_a_superuser_without_the_role_does_not_deploy(
        self, version: ModelVersion, alice: Person
    ) -> None:
        auditor = factories.make_member(alice.organization, Role.AUDITOR)
        auditor.user.is_superuser = True
        auditor.user.save()
        with pytest.raises(PermissionDeniedError):
            deploy(version, auditor)

    def test_the_same_again_is_a_conflict(
        self, version: ModelVersion, alice: Person
    ) -> None:
        made = deploy(version, alice)
        with pytest.raises(ConflictError, match="already") as caught:
            deploy(version, alice)
        assert caught.value.extra["deployment_id"] == made.pk

    def test_asking_only_does_nothing_and_is_remembered(
        self, version: ModelVersion, alice: Person
    ) -> None:
        asked = gate.check(version, environment="production", actor=alice.actor)
        assert asked.judgement.is_open
        with pytest.raises(ApprovalRequiredError):
            gate.check(
                make_ready(alice, name="Other"),
                environment="production",
                actor=alice.actor,
            )
        assert entries("gate.checked") == ["done", "denied"]
        assert not Deployment.objects.exists()

    def test_a_blocked_version_stays_out(
        self, version: ModelVersion, alice: Person
    ) -> None:
        version = measure(version, drift=0.9)
        with pytest.raises(GateClosedError) as caught:
            deploy(version, alice)
        closing = [
            rule["rule"]
            for rule in caught.value.extra["gate"]["rules"]
            if not rule["passed"]
        ]
        assert closing == ["R1", "critical_findings"]

    def test_environments_are_apart(self, version: ModelVersion, alice: Person) -> None:
        deploy(version, alice, environment="staging")
        deploy(version, alice)
        second = make_approved(alice, version="2.0.0")
        deploy(second, alice, environment="staging")
        assert fresh(version).status == "deployed"
        version.model.refresh_from_db()
        assert version.model.current_version == version
        third = make_approved(alice, version="3.0.0")
        deploy(third, alice, environment="staging")
        # What was never in production may go there yet.
        assert fresh(second).status == "approved"


class TestReplacing:
    def test_the_earlier_one_becomes_retired(
        self, version: ModelVersion, alice: Person
    ) -> None:
        first = deploy(version, alice)
        second = deploy(make_approved(alice, version="2.0.0"), alice)
        first = again(first)
        assert (first.end, first.ended_at) == ("replaced", second.started_at)
        assert fresh(version).status == "retired"
        assert second.fallback == "previous_version"
        assert second.fallback_version == version

    def test_a_rollback_within_30_days_skips_the_age_and_opens_a_finding(
        self, version: ModelVersion, alice: Person
    ) -> None:
        version = measure(version)
        deploy(version, alice)
        second = make_approved(alice, version="2.0.0")
        deploy(second, alice)
        measure(second, drift=0.9)  # critical findings on what it comes back from
        version.assessment.evaluated_at = timezone.now() - timedelta(days=20)
        version.assessment.save()
        made = deploy(version, alice, reason="2.0.0 refuses everybody")
        assert made.kind == "rollback"
        assert fresh(version).status == "deployed"
        assert fresh(second).status == "retired"
        finding = Finding.objects.get(cause="rollback:production")
        assert (finding.version, finding.severity) == (version, "medium")

    def test_a_later_one_is_asked_for_the_age(
        self, version: ModelVersion, alice: Person
    ) -> None:
        version = measure(version)
        first = deploy(version, alice)
        deploy(make_approved(alice, version="2.0.0"), alice)
        moment = timezone.now() - timedelta(days=31)
        move(first, started_at=moment - timedelta(days=1), ended_at=moment)
        version.assessment.evaluated_at = moment
        version.assessment.save()
        with pytest.raises(GateClosedError) as caught:
            deploy(version, alice)
        assert caught.value.extra["gate"]["purpose"] == "rollback"
        assert caught.value.extra["gate"]["rules"][0]["rule"] == "evaluation_age"

    def test_critical_findings_of_the_one_before_hold_up_until_declared_remedied(
        self, version: ModelVersion, alice: Person
    ) -> None:
        deploy(version, alice)
        measure(version, drift=0.9)
        second = make_approved(alice, version="2.0.0")
        with pytest.raises(GateClosedError) as caught:
            deploy(second, alice)
        assert "remediations" in caught.value.extra["next"][0]
        finding_actions.declare_remediated(
            Finding.objects.get(severity="critical"),
            version=second,
            reason="Trained without it.",
            actor=alice.actor,
        )
        assert deploy(second, alice).gate["result"] == "ALLOW"

    def test_a_finding_that_was_closed_holds_up_nothing(
        self, version: ModelVersion, alice: Person
    ) -> None:
        finding = findings.open_finding(
            version, cause="x", severity="critical", title="t", actor=None
        )
        with pytest.raises(GateClosedError):
            deploy(version, alice)
        factories.close_finding(finding, alice)
        assert deploy(version, alice)


class TestFallback:
    def test_it_is_named_by_whoever_deploys(
        self, version: ModelVersion, alice: Person
    ) -> None:
        made = deploy(
            version, alice, fallback=Fallback("fixed_rule", text="Refuse above 5,000")
        )
        assert deployments.fallback_json(made) == {
            "kind": "fixed_rule",
            "version": None,
            "text": "Refuse above 5,000",
        }

    def test_what_cannot_serve_is_refused(
        self, version: ModelVersion, alice: Person
    ) -> None:
        other = make_ready(alice, name="Other")
        for wrong in (
            Fallback("previous_version"),
            Fallback("previous_version", version),
            Fallback("previous_version", other),
            Fallback("fixed_rule", text=" "),
        ):
            with pytest.raises(InvalidError):
                deploy(version, alice, fallback=wrong)
        assert not Deployment.objects.exists()


class TestSuspending:
    @pytest.fixture
    def made(self, version: ModelVersion, alice: Person) -> Deployment:
        return deploy(version, alice)

    def test_one_person_stops_it_at_once(
        self, made: Deployment, alice: Person, version: ModelVersion
    ) -> None:
        officer = factories.make_bob(alice.organization)
        suspensions.suspend(made, reason="All over 60 refused.", actor=officer.actor)
        made = again(made)
        assert made.state == "suspended"
        assert (made.suspension, made.suspended_by) == ("person", officer.user)
        assert fresh(version).status == "suspended"
        told = Notification.objects.get(event="deployment.suspended")
        assert told.payload["urgency"] == "page"
        with pytest.raises(ConflictError):
            suspensions.suspend(made, reason="Again.", actor=officer.actor)

    def test_model_owners_and_keys_do_not(
        self, made: Deployment, alice: Person
    ) -> None:
        owner = factories.make_member(alice.organization, Role.MODEL_OWNER)
        with pytest.raises(PermissionDeniedError):
            suspensions.suspend(made, reason="x", actor=owner.actor)
        assert again(made).is_live

    def test_resuming_passes_the_gate_and_is_a_deployment_of_its_own(
        self, made: Deployment, alice: Person, version: ModelVersion
    ) -> None:
        suspensions.suspend(made, reason="Why.", actor=alice.actor)
        measure(version, drift=0.9)
        with pytest.raises(GateClosedError):
            suspensions.resume(again(made), actor=alice.actor)
        assert again(made).is_suspended
        for finding in Finding.objects.all():
            factories.close_finding(finding, alice)
        measure(version, times=3)
        resumed = suspensions.resume(again(made), actor=alice.actor)
        assert (resumed.kind, resumed.state) == ("resume", "deployed")
        assert again(made).end == "resumed"
        assert fresh(version).status == "deployed"
        with pytest.raises(ConflictError):
            suspensions.resume(resumed, actor=alice.actor)


class TestHistory:
    def test_what_was_in_production_on_a_day(
        self, version: ModelVersion, alice: Person, django_assert_num_queries
    ) -> None:
        first = deploy(version, alice)
        second = deploy(make_approved(alice, version="2.0.0"), alice)
        start = timezone.now().replace(hour=12) - timedelta(days=10)
        move(
            first,
            started_at=start,
            suspended_at=start + timedelta(days=2),
            ended_at=start + timedelta(days=4),
        )
        move(second, started_at=start + timedelta(days=4))
        day = timedelta(days=1)
        with django_assert_num_queries(6):
            found = [
                [
                    row.pk
                    for row in Deployment.objects.filter(model=version.model).between(
                        start + n * day, start + (n + 1) * day
                    )
                ]
                for n in (-2, -1, 0, 1, 3, 4)
            ]
        assert found == [[], [], [first.pk], [first.pk], [], [second.pk]]


class TestTheDatabase:
    """What driftguard_app can't do with SQL of its own."""

    def refused(self, statement: str, *values: object) -> None:
        with (
            pytest.raises(DatabaseError),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(statement, values)

    def test_a_deployment_is_not_made_without_an_approval_of_that_version(
        self, version: ModelVersion, alice: Person
    ) -> None:
        made = deploy(version, alice)
        other = make_ready(alice, version="2.0.0")
        columns = [
            field.column for field in Deployment._meta.fields if field.column != "id"
        ]
        row = Deployment.objects.filter(pk=made.pk).values(*columns).get()
        row["gate"] = "{}"

        def insert(**changes: object) -> None:
            values = {**row, "environment": "staging", **changes}
            self.refused(
                f"INSERT INTO governance_deployment ({', '.join(columns)}) "
                f"VALUES ({', '.join(['%s'] * len(columns))})",
                *(values[name] for name in columns),
            )

        insert(approval_id=None)
        insert(version_id=other.pk)
        insert(version_id=other.pk, approval_id=None, mode="warn")
        insert(version_id=other.pk, approval_id=None, mode="observe")
        insert(
            version_id=other.pk,
            approval_id=None,
            kind="break_glass",
            until=timezone.now(),
            ratify_by=timezone.now(),
            reason="x",
        )
        insert(
            version_id=other.pk,
            approval_id=None,
            environment="production",
            kind="intake",
            due_at=timezone.now(),
            ended_at=timezone.now(),
            end="replaced",
        )
        insert(environment="production")  # a second open one

    def test_a_deployment_is_not_rewritten_revived_or_deleted(
        self, version: ModelVersion, alice: Person
    ) -> None:
        made = deploy(version, alice)
        suspensions.suspend(made, reason="x", actor=alice.actor)
        for change in (
            "suspended_at = NULL, suspension = ''",
            "approval_id = NULL",
            "started_at = started_at - interval '1 day'",
            "requested_by_id = requested_by_id + 1",
            "kind = 'intake', due_at = now()",
            "gate = '{}'",
        ):
            self.refused(f"UPDATE governance_deployment SET {change}")
        self.refused("DELETE FROM governance_deployment")
        self.refused("TRUNCATE governance_deployment")


class TestLenientEnvironments:
    def test_warn_lets_through_and_keeps_what_it_would_have_said(
        self, alice: Person
    ) -> None:
        officer = factories.make_bob(alice.organization)
        assert officer
        policies.publish(
            alice.organization,
            environments={"staging": {"mode": "warn"}},
        )
        version = make_ready(alice)
        made = deploy(version, alice, environment="staging")
        assert made.gate["result"] == "ALLOW_WITH_WARNINGS"
        assert made.gate["would_be"] == "DENY"
        assert made.approval is None
        with pytest.raises(ApprovalRequiredError):
            deploy(version, alice)

    def test_observing_ends_by_itself(self, alice: Person) -> None:
        factories.make_bob(alice.organization)
        until = timezone.now() + timedelta(days=30)
        active = policies.publish(
            alice.organization,
            environments={
                "production": {"mode": "observe", "until": until.isoformat()}
            },
        )
        assert gate.mode_of(active, "production", until - timedelta(1)) == "observe"
        assert gate.mode_of(active, "production", until) == "prevent"
        assert gate.mode_of(active, "staging", until) == "prevent"


def test_twenty_deployments_at_once_have_one_outcome(cloned_db: str) -> None:
    alice = factories.make_alice()
    version = make_approved(alice)
    other = make_approved(alice, version="2.0.0")
    started = threading.Barrier(20)
    actor = alice.actor

    def work(place: int) -> str:
        try:
            mine = ModelVersion.objects.select_related("model").get(
                pk=(version, other)[place % 2].pk
            )
            started.wait()
            deployments.deploy(mine, environment="production", actor=actor)
        except GovernanceError as error:
            return error.code
        except OperationalError:
            return "unavailable"  # waited too long on a busy machine: a 503
        finally:
            connection.close()
        return "deployed"

    with ThreadPoolExecutor(20) as pool:
        outcomes = list(pool.map(work, range(20)))
    assert set(outcomes) <= {"deployed", "conflict", "unavailable"}
    assert "deployed" in outcomes
    assert Deployment.objects.open().count() == 1
    # Each deployment ended exactly the one before it.
    rows = list(Deployment.objects.order_by("started_at", "pk"))
    assert len(rows) == outcomes.count("deployed")
    assert [row.ended_at for row in rows[:-1]] == [row.started_at for row in rows[1:]]
    seqs = list(AuditEntry.objects.order_by("seq").values_list("seq", flat=True))
    assert seqs == list(range(1, len(seqs) + 1))


def test_a_deployment_and_a_change_of_its_subject_at_once(cloned_db: str) -> None:
    """Whichever comes first, nothing is deployed that nobody approved."""
    alice = factories.make_alice()
    for number in range(6):
        version = make_approved(alice, name=f"Model {number}")
        started = threading.Barrier(2)
        actor = alice.actor

        def deploying(version=version, started=started, actor=actor) -> None:
            try:
                started.wait()
                deployments.deploy(version, environment="production", actor=actor)
            except GovernanceError:
                pass
            finally:
                connection.close()

        def changing(version=version, started=started, actor=actor) -> None:
            try:
                started.wait()
                registry.update(
                    version.model, changes={"risk_tier": "low"}, actor=actor
                )
            except GovernanceError:
                pass
            finally:
                connection.close()

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda work: work(), (deploying, changing)))
        version = fresh(version)
        is_deployed = Deployment.objects.open().filter(version=version).exists()
        assert is_deployed
        assert version.model.risk_tier == "high"
