"""The forms of overrides: propose, grant, reject, extend and end one."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from driftguard.portal.deployments import DeploymentPage
from driftguard.portal.forms import ConfirmedForm, ReasonForm, text_field
from driftguard.portal.place_forms import AboutForm, PlaceForm, at_most, hours_field
from governance.actions import overrides
from governance.actions.override_checks import Terms
from governance.models import Override
from governance.models.overrides import SHORTEST_JUSTIFICATION


class TermsForm(PlaceForm):
    """Why an exception is right, and for how long."""

    justification = text_field(
        gettext_lazy("Why it is right to pass them"),
        min_length=SHORTEST_JUSTIFICATION,
        help_text=gettext_lazy("At least 20 characters; the approver reads it."),
    )
    hours = hours_field()

    def __init__(
        self, request: HttpRequest, place: DeploymentPage, *args: Any, **kwargs: Any
    ) -> None:
        super().__init__(request, place, *args, **kwargs)
        self.fields["hours"].help_text = at_most(place.longest_hours)

    def expires_at(self) -> datetime | None:
        hours = self.cleaned_data["hours"]
        return timezone.now() + timedelta(hours=hours) if hours else None


class OverrideForm(TermsForm):
    name = "override"
    heading = gettext_lazy("Propose an override")
    button = gettext_lazy("Propose it")
    says = gettext_lazy(
        "An exception for this version in this environment. A second person grants it; "
        "then it can be deployed."
    )
    rules = forms.MultipleChoiceField(
        label=gettext_lazy("Which rules it passes"),
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": gettext_lazy("Tick at least one rule.")},
    )
    field_order = ("rules", "justification", "hours")

    def __init__(
        self, request: HttpRequest, place: DeploymentPage, *args: Any, **kwargs: Any
    ) -> None:
        super().__init__(request, place, *args, **kwargs)
        rows = {one.rule.rule: one for one in place.gate.rules} if place.gate else {}
        soft = place.gate.asked.judgement.overridable if place.gate else ()
        self.fields["rules"].choices = [  # type: ignore[attr-defined]
            (name, f"{name}: {rows[name].name}") for name in soft
        ]
        self.initial.setdefault("rules", list(soft))

    def do(self) -> str:
        given, held = self.cleaned_data, self.place.override
        rules = given["rules"]
        if held is not None and not held.override.is_in_force():
            held = None
        if held is not None:
            # A new one goes on from the one in force, for what that doesn't pass too.
            rules = list(dict.fromkeys([*held.override.rules, *rules]))
        made = overrides.propose(
            self.version,
            environment=self.place.environment,
            terms=Terms(rules, given["justification"], self.expires_at()),
            extends=held.override if held else None,
            actor=self.actor(),
        )
        return _("Override %(number)s waits for a second person.") % {"number": made.pk}


class OverrideDecisionForm(AboutForm):
    def shown(self) -> Override | None:
        return self.place.override.override if self.place.override else None


class ApproveOverrideForm(OverrideDecisionForm, ConfirmedForm):
    name = "approve-override"
    heading = gettext_lazy("Grant the override")
    button = gettext_lazy("Grant it")
    says = gettext_lazy(
        "While it is in force, the rules that it names don't close the gate."
    )
    reason = text_field(gettext_lazy("Why you grant it"))
    field_order = ("reason", "password")

    def do(self) -> str:
        made = overrides.approve(
            self.same(self.shown()),
            reason=self.cleaned_data["reason"],
            actor=self.actor(),
        )
        return overrides.NEXT[overrides.Status(made.status)]


class RejectOverrideForm(OverrideDecisionForm, ReasonForm):
    name = "reject-override"
    heading = gettext_lazy("Reject the override")
    button = gettext_lazy("Reject it")

    def do(self) -> str:
        overrides.reject(
            self.same(self.shown()),
            reason=self.cleaned_data["reason"],
            actor=self.actor(),
        )
        return _("The override is rejected; whoever asked may propose it again.")


class RevokeOverrideForm(OverrideDecisionForm, ReasonForm):
    name = "revoke-override"
    heading = gettext_lazy("End the override")
    button = gettext_lazy("End it now")
    says = gettext_lazy(
        "What is deployed under it is suspended at once, and a finding opens."
    )
    is_danger = True

    def do(self) -> str:
        overrides.revoke(
            self.same(self.shown()),
            reason=self.cleaned_data["reason"],
            actor=self.actor(),
        )
        return _("The override has ended; what was deployed under it is suspended.")


class ExtendOverrideForm(OverrideDecisionForm, TermsForm):
    name = "extend-override"
    heading = gettext_lazy("Extend the override")
    button = gettext_lazy("Ask for the extension")
    says = gettext_lazy(
        "An extension is a new review: a second person grants it, and until then the "
        "override ends when it was to end."
    )
    field_order = ("justification", "hours", "about")

    def do(self) -> str:
        made = overrides.extend(
            self.same(self.shown()),
            justification=self.cleaned_data["justification"],
            expires_at=self.expires_at(),
            actor=self.actor(),
        )
        return _("Override %(number)s waits for a second person.") % {"number": made.pk}
