"""Overrides: what was asked for, and the buttons of those who decide."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSingleDateWidget, UnfoldAdminTextareaWidget

from governance.actions import overrides
from governance.admin.dialogs import (
    ConfirmedReasonDialog,
    Dialog,
    OptionalReasonDialog,
    ReasonDialog,
    button,
)
from governance.admin.display import OVERRIDE, Badge, at, json_block, link, pages_of
from governance.admin.tenancy import Role, TenantAdmin, related_filter
from governance.models import Override, RegisteredModel


class JustificationDialog(Dialog):
    justification = forms.CharField(
        min_length=20,
        max_length=5_000,
        widget=UnfoldAdminTextareaWidget({"rows": 4}),
    )
    expires_at = forms.DateTimeField(
        label="Ends (UTC)",
        required=False,
        help_text="Empty: as long as the policy allows.",
        widget=UnfoldAdminSingleDateWidget(),
    )


@admin.register(Override)
class OverrideAdmin(TenantAdmin):
    has_history = True
    act_roles = frozenset(Role.values) - {Role.AUDITOR}
    list_display = (
        "name",
        "state",
        "version_link",
        "environment",
        "requested_label",
        "decided_label",
        "ends",
    )
    list_filter = (
        ("status", ChoicesDropdownFilter),
        ("environment", ChoicesDropdownFilter),
        related_filter(RegisteredModel, "version__model", "model"),
    )
    search_fields = ("justification", "version__model__name", "requested_label")
    list_select_related = ("version__model",)
    fields = (
        "state",
        "whats_next",
        "version_link",
        "decided_on",
        "version",
        "environment",
        "rules",
        "justification",
        "requested_label",
        "requested_at",
        "reviewed_label",
        "reviewed_at",
        "decided_label",
        "decided_at",
        "decision",
        "extends",
        "starts_at",
        "activated_at",
        "expires_at",
        "ended_at",
        "ended_label",
        "end_reason",
        "shown_gate",
    )
    readonly_fields = fields
    actions_detail = (
        "begin_review",
        "approve",
        "reject",
        {"title": "More", "items": ["revoke", "extend", "resubmit"]},
    )

    @button("Begin to review", icon="rate_review", form=OptionalReasonDialog)
    def begin_review(self, row: Override, form: Dialog) -> str:
        overrides.begin_review(row, actor=form.actor())
        return "The override is under review."

    @button(
        "Approve",
        icon="verified",
        form=ConfirmedReasonDialog,
        says="By somebody else than whoever asked for it.",
    )
    def approve(self, row: Override, form: Dialog) -> str:
        made = overrides.approve(
            row, reason=form.cleaned_data["reason"], actor=form.actor()
        )
        return f"The override is {made.get_status_display().lower()}."

    @button("Reject", icon="cancel", form=ReasonDialog)
    def reject(self, row: Override, form: Dialog) -> str:
        overrides.reject(row, reason=form.cleaned_data["reason"], actor=form.actor())
        return "The override is rejected."

    @button(
        "Revoke",
        icon="block",
        form=ReasonDialog,
        danger=True,
        says="What is deployed under it is suspended at once.",
    )
    def revoke(self, row: Override, form: Dialog) -> str:
        overrides.revoke(row, reason=form.cleaned_data["reason"], actor=form.actor())
        return "The override is revoked."

    @button(
        "Extend",
        icon="update",
        form=JustificationDialog,
        says="An extension is a new review.",
    )
    def extend(self, row: Override, form: Dialog) -> str:
        made = overrides.extend(
            row,
            justification=form.cleaned_data["justification"],
            expires_at=form.cleaned_data["expires_at"],
            actor=form.actor(),
        )
        return f"{made} was proposed."

    @button("Propose again", icon="undo", form=JustificationDialog)
    def resubmit(self, row: Override, form: Dialog) -> str:
        overrides.resubmit(
            row,
            justification=form.cleaned_data["justification"],
            expires_at=form.cleaned_data["expires_at"],
            actor=form.actor(),
        )
        return "The override is proposed again."

    @display(description="Override", ordering="pk")
    def name(self, row: Override) -> str:
        return f"{row.pk}: {', '.join(row.rules)}"

    @display(description="State", ordering="status")
    def state(self, row: Override) -> Badge:
        return OVERRIDE[Override.Status(row.status)]

    @display(description="What happens next")
    def whats_next(self, row: Override) -> str:
        return overrides.NEXT[overrides.Status(row.status)]

    @display(description="Model", ordering="version__model__name")
    def version_link(self, row: Override) -> Any:
        return link(row.version.model, str(row.version), 40)

    @display(description="Ends", ordering="expires_at")
    def ends(self, row: Override) -> str:
        return at(row.ends_at)

    @display(description="Pages")
    def decided_on(self, row: Override) -> Any:
        return format_html(
            '{}, <a href="{}">predictions made under it</a>',
            pages_of(row.version, row.environment),
            reverse("override-decisions", args=[row.pk]),
        )

    @display(description="The gate said")
    def shown_gate(self, row: Override) -> Any:
        return json_block(row.gate)
