"""Policies through the interface, from outside."""

from datetime import timedelta
from typing import Any

import pytest
from django.http import HttpResponse
from django.utils import timezone

from governance.actions import policies as deeds
from governance.models import (
    ApprovalRequest,
    AuditEntry,
    Membership,
    Policy,
    PolicyVersion,
)
from tests import factories
from tests.factories import PASSWORD, Person
from tests.governance.api import Api, api_of, faults, signed_in
from tests.governance.deploying import make_approved, measure

pytestmark = pytest.mark.django_db
APPROVE = {"decision": "approve", "password": PASSWORD}


@pytest.fixture
def alice() -> Person:
    return factories.make_alice()


@pytest.fixture
def bob(alice: Person) -> Person:
    return factories.make_bob(alice.organization)


@pytest.fixture
def api(alice: Person) -> Api:
    return signed_in(alice)


@pytest.fixture
def officer(bob: Person) -> Api:
    return signed_in(bob)


@pytest.fixture
def path(alice: Person) -> str:
    """Return the address of Alice's default policy."""
    return f"/api/policies/{deeds.default_of(alice.organization.pk).policy_id}"


def draft(api: Api, path: str, **content: Any) -> str:
    """Draft the next version, and return its address."""
    made = api.post(f"{path}/versions", {"content": content})
    assert made.status_code == 201, made.content
    return f"{path}/versions/{made.json()['version']}"


def send_file(
    api: Api, method: str, path: str, text: str | bytes, kind: str = "application/yaml"
) -> HttpResponse:
    body = text if isinstance(text, bytes) else text.encode()
    return api.client.generic(method, path, body, kind, headers=api.headers)


class TestReading:
    @pytest.mark.parametrize(
        ("asked", "status"), [("true", 200), ("false", 200), ("yes", 422), ("1", 422)]
    )
    def test_a_flag_is_true_or_false(self, api: Api, asked: str, status: int) -> None:
        answer = api.get(f"/api/policies?is_default={asked}")
        assert answer.status_code == status
        if status == 200:
            assert len(answer.json()["results"]) == (asked == "true")

    def test_the_list_shows_what_is_in_force_and_what_is_drafted(
        self, api: Api, path: str, alice: Person
    ) -> None:
        draft(api, path, fairness_minimum=0.9)
        [row] = api.get("/api/policies").json()["results"]
        assert row == api.get(path).json()
        assert (row["name"], row["is_default"]) == ("Default policy", True)
        assert (row["active"]["version"], row["draft"]["version"]) == (1, 2)
        assert row["draft"]["created_by"] == alice.user.email
        assert (row["versions"], row["applies_to"]) == (2, {"tiers": [], "models": []})
        assert api.get("/api/policies?name=nothing").json()["results"] == []
        assert api.get("/api/policies?named=x").status_code == 422

    def test_versions_are_listed_and_shown_whole(self, api: Api, path: str) -> None:
        made = draft(api, path, fairness_minimum=0.9)
        rows = api.get(f"{path}/versions").json()["results"]
        assert [(one["version"], one["status"]) for one in rows] == [
            (2, "draft"),
            (1, "active"),
        ]
        drafts = api.get(f"{path}/versions?status=draft").json()["results"]
        assert [one["version"] for one in drafts] == [2]
        whole = api.get(made).json()
        assert whole["content"]["fairness_minimum"] == 0.9
        assert whole["content"]["minimum_sample"]  # what was left out is there
        assert whole["hash"] == PolicyVersion.objects.get(number=2).content_hash
        assert "backtest" in whole["next"]
        for missing in ("3", "0", "one", "99999999999", "-1"):
            assert api.get(f"{path}/versions/{missing}").status_code == 404

    def test_templates(self, api: Api) -> None:
        rows = api.get("/api/policy-templates").json()
        names = [row["name"] for row in rows]
        assert names == ["consumer-credit", "low-risk-internal", "strict"]
        assert api.get("/api/policy-templates/strict").json() == rows[2]
        assert api.get("/api/policy-templates/..%2fstrict").status_code == 404


class TestDrafting:
    def test_from_a_template(self, api: Api) -> None:
        made = api.post("/api/policies", {"template": "strict"})
        assert made.status_code == 201
        assert (made.json()["name"], made.json()["active"]) == ("Strict", None)
        version = f"/api/policies/{made.json()['id']}/versions/1"
        template = api.get("/api/policy-templates/strict").json()
        assert api.get(version).json()["content"] == template["content"]
        again = api.post("/api/policies", {"template": "strict"})
        assert (again.status_code, again.json()["code"]) == (409, "already_exists")
        other = {"template": "strict", "name": "Stricter"}
        assert api.post("/api/policies", other).json()["name"] == "Stricter"

    def test_what_is_exported_comes_back_the_same(self, api: Api, path: str) -> None:
        made = draft(api, path, fairness_minimum=1 / 3)
        file = api.get(f"{made}/yaml")
        assert file["Content-Type"] == "application/yaml; charset=utf-8"
        assert "policy-" in file["Content-Disposition"]
        assert file.content.startswith(b"# Version 2 (draft) of Default policy\n")
        again = send_file(api, "POST", f"{path}/versions", file.content)
        assert again.status_code == 201
        assert again.json()["hash"] == api.get(made).json()["hash"]
        named = b"driftguard_policy: 1\nname: Credit\ncontent: {minimum_sample: 50}\n"
        created = send_file(api, "POST", "/api/policies", named, "text/yaml")
        assert (created.status_code, created.json()["name"]) == (201, "Credit")

    def test_a_draft_is_replaced_and_what_is_published_is_not(
        self, api: Api, officer: Api, path: str, bob: Person
    ) -> None:
        made = draft(api, path, fairness_minimum=0.9)
        changed = officer.client.generic(
            "PUT",
            made,
            b'{"content": {"fairness_minimum": 0.7}}',
            "application/json",
            headers=officer.headers,
        )
        assert changed.status_code == 200
        assert changed.json()["content"]["fairness_minimum"] == 0.7
        assert changed.json()["edited_by"] == bob.user.email
        published = api("PUT", f"{path}/versions/1", {"content": {}})
        assert published.status_code == 409
        assert published.json()["next"] == "Draft another version."

    def test_every_fault_is_named_with_its_line_or_field(
        self, api: Api, path: str
    ) -> None:
        address = f"{path}/versions"
        wrong = {"content": {"weight": 1, "minimum_sample": "x"}}
        answer = api.post(address, wrong)
        assert answer.status_code == 422
        assert faults(answer) == {
            "content.weight": "unknown_field",
            "content.minimum_sample": "type",
        }
        text = "driftguard_policy: 1\ncontent:\n  weight: 1\n  minimum_sample: x\n"
        assert faults(send_file(api, "POST", address, text)) == faults(answer)
        broken = send_file(api, "POST", address, "driftguard_policy: 1\ncontent: [1\n")
        assert (broken.status_code, faults(broken)) == (422, {"line.3": "yaml"})
        twice = send_file(api, "POST", address, "content: {}\ncontent: {}\n")
        assert faults(twice) == {"line.2": "yaml"}
        assert send_file(api, "POST", address, b"a: \xff").status_code == 400
        assert send_file(api, "POST", address, "a: 1", "text/plain").status_code == 415
        for body, expected in (
            ({}, {"content": "missing"}),
            ({"content": {}, "template": "strict"}, {"content": "missing"}),
            ({"template": "lax"}, {"template": "invalid_choice"}),
            ({"content": []}, {"content": "not_a_dict"}),
            ({"content": {}, "status": "active"}, {"status": "unknown_field"}),
        ):
            assert faults(api.post(address, body)) == expected
        assert faults(api.post("/api/policies", {"content": {}})) == {
            "name": "required"
        }
        assert PolicyVersion.objects.count() == 1

    @pytest.mark.parametrize(
        "text",
        [
            'content: {stages: [{people: ["\\uD800@x.de"]}]}',
            "content: {minimum_sample: 1e999}",
            f"content: {{minimum_sample: {'9' * 400}}}",
            f"content: {{fairness_minimum: {'9' * 5000}}}",
            "content: {applies_to: {models: ['a\\0b']}}",
            'name: "\\0"\ncontent: {}',
            'name: "\\uD800"\ncontent: {}',
            "content: !!binary aGVsbG8=",
            "content: {minimum_sample: !!float x}",
            "content: !!set {a, b}",
            "",
        ],
    )
    def test_no_file_breaks_anything(self, api: Api, text: str) -> None:
        answer = send_file(
            api, "POST", "/api/policies", f"driftguard_policy: 1\n{text}"
        )
        assert answer.status_code in {201, 422}, answer.content
        if answer.status_code == 422:
            assert answer.json()["errors"]

    def test_takes_the_role_or_a_key_with_the_scope(
        self, alice: Person, path: str
    ) -> None:
        developer = factories.make_member(
            alice.organization, Membership.Role.MODEL_OWNER
        )
        body = {"content": {"fairness_minimum": 0.9}}
        refused = signed_in(developer).post(f"{path}/versions", body)
        assert refused.status_code == 403
        denied = AuditEntry.objects.filter(action="policy.drafted", outcome="denied")
        assert denied.count() == 1
        key = api_of(alice, scopes=["governance:write"])
        assert key.post(f"{path}/versions", body).status_code == 201
        reader = api_of(alice, scopes=["governance:read"])
        assert reader.post(f"{path}/versions", body).status_code == 403

    def test_a_retried_draft_is_made_once(self, alice: Person, path: str) -> None:
        _, text = factories.make_api_key(alice)
        key = Api(text, **{"Idempotency-Key": "a"})
        for _ in range(2):
            made = key.post(f"{path}/versions", {"content": {}})
            assert made.json()["version"] == 2
        assert PolicyVersion.objects.count() == 2


class TestLooking:
    def test_the_difference_is_in_words_and_a_patch(self, api: Api, path: str) -> None:
        made = draft(api, path, fairness_minimum=0.9)
        found = api.get(f"{made}/diff").json()
        assert (found["before"]["version"], found["after"]["version"]) == (1, 2)
        [change] = found["changes"]
        assert change["sentence"] == "fairness minimum: 0.8 → 0.9"
        assert "+fairness_minimum: 0.9" in found["patch"]
        assert found["is_binding"]
        same = api.get(f"{made}/diff?against=2").json()
        assert (same["changes"], same["patch"]) == ([], "")
        assert not same["is_binding"]
        unknown = api.get(f"{made}/diff?against=7")
        assert faults(unknown) == {"against": "unknown_version"}
        fresh = api.post("/api/policies", {"template": "strict"}).json()["id"]
        answer = api.get(f"/api/policies/{fresh}/versions/1/diff")
        assert answer.status_code == 409
        assert answer.json()["next"]

    def test_the_backtest_shows_what_would_be_different(
        self, api: Api, path: str, alice: Person, bob: Person
    ) -> None:
        version = measure(make_approved(alice), ratio=0.9)
        made = draft(
            api,
            path,
            fairness_minimum=0.95,
            rules={"R7": {"level": "hard", "effect": "block"}},
        )
        found = api.get(f"{made}/backtest?days=5")
        assert found.status_code == 200
        answer = found.json()
        assert answer["totals"]["new_blocks"] == 1
        assert answer["flips"][0]["model"] == version.model.name
        for wrong in ("0", "367", "many", "-1", ""):
            assert faults(api.get(f"{made}/backtest?days={wrong}")) == {"days": "range"}

    def test_what_would_be_touched(
        self, api: Api, path: str, alice: Person, bob: Person
    ) -> None:
        version = factories.make_version(alice)
        request = factories.submit(version)
        made = draft(api, path, fairness_minimum=0.9)
        found = api.get(f"{made}/touched").json()
        assert found["models"] == [version.model.name]
        assert [one["id"] for one in found["requests"]] == [request.pk]


class TestPublishing:
    def test_takes_a_second_person_with_the_password(
        self, api: Api, officer: Api, path: str, bob: Person
    ) -> None:
        made = draft(api, path, fairness_minimum=0.9)
        asked = api.post(f"{made}/publication", {"reason": "The board", "days": 5})
        assert asked.status_code == 201
        request = asked.json()
        assert (request["kind"], request["status"]) == ("policy", "pending")
        assert request["draft"]["version"] == 2
        assert request["proposal"]["backtest"]["days"] == 5
        shown = api.get(made).json()
        assert [one["id"] for one in shown["requests"]] == [request["id"]]
        assert shown["next"] == "A second person votes on its publication."
        again = api.post(f"{made}/publication", {})
        assert (again.status_code, again.json()["code"]) == (409, "already_exists")
        vote = f"/api/approvals/{request['id']}/vote"
        assert api.post(vote, APPROVE).status_code == 403
        assert officer.post(vote, {"decision": "approve"}).status_code == 403
        assert officer.post(vote, APPROVE).json()["status"] == "applied"
        row = api.get(path).json()
        assert (row["active"]["version"], row["draft"]) == (2, None)
        assert api.get(f"{path}/versions/1").json()["status"] == "archived"
        late = api.post(f"{made}/publication", {})
        assert late.status_code == 409

    def test_the_author_never_is_the_second_person(
        self, officer: Api, path: str, alice: Person
    ) -> None:
        factories.make_bob(alice.organization)
        made = draft(officer, path, fairness_minimum=0.9)
        request = officer.post(f"{made}/publication", {}).json()
        vote = f"/api/approvals/{request['id']}/vote"
        assert officer.post(vote, APPROVE).status_code == 403
        assert api_of(alice).post(vote, APPROVE).status_code == 403
        assert ApprovalRequest.objects.get().is_open

    def test_an_edit_voids_the_request_and_the_difference_is_shown(
        self, api: Api, officer: Api, path: str
    ) -> None:
        made = draft(api, path, fairness_minimum=0.9)
        request = api.post(f"{made}/publication", {}).json()
        api("PUT", made, {"content": {"fairness_minimum": 0.5}})
        shown = api.get(f"/api/approvals/{request['id']}").json()
        assert shown["is_stale"]
        assert [one["path"] for one in shown["difference"]] == ["draft.content"]
        vote = officer.post(f"/api/approvals/{request['id']}/vote", APPROVE)
        assert (vote.status_code, vote.json()["code"]) == (409, "stale")

    def test_takes_effect_when_it_says(self, api: Api, officer: Api, path: str) -> None:
        made = draft(api, path, fairness_minimum=0.9)
        when = (timezone.now() + timedelta(days=3)).isoformat()
        request = api.post(f"{made}/publication", {"effective_at": when}).json()
        voted = officer.post(f"/api/approvals/{request['id']}/vote", APPROVE).json()
        assert voted["status"] == "approved"
        assert "takes effect" in voted["next"]
        assert api.get(path).json()["active"]["version"] == 1
        past = (timezone.now() - timedelta(days=1)).isoformat()
        other = draft(api, path)
        wrong = api.post(f"{other}/publication", {"effective_at": past})
        assert faults(wrong) == {"effective_at": "range"}
        assert faults(api.post(f"{other}/publication", {"days": 1000})) == {
            "days": "range"
        }

    def test_a_retried_request_is_made_once(
        self, api: Api, path: str, alice: Person, bob: Person
    ) -> None:
        made = draft(api, path, fairness_minimum=0.9)
        _, text = factories.make_api_key(alice)
        key = Api(text, **{"Idempotency-Key": "a"})
        first, again = (key.post(f"{made}/publication", {"days": 5}) for _ in range(2))
        assert (first.status_code, first.json()) == (201, again.json())


def test_another_organizations_policy_is_a_missing_one(api: Api, path: str) -> None:
    made = draft(api, path, fairness_minimum=0.9)
    charlie = factories.make_charlie()
    theirs = signed_in(charlie)
    missing = "/api/policies/987654321"
    own = theirs.get("/api/policies").json()["results"]
    assert [one["id"] for one in own] == [
        deeds.default_of(charlie.organization.pk).policy_id
    ]
    for method, rest, body in (
        ("GET", "", None),
        ("GET", "/versions", None),
        ("POST", "/versions", {"content": {}}),
        ("GET", "/versions/2", None),
        ("PUT", "/versions/2", {"content": {}}),
        ("GET", "/versions/2/yaml", None),
        ("GET", "/versions/2/diff", None),
        ("GET", "/versions/2/backtest", None),
        ("GET", "/versions/2/touched", None),
        ("POST", "/versions/2/publication", {}),
    ):
        found, nothing = (theirs(method, base + rest, body) for base in (path, missing))
        assert found.status_code == nothing.status_code == 404, rest
        assert found.json() | {"instance": ""} == nothing.json() | {"instance": ""}
    assert Policy.objects.count() == 2
    assert api.get(made).status_code == 200
