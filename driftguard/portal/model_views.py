"""The page of a model, and what it shows as files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from driftguard.portal.model_pages import model_state
from driftguard.portal.submission_views import find_model
from driftguard.portal.timelines import timeline
from driftguard.portal.views import page, seat
from governance.actions.exports import csv_line

# Of a time line as a file; the trail has all that ever happened.
MOST_LINES = 10_000


@require_safe
def model_page(request: HttpRequest, slug: str) -> HttpResponse:
    model = find_model(request, slug)
    state = model_state(model, seat(request))
    return page(request, "portal/model.html", model.name, state=state)


@require_safe
def timeline_csv(request: HttpRequest, slug: str) -> HttpResponse:
    model = find_model(request, slug)
    rows = (
        (one.at.isoformat(), one.kind, one.badge.words, one.words, one.detail)
        for one in timeline(model, MOST_LINES)
    )
    header = ("at", "kind", "state", "of", "detail")
    return csv_file(f"{model.slug}-timeline.csv", header, rows)


def csv_file(
    name: str, header: Sequence[str], rows: Iterable[Sequence[Any]]
) -> HttpResponse:
    """Answer with a table as a file; `name` is made of slugs."""
    content = b"".join([csv_line(header), *(csv_line(row) for row in rows)])
    return HttpResponse(
        content,
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )
