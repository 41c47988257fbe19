"""The addresses of the pages on which people decide, and read what was decided."""

from collections.abc import Callable

from django.contrib import admin
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path

from driftguard.portal import (
    approval_views,
    delegation_views,
    deployment_views,
    model_views,
    override_views,
    submission_views,
    trail_views,
)


def page(route: str, view: Callable[..., HttpResponseBase], name: str) -> URLPattern:
    """Let only people in who belong to an organization."""
    return path(route, admin.site.admin_view(view), name=name)


MODEL = "dashboard/models/<slug:slug>"

urlpatterns = [
    page("audit", trail_views.trail_page, "trail"),
    page("approvals", approval_views.approvals_page, "approvals"),
    page("approvals/decide", approval_views.decide, "decide"),
    page("approvals/<int:pk>", approval_views.approval, "approval"),
    page("approvals/<int:pk>/vote", approval_views.vote, "vote"),
    page("approvals/<int:pk>/comment", approval_views.comment, "comment"),
    page("approvals/<int:pk>/withdraw", approval_views.withdraw, "withdraw"),
    page("approvals/delegations", delegation_views.delegations_page, "delegations"),
    page("approvals/delegations/<str:deed>", delegation_views.act, "delegation"),
    page(
        "approvals/overrides/<int:pk>/decisions",
        override_views.decisions_page,
        "override-decisions",
    ),
    page(
        "approvals/overrides/<int:pk>/decisions.csv",
        override_views.decisions_csv,
        "override-decisions-csv",
    ),
    page(MODEL, model_views.model_page, "model"),
    page(f"{MODEL}/timeline.csv", model_views.timeline_csv, "model-timeline"),
    page(f"{MODEL}/data/<slug:name>.csv", model_views.data_csv, "model-data"),
    page(f"{MODEL}/deployments", deployment_views.deployments_page, "deployments"),
    page(f"{MODEL}/deployments/<str:deed>", deployment_views.act, "deployment"),
    page(f"{MODEL}/submit", submission_views.submit, "submit"),
]
