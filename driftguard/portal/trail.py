"""The audit trail as a time line: plain sentences, searched, the newest first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import django_filters
from django import forms
from django.db.models import Q, QuerySet
from django.forms import BoundField
from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from governance.actions import exports, verification
from governance.admin.audit import OUTCOMES, TYPES
from governance.admin.display import Badge
from governance.api.audit import EntryFilter
from governance.models import AuditEntry, Checkpoint, Organization

PAGE = 50
# What the form shows; the other filters of the API come with links from other pages.
SHOWN = ("actor", "about", "action", "outcome", "since", "until")
LINKED = (
    *("approval_id", "override_id", "object_type", "object_id", "actor_id"),
    "request_id",
)
DAY = {"type": "date"}


class TrailFilter(EntryFilter):
    """The filters of the API, with the words and fields of a form."""

    actor = django_filters.CharFilter(
        field_name="actor_label", lookup_expr="icontains", label=gettext_lazy("Who")
    )
    about = django_filters.CharFilter(
        method="of_object", label=gettext_lazy("What it was done to")
    )
    action = django_filters.CharFilter(
        field_name="action",
        lookup_expr="startswith",
        label=gettext_lazy("Action, or its beginning"),
    )
    outcome = django_filters.ChoiceFilter(
        choices=AuditEntry.Outcome.choices,
        label=gettext_lazy("Outcome"),
        empty_label=gettext_lazy("Any outcome"),
    )
    since = django_filters.IsoDateTimeFilter(
        field_name="at",
        lookup_expr="gte",
        label=gettext_lazy("From (UTC)"),
        widget=forms.TextInput(DAY),
    )
    until = django_filters.IsoDateTimeFilter(
        field_name="at",
        lookup_expr="lt",
        label=gettext_lazy("Before (UTC)"),
        widget=forms.TextInput(DAY),
    )

    def of_object(
        self, entries: QuerySet[AuditEntry], name: str, value: str
    ) -> QuerySet[AuditEntry]:
        return entries.filter(Q(object_label__icontains=value) | Q(object_id=value))


@dataclass(frozen=True, slots=True)
class Line:
    """One entry in words."""

    entry: AuditEntry
    sentence: str
    reason: str
    badge: Badge


@dataclass(frozen=True, slots=True)
class Trail:
    """One page of the time line, and whether the whole still is as it was written."""

    lines: tuple[Line, ...]
    filters: TrailFilter
    fields: tuple[BoundField, ...]
    linked: tuple[BoundField, ...]
    is_narrowed: bool
    older: str  # address of the next page, empty on the last
    newest: str  # address of the first page, empty on it
    checkpoint: Checkpoint | None
    verified: AuditEntry | None


def trail(organization: Organization, asked: QueryDict) -> Trail:
    """Read one page of the trail, in a fixed number of queries and without counting.

    What can't be understood finds nothing, and the form says why: a filter that is
    silently left out would show more than was asked for.
    """
    rows = AuditEntry.objects.for_organization(organization)
    filters = TrailFilter(asked, queryset=rows)
    found = filters.qs if filters.is_valid() else rows.none()
    before = _number(asked.get("before", ""))
    if before is not None:
        found = found.filter(seq__lt=before)
    entries = list(found.order_by("-seq")[: PAGE + 1])
    shown = entries[:PAGE]
    return Trail(
        lines=_lines(shown),
        filters=filters,
        fields=_bound(filters, SHOWN),
        linked=_bound(filters, [name for name in LINKED if asked.get(name)]),
        is_narrowed=any(asked.get(name) for name in filters.filters),
        older=_address(asked, shown[-1].seq) if len(entries) > PAGE else "",
        newest=_address(asked) if before is not None else "",
        checkpoint=Checkpoint.objects.for_organization(organization).first(),
        verified=verification.last_run(organization),
    )


def filters_of(asked: QueryDict) -> dict[str, str]:
    """Return what was looked for, for the trail."""
    names = sorted(name for name in TrailFilter.base_filters if asked.get(name))
    return {name: str(asked[name])[:500] for name in names}


def _bound(filters: TrailFilter, names: Any) -> tuple[BoundField, ...]:
    return tuple(cast(BoundField, filters.form[name]) for name in names)


def _number(text: str) -> int | None:
    is_number = text.isascii() and text.isdigit() and len(text) < 19
    return int(text) if is_number else None


def _address(asked: QueryDict, before: int | None = None) -> str:
    given = asked.copy()
    given.pop("before", None)
    if before is not None:
        given["before"] = str(before)
    return f"?{given.urlencode()}"


def _lines(entries: list[AuditEntry]) -> tuple[Line, ...]:
    said = exports.shown(entries)
    return tuple(
        Line(
            entry=entry,
            sentence=sentence(entry),
            reason=one["reason"] or "",
            badge=OUTCOMES.get(entry.outcome, Badge("calm", "help", entry.outcome)),
        )
        for entry, one in zip(entries, said, strict=True)
    )


def sentence(entry: AuditEntry) -> str:
    """Say what happened, such as "Limit raised by ada@example.com: model Fraud".

    Actions are named `noun.participle`. What the system does by itself names nobody.
    """
    what = entry.action.replace(".", " ").replace("_", " ").replace("api ", "API ")
    parts = {
        "deed": what[:1].upper() + what[1:],
        "who": entry.actor_label or entry.actor_id or entry.actor_type,
        "object": _object(entry),
    }
    if entry.outcome == AuditEntry.Outcome.DENIED:
        words = _("%(who)s was refused: %(deed)s: %(object)s")
    elif entry.actor_type == "system":
        words = _("%(deed)s: %(object)s")
    else:
        words = _("%(deed)s by %(who)s: %(object)s")
    return words % parts


def _object(entry: AuditEntry) -> str:
    kind = TYPES.get(entry.object_type, entry.object_type)
    return f"{kind} {entry.object_label or entry.object_id}".strip() or _("nothing")
