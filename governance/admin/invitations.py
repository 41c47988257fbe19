"""Invitations to the organization: made, shown once, withdrawn."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminEmailInputWidget, UnfoldAdminSelectWidget

from governance.actions import invitations
from governance.admin.addresses import changelist
from governance.admin.display import Badge
from governance.admin.organizations import DialogForm, leave_dialog
from governance.admin.tenancy import Role, TenantAdmin, actor_of, seat_of
from governance.exceptions import GovernanceError
from governance.models import Invitation

STATES = {
    "open": Badge("warn", "hourglass_empty", "Open"),
    "accepted": Badge("good", "check_circle", "Accepted"),
    "declined": Badge("bad", "block", "Declined"),
    "withdrawn": Badge("calm", "undo", "Withdrawn"),
    "expired": Badge("calm", "event_busy", "Expired"),
}


class InvitationForm(forms.ModelForm):
    email = forms.EmailField(
        label="E-mail", max_length=254, widget=UnfoldAdminEmailInputWidget()
    )
    role = forms.ChoiceField(choices=Role.choices, widget=UnfoldAdminSelectWidget())

    class Meta:
        model = Invitation
        fields = ("email", "role")


@admin.register(Invitation)
class InvitationAdmin(TenantAdmin):
    has_history = True
    list_display = (
        "whom",
        "role",
        "shown_state",
        "invited_by",
        "created_at",
        "expires_at",
    )
    list_filter = (
        ("status", ChoicesDropdownFilter),
        ("role", ChoicesDropdownFilter),
    )
    search_fields = ("email",)
    list_select_related = ("invited_by",)
    form = InvitationForm
    fields = (
        "whom",
        "role",
        "shown_state",
        "invited_by",
        "created_at",
        "expires_at",
        "closed_by",
        "closed_at",
    )
    readonly_fields = (
        "whom",
        "shown_state",
        "invited_by",
        "created_at",
        "expires_at",
        "closed_by",
        "closed_at",
    )
    add_fieldsets = ((None, {"fields": ("email", "role")}),)
    actions_detail = ("withdraw",)
    add_roles = frozenset({Role.OWNER})

    def save_model(
        self, request: HttpRequest, obj: Invitation, form: Any, change: bool
    ) -> None:
        seat = seat_of(request)
        if seat is None:
            raise Http404
        invitations.count_attempt(seat.organization)
        invitation = invitations.invite(
            seat.organization,
            email=form.cleaned_data["email"],
            role=form.cleaned_data["role"],
            actor=actor_of(request),
        )
        obj.__dict__.update(invitation.__dict__)

    def response_add(
        self, request: HttpRequest, obj: Invitation, post_url_continue: Any = None
    ) -> HttpResponse:
        """Show the link in this one answer; neither message nor session holds it."""
        context = {
            **self.admin_site.each_context(request),
            "title": "Invited",
            "opts": self.opts,
            "invitation": obj,
            "link": invitations.link(obj),
            "back": changelist(Invitation),
        }
        return TemplateResponse(request, "admin/new_invitation.html", context)

    def has_withdraw_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._is_allowed(request, frozenset({Role.OWNER}))

    @action(
        description="Withdraw",
        icon="undo",
        variant=ActionVariant.DANGER,
        permissions=["withdraw"],
        dialog={
            "title": "Withdraw this invitation?",
            "description": "Its link is dead at once.",
            "form_class": DialogForm,
            "form_submit_text": "Withdraw it",
        },
    )
    def withdraw(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        invitation = self.get_object(request, object_id)
        if invitation is None:
            raise Http404
        try:
            invitations.withdraw(invitation, actor=actor_of(request))
        except GovernanceError as error:
            messages.error(request, str(error))
        else:
            messages.success(request, f"The invitation of {invitation} is withdrawn.")
        return leave_dialog(changelist(Invitation))

    @display(description="E-mail", ordering="email")
    def whom(self, invitation: Invitation) -> str:
        return invitation.email or "whoever has the link"

    @display(description="State")
    def shown_state(self, invitation: Invitation) -> Badge:
        return STATES[invitation.state]
