"""No order of deeds, and no passing of time, leads into production past the controls.

A machine does deeds in any order: people ask, vote, withdraw, change what was asked for
(also past every deed), come and go, publish policies, propose and grant overrides, put
versions into production and take them out, while the clock goes on. Whatever goes live
is then judged by a second opinion, made of the rows and of what the machine saw itself,
not of the deeds' own code.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from governance.actions import (
    deadlines,
    deployments,
    endings,
    organizations,
    override_terms,
    overrides,
    policies,
    registry,
    submissions,
    suspensions,
    votes,
)
from governance.actions.override_checks import Terms
from governance.exceptions import GovernanceError
from governance.models import (
    ApprovalRequest,
    Assessment,
    Deployment,
    Membership,
    ModelVersion,
    Override,
)
from tests import factories
from tests.governance.deploying import REASON, fresh, make_ready, measure
from tests.governance.policies import publish

pytestmark = pytest.mark.usefixtures("cloned_db")
OFFICER = Membership.Role.COMPLIANCE_OFFICER
PRODUCTION = "production"
SOFT = "R7"
# Examples of so many deeds; both more than CI needs where somebody has the time.
EXAMPLES, DEEDS = 25, 30
HOURS = st.sampled_from([0.5, 3, 30, 75, 24 * 15])
WHICH = st.integers(0, 1)
WHO = st.integers(0, 3)

seen: Counter[str] = Counter()
_numbers = count(1)


class Clock:
    """Our own clock; that of the database stays behind."""

    real = staticmethod(timezone.now)
    ahead = timedelta()

    @classmethod
    def now(cls) -> datetime:
        return cls.real() + cls.ahead


@contextmanager
def tried(what: str) -> Iterator[None]:
    """Count what is done and what is refused; a refusal is no fault."""
    try:
        yield
        seen[what] += 1
    except GovernanceError as error:
        seen[f"{what}: {error.code}"] += 1


class Ways(RuleBasedStateMachine):
    """Everything that people may try with two versions of a model."""

    @initialize()
    def begin(self) -> None:
        Clock.ahead = timedelta()
        self.alice = factories.make_alice()
        organization = self.alice.organization
        # Alice asks and may vote as well; what stops her is that it was she who asked.
        factories.make_member(organization, OFFICER, self.alice.user)
        officers = [factories.make_member(organization, OFFICER) for _ in range(3)]
        self.people = [self.alice, *officers]
        self.versions = [
            make_ready(self.alice, name=f"Model {next(_numbers)}"),
        ]
        second = make_ready(
            self.alice, name=self.versions[0].model.name, version="2.0.0"
        )
        self.versions.append(second)
        self.bound: dict[int, dict[str, Any]] = {}  # by request
        self.judged: set[int] = set()

    def version(self, which: int) -> ModelVersion:
        return fresh(self.versions[which])

    def request_of(self, which: int) -> ApprovalRequest | None:
        requests = self.versions[which].requests.order_by("-pk")
        return requests.filter(kind="deploy").first()

    def override_of(self, which: int) -> Override | None:
        found = Override.objects.filter(version=self.versions[which]).order_by("-pk")
        return found.select_related("version__model").first()

    def facts_of(self, version: ModelVersion) -> dict[str, Any]:
        """Return what an approval rests on, read anew."""
        version = fresh(version)
        policy = policies.in_force_for(version.model)
        return {
            "artifact": version.artifact_digest,
            "schema": version.schema.to_json(),
            "baseline": version.baseline_ref,
            "tier": version.model.risk_tier,
            "stages": policy.content["stages"],
        }

    @rule(which=WHICH, who=WHO)
    def submit(self, which: int, who: int) -> None:
        version = self.version(which)
        with tried("submitted"):
            made = submissions.submit_version(version, actor=self.people[who].actor)
            self.bound[made.pk] = self.facts_of(version)

    @rule(which=WHICH, who=WHO, decision=st.sampled_from(["approve"] * 6 + ["reject"]))
    def vote(self, which: int, who: int, decision: str) -> None:
        request = self.request_of(which)
        if request is None:
            return
        with tried("voted"):
            ballot = votes.Ballot(decision, REASON)
            votes.cast(request, ballot, actor=self.people[who].actor)

    @rule(which=WHICH)
    def everybody_votes(self, which: int) -> None:
        for who in range(len(self.people)):
            self.vote(which, who, "approve")

    @rule(which=WHICH)
    def withdraw(self, which: int) -> None:
        request = self.request_of(which)
        if request is not None:
            with tried("withdrew"):
                endings.withdraw(request, actor=self.alice.actor)

    @rule(tier=st.sampled_from(["high", "low"]), who=WHO)
    def change_tier(self, tier: str, who: int) -> None:
        with tried("changed"):
            registry.update(
                self.version(0).model,
                changes={"risk_tier": tier},
                actor=self.people[who].actor,
            )

    @rule(which=WHICH, digit=st.sampled_from("01"))
    def change_past_every_deed(self, which: int, digit: str) -> None:
        rows = ModelVersion.objects.filter(pk=self.versions[which].pk)
        rows.update(artifact_digest=digit * 64)
        seen["changed past every deed"] += 1

    @rule(quorum=st.integers(1, 2))
    def publish(self, quorum: int) -> None:
        stages = [{"role": OFFICER.value, "quorum": quorum}]
        with tried("published"):
            publish(self.alice.organization, stages=stages)

    @rule(who=st.integers(1, 3))
    def leave(self, who: int) -> None:
        with tried("left"):
            role = self.role_of(who)
            if role is not None and len(self.voters()) > 2:
                organizations.end_member(role, actor=None)

    @rule(who=st.integers(1, 3))
    def come_back(self, who: int) -> None:
        if self.role_of(who) is None:
            organizations.add_member(
                self.alice.organization,
                user=self.people[who].user,
                role=OFFICER,
                actor=None,
            )

    def role_of(self, who: int) -> Membership | None:
        rows = Membership.objects.for_organization(self.alice.organization).active()
        return rows.filter(user=self.people[who].user, role=OFFICER).first()

    def voters(self) -> list[Membership]:
        rows = Membership.objects.for_organization(self.alice.organization)
        return list(rows.voting())

    @rule(which=WHICH, ratio=st.sampled_from([0.5, 0.5, 1.0]))
    def measure(self, which: int, ratio: float) -> None:
        measure(self.versions[which], ratio=ratio)

    @rule(which=WHICH, hours=st.sampled_from([1, 20, 70, 100]), who=WHO)
    def propose(self, which: int, hours: float, who: int) -> None:
        until = timezone.now() + timedelta(hours=hours)
        with tried("proposed"):
            overrides.propose(
                self.version(which),
                environment=PRODUCTION,
                terms=Terms([SOFT], REASON, until),
                actor=self.people[who].actor,
            )

    @rule(which=WHICH, who=WHO)
    def grant(self, which: int, who: int) -> None:
        override = self.override_of(which)
        if override is not None:
            with tried("granted"):
                actor = self.people[who].actor
                overrides.approve(override, reason=REASON, actor=actor)

    @rule(which=WHICH, who=WHO)
    def revoke(self, which: int, who: int) -> None:
        override = self.override_of(which)
        if override is not None:
            with tried("revoked"):
                actor = self.people[who].actor
                overrides.revoke(override, reason=REASON, actor=actor)

    @rule(which=WHICH)
    def extend(self, which: int) -> None:
        override = self.override_of(which)
        if override is not None:
            with tried("extended"):
                overrides.extend(override, justification=REASON, actor=self.alice.actor)

    @rule(which=WHICH, who=WHO)
    def deploy(self, which: int, who: int) -> None:
        with tried("deployed"):
            deployments.deploy(
                self.version(which),
                environment=PRODUCTION,
                actor=self.people[who].actor,
            )
        # Before the next deed changes what the gate saw.
        self.whatever_went_live_was_let_through()

    @rule(which=WHICH, ratio=st.sampled_from([1.0, 0.5]))
    def approve_and_deploy(self, which: int, ratio: float) -> None:
        self.deploy(which, 0)
        self.submit(which, 0)
        self.everybody_votes(which)
        self.measure(which, ratio)
        self.deploy(which, 0)

    @rule(which=WHICH)
    def approve_and_deploy_under_an_override(self, which: int) -> None:
        """Go the whole way, which deeds in any order hardly ever do by themselves."""
        self.submit(which, 0)
        self.everybody_votes(which)
        self.measure(which, 0.5)
        self.propose(which, 20, 0)
        for who in (1, 2):
            self.grant(which, who)
        self.deploy(which, 0)

    @rule(who=WHO)
    def suspend(self, who: int) -> None:
        for row in self.live():
            with tried("suspended"):
                actor = self.people[who].actor
                suspensions.suspend(row, reason=REASON, actor=actor)

    def live(self) -> list[Deployment]:
        rows = Deployment.objects.live().for_organization(self.alice.organization)
        return list(rows.select_related("version__model", "override", "approval"))

    @rule(hours=HOURS)
    def let_time_pass(self, hours: float) -> None:
        Clock.ahead += timedelta(hours=hours)

    @rule()
    def sweep(self) -> None:
        deadlines.sweep()
        override_terms.sweep()
        seen["swept"] += 1
        for row in self.live():
            assert row.override is None or row.override.expires_at > timezone.now()

    @invariant()
    def at_most_one_is_live(self) -> None:
        if hasattr(self, "alice"):
            assert len(self.live()) <= 1

    @invariant()
    def whatever_went_live_was_let_through(self) -> None:
        if not hasattr(self, "alice"):
            return
        for row in self.live():
            if row.pk not in self.judged:
                self.judged.add(row.pk)
                self.judge(row)
                seen[f"live: {row.gate['result']}"] += 1

    def judge(self, row: Deployment) -> None:
        """Give the second opinion, right after something has gone live."""
        request = row.approval
        assert request is not None, "nobody approved it"
        assert (request.version_id, request.status) == (row.version_id, "applied")
        made_by = {request.requested_by_id, row.version.created_by_id}
        for stage in request.stages.all():
            approving = stage.votes.filter(decision="approve")
            people = {vote.principal_id for vote in approving}
            assert len(people) >= max(stage.quorum, 1), "no quorum"
            assert not people & made_by, "its own maker voted"
        # As it was when it was asked for, and by the stages of today's policy.
        now = self.facts_of(row.version)
        assert now == self.bound[request.pk], "something else was approved"
        if not self.fails(row.version):
            return
        override = row.override
        assert override is not None, "the gate was closed"
        assert override.expires_at > timezone.now(), "the override was over"
        assert override.decided_by_id not in {None, override.requested_by_id}
        assert override.status == Override.Status.ACTIVE

    def fails(self, version: ModelVersion) -> bool:
        """Tell whether the soft rule fails; what was never measured fails none."""
        found = Assessment.objects.filter(version=version).first()
        failed = found.verdict.get("failed", ()) if found else ()
        return any(one["rule"] == SOFT for one in failed)


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(timezone, "now", Clock.now)
    yield
    Clock.ahead = timedelta()


def test_no_order_of_deeds_leads_past_the_controls() -> None:
    seen.clear()
    run_state_machine_as_test(
        Ways,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=DEEDS,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    # What never went live was never judged.
    for what in (
        "live: ALLOW",
        "live: ALLOW_BY_OVERRIDE",
        "deployed: approval_required",
        "deployed: gate_closed",
        "voted: permission_denied",
        "swept",
    ):
        assert seen[what], seen


@pytest.mark.parametrize(
    ("forged", "found"),
    [
        ({"approval": None}, "nobody approved it"),
        ({"artifact_digest": "2" * 64}, "something else was approved"),
        ({"override": None}, "the gate was closed"),
        ({"expires_at": timedelta(seconds=-1)}, "the override was over"),
        ({"quorum": 3}, "no quorum"),
    ],
)
def test_the_second_opinion_finds_what_the_controls_would_have_let_through(
    forged: dict[str, Any], found: str
) -> None:
    machine = Ways()
    machine.begin()
    machine.approve_and_deploy_under_an_override(0)
    (row,) = machine.live()
    machine.judge(row)
    (name, value), *_ = forged.items()
    if name == "artifact_digest":
        ModelVersion.objects.filter(pk=row.version_id).update(**forged)
    elif name == "expires_at":
        assert row.override is not None
        row.override.expires_at = timezone.now() + value
    elif name == "quorum":
        as_owner("ALTER TABLE governance_approvalstage DISABLE TRIGGER USER")
        row.approval.stages.update(quorum=value)
    else:
        setattr(row, name, value)
    with pytest.raises(AssertionError, match=found):
        machine.judge(row)


def as_owner(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET ROLE driftguard_owner")
        cursor.execute(statement)
        cursor.execute("SET ROLE driftguard_app")
