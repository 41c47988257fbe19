"""The page on which people let others vote for them."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from driftguard.portal.delegations import DelegationPage, delegation_page
from driftguard.portal.forms import DeedForm, text_field
from driftguard.portal.views import page, seat
from governance.actions import delegations
from governance.models import Delegation, User


def date_field(label: Any, **options: Any) -> forms.DateField:
    widget = forms.DateInput({"type": "date"})
    return forms.DateField(label=label, widget=widget, **options)


class DelegationForm(DeedForm):
    name = "create"
    delegator = forms.TypedChoiceField(
        label=gettext_lazy("Whose votes"),
        coerce=int,
        help_text=gettext_lazy(
            "Your own count at once; those of somebody absent after a second person "
            "has agreed."
        ),
    )
    delegate = forms.TypedChoiceField(label=gettext_lazy("Cast by"), coerce=int)
    role = forms.ChoiceField(label=gettext_lazy("In the role"))
    starts_at = date_field(gettext_lazy("From the beginning of (UTC)"))
    ends_at = date_field(gettext_lazy("To the end of (UTC)"))
    reason = text_field(gettext_lazy("Reason"))

    def __init__(
        self, request: HttpRequest, shown: DelegationPage, *args: Any, **kwargs: Any
    ) -> None:
        super().__init__(request, *args, **kwargs)
        me = request.user.pk
        mine = [(me, _("My own"))] if me in dict(shown.people) else []
        others = [one for one in shown.people if one[0] != me]
        absent = others if shown.is_arranger else []
        self.fields["delegator"].choices = [*mine, *absent]  # type: ignore[attr-defined]
        self.fields["delegate"].choices = others  # type: ignore[attr-defined]
        self.fields["role"].choices = shown.roles  # type: ignore[attr-defined]

    def terms(self) -> delegations.Terms:
        given = self.cleaned_data
        people = User.objects.in_bulk([given["delegator"], given["delegate"]])
        return delegations.Terms(
            delegator=people[given["delegator"]],
            delegate=people[given["delegate"]],
            role=given["role"],
            starts_at=datetime.combine(given["starts_at"], time(), UTC),
            ends_at=datetime.combine(given["ends_at"], time(), UTC) + timedelta(days=1),
            reason=given["reason"],
        )


class RowForm(DeedForm):
    """A button of one row."""

    delegation = forms.ModelChoiceField(Delegation.objects.none())

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, *args, **kwargs)
        rows = Delegation.objects.for_organization(seat(request).organization)
        self.fields["delegation"].queryset = rows  # type: ignore[attr-defined]


class ConfirmForm(RowForm):
    name = "confirm"


class RevokeForm(RowForm):
    name = "revoke"


def delegations_page(request: HttpRequest) -> HttpResponse:
    shown = delegation_page(seat(request))
    return _show(request, shown, DelegationForm(request, shown))


def _show(
    request: HttpRequest, shown: DelegationPage, form: DelegationForm
) -> HttpResponse:
    response = page(
        request,
        "portal/delegations.html",
        _("Who votes for whom"),
        shown=shown,
        form=form,
    )
    response.status_code = form.status if form.is_bound else 200
    return response


@require_http_methods(["POST"])
def act(request: HttpRequest, deed: str) -> HttpResponse:
    """Arrange, confirm or revoke a delegation."""
    if deed == "create":
        return _create(request)
    forms_: dict[str, type[RowForm]] = {"confirm": ConfirmForm, "revoke": RevokeForm}
    if deed not in forms_:
        raise Http404
    form = forms_[deed](request, request.POST)
    if not form.is_valid():
        raise Http404
    row = form.cleaned_data["delegation"]
    does = delegations.confirm if deed == "confirm" else delegations.revoke
    done = form.attempt(lambda: does(row, actor=form.actor()))
    if done is None:
        for error in form.non_field_errors():
            messages.error(request, str(error))
    else:
        words = {"confirm": _("It counts now."), "revoke": _("It is revoked.")}
        messages.success(request, words[deed])
    return HttpResponseRedirect(reverse("delegations"))


def _create(request: HttpRequest) -> HttpResponse:
    shown = delegation_page(seat(request))
    form = DelegationForm(request, shown, request.POST)
    made = form.attempt(
        lambda: delegations.create(
            seat(request).organization, form.terms(), actor=form.actor()
        )
    )
    if made is None:
        return _show(request, shown, form)
    words = (
        _("%(who)s votes for you.")
        if made.confirmed_at
        else _("It waits for a second person to agree; then %(who)s votes.")
    )
    messages.success(request, words % {"who": made.delegate_label})
    return HttpResponseRedirect(reverse("delegations"))
