import json
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.contrib.filters.admin import (
    ChoicesDropdownFilter,
    FieldTextFilter,
    RangeDateTimeFilter,
)
from unfold.decorators import display
from unfold.paginator import InfinitePaginator

from governance.admin.display import Badge, code, json_block
from governance.admin.tenancy import TRAIL_READERS, TenantAdmin
from governance.models import AuditEntry, AuditPayload

# How tables are called in the trail, and how people call them.
TYPES = {
    "apikey": "API key",
    "approvalrequest": "request",
    "modelversion": "version",
    # Its label begins with the word.
    "override": "",
    "policyversion": "policy",
    "registeredmodel": "model",
}
OUTCOMES = {
    AuditEntry.Outcome.DONE.value: Badge("good", "check_circle", "Done"),
    AuditEntry.Outcome.DENIED.value: Badge("bad", "block", "Denied"),
    AuditEntry.Outcome.FAILED.value: Badge("warn", "error", "Failed"),
}


@admin.register(AuditEntry)
class AuditEntryAdmin(TenantAdmin):
    list_display = ("seq", "when", "actor", "action", "about", "shown_outcome")
    list_filter = (
        ("outcome", ChoicesDropdownFilter),
        ("action", FieldTextFilter),
        ("object_type", FieldTextFilter),
        ("at", RangeDateTimeFilter),
    )
    search_fields = ("action", "actor_label", "object_label", "=request_id")
    paginator = InfinitePaginator
    show_full_result_count = False
    fields = (
        "seq",
        "when",
        "actor",
        "action",
        "about",
        "shown_outcome",
        "request_id",
        "before_and_after",
        "shown_body",
    )
    readonly_fields = fields
    view_roles = TRAIL_READERS

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Allow what the history links ask for: the entries about one object."""
        return lookup in {"object_type__exact", "object_id__exact"} or bool(
            super().lookup_allowed(lookup, value, request)
        )

    @display(description="Time", ordering="seq")
    def when(self, entry: AuditEntry) -> str:
        return f"{entry.at:%Y-%m-%d %H:%M:%S} UTC"

    @display(description="Actor")
    def actor(self, entry: AuditEntry) -> str:
        kind = "" if entry.actor_type == "user" else f" ({entry.actor_type})"
        return f"{entry.actor_label or entry.actor_id}{kind}".replace("_", " ")

    @display(description="Outcome", ordering="outcome")
    def shown_outcome(self, entry: AuditEntry) -> Badge:
        return OUTCOMES.get(entry.outcome, Badge("calm", "help", entry.outcome))

    @display(description="Object")
    def about(self, entry: AuditEntry) -> str:
        kind = TYPES.get(entry.object_type, entry.object_type)
        return f"{kind} {entry.object_label or entry.object_id}".strip()

    @display(description="Before and after")
    def before_and_after(self, entry: AuditEntry) -> Any:
        payload = AuditPayload.objects.filter(entry=entry).first()
        return json_block(json.loads(bytes(payload.content))) if payload else "none"

    @display(description="Entry, canonical JSON")
    def shown_body(self, entry: AuditEntry) -> Any:
        return code(bytes(entry.body).decode(), 5000)
