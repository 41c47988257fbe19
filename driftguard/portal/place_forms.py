"""Forms of deeds in a place: one model in one environment, as its page shows it."""

from __future__ import annotations

from typing import Any, TypeVar

from django import forms
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from driftguard.portal.deployments import DeploymentPage
from driftguard.portal.forms import DeedForm
from governance.exceptions import ConflictError
from governance.models import Deployment, ModelVersion, Override

T = TypeVar("T", Override, Deployment)
LONGEST_HOURS = 24 * 366


class PlaceForm(DeedForm):
    """A form of a deed in the place that the page shows, with its words."""

    heading: Any
    button: Any
    says: Any = ""
    is_danger = False
    is_rare = False  # nothing that a newcomer should be led to

    def __init__(
        self, request: HttpRequest, place: DeploymentPage, *args: Any, **kwargs: Any
    ) -> None:
        super().__init__(request, *args, **kwargs)
        self.place = place

    @property
    def version(self) -> ModelVersion:
        if self.place.version is None:
            raise ConflictError(_("The model has no version yet."))
        return self.place.version

    @property
    def current(self) -> Deployment:
        if self.place.current is None:
            raise ConflictError(_("Nothing is deployed here."))
        return self.place.current.deployment

    def do(self) -> str:
        """Do the deed; return what is the case now."""
        raise NotImplementedError


class AboutForm(PlaceForm):
    """Is about the very row that the person has read, not one that came after it."""

    about = forms.IntegerField(widget=forms.HiddenInput)

    def __init__(
        self, request: HttpRequest, place: DeploymentPage, *args: Any, **kwargs: Any
    ) -> None:
        super().__init__(request, place, *args, **kwargs)
        shown = self.shown()
        self.initial["about"] = shown.pk if shown else None

    def shown(self) -> Override | Deployment | None:
        raise NotImplementedError

    def same(self, row: T | None) -> T:
        if row is None or row.pk != self.cleaned_data["about"]:
            raise ConflictError(_("Something else is here now; look at it first."))
        return row


def hours_field() -> forms.FloatField:
    return forms.FloatField(
        label=gettext_lazy("For how many hours"),
        min_value=0.01,
        max_value=LONGEST_HOURS,
        required=False,
    )


def at_most(hours: float) -> str:
    return _("Empty: as long as the policy allows, which is %(hours)s hours.") % {
        "hours": f"{hours:g}"
    }
