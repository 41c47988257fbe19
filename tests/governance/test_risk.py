import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import rfc8785
from django.db import connection
from django.utils import timezone

from governance.actions import risk
from governance.decision import (
    ColumnFacts,
    Facts,
    GroupFacts,
    Measured,
    Thresholds,
    risk_score,
)
from governance.exceptions import ConflictError
from governance.models import (
    Assessment,
    AuditEntry,
    Evidence,
    Finding,
    ModelVersion,
    Notification,
    PolicyVersion,
    RiskScore,
    StatusChange,
)
from tests import factories
from tests.governance.api import api_of


def column(name: str, psi: float, importance: float = 1.0) -> ColumnFacts:
    status = "alert" if psi >= 0.25 else "warning" if psi >= 0.1 else "ok"
    measured = (Measured("psi", psi, significant=psi >= 0.1),)
    return ColumnFacts(name, status, psi, importance, measured)


def facts(age: float = 0.01, income: float = 0.01, **changes) -> Facts:
    values = {
        "n": 1000,
        "n_baseline": 5000,
        "baseline_kind": "given",
        "evidence_age_hours": 0.5,
        "columns": (
            column("age", age, 0.9),
            column("income", income, 0.1),
            *(column(name, 0.01, 0.1) for name in ("a", "b", "c")),
        ),
    }
    return Facts(**{**values, **changes})


def assess(
    version: ModelVersion, measured: Facts, *, is_evaluation: bool = True
) -> Assessment:
    window = (timezone.now() - timedelta(days=7), timezone.now())
    return risk.assess(
        version,
        facts=measured,
        source={"baseline": "baseline_x", "digest": "d", "predictions": measured.n},
        window=window,
        is_evaluation=is_evaluation,
    )


@pytest.fixture
def alice(db: None) -> factories.Person:
    return factories.make_alice()


@pytest.fixture
def version(alice: factories.Person) -> ModelVersion:
    return factories.make_version(alice)


class TestAssess:
    def test_a_version_begins_not_assessed(self, version: ModelVersion) -> None:
        assert version.assessment.status == "NOT_ASSESSED"

    def test_good_evidence_approves_and_is_kept(self, version: ModelVersion) -> None:
        found = assess(version, facts(), is_evaluation=False)
        assert found.status == "APPROVED"
        assert found.reasons[0] == "All rules hold."
        assert found.rows == 1000
        evidence = Evidence.objects.get()
        assert (
            evidence.digest == hashlib.sha256(rfc8785.dumps(evidence.facts)).hexdigest()
        )
        score = RiskScore.objects.get()
        assert score.governance_status == "APPROVED"
        assert score.evidence == evidence == found.evidence
        # Years later the same number comes out of what is stored.
        again = risk_score(
            Facts.from_json(evidence.facts), score.policy_version.thresholds
        )
        assert again is not None
        assert again.score == score.score == found.score
        assert found.policy_version == PolicyVersion.objects.get()
        assert found.policy_version.thresholds == Thresholds()

    def test_without_a_baseline_it_is_not_assessed(self, version: ModelVersion) -> None:
        found = assess(version, facts(baseline_kind=None, columns=()))
        assert found.status == "NOT_ASSESSED"
        assert found.score is None
        assert not RiskScore.objects.exists()
        assert not StatusChange.objects.exists()

    def test_a_hard_rule_blocks_at_once_with_all_that_follows(
        self, version: ModelVersion, alice: factories.Person
    ) -> None:
        assess(version, facts())
        before = AuditEntry.objects.for_organization(alice.organization).count()
        found = assess(version, facts(age=1.05), is_evaluation=False)
        assert found.status == "BLOCKED"
        assert any("age PSI 1.05 > 0.25" in reason for reason in found.reasons)
        change = StatusChange.objects.first()
        assert (change.previous, change.status) == ("APPROVED", "BLOCKED")
        assert change.since == found.since
        assert change.evidence == found.evidence
        finding = Finding.objects.get()
        assert (finding.cause, finding.severity) == ("drift:age", "critical")
        assert finding.owner == version.model.owner
        assert finding.detail["observed"] == 1.05
        told = Notification.objects.first()
        assert told.event == "model.status_changed"
        assert told.payload["status"] == "BLOCKED"
        assert told.sent_at is None
        entries = AuditEntry.objects.for_organization(alice.organization)
        assert {entry.action for entry in entries[: entries.count() - before]} == {
            "model.status_changed",
            "finding.opened",
        }

    def test_a_soft_change_waits_for_the_second_evaluation(
        self, version: ModelVersion
    ) -> None:
        assess(version, facts())
        risky = facts(income=0.5)
        first = assess(version, risky)
        assert (first.status, first.candidate) == ("APPROVED", "AT_RISK")
        assert not Finding.objects.exists()
        # A refresh that counts as no evaluation doesn't help it along.
        assert assess(version, risky, is_evaluation=False).status == "APPROVED"
        assert assess(version, risky).status == "AT_RISK"
        assert [one.cause for one in Finding.objects.all()] == ["drift:income"]

    def test_a_group_below_the_limit_is_a_finding_of_its_own(
        self, version: ModelVersion
    ) -> None:
        group = GroupFacts("region", "north", 500, 0.6, 0.5, 0.7)
        found = assess(version, facts(groups=(group,)))
        assert found.status == "AT_RISK"
        assert found.fairness_score == 0.6
        assert [one.cause for one in Finding.objects.all()] == ["R7:region = north"]

    def test_without_a_policy_it_says_so(self, version: ModelVersion) -> None:
        PolicyVersion.objects.update(status="archived")
        with pytest.raises(ConflictError, match="no policy"):
            assess(version, facts())


class TestHistory:
    def test_grows_by_a_point_or_an_hour_only(self, version: ModelVersion) -> None:
        for _ in range(5):
            assess(version, facts(age=0.0100))
            assess(version, facts(age=0.0101))
        assert RiskScore.objects.count() == Evidence.objects.count() == 1
        assess(version, facts(age=0.05))
        assert RiskScore.objects.count() == Evidence.objects.count() == 2
        an_hour_ago = timezone.now() - timedelta(hours=1)
        RiskScore.objects.update(computed_at=an_hour_ago)
        assess(version, facts(age=0.05))
        assert RiskScore.objects.count() == Evidence.objects.count() == 3

    def test_is_read_newest_first(
        self, version: ModelVersion, alice: factories.Person
    ) -> None:
        for psi in (0.01, 0.05, 0.09):
            assess(version, facts(age=psi))
        api = api_of(alice)
        path = f"/api/models/{version.model.slug}/risk-history"
        history = api.get(path).json()
        scores = [one["risk_score"] for one in history]
        assert len(scores) == 3
        assert scores == sorted(scores, reverse=True)
        assert set(history[0]) >= {
            "risk_score",
            "drift_component",
            "fairness_component",
            "governance_status",
            "explanation",
            "computed_at",
        }
        assert history[0]["fairness_component"] is None
        assert history[0]["computed_at"].endswith("Z")
        assert len(api.get(f"{path}?limit=2").json()) == 2
        assert api.get(f"{path}?limit=0").status_code == 422


class TestFindings:
    def test_one_is_open_per_cause_however_often_it_is_seen(
        self, version: ModelVersion
    ) -> None:
        for _ in range(3):
            assess(version, facts(age=0.9))
        finding = Finding.objects.get()
        assert finding.occurrences == 3
        assess(version, facts(age=0.9), is_evaluation=False)
        finding.refresh_from_db()
        assert finding.occurrences == 3

    def test_after_closure_a_new_breach_is_a_new_one(
        self, version: ModelVersion, alice: factories.Person
    ) -> None:
        assess(version, facts(age=0.9))
        factories.close_finding(Finding.objects.get(), alice)
        assess(version, facts(age=0.9))
        assert Finding.objects.count() == 2

    def test_it_may_become_more_severe_and_never_less(
        self, version: ModelVersion, alice: factories.Person
    ) -> None:
        for severity in ("low", "high", "medium"):
            found = risk.findings.open_finding(
                version, cause="c", severity=severity, title="t", actor=None
            )
        assert (found.severity, found.occurrences) == ("high", 3)
        actions = AuditEntry.objects.for_organization(alice.organization)
        assert [entry.action for entry in actions[:2]] == [
            "finding.worsened",
            "finding.opened",
        ]


def test_assessments_at_once_change_the_status_once(cloned_db: str) -> None:
    version = factories.make_version(factories.make_alice())
    assess(version, facts())
    started = threading.Barrier(8)

    def work(_: int) -> str:
        try:
            mine = ModelVersion.objects.get(pk=version.pk)
            started.wait()
            return assess(mine, facts(age=0.8)).status
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(work, range(8))) == {"BLOCKED"}
    assert StatusChange.objects.filter(status="BLOCKED").count() == 1
    assert Notification.objects.filter(payload__status="BLOCKED").count() == 1
    assert RiskScore.objects.count() == 2
    assert Finding.objects.get().occurrences == 8


def test_a_finding_opened_at_once_is_one(cloned_db: str) -> None:
    version = factories.make_version(factories.make_alice())
    started = threading.Barrier(8)

    def work(_: int) -> int:
        try:
            mine = ModelVersion.objects.get(pk=version.pk)
            started.wait()
            return risk.findings.open_finding(
                mine, cause="c", severity="low", title="t", actor=None
            ).pk
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(work, range(8)))) == 1
    assert Finding.objects.get().occurrences == 8


def test_together_or_not_at_all(cloned_db: str) -> None:
    version = factories.make_version(factories.make_alice())
    entries = AuditEntry.objects.count()
    with connection.cursor() as cursor:
        # The last write of the deed fails for a reason of the database's own.
        cursor.execute("RESET ROLE")
        cursor.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'no'; END $$;"
            "CREATE TRIGGER refuse BEFORE INSERT ON governance_auditentry "
            "EXECUTE FUNCTION refuse()"
        )
        cursor.execute("SET ROLE driftguard_app")
    with pytest.raises(Exception, match="no"):
        assess(version, facts(age=0.9))
    assert AuditEntry.objects.count() == entries
    for kind in (Evidence, RiskScore, StatusChange, Finding, Notification):
        assert not kind.objects.exists()
    assert Assessment.objects.get().status == "NOT_ASSESSED"
