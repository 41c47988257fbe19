"""What a credential may not do stands in the trail, but doesn't fill it."""

import json
from typing import Any

import pytest

from governance.actions import authority
from governance.models import AuditEntry, Membership
from tests import factories
from tests.factories import Person
from tests.governance.api import Api, api_of, signed_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice() -> Person:
    return factories.make_alice()


def denials(person: Person) -> list[dict[str, Any]]:
    rows = AuditEntry.objects.for_organization(person.organization)
    found = rows.filter(outcome="denied").order_by("seq")
    return [json.loads(bytes(one.body)) for one in found]


def test_a_key_without_the_scope_is_refused_and_remembered(alice: Person) -> None:
    key, text = factories.make_api_key(alice, scopes=["governance:read"])
    answer = Api(text, **{"X-Request-ID": "abc"}).post("/api/findings", {})
    assert answer.status_code == 403
    [entry] = denials(alice)
    assert entry["action"] == "api.called"
    assert (entry["actor"]["type"], entry["actor"]["id"]) == ("api_key", str(key.pk))
    assert (entry["object"]["id"], entry["object"]["label"]) == (
        "POST",
        "/api/findings",
    )
    assert entry["request_id"] == "abc"
    assert entry["reason"] == "needs the scope governance:write"


def test_a_role_without_the_scope_is_remembered_with_the_role(alice: Person) -> None:
    auditor = factories.make_member(alice.organization, Membership.Role.AUDITOR)
    assert signed_in(auditor).post("/api/overrides", {}).status_code == 403
    [entry] = denials(alice)
    assert entry["actor"]["label"] == auditor.user.email
    assert entry["actor"]["role"] == "auditor"


def test_reading_the_trail_without_the_scope_is_remembered(alice: Person) -> None:
    api = api_of(alice, scopes=["governance:write"])
    assert api.get("/api/audit").status_code == 403
    assert [one["reason"] for one in denials(alice)] == ["needs the scope audit:read"]


def test_what_is_not_governed_leaves_no_entry(alice: Person) -> None:
    api = api_of(alice, scopes=["governance:read"])
    assert api.get("/api/models").status_code == 403
    assert api.post("/api/v1/drift/analyze", {}).status_code == 403
    assert denials(alice) == []


def test_nobody_fills_the_trail_with_refusals(alice: Person) -> None:
    limit, _ = authority.DENIALS
    flooding, other = (api_of(alice, scopes=[]) for _ in range(2))
    for _ in range(limit + 5):
        assert flooding.post("/api/findings", {}).status_code == 403
    found = denials(alice)
    assert len(found) == limit
    told = [number for number, one in enumerate(found, 1) if "no more" in one["reason"]]
    assert told == [limit]
    assert other.post("/api/findings", {}).status_code == 403
    assert len(denials(alice)) == limit + 1
