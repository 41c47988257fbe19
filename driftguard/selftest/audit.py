"""The trail: appended to by one function, and never changed."""

from __future__ import annotations

from collections.abc import Callable

from driftguard.selftest.cast import Cast
from driftguard.selftest.scenarios import Act, Scenario, Trial, Visitor, admin_ways, sql
from governance.actions import checkpoints
from governance.models import AuditEntry, AuditHead, AuditPayload, Checkpoint

APPEND = (
    "SELECT governance_append_audit(%s, ARRAY[%s], ARRAY[%s], ARRAY[%s], "
    "ARRAY[NULL]::bytea[], ARRAY[NULL]::bytea[])"
)


def _state(cast: Cast) -> tuple[object, ...]:
    """Return all that a trail consists of, without what is appended to it."""
    pk = cast.organization.pk
    entries = AuditEntry.objects.for_organization(pk).order_by("seq")
    payloads = AuditPayload.objects.for_organization(pk).order_by("pk")
    return (
        [(*row[:2], bytes(row[2])) for row in entries.values_list("pk", "seq", "body")],
        [(pk, bytes(content)) for pk, content in payloads.values_list("pk", "content")],
        list(Checkpoint.objects.for_organization(pk).values_list("note")),
        AuditHead.objects.filter(organization=pk).count(),
    )


def _is_touched(cast: Cast) -> Callable[[], bool]:
    """Tell whether what was there has changed, or more came than was appended."""
    before = _state(cast)

    def is_through() -> bool:
        now = _state(cast)
        known = len(before[0])  # type: ignore[arg-type]
        entries = now[0][:known], now[1][: len(before[1])], *now[2:]  # type: ignore[index,arg-type]
        head = AuditHead.objects.filter(organization=cast.organization.pk).first()
        last = AuditEntry.objects.for_organization(cast.organization.pk).count()
        return entries != before or head is None or head.seq != last

    return is_through


def _changed(cast: Cast) -> Trial:
    pk = cast.organization.pk
    checkpoints.sign(cast.organization)
    entries = AuditEntry.objects.for_organization(pk)
    entry = entries.get(seq=2)
    payload = AuditPayload.objects.for_organization(pk).first()
    assert payload is not None  # noqa: S101 (whatever was done left some)

    def of(table: str) -> dict[str, Act]:
        name = f"governance_{table}"
        return {
            f"SQL, {table}: update": sql(
                f"UPDATE {name} SET organization_id = organization_id "  # noqa: S608 # nosec B608
                "WHERE organization_id = %s",
                pk,
            ),
            f"SQL, {table}: delete": sql(
                f"DELETE FROM {name} WHERE organization_id = %s",  # noqa: S608 # nosec B608
                pk,
            ),
            f"SQL, {table}: truncate": sql(f"TRUNCATE {name} CASCADE"),
            f"SQL, {table}: triggers off": sql(
                f"ALTER TABLE {name} DISABLE TRIGGER USER"
            ),
        }

    tables = ("auditentry", "auditpayload", "audithead", "checkpoint")
    ways = {way: act for table in tables for way, act in of(table).items()}
    root = Visitor(user=cast.root)
    return Trial(
        {
            **ways,
            "queryset, update": lambda: entries.update(outcome="done", action="x"),
            "queryset, delete": lambda: entries.filter(seq=2).delete(),
            "row, saved": lambda: AuditEntry.objects.filter(pk=entry.pk).update(seq=9),
            "SQL, as a replica": sql("SET LOCAL session_replication_role = replica"),
            "SQL, an erasure without its entry": sql(
                "SELECT set_config('driftguard.erasure', %s, true); "
                "DELETE FROM governance_auditpayload WHERE id = %s",
                str(entry.pk),
                payload.pk,
            ),
            "SQL, the function replaced": sql(
                "CREATE OR REPLACE FUNCTION public.driftguard_refuse_change() "
                "RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'"
            ),
            **{
                f"{way}, by the owner": act
                for way, act in admin_ways(
                    cast.alice.browser, entry, {"action": "x"}
                ).items()
            },
            **{
                f"{way}, by a superuser": act
                for way, act in admin_ways(root, entry, {"action": "x"}).items()
            },
        },
        _is_touched(cast),
    )


def _appended_in_another_way(cast: Cast) -> Trial:
    pk = cast.organization.pk
    start = '{"action":"x","actor":{},"at":"'
    middle = '","org":%d,"payload_hash":null,"prev":"'
    return Trial(
        {
            "SQL, inserted": sql(
                "INSERT INTO governance_auditentry (organization_id, seq, body, "
                "leaf_hash, at, actor_type, actor_id, actor_label, action, "
                "object_type, object_id, object_label, outcome, request_id) "
                "SELECT organization_id, seq + 1000, body, leaf_hash, at, actor_type, "
                "actor_id, actor_label, action, object_type, object_id, object_label, "
                "outcome, request_id FROM governance_auditentry "
                "WHERE organization_id = %s",
                pk,
            ),
            "SQL, the head moved": sql(
                "UPDATE governance_audithead SET seq = seq + 5 "
                "WHERE organization_id = %s",
                pk,
            ),
            "SQL, a payload inserted": sql(
                "INSERT INTO governance_auditpayload (organization_id, entry_id, salt, "
                "content) SELECT organization_id, id, 'x', 'x' "
                "FROM governance_auditentry WHERE organization_id = %s AND seq = 1",
                pk,
            ),
            "function, dated back": sql(
                APPEND,
                pk,
                start + '2020-01-01T00:00:00.000000Z","at2":"',
                middle % pk,
                '","seq":',
            ),
            "function, another organization's": sql(
                APPEND, pk, start, middle % (pk + 1), '","seq":'
            ),
            "function, with a number of its own": sql(
                APPEND, pk, start, middle % pk, '","seq":7,"seq2":'
            ),
        },
        _is_touched(cast),
    )


SCENARIOS = (
    Scenario("the trail is changed", _changed),
    Scenario("the trail is written to in another way", _appended_in_another_way),
)
