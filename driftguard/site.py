"""The admin site: who may enter it, and the command center that it opens with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django import forms
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.views import PasswordChangeView
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from unfold.forms import AdminOwnPasswordChangeForm, AuthenticationForm
from unfold.sites import UnfoldAdminSite

from driftguard.command_center import overview
from driftguard.portal.approvals import todo
from governance.actions import sessions
from governance.admin.display import EMPTY
from governance.admin.tenancy import actor_of, seat_of, take_seat, visitor_of
from governance.models import Membership

MOST_DECISIONS = 5


class LoginForm(AuthenticationForm):
    """Lets in whoever belongs to an organization; being staff is not needed."""

    error_messages = {
        **AuthenticationForm.error_messages,
        # One sentence for every reason: it tells nobody which addresses exist.
        "invalid_login": "This e-mail address and password do not match.",
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["username"].label = "E-mail"
        self.fields["username"].widget.input_type = "email"
        self.fields["username"].widget.attrs["autocomplete"] = "username"

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean()
        user = self.get_user()
        actor = visitor_of(self.request, user, "password")
        sessions.record_login(user, actor=actor)
        return cleaned

    def get_invalid_login_error(self) -> ValidationError:
        email = self.cleaned_data.get("username", "")
        actor = replace(visitor_of(self.request, None, "password"), label=email)
        sessions.record_failure(email, actor=actor, reason="wrong password")
        error: ValidationError = super().get_invalid_login_error()
        return error

    def confirm_login_allowed(self, user: Any) -> None:
        memberships = Membership.objects.in_effect().filter(user=user)
        if not user.is_active or not memberships.exists():
            raise ValidationError(
                self.error_messages["invalid_login"], code="invalid_login"
            )


class PasswordChange(PasswordChangeView):
    form_class = AdminOwnPasswordChangeForm
    template_name = "registration/password_change_form.html"

    def form_valid(self, form: Any) -> HttpResponse:
        sessions.change_password(
            form.user,
            form.cleaned_data["new_password1"],
            actor=actor_of(self.request),
        )
        # This browser stays signed in; every other one has to sign in again.
        update_session_auth_hash(self.request, form.user)
        return HttpResponseRedirect(reverse("admin:password_change_done"))


class SeatForm(forms.Form):
    organization = forms.IntegerField(min_value=1, max_value=2**63 - 1)


class DriftGuardSite(UnfoldAdminSite):
    index_template = "admin/index.html"
    index_title = "Command center"
    site_header = "DriftGuard"
    site_title = "DriftGuard"
    enable_nav_sidebar = True

    def __init__(self, name: str = "admin") -> None:
        super().__init__(name)
        self.empty_value_display = EMPTY
        # History is never deleted here, not in bulk either.
        self.disable_action("delete_selected")

    def has_permission(self, request: HttpRequest) -> bool:
        return seat_of(request) is not None

    def get_urls(self) -> list[Any]:
        # The redirect to a row's public page tells who asks which ids exist.
        urls = super().get_urls()
        return [url for url in urls if getattr(url, "name", "") != "view_on_site"]

    def extra_urls(self) -> list[URLPattern]:
        return [
            path(
                "organizations/",
                self.admin_view(self.organizations),
                name="organizations",
            )
        ]

    def index(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        seat = seat_of(request)
        if seat is None:
            raise PermissionError("admin_view lets nobody in without a seat")
        context = {
            "overview": overview(seat.organization),
            "todo": todo(seat, MOST_DECISIONS),
            **(extra_context or {}),
        }
        response: TemplateResponse = super().index(request, context)
        return response

    def logout(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        seat = seat_of(request)
        if seat is not None and request.method == "POST":
            sessions.record_logout(seat.user, actor=actor_of(request))
        response: HttpResponse = super().logout(request, extra_context)
        return response

    def password_change(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponseBase:
        context = {**self.each_context(request), **(extra_context or {})}
        return PasswordChange.as_view(extra_context=context)(request)

    def organizations(self, request: HttpRequest) -> HttpResponse:
        """List the person's organizations; a POST switches to one of them."""
        form = SeatForm(request.POST or None)
        if form.is_valid() and take_seat(request, form.cleaned_data["organization"]):
            return HttpResponseRedirect(reverse("admin:index"))
        context = {
            **self.each_context(request),
            "title": "Organizations",
            "seat": seat_of(request),
        }
        request.current_app = self.name
        return TemplateResponse(request, "admin/organizations.html", context)
