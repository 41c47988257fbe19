"""The forms on a model's deployments: each does one deed, and says what that is."""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import Any

from django import forms
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from driftguard.portal.approvals import next_step
from driftguard.portal.deployments import WORDS, DeploymentPage
from driftguard.portal.forms import (
    ConfirmedForm,
    ReasonForm,
    text_field,
)
from driftguard.portal.gates import isolated
from driftguard.portal.override_forms import (
    ApproveOverrideForm,
    ExtendOverrideForm,
    OverrideForm,
    RejectOverrideForm,
    RevokeOverrideForm,
)
from driftguard.portal.place_forms import AboutForm, PlaceForm, at_most, hours_field
from governance.actions import (
    break_glass,
    deployments,
    intakes,
    submissions,
    suspensions,
)
from governance.actions.deployments import Fallback
from governance.decision.gate import Purpose
from governance.models import Deployment

ROLLBACKS = (Purpose.ROLLBACK, Purpose.RECENT_ROLLBACK)


class FallbackForm(PlaceForm):
    fallback = forms.ChoiceField(
        label=gettext_lazy("If it may not serve any more"),
        choices=[
            ("", gettext_lazy("The version before it serves; if none, people decide")),
            (Deployment.Fallback.MANUAL_REVIEW, gettext_lazy("People decide")),
            (Deployment.Fallback.FIXED_RULE, gettext_lazy("A fixed rule decides")),
        ],
        required=False,
    )
    rule = forms.CharField(
        label=gettext_lazy("Which fixed rule, if that decides"),
        max_length=500,
        required=False,
    )

    def chosen_fallback(self) -> Fallback | None:
        given = self.cleaned_data
        if not given["fallback"]:
            return None
        return Fallback(given["fallback"], text=given["rule"])


class DeployForm(FallbackForm):
    name = "deploy"
    heading: Any = gettext_lazy("Deploy")
    button: Any = gettext_lazy("Deploy")
    says = gettext_lazy(
        "The gate is asked once more. What is there now is retired by it."
    )
    reason = text_field(gettext_lazy("Reason"), required=False)
    field_order = ("reason", "fallback", "rule")

    def __init__(
        self, request: HttpRequest, place: DeploymentPage, *args: Any, **kwargs: Any
    ) -> None:
        super().__init__(request, place, *args, **kwargs)
        if place.gate and place.gate.asked.facts.purpose in ROLLBACKS:
            self.fields["reason"].required = True
        if place.gate:
            self.button = WORDS[place.gate.asked.facts.purpose]
            version = place.gate.asked.version.version[:60]
            self.heading = f"{self.button}: {isolated(version)}"

    def do(self) -> str:
        made = deployments.deploy(
            self.version,
            environment=self.place.environment,
            fallback=self.chosen_fallback(),
            reason=self.cleaned_data["reason"],
            actor=self.actor(),
        )
        named = {
            "version": isolated(made.version.version),
            "environment": made.environment,
        }
        return _("%(version)s is live in %(environment)s.") % named


class SuspendForm(PlaceForm, ReasonForm):
    name = "suspend"
    heading = gettext_lazy("Suspend at once")
    button = gettext_lazy("Suspend it")
    says = gettext_lazy(
        "Alone and at once: its permit ends, and its fallback is told. To resume it, "
        "the gate has to let it through."
    )
    is_danger = True

    def do(self) -> str:
        suspensions.suspend(
            self.current, reason=self.cleaned_data["reason"], actor=self.actor()
        )
        return _(
            "It is suspended: its permit has ended and its fallback was told. "
            "DriftGuard stops no endpoint of yours by itself."
        )


class BreakGlassForm(PlaceForm, ConfirmedForm):
    name = "break-glass"
    heading = gettext_lazy("Break the glass")
    button = gettext_lazy("Deploy past the gate")
    is_rare = True
    says = gettext_lazy(
        "Only in an emergency, for some hours and without extension: a critical "
        "finding opens, and a second person has to stand by it, or it is reverted."
    )
    is_danger = True
    reason = text_field(
        gettext_lazy("What the emergency is"),
        min_length=break_glass.SHORTEST_REASON,
        help_text=gettext_lazy("At least 20 characters; a critical finding has it."),
    )
    hours = hours_field()
    field_order = ("reason", "hours", "password")

    def __init__(
        self, request: HttpRequest, place: DeploymentPage, *args: Any, **kwargs: Any
    ) -> None:
        super().__init__(request, place, *args, **kwargs)
        self.fields["hours"].help_text = at_most(place.break_glass_hours)

    def do(self) -> str:
        made = break_glass.open_gate(
            self.version,
            environment=self.place.environment,
            reason=self.cleaned_data["reason"],
            hours=self.cleaned_data["hours"],
            actor=self.actor(),
        )
        return _(
            "%(version)s is live; it is reverted unless a second person stands by it."
        ) % {"version": isolated(made.version.version)}


class RatifyForm(AboutForm, ConfirmedForm):
    name = "ratify"
    heading = gettext_lazy("Stand by the break-glass")
    button = gettext_lazy("Give your word")
    says = gettext_lazy("As the second person. It doesn't last any longer for it.")
    word = forms.ChoiceField(
        label=gettext_lazy("Your word"),
        choices=[
            ("yes", gettext_lazy("I stand by it")),
            ("no", gettext_lazy("Revert it at once")),
        ],
        widget=forms.RadioSelect,
    )
    reason = text_field(gettext_lazy("Reason"))
    field_order = ("word", "reason", "password")

    def shown(self) -> Deployment | None:
        return self.place.current.deployment if self.place.current else None

    def do(self) -> str:
        agrees = self.cleaned_data["word"] == "yes"
        break_glass.ratify(
            self.same(self.shown()),
            agrees=agrees,
            reason=self.cleaned_data["reason"],
            actor=self.actor(),
        )
        return _("It is ratified.") if agrees else _("It is reverted.")


class AdoptForm(FallbackForm, ReasonForm):
    name = "adopt"
    heading = gettext_lazy("Adopt what is in production already")
    button = gettext_lazy("Adopt it")
    is_rare = True
    says = gettext_lazy(
        "For a model that served before DriftGuard came. It has to be approved by a "
        "date that its tier sets; then only the gate leads here."
    )
    since = forms.DateField(
        label=gettext_lazy("In production since"),
        required=False,
        widget=forms.DateInput({"type": "date"}),
        help_text=gettext_lazy("Empty: from now on."),
    )
    field_order = ("reason", "since", "fallback", "rule")

    def do(self) -> str:
        since = self.cleaned_data["since"]
        adoption = intakes.Adoption(
            self.version,
            self.place.environment,
            since and datetime.combine(since, time(), UTC),
            self.chosen_fallback(),
        )
        (made,) = intakes.adopt(
            [adoption], reason=self.cleaned_data["reason"], actor=self.actor()
        )
        return _("It is adopted; it has to be approved by %(date)s.") % {
            "date": f"{made.due_at:%Y-%m-%d}"
        }


class RetireForm(PlaceForm, ReasonForm):
    name = "retire"
    heading = gettext_lazy("Ask for the model to be retired")
    button = gettext_lazy("Ask for its retirement")
    is_rare = True
    says = gettext_lazy(
        "For good, in every environment: permits and schedules end, the history stays. "
        "It takes the votes that an approval takes."
    )

    def do(self) -> str:
        made = submissions.submit_retirement(
            self.place.model, reason=self.cleaned_data["reason"], actor=self.actor()
        )
        return next_step(made)


FORMS: dict[str, type[PlaceForm]] = {
    form.name: form
    for form in (
        RatifyForm,
        ApproveOverrideForm,
        RejectOverrideForm,
        DeployForm,
        SuspendForm,
        OverrideForm,
        ExtendOverrideForm,
        RevokeOverrideForm,
        AdoptForm,
        BreakGlassForm,
        RetireForm,
    )
}
