"""GET /api/audit: filters, pages, exports; and reading leaves an entry too."""

import csv
import io
import json
import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlencode

import pytest

from governance.actions import audit, erasure, exports
from governance.models import AuditEntry, Organization
from tests import factories
from tests.governance import trails
from tests.governance.api import Api, api_of, faults

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice(settings, tmp_path: Path) -> factories.Person:
    settings.DATA_DIR = tmp_path
    settings.CHECKPOINT_DIRECTORIES = [str(tmp_path / "outside")]
    return trails.make_trail()


@pytest.fixture
def reader(alice: factories.Person) -> Api:
    return api_of(alice, scopes=["audit:read"])


def seqs(api: Api, **query: object) -> list[int]:
    answer = api.get(f"/api/audit?{urlencode(query, doseq=True)}")
    assert answer.status_code == 200, answer.content
    return [entry["seq"] for entry in answer.json()["results"]]


def trail(organization: Organization) -> list[AuditEntry]:
    return list(AuditEntry.objects.for_organization(organization).order_by("seq"))


class TestList:
    def test_shows_everything_that_an_entry_says(
        self, alice: factories.Person, reader: Api
    ) -> None:
        actor = alice.actor
        audit.record(
            alice.organization,
            actor=actor,
            action="thing.changed",
            object=alice.user,
            before={"x": 1},
            after={"x": 2},
            reason="why not",
            outcome="denied",
            policy_version=3,
            approval_id=4,
            override_id=5,
            facts={"n": 6},
        )
        said = reader.get("/api/audit?limit=1").json()["results"][0]
        assert said.pop("at").endswith("Z")
        assert len(said.pop("leaf_hash")) == 64
        assert said == {
            "seq": len(trail(alice.organization)) - 1,
            "actor": {
                "type": "user",
                "id": str(alice.user.pk),
                "label": alice.user.email,
                "role": "owner",
            },
            "auth": {"method": "password", "key_prefix": ""},
            "action": "thing.changed",
            "object": {"type": "user", "id": str(alice.user.pk), "label": "Alice"},
            "outcome": "denied",
            "reason": "why not",
            "request_id": "",
            "ip": "",
            "channel": "",
            "policy_version": 3,
            "approval_id": 4,
            "override_id": 5,
            "facts": {"n": 6},
            "before": {"x": 1},
            "after": {"x": 2},
            "payload": "kept",
        }

    def test_tells_what_was_erased_from_what_never_was(
        self, alice: factories.Person, reader: Api
    ) -> None:
        [entry] = reader.get("/api/audit?seq_min=6&seq_max=6").json()["results"]
        assert (entry["payload"], entry["after"]) == ("erased", None)
        [entry] = reader.get("/api/audit?seq_min=4&seq_max=4").json()["results"]
        assert entry["payload"] == "none"

    def test_pages_through_all_of_it_without_a_gap_while_it_grows(
        self, alice: factories.Person, reader: Api
    ) -> None:
        found: list[int] = []
        size = len(trail(alice.organization))
        path = "/api/audit?limit=7"
        while path:
            page = reader.get(path.replace("http://testserver", "")).json()
            found += [entry["seq"] for entry in page["results"]]
            path = page["next"]
        assert found == list(range(size, 0, -1))
        # Each page left an entry of its own.
        assert len(trail(alice.organization)) == size + -(-size // 7)

    def test_remembers_who_read_and_what_they_looked_for(
        self, alice: factories.Person, reader: Api
    ) -> None:
        reader.get("/api/audit?outcome=denied&outcome=failed&text=x")
        entry = trail(alice.organization)[-1]
        assert (entry.action, entry.actor_type) == ("audit.read", "api_key")
        [said] = exports.shown([entry])
        assert said["after"] == {"filters": {"outcome": "denied,failed", "text": "x"}}

    def test_still_shows_what_was_tampered_with(
        self, alice: factories.Person, reader: Api
    ) -> None:
        trails.tamper("UPDATE governance_auditentry SET body = '{' WHERE seq = 5")
        [entry] = reader.get("/api/audit?seq_min=5&seq_max=5").json()["results"]
        assert (entry["seq"], entry["payload"]) == (5, "unreadable")
        assert entry["action"] == "thing.changed"
        assert reader.get("/api/audit/export").status_code == 200


class TestFilters:
    def test_find_what_they_name(self, alice: factories.Person, reader: Api) -> None:
        entries = trail(alice.organization)

        def expected(**fields: object) -> list[int]:
            rows = AuditEntry.objects.for_organization(alice.organization)
            found = rows.filter(seq__lte=len(entries), **fields)
            return [entry.seq for entry in found.order_by("-seq")]

        until = len(entries)
        for query, fields in (
            ({"actor": "ALICE"}, {"actor_label__icontains": "alice"}),
            ({"actor_type": "user"}, {"actor_type": "user"}),
            ({"actor_id": alice.user.pk}, {"actor_id": str(alice.user.pk)}),
            ({"object_type": "organization"}, {"object_type": "organization"}),
            (
                {"object_type": "user", "object_id": alice.user.pk},
                {"object_type": "user", "object_id": str(alice.user.pk)},
            ),
            ({"action": "thing.changed"}, {"action": "thing.changed"}),
            ({"action_prefix": "payload."}, {"action": "payload.erased"}),
            ({"outcome": ["done", "failed"]}, {"outcome": "done"}),
            ({"approval_id": 2}, {"approval_id": 2}),
            ({"seq_min": 3, "seq_max": 5}, {"seq__in": (3, 4, 5)}),
            ({"request_id": "nothing"}, {"request_id": "nothing"}),
        ):
            found = seqs(reader, **query, limit=100)
            assert [seq for seq in found if seq <= until] == expected(**fields), query
        assert expected(approval_id=2)
        assert expected(action="payload.erased")

    def test_find_nothing_beyond_what_the_database_counts(self, reader: Api) -> None:
        assert seqs(reader, seq_min=10**20) == []
        assert seqs(reader, approval_id=-(10**20)) == []

    def test_find_a_period_to_the_microsecond(
        self, alice: factories.Person, reader: Api
    ) -> None:
        entries = trail(alice.organization)
        middle = entries[8].at
        since = seqs(reader, since=middle.isoformat(), until="2999-01-01", limit=100)
        assert sorted(since)[0] == next(e.seq for e in entries if e.at >= middle)
        until = seqs(reader, until=middle.isoformat(), limit=100)
        assert until[0] == max(e.seq for e in entries if e.at < middle)
        naive = middle.astimezone(UTC).replace(tzinfo=None)
        assert seqs(reader, until=naive.isoformat(), limit=100) == until

    @pytest.mark.parametrize(
        ("text", "seq"),
        [("case 4711", 16), ("because\nof", 5), ('"cöde"', None), ("%", None)],
    )
    def test_find_a_text_anywhere_but_in_what_can_be_erased(
        self, alice: factories.Person, reader: Api, text: str, seq: int | None
    ) -> None:
        found = seqs(reader, text=text, seq_max=20)
        assert (seq in found) if seq else found == []

    @pytest.mark.parametrize(
        ("query", "where"),
        [
            ("outcome=perhaps", {"outcome": "invalid_choice"}),
            ("since=yesterday", {"since": "invalid"}),
            ("seq_min=x", {"seq_min": "invalid"}),
            ("approval_id=1.5", {"approval_id": "max_decimal_places"}),
            ("limit=0", {"limit": "range"}),
            ("cursor=zzz", {"cursor": "cursor"}),
            ("organization=1", {"organization": "unknown_parameter"}),
            ("text=%00", {"text": "null_characters_not_allowed"}),
            ("seq_min=1e400", {"seq_min": "max_value"}),
        ],
    )
    def test_that_make_no_sense_are_refused(
        self, reader: Api, query: str, where: dict[str, str]
    ) -> None:
        for path in ("/api/audit", "/api/audit/export"):
            if {"limit", "cursor"} & where.keys() and "export" in path:
                continue
            answer = reader.get(f"{path}?{query}")
            assert answer.status_code == 422, answer.content
            assert faults(answer) == where


class TestExport:
    def test_as_json_lines_is_what_the_list_shows(
        self, alice: factories.Person, reader: Api
    ) -> None:
        answer = reader.get("/api/audit/export?format=jsonl")
        assert answer["Content-Type"] == "application/jsonl; charset=utf-8"
        lines = [json.loads(line) for line in answer.getvalue().splitlines()]
        assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
        assert lines[-1]["action"] == "audit.exported"
        assert lines[-1]["after"] == {"filters": {}, "format": "jsonl"}
        listed = reader.get(f"/api/audit?limit=100&seq_max={len(lines)}").json()
        assert lines == listed["results"][::-1]

    def test_as_csv_has_a_row_for_each_and_no_formula(
        self, alice: factories.Person, reader: Api
    ) -> None:
        for reason in ("=1+1", "+1", "-1", "@x", "\tx", "\rx", 'a,"b"\nc', "fine"):
            audit.record(
                alice.organization, actor=None, action="a.b", object=None, reason=reason
            )
        answer = reader.get("/api/audit/export?action=a.b")
        assert answer["Content-Type"] == "text/csv; charset=utf-8"
        rows = list(csv.DictReader(io.StringIO(answer.getvalue().decode(), newline="")))
        assert [row["reason"] for row in rows] == [
            *("'=1+1", "'+1", "'-1", "'@x", "'\tx", "'\rx", 'a,"b"\nc', "fine")
        ]
        assert list(rows[0]) == list(exports.COLUMNS)
        assert rows[0]["actor_type"] == "system"

    def test_has_the_same_filters_as_the_list(
        self, alice: factories.Person, reader: Api
    ) -> None:
        answer = reader.get("/api/audit/export?format=jsonl&action=thing.changed")
        found = [json.loads(line)["seq"] for line in answer.getvalue().splitlines()]
        assert found == seqs(reader, action="thing.changed", limit=100)[::-1] != []

    def test_in_another_format_is_refused(self, reader: Api) -> None:
        answer = reader.get("/api/audit/export?format=xml")
        assert (answer.status_code, faults(answer)) == (422, {"format": "choice"})

    def test_goes_on_past_a_span_and_an_erasure_meanwhile(
        self, alice: factories.Person, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(exports, "SPAN", 3)
        last = exports.last_seq(alice.organization)
        found = exports.entries(alice.organization, lambda rows: rows, last=last)
        first = [next(found) for _ in range(4)]
        erasure.erase(alice.organization, [10], actor=None, reason=trails.REASON)
        rest = list(found)
        assert [one["seq"] for one in first + rest] == list(range(1, last + 1))
        assert rest[5]["payload"] == "erased"

    def test_takes_no_more_memory_for_more_entries(
        self, alice: factories.Person
    ) -> None:
        def peak(last: int) -> int:
            tracemalloc.start()
            found = exports.entries(alice.organization, lambda rows: rows, last=last)
            for _ in exports.csv_rows(found):
                pass
            _, most = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            return most

        trails.say(alice.organization, 12_000)
        peak(100)
        once, twice = peak(6_000), peak(12_000)
        assert twice < 1.3 * once


class TestWhoMayRead:
    @pytest.mark.parametrize("path", ["", "/export", "/bundle"])
    def test_is_said_by_the_scope(self, alice: factories.Person, path: str) -> None:
        address = f"/api/audit{path}"
        assert Api().get(address).status_code == 401
        scopes = ["models:write", "mlops:write", "governance:write", "inference:invoke"]
        assert api_of(alice, scopes=scopes).get(address).status_code == 403
        assert api_of(alice, scopes=["audit:read"]).get(address).status_code == 200
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            answer = api_of(alice, scopes=["audit:read"])(method, address, {})
            assert answer.status_code == 405

    def test_and_nobody_reads_anothers(self, alice: factories.Person) -> None:
        charlie = factories.make_charlie()
        theirs = api_of(charlie, scopes=["audit:read"])
        assert "Alice" not in theirs.get("/api/audit?limit=1000").content.decode()
        found = theirs.get("/api/audit/export?format=jsonl").getvalue().decode()
        assert "Alice" not in found
        assert seqs(theirs, actor_id=alice.user.pk) == []


def test_the_period_of_a_day_is_found_by_its_index(
    alice: factories.Person, reader: Api, django_assert_max_num_queries
) -> None:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    with django_assert_max_num_queries(12):
        assert len(seqs(reader, since=yesterday.isoformat(), limit=5)) == 5
