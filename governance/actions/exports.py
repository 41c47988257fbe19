"""Parts of the trail taken away as CSV or JSON Lines, of any length in little memory.

The numbers of the entries have no gaps and never change, so they are read span by span:
no transaction stays open while somebody downloads slowly, and no query takes long.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from django.db.models import Max, QuerySet

from governance.actions.audit import Actor, deed, record
from governance.models import AuditEntry, AuditPayload, Organization

# Entries that are looked at by one query.
SPAN = 5_000
# A cell that begins so is a formula to a spreadsheet.
FORMULA = ("=", "+", "-", "@", "\t", "\r")
COLUMNS = (
    *("seq", "at", "actor_type", "actor_id", "actor_label", "actor_role"),
    *("auth_method", "key_prefix", "action", "object_type", "object_id"),
    *("object_label", "outcome", "reason", "request_id", "ip", "channel"),
    *("policy_version", "approval_id", "override_id", "before", "after", "payload"),
    *("facts", "leaf_hash"),
)
NESTED = {
    "actor_type": ("actor", "type"),
    "actor_id": ("actor", "id"),
    "actor_label": ("actor", "label"),
    "actor_role": ("actor", "role"),
    "auth_method": ("auth", "method"),
    "key_prefix": ("auth", "key_prefix"),
    "object_type": ("object", "type"),
    "object_id": ("object", "id"),
    "object_label": ("object", "label"),
}
# What stands in an entry and is shown as it is.
SHOWN = (
    *("at", "actor", "auth", "action", "object", "outcome", "reason", "request_id"),
    *("ip", "channel", "policy_version", "approval_id", "override_id"),
)

Filter = Callable[[QuerySet[AuditEntry]], QuerySet[AuditEntry]]


def shown(entries: Sequence[AuditEntry]) -> list[dict[str, Any]]:
    """Return entries as people and machines read them, with what is left of payloads.

    `payload` says whether before and after are `kept`, were `erased`, or never were.
    """
    kept = AuditPayload.objects.filter(entry__in=[entry.pk for entry in entries])
    payloads = {
        payload.entry_id: bytes(payload.content) for payload in kept.defer("salt")
    }
    return [_shown(entry, payloads.get(entry.pk)) for entry in entries]


@deed
def record_reading(
    organization: Organization, *, actor: Actor, filters: Mapping[str, str]
) -> None:
    """Remember that somebody looked at the trail, and what they looked for."""
    record(
        organization,
        actor=actor,
        action="audit.read",
        object=organization,
        after={"filters": filters},
    )


def _shown(entry: AuditEntry, payload: bytes | None) -> dict[str, Any]:
    try:
        body = json.loads(bytes(entry.body))
        said = json.loads(bytes(payload)) if payload is not None else {}
        state = "kept" if payload is not None else "erased"
        return {
            "seq": entry.seq,
            **{name: body[name] for name in SHOWN},
            "facts": body.get("facts"),
            "before": said.get("before"),
            "after": said.get("after"),
            "payload": state if body["payload_hash"] else "none",
            "leaf_hash": bytes(entry.leaf_hash).hex(),
        }
    except (ValueError, TypeError, KeyError, AttributeError):
        return _unreadable(entry)


def _unreadable(entry: AuditEntry) -> dict[str, Any]:
    """Return an entry that somebody tampered with: what its columns still say."""
    return {
        **dict.fromkeys((*SHOWN, "facts", "before", "after")),
        "seq": entry.seq,
        "at": entry.at.isoformat(),
        "actor": {
            "type": entry.actor_type,
            "id": entry.actor_id,
            "label": entry.actor_label,
            "role": "",
        },
        "auth": {"method": "", "key_prefix": ""},
        "action": entry.action,
        "object": {
            "type": entry.object_type,
            "id": entry.object_id,
            "label": entry.object_label,
        },
        "outcome": entry.outcome,
        "payload": "unreadable",
        "leaf_hash": bytes(entry.leaf_hash).hex(),
    }


def last_seq(organization: Organization) -> int:
    """Return the number of the newest entry."""
    entries = AuditEntry.objects.for_organization(organization)
    return entries.aggregate(last=Max("seq"))["last"] or 0


def entries(
    organization: Organization, filtered: Filter, *, last: int
) -> Iterator[dict[str, Any]]:
    """Yield what the filter leaves of the entries up to `last`, the oldest first."""
    trail = AuditEntry.objects.for_organization(organization)
    for start in range(0, last, SPAN):
        end = min(last, start + SPAN)
        span = filtered(trail.filter(seq__gt=start, seq__lte=end)).order_by("seq")
        yield from shown(list(span))


def json_lines(found: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    """Yield each entry as a line of JSON."""
    for entry in found:
        yield json.dumps(entry, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def csv_rows(found: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    """Yield the lines of a CSV file (RFC 4180), with a header.

    What a spreadsheet would take for a formula is preceded by an apostrophe.
    """
    yield csv_line(COLUMNS)
    for entry in found:
        yield csv_line(_flat(entry))


def _flat(entry: Mapping[str, Any]) -> list[Any]:
    return [
        entry[NESTED[name][0]][NESTED[name][1]] if name in NESTED else entry[name]
        for name in COLUMNS
    ]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(FORMULA) else value
    return json.dumps(value, ensure_ascii=False)


def csv_line(values: Sequence[Any]) -> bytes:
    """Return one line of a CSV file; no cell of it is a formula."""
    line = io.StringIO(newline="")
    csv.writer(line).writerow([_cell(value) for value in values])
    return line.getvalue().encode()
