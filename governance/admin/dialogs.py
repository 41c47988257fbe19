"""Buttons on a row's page that ask something first, and then do one deed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from django import forms
from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from unfold.decorators import action
from unfold.enums import ActionVariant
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminTextareaWidget

from governance.actions import authority
from governance.actions.audit import Actor
from governance.admin.addresses import change
from governance.admin.tenancy import TenantAdmin, actor_of, seat_of
from governance.exceptions import GovernanceError


class Dialog(forms.Form):
    """A form inside a dialog; Unfold does the action only when a valid POST comes."""

    render_before_template = ""
    render_after_template = ""

    def __init__(
        self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.request = request
        self.object_id = object_id

    def actor(self) -> Actor:
        """Return who acts; if the form asked for the password, it was right."""
        return actor_of(self.request)


class ReasonDialog(Dialog):
    reason = forms.CharField(
        max_length=5_000, widget=UnfoldAdminTextareaWidget({"rows": 3})
    )


class OptionalReasonDialog(Dialog):
    reason = forms.CharField(
        max_length=5_000,
        required=False,
        widget=UnfoldAdminTextareaWidget({"rows": 3}),
    )
    # A form with nothing in it would look like one that was not sent.
    sent = forms.BooleanField(initial=True, widget=forms.HiddenInput)


class ConfirmedDialog(Dialog):
    """Asks for the password again: nobody decides at an unlocked screen of another."""

    password = forms.CharField(
        label="Your password, again",
        max_length=1_000,
        strip=False,
        widget=UnfoldAdminPasswordWidget({"autocomplete": "current-password"}),
    )

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or {}
        seat = seat_of(self.request)
        if seat is None or not given.get("password"):
            return given
        try:
            self.confirmed = authority.confirmed(
                actor_of(self.request),
                given["password"],
                organization_id=seat.organization.pk,
                path=self.request.path,
            )
        except GovernanceError as error:
            raise forms.ValidationError({"password": error.detail}) from None
        return given

    def actor(self) -> Actor:
        return self.confirmed


class ConfirmedReasonDialog(ReasonDialog, ConfirmedDialog):
    field_order = ("reason", "password")


def offer(form: forms.Form, name: str, rows: QuerySet[Any]) -> None:
    """Let a field offer these rows, which depend on who asks and about what."""
    cast("forms.ModelChoiceField", form.fields[name]).queryset = rows


def leave(address: str) -> HttpResponse:
    """Answer a confirmed dialog: the page is loaded anew."""
    return HttpResponse(headers={"HX-Redirect": address})


def button(
    words: str,
    *,
    icon: str,
    form: type[Dialog] = ReasonDialog,
    says: str = "",
    permission: str = "act",
    danger: bool = False,
) -> Callable[[Callable[..., Any]], Any]:
    """Make a method `(admin, row, form) -> message` a button of the row's page.

    The method does one deed; what that refuses is shown as a message.
    """

    def decorate(method: Callable[..., Any]) -> Any:
        def act(
            self: TenantAdmin, request: HttpRequest, form: Any, object_id: str
        ) -> HttpResponse:
            row = self.get_object(request, object_id)
            if row is None:
                raise Http404
            try:
                messages.success(request, method(self, row, form))
            except GovernanceError as error:
                messages.error(request, _refusal(error))
            return leave(change(row))

        act.__name__ = method.__name__
        return action(
            description=words,
            icon=icon,
            variant=ActionVariant.DANGER if danger else ActionVariant.DEFAULT,
            permissions=[permission],
            dialog={
                "title": f"{words}?",
                "description": says,
                "form_class": form,
                "form_submit_text": words,
            },
        )(act)

    return decorate


def _refusal(error: GovernanceError) -> str:
    """Return what was refused, and what to do next."""
    if error.errors:
        listed = "; ".join(
            f"{'.'.join(map(str, one['loc']))}: {one['detail']}" for one in error.errors
        )
        return f"{error.detail} {listed}"
    steps = error.extra.get("next") or ()
    return " ".join([error.detail, *([steps] if isinstance(steps, str) else steps)])
