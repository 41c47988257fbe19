"""The pages of approvals: what waits, one request, and the deeds on them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from driftguard.portal import approvals
from driftguard.portal.approvals import desk
from driftguard.portal.forms import (
    ConfirmedForm,
    DeedForm,
    OptionalReasonForm,
    text_field,
)
from driftguard.portal.review import Ballots, ballots, review
from driftguard.portal.views import page, seat
from governance.actions import discussions, endings, votes
from governance.models import ApprovalRequest, ApprovalVote, User

Decision = ApprovalVote.Decision
DECISIONS = [
    (Decision.APPROVE, gettext_lazy("Approve")),
    (Decision.CHANGES_REQUESTED, gettext_lazy("Request changes")),
    (Decision.REJECT, gettext_lazy("Reject")),
]


class DecisionForm(ConfirmedForm):
    """What somebody says, why, and their password."""

    decision = forms.ChoiceField(
        label=gettext_lazy("Your decision"),
        choices=DECISIONS,
        widget=forms.RadioSelect,
        error_messages={"required": gettext_lazy("Choose what you decide.")},
    )
    reason = text_field(
        gettext_lazy("Reason"),
        required=False,
        help_text=gettext_lazy(
            "Needed to reject or to request changes; the person who asked reads it."
        ),
    )

    def clean(self) -> dict[str, Any]:
        given = self.cleaned_data
        is_refusal = given.get("decision", Decision.APPROVE) != Decision.APPROVE
        if is_refusal and not given.get("reason", "").strip():
            self.add_error("reason", _("Say why, so that it can be mended."))
        return super().clean()


class VoteForm(DecisionForm):
    name = "vote"
    on_behalf_of = forms.ChoiceField(label=gettext_lazy("Whose vote is this?"))
    field_order = ("on_behalf_of", "decision", "reason", "password")

    def __init__(
        self, request: HttpRequest, offered: Ballots, *args: Any, **kwargs: Any
    ) -> None:
        super().__init__(request, *args, **kwargs)
        user = request.user.pk
        is_own = [one.user_id for one in offered.people] == [user]
        if is_own or not offered.people:
            # What is posted without a ballot is for the deed to refuse.
            del self.fields["on_behalf_of"]
            return
        self.fields["on_behalf_of"].choices = [  # type: ignore[attr-defined]
            (one.user_id, _("My own") if one.user_id == user else one.label)
            for one in offered.people
        ]

    def principal(self) -> User | None:
        """Return for whom the person votes, if not for themselves."""
        chosen = int(self.cleaned_data.get("on_behalf_of") or 0)
        if chosen in {0, self.request.user.pk}:
            return None
        return User.objects.get(pk=chosen)

    def ballot(self) -> votes.Ballot:
        given = self.cleaned_data
        return votes.Ballot(given["decision"], given["reason"], self.principal())


class BulkForm(DecisionForm):
    name = "bulk"
    requests = forms.ModelMultipleChoiceField(
        ApprovalRequest.objects.none(),
        error_messages={"required": gettext_lazy("Tick the requests to decide on.")},
    )
    reason = text_field(
        gettext_lazy("Reason"),
        help_text=gettext_lazy("One for all; each request gets a vote of its own."),
    )
    field_order = ("requests", "decision", "reason", "password")

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, *args, **kwargs)
        rows = ApprovalRequest.objects.for_organization(seat(request).organization)
        self.fields["requests"].queryset = rows  # type: ignore[attr-defined]


class CommentForm(DeedForm):
    name = "comment"
    text = text_field(gettext_lazy("Your comment"))


class WithdrawForm(OptionalReasonForm):
    name = "withdraw"


def approvals_page(request: HttpRequest) -> HttpResponse:
    """Show what waits for this person, what they asked for, and all the rest."""
    return _desk(request, BulkForm(request))


def _desk(request: HttpRequest, form: BulkForm, status: int = 200) -> HttpResponse:
    found = desk(seat(request), request.GET)
    ticked = set(form.data.getlist("requests")) if form.is_bound else set()  # type: ignore[attr-defined]
    response = page(
        request,
        "portal/approvals.html",
        _("Approvals"),
        desk=found,
        form=form,
        ticked=ticked,
    )
    response.status_code = status
    return response


@require_http_methods(["POST"])
def decide(request: HttpRequest) -> HttpResponse:
    """Vote the same on several requests; each is checked again by itself."""
    form = BulkForm(request, request.POST)
    results = form.attempt(lambda: _cast_all(form))
    if results is None:
        return _desk(request, form, form.status)
    for one in results:
        if one.error is None:
            words = _("%(subject)s: %(state)s.")
            state = approvals.state(one.request).words
            messages.success(
                request, words % {"subject": one.request.label, "state": state}
            )
        else:
            words = _("%(subject)s was not decided: %(why)s")
            named = {"subject": one.request.label, "why": one.error.detail}
            messages.error(request, words % named)
    return HttpResponseRedirect(reverse("approvals"))


def _cast_all(form: BulkForm) -> list[votes.Result]:
    given = form.cleaned_data
    ballot = votes.Ballot(given["decision"], given["reason"])
    ordered = given["requests"].order_by("model_id", "pk")
    return votes.cast_all(ordered, ballot, actor=form.actor())


def find(request: HttpRequest, pk: int) -> ApprovalRequest:
    """Return a request of the seat's organization; another's is a missing one."""
    found = approvals.of(seat(request).organization).filter(pk=pk).first()
    if found is None:
        raise Http404
    return found


def approval(request: HttpRequest, pk: int) -> HttpResponse:
    return _review(request, find(request, pk))


def _review(
    request: HttpRequest, row: ApprovalRequest, form: DeedForm | None = None
) -> HttpResponse:
    """Show a request; a form that was refused is shown as it was filled in."""
    found = review(row, seat(request))
    shown: dict[str, DeedForm] = {
        "vote": VoteForm(request, found.ballots),
        "comment": CommentForm(request),
        "withdraw": WithdrawForm(request),
    }
    if form is not None:
        shown[form.name] = form
    response = page(
        request,
        "portal/approval.html",
        _("Approval %(number)s") % {"number": row.pk},
        review=found,
        forms=shown,
        refused=form,
    )
    response.status_code = form.status if form else 200
    return response


@require_http_methods(["POST"])
def vote(request: HttpRequest, pk: int) -> HttpResponse:
    row = find(request, pk)
    form = VoteForm(request, ballots(row, seat(request).user), request.POST)
    done = form.attempt(lambda: votes.cast(row, form.ballot(), actor=form.actor()))
    return _after(request, pk, form, done, _("Your vote is cast."))


@require_http_methods(["POST"])
def comment(request: HttpRequest, pk: int) -> HttpResponse:
    row = find(request, pk)
    form = CommentForm(request, request.POST)
    done = form.attempt(
        lambda: discussions.comment(
            row, text=form.cleaned_data["text"], actor=form.actor()
        )
    )
    return _after(request, pk, form, done, _("Your comment is there."))


@require_http_methods(["POST"])
def withdraw(request: HttpRequest, pk: int) -> HttpResponse:
    row = find(request, pk)
    form = WithdrawForm(request, request.POST)
    done = form.attempt(
        lambda: endings.withdraw(
            row, reason=form.cleaned_data["reason"], actor=form.actor()
        )
    )
    return _after(request, pk, form, done, _("The request is withdrawn."))


def _after(
    request: HttpRequest, pk: int, form: DeedForm, done: object, words: str
) -> HttpResponse:
    """Lead back to the page; what was refused is shown there as it is now."""
    row = find(request, pk)
    if done is None:
        return _review(request, row, form)
    messages.success(request, f"{words} {approvals.next_step(row)}")
    return HttpResponseRedirect(reverse("approval", args=[pk]))
