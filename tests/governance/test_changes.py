"""What an approval rests on changes only through an approved request."""

from datetime import timedelta
from typing import Any

import pytest

from governance.actions import approvals, policies, registry, submissions
from governance.exceptions import (
    ApprovalRequiredError,
    ConflictError,
    InvalidError,
)
from governance.models import (
    ApprovalRequest,
    ApprovedSubject,
    Assessment,
    AuditEntry,
    GovernanceStatus,
    ModelVersion,
)
from governance.schema import Schema
from monitoring.actions import alerts, baselines
from tests.factories import (
    SCHEMA,
    Person,
    approve,
    make_alice,
    make_bob,
    make_version,
    submit,
    vote,
)
from tests.governance.policies import publish

pytestmark = pytest.mark.django_db
Status = ApprovalRequest.Status
COLUMNS = {"age": [20, 30, 40] * 20, "income": [1.5, 2.5, 3.5] * 20}


@pytest.fixture
def alice() -> Person:
    return make_alice()


@pytest.fixture
def bob(alice: Person) -> Person:
    return make_bob(alice.organization)


@pytest.fixture
def version(alice: Person, bob: Person) -> ModelVersion:
    return approve(make_version(alice, risk_tier="high"))


def ask(
    version: ModelVersion, alice: Person, *, whole: bool = False, **wanted: Any
) -> ApprovalRequest:
    return submissions.submit_change(
        version.model,
        version=None if whole else version,
        wanted=wanted,
        reason="it has to be",
        actor=alice.actor,
    )


def current(version: ModelVersion) -> ModelVersion:
    return ModelVersion.objects.select_related("model").get(pk=version.pk)


class TestTier:
    def test_is_refused_and_the_refusal_names_the_request_to_make(
        self, version: ModelVersion, alice: Person
    ) -> None:
        with pytest.raises(ApprovalRequiredError) as caught:
            registry.update(
                version.model, changes={"risk_tier": "low"}, actor=alice.actor
            )
        assert caught.value.extra["change_request"] == {
            "kind": "change",
            "model_id": version.model.slug,
            "version": version.version,
            "changes": {"risk_tier": "low"},
        }

    def test_changes_once_somebody_else_agrees_and_all_stays_approved(
        self, version: ModelVersion, alice: Person, bob: Person
    ) -> None:
        request = ask(version, alice, whole=True, risk_tier="low")
        assert current(version).model.risk_tier == "high"
        assert vote(request, bob).status == Status.APPLIED
        assert current(version).model.risk_tier == "low"
        assert approvals.standing(current(version)).is_valid
        newest = ApprovedSubject.objects.first()
        assert newest is not None
        assert newest.change == request
        entry = AuditEntry.objects.get(action="model.changed", approval_id=request.pk)
        assert entry.actor_id == str(bob.user.pk)

    def test_that_was_changed_back_is_asked_for_anew(
        self, version: ModelVersion, alice: Person, bob: Person
    ) -> None:
        request = vote(ask(version, alice, whole=True, risk_tier="low"), bob)
        vote(ask(version, alice, whole=True, risk_tier="medium"), bob)
        with pytest.raises(ApprovalRequiredError):
            registry.update(
                current(version).model,
                changes={"risk_tier": "low"},
                under=request,
                actor=alice.actor,
            )

    def test_a_request_covers_the_value_that_was_approved_only(
        self, version: ModelVersion, alice: Person
    ) -> None:
        request = ask(version, alice, whole=True, risk_tier="medium")
        for value in ("low", "medium"):  # not even its own while it is pending
            with pytest.raises(ApprovalRequiredError):
                registry.update(
                    version.model,
                    changes={"risk_tier": value},
                    under=request,
                    actor=alice.actor,
                )

    def test_does_not_repair_an_approval_that_was_stale(
        self, version: ModelVersion, alice: Person, bob: Person
    ) -> None:
        ModelVersion.objects.filter(pk=version.pk).update(artifact_digest="f" * 64)
        vote(ask(version, alice, whole=True, risk_tier="low"), bob)
        assert not approvals.standing(current(version)).is_valid


def test_the_horizon_changes_as_a_pair(
    version: ModelVersion, alice: Person, bob: Person
) -> None:
    with pytest.raises(ApprovalRequiredError):
        registry.update(
            version.model,
            changes={"label_horizon_max": timedelta(days=40)},
            actor=alice.actor,
        )
    bounds = {"min": 86400, "max": 40 * 86400}
    vote(ask(version, alice, whole=True, label_horizon=bounds), bob)
    model = current(version).model
    assert model.label_horizon_min == timedelta(days=1)
    assert model.label_horizon_max == timedelta(days=40)


@pytest.mark.parametrize(
    "changed",
    [
        {"schema_mode": "strict"},
        {"protected_attributes": []},
        {"favourable_outcome": 1},
        {"features": [{**SCHEMA["features"][0], "importance": 0.1}]},
    ],
)
def test_schema_importances_and_protected_attributes_change_with_it(
    version: ModelVersion, alice: Person, bob: Person, changed: dict[str, Any]
) -> None:
    wanted = {**SCHEMA, **changed}
    if "features" in changed:
        wanted["protected_attributes"] = []
    schema = Schema.from_json(wanted)
    with pytest.raises(ApprovalRequiredError):
        registry.change_schema(version, schema=schema, actor=alice.actor)
    assert vote(ask(version, alice, schema=wanted), bob).status == Status.APPLIED
    assert current(version).schema.to_json() == schema.to_json()
    assert approvals.standing(current(version)).is_valid


class TestBaseline:
    def test_is_activated_by_the_request_for_its_heirs_too(
        self, alice: Person, bob: Person
    ) -> None:
        version = make_version(alice)
        baselines.create(version, features=COLUMNS, label="v1", actor=alice.actor)
        approve(current(version))
        heir = make_version(alice, name=version.model.name, version="1.1.0")
        approve(current(heir))
        other = baselines.create(
            version,
            features={**COLUMNS, "age": [1, 2, 3] * 20},
            label="v2",
            actor=alice.actor,
        )
        with pytest.raises(ApprovalRequiredError) as caught:
            baselines.activate(other, actor=alice.actor)
        assert caught.value.extra["change_request"]["changes"] == {
            "baseline": other.public_id
        }
        request = ask(version, alice, baseline=other.public_id)
        assert vote(request, bob).status == Status.APPLIED
        for one in (version, heir):
            assert current(one).baseline_ref == other.public_id
            assert approvals.standing(current(one)).is_valid

    @pytest.mark.parametrize("value", ["baseline_x", "", 5, None])
    def test_that_is_none_of_the_versions_is_refused(
        self, version: ModelVersion, alice: Person, value: object
    ) -> None:
        with pytest.raises(InvalidError):
            ask(version, alice, baseline=value)

    def test_of_another_tenant_is_like_a_missing_one(
        self, version: ModelVersion, alice: Person
    ) -> None:
        stranger = make_alice()
        theirs = make_version(stranger)
        made = [
            baselines.create(
                theirs,
                features={**COLUMNS, "age": [number] * 60},
                label=f"v{number}",
                actor=stranger.actor,
            )
            for number in (1, 2)
        ]
        with pytest.raises(InvalidError) as caught:
            ask(version, alice, baseline=made[1].public_id)
        assert "of this version" in caught.value.errors[0]["detail"]


def test_looser_alerts_take_a_request(
    version: ModelVersion, alice: Person, bob: Person
) -> None:
    stricter = alerts.read({"accuracyDropAlert": 0.06})
    alerts.change(version.model, settings=stricter, actor=alice.actor)
    looser = alerts.read({"accuracyDropAlert": 0.08})
    with pytest.raises(ApprovalRequiredError) as caught:
        alerts.change(version.model, settings=looser, actor=alice.actor)
    named = caught.value.extra["change_request"]
    assert named["changes"]["alerts"]["accuracyDropAlert"] == 0.08
    request = ask(version, alice, whole=True, alerts={"accuracyDropAlert": 0.08})
    assert vote(request, bob).status == Status.APPLIED
    assert alerts.of(version.model) == looser


@pytest.mark.parametrize(
    ("wanted", "loc"),
    [
        ({}, "changes"),
        ({"owner": 5}, "changes.owner"),
        ({"risk_tier": "huge"}, "changes.risk_tier"),
        ({"risk_tier": "high"}, "changes.risk_tier"),
        ({"risk_tier": ["low"]}, "changes.risk_tier"),
        ({"label_horizon": {"min": 5, "max": 1}}, "changes.label_horizon"),
        ({"label_horizon": {"max": float("inf")}}, "changes.label_horizon"),
        ({"label_horizon": {"max": True}}, "changes.label_horizon"),
        ({"schema": {}}, "version"),
        ({"alerts": 5}, "changes.alerts"),
        ({"alerts": {"enabled": 5}}, "enabled"),
        (
            {"alerts": {"accuracyDropAlert": 0.3}},
            "changes.alerts.accuracyDropAlert",
        ),
    ],
)
def test_a_change_that_makes_no_sense_is_refused_by_name(
    version: ModelVersion, alice: Person, wanted: dict[str, Any], loc: str
) -> None:
    with pytest.raises(InvalidError) as caught:
        ask(version, alice, whole=True, **wanted)
    assert loc in {".".join(map(str, one["loc"])) for one in caught.value.errors}


def test_a_change_in_between_makes_the_request_stale(
    version: ModelVersion, alice: Person, bob: Person
) -> None:
    first = ask(version, alice, whole=True, risk_tier="low")
    schema = {**SCHEMA, "schema_mode": "strict"}
    second = ask(version, alice, schema=schema)
    vote(first, bob)
    second.refresh_from_db()
    assert second.status == Status.STALE


class TestRetirement:
    def test_takes_a_second_person(
        self, version: ModelVersion, alice: Person, bob: Person
    ) -> None:
        request = submissions.submit_retirement(
            version.model, reason="replaced", actor=alice.actor
        )
        assert current(version).model.retired_at is None
        assert vote(request, bob).status == Status.APPLIED
        found = current(version)
        assert found.model.retired_at is not None
        assert found.status == ModelVersion.Status.RETIRED
        with pytest.raises(ConflictError, match="retired"):
            submit(found)
        with pytest.raises(ConflictError, match="retired already"):
            submissions.submit_retirement(
                found.model, reason="again", actor=alice.actor
            )

    def test_needs_a_reason(self, version: ModelVersion, alice: Person) -> None:
        with pytest.raises(InvalidError):
            submissions.submit_retirement(version.model, reason="", actor=alice.actor)


class TestLowRisk:
    """The system approves by itself only where the policy says so."""

    SETTING = {"enabled": True, "tiers": ["low"], "maximum_risk": 20}

    @pytest.fixture
    def low(self, alice: Person, bob: Person) -> ModelVersion:
        version = make_version(alice, risk_tier="low")
        self.assess(version)
        return version

    def assess(self, version: ModelVersion, **fields: Any) -> None:
        values = {"status": GovernanceStatus.APPROVED, "score": 12.5, **fields}
        Assessment.objects.filter(version=version).update(**values)

    def test_is_off_unless_the_policy_switches_it_on(self, low: ModelVersion) -> None:
        assert submit(low).status == Status.PENDING

    def test_is_approved_by_the_system_with_threshold_and_risk(
        self, low: ModelVersion, alice: Person
    ) -> None:
        published = publish(alice.organization, auto_approval=self.SETTING)
        request = submit(low)
        assert request.status == Status.APPLIED
        assert request.auto_approval == {
            "policy_version": published.number,
            "tier": "low",
            "threshold": 20.0,
            "risk": 12.5,
            "evidence": None,
            "evaluated_at": None,
        }
        assert approvals.standing(current(low)).is_valid
        entry = AuditEntry.objects.get(
            action="approval.approved", approval_id=request.pk
        )
        assert entry.actor_type == "system"
        assert not request.votes.exists()

    @pytest.mark.parametrize(
        "fields",
        [
            {"score": 20.1},
            {"score": None},
            {"status": GovernanceStatus.AT_RISK},
            {"status": GovernanceStatus.NOT_ASSESSED},
        ],
    )
    def test_takes_votes_beyond_the_threshold(
        self, low: ModelVersion, alice: Person, fields: dict[str, Any]
    ) -> None:
        publish(alice.organization, auto_approval=self.SETTING)
        self.assess(low, **fields)
        assert submit(low).status == Status.PENDING

    @pytest.mark.parametrize("tier", ["high", "medium", ""])
    def test_takes_votes_in_another_tier(
        self, alice: Person, bob: Person, tier: str
    ) -> None:
        publish(alice.organization, auto_approval=self.SETTING)
        version = make_version(alice, risk_tier=tier)
        self.assess(version)
        assert submit(version).status == Status.PENDING


def test_a_version_blocked_by_a_hard_rule_waits_for_better_evidence(
    alice: Person, bob: Person
) -> None:
    from governance.decision import ColumnFacts, Facts, decide

    version = make_version(alice)
    request = submit(version)
    facts = Facts(
        n=500,
        n_baseline=500,
        baseline_kind="given",
        evidence_age_hours=1.0,
        columns=(ColumnFacts("age", "alert", psi=0.9, importance=1.0),),
    )
    policy = policies.in_force_for(version.model)
    verdict = decide(facts, policy.thresholds)
    assert verdict.status == GovernanceStatus.BLOCKED
    row = Assessment.objects.filter(version=version)
    row.update(status=verdict.status.value, verdict=verdict.to_json())
    request = vote(request, bob)
    assert (request.status, current(version).status) == (
        Status.APPROVED,
        ModelVersion.Status.IN_VALIDATION,
    )
    assert "blocked by its newest evaluation" in request.outcome
    row.update(status=GovernanceStatus.APPROVED)
    from governance.actions import deadlines

    assert deadlines.sweep()["applied"] == 1
    assert current(version).status == ModelVersion.Status.APPROVED
