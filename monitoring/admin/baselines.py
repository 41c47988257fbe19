from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display

from governance.admin.display import Badge, code, count, json_block, link
from governance.admin.tenancy import TenantAdmin, related_filter
from governance.models import RegisteredModel
from monitoring.models import Baseline


@admin.register(Baseline)
class BaselineAdmin(TenantAdmin):
    has_history = True
    list_display = (
        "label",
        "model_link",
        "shown_kind",
        "state",
        "rows",
        "created_by",
        "created_at",
    )
    list_filter = (
        related_filter(RegisteredModel, "model", "model"),
        ("kind", ChoicesDropdownFilter),
    )
    search_fields = ("label", "model__name")
    list_select_related = ("version__model", "created_by")
    fields = (
        "shown_id",
        "label",
        "version",
        "shown_kind",
        "state",
        "rows",
        "target_type",
        "shown_performance",
        "shown_digest",
        "created_by",
        "created_at",
    )
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> Any:
        # The data of a baseline may be hundreds of megabytes.
        heavy = ("features", "labeled", "grid_data", "outcome_data")
        return super().get_queryset(request).defer(*heavy)

    @display(description="Baseline")
    def shown_id(self, baseline: Baseline) -> Any:
        return code(baseline.public_id)

    @display(description="Version", ordering="version")
    def model_link(self, baseline: Baseline) -> Any:
        return link(baseline.version.model, str(baseline.version), 40)

    @display(description="Kind", ordering="kind")
    def shown_kind(self, baseline: Baseline) -> str:
        return baseline.get_kind_display()

    @display(description="State", ordering="active")
    def state(self, baseline: Baseline) -> Badge:
        if baseline.active:
            return Badge("good", "check_circle", "Active")
        return Badge("calm", "history", "Not active")

    @display(description="Rows", ordering="sample_size")
    def rows(self, baseline: Baseline) -> str:
        return count(baseline.sample_size)

    @display(description="Performance")
    def shown_performance(self, baseline: Baseline) -> Any:
        return json_block(baseline.performance)

    @display(description="SHA-256 over data and grid")
    def shown_digest(self, baseline: Baseline) -> Any:
        return code(baseline.digest)
