"""Analyses that were asked for, and what they found."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.http import HttpRequest
from django.template.response import TemplateResponse
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display

from governance.admin.dialogs import Dialog, button
from governance.admin.display import (
    EMPTY,
    Badge,
    ago,
    at,
    code,
    count,
    json_block,
    link,
    measured,
    share,
    span,
)
from governance.admin.tenancy import TenantAdmin, related_filter
from governance.models import RegisteredModel
from monitoring.actions import analysis_runs
from monitoring.admin.model_page import ANALYSTS, run_badge
from monitoring.admin.result_page import result_page
from monitoring.models import AnalysisRun, DriftResult

_REPORTS = ("algorithms", "drift", "root_cause", "provenance")


class CancelDialog(Dialog):
    # A form with nothing in it would look like one that was not sent.
    sent = forms.BooleanField(initial=True, widget=forms.HiddenInput)


@admin.register(AnalysisRun)
class AnalysisRunAdmin(TenantAdmin):
    has_history = True
    act_roles = ANALYSTS
    list_display = (
        "name",
        "version_link",
        "state",
        "window",
        "trigger",
        "requested_by",
        "requested",
    )
    list_filter = (
        related_filter(RegisteredModel, "model", "model"),
        ("status", ChoicesDropdownFilter),
        ("trigger", ChoicesDropdownFilter),
    )
    search_fields = ("model__name",)
    list_select_related = ("version__model", "requested_by", "result")
    fields = (
        "name",
        "version_link",
        "state",
        "step",
        "error",
        "found",
        "window",
        "baseline",
        "trigger",
        "requested_by",
        "requested_at",
        "started_at",
        "completed_at",
        "attempts",
        "shown_configuration",
    )
    readonly_fields = fields
    actions_detail = ("cancel",)

    def get_queryset(self, request: HttpRequest) -> Any:
        rows = super().get_queryset(request)
        return rows.defer(*(f"result__{name}" for name in _REPORTS))

    @button(
        "Cancel the analysis",
        icon="cancel",
        form=CancelDialog,
        says="It stops within moments and leaves no result.",
    )
    def cancel(self, row: AnalysisRun, form: Dialog) -> str:
        analysis_runs.cancel(row, actor=form.actor())
        return "The analysis is cancelled."

    @display(description="Analysis")
    def name(self, run: AnalysisRun) -> Any:
        return code(run.public_id)

    @display(description="Version", ordering="version")
    def version_link(self, run: AnalysisRun) -> Any:
        return link(run.version.model, str(run.version), 40)

    @display(description="Status", ordering="status")
    def state(self, run: AnalysisRun) -> Badge:
        return run_badge(run)

    @display(description="Window", ordering="window_end")
    def window(self, run: AnalysisRun) -> str:
        return span(run.window_start, run.window_end)

    @display(description="Requested", ordering="requested_at")
    def requested(self, run: AnalysisRun) -> Any:
        return ago(run.requested_at)

    @display(description="Result")
    def found(self, run: AnalysisRun) -> Any:
        result = getattr(run, "result", None)
        return EMPTY if result is None else link(result, result.public_id)

    @display(description="Configuration")
    def shown_configuration(self, run: AnalysisRun) -> Any:
        return json_block(run.configuration)


@admin.register(DriftResult)
class DriftResultAdmin(TenantAdmin):
    list_display = (
        "name",
        "version_link",
        "state",
        "window",
        "rows",
        "labelled",
        "created",
    )
    list_filter = (
        related_filter(RegisteredModel, "model", "model"),
        ("status", ChoicesDropdownFilter),
    )
    search_fields = ("model__name",)
    list_select_related = ("version__model", "run")
    fields = ("name", "version_link", "state", "window", "rows", "labelled", "created")
    readonly_fields = fields

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """Show what the analysis found, not the row that keeps it."""
        if request.method == "POST":
            return super().change_view(request, object_id, form_url, extra_context)
        result = self.get_object(request, unquote(object_id))
        if result is None:
            # The same answer for what is missing and for what is another tenant's.
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        context = {
            **self.admin_site.each_context(request),
            "title": f"Analysis of {result.version}",
            "subtitle": None,
            "opts": self.opts,
            "original": result,
            "page": result_page(result),
            **(extra_context or {}),
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/result_page.html", context)

    def get_queryset(self, request: HttpRequest) -> Any:
        rows = super().get_queryset(request)
        match = request.resolver_match
        if match is not None and str(match.url_name).endswith("changelist"):
            # The reports are for the result's own page.
            return rows.defer(*_REPORTS)
        heavy = ("features", "labeled", "grid_data", "outcome_data", "performance")
        return rows.select_related("version__model", "baseline", "run").defer(
            *(f"baseline__{name}" for name in heavy)
        )

    @display(description="Result")
    def name(self, result: DriftResult) -> Any:
        return code(result.public_id)

    @display(description="Version", ordering="version")
    def version_link(self, result: DriftResult) -> Any:
        return link(result.version.model, str(result.version), 40)

    @display(description="Status", ordering="status")
    def state(self, result: DriftResult) -> Badge:
        return measured(result.status)

    @display(description="Window", ordering="window_end")
    def window(self, result: DriftResult) -> str:
        return span(result.window_start, result.window_end)

    @display(description="Predictions", ordering="predictions")
    def rows(self, result: DriftResult) -> str:
        return count(result.predictions)

    @display(description="Labels in")
    def labelled(self, result: DriftResult) -> str:
        return share(result.labels / result.predictions if result.predictions else None)

    @display(description="Finished", ordering="created_at")
    def created(self, result: DriftResult) -> str:
        return at(result.created_at)
