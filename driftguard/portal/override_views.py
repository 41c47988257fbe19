"""The page of all decisions that were made under an override, and its file."""

from __future__ import annotations

from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from driftguard.portal.views import page, seat
from governance.admin.display import OVERRIDE
from governance.admin.tenancy import actor_of
from governance.identifiers import decode
from governance.models import Override
from monitoring.actions import override_export

ROWS = 50


@require_safe
def decisions_page(request: HttpRequest, pk: int) -> HttpResponse:
    """Show the decisions, the newest first; `before` says where a later page begins."""
    override = _override(request, pk)
    rows = override_export.decisions(override).select_related("version")
    before = request.GET.get("before", "")
    if before:
        rows = rows.filter(pk__lt=_identifier(before))
    found = list(rows.order_by("-pk")[: ROWS + 1])
    return page(
        request,
        "portal/override_decisions.html",
        _("Decisions under override %(number)s") % {"number": override.pk},
        override=override,
        badge=OVERRIDE[Override.Status(override.status)],
        decisions=found[:ROWS],
        before=before,
        older=found[ROWS - 1].public_id if len(found) > ROWS else "",
    )


@require_safe
def decisions_csv(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Answer with all of them as a file of any size; the trail remembers it."""
    override = _override(request, pk)
    override_export.note_export(override, actor=actor_of(request))
    name = f"override-{override.pk}.csv"
    return StreamingHttpResponse(
        override_export.csv_lines(override),
        content_type="text/csv; charset=utf-8",
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "no-store",
        },
    )


def _override(request: HttpRequest, pk: int) -> Override:
    rows = Override.objects.for_organization(seat(request).organization)
    found: Override = get_object_or_404(rows.select_related("version__model"), pk=pk)
    return found


def _identifier(text: str) -> UUID:
    try:
        return decode("pred", text)
    except ValueError:
        raise Http404 from None
