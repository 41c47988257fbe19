"""The forms on a model's deployments: each does one deed, and says what that is."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any, TypeVar

from django import forms
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from driftguard.portal.approvals import next_step
from driftguard.portal.deployments import WORDS, DeploymentPage
from driftguard.portal.forms import (
    ConfirmedForm,
    DeedForm,
    ReasonForm,
    text_field,
)
from driftguard.portal.gates import isolated
from governance.actions import (
    break_glass,
    deployments,
    intakes,
    overrides,
    submissions,
    suspensions,
)
from governance.actions.deployments import Fallback
from governance.actions.override_checks import Terms
from governance.decision.gate import Purpose
from governance.exceptions import ConflictError
from governance.models import Deployment, ModelVersion, Override
from governance.models.overrides import SHORTEST_JUSTIFICATION

T = TypeVar("T", Override, Deployment)
ROLLBACKS = (Purpose.ROLLBACK, Purpose.RECENT_ROLLBACK)
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


class OverrideForm(PlaceForm):
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
    justification = text_field(
        gettext_lazy("Why it is right to pass them"),
        min_length=SHORTEST_JUSTIFICATION,
        help_text=gettext_lazy("At least 20 characters; the approver reads it."),
    )
    hours = forms.FloatField(
        label=gettext_lazy("For how many hours"),
        min_value=0.01,
        max_value=LONGEST_HOURS,
        required=False,
    )

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
        self.fields["hours"].help_text = at_most(place.longest_hours)

    def do(self) -> str:
        given, held = self.cleaned_data, self.place.override
        hours = given["hours"]
        rules = given["rules"]
        if held is not None and not held.override.is_in_force():
            held = None
        if held is not None:
            # A new one goes on from the one in force, for what that doesn't pass too.
            rules = list(dict.fromkeys([*held.override.rules, *rules]))
        made = overrides.propose(
            self.version,
            environment=self.place.environment,
            terms=Terms(
                rules,
                given["justification"],
                timezone.now() + timedelta(hours=hours) if hours else None,
            ),
            extends=held.override if held else None,
            actor=self.actor(),
        )
        return _("Override %(number)s waits for a second person.") % {"number": made.pk}


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
    hours = forms.FloatField(
        label=gettext_lazy("For how many hours"),
        min_value=0.01,
        max_value=LONGEST_HOURS,
        required=False,
    )
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


def at_most(hours: float) -> str:
    return _("Empty: as long as the policy allows, which is %(hours)s hours.") % {
        "hours": f"{hours:g}"
    }


FORMS: dict[str, type[PlaceForm]] = {
    form.name: form
    for form in (
        RatifyForm,
        ApproveOverrideForm,
        RejectOverrideForm,
        DeployForm,
        SuspendForm,
        OverrideForm,
        RevokeOverrideForm,
        AdoptForm,
        BreakGlassForm,
        RetireForm,
    )
}
