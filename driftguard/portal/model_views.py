"""The page of a model, and what it shows as files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from driftguard.portal.model_charts import TABLES
from driftguard.portal.model_pages import mark_of, model_state
from driftguard.portal.submission_views import find_model
from driftguard.portal.timelines import timeline
from driftguard.portal.views import page, seat
from governance.actions.exports import csv_line
from monitoring.actions.alerts import policy_of

# Of a time line as a file; the trail has all that ever happened.
MOST_LINES = 10_000


@require_safe
def model_page(request: HttpRequest, slug: str) -> HttpResponse:
    """Show the page; with HTMX its content alone, and nothing if it is as seen."""
    model = find_model(request, slug)
    is_whole = request.headers.get("HX-Request") != "true"
    if not is_whole and request.GET.get("seen") == mark_of(model):
        answer = HttpResponse(status=HTTPStatus.NO_CONTENT)
    else:
        state = model_state(model, seat(request))
        template = "portal/model.html" if is_whole else "portal/model/body.html"
        about = {"state": state, "page": state.page}
        answer = page(request, template, model.name, **about)
    # The answers to one address must not be taken for each other.
    answer["Vary"] = "HX-Request, Cookie"
    return answer


@require_safe
def data_csv(request: HttpRequest, slug: str, name: str) -> HttpResponse:
    """Answer with what one of the page's charts is drawn from."""
    model = find_model(request, slug)
    version = model.current_version
    if version is None or name not in TABLES:
        raise Http404
    version.model = model
    chart = TABLES[name](version, policy_of(model))
    rows = (row.cells for row in chart.rows)
    return csv_file(f"{model.slug}-{name}.csv", chart.columns, rows)


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
