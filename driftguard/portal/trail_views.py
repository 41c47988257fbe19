"""The page of the audit trail."""

from __future__ import annotations

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from driftguard.portal.trail import filters_of, trail
from driftguard.portal.views import page, seat
from governance.actions import exports
from governance.admin.tenancy import actor_of, may_read_trail


@require_safe
def trail_page(request: HttpRequest) -> HttpResponse:
    """Show the trail to those who may read it; that they did stands in it."""
    if not may_read_trail(request):
        raise PermissionDenied
    organization = seat(request).organization
    found = trail(organization, request.GET)
    exports.record_reading(
        organization, actor=actor_of(request), filters=filters_of(request.GET)
    )
    return page(request, "portal/trail.html", _("Audit trail"), trail=found)
