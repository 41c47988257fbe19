"""Policies: drafted, compared, tried on the past, published by a second person."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from governance.actions import (
    backtests,
    overrides,
    policies,
    policy_templates,
    publications,
    registry,
    risk,
)
from governance.actions.override_checks import Terms
from governance.decision import (
    ColumnFacts,
    Facts,
    GroupFacts,
    PolicyError,
    Thresholds,
    comparison,
    documents,
)
from governance.exceptions import (
    AlreadyExistsError,
    ConflictError,
    InvalidError,
    PermissionDeniedError,
)
from governance.models import (
    ApprovalRequest,
    AuditEntry,
    Evidence,
    ModelVersion,
    PolicyVersion,
)
from tests.factories import (
    Person,
    approve,
    make_alice,
    make_bob,
    make_charlie,
    make_member,
    make_version,
    submit,
    vote,
)
from tests.governance import deploying
from tests.governance.policies import draft, publish

Status = PolicyVersion.Status
NOON = datetime(2030, 5, 10, 12, tzinfo=UTC)


def faults(text: str) -> dict[str, str]:
    with pytest.raises(PolicyError) as caught:
        documents.read(text)
    return {".".join(map(str, one.loc)): one.code for one in caught.value.errors}


class TestDocument:
    def test_what_is_written_reads_as_the_same(self) -> None:
        content = Thresholds().to_json()
        text = documents.write(documents.Document("Ours", "For all", content), "v 4")
        assert text.startswith("# v 4\ndriftguard_policy: 1\nname: Ours\n")
        assert documents.read(text) == documents.Document("Ours", "For all", content)

    def test_numbers_come_back_to_the_last_digit(self) -> None:
        for share in (1 / 3, 0.1 + 0.2, 1e-3, 0.999):
            content = Thresholds(warning_share=share).to_json()
            text = documents.write(documents.Document(None, "", content))
            assert documents.read(text).content["warning_share"] == share

    def test_what_is_left_out_has_its_default(self) -> None:
        text = "driftguard_policy: 1\ncontent:\n  minimum_sample: 50\n"
        expected = Thresholds(minimum_sample=50).to_json()
        assert documents.read(text).content == expected

    def test_a_date_is_text(self) -> None:
        text = (
            "driftguard_policy: 1\ncontent:\n  environments:\n    staging:\n"
            "      mode: observe\n      until: 2030-01-01T00:00:00Z\n"
        )
        staging = documents.read(text).content["environments"]["staging"]
        assert staging == {"mode": "observe", "until": "2030-01-01T00:00:00Z"}

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("", {"": "type", "driftguard_policy": "format", "content": "missing"}),
            ("driftguard_policy: 2\ncontent: {}", {"driftguard_policy": "format"}),
            ("driftguard_policy: 1\ncontent: 5", {"content": "type"}),
            (
                "driftguard_policy: 1\ncontent: {weight: 1, minimum_sample: x}",
                {"content.weight": "unknown_field", "content.minimum_sample": "type"},
            ),
            ("driftguard_policy: 1\nother: 1\ncontent: {}", {"other": "unknown_field"}),
            ("a: [1", {"line.1": "yaml"}),
            ("a: 1\na: 2", {"line.2": "yaml"}),
            ("a: &x 1\nb: *x", {"line.2": "yaml"}),
            ("a: {<<: {b: 1}}", {"line.1": "yaml"}),
            ("? [a]\n: 1", {"line.1": "yaml"}),
            ("!!python/object:os.system x", {"line.1": "yaml"}),
            ("a: " + "[" * 20 + "]" * 20, {"line.1": "yaml"}),
            ("a: \x00", {"": "yaml"}),
            ("a: 'x'\n" * 40_000, {"": "too_large"}),
            (
                "driftguard_policy: 1\ncontent: {minimum_sample: .nan}",
                {"content.minimum_sample": "range"},
            ),
        ],
        ids=lambda value: value[:30] if isinstance(value, str) else "",
    )
    def test_every_fault_is_named_with_its_place(
        self, text: str, expected: dict[str, str]
    ) -> None:
        assert faults(text) == expected


class TestComparison:
    def test_says_in_words_what_differs(self) -> None:
        before = Thresholds().to_json()
        content = {
            "rules": {"R3": {"level": "advisory"}},
            "algorithms": {"psi": {"alert": 0.3}, "ks_test": {}, "chi_square": {}},
            "stages": [{"role": "validator"}, {"people": ["eve@example.com"]}],
            "gate": {"rules": {"tier": "hard"}},
            "break_glass": {"allowed": True},
        }
        after = Thresholds.from_json(content).to_json()
        assert [str(one) for one in comparison.changes(before, after)] == [
            "algorithms, psi, alert: 0.25 → 0.3",
            "rule R3 (the model's score in drift alert), level: hard → advisory",
            "stage 1, role: compliance_officer → validator",
            "stage 2: people eve@example.com, quorum 1, sla hours 72, "
            "escalate to owner is new",
            "gate, tier (the model's risk tier is set): advisory → hard",
            "break glass, allowed: no → yes",
        ]

    def test_is_a_patch_as_well(self) -> None:
        before = Thresholds().to_json()
        after = Thresholds(minimum_sample=99).to_json()
        patch = comparison.unified(before, after).splitlines()
        assert "-minimum_sample: 30" in patch
        assert "+minimum_sample: 99" in patch

    def test_of_the_same_is_nothing(self) -> None:
        content = Thresholds().to_json()
        assert comparison.changes(content, content) == []
        assert comparison.unified(content, content) == ""


def test_there_are_three_templates_and_each_is_a_policy() -> None:
    assert policy_templates.names() == (
        "consumer-credit",
        "low-risk-internal",
        "strict",
    )
    for name in policy_templates.names():
        document = policy_templates.read(name)
        assert document.name
        assert document.description
        assert Thresholds.from_json(document.content).to_json() == document.content


@pytest.fixture
def alice(db: None) -> Person:
    return make_alice()


@pytest.fixture
def bob(alice: Person) -> Person:
    return make_bob(alice.organization)


class TestDraft:
    def test_changes_nothing_until_it_is_published(
        self, alice: Person, bob: Person
    ) -> None:
        version = draft(alice.organization, minimum_sample=50)
        assert (version.number, version.status) == (2, Status.DRAFT)
        assert policies.default_of(alice.organization.pk).number == 1

    def test_names_every_fault(self, alice: Person) -> None:
        with pytest.raises(InvalidError) as caught:
            draft(alice.organization, stages=[], minimum_sample="x")
        assert [one["loc"] for one in caught.value.errors] == [
            ["content", "minimum_sample"],
            ["content", "stages"],
        ]

    @pytest.mark.parametrize("role", ["model_owner", "validator", "auditor"])
    def test_is_made_by_owners_and_officers(self, alice: Person, role: str) -> None:
        dora = make_member(alice.organization, role)
        active = policies.default_of(alice.organization.pk)
        with pytest.raises(PermissionDeniedError):
            policies.add_draft(active.policy, content={}, actor=dora.actor)
        assert AuditEntry.objects.get(action="policy.drafted").outcome == "denied"

    def test_is_edited_until_then(self, alice: Person, bob: Person) -> None:
        version = draft(alice.organization, minimum_sample=50)
        edited = policies.edit_draft(
            version, content={"minimum_sample": 60}, actor=bob.actor
        )
        assert edited.thresholds.minimum_sample == 60
        assert edited.edited_by == bob.user
        active = policies.default_of(alice.organization.pk)
        with pytest.raises(ConflictError, match="stays as it is"):
            policies.edit_draft(active, content={}, actor=alice.actor)

    def test_a_name_is_taken_once(self, alice: Person) -> None:
        policies.create_policy(
            alice.organization, name="Strict", content={}, actor=alice.actor
        )
        with pytest.raises(AlreadyExistsError):
            policies.create_policy(
                alice.organization, name="Strict", content={}, actor=alice.actor
            )


class TestPublishing:
    def test_takes_a_second_person(self, alice: Person, bob: Person) -> None:
        make_member(alice.organization, "compliance_officer", alice.user)
        version = draft(alice.organization, minimum_sample=50)
        request = publications.ask(version, reason="tighter", actor=alice.actor)
        with pytest.raises(PermissionDeniedError):
            vote(request, alice)
        assert vote(request, bob).status == ApprovalRequest.Status.APPLIED
        version.refresh_from_db()
        assert version.status == Status.ACTIVE
        assert version.published_at
        before = PolicyVersion.objects.get(number=1)
        assert before.status == Status.ARCHIVED
        entry = AuditEntry.objects.filter(action="policy.published").first()
        assert entry is not None
        assert entry.actor_id == str(bob.user.pk)

    def test_takes_somebody_else_than_the_last_editor(
        self, alice: Person, bob: Person
    ) -> None:
        eve = make_member(alice.organization, "compliance_officer")
        version = draft(alice.organization, minimum_sample=50)
        version = policies.edit_draft(
            version, content={"minimum_sample": 60}, actor=bob.actor
        )
        request = publications.ask(version, actor=alice.actor)
        with pytest.raises(PermissionDeniedError):
            vote(request, bob)
        assert vote(request, eve).status == ApprovalRequest.Status.APPLIED

    def test_an_edit_voids_the_request(self, alice: Person, bob: Person) -> None:
        version = draft(alice.organization, minimum_sample=50)
        request = publications.ask(version, actor=alice.actor)
        policies.edit_draft(version, content={"minimum_sample": 9}, actor=alice.actor)
        with pytest.raises(ConflictError, match=r"draft\.content changed"):
            vote(request, bob)
        request.refresh_from_db()
        assert request.status == ApprovalRequest.Status.STALE

    def test_a_version_published_meanwhile_voids_it_too(
        self, alice: Person, bob: Person
    ) -> None:
        request = publications.ask(
            draft(alice.organization, minimum_sample=50), actor=alice.actor
        )
        publish(alice.organization, minimum_sample=70)
        with pytest.raises(ConflictError, match=r"replaces\.id changed"):
            vote(request, bob)

    def test_lists_what_it_touches_first(self, alice: Person, bob: Person) -> None:
        live = approve(make_version(alice, name="Live"))
        ModelVersion.objects.filter(pk=live.pk).update(status="deployed")
        pending = submit(make_version(alice, name="Waiting"))
        stricter = publications.touched(draft(alice.organization, minimum_sample=50))
        assert stricter.models == ("Live", "Waiting")
        assert stricter.requests == (pending,)
        assert stricter.deployments == (live,)
        same = publications.touched(draft(alice.organization, intake_days={"high": 3}))
        assert same.models == ("Live", "Waiting")
        assert same.requests == same.deployments == ()

    def test_a_rejected_draft_stays_a_draft(self, alice: Person, bob: Person) -> None:
        version = draft(alice.organization, minimum_sample=50)
        vote(publications.ask(version, actor=alice.actor), bob, "reject", "why")
        version.refresh_from_db()
        assert version.status == Status.DRAFT


class TestAssignment:
    def other(self, alice: Person, **content: Any) -> PolicyVersion:
        return policies.create_policy(
            alice.organization, name="Internal", content=content, actor=alice.actor
        )

    def test_a_policy_holds_for_the_tiers_and_models_that_it_names(
        self, alice: Person, bob: Person
    ) -> None:
        low = make_version(alice, risk_tier="low").model
        named = make_version(alice, name="Named").model
        high = make_version(alice).model
        version = self.other(alice, applies_to={"tiers": ["low"], "models": ["named"]})
        touched = publications.touched(version)
        assert set(touched.models) == {low.name, named.name}
        vote(publications.ask(version, actor=alice.actor), bob)
        assert policies.in_force_for(low).pk == version.pk
        assert policies.in_force_for(named).pk == version.pk
        assert policies.in_force_for(high).policy.is_default

    def test_no_two_policies_name_the_same(self, alice: Person, bob: Person) -> None:
        version = self.other(alice, applies_to={"tiers": ["low"]})
        vote(publications.ask(version, actor=alice.actor), bob)
        second = policies.create_policy(
            alice.organization,
            name="Second",
            content={"applies_to": {"tiers": ["low"]}},
            actor=alice.actor,
        )
        with pytest.raises(ConflictError, match="is meant for low already"):
            publications.ask(second, actor=alice.actor)

    def test_a_change_of_tier_brings_another_policy_and_voids_the_vote(
        self, alice: Person, bob: Person
    ) -> None:
        version = self.other(alice, applies_to={"tiers": ["low"]}, fairness_minimum=0.5)
        vote(publications.ask(version, actor=alice.actor), bob)
        request = submit(make_version(alice, risk_tier="high"))
        model = request.model
        assert model is not None
        registry.update(model, changes={"risk_tier": "low"}, actor=alice.actor)
        request.refresh_from_db()
        assert request.status == ApprovalRequest.Status.STALE
        assert {one["path"] for one in request.difference} == {
            "model.risk_tier",
            "policy.content",
        }

    def test_the_verdict_says_which_policy_it_is_by(
        self, alice: Person, bob: Person
    ) -> None:
        version = self.other(alice, applies_to={"tiers": ["low"]})
        vote(publications.ask(version, actor=alice.actor), bob)
        low = make_version(alice, risk_tier="low")
        high = make_version(alice)
        for one, words in ((low, "policy Internal 1"), (high, "policy 1")):
            assessment = risk.assess(
                one, facts=alarming(), source={}, window=None, is_evaluation=True
            )
            assert f"(rule R1 of {words}: an important column" in assessment.reasons[0]


def alarming(psi: float = 0.27, **fields: Any) -> Facts:
    """Return facts of an important column that drifts; the index is 50 at most."""
    status = "alert" if psi > 0.25 else "ok"
    return Facts(
        **{
            "n": 500,
            "n_baseline": 500,
            "baseline_kind": "given",
            "evidence_age_hours": 1.0,
            "columns": (
                ColumnFacts("age", status, psi=psi, importance=0.4),
                ColumnFacts("income", "ok", psi=0.0, importance=0.3),
                ColumnFacts("region", "ok", psi=0.0, importance=0.3),
            ),
            **fields,
        }
    )


def measure(version: ModelVersion, series: Sequence[Facts]) -> None:
    """Store evidence of one day after the other, the last of today's noon."""
    for number, facts in enumerate(reversed(series)):
        Evidence.objects.create(
            organization_id=version.organization_id,
            version=version,
            facts=facts.to_json(),
            digest=str(number),
            created_at=NOON - timedelta(days=number, hours=1),
        )


class TestBacktest:
    @pytest.fixture
    def version(self, alice: Person) -> ModelVersion:
        version = make_version(alice, name="Scores")
        measure(version, [alarming(0.01, n=40)] * 3 + [alarming(0.27, n=40)] * 2)
        return version

    def run(self, version: ModelVersion, days: int = 5, **content: Any) -> Any:
        drafted = draft(version.organization, **content)
        return backtests.run(drafted, days=days, now=NOON)

    def test_of_the_same_rules_flips_nothing(self, version: ModelVersion) -> None:
        result = self.run(version, intake_days={"high": 3})
        assert result["totals"] == {
            "days": 5,
            "flips": 0,
            "new_blocks": 0,
            "lifted_blocks": 0,
            "unnecessary_overrides": 0,
        }
        assert (result["evidence"], result["step"]) == (5, "hour")

    def test_shows_what_would_not_be_blocked_any_more(
        self, version: ModelVersion
    ) -> None:
        result = self.run(version, rules={"R1": {"level": "advisory"}})
        assert [
            (one["day"], one["before"], one["after"]) for one in result["flips"]
        ] == [
            ("2030-05-09", "BLOCKED", "APPROVED"),
            ("2030-05-10", "BLOCKED", "AT_RISK"),
        ]
        assert result["totals"]["lifted_blocks"] == 2
        assert "(rule R1 of policy 2" in result["flips"][0]["reasons"][0]
        assert "(rule R1 of policy 1" in result["flips"][0]["reasons_before"][0]

    def test_shows_new_blocks(self, alice: Person) -> None:
        version = make_version(alice, name="Fair")
        unfair = GroupFacts("region", "north", 500, 0.6, 0.5, 0.7)
        measure(version, [alarming(0.01, groups=(unfair,))] * 3)
        rules = {"R7": {"level": "hard", "effect": "block"}}
        result = self.run(version, rules=rules)
        assert result["totals"]["new_blocks"] == 3
        assert {one["after"] for one in result["flips"]} == {"BLOCKED"}

    def test_a_sample_that_is_too_small_is_no_verdict(
        self, version: ModelVersion
    ) -> None:
        result = self.run(version, minimum_sample=41)
        quiet = [one for one in result["flips"] if one["day"] < "2030-05-09"]
        assert {one["after"] for one in quiet} == {"NOT_ASSESSED"}
        assert len(quiet) == 3

    def test_looks_back_as_far_as_it_is_told(self, version: ModelVersion) -> None:
        assert self.run(version, days=2, minimum_sample=41)["totals"]["days"] == 3
        for days in (0, 400, -1):
            with pytest.raises(InvalidError):
                self.run(version, days=days)

    def test_of_many_pieces_of_evidence_takes_the_newest_of_each_day(
        self, alice: Person, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        version = make_version(alice)
        for hours in range(12):
            Evidence.objects.create(
                organization=alice.organization,
                version=version,
                facts=alarming(0.27 if hours == 0 else 0.01).to_json(),
                digest="x",
                created_at=NOON - timedelta(hours=hours, minutes=1),
            )
        monkeypatch.setattr(backtests, "MOST_EVIDENCE", 5)
        result = self.run(version, rules={"R1": {"level": "advisory"}})
        assert (result["step"], result["evidence"]) == ("day", 1)
        assert result["totals"]["lifted_blocks"] == 1

    def test_sees_no_other_organization(self, version: ModelVersion) -> None:
        charlie = make_charlie()
        measure(make_version(charlie), [alarming()])
        result = self.run(version, rules={"R1": {"level": "advisory"}})
        assert {one["model"] for one in result["flips"]} == {"Scores"}

    @pytest.mark.parametrize(("minimum", "count"), [(0.4, 1), (0.75, 0)])
    def test_shows_overrides_that_would_not_be_needed(
        self, alice: Person, bob: Person, minimum: float, count: int
    ) -> None:
        version = deploying.measure(deploying.make_approved(alice), ratio=0.5)
        terms = Terms(rules=["R7"], justification=deploying.REASON)
        override = overrides.propose(
            version, environment="production", terms=terms, actor=alice.actor
        )
        overrides.approve(override, reason="Small exposure.", actor=bob.actor)
        drafted = draft(alice.organization, fairness_minimum=minimum)
        result = backtests.run(drafted, days=1)
        assert result["totals"]["unnecessary_overrides"] == count
        assert [one["id"] for one in result["overrides"]] == [override.pk][:count]

    def test_is_attached_to_the_request_and_bound_by_it(
        self, version: ModelVersion, alice: Person, bob: Person
    ) -> None:
        measure(version, [alarming(n=40)])
        Evidence.objects.update(created_at=timezone.now())
        drafted = draft(alice.organization, rules={"R1": {"level": "advisory"}})
        request = publications.ask(drafted, days=7, actor=alice.actor)
        result = request.proposal["backtest"]
        assert result["totals"]["flips"] == 1
        assert request.subject["backtest"] == backtests.digest_of(result)
        assert vote(request, bob).status == ApprovalRequest.Status.APPLIED
