"""The page of a model's deployments, and each deed on it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any, TypeVar

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from driftguard.portal.deployments import DeploymentPage, deployment_page
from driftguard.portal.forms import (
    ConfirmedForm,
    DeedForm,
    ReasonForm,
    text_field,
)
from driftguard.portal.gates import isolated
from driftguard.portal.submission_views import (
    find_model,
    find_version,
    wanted_environment,
)
from driftguard.portal.views import page, seat
from governance.actions import (
    break_glass,
    deployments,
    intakes,
    overrides,
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
    """A form of a deed in the place that the page shows."""

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
    reason = text_field(gettext_lazy("Reason"), required=False)
    field_order = ("reason", "fallback", "rule")

    def __init__(
        self, request: HttpRequest, place: DeploymentPage, *args: Any, **kwargs: Any
    ) -> None:
        super().__init__(request, place, *args, **kwargs)
        if place.gate and place.gate.asked.facts.purpose in ROLLBACKS:
            self.fields["reason"].required = True

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
        help_text=gettext_lazy("Empty: as long as the policy allows."),
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

    def do(self) -> str:
        overrides.reject(
            self.same(self.shown()),
            reason=self.cleaned_data["reason"],
            actor=self.actor(),
        )
        return _("The override is rejected; whoever asked may propose it again.")


class RevokeOverrideForm(OverrideDecisionForm, ReasonForm):
    name = "revoke-override"

    def do(self) -> str:
        overrides.revoke(
            self.same(self.shown()),
            reason=self.cleaned_data["reason"],
            actor=self.actor(),
        )
        return _("The override has ended; what was deployed under it is suspended.")


class BreakGlassForm(PlaceForm, ConfirmedForm):
    name = "break-glass"
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
        help_text=gettext_lazy("Empty: as long as the policy allows."),
    )
    field_order = ("reason", "hours", "password")

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


@dataclass(frozen=True, slots=True)
class Offer:
    """A form in its place: the words of its button, and whether it is for the few."""

    form: PlaceForm
    heading: str
    button: str
    says: str
    is_danger: bool = False


FORMS: dict[str, type[PlaceForm]] = {
    form.name: form
    for form in (
        DeployForm,
        SuspendForm,
        OverrideForm,
        ApproveOverrideForm,
        RejectOverrideForm,
        RevokeOverrideForm,
        BreakGlassForm,
        RatifyForm,
        AdoptForm,
    )
}


def _offer(form: PlaceForm) -> Offer:
    place = form.place
    version = place.version.version[:60] if place.version else ""
    words: dict[str, tuple[Any, ...]] = {
        "deploy": (
            f"{place.button}: {version}",
            place.button,
            _("The gate is asked once more. What is there now is retired by it."),
        ),
        "suspend": (
            _("Suspend at once"),
            _("Suspend it"),
            _(
                "Alone and at once: its permit ends, and its fallback is told. To "
                "resume it, the gate has to let it through."
            ),
            True,
        ),
        "override": (
            _("Propose an override"),
            _("Propose it"),
            _(
                "An exception for this version in this environment, for at most "
                "%(hours)s hours. A second person grants it; then it can be deployed."
            )
            % {"hours": f"{place.longest_hours:g}"},
        ),
        "approve-override": (
            _("Grant the override"),
            _("Grant it"),
            _("While it is in force, the rules that it names don't close the gate."),
        ),
        "reject-override": (_("Reject the override"), _("Reject it"), ""),
        "revoke-override": (
            _("End the override"),
            _("End it now"),
            _("What is deployed under it is suspended at once, and a finding opens."),
            True,
        ),
        "break-glass": (
            _("Break the glass"),
            _("Deploy past the gate"),
            _(
                "Only in an emergency, for at most %(hours)s hours and without "
                "extension: a critical finding opens, and a second person has to stand "
                "by it, or it is reverted."
            )
            % {"hours": f"{place.break_glass_hours:g}"},
            True,
        ),
        "ratify": (
            _("Stand by the break-glass"),
            _("Give your word"),
            _("As the second person. It doesn't last any longer for it."),
        ),
        "adopt": (
            _("Adopt what is in production already"),
            _("Adopt it"),
            _(
                "For a model that served before DriftGuard came. It has to be approved "
                "by a date that its tier sets; then only the gate leads here."
            ),
        ),
    }
    return Offer(form, *words[form.name])


def deployments_page(request: HttpRequest, slug: str) -> HttpResponse:
    return _show(request, _place(request, slug))


def _place(request: HttpRequest, slug: str) -> DeploymentPage:
    model = find_model(request, slug)
    version = find_version(model, request.GET.get("version"))
    environment = wanted_environment(request)
    on = request.GET.get("on", "")[:40]
    return deployment_page(model, version, environment, seat(request), on)


def _show(
    request: HttpRequest, place: DeploymentPage, refused: PlaceForm | None = None
) -> HttpResponse:
    made = {
        name: form(request, place)
        for name, form in FORMS.items()
        if name in place.offered
    }
    if refused is not None:
        made[refused.name] = refused
    response = page(
        request,
        "portal/deployments.html",
        _("Deployments"),
        place=place,
        offers=[_offer(form) for form in made.values()],
        query=_query(place),
    )
    response.status_code = refused.status if refused else 200
    return response


def _query(place: DeploymentPage) -> str:
    version = {"version": place.version.version} if place.version else {}
    return urlencode({"environment": place.environment, **version})


@require_http_methods(["POST"])
def act(request: HttpRequest, slug: str, deed: str) -> HttpResponse:
    """Do one deed; what it refuses is shown in its form, on the page as it is then."""
    if deed not in FORMS:
        raise Http404
    place = _place(request, slug)
    form = FORMS[deed](request, place, request.POST)
    done = form.attempt(form.do)
    if done is None:
        form.place = _place(request, slug)
        return _show(request, form.place, form)
    messages.success(request, done)
    address = reverse("deployments", args=[slug])
    return HttpResponseRedirect(f"{address}?{_query(place)}")
