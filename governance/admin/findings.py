from typing import Any

from django.contrib import admin
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display

from governance.admin.display import ago, at, json_block, link, severity
from governance.admin.tenancy import TenantAdmin, related_filter
from governance.models import Finding, RegisteredModel


@admin.register(Finding)
class FindingAdmin(TenantAdmin):
    has_history = True
    list_display = (
        "title",
        "shown_severity",
        "version_link",
        "status",
        "opened",
        "last_seen",
    )
    list_filter = (
        ("severity", ChoicesDropdownFilter),
        ("status", ChoicesDropdownFilter),
        related_filter(RegisteredModel, "version__model", "model"),
    )
    search_fields = ("title", "cause", "version__model__name")
    list_select_related = ("version__model",)
    fields = (
        "title",
        "shown_severity",
        "status",
        "version_link",
        "version",
        "cause",
        "occurrences",
        "owner",
        "opened_at",
        "last_seen_at",
        "shown_detail",
    )
    readonly_fields = fields

    @display(description="Severity", ordering="severity")
    def shown_severity(self, finding: Finding) -> Any:
        return severity(finding)

    @display(description="Model", ordering="version__model__name")
    def version_link(self, finding: Finding) -> Any:
        return link(finding.version.model, str(finding.version), 40)

    @display(description="Opened", ordering="opened_at")
    def opened(self, finding: Finding) -> Any:
        return ago(finding.opened_at)

    @display(description="Last seen", ordering="last_seen_at")
    def last_seen(self, finding: Finding) -> str:
        return at(finding.last_seen_at)

    @display(description="Detail")
    def shown_detail(self, finding: Finding) -> Any:
        return json_block(finding.detail)
