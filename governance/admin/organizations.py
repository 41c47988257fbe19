"""Members and API keys of the organization; every change of them is a deed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import F
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter
from unfold.decorators import action, display
from unfold.enums import ActionVariant
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSelectWidget,
)

from governance.actions import credentials, organizations
from governance.admin.addresses import changelist
from governance.admin.display import Badge, ago, code
from governance.admin.tenancy import Role, TenantAdmin, actor_of, seat_of
from governance.exceptions import GovernanceError
from governance.models import ApiKey, Membership

MEMBER_STATES = {
    "in_effect": Badge("good", "check_circle", "In effect"),
    "unconfirmed": Badge("warn", "hourglass_empty", "Waits for a second person"),
    "ended": Badge("calm", "history", "Ended"),
}


class DialogForm(forms.Form):
    """The form inside a dialog that asks "are you sure?": it has no fields.

    Unfold runs the action only when a POST (with its CSRF token) confirms it.
    """

    confirmed = forms.BooleanField(initial=True, widget=forms.HiddenInput)
    render_before_template = ""
    render_after_template = ""

    def __init__(
        self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)


def leave_dialog(address: str) -> HttpResponse:
    """Answer a confirmed dialog: the page behind it is loaded anew."""
    return HttpResponse(headers={"HX-Redirect": address})


class MembershipForm(forms.ModelForm):
    role = forms.ChoiceField(choices=Role.choices, widget=UnfoldAdminSelectWidget())

    class Meta:
        model = Membership
        fields = ("user", "role")


class StateFilter(DropdownFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("active", "Has the role"), ("ended", "Had it once")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if self.value() in {"active", "ended"}:
            return queryset.filter(ended_at__isnull=self.value() == "active")
        return queryset


@admin.register(Membership)
class MembershipAdmin(TenantAdmin):
    list_display = (
        "person",
        "email",
        "role",
        "shown_state",
        "granted_by",
        "granted_at",
    )
    list_filter = (("role", ChoicesDropdownFilter), StateFilter)
    search_fields = ("user__email", "user__name")
    list_select_related = ("user", "granted_by")
    ordering = (F("ended_at").desc(nulls_first=True), "user__name", "pk")
    form = MembershipForm
    fields = (
        "user",
        "email",
        "role",
        "shown_state",
        "granted_by",
        "granted_at",
        "confirmed_by",
        "confirmed_at",
        "ended_by",
        "ended_at",
    )
    readonly_fields = ("email", "shown_state", *fields[4:])
    add_fieldsets = ((None, {"fields": ("user", "role")}),)
    actions_detail = ("confirm", "end")
    add_roles = frozenset({Role.OWNER})

    def save_model(
        self, request: HttpRequest, obj: Membership, form: Any, change: bool
    ) -> None:
        seat = seat_of(request)
        if seat is None:
            raise Http404
        membership = organizations.add_member(
            seat.organization,
            user=form.cleaned_data["user"],
            role=form.cleaned_data["role"],
            actor=actor_of(request),
        )
        obj.__dict__.update(membership.__dict__)

    def has_confirm_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._is_allowed(
            request, frozenset({Role.OWNER, Role.COMPLIANCE_OFFICER})
        )

    @action(
        description="Confirm as second person",
        icon="how_to_reg",
        permissions=["confirm"],
        dialog={
            "title": "Confirm this role?",
            "description": "From now on it may vote; not on requests that are open.",
            "form_class": DialogForm,
            "form_submit_text": "Confirm it",
        },
    )
    def confirm(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        return self._tell(
            request, object_id, organizations.confirm_member, "{} is confirmed."
        )

    def has_end_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._is_allowed(request, frozenset({Role.OWNER}))

    @action(
        description="End this role",
        icon="person_remove",
        variant=ActionVariant.DANGER,
        permissions=["end"],
        dialog={
            "title": "End this role?",
            "description": "It stays on record. With the last role, the person's "
            "sessions and keys end.",
            "form_class": DialogForm,
            "form_submit_text": "End it",
        },
    )
    def end(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        return self._tell(request, object_id, organizations.end_member, "{} has ended.")

    def _tell(
        self,
        request: HttpRequest,
        object_id: str,
        deed: Callable[..., Membership],
        done: str,
    ) -> HttpResponse:
        """Do the deed on the role, say what came of it, and load the list anew."""
        membership = self.get_object(request, object_id)
        if membership is None:
            raise Http404
        try:
            deed(membership, actor=actor_of(request))
        except GovernanceError as error:
            messages.error(request, str(error))
        else:
            messages.success(request, done.format(membership))
        return leave_dialog(changelist(Membership))

    @display(description="Person", ordering="user__name")
    def person(self, membership: Membership) -> str:
        return str(membership.user)

    @display(description="E-mail", ordering="user__email")
    def email(self, membership: Membership) -> str:
        return membership.user.email

    @display(description="State")
    def shown_state(self, membership: Membership) -> Badge:
        return MEMBER_STATES[membership.state]


class ApiKeyForm(forms.ModelForm):
    scopes = forms.MultipleChoiceField(
        choices=[(scope, scope) for scope in credentials.SCOPES],
        initial=credentials.ORDINARY_SCOPES,
        widget=UnfoldAdminCheckboxSelectMultipleWidget(),
    )

    class Meta:
        model = ApiKey
        fields = ("name", "environment", "owner", "scopes", "expires_at")


@admin.register(ApiKey)
class ApiKeyAdmin(TenantAdmin):
    has_history = True
    list_display = (
        "name",
        "shown_prefix",
        "environment",
        "owner",
        "state",
        "last_used",
        "expires_at",
    )
    list_filter = (("environment", ChoicesDropdownFilter),)
    search_fields = ("name", "prefix", "owner__email")
    list_select_related = ("owner",)
    form = ApiKeyForm
    fields = (
        "name",
        "shown_prefix",
        "environment",
        "owner",
        "scopes",
        "state",
        "created_by",
        "created_at",
        "expires_at",
        "revoked_at",
        "last_used",
    )
    readonly_fields = (
        "shown_prefix",
        "state",
        "created_by",
        "created_at",
        "revoked_at",
        "last_used",
    )
    add_fieldsets = (
        (None, {"fields": ("name", "environment", "owner", "scopes", "expires_at")}),
    )
    actions_detail = ("revoke",)
    add_roles = frozenset({Role.OWNER})

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {
            **super().get_changeform_initial_data(request),
            "owner": request.user.pk,
        }

    def save_model(
        self, request: HttpRequest, obj: ApiKey, form: Any, change: bool
    ) -> None:
        seat = seat_of(request)
        if seat is None:
            raise Http404
        given = form.cleaned_data
        key, text = organizations.create_api_key(
            seat.organization,
            name=given["name"],
            owner=given["owner"],
            scopes=given["scopes"],
            environment=given["environment"],
            expires_at=given["expires_at"],
            actor=actor_of(request),
        )
        obj.__dict__.update(key.__dict__)
        request._new_key = text  # type: ignore[attr-defined]

    def response_add(
        self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Show the key in this one answer; neither message nor session holds it."""
        context = {
            **self.admin_site.each_context(request),
            "title": "Copy the key now",
            "opts": self.opts,
            "key": obj,
            "text": request._new_key,  # type: ignore[attr-defined]
            "back": changelist(ApiKey),
        }
        return TemplateResponse(request, "admin/new_key.html", context)

    def has_revoke_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._is_allowed(request, frozenset({Role.OWNER}))

    @action(
        description="Revoke",
        icon="block",
        variant=ActionVariant.DANGER,
        permissions=["revoke"],
        dialog={
            "title": "Revoke this key?",
            "description": "Within five seconds it is refused everywhere, for good.",
            "form_class": DialogForm,
            "form_submit_text": "Revoke it",
        },
    )
    def revoke(self, request: HttpRequest, form: Any, object_id: str) -> HttpResponse:
        key = self.get_object(request, object_id)
        if key is None:
            raise Http404
        try:
            organizations.revoke_api_key(key, actor=actor_of(request))
        except GovernanceError as error:
            messages.error(request, str(error))
        else:
            messages.success(request, f"{key} is revoked.")
        return leave_dialog(changelist(ApiKey))

    @display(description="Key")
    def shown_prefix(self, key: ApiKey) -> Any:
        return code(f"{key.prefix}_…")

    @display(description="State")
    def state(self, key: ApiKey) -> Badge:
        if key.revoked_at is not None:
            return Badge("bad", "block", "Revoked")
        if key.expires_at is not None and key.expires_at <= timezone.now():
            return Badge("calm", "event_busy", "Expired")
        return Badge("good", "check_circle", "Usable")

    @display(description="Last used", ordering="last_used_at")
    def last_used(self, key: ApiKey) -> Any:
        return ago(key.last_used_at)
