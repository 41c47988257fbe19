"""The pages: each reads what it shows in one place and renders it."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from driftguard.portal.portfolio import portfolio
from governance.admin.tenancy import Seat, seat_of


def seat(request: HttpRequest) -> Seat:
    """Return the seat of a person whom `admin_view` has let in."""
    found = seat_of(request)
    if found is None:
        raise PermissionError("admin_view lets nobody in without a seat")
    return found


def page(
    request: HttpRequest, template: str, title: str, **context: object
) -> HttpResponse:
    """Render a page inside the navigation that all pages share."""
    request.current_app = admin.site.name
    shared = admin.site.each_context(request)
    return TemplateResponse(request, template, {**shared, "title": title, **context})


def dashboard(request: HttpRequest) -> HttpResponse:
    """All models; with HTMX only the table, where a filter changes."""
    found = portfolio(seat(request).organization, request.GET)
    whole = request.headers.get("HX-Request") != "true"
    template = "portfolio.html" if whole else "parts/portfolio_table.html"
    response = page(request, f"portal/{template}", _("Portfolio"), portfolio=found)
    # The two answers to one address must not be taken for each other.
    response["Vary"] = "HX-Request, Cookie"
    return response
