"""Forms behind which stands one deed; what the deed refuses is shown in the form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from django import forms
from django.http import HttpRequest
from django.utils.translation import gettext_lazy

from governance.actions import authority
from governance.actions.audit import Actor
from governance.admin.tenancy import actor_of, seat_of
from governance.api.exceptions import status_of
from governance.exceptions import GovernanceError

T = TypeVar("T")
LONGEST_TEXT = 5_000


def text_field(label: Any, **options: Any) -> forms.CharField:
    widget = forms.Textarea({"rows": options.pop("rows", 3)})
    needed = gettext_lazy("Write a sentence here; it is kept with what you do.")
    options.setdefault("error_messages", {"required": needed})
    return forms.CharField(
        label=label, max_length=LONGEST_TEXT, widget=widget, **options
    )


class DeedForm(forms.Form):
    """A form of one deed; several of them stand on a page, each with its own name."""

    name: ClassVar[str]
    # The browser's own words would hide ours, which say what to do.
    use_required_attribute = False

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("auto_id", f"{self.name}_%s")
        super().__init__(*args, **kwargs)
        self.request = request
        self.refused: GovernanceError | None = None

    def actor(self) -> Actor:
        """Return who acts; if the form asked for the password, it was right."""
        return actor_of(self.request)

    def attempt(self, deed: Callable[[], T]) -> T | None:
        """Do a deed if the form is valid; None if it, or the deed, was refused."""
        if not self.is_valid():
            return None
        try:
            return deed()
        except GovernanceError as error:
            self.refuse(error)
            return None

    def refuse(self, error: GovernanceError) -> None:
        """Show what was refused at its field, and what to do next."""
        self.refused = error
        for one in error.errors:
            loc = str(one["loc"][0]) if one["loc"] else ""
            where = loc if loc in self.fields else None
            self.add_error(where, str(one["detail"]).capitalize())
        if not error.errors:
            self.add_error(None, error.detail)
        steps = error.extra.get("next") or ()
        for step in [steps] if isinstance(steps, str) else steps:
            self.add_error(None, step)

    @property
    def status(self) -> int:
        """The status of the answer that shows the form again."""
        return status_of(self.refused).value if self.refused else 422


class ConfirmedForm(DeedForm):
    """Asks for the password: nobody decides at an unlocked screen of another."""

    password = forms.CharField(
        label=gettext_lazy("Your password, again"),
        error_messages={"required": gettext_lazy("Type your password.")},
        max_length=1_000,
        strip=False,
        widget=forms.PasswordInput({"autocomplete": "current-password"}),
        help_text=gettext_lazy("So that nobody decides at your unlocked screen."),
    )

    def clean(self) -> dict[str, Any]:
        given: dict[str, Any] = super().clean() or {}
        # A password is tried, and counted, only when nothing else is wrong.
        if self.errors:
            return given
        seat = seat_of(self.request)
        if seat is None:
            raise PermissionError("admin_view lets nobody in without a seat")
        try:
            self.confirmed = authority.confirmed(
                super().actor(),
                given["password"],
                organization_id=seat.organization.pk,
                path=self.request.path,
            )
        except GovernanceError as error:
            self.refused = error
            raise forms.ValidationError({"password": error.detail}) from None
        return given

    def actor(self) -> Actor:
        return self.confirmed


class ReasonForm(DeedForm):
    reason = text_field(gettext_lazy("Reason"))


class OptionalReasonForm(DeedForm):
    reason = text_field(gettext_lazy("Reason"), required=False)
