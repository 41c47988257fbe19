"""Deployments and overrides through the interface, from outside."""

from datetime import timedelta

import pytest
from django.utils import timezone

from governance.actions import deployments, findings
from governance.models import (
    AuditEntry,
    Deployment,
    Membership,
    ModelVersion,
    Override,
)
from tests import factories
from tests.factories import PASSWORD, Person
from tests.governance import policies
from tests.governance.api import Api, api_of, faults, signed_in
from tests.governance.deploying import (
    REASON,
    fresh,
    make_approved,
    make_ready,
    measure,
    move,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice() -> Person:
    return factories.make_alice()


@pytest.fixture
def bob(alice: Person) -> Person:
    return factories.make_bob(alice.organization)


@pytest.fixture
def version(alice: Person, bob: Person) -> ModelVersion:
    return make_approved(alice)


@pytest.fixture
def api(alice: Person) -> Api:
    return signed_in(alice)


@pytest.fixture
def officer(bob: Person) -> Api:
    return signed_in(bob)


def address(version: ModelVersion, deed: str) -> str:
    return f"/api/models/{version.model.slug}/{deed}"


class TestDeploy:
    def test_the_gate_answers_with_every_rule(
        self, api: Api, version: ModelVersion
    ) -> None:
        response = api.post(address(version, "deploy"), {"override": False})
        assert response.status_code == 200
        answer = response.json()
        assert answer["deployment_status"] == "deployed"
        assert answer["gate"]["result"] == "ALLOW"
        assert answer["deployment_id"] == Deployment.objects.get().pk
        assert answer["version"] == "1.0.0"
        assert answer["fallback"]["kind"] == "manual_review"
        again = api.post(address(version, "deploy"), {})
        assert again.status_code == 409
        assert again.json()["deployment_id"] == answer["deployment_id"]

    def test_without_a_version_the_newest_approved_is_meant(
        self, api: Api, version: ModelVersion, alice: Person
    ) -> None:
        api.post(address(version, "deploy"), {})
        make_approved(alice, version="2.0.0")
        make_ready(alice, version="3.0.0")
        assert api.post(address(version, "deploy"), {}).json()["version"] == "2.0.0"

    def test_a_dry_run_answers_the_same_and_does_nothing(
        self, api: Api, version: ModelVersion, alice: Person
    ) -> None:
        path = address(version, "deploy") + "?dry_run=true"
        allowed = api.post(path, {})
        assert allowed.status_code == 200
        assert allowed.json()["gate"]["result"] == "ALLOW"
        closed = make_ready(alice, name="Closed")
        refused = api.post(address(closed, "deploy") + "?dry_run=true", {})
        real = api.post(address(closed, "deploy"), {})
        assert refused.status_code == real.status_code == 409
        for answer in (refused.json(), real.json()):
            assert answer["code"] == "approval_required"
            assert answer["next"]
        assert not Deployment.objects.exists()
        soft = measure(version, ratio=0.5)
        asked = api.post(path, {"override": True, "version": soft.version})
        assert asked.status_code == 202
        assert asked.json()["override_id"] is None
        assert not Override.objects.exists()

    def test_a_pipeline_that_may_only_read_asks_the_gate(
        self, version: ModelVersion, alice: Person
    ) -> None:
        path = address(version, "deploy")
        pipeline = api_of(alice, scopes=["governance:read"])
        answer = pipeline.post(path + "?dry_run=true", {})
        assert answer.status_code == 200
        assert answer.json()["gate"]["result"] == "ALLOW"
        for query in ("", "?dry_run=false", "?dry_run=yes"):
            assert pipeline.post(path + query, {}).status_code == 403
        stranger = api_of(alice, scopes=["models:read"])
        assert stranger.post(path + "?dry_run=true", {}).status_code == 403
        assert not Deployment.objects.exists()

    def test_a_key_deploys_with_its_scope(
        self, version: ModelVersion, alice: Person
    ) -> None:
        reader = api_of(alice, scopes=["governance:read", "models:write"])
        assert reader.post(address(version, "deploy"), {}).status_code == 403
        key = api_of(alice, scopes=["governance:write"])
        answer = key.post(address(version, "deploy"), {})
        assert answer.status_code == 200
        made = Deployment.objects.get()
        assert made.requested_with is not None
        assert made.requested_by == alice.user

    def test_a_retried_deployment_is_done_once(
        self, version: ModelVersion, alice: Person
    ) -> None:
        _, text = factories.make_api_key(alice)
        api = Api(text, **{"Idempotency-Key": "a"})
        first, again = (api.post(address(version, "deploy"), {}) for _ in range(2))
        assert first.json() == again.json()
        assert Deployment.objects.count() == 1

    def test_a_refusal_stands_in_the_trail_also_with_a_key_against_retries(
        self, alice: Person
    ) -> None:
        version = make_ready(alice)
        _, text = factories.make_api_key(alice)
        api = Api(text, **{"Idempotency-Key": "a"})
        assert api.post(address(version, "deploy"), {}).status_code == 409
        entry = AuditEntry.objects.get(action="deployment.requested")
        assert entry.outcome == "denied"

    @pytest.mark.parametrize(
        ("fallback", "where"),
        [
            ({"kind": "prayer"}, "fallback.kind"),
            ({"kind": "fixed_rule"}, "fallback.text"),
            ({"kind": "previous_version"}, "fallback.version"),
            ({"kind": "previous_version", "version": "9"}, "fallback.version"),
            ({"kind": "manual_review", "more": 1}, "fallback.more"),
        ],
    )
    def test_a_fallback_that_cannot_serve_is_named(
        self, fallback: dict, where: str, api: Api, version: ModelVersion
    ) -> None:
        response = api.post(address(version, "deploy"), {"fallback": fallback})
        assert response.status_code == 422
        assert list(faults(response)) == [where]


class TestOverridePath:
    @pytest.fixture
    def version(self, alice: Person, bob: Person) -> ModelVersion:
        return measure(make_approved(alice), ratio=0.5)

    def test_from_the_closed_gate_to_a_deployment_under_an_override(
        self, api: Api, officer: Api, version: ModelVersion
    ) -> None:
        path = address(version, "deploy")
        closed = api.post(path, {}).json()
        assert closed["code"] == "gate_closed"
        assert "override" in closed["next"][-1]
        asked = api.post(path, {"override": True, "justification": REASON})
        assert asked.status_code == 202
        pk = asked.json()["override_id"]
        # Asked again it is the same request, not another one.
        assert api.post(path, {"override": True}).json()["override_id"] == pk
        override = f"/api/overrides/{pk}"
        shown = api.get(override).json()
        assert (shown["status"], shown["rules"]) == ("proposed", ["R7"])
        assert shown["gate"]["result"] == "DENY"
        grant = {"reason": "Small exposure.", "password": PASSWORD}
        assert api.post(f"{override}/approve", grant).status_code == 403
        assert officer.post(f"{override}/review", {}).json()["status"] == (
            "under_review"
        )
        wrong = officer.post(f"{override}/approve", {**grant, "password": "guess"})
        assert wrong.status_code == 403
        assert faults(officer.post(f"{override}/approve", {"reason": "x"})) == {
            "password": "required"
        }
        granted = officer.post(f"{override}/approve", grant)
        assert granted.json()["status"] == "active"
        made = api.post(path, {"override": True}).json()
        assert made["gate"]["result"] == "ALLOW_BY_OVERRIDE"
        assert made["override_id"] == pk
        rows = api.get(f"/api/deployments?override_id={pk}").json()["results"]
        assert [row["deployment_id"] for row in rows] == [made["deployment_id"]]
        revoked = officer.post(f"{override}/revoke", {"reason": "A complaint."})
        assert revoked.json()["status"] == "revoked"
        assert fresh(version).status == "suspended"

    def test_without_a_justification_whoever_grants_it_has_to_say_why(
        self, api: Api, officer: Api, version: ModelVersion
    ) -> None:
        asked = api.post(address(version, "deploy"), {"override": True}).json()
        override = f"/api/overrides/{asked['override_id']}"
        assert api.get(override).json()["is_justified"] is False
        short = officer.post(
            f"{override}/approve", {"reason": "OK", "password": PASSWORD}
        )
        assert faults(short) == {"reason": "too_short"}
        long = officer.post(
            f"{override}/approve", {"reason": REASON, "password": PASSWORD}
        )
        assert long.json()["status"] == "active"

    def test_no_override_passes_a_hard_rule(
        self, api: Api, version: ModelVersion
    ) -> None:
        measure(version, drift=0.9)
        findings_of = version.findings.filter(severity="critical")
        assert findings_of.exists()
        policies.publish(
            version.organization,
            gate={"rules": {"critical_findings": "hard", "index": "hard"}},
        )
        response = api.post(address(version, "deploy"), {"override": True})
        # R7 doesn't hold either, and is soft: the other steps are named as well.
        assert response.status_code in {202, 409}
        hard = [
            rule["rule"]
            for rule in response.json()["gate"]["rules"]
            if not rule["passed"] and rule["level"] == "hard"
        ]
        assert {"R1", "critical_findings"} <= set(hard)
        assert len(response.json()["next"]) > 1

    def test_only_hard_rules_leave_nothing_to_ask_for(
        self, api: Api, alice: Person
    ) -> None:
        version = make_ready(alice, name="Not approved")
        response = api.post(address(version, "deploy"), {"override": True})
        assert response.status_code == 409
        assert not Override.objects.exists()

    def test_it_is_asked_for_directly_too(
        self, api: Api, version: ModelVersion
    ) -> None:
        body = {
            "model_id": version.model.slug,
            "rules": ["R7"],
            "justification": REASON,
            "expires_at": (timezone.now() + timedelta(hours=5)).isoformat(),
        }
        made = api.post("/api/overrides", body)
        assert made.status_code == 201
        assert made.json()["next"].startswith("Somebody else")
        assert api.post("/api/overrides", body).status_code == 409
        for change, where in (
            ({"rules": ["R1"]}, "rules.0"),
            ({"rules": []}, "rules"),
            ({"justification": "Short."}, "justification"),
            ({"expires_at": "2099-01-01T00:00:00Z"}, "expires_at"),
        ):
            response = api.post("/api/overrides", {**body, **change})
            assert response.status_code == 422
            assert list(faults(response)) == [where]
        without = {name: body[name] for name in body if name != "expires_at"}
        assert faults(api.post("/api/overrides", without)) == {"expires_at": "required"}

    def test_what_is_active_is_extended_by_a_new_review_only(
        self, api: Api, officer: Api, version: ModelVersion
    ) -> None:
        asked = api.post(
            address(version, "deploy"), {"override": True, "justification": REASON}
        )
        override = f"/api/overrides/{asked.json()['override_id']}"
        officer.post(f"{override}/approve", {"reason": "Fine.", "password": PASSWORD})
        change = {
            "justification": REASON,
            "expires_at": (timezone.now() + timedelta(hours=70)).isoformat(),
        }
        assert api.patch(override, change).status_code == 409
        second = api.post(f"{override}/extend", change)
        assert second.status_code == 201
        assert second.json()["status"] == "proposed"
        assert api.get("/api/overrides?status=active").json()["results"][0]["in_force"]
        metrics = api.get("/api/overrides/metrics").json()
        assert (metrics["active"], metrics["awaiting"]) == (1, 1)

    def test_a_rejected_one_is_proposed_again(
        self, api: Api, officer: Api, version: ModelVersion
    ) -> None:
        asked = api.post(address(version, "deploy"), {"override": True}).json()
        override = f"/api/overrides/{asked['override_id']}"
        rejected = officer.post(f"{override}/reject", {"reason": "Why now?"}).json()
        assert (rejected["status"], rejected["decision"]) == ("rejected", "Why now?")
        again = api.patch(override, {"justification": REASON}).json()
        assert (again["status"], again["is_justified"]) == ("proposed", True)

    def test_a_stranger_sees_and_changes_nothing(
        self, api: Api, version: ModelVersion
    ) -> None:
        asked = api.post(address(version, "deploy"), {"override": True}).json()
        charlie = signed_in(factories.make_charlie())
        for path, body in (
            ("approve", {"reason": REASON, "password": PASSWORD}),
            ("review", {}),
            ("reject", {"reason": "x"}),
            ("revoke", {"reason": "x"}),
        ):
            theirs = charlie.post(f"/api/overrides/{asked['override_id']}/{path}", body)
            missing = charlie.post(f"/api/overrides/999999/{path}", body)
            assert theirs.status_code == missing.status_code == 404
        assert charlie.get("/api/overrides").json()["results"] == []
        assert charlie.get("/api/overrides/metrics").json()["awaiting"] == 0


class TestLife:
    def test_suspend_resume_roll_back(
        self, api: Api, officer: Api, version: ModelVersion, alice: Person
    ) -> None:
        api.post(address(version, "deploy"), {})
        make_approved(alice, version="2.0.0")
        api.post(address(version, "deploy"), {"version": "2.0.0"})
        stopped = officer.post(address(version, "suspend"), {"reason": "A complaint."})
        assert stopped.json()["deployment_status"] == "suspended"
        assert stopped.json()["suspended_by"].startswith("bob")
        assert faults(officer.post(address(version, "suspend"), {})) == {
            "reason": "required"
        }
        assert officer.post(address(version, "resume"), {}).status_code == 403
        resumed = api.post(address(version, "resume"), {"reason": "Unfounded."})
        assert resumed.json()["kind"] == "resume"
        assert api.post(address(version, "resume"), {}).status_code == 409
        back = api.post(address(version, "rollback"), {"reason": "It refuses all."})
        assert (back.json()["version"], back.json()["kind"]) == ("1.0.0", "rollback")
        ends = [
            row["end"]
            for row in api.get(address(version, "deployments")).json()["results"]
        ]
        assert ends == ["", "replaced", "resumed", "replaced"]

    def test_a_rollback_needs_something_to_go_back_to(
        self, api: Api, version: ModelVersion
    ) -> None:
        body = {"reason": "x"}
        assert api.post(address(version, "rollback"), body).status_code == 409
        api.post(address(version, "deploy"), {})
        assert api.post(address(version, "rollback"), body).status_code == 409

    def test_break_glass_and_its_ratification(
        self, api: Api, officer: Api, version: ModelVersion, alice: Person
    ) -> None:
        body = {
            "version": "2.0.0",
            "reason": "1.0.0 crashes on every third request.",
            "password": PASSWORD,
        }
        make_ready(alice, version="2.0.0")
        path = address(version, "break-glass")
        forbidden = api.post(path, body)
        assert forbidden.status_code == 409
        assert "policy" in forbidden.json()["detail"]
        policies.publish(alice.organization, break_glass={"allowed": True})
        assert api.post(path, {**body, "password": "guess"}).status_code == 403
        assert list(faults(api.post(path, {**body, "hours": 9}))) == ["hours"]
        made = api.post(path, body).json()
        assert made["kind"] == "break_glass"
        ratify = f"/api/deployments/{made['deployment_id']}/ratify"
        word = {"agrees": True, "reason": "Seen.", "password": PASSWORD}
        assert api.post(ratify, word).status_code == 403
        assert officer.post(ratify, word).json()["ratified_by"].startswith("bob")

    def test_intake_in_bulk(self, api: Api, alice: Person) -> None:
        names = [make_ready(alice, name=f"M{n}").model.slug for n in range(3)]
        body = {
            "items": [{"model_id": name} for name in names],
            "reason": "Were in production before.",
        }
        unknown = {**body, "items": [*body["items"], {"model_id": "missing"}]}
        assert api.post("/api/deployments/intake", unknown).status_code == 404
        made = api.post("/api/deployments/intake", body)
        assert made.status_code == 201
        assert [row["model"] for row in made.json()] == names
        assert {row["kind"] for row in made.json()} == {"intake"}
        assert api.post("/api/deployments/intake", body).status_code == 409
        assert faults(api.post("/api/deployments/intake", {"reason": "x"})) == {
            "items": "required"
        }

    def test_what_was_in_production_on_a_day(
        self, api: Api, version: ModelVersion, alice: Person
    ) -> None:
        first = deployments.deploy(version, environment="production", actor=alice.actor)
        second = deployments.deploy(
            make_approved(alice, version="2.0.0"),
            environment="production",
            actor=alice.actor,
        )
        noon = timezone.now().replace(hour=12, minute=0) - timedelta(days=10)
        move(first, started_at=noon, ended_at=noon + timedelta(days=2))
        move(second, started_at=noon + timedelta(days=2))

        def on(moment: str) -> list[str]:
            rows = api.get(f"{address(version, 'deployments')}?on={moment}").json()
            return [row["version"] for row in rows["results"]]

        assert on(f"{noon - timedelta(days=1):%Y-%m-%d}") == []
        assert on(f"{noon:%Y-%m-%d}") == ["1.0.0"]
        assert on(f"{noon + timedelta(days=2):%Y-%m-%d}") == ["2.0.0", "1.0.0"]
        assert on((noon + timedelta(days=2, seconds=-1)).isoformat()) == ["1.0.0"]
        assert on((noon + timedelta(days=2)).isoformat()) == ["2.0.0"]
        assert on(f"{timezone.now():%Y-%m-%d}") == ["2.0.0"]
        for wrong in ("yesterday", "2025-13-01", "2099-01-01", "1e9"):
            path = f"{address(version, 'deployments')}?on={wrong}"
            assert api.get(path).status_code == 422

    def test_environments_show_their_mode(
        self, api: Api, version: ModelVersion, alice: Person
    ) -> None:
        policies.publish(alice.organization, environments={"staging": {"mode": "warn"}})
        other = make_ready(alice, name="Other")
        api.post(address(other, "deploy"), {"environment": "staging"})
        found = {row["name"]: row for row in api.get("/api/environments").json()}
        assert found["production"]["mode"] == "prevent"
        assert found["staging"]["mode"] == "warn"
        assert found["staging"]["would_have_been_blocked"] == 1
        assert api.get("/api/environments/staging").json() == found["staging"]
        assert api.get("/api/environments/moon").status_code == 404

    def test_an_auditor_reads_and_changes_nothing(
        self, version: ModelVersion, alice: Person, api: Api
    ) -> None:
        api.post(address(version, "deploy"), {})
        auditor = signed_in(
            factories.make_member(alice.organization, Membership.Role.AUDITOR)
        )
        for path in (
            "/api/deployments",
            "/api/overrides",
            "/api/findings",
            "/api/environments",
            address(version, "deployments"),
        ):
            assert auditor.get(path).status_code == 200, path
        for deed in ("deploy", "rollback", "suspend", "resume"):
            body = {"reason": "x"}
            response = auditor.post(address(version, deed), body)
            assert response.status_code == 403, deed
        assert Deployment.objects.get().is_live


def test_the_stranger_finds_no_deployment(version: ModelVersion, api: Api) -> None:
    made = api.post(address(version, "deploy"), {}).json()
    charlie = signed_in(factories.make_charlie())
    assert charlie.get("/api/deployments").json()["results"] == []
    theirs = charlie.get(f"/api/deployments/{made['deployment_id']}")
    assert theirs.status_code == 404
    for deed in ("deploy", "suspend", "resume", "rollback", "break-glass"):
        response = charlie.post(address(version, deed), {"reason": "x"})
        assert response.status_code == 404


def test_findings_of_the_deployed_version_are_listed_by_model(
    version: ModelVersion, api: Api
) -> None:
    findings.open_finding(version, cause="c", severity="low", title="t", actor=None)
    path = f"/api/findings?model={version.model_id}"
    assert len(api.get(path).json()["results"]) == 1
