import hashlib
import hmac
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
import rfc8785
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.utils import timezone

from governance.actions import audit
from governance.exceptions import ConflictError, PermissionDeniedError
from governance.models import (
    AuditEntry,
    AuditHead,
    AuditPayload,
    Organization,
)
from tests import factories


def trail(organization: Organization) -> list[AuditEntry]:
    return list(AuditEntry.objects.for_organization(organization).order_by("seq"))


def body_of(entry: AuditEntry) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(bytes(entry.body))
    return found


def assert_unbroken(organization: Organization) -> int:
    """Check the whole trail as an auditor would: numbers, hashes, columns, head."""
    previous = bytes(32)
    entries = trail(organization)
    for number, entry in enumerate(entries, start=1):
        raw = bytes(entry.body)
        body = json.loads(raw)
        assert raw == rfc8785.dumps(body)
        assert body["org"] == organization.pk
        assert body["seq"] == entry.seq == number
        assert body["prev"] == previous.hex()
        assert entry.action == body["action"]
        assert bytes(entry.leaf_hash) == hashlib.sha256(b"\0" + raw).digest()
        previous = hashlib.sha256(raw).digest()
    head = AuditHead.objects.get(pk=organization.pk)
    assert (head.seq, bytes(head.digest)) == (len(entries), previous)
    return len(entries)


@pytest.mark.django_db
class TestEntry:
    def test_says_who_did_what_from_where_and_why(self) -> None:
        alice = factories.make_alice()
        actor = audit.Actor(
            type="api_key",
            id="7",
            label="loader",
            role="owner",
            auth_method="api_key",
            key_prefix="dg_live_abcdefgh",
            ip="192.0.2.1",
            request_id="r-1",
            channel="api",
            user_id=alice.user.pk,
        )
        before = timezone.now()
        audit.record(
            alice.organization,
            actor=actor,
            action="thing.done",
            object=alice.organization,
            before={"limit": 1},
            after={"limit": 2},
            reason="because",
            policy_version=3,
        )
        entry = trail(alice.organization)[-1]
        body = body_of(entry)
        at = datetime.fromisoformat(body.pop("at"))
        assert before < at < timezone.now()
        assert at == entry.at
        payload = AuditPayload.objects.get(entry=entry)
        mac = hmac.new(bytes(payload.salt), bytes(payload.content), hashlib.sha256)
        assert body.pop("payload_hash") == mac.hexdigest()
        assert json.loads(bytes(payload.content)) == {
            "before": {"limit": 1},
            "after": {"limit": 2},
        }
        assert len(bytes(payload.salt)) == 32
        assert len(body.pop("prev")) == 64
        assert body == {
            "v": 1,
            "org": alice.organization.pk,
            "seq": entry.seq,
            "actor": {"type": "api_key", "id": "7", "label": "loader", "role": "owner"},
            "auth": {"method": "api_key", "key_prefix": "dg_live_abcdefgh"},
            "action": "thing.done",
            "object": {
                "type": "organization",
                "id": str(alice.organization.pk),
                "label": "Alice's bank",
            },
            "outcome": "done",
            "reason": "because",
            "request_id": "r-1",
            "ip": "192.0.2.1",
            "channel": "api",
            "policy_version": 3,
            "approval_id": None,
            "override_id": None,
        }

    def test_the_first_one_has_64_zeros_before_it(self) -> None:
        organization = factories.make_organization()
        assert body_of(trail(organization)[0])["prev"] == "0" * 64
        assert assert_unbroken(organization) >= 2

    def test_begins_a_trail_where_there_is_none(self) -> None:
        organization = Organization.objects.create(name="Bare", slug="bare")
        audit.record(organization, actor=None, action="a.b", object=None)
        assert assert_unbroken(organization) == 1
        assert body_of(trail(organization)[0])["actor"]["type"] == "system"

    def test_holds_what_json_has_no_word_for(self) -> None:
        organization = factories.make_organization()
        moment = datetime(2024, 5, 1, tzinfo=UTC)
        audit.record(
            organization,
            actor=None,
            action="a.b",
            object=audit.Subject("text", "1", "nul \0 and \ud800"),
            after={
                "big": 2**60,
                "nan": float("nan"),
                "at": moment,
                "amount": Decimal("1.10"),
                "set": {1},
                "\0": "\0",
            },
        )
        payload = AuditPayload.objects.latest("pk")
        assert json.loads(bytes(payload.content))["after"] == {
            "big": str(2**60),
            "nan": "nan",
            "at": moment.isoformat(),
            "amount": "1.10",
            "set": [1],
            "\ufffd": "\ufffd",
        }
        assert assert_unbroken(organization)

    def test_keeps_facts_in_the_entry_itself(self) -> None:
        organization = factories.make_organization()
        audit.record(
            organization,
            actor=None,
            action="a.b",
            object=None,
            approval_id=7,
            override_id=8,
            facts={"root": "00", "n": 2},
        )
        entry = trail(organization)[-1]
        assert body_of(entry)["facts"] == {"root": "00", "n": 2}
        assert (entry.approval_id, entry.override_id) == (7, 8)
        assert assert_unbroken(organization)

    def test_without_before_and_after_has_no_payload(self) -> None:
        organization = factories.make_organization()
        audit.record(organization, actor=None, action="a.b", object=None)
        entry = trail(organization)[-1]
        assert body_of(entry)["payload_hash"] is None
        assert not AuditPayload.objects.filter(entry=entry).exists()


@audit.deed
def rename(organization: Organization, name: str, *, refuse: bool = False) -> None:
    organization.name = name
    organization.save(update_fields=["name"])
    audit.record(organization, actor=None, action="renamed", object=organization)
    if refuse:
        audit.record(
            organization,
            actor=None,
            action="renamed",
            object=organization,
            outcome="denied",
        )
        raise PermissionDeniedError


@pytest.mark.django_db
class TestDeed:
    def test_appends_only_at_the_end_of_the_outermost(self) -> None:
        organization = factories.make_organization()
        before = len(trail(organization))

        @audit.deed
        def twice() -> None:
            rename(organization, "one")
            assert len(trail(organization)) == before
            rename(organization, "two")

        twice()
        assert len(trail(organization)) == before + 2
        assert_unbroken(organization)

    def test_refused_leaves_nothing_but_the_refusal(self) -> None:
        organization = factories.make_organization(name="first")
        before = len(trail(organization))
        with pytest.raises(PermissionDeniedError):
            rename(organization, "second", refuse=True)
        organization.refresh_from_db()
        assert organization.name == "first"
        entries = trail(organization)[before:]
        assert [entry.outcome for entry in entries] == ["denied"]
        assert_unbroken(organization)

    def test_can_go_on_after_an_inner_one_was_refused(self) -> None:
        organization = factories.make_organization(name="first")
        before = len(trail(organization))

        @audit.deed
        def outer() -> None:
            rename(organization, "second")
            with pytest.raises(PermissionDeniedError):
                rename(organization, "third", refuse=True)

        outer()
        organization.refresh_from_db()
        assert organization.name == "second"
        outcomes = [entry.outcome for entry in trail(organization)[before:]]
        assert outcomes == ["done", "denied"]

    def test_that_breaks_leaves_nothing_at_all(self) -> None:
        organization = factories.make_organization()
        before = len(trail(organization))

        @audit.deed
        def broken() -> None:
            rename(organization, "x")
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            broken()
        assert len(trail(organization)) == before


STATEMENTS = [
    "UPDATE governance_auditentry SET action = 'x'",
    "DELETE FROM governance_auditentry",
    "TRUNCATE governance_auditentry CASCADE",
    "UPDATE governance_auditpayload SET salt = ''",
    "DELETE FROM governance_auditpayload",
    "TRUNCATE governance_auditpayload",
    "DELETE FROM governance_audithead",
    "UPDATE governance_audithead SET seq = seq - 1",
    "UPDATE governance_audithead SET digest = ''",
    "UPDATE governance_checkpoint SET root = ''",
    "DELETE FROM governance_checkpoint",
    "TRUNCATE governance_checkpoint",
    "UPDATE governance_audittile SET root = ''",
    "DELETE FROM governance_audittile",
    "TRUNCATE governance_audittile",
]
INSERTIONS = [
    """INSERT INTO governance_auditentry (organization_id, seq, body, at, actor_type,
    actor_id, actor_label, action, object_type, object_id, object_label, outcome,
    request_id) SELECT organization_id, seq + 99, body, at, actor_type, actor_id,
    actor_label, action, object_type, object_id, object_label, outcome, request_id
    FROM governance_auditentry LIMIT 1""",
    """INSERT INTO governance_auditpayload (organization_id, entry_id, salt, content)
    SELECT organization_id, id, '', '' FROM governance_auditentry LIMIT 1""",
    """INSERT INTO governance_audithead (organization_id, seq, digest)
    SELECT id, 0, '' FROM governance_organization LIMIT 1""",
    "UPDATE governance_audithead SET seq = seq + 1",
]


@pytest.mark.django_db
class TestTrailIsFinal:
    @pytest.mark.parametrize("statement", INSERTIONS)
    def test_and_only_the_one_function_adds_to_it(self, statement: str) -> None:
        factories.make_organization()
        with (
            pytest.raises(DatabaseError, match="permission denied"),
            transaction.atomic(),
        ):
            connection.cursor().execute(statement)

    @pytest.mark.parametrize(
        ("start", "middle", "end"),
        [
            ('{"at":"', '","org":0,"payload_hash":null,"prev":"', '","seq":'),
            ('{"at":"', '","org":%s,"payload_hash":"aa","prev":"', '","seq":'),
            ('{"at":"', '","org":%s,"payload_hash":null,"prev":"', '","seq":1'),
            ('{"at":"', '","org":%s,"payload_hash":null,"prev":"0', '","seq":'),
            ('{"at":"1', '","org":%s,"payload_hash":null,"prev":"', '","seq":'),
            ('{"at":"', '","payload_hash":null,"prev":"', '","seq":'),
            ("nonsense", "%s", ""),
        ],
    )
    def test_which_takes_no_entry_of_another_place_or_time(
        self, start: str, middle: str, end: str
    ) -> None:
        organization = factories.make_organization()
        parts = [[start], [middle.replace("%s", str(organization.pk))], [end]]
        with pytest.raises(DatabaseError), transaction.atomic():
            connection.cursor().execute(
                audit.APPEND, [organization.pk, *parts, [b""], [None]]
            )
        assert_unbroken(organization)

    @pytest.mark.parametrize("statement", STATEMENTS)
    def test_for_the_application(self, statement: str) -> None:
        factories.make_organization()
        with pytest.raises(DatabaseError), transaction.atomic():
            connection.cursor().execute(statement)

    @pytest.mark.parametrize("statement", STATEMENTS)
    @pytest.mark.parametrize("role", ["origin", "replica"])
    def test_for_the_tables_owner_too(self, statement: str, role: str) -> None:
        factories.make_organization()
        cursor = connection.cursor()
        # The login of the tests is a superuser; at run time nobody can do this.
        cursor.execute("SET LOCAL ROLE NONE")
        # TRUNCATE refuses by itself while foreign keys wait to be checked.
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(f"SET LOCAL session_replication_role = {role}")
        with pytest.raises(IntegrityError), transaction.atomic():
            cursor.execute(statement)


def test_sixteen_threads_leave_no_gap_and_no_deadlock(cloned_db: str) -> None:
    first, second = factories.make_organization(), factories.make_organization()
    before = {pk: len(trail(pk)) for pk in (first, second)}
    started = threading.Barrier(16)

    @audit.deed
    def both(one: Organization, other: Organization, number: int) -> None:
        for organization in (one, other):
            audit.record(
                organization, actor=None, action="a.b", object=None, after={"n": number}
            )
        if number % 5 == 0:
            raise ConflictError

    def work(thread: int) -> int:
        started.wait()
        done = 0
        try:
            for number in range(12):
                pair = (first, second) if (thread + number) % 2 else (second, first)
                try:
                    both(*pair, number)
                    done += 1
                except ConflictError:
                    pass
        finally:
            connection.close()
        return done

    with ThreadPoolExecutor(16) as pool:
        done = sum(pool.map(work, range(16)))
    assert done == 16 * 9
    for organization in (first, second):
        assert assert_unbroken(organization) == before[organization] + done
        times = [entry.at for entry in trail(organization)]
        assert times == sorted(times)
