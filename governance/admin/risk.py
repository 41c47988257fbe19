from typing import Any

from django.contrib import admin
from django.utils.html import format_html, format_html_join
from unfold.contrib.filters.admin import ChoicesDropdownFilter, RangeDateTimeFilter
from unfold.decorators import display
from unfold.paginator import InfinitePaginator

from governance.admin.display import at, health, json_block, link, points
from governance.admin.tenancy import TenantAdmin, related_filter
from governance.models import Evidence, RegisteredModel, RiskScore, StatusChange


def sentences(texts: list[str]) -> Any:
    """Show the reasons of a decision as a list."""
    return format_html(
        '<ul class="dg-reasons">{}</ul>',
        format_html_join("", "<li>{}</li>", ((text,) for text in texts)),
    )


@admin.register(RiskScore)
class RiskScoreAdmin(TenantAdmin):
    list_display = (
        "when",
        "version_link",
        "shown_score",
        "drift",
        "fairness",
        "shown_health",
    )
    list_filter = (
        related_filter(RegisteredModel, "model", "model"),
        ("governance_status", ChoicesDropdownFilter),
        ("computed_at", RangeDateTimeFilter),
    )
    list_select_related = ("version__model",)
    # The history grows with every hour of every model; it is not worth counting.
    paginator = InfinitePaginator
    show_full_result_count = False
    fields = (
        "version",
        "when",
        "shown_score",
        "drift",
        "fairness",
        "shown_health",
        "shown_explanation",
        "policy_version",
        "evidence",
        "shown_terms",
    )
    readonly_fields = fields

    @display(description="Computed", ordering="computed_at")
    def when(self, score: RiskScore) -> str:
        return at(score.computed_at)

    @display(description="Version", ordering="model__name")
    def version_link(self, score: RiskScore) -> Any:
        return link(score.version.model, str(score.version), 40)

    @display(description="Risk", ordering="score")
    def shown_score(self, score: RiskScore) -> str:
        return points(score.score)

    @display(description="Drift", ordering="drift_component")
    def drift(self, score: RiskScore) -> str:
        return points(score.drift_component)

    @display(description="Fairness", ordering="fairness_component")
    def fairness(self, score: RiskScore) -> str:
        return points(score.fairness_component)

    @display(description="Health", ordering="governance_status")
    def shown_health(self, score: RiskScore) -> Any:
        return health(score.governance_status)

    @display(description="Why")
    def shown_explanation(self, score: RiskScore) -> Any:
        return sentences(score.explanation)

    @display(description="Terms")
    def shown_terms(self, score: RiskScore) -> Any:
        return json_block(score.terms)


@admin.register(StatusChange)
class StatusChangeAdmin(TenantAdmin):
    list_display = ("when", "version_link", "before", "now")
    list_filter = (
        related_filter(RegisteredModel, "version__model", "model"),
        ("status", ChoicesDropdownFilter),
        ("since", RangeDateTimeFilter),
    )
    list_select_related = ("version__model",)
    fields = ("version", "when", "before", "now", "why", "policy_version", "evidence")
    readonly_fields = fields

    @display(description="Since", ordering="since")
    def when(self, row: StatusChange) -> str:
        return at(row.since)

    @display(description="Version", ordering="version__model__name")
    def version_link(self, row: StatusChange) -> Any:
        return link(row.version.model, str(row.version), 40)

    @display(description="Before", ordering="previous")
    def before(self, row: StatusChange) -> Any:
        return health(row.previous)

    @display(description="Health", ordering="status")
    def now(self, row: StatusChange) -> Any:
        return health(row.status)

    @display(description="Why")
    def why(self, row: StatusChange) -> Any:
        return sentences(row.reasons)


@admin.register(Evidence)
class EvidenceAdmin(TenantAdmin):
    list_display = ("id", "version_link", "window", "created_at")
    list_filter = (related_filter(RegisteredModel, "version__model", "model"),)
    list_select_related = ("version__model",)
    paginator = InfinitePaginator
    show_full_result_count = False
    fields = (
        "version",
        "window",
        "created_at",
        "digest",
        "shown_source",
        "shown_facts",
    )
    readonly_fields = fields

    @display(description="Version")
    def version_link(self, evidence: Evidence) -> Any:
        return link(evidence.version.model, str(evidence.version), 40)

    @display(description="Window")
    def window(self, evidence: Evidence) -> str:
        return f"{at(evidence.window_start)} to {at(evidence.window_end)}"

    @display(description="Source")
    def shown_source(self, evidence: Evidence) -> Any:
        return json_block(evidence.source)

    @display(description="Facts")
    def shown_facts(self, evidence: Evidence) -> Any:
        return json_block(evidence.facts)
