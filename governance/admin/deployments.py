"""Deployments: what was live when, by whose leave, and how to stop it."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget

from governance.actions import break_glass, deployments, suspensions
from governance.admin.dialogs import (
    ConfirmedDialog,
    Dialog,
    OptionalReasonDialog,
    ReasonDialog,
    button,
)
from governance.admin.display import (
    DEPLOYMENT,
    EMPTY,
    Badge,
    at,
    json_block,
    link,
    pages_of,
)
from governance.admin.tenancy import Role, TenantAdmin, related_filter
from governance.models import Deployment, RegisteredModel


class RatificationDialog(ConfirmedDialog):
    word = forms.ChoiceField(
        choices=[("yes", "I stand by it"), ("no", "Revert it")],
        widget=UnfoldAdminSelectWidget(),
    )
    reason = forms.CharField(
        max_length=5_000, widget=UnfoldAdminTextareaWidget({"rows": 3})
    )
    field_order = ("word", "reason", "password")


@admin.register(Deployment)
class DeploymentAdmin(TenantAdmin):
    has_history = True
    act_roles = frozenset({Role.OWNER, Role.MODEL_OWNER, Role.COMPLIANCE_OFFICER})
    list_display = (
        "name",
        "shown_state",
        "environment",
        "kind",
        "requested_label",
        "since",
        "until_when",
    )
    list_filter = (
        related_filter(RegisteredModel, "model", "model"),
        ("environment", ChoicesDropdownFilter),
        ("kind", ChoicesDropdownFilter),
    )
    search_fields = ("model__name", "version__version", "reason", "requested_label")
    list_select_related = ("version__model", "fallback_version")
    fields = (
        "shown_state",
        "version_link",
        "decided_on",
        "version",
        "environment",
        "kind",
        "reason",
        "requested_label",
        "started_at",
        "shown_approval",
        "override",
        "shown_fallback",
        "mode",
        "due_at",
        "overdue_at",
        "until",
        "ratify_by",
        "ratified_label",
        "ratified_at",
        "ratification",
        "suspended_at",
        "suspension",
        "suspended_label",
        "suspension_reason",
        "ended_at",
        "end",
        "ended_label",
        "shown_gate",
    )
    readonly_fields = fields
    actions_detail = ("suspend", "resume", "ratify")

    @button(
        "Suspend",
        icon="pause_circle",
        form=ReasonDialog,
        danger=True,
        says="At once: its permit ends, its fallback is told.",
    )
    def suspend(self, row: Deployment, form: Dialog) -> str:
        suspensions.suspend(row, reason=form.cleaned_data["reason"], actor=form.actor())
        return "The deployment is suspended."

    @button(
        "Resume",
        icon="play_arrow",
        form=OptionalReasonDialog,
        says="If the gate lets it through.",
    )
    def resume(self, row: Deployment, form: Dialog) -> str:
        made = suspensions.resume(
            row, reason=form.cleaned_data["reason"], actor=form.actor()
        )
        return f"{made} goes on."

    @button(
        "Ratify",
        icon="handshake",
        form=RatificationDialog,
        says="Of a break-glass, as the second person.",
    )
    def ratify(self, row: Deployment, form: Dialog) -> str:
        agrees = form.cleaned_data["word"] == "yes"
        break_glass.ratify(
            row,
            agrees=agrees,
            reason=form.cleaned_data["reason"],
            actor=form.actor(),
        )
        return "It is ratified." if agrees else "It is reverted."

    @display(description="Version", ordering="model__name")
    def name(self, row: Deployment) -> str:
        return str(row.version)

    @display(description="Model")
    def version_link(self, row: Deployment) -> Any:
        return link(row.version.model, str(row.version), 40)

    @display(description="State")
    def shown_state(self, row: Deployment) -> Badge:
        return DEPLOYMENT[row.state]

    @display(description="Since", ordering="started_at")
    def since(self, row: Deployment) -> str:
        return at(row.started_at)

    @display(description="Live until")
    def until_when(self, row: Deployment) -> str:
        return at(row.live_until)

    @display(description="Fallback")
    def shown_fallback(self, row: Deployment) -> str:
        fallback = deployments.fallback_json(row)
        return " ".join(filter(None, (fallback["text"], fallback["version"])))

    @display(description="Approval")
    def shown_approval(self, row: Deployment) -> Any:
        if row.approval_id is None:
            return EMPTY
        address = reverse("approval", args=[row.approval_id])
        return format_html('<a href="{}">{}</a>', address, row.approval_id)

    @display(description="Pages")
    def decided_on(self, row: Deployment) -> Any:
        return pages_of(row.version, row.environment)

    @display(description="The gate said")
    def shown_gate(self, row: Deployment) -> Any:
        return json_block(row.gate)
