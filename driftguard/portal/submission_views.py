"""Asking for the approval of a version."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from driftguard.portal import approvals
from driftguard.portal.forms import DeedForm, text_field
from driftguard.portal.submissions import submission
from driftguard.portal.views import page, seat
from governance.actions import submissions
from governance.models import ApiKey, ModelVersion, RegisteredModel

Environment = ApiKey.Environment


class SubmissionForm(DeedForm):
    name = "submission"
    reason = text_field(
        gettext_lazy("Why this version?"),
        rows=4,
        help_text=gettext_lazy(
            "What is new in it, what it was tested on, and what you know against it. "
            "The people who decide read this first."
        ),
    )


def find_model(request: HttpRequest, slug: str) -> RegisteredModel:
    """Return a model of the seat's organization; another's is a missing one."""
    rows = RegisteredModel.objects.for_organization(seat(request).organization)
    found = rows.select_related("owner", "current_version").filter(slug=slug).first()
    if found is None:
        raise Http404
    return found


def find_version(model: RegisteredModel, name: str | None) -> ModelVersion | None:
    """Return the version that the address names; without a name None."""
    if not name:
        return None
    found = model.versions.filter(version=name).first()
    if found is None:
        raise Http404
    found.model = model
    return found


def wanted_environment(request: HttpRequest) -> str:
    """Return the environment that the address or the form names, else production."""
    given = request.POST.get("environment") or request.GET.get("environment", "")
    return given if given in Environment.values else Environment.PRODUCTION.value


def submit(request: HttpRequest, slug: str) -> HttpResponse:
    """Show what asking for a version's approval means; a POST asks for it."""
    model = find_model(request, slug)
    version = find_version(model, request.GET.get("version")) or _newest(model)
    if version is None:
        return page(
            request, "portal/no_version.html", _("Ask for approval"), model=model
        )
    form = SubmissionForm(request, request.POST or None)
    if request.method == "POST":
        made = form.attempt(
            lambda: submissions.submit_version(
                version, reason=form.cleaned_data["reason"], actor=form.actor()
            )
        )
        if made is not None:
            messages.success(
                request, f"{_('You have asked for it.')} {approvals.next_step(made)}"
            )
            return HttpResponseRedirect(reverse("approval", args=[made.pk]))
    response = page(
        request,
        "portal/submission.html",
        _("Ask for approval"),
        submission=submission(version, wanted_environment(request), seat(request)),
        environments=Environment.choices,
        form=form,
    )
    response.status_code = form.status if form.is_bound else 200
    return response


def _newest(model: RegisteredModel) -> ModelVersion | None:
    """Return the newest version that nobody has approved yet, else the newest."""
    waiting = (
        ModelVersion.Status.DRAFT,
        ModelVersion.Status.REJECTED,
        ModelVersion.Status.SUBMITTED,
        ModelVersion.Status.IN_VALIDATION,
    )
    found = model.versions.filter(status__in=waiting).first() or model.versions.first()
    if found is not None:
        found.model = model
    return found
