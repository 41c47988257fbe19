"""Approvals and delegations through the interface, from outside."""

import json
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from governance.actions import authority, registry
from governance.models import (
    ApprovalRequest,
    ApprovalVote,
    AuditEntry,
    Delegation,
    Membership,
    ModelVersion,
)
from tests import factories
from tests.factories import PASSWORD, Person
from tests.governance import policies
from tests.governance.api import Api, api_of, faults, signed_in
from tests.governance.deploying import make_ready, measure

pytestmark = pytest.mark.django_db
OFFICER = Membership.Role.COMPLIANCE_OFFICER
APPROVE = {"decision": "approve", "password": PASSWORD}


@pytest.fixture
def alice() -> Person:
    return factories.make_alice()


@pytest.fixture
def bob(alice: Person) -> Person:
    return factories.make_bob(alice.organization)


@pytest.fixture
def version(alice: Person, bob: Person) -> ModelVersion:
    return make_ready(alice)


@pytest.fixture
def api(alice: Person) -> Api:
    return signed_in(alice)


@pytest.fixture
def officer(bob: Person) -> Api:
    return signed_in(bob)


def ask(api: Api, version: ModelVersion, **fields: Any) -> dict[str, Any]:
    answer = api.post(
        "/api/approvals",
        {"model_id": version.model.slug, "version": version.version, **fields},
    )
    assert answer.status_code == 201, answer.content
    made: dict[str, Any] = answer.json()
    return made


def address(request: dict[str, Any], deed: str = "") -> str:
    return f"/api/approvals/{request['id']}{deed and '/' + deed}"


def denials(person: Person, action: str) -> list[dict[str, Any]]:
    rows = AuditEntry.objects.for_organization(person.organization).filter(
        action=action, outcome="denied"
    )
    return [json.loads(bytes(one.body)) for one in rows.order_by("seq")]


class TestAsk:
    def test_the_answer_shows_what_is_bound_and_who_decides(
        self, api: Api, version: ModelVersion, bob: Person
    ) -> None:
        version = measure(version)
        made = ask(api, version, reason="The autumn's data")
        row = ApprovalRequest.objects.get()
        assert made == api.get(address(made)).json()
        assert (made["kind"], made["status"]) == ("deploy", "pending")
        assert made["digest"] == row.digest
        assert made["subject"]["version"]["version"] == "1.0.0"
        assert made["evidence"]["id"] == version.assessment.evidence_id
        assert made["policy"]["version"] == 1
        [stage] = made["stages"]
        assert stage["approvers"] == [
            {"email": bob.user.email, "role": OFFICER, "has_voted": False}
        ]
        assert (stage["quorum"], stage["counted"]) == (1, 0)
        assert stage["due_at"] == made["due_at"] > made["submitted_at"]
        assert (made["open_stage"], made["is_overdue"]) == (1, False)
        assert (made["is_stale"], made["difference"]) == (False, [])
        assert "0 of the votes are there" in made["next"]

    def test_of_an_older_version_with_chosen_evidence(
        self, api: Api, version: ModelVersion, alice: Person
    ) -> None:
        evidence = measure(version).assessment.evidence_id
        make_ready(alice, version="2.0.0")
        measure(version)
        made = ask(api, version, evidence_id=evidence)
        assert (made["version"], made["evidence"]["id"]) == ("1.0.0", evidence)
        other = make_ready(alice, name="Other")
        body = {"model_id": other.model_id, "evidence_id": evidence}
        wrong = api.post("/api/approvals", body)
        assert faults(wrong) == {"evidence_id": "other_version"}
        unknown = api.post("/api/approvals", {**body, "evidence_id": 10**9})
        assert faults(unknown) == {"evidence_id": "unknown"}

    def test_a_second_one_is_refused_and_named(
        self, api: Api, version: ModelVersion
    ) -> None:
        made = ask(api, version)
        again = api.post("/api/approvals", {"model_id": version.model_id})
        assert (again.status_code, again.json()["code"]) == (409, "already_exists")
        assert again.json()["request"] == made["id"]

    def test_a_retried_one_is_made_once(
        self, version: ModelVersion, alice: Person
    ) -> None:
        _, text = factories.make_api_key(alice)
        key = Api(text, **{"Idempotency-Key": "a"})
        body = {"model_id": version.model_id}
        first, again = (key.post("/api/approvals", body) for _ in range(2))
        assert (first.status_code, first.json()) == (201, again.json())
        assert ApprovalRequest.objects.count() == 1

    def test_the_refused_change_names_the_request_to_make(
        self, api: Api, officer: Api, version: ModelVersion
    ) -> None:
        factories.approve(version)
        refused = api.patch(f"/api/models/{version.model_id}", {"risk_tier": "low"})
        assert (refused.status_code, refused.json()["code"]) == (
            409,
            "approval_required",
        )
        wanted = {**refused.json()["change_request"], "reason": "Used inside only"}
        made = api.post("/api/approvals", wanted).json()
        assert (made["kind"], made["proposal"]) == ("change", {"risk_tier": "low"})
        voted = officer.post(address(made, "vote"), APPROVE)
        assert (voted.status_code, voted.json()["status"]) == (200, "applied")
        version.model.refresh_from_db()
        assert version.model.risk_tier == "low"

    def test_a_retirement(self, api: Api, officer: Api, version: ModelVersion) -> None:
        made = ask(
            api, version, kind="change", changes={"risk_tier": "low"}, reason="x"
        )
        api.post(address(made, "withdraw"), {})
        body = {"kind": "retire", "model_id": version.model_id, "reason": "Replaced"}
        made = api.post("/api/approvals", body).json()
        assert officer.post(address(made, "vote"), APPROVE).status_code == 200
        version.model.refresh_from_db()
        assert version.model.retired_at is not None
        gone = api.post("/api/approvals", body)
        assert gone.status_code == 409

    def test_what_doesnt_belong_together_is_named(
        self, api: Api, version: ModelVersion
    ) -> None:
        def post(**body: Any) -> dict[str, str]:
            answer = api.post("/api/approvals", {"model_id": version.model_id, **body})
            assert answer.status_code == 422
            return faults(answer)

        assert post(changes={"risk_tier": "low"}) == {"changes": "misplaced"}
        assert post(kind="retire", version="1.0.0", evidence_id=1) == {
            "version": "misplaced",
            "evidence_id": "misplaced",
        }
        assert post(kind="policy") == {"kind": "invalid_choice"}
        assert post(kind="change", reason="x") == {"changes": "missing"}
        assert post(kind="retire") == {"reason": "missing"}
        assert post(version="9.9.9") == {"version": "unknown_version"}
        assert post(barred=[]) == {"barred": "unknown_field"}

    def test_without_anybody_who_may_vote_it_is_refused(self, alice: Person) -> None:
        version = make_ready(alice)
        api = signed_in(alice)
        answer = api.post("/api/approvals", {"model_id": version.model_id})
        assert (answer.status_code, answer.json()["code"]) == (
            409,
            "quorum_unreachable",
        )

    def test_who_votes_doesnt_ask(self, officer: Api, version: ModelVersion) -> None:
        answer = officer.post("/api/approvals", {"model_id": version.model_id})
        assert answer.status_code == 403
        assert not ApprovalRequest.objects.exists()


class TestVote:
    def test_the_last_one_applies_it(
        self, api: Api, officer: Api, version: ModelVersion, bob: Person
    ) -> None:
        made = ask(api, version)
        voted = officer.post(address(made, "vote"), {**APPROVE, "reason": "Good"})
        assert voted.status_code == 200
        answer = voted.json()
        assert (answer["status"], answer["next"]) == ("applied", "It is done.")
        assert (answer["open_stage"], answer["due_at"]) == (None, None)
        [vote] = answer["votes"]
        assert (vote["voter"], vote["proof"]) == (bob.user.email, "password")
        assert (vote["decision"], vote["on_behalf_of"]) == ("approve", None)
        assert answer["stages"][0]["counted"] == 1
        assert answer["stages"][0]["approvers"][0]["has_voted"]
        version.refresh_from_db()
        assert version.status == ModelVersion.Status.APPROVED

    def test_a_token_alone_approves_nothing(
        self, api: Api, officer: Api, version: ModelVersion, bob: Person
    ) -> None:
        made = ask(api, version)
        answer = officer.post(address(made, "vote"), {"decision": "approve"})
        assert answer.status_code == 403
        assert answer.json()["code"] == "reauthentication_required"
        [entry] = denials(bob, "approval.voted")
        assert entry["actor"]["label"] == bob.user.email
        assert entry["auth"]["method"] == "token"
        assert entry["approval_id"] == made["id"]
        assert not ApprovalVote.objects.exists()

    def test_a_wrong_password_is_refused_remembered_and_limited(
        self, api: Api, officer: Api, version: ModelVersion, bob: Person
    ) -> None:
        made = ask(api, version)
        wrong = {"decision": "approve", "password": "not the passphrase"}
        attempts, _ = authority.CONFIRMATIONS
        for _ in range(attempts):
            answer = officer.post(address(made, "vote"), wrong)
            assert answer.status_code == 403
            assert answer.json()["code"] == "reauthentication_required"
        failures = AuditEntry.objects.filter(
            action="person.confirmed", outcome="failed"
        )
        assert failures.count() == attempts
        tried = {one.object_label for one in failures}
        assert tried == {f"/api/approvals/{made['id']}/vote"}
        limited = officer.post(address(made, "vote"), APPROVE)
        assert (limited.status_code, limited.json()["code"]) == (429, "throttled")
        assert int(limited["Retry-After"]) > 0
        bulk = {**APPROVE, "ids": [made["id"]], "reason": "x"}
        assert officer.post("/api/approvals/decide", bulk).status_code == 429
        assert not ApprovalVote.objects.exists()

    def test_a_key_never_votes_and_the_trail_knows_that_it_tried(
        self, api: Api, version: ModelVersion, bob: Person
    ) -> None:
        made = ask(api, version)
        key = api_of(bob)
        for body in (APPROVE, {"decision": "reject", "reason": "No"}):
            answer = key.post(address(made, "vote"), body)
            assert (answer.status_code, answer.json()["code"]) == (
                403,
                "permission_denied",
            )
        bulk = {**APPROVE, "ids": [made["id"]], "reason": "x"}
        [result] = key.post("/api/approvals/decide", bulk).json()["results"]
        assert result["outcome"] == "permission_denied"
        found = denials(bob, "approval.voted")
        assert [one["actor"]["type"] for one in found] == ["api_key"] * 3
        assert {one["reason"] for one in found} == {"needs a person"}
        assert not ApprovalVote.objects.exists()

    def test_four_eyes(self, alice: Person, bob: Person) -> None:
        factories.make_member(alice.organization, OFFICER, alice.user)
        version = make_ready(alice)
        own = signed_in(alice)
        made = ask(own, version)
        answer = own.post(address(made, "vote"), APPROVE)
        assert answer.status_code == 403
        # Neither by a key of one's own, nor with somebody who asks in one's place.
        made = ask(own, make_ready(alice, name="Other"))
        assert api_of(alice).post(address(made, "vote"), APPROVE).status_code == 403
        assert len(denials(alice, "approval.voted")) == 2
        factories.make_bob(alice.organization)
        asked = ask(api_of(bob), make_ready(alice, name="Third"))
        assert signed_in(bob).post(address(asked, "vote"), APPROVE).status_code == 403

    def test_who_may_not_vote_is_refused(
        self, api: Api, version: ModelVersion, alice: Person
    ) -> None:
        made = ask(api, version)
        validator = factories.make_member(alice.organization, Membership.Role.VALIDATOR)
        answer = signed_in(validator).post(address(made, "vote"), APPROVE)
        assert answer.status_code == 403
        auditor = factories.make_member(alice.organization, Membership.Role.AUDITOR)
        answer = signed_in(auditor).post(address(made, "vote"), APPROVE)
        assert answer.status_code == 403
        assert len(denials(alice, "api.called")) == 1

    @pytest.mark.parametrize(
        ("decision", "status"),
        [("reject", "rejected"), ("changes_requested", "changes_requested")],
    )
    def test_a_refusal_needs_a_reason_and_ends_it(
        self, api: Api, officer: Api, version: ModelVersion, decision: str, status: str
    ) -> None:
        made = ask(api, version)
        silent = officer.post(address(made, "vote"), {"decision": decision})
        assert faults(silent) == {"reason": "missing"}
        body = {"decision": decision, "reason": "The slices are too small"}
        ended = officer.post(address(made, "vote"), body).json()
        assert (ended["status"], ended["outcome"]) == (status, body["reason"])
        late = officer.post(address(made, "vote"), APPROVE)
        assert (late.status_code, late.json()["code"]) == (409, "already_decided")
        assert ask(api, version)["status"] == "pending"

    def test_what_has_changed_is_shown_and_voted_on_no_more(
        self, api: Api, officer: Api, version: ModelVersion, alice: Person
    ) -> None:
        made = ask(api, version)
        registry.update(version.model, changes={"risk_tier": "low"}, actor=alice.actor)
        shown = api.get(address(made)).json()
        wanted = {"path": "model.risk_tier", "before": "high", "after": "low"}
        assert shown["is_stale"]
        assert wanted in shown["difference"]
        refused = officer.post(address(made, "vote"), APPROVE)
        assert refused.status_code == 409
        after = api.get(address(made)).json()
        assert (after["status"], after["is_stale"]) == ("stale", True)
        assert wanted in after["difference"]
        assert not ApprovalVote.objects.exists()

    def test_two_stages_take_two_people(
        self, api: Api, officer: Api, alice: Person, bob: Person
    ) -> None:
        policies.publish(
            alice.organization,
            stages=[{"role": OFFICER, "quorum": 2}, {"role": "validator"}],
        )
        second = factories.make_member(alice.organization, OFFICER)
        validator = factories.make_member(alice.organization, Membership.Role.VALIDATOR)
        made = ask(api, make_ready(alice))
        first = officer.post(address(made, "vote"), APPROVE).json()
        assert (first["status"], first["open_stage"]) == ("pending", 1)
        assert "1 of the votes is there" in first["next"]
        again = officer.post(address(made, "vote"), APPROVE)
        assert (again.status_code, again.json()["code"]) == (409, "conflict")
        then = signed_in(second).post(address(made, "vote"), APPROVE).json()
        assert then["open_stage"] == 2
        last = signed_in(validator).post(address(made, "vote"), APPROVE).json()
        assert last["status"] == "applied"
        assert [one["stage"] for one in last["votes"]] == [1, 1, 2]


class TestList:
    def test_is_filtered(
        self, api: Api, officer: Api, alice: Person, version: ModelVersion
    ) -> None:
        one = ask(api, version)
        other = ask(api, make_ready(alice, name="Other"))
        officer.post(address(other, "vote"), {"decision": "reject", "reason": "No"})
        tomorrow = (timezone.now() + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")

        def found(query: str, by: Api = api) -> list[int]:
            answer = by.get(f"/api/approvals?{query}")
            assert answer.status_code == 200, answer.content
            return [row["id"] for row in answer.json()["results"]]

        assert found("") == [other["id"], one["id"]]
        assert found("status=rejected") == [other["id"]]
        assert found("status=rejected&status=pending") == [other["id"], one["id"]]
        assert found(f"model={version.model.slug}") == [one["id"]]
        assert found(f"model={version.model_id}&version=1.0.0") == [one["id"]]
        assert found("kind=change") == []
        assert found("mine=true") == [other["id"], one["id"]]
        assert found("mine=true", officer) == []
        assert found("waiting_for_me=true") == []
        assert found("waiting_for_me=true", officer) == [one["id"]]
        assert found(f"since={tomorrow}") == []
        assert found(f"until={tomorrow}") == [other["id"], one["id"]]
        for wrong in ("status=open", "mine=yes", "since=soon", "state=pending"):
            assert api.get(f"/api/approvals?{wrong}").status_code == 422, wrong

    def test_costs_the_same_for_one_and_for_many(
        self,
        api: Api,
        alice: Person,
        bob: Person,
        django_assert_max_num_queries: Any,
    ) -> None:
        for number in range(4):
            ask(api, make_ready(alice, name=f"Model {number}"))
        api.get("/api/approvals")
        with django_assert_max_num_queries(2):
            assert len(api.get("/api/approvals").json()["results"]) == 4


class TestWithdraw:
    def test_by_who_asked_only(
        self, api: Api, officer: Api, version: ModelVersion, alice: Person
    ) -> None:
        made = ask(api, version)
        assert officer.post(address(made, "withdraw"), {}).status_code == 403
        assert len(denials(alice, "approval.withdrawn")) == 1
        taken = api.post(address(made, "withdraw"), {"reason": "2.1.1 comes"})
        assert (taken.json()["status"], taken.json()["outcome"]) == (
            "withdrawn",
            "2.1.1 comes",
        )
        assert api.post(address(made, "withdraw"), {}).status_code == 409


class TestDiscussion:
    def test_is_shown_with_the_request_and_is_no_vote(
        self, api: Api, officer: Api, version: ModelVersion, bob: Person
    ) -> None:
        made = ask(api, version)
        body = {"text": "Which months are in it?"}
        said = officer.post(address(made, "comments"), body)
        assert said.status_code == 201
        [comment] = api.get(address(made)).json()["comments"]
        assert (comment["author"], comment["text"]) == (bob.user.email, body["text"])
        assert said.json()["status"] == "pending"
        assert faults(officer.post(address(made, "comments"), {"text": " "}))
        written = AuditEntry.objects.filter(action="approval.commented")
        assert written.count() == 1


class TestDecide:
    def test_each_has_its_own_outcome(
        self, api: Api, officer: Api, alice: Person, bob: Person
    ) -> None:
        good, decided, stale = (
            ask(api, make_ready(alice, name=name)) for name in ("A", "B", "C")
        )
        api.post(address(decided, "withdraw"), {})
        model = ModelVersion.objects.get(model__name="C").model
        registry.update(model, changes={"risk_tier": "low"}, actor=alice.actor)
        charlie = factories.make_charlie()
        factories.make_bob(charlie.organization)
        foreign = ask(signed_in(charlie), make_ready(charlie))
        ids = [good["id"], decided["id"], stale["id"], foreign["id"], 10**9, good["id"]]
        body = {**APPROVE, "ids": ids, "reason": "Quarterly review"}
        results = officer.post("/api/approvals/decide", body).json()["results"]
        assert [one["id"] for one in results] == ids[:-1]
        outcomes = [one["outcome"] for one in results]
        assert (outcomes[0], outcomes[3:]) == ("done", ["not_found", "not_found"])
        assert [one["status"] for one in results] == [
            "applied",
            "withdrawn",
            "stale",
            None,
            None,
        ]
        assert results[3]["detail"] == results[4]["detail"]
        [vote] = ApprovalVote.objects.all()
        assert vote.batch is not None
        assert api.get(f"/api/approvals/{foreign['id']}").status_code == 404

    def test_needs_a_reason_and_an_end(self, officer: Api) -> None:
        body = {**APPROVE, "ids": [1]}
        assert faults(officer.post("/api/approvals/decide", body)) == {
            "reason": "required"
        }
        many = {**body, "reason": "x", "ids": list(range(1, 102))}
        assert officer.post("/api/approvals/decide", many).status_code == 422


class TestDelegations:
    @pytest.fixture
    def dora(self, alice: Person, bob: Person) -> Person:
        return factories.make_member(alice.organization, OFFICER)

    def body(self, delegate: Person, **fields: Any) -> dict[str, Any]:
        ends = timezone.now() + timedelta(days=3)
        return {
            "delegate": delegate.user.email,
            "role": "compliance_officer",
            "ends_at": ends.isoformat(),
            "reason": "On leave",
            **fields,
        }

    def test_ones_own_counts_at_once_and_the_delegate_votes(
        self, api: Api, officer: Api, version: ModelVersion, bob: Person, dora: Person
    ) -> None:
        made = officer.post("/api/delegations", self.body(dora))
        assert made.status_code == 201
        assert made.json()["is_in_effect"]
        assert made.json()["confirmed_by"] == bob.user.email
        asked = ask(api, version)
        delegate = signed_in(dora)
        body = {**APPROVE, "on_behalf_of": bob.user.email}
        voted = delegate.post(address(asked, "vote"), body).json()
        [vote] = voted["votes"]
        assert vote["on_behalf_of"] == bob.user.email
        assert vote["delegation_id"] == made.json()["id"]
        rows = api.get(f"/api/delegations?delegate={dora.user.email}&in_effect=true")
        assert [row["id"] for row in rows.json()["results"]] == [made.json()["id"]]

    def test_what_waits_for_the_absent_waits_for_the_delegate(
        self, api: Api, alice: Person, bob: Person, dora: Person
    ) -> None:
        policies.publish(alice.organization, stages=[{"people": [bob.user.email]}])
        asked = ask(api, make_ready(alice))
        delegate = signed_in(dora)
        path = "/api/approvals?waiting_for_me=true"
        assert delegate.get(path).json()["results"] == []
        signed_in(bob).post("/api/delegations", self.body(dora))
        assert [row["id"] for row in delegate.get(path).json()["results"]] == [
            asked["id"]
        ]

    def test_for_somebody_absent_it_takes_two(
        self, api: Api, alice: Person, bob: Person, dora: Person
    ) -> None:
        body = self.body(dora, delegator=bob.user.email)
        made = api.post("/api/delegations", body).json()
        assert not made["is_in_effect"]
        path = f"/api/delegations/{made['id']}"
        assert api.post(f"{path}/confirm", {}).status_code == 403
        assert signed_in(dora).post(f"{path}/confirm", {}).status_code == 403
        other = factories.make_member(alice.organization, OFFICER)
        confirmed = signed_in(other).post(f"{path}/confirm", {})
        assert confirmed.json()["is_in_effect"]
        ended = signed_in(bob).post(f"{path}/end", {"reason": "Back"}).json()
        assert (ended["is_in_effect"], ended["ended_by"]) == (False, bob.user.email)
        assert signed_in(bob).post(f"{path}/end", {}).status_code == 409
        assert api.get("/api/delegations?in_effect=true").json()["results"] == []

    def test_a_key_delegates_nothing(self, bob: Person, dora: Person) -> None:
        answer = api_of(bob).post("/api/delegations", self.body(dora))
        assert answer.status_code == 403
        assert denials(bob, "delegation.created")[0]["actor"]["type"] == "api_key"
        assert not Delegation.objects.exists()

    def test_faults_are_named(self, officer: Api, alice: Person, bob: Person) -> None:
        stranger = factories.make_charlie()
        unknown = officer.post("/api/delegations", self.body(stranger))
        assert faults(unknown) == {"delegate": "not_a_member"}
        late = timezone.now() + timedelta(days=100)
        body = self.body(alice, ends_at=late.isoformat())
        assert faults(officer.post("/api/delegations", body)) == {
            "delegate": "role",
            "ends_at": "range",
        }
        for role in ("owner", "auditor"):
            body = self.body(alice, role=role)
            assert faults(officer.post("/api/delegations", body)) == {
                "role": "invalid_choice"
            }


def test_the_stranger_finds_nothing(
    api: Api, officer: Api, version: ModelVersion, alice: Person
) -> None:
    made = ask(api, version)
    dora = factories.make_member(alice.organization, OFFICER)
    delegation = officer.post("/api/delegations", TestDelegations().body(dora)).json()
    charlie = factories.make_charlie()
    factories.make_member(charlie.organization, OFFICER, charlie.user)
    theirs = signed_in(charlie)
    for path in ("/api/approvals", "/api/delegations"):
        assert theirs.get(path).json()["results"] == []
    calls = [
        ("GET", address(made), None),
        ("POST", address(made, "vote"), APPROVE),
        ("POST", address(made, "withdraw"), {}),
        ("POST", address(made, "comments"), {"text": "x"}),
        ("POST", f"/api/delegations/{delegation['id']}/confirm", {}),
        ("POST", f"/api/delegations/{delegation['id']}/end", {}),
        ("POST", "/api/approvals", {"model_id": version.model_id}),
    ]
    for method, path, body in calls:
        answer = theirs(method, path, body)
        assert answer.status_code == 404, path
        missing = theirs(method, path.replace(str(made["id"]), "987654321"), body)
        assert answer.json()["detail"] == missing.json()["detail"]
    refused = theirs.get(f"/api/approvals?model={version.model.slug}")
    assert refused.json()["results"] == []


def test_an_auditor_reads_and_changes_nothing(
    api: Api, version: ModelVersion, alice: Person
) -> None:
    made = ask(api, version)
    auditor = signed_in(
        factories.make_member(alice.organization, Membership.Role.AUDITOR)
    )
    for path in ("/api/approvals", address(made), "/api/delegations"):
        assert auditor.get(path).status_code == 200
    for path in (
        "/api/approvals",
        address(made, "vote"),
        address(made, "withdraw"),
        address(made, "comments"),
        "/api/approvals/decide",
        "/api/delegations",
    ):
        assert auditor.post(path, {}).status_code == 403
