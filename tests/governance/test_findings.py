"""A finding goes from one person to another, and only forward through its states."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import IntegrityError, ProgrammingError, connection, transaction
from django.utils import timezone

from governance.actions import finding_actions, finding_reminders, findings
from governance.actions.audit import Actor
from governance.exceptions import (
    AlreadyExistsError,
    ConflictError,
    GovernanceError,
    InvalidError,
    PermissionDeniedError,
    ReauthenticationRequiredError,
)
from governance.models import (
    AuditEntry,
    Evidence,
    Finding,
    FindingAction,
    FindingComment,
    Membership,
    ModelVersion,
    Notification,
)
from tests import factories
from tests.factories import Person
from tests.governance.api import Api, api_of, faults, signed_in

Role = Membership.Role


@pytest.fixture
def alice(db: None) -> Person:
    return factories.make_alice()


@pytest.fixture
def bob(alice: Person) -> Person:
    return factories.make_bob(alice.organization)


@pytest.fixture
def version(alice: Person) -> ModelVersion:
    return factories.make_version(alice, name="Credit")


@pytest.fixture
def finding(version: ModelVersion) -> Finding:
    return make_finding(version)


def make_finding(version: ModelVersion, severity: str = "critical") -> Finding:
    return findings.open_finding(
        version, cause="R1:age", severity=severity, title="age drifts", actor=None
    )


def tokenlike(actor: Actor) -> Actor:
    """Return the actor as one who came in a while ago."""
    return replace(actor, auth_method="token")


def denials(action: str) -> list[str]:
    return [
        str(entry.body)
        for entry in AuditEntry.objects.filter(action=action, outcome="denied")
    ]


class TestTheWayThrough:
    def test_it_is_resolved_by_one_person_and_closed_by_another(
        self, finding: Finding, alice: Person, bob: Person
    ) -> None:
        findings.start(finding, actor=alice.actor)
        findings.resolve(finding, reason="The feed is repaired.", actor=alice.actor)
        closed = findings.close(finding, reason="Seen for a week.", actor=bob.actor)
        assert closed.status == "closed"
        assert closed.resolved_by == alice.user
        assert closed.resolution == "The feed is repaired."
        assert closed.closed_by == bob.user
        assert closed.closed_label == bob.user.email
        assert [
            entry.action
            for entry in AuditEntry.objects.filter(object_type="finding").order_by(
                "seq"
            )
        ] == ["finding.opened", "finding.started", "finding.resolved", "finding.closed"]

    def test_who_resolved_it_cannot_close_it_whatever_their_roles(
        self, finding: Finding, alice: Person
    ) -> None:
        factories.make_member(
            alice.organization, Role.COMPLIANCE_OFFICER, user=alice.user
        )
        findings.start(finding, actor=alice.actor)
        findings.resolve(finding, reason="Done.", actor=alice.actor)
        with pytest.raises(PermissionDeniedError, match="second person"):
            findings.close(finding, reason="Done.", actor=alice.actor)
        assert len(denials("finding.closed")) == 1

    def test_only_a_compliance_officer_closes(
        self, finding: Finding, alice: Person
    ) -> None:
        validator = factories.make_member(alice.organization, Role.VALIDATOR)
        findings.start(finding, actor=validator.actor)
        findings.resolve(finding, reason="Done.", actor=validator.actor)
        with pytest.raises(PermissionDeniedError, match="compliance officer"):
            findings.close(finding, reason="Done.", actor=alice.actor)
        assert len(denials("finding.closed")) == 1

    def test_a_role_that_has_ended_meanwhile_no_longer_counts(
        self, finding: Finding, alice: Person, bob: Person
    ) -> None:
        before = bob.actor  # as a token still says it
        findings.start(finding, actor=alice.actor)
        findings.resolve(finding, reason="Done.", actor=alice.actor)
        Membership.objects.filter(user=bob.user).update(ended_at=timezone.now())
        with pytest.raises(PermissionDeniedError):
            findings.close(finding, reason="Done.", actor=before)

    @pytest.mark.parametrize(
        ("state", "allowed"),
        [
            ("open", {"start"}),
            ("in_progress", {"resolve"}),
            ("resolved", {"reopen", "close"}),
            ("closed", set()),
        ],
    )
    def test_any_other_step_is_a_conflict_that_says_what_to_do(
        self,
        state: str,
        allowed: set[str],
        finding: Finding,
        alice: Person,
        bob: Person,
    ) -> None:
        steps: dict[str, Callable[..., Finding]] = {
            "start": findings.start,
            "resolve": findings.resolve,
            "reopen": findings.reopen,
            "close": findings.close,
        }
        for name in ("start", "resolve", "close"):
            if finding.status == state:
                break
            finding = steps[name](
                finding,
                reason="Why.",
                actor=alice.actor if name != "close" else bob.actor,
            )
        assert finding.status == state
        for name in steps.keys() - allowed:
            with pytest.raises(ConflictError) as caught:
                steps[name](finding, reason="Why.", actor=bob.actor)
            assert caught.value.extra["next"]
        finding.refresh_from_db()
        assert finding.status == state

    @pytest.mark.parametrize("name", ["resolve", "reopen", "close"])
    def test_a_reason_is_needed(
        self, name: str, finding: Finding, alice: Person, bob: Person
    ) -> None:
        findings.start(finding, actor=alice.actor)
        if name != "resolve":
            findings.resolve(finding, reason="Done.", actor=alice.actor)
        with pytest.raises(InvalidError):
            getattr(findings, name)(finding, reason=" \n", actor=bob.actor)

    def test_an_auditor_and_a_key_change_nothing(
        self, finding: Finding, alice: Person
    ) -> None:
        auditor = factories.make_member(alice.organization, Role.AUDITOR)
        with pytest.raises(PermissionDeniedError):
            findings.start(finding, actor=auditor.actor)
        response = api_of(alice).post(f"/api/findings/{finding.pk}/start", {})
        assert response.status_code == 403
        finding.refresh_from_db()
        assert finding.status == "open"

    def test_the_database_refuses_a_closure_by_the_resolver(
        self, finding: Finding, alice: Person
    ) -> None:
        now = timezone.now()
        same = {
            "status": "closed",
            "resolved_by": alice.user,
            "resolved_at": now,
            "resolution": "x",
            "closed_at": now,
            "closing_reason": "x",
        }
        for closer in (alice.user, None):
            with (
                pytest.raises(IntegrityError, match="finding_closed_by_another"),
                transaction.atomic(),
            ):
                Finding.objects.update(**same, closed_by=closer)

    def test_the_application_cannot_delete_what_was_found_or_said(
        self, finding: Finding, alice: Person
    ) -> None:
        finding_actions.comment(finding, text="Hm.", actor=alice.actor)
        for table in ("finding", "findingcomment"):
            with (
                pytest.raises(ProgrammingError, match="permission denied"),
                transaction.atomic(),
                connection.cursor() as cursor,
            ):
                cursor.execute(f"DELETE FROM governance_{table}")


class TestAround:
    def test_a_finding_has_an_owner_and_a_due_date(
        self, finding: Finding, alice: Person, bob: Person
    ) -> None:
        assert finding.owner == alice.user
        assert finding.due_at is not None
        assert timedelta(days=6) < finding.due_at - timezone.now() < timedelta(days=7)
        due = timezone.now() + timedelta(days=3)
        findings.assign(finding, owner=bob.user, due_at=due, actor=alice.actor)
        finding.refresh_from_db()
        assert (finding.owner, finding.due_at) == (bob.user, due)
        with pytest.raises(InvalidError):
            findings.assign(finding, due_at=timezone.now(), actor=alice.actor)

    def test_one_that_worsens_is_due_sooner(self, version: ModelVersion) -> None:
        low = make_finding(version, "low")
        critical = make_finding(version, "critical")
        assert critical == low
        assert low.due_at is not None
        assert critical.due_at is not None
        assert critical.due_at < low.due_at - timedelta(days=60)

    def test_evidence_of_another_model_cannot_be_linked(
        self, finding: Finding, alice: Person
    ) -> None:
        other = factories.make_version(alice)
        mine, theirs = (
            Evidence.objects.create(
                organization=alice.organization, version=one, facts={}, digest="d"
            )
            for one in (finding.version, other)
        )
        made = finding_actions.link(finding, evidence=mine, actor=alice.actor)
        assert made.evidence == mine
        with pytest.raises(InvalidError):
            finding_actions.link(finding, evidence=theirs, actor=alice.actor)
        with pytest.raises(InvalidError):
            finding_actions.link(finding, reference=" ", actor=alice.actor)

    def test_a_remediation_is_declared_once_and_for_the_same_model(
        self, finding: Finding, alice: Person
    ) -> None:
        better = factories.make_version(alice, name="Credit", version="2.0.0")

        def declare(version: ModelVersion) -> object:
            return finding_actions.declare_remediated(
                finding, version=version, reason="Trained anew.", actor=alice.actor
            )

        declare(better)
        with pytest.raises(AlreadyExistsError):
            declare(better)
        for wrong in (finding.version, factories.make_version(alice)):
            with pytest.raises(InvalidError):
                declare(wrong)


class TestAcceptedRisk:
    @pytest.fixture
    def asked(self, finding: Finding, alice: Person) -> FindingAction:
        return finding_actions.request(
            finding,
            kind="accept_risk",
            note="The new version is due.",
            until=timezone.now() + timedelta(days=30),
            actor=alice.actor,
        )

    def test_a_second_person_accepts_it_with_their_password(
        self, asked: FindingAction, bob: Person
    ) -> None:
        now = timezone.now()
        assert list(Finding.objects.all().critical(now)) == [asked.finding]
        with pytest.raises(ReauthenticationRequiredError):
            finding_actions.decide(
                asked, done=True, reason="Small.", actor=tokenlike(bob.actor)
            )
        finding_actions.decide(asked, done=True, reason="Small.", actor=bob.actor)
        now = timezone.now()
        assert not Finding.objects.all().critical(now).exists()
        # From the date on it counts again, by itself.
        assert Finding.objects.all().critical(now + timedelta(days=31)).exists()
        with pytest.raises(ConflictError):
            finding_actions.decide(asked, done=False, reason="No.", actor=bob.actor)

    def test_who_asked_cannot_accept(self, asked: FindingAction, alice: Person) -> None:
        factories.make_member(
            alice.organization, Role.COMPLIANCE_OFFICER, user=alice.user
        )
        with pytest.raises(PermissionDeniedError, match="second person"):
            finding_actions.decide(asked, done=True, reason="x", actor=alice.actor)
        assert len(denials("finding.action_decided")) == 1

    def test_nor_can_the_database_be_told_so(
        self, asked: FindingAction, alice: Person
    ) -> None:
        with (
            pytest.raises(IntegrityError, match="accepted_by_another"),
            transaction.atomic(),
        ):
            FindingAction.objects.update(
                status="done", decided_by=alice.user, decided_at=timezone.now()
            )

    @pytest.mark.parametrize("days", [None, -1, 367])
    def test_it_has_a_date_within_a_year(
        self, days: int | None, finding: Finding, alice: Person
    ) -> None:
        until = None if days is None else timezone.now() + timedelta(days=days)
        with pytest.raises(InvalidError):
            finding_actions.request(
                finding, kind="accept_risk", note="x", until=until, actor=alice.actor
            )

    def test_its_end_is_told_once(self, asked: FindingAction, bob: Person) -> None:
        finding_actions.decide(asked, done=True, reason="Small.", actor=bob.actor)
        later = timezone.now() + timedelta(seconds=0.1)
        FindingAction.objects.update(
            requested_at=later - timedelta(days=2), until=later - timedelta(days=1)
        )
        for _ in range(2):
            finding_reminders.remind_due()
        told = Notification.objects.filter(event="finding.acceptance_ended")
        assert told.count() == 1


class TestReminders:
    def test_a_critical_one_that_nobody_begins_with_is_told_to_the_officers(
        self, finding: Finding
    ) -> None:
        assert finding_reminders.remind_due() == 0
        Finding.objects.update(opened_at=timezone.now() - timedelta(hours=25))
        assert finding_reminders.remind_due() == 1
        assert finding_reminders.remind_due() == 0
        told = Notification.objects.get(event="finding.unattended")
        assert told.payload["roles"] == ["owner", "compliance_officer"]
        assert AuditEntry.objects.filter(action="finding.unattended").count() == 1

    def test_an_overdue_one_is_told_weekly_until_it_is_closed(
        self, finding: Finding, alice: Person
    ) -> None:
        findings.start(finding, actor=alice.actor)
        now = timezone.now()
        Finding.objects.update(due_at=now - timedelta(hours=1))
        assert finding_reminders.remind_due() == 1
        assert finding_reminders.remind_due() == 0
        Finding.objects.update(reminded_at=now - timedelta(days=8))
        assert finding_reminders.remind_due() == 1
        findings.resolve(finding, reason="Done.", actor=alice.actor)
        officer = factories.make_bob(alice.organization)
        findings.close(finding, reason="Seen.", actor=officer.actor)
        Finding.objects.update(reminded_at=now - timedelta(days=8))
        assert finding_reminders.remind_due() == 0


class TestInterface:
    @pytest.fixture
    def api(self, alice: Person) -> Api:
        return signed_in(alice)

    def test_a_finding_is_worked_on_to_its_end(
        self, finding: Finding, api: Api, alice: Person, bob: Person
    ) -> None:
        path = f"/api/findings/{finding.pk}"
        assert api.post(f"{path}/start", {}).json()["status"] == "in_progress"
        commented = api.post(f"{path}/comments", {"text": "The feed broke."})
        assert commented.status_code == 201
        resolved = api.post(f"{path}/resolve", {"reason": "It is repaired."})
        assert resolved.json()["next"].startswith("Somebody else closes it")
        assert api.post(f"{path}/close", {"reason": "x"}).status_code == 403
        closed = signed_in(bob).post(f"{path}/close", {"reason": "Seen."})
        answer = closed.json()
        assert answer["status"] == "closed"
        assert answer["resolved_by"] == alice.user.email
        assert answer["closed_by"] == bob.user.email
        assert answer["comments"][0]["text"] == "The feed broke."
        assert api.post(f"{path}/start", {}).status_code == 409

    def test_a_risk_is_accepted_with_the_password(
        self, finding: Finding, api: Api, bob: Person
    ) -> None:
        path = f"/api/findings/{finding.pk}/actions"
        until = (timezone.now() + timedelta(days=9)).isoformat()
        body = {"kind": "accept_risk", "note": "Soon.", "until": until}
        asked = api.post(path, body).json()["actions"][0]
        decide = f"{path}/{asked['id']}/decide"
        officer = signed_in(bob)
        decision = {"done": True, "reason": "Small."}
        refused = officer.post(decide, decision)
        assert refused.status_code == 403
        assert refused.json()["code"] == "reauthentication_required"
        wrong = officer.post(decide, {**decision, "password": "guess"})
        assert wrong.status_code == 403
        assert AuditEntry.objects.filter(
            action="person.confirmed", outcome="failed"
        ).exists()
        right = officer.post(decide, {**decision, "password": factories.PASSWORD})
        assert right.json()["actions"][0]["status"] == "done"

    def test_guessing_passwords_is_soon_refused(
        self, finding: Finding, api: Api, bob: Person
    ) -> None:
        body = {"kind": "retrain", "note": "Soon."}
        path = f"/api/findings/{finding.pk}/actions"
        asked = api.post(path, body).json()["actions"][0]
        decision = {"done": True, "reason": "x", "password": "guess"}
        officer = signed_in(bob)
        codes = [
            officer.post(f"{path}/{asked['id']}/decide", decision).status_code
            for _ in range(11)
        ]
        assert codes == [403] * 10 + [429]

    def test_a_person_opens_one(self, version: ModelVersion, api: Api) -> None:
        body = {
            "model_id": version.model.slug,
            "title": "No owner of the data",
            "severity": "medium",
        }
        made = api.post("/api/findings", body)
        assert made.status_code == 201
        assert made.json()["model_id"] == version.model_id
        assert api.post("/api/findings", body).status_code == 201  # another one
        assert faults(api.post("/api/findings", {**body, "severity": "huge"})) == {
            "severity": "invalid_choice"
        }
        assert api.post("/api/findings", {**body, "model_id": 10**9}).status_code == 404

    def test_a_retried_report_opens_one(
        self, version: ModelVersion, alice: Person
    ) -> None:
        token = signed_in(alice).headers["Authorization"].removeprefix("Bearer ")
        api = Api(token, **{"Idempotency-Key": "a"})
        body = {"model_id": version.model_id, "title": "t", "severity": "low"}
        first, again = (api.post("/api/findings", body) for _ in range(2))
        assert first.status_code == again.status_code == 201
        assert first.json()["id"] == again.json()["id"]
        assert Finding.objects.count() == 1

    def test_the_list_is_filtered_and_paged(
        self, version: ModelVersion, finding: Finding, api: Api
    ) -> None:
        for number in range(3):
            findings.open_finding(
                version, cause=f"c{number}", severity="low", title="t", actor=None
            )
        page = api.get("/api/findings?limit=2").json()
        assert [one["cause"] for one in page["results"]] == ["c2", "c1"]
        rest = api.get(page["next"].partition("testserver")[2]).json()
        assert [one["cause"] for one in rest["results"]] == ["c0", "R1:age"]
        found = api.get(f"/api/findings?severity=critical&model={version.model.slug}")
        assert [one["id"] for one in found.json()["results"]] == [finding.pk]
        assert api.get("/api/findings?model=missing").json()["results"] == []
        assert api.get("/api/findings?severity=huge").status_code == 422
        assert api.get("/api/findings?colour=red").status_code == 422
        assert api.get("/api/findings?cursor=x").status_code == 422

    def test_a_stranger_finds_nothing(self, finding: Finding, bob: Person) -> None:
        charlie = signed_in(factories.make_charlie())
        assert charlie.get("/api/findings").json()["results"] == []
        theirs = charlie.get(f"/api/findings/{finding.pk}")
        missing = charlie.get("/api/findings/999999")
        assert theirs.status_code == missing.status_code == 404
        change = charlie.post(f"/api/findings/{finding.pk}/close", {"reason": "x"})
        assert change.status_code == 404


def test_twenty_closures_at_once_have_one_outcome(cloned_db: str) -> None:
    alice = factories.make_alice()
    officers = [factories.make_bob(alice.organization) for _ in range(20)]
    finding = make_finding(factories.make_version(alice))
    findings.start(finding, actor=alice.actor)
    findings.resolve(finding, reason="Done.", actor=alice.actor)
    actors = [officer.actor for officer in officers]
    started = threading.Barrier(20)

    def work(place: int) -> str:
        try:
            started.wait()
            findings.close(
                Finding.objects.get(pk=finding.pk),
                reason=f"By {place}",
                actor=actors[place],
            )
        except GovernanceError as error:
            return error.code
        finally:
            connection.close()
        return "closed"

    with ThreadPoolExecutor(20) as pool:
        outcomes = sorted(pool.map(work, range(20)))
    assert outcomes == ["closed"] + ["conflict"] * 19
    assert AuditEntry.objects.filter(action="finding.closed").count() == 1
    assert FindingComment.objects.count() == 0
