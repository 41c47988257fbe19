"""An exception is asked for by one, granted by another, and ends."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from governance.actions import (
    deployments,
    override_terms,
    overrides,
    permits,
)
from governance.actions.override_checks import Terms
from governance.exceptions import (
    ConflictError,
    GateClosedError,
    GovernanceError,
    InvalidError,
    PermissionDeniedError,
    PermitRefusedError,
    ReauthenticationRequiredError,
)
from governance.models import (
    AuditEntry,
    Deployment,
    Finding,
    Membership,
    ModelVersion,
    Notification,
    Override,
)
from tests import factories
from tests.factories import Person
from tests.governance.deploying import (
    REASON,
    again,
    fresh,
    make_approved,
    measure,
    move,
)

Role = Membership.Role


@pytest.fixture
def alice(db: None) -> Person:
    return factories.make_alice()


@pytest.fixture
def bob(alice: Person) -> Person:
    return factories.make_bob(alice.organization)


@pytest.fixture
def version(alice: Person, bob: Person) -> ModelVersion:
    """A version that only rule R7, a soft one, keeps out."""
    return measure(make_approved(alice), ratio=0.5)


def propose(version: ModelVersion, person: Person, **fields: object) -> Override:
    extends = fields.pop("extends", None)
    environment = fields.pop("environment", "production")
    terms = Terms(**{"rules": ["R7"], "justification": REASON, **fields})
    return overrides.propose(
        version,
        environment=environment,
        terms=terms,
        extends=extends,
        actor=person.actor,
    )


def grant(override: Override, person: Person) -> Override:
    return overrides.approve(override, reason="Small exposure.", actor=person.actor)


def deploy(version: ModelVersion, person: Person) -> Deployment:
    return deployments.deploy(version, environment="production", actor=person.actor)


def read(override: Override) -> Override:
    return Override.objects.select_related("version__model").get(pk=override.pk)


def make_due(override: Override) -> None:
    """Let its time pass."""
    past = timezone.now() - timedelta(seconds=1)
    move(
        override,
        requested_at=past - timedelta(hours=3),
        decided_at=past - timedelta(hours=2),
        activated_at=past - timedelta(hours=2),
        expires_at=past,
    )


class TestTheWayThrough:
    def test_a_second_person_activates_it_and_the_gate_opens(
        self, version: ModelVersion, alice: Person, bob: Person
    ) -> None:
        with pytest.raises(GateClosedError):
            deploy(version, alice)
        override = propose(version, alice)
        assert override.status == "proposed"
        # By the limit of the tier.
        assert override.expires_at - override.requested_at < timedelta(hours=72.01)
        with pytest.raises(GateClosedError):
            deploy(version, alice)
        overrides.begin_review(override, actor=bob.actor)
        assert read(override).status == "under_review"
        grant(override, bob)
        override = read(override)
        assert (override.status, override.decided_by) == ("active", bob.user)
        made = deploy(version, alice)
        assert made.gate["result"] == "ALLOW_BY_OVERRIDE"
        assert made.override == override
        actions = AuditEntry.objects.filter(object_type="override").order_by("seq")
        assert [entry.action for entry in actions] == [
            "override.proposed",
            "override.review_started",
            "override.approved",
            "override.activated",
        ]

    def test_who_asked_does_not_grant_whatever_their_roles(
        self, version: ModelVersion, alice: Person
    ) -> None:
        factories.make_member(
            alice.organization, Role.COMPLIANCE_OFFICER, user=alice.user
        )
        override = propose(version, alice)
        for step in (overrides.begin_review, grant_of, reject_of):
            with pytest.raises(PermissionDeniedError, match="second person"):
                step(override, actor=alice.actor)
        assert read(override).status == "proposed"
        denied = AuditEntry.objects.filter(
            outcome="denied", action__startswith="override"
        )
        assert denied.count() == 3

    def test_a_key_counts_as_its_owner_and_its_creator(
        self, version: ModelVersion, alice: Person, bob: Person
    ) -> None:
        key, _ = factories.make_api_key(alice)
        key.created_by = bob.user
        key.save()
        actor = replace(
            alice.actor, type="api_key", id=str(key.pk), role="", auth_method="api_key"
        )
        override = overrides.propose(
            version,
            environment="production",
            terms=Terms(["R7"], REASON),
            actor=actor,
        )
        assert sorted(override.barred) == sorted([alice.user.pk, bob.user.pk])
        with pytest.raises(PermissionDeniedError, match="second person"):
            grant(override, bob)
        other = factories.make_bob(alice.organization)
        assert grant(override, other).status == "active"

    def test_only_the_roles_of_the_policy_grant(
        self, version: ModelVersion, alice: Person
    ) -> None:
        override = propose(version, alice)
        for role in (Role.OWNER, Role.MODEL_OWNER, Role.VALIDATOR, Role.AUDITOR):
            person = factories.make_member(alice.organization, role)
            with pytest.raises(PermissionDeniedError):
                grant(override, person)

    def test_granting_needs_the_password_at_that_moment(
        self, version: ModelVersion, alice: Person, bob: Person
    ) -> None:
        override = propose(version, alice)
        with pytest.raises(ReauthenticationRequiredError):
            overrides.approve(
                override, reason="x", actor=replace(bob.actor, auth_method="token")
            )
        assert read(override).status == "proposed"

    def test_a_role_that_ended_meanwhile_grants_nothing(
        self, version: ModelVersion, alice: Person, bob: Person
    ) -> None:
        override = propose(version, alice)
        actor = bob.actor
        Membership.objects.filter(user=bob.user).update(ended_at=timezone.now())
        with pytest.raises(PermissionDeniedError):
            overrides.approve(override, reason="x", actor=actor)

    def test_a_rejected_one_may_be_proposed_again(
        self, version: ModelVersion, alice: Person, bob: Person
    ) -> None:
        override = propose(version, alice)
        overrides.reject(override, reason="Why now?", actor=bob.actor)
        assert read(override).status == "rejected"
        with pytest.raises(ConflictError):
            grant(override, bob)
        with pytest.raises(PermissionDeniedError):
            overrides.resubmit(override, justification=REASON, actor=bob.actor)
        overrides.resubmit(
            override, justification=f"{REASON} TICKET-7", actor=alice.actor
        )
        assert read(override).status == "proposed"
        assert grant(override, bob).status == "active"

    def test_it_may_begin_later(
        self, version: ModelVersion, alice: Person, bob: Person
    ) -> None:
        start = timezone.now() + timedelta(hours=1)
        override = propose(
            version, alice, starts_at=start, expires_at=start + timedelta(hours=2)
        )
        assert grant(override, bob).status == "approved"
        assert override_terms.sweep() == 0
        with pytest.raises(GateClosedError):
            deploy(version, alice)
        move(override, starts_at=timezone.now() - timedelta(seconds=1))
        assert override_terms.sweep() == 1
        assert deploy(version, alice).override == override


def grant_of(override: Override, *, actor) -> Override:
    return overrides.approve(override, reason="x", actor=actor)


def reject_of(override: Override, *, actor) -> Override:
    return overrides.reject(override, reason="x", actor=actor)


class TestWhatMayBeAskedFor:
    @pytest.mark.parametrize(
        "wrong",
        [
            {"rules": []},
            {"rules": ["R99"]},
            {"rules": ["R1"]},
            {"rules": ["R7", "approval"]},
            {"rules": ["baseline"]},
            {"rules": ["tier"]},
            {"justification": "Too short."},
            {"justification": " " * 30},
            {"expires_at": timezone.now() - timedelta(hours=1)},
            {"expires_at": timezone.now() + timedelta(hours=73)},
        ],
    )
    def test_what_is_beyond_the_policy_is_refused(
        self, wrong: dict[str, object], version: ModelVersion, alice: Person
    ) -> None:
        with pytest.raises(InvalidError):
            propose(version, alice, **wrong)
        assert not Override.objects.exists()

    def test_others_than_owners_do_not_ask(
        self, version: ModelVersion, alice: Person, bob: Person
    ) -> None:
        with pytest.raises(PermissionDeniedError):
            propose(version, bob)

    def test_one_at_a_time(
        self, version: ModelVersion, alice: Person, bob: Person
    ) -> None:
        first = propose(version, alice)
        with pytest.raises(ConflictError) as caught:
            propose(version, alice)
        assert caught.value.extra["override_id"] == first.pk
        grant(first, bob)
        with pytest.raises(ConflictError) as caught:
            propose(version, alice)
        assert "extension is a new review" in caught.value.extra["next"][0]
        assert propose(version, alice, environment="staging")

    def test_a_rule_that_has_become_hard_meanwhile_is_not_passed(
        self, version: ModelVersion, alice: Person, bob: Person
    ) -> None:
        from tests.governance import policies

        override = propose(version, alice)
        content = policies.policies.default_of(alice.organization.pk).content
        rules = {**content["rules"], "R7": {"level": "hard", "effect": "at_risk"}}
        policies.publish(alice.organization, rules=rules)
        with pytest.raises(InvalidError):
            grant(override, bob)


class TestExtension:
    @pytest.fixture
    def active(self, version: ModelVersion, alice: Person, bob: Person) -> Override:
        return grant(propose(version, alice), bob)

    def test_what_is_active_is_not_prolonged(
        self, active: Override, alice: Person
    ) -> None:
        with pytest.raises(ConflictError):
            overrides.resubmit(
                active,
                justification=REASON,
                expires_at=timezone.now() + timedelta(hours=71),
                actor=alice.actor,
            )

    def test_it_is_a_new_review_and_the_deployment_goes_over(
        self, active: Override, version: ModelVersion, alice: Person, bob: Person
    ) -> None:
        made = deploy(version, alice)
        second = overrides.extend(active, justification=REASON, actor=alice.actor)
        assert (second.status, second.extends) == ("proposed", active)
        assert read(active).status == "active"
        with pytest.raises(PermissionDeniedError):
            grant(second, alice)
        grant(second, bob)
        assert read(active).status == "revoked"
        assert read(second).status == "active"
        made = again(made)
        assert made.is_live
        assert made.override == second
        assert not Finding.objects.filter(cause__startswith="override_ended").exists()

    def test_only_what_is_in_force_is_extended(
        self, active: Override, alice: Person
    ) -> None:
        make_due(active)
        with pytest.raises(ConflictError):
            overrides.extend(active, justification=REASON, actor=alice.actor)


class TestTheEnd:
    @pytest.fixture
    def active(self, version: ModelVersion, alice: Person, bob: Person) -> Override:
        return grant(propose(version, alice), bob)

    def test_from_the_moment_itself_the_gate_is_closed(
        self, active: Override, version: ModelVersion, alice: Person
    ) -> None:
        make_due(active)
        with pytest.raises(GateClosedError):
            deploy(version, alice)
        assert not Override.objects.in_force().exists()

    def test_beat_reverts_what_it_made_possible(
        self, active: Override, version: ModelVersion, alice: Person
    ) -> None:
        made = deploy(version, alice)
        assert permits.issue(version.model, "production").claims["override"] == (
            active.pk
        )
        make_due(active)
        # Before beat has come round, too.
        with pytest.raises(PermitRefusedError):
            permits.issue(version.model, "production")
        assert override_terms.sweep() == 1
        assert override_terms.sweep() == 0
        active, made = read(active), again(made)
        assert (active.status, active.ended_label) == ("expired", "DriftGuard")
        assert (made.state, made.suspension) == ("suspended", "override_ended")
        assert fresh(version).status == "suspended"
        finding = Finding.objects.get(cause=f"override_ended:{active.pk}")
        assert finding.severity == "high"
        assert finding.detail["deployments"] == [made.pk]
        with pytest.raises(PermitRefusedError) as caught:
            permits.issue(version.model, "production")
        assert caught.value.extra["fallback"]["kind"] == "manual_review"
        entries = AuditEntry.objects.filter(override_id=active.pk)
        assert {"override.expired", "deployment.suspended"} <= {
            entry.action for entry in entries
        }

    def test_one_person_revokes_it_at_once(
        self, active: Override, version: ModelVersion, alice: Person, bob: Person
    ) -> None:
        made = deploy(version, alice)
        overrides.revoke(active, reason="A complaint.", actor=bob.actor)
        assert read(active).status == "revoked"
        assert again(made).is_suspended
        with pytest.raises(ConflictError):
            overrides.revoke(active, reason="Again.", actor=bob.actor)

    def test_what_nobody_decided_on_ends_as_well(
        self, version: ModelVersion, alice: Person, bob: Person
    ) -> None:
        override = propose(version, alice)
        past = timezone.now() - timedelta(seconds=1)
        move(override, requested_at=past - timedelta(hours=1), expires_at=past)
        with pytest.raises(ConflictError, match="passed"):
            grant(override, bob)
        assert override_terms.sweep() == 1
        assert read(override).status == "expired"
        assert not Finding.objects.filter(cause__startswith="override_ended").exists()

    def test_a_heads_up_comes_once_before_it(
        self, version: ModelVersion, alice: Person, bob: Person
    ) -> None:
        expires = timezone.now() + timedelta(hours=20)
        override = grant(propose(version, alice, expires_at=expires), bob)
        assert override_terms.sweep() == 0  # more than half of it is left
        start = timezone.now() - timedelta(hours=11)
        move(
            override,
            requested_at=start,
            decided_at=start,
            activated_at=start,
            expires_at=start + timedelta(hours=20),
        )
        assert override_terms.sweep() == 1
        assert override_terms.sweep() == 0
        told = Notification.objects.get(event="override.ends_soon")
        assert told.payload["override"] == override.pk


class TestMetrics:
    def test_they_count_what_is_so(
        self, version: ModelVersion, alice: Person, bob: Person
    ) -> None:
        organization = alice.organization
        assert override_terms.metrics(organization).oldest_waiting_hours is None
        override = propose(version, alice)
        found = override_terms.metrics(organization)
        assert (found.active, found.awaiting) == (0, 1)
        assert found.oldest_waiting_hours is not None
        grant(override, bob)
        start = timezone.now() - timedelta(hours=2)
        move(
            override,
            requested_at=start,
            decided_at=start,
            activated_at=start,
            expires_at=start + timedelta(hours=72),
        )
        found = override_terms.metrics(organization)
        assert (found.active, found.awaiting, found.expiring_soon) == (1, 0, 1)
        assert found.average_age_hours == pytest.approx(2, abs=0.01)
        charlie = factories.make_charlie()
        assert override_terms.metrics(charlie.organization).active == 0


class TestTheDatabase:
    def refused(self, statement: str) -> None:
        with (
            pytest.raises(DatabaseError),
            transaction.atomic(),
            connection.cursor() as cursor,
        ):
            cursor.execute(statement)

    def test_it_refuses_what_the_deeds_refuse(
        self, version: ModelVersion, alice: Person, bob: Person
    ) -> None:
        override = propose(version, alice)
        table = "governance_override"
        decided = (
            "decided_by_id = {}, decided_at = now(), decision = 'x', "
            "activated_at = now()"
        )
        own, others = decided.format(alice.user.pk), decided.format(bob.user.pk)
        for change in (
            f"status = 'active', {own}",
            f"status = 'active', {others}",  # past the review
            f"status = 'under_review', {own}",
            f"barred = '{{}}', status = 'under_review', {own}",
            f"requested_by_id = {bob.user.pk}",
            "rules = '{}'",
            "justification = 'x'",
        ):
            self.refused(f"UPDATE {table} SET {change}")
        grant(override, bob)
        for change in (
            "expires_at = expires_at + interval '1 minute'",
            "rules = '{R1}'",
            "status = 'proposed'",
            "activated_at = now() + interval '1 hour'",
        ):
            self.refused(f"UPDATE {table} SET {change}")
        overrides.revoke(override, reason="x", actor=bob.actor)
        self.refused(f"UPDATE {table} SET status = 'active'")
        self.refused(f"DELETE FROM {table}")


def test_twenty_grants_at_once_have_one_outcome(cloned_db: str) -> None:
    alice = factories.make_alice()
    officers = [factories.make_bob(alice.organization) for _ in range(20)]
    version = measure(make_approved(alice), ratio=0.5)
    override = propose(version, alice)
    actors = [officer.actor for officer in officers]
    started = threading.Barrier(20)

    def work(place: int) -> str:
        try:
            mine = read(override)
            started.wait()
            if place % 4 == 0:
                overrides.reject(mine, reason="No.", actor=actors[place])
                return "rejected"
            overrides.approve(mine, reason="Yes.", actor=actors[place])
        except GovernanceError as error:
            return error.code
        finally:
            connection.close()
        return "approved"

    with ThreadPoolExecutor(20) as pool:
        outcomes = list(pool.map(work, range(20)))
    assert len([one for one in outcomes if one != "conflict"]) == 1
    decided = AuditEntry.objects.filter(
        action__in=("override.approved", "override.rejected")
    )
    assert decided.count() == 1
    seqs = list(AuditEntry.objects.order_by("seq").values_list("seq", flat=True))
    assert seqs == list(range(1, len(seqs) + 1))


def deploy_until_closed(version: ModelVersion, actor, began: threading.Barrier) -> int:
    """Deploy again and again; return how often it worked before the gate closed."""
    done = 0
    connection.ensure_connection()
    began.wait()
    try:
        while True:
            deployments.deploy(version, environment="production", actor=actor)
            done += 1
    except GateClosedError:
        return done
    finally:
        connection.close()


def expire_in_time(override: Override, began: threading.Barrier) -> int:
    connection.ensure_connection()
    began.wait()
    try:
        while not override_terms.expire(override, actor=None):
            time.sleep(0.001)
    finally:
        connection.close()
    return 0


def test_deployments_while_it_expires_never_outlive_it(cloned_db: str) -> None:
    alice = factories.make_alice()
    bob = factories.make_bob(alice.organization)
    hits = 0
    for number in range(5):
        version = measure(make_approved(alice, name=f"M{number}"), ratio=0.5)
        expires = timezone.now() + timedelta(seconds=1.5)
        override = grant(propose(version, alice, expires_at=expires), bob)
        actor, began = alice.actor, threading.Barrier(5)
        with ThreadPoolExecutor(5) as pool:
            deploying = [
                pool.submit(deploy_until_closed, version, actor, began)
                for _ in range(4)
            ]
            pool.submit(expire_in_time, override, began).result()
            hits += sum(one.result() for one in deploying)
        assert read(override).status == "expired"
        assert not Deployment.objects.live().filter(version=version).exists()
        with pytest.raises(PermitRefusedError):
            permits.issue(version.model, "production")
    # A race that nobody enters shows nothing.
    assert hits >= 5
