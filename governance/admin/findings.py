"""Findings: what was found, what was said about it, and the steps to its closure."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminSingleDateWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from governance.actions import finding_actions, findings
from governance.admin.dialogs import (
    ConfirmedDialog,
    Dialog,
    OptionalReasonDialog,
    ReasonDialog,
    button,
    offer,
)
from governance.admin.display import ago, at, json_block, lines, link, severity
from governance.admin.tenancy import TenantAdmin, choices_for, related_filter
from governance.models import (
    Finding,
    FindingAction,
    ModelVersion,
    RegisteredModel,
    User,
)

Kind = FindingAction.Kind


class CommentDialog(Dialog):
    text = forms.CharField(
        max_length=10_000, widget=UnfoldAdminTextareaWidget({"rows": 4})
    )


class AssignDialog(Dialog):
    owner = forms.ModelChoiceField(
        User.objects.none(), required=False, widget=UnfoldAdminSelectWidget()
    )
    due_at = forms.DateTimeField(
        label="Due (UTC)", required=False, widget=UnfoldAdminSingleDateWidget()
    )
    sent = forms.BooleanField(initial=True, widget=forms.HiddenInput)

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, *args, **kwargs)
        offer(self, "owner", choices_for(request, User))


class LinkDialog(Dialog):
    reference = forms.CharField(
        max_length=1_000,
        help_text="An address, or a document's name.",
        widget=UnfoldAdminTextInputWidget(),
    )
    note = forms.CharField(
        max_length=5_000,
        required=False,
        widget=UnfoldAdminTextareaWidget({"rows": 2}),
    )


class ActionDialog(Dialog):
    kind = forms.ChoiceField(choices=Kind.choices, widget=UnfoldAdminSelectWidget())
    note = forms.CharField(
        max_length=5_000, widget=UnfoldAdminTextareaWidget({"rows": 3})
    )
    until = forms.DateTimeField(
        label="Until (UTC)",
        required=False,
        help_text="Has to be given for a risk that is to be accepted.",
        widget=UnfoldAdminSingleDateWidget(),
    )


class DecisionDialog(ConfirmedDialog):
    action = forms.ModelChoiceField(
        FindingAction.objects.none(), widget=UnfoldAdminSelectWidget()
    )
    decision = forms.ChoiceField(
        choices=[("done", "Done, or accepted"), ("declined", "Declined")],
        widget=UnfoldAdminSelectWidget(),
    )
    reason = forms.CharField(
        max_length=5_000, widget=UnfoldAdminTextareaWidget({"rows": 3})
    )
    field_order = ("action", "decision", "reason", "password")

    def __init__(
        self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any
    ) -> None:
        super().__init__(request, object_id, *args, **kwargs)
        requested = choices_for(request, FindingAction).filter(
            finding=object_id, status=FindingAction.Status.REQUESTED
        )
        offer(self, "action", requested)


class RemediationDialog(ReasonDialog):
    version = forms.ModelChoiceField(
        ModelVersion.objects.none(), widget=UnfoldAdminSelectWidget()
    )
    field_order = ("version", "reason")

    def __init__(
        self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any
    ) -> None:
        super().__init__(request, object_id, *args, **kwargs)
        finding = choices_for(request, Finding).filter(pk=object_id)
        others = (
            choices_for(request, ModelVersion)
            .filter(model__in=finding.values("version__model"))
            .exclude(pk__in=finding.values("version"))
        )
        offer(self, "version", others)


@admin.register(Finding)
class FindingAdmin(TenantAdmin):
    has_history = True
    act_roles = frozenset(findings.WORKERS)
    list_display = (
        "title",
        "shown_severity",
        "version_link",
        "status",
        "owner",
        "due",
        "opened",
        "last_seen",
    )
    list_filter = (
        ("severity", ChoicesDropdownFilter),
        ("status", ChoicesDropdownFilter),
        related_filter(RegisteredModel, "version__model", "model"),
    )
    search_fields = ("title", "cause", "version__model__name")
    list_select_related = ("version__model", "owner")
    fields = (
        "title",
        "shown_severity",
        "status",
        "whats_next",
        "version_link",
        "version",
        "cause",
        "occurrences",
        "owner",
        "due",
        "opened_at",
        "last_seen_at",
        "resolved",
        "closed",
        "discussion",
        "linked",
        "asked_for",
        "remedied_by",
        "shown_detail",
    )
    readonly_fields = fields
    actions_detail = (
        "start",
        "resolve",
        "close",
        {
            "title": "More",
            "items": [
                "reopen",
                "assign",
                "comment",
                "link_reference",
                "ask_for",
                "decide",
                "declare_remediated",
            ],
        },
    )

    @button("Begin", icon="play_arrow", form=OptionalReasonDialog)
    def start(self, row: Finding, form: Dialog) -> str:
        findings.start(row, reason=form.cleaned_data["reason"], actor=form.actor())
        return "The finding is in progress."

    @button("Resolve", icon="task_alt", says="Say what was done about it.")
    def resolve(self, row: Finding, form: Dialog) -> str:
        findings.resolve(row, reason=form.cleaned_data["reason"], actor=form.actor())
        return "The finding is resolved; somebody else has to close it."

    @button("Close", icon="verified", says="By somebody else than who resolved it.")
    def close(self, row: Finding, form: Dialog) -> str:
        findings.close(row, reason=form.cleaned_data["reason"], actor=form.actor())
        return "The finding is closed."

    @button("Send back to work", icon="undo")
    def reopen(self, row: Finding, form: Dialog) -> str:
        findings.reopen(row, reason=form.cleaned_data["reason"], actor=form.actor())
        return "The finding is in progress again."

    @button("Assign", icon="person", form=AssignDialog)
    def assign(self, row: Finding, form: Dialog) -> str:
        given = form.cleaned_data
        findings.assign(
            row, owner=given["owner"], due_at=given["due_at"], actor=form.actor()
        )
        return "The finding was assigned."

    @button("Comment", icon="chat", form=CommentDialog)
    def comment(self, row: Finding, form: Dialog) -> str:
        finding_actions.comment(row, text=form.cleaned_data["text"], actor=form.actor())
        return "The comment was added."

    @button("Link", icon="link", form=LinkDialog)
    def link_reference(self, row: Finding, form: Dialog) -> str:
        finding_actions.link(
            row,
            reference=form.cleaned_data["reference"],
            note=form.cleaned_data["note"],
            actor=form.actor(),
        )
        return "The link was added."

    @button("Ask for an action", icon="assignment", form=ActionDialog)
    def ask_for(self, row: Finding, form: Dialog) -> str:
        finding_actions.request(row, **_known(form), actor=form.actor())
        return "The action was asked for."

    @button("Decide on an action", icon="gavel", form=DecisionDialog)
    def decide(self, row: Finding, form: Dialog) -> str:
        given = form.cleaned_data
        decided = finding_actions.decide(
            given["action"],
            done=given["decision"] == "done",
            reason=given["reason"],
            actor=form.actor(),
        )
        return f"{decided}."

    @button("Declare remedied", icon="healing", form=RemediationDialog)
    def declare_remediated(self, row: Finding, form: Dialog) -> str:
        made = finding_actions.declare_remediated(
            row,
            version=form.cleaned_data["version"],
            reason=form.cleaned_data["reason"],
            actor=form.actor(),
        )
        return f"{made.version} is declared not to have it."

    @display(description="Severity", ordering="severity")
    def shown_severity(self, finding: Finding) -> Any:
        return severity(finding)

    @display(description="What happens next")
    def whats_next(self, finding: Finding) -> str:
        return findings.NEXT[findings.Status(finding.status)]

    @display(description="Model", ordering="version__model__name")
    def version_link(self, finding: Finding) -> Any:
        return link(finding.version.model, str(finding.version), 40)

    @display(description="Due", ordering="due_at")
    def due(self, finding: Finding) -> str:
        return at(finding.due_at)

    @display(description="Opened", ordering="opened_at")
    def opened(self, finding: Finding) -> Any:
        return ago(finding.opened_at)

    @display(description="Last seen", ordering="last_seen_at")
    def last_seen(self, finding: Finding) -> str:
        return at(finding.last_seen_at)

    @display(description="Resolved")
    def resolved(self, finding: Finding) -> Any:
        if finding.resolved_at is None:
            return lines([])
        return lines(
            [
                f"{at(finding.resolved_at)} by {finding.resolved_label}",
                finding.resolution,
            ]
        )

    @display(description="Closed")
    def closed(self, finding: Finding) -> Any:
        if finding.closed_at is None:
            return lines([])
        return lines(
            [
                f"{at(finding.closed_at)} by {finding.closed_label}",
                finding.closing_reason,
            ]
        )

    @display(description="Discussion")
    def discussion(self, finding: Finding) -> Any:
        return lines(
            f"{at(one.created_at)} {one.author_label}: {one.text}"
            for one in finding.comments.all()
        )

    @display(description="Linked")
    def linked(self, finding: Finding) -> Any:
        return lines(
            f"{one} {one.note}".strip()
            for one in finding.links.select_related("evidence__version__model")
        )

    @display(description="Actions")
    def asked_for(self, finding: Finding) -> Any:
        return lines(
            f"{one}{f' until {at(one.until)}' if one.until else ''}: {one.note} "
            f"({one.requested_label}{f', {one.decided_label}' * bool(one.decided_at)})"
            for one in finding.actions.all()
        )

    @display(description="Remedied by")
    def remedied_by(self, finding: Finding) -> Any:
        return lines(
            f"{one.version.version}: {one.reason} ({one.declared_label})"
            for one in finding.remediations.select_related("version")
        )

    @display(description="Detail")
    def shown_detail(self, finding: Finding) -> Any:
        return json_block(finding.detail)


def _known(form: Dialog) -> dict[str, Any]:
    return {name: form.cleaned_data[name] for name in ("kind", "note", "until")}
