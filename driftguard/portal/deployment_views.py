"""The page of a model's deployments, and each deed on it."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from driftguard.portal.deployment_forms import FORMS
from driftguard.portal.deployments import DeploymentPage, deployment_page
from driftguard.portal.place_forms import PlaceForm
from driftguard.portal.submission_views import (
    find_model,
    find_version,
    wanted_environment,
)
from driftguard.portal.views import page, seat


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
        offers=list(made.values()),
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
