"""All addresses; each app lists its own."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView
from drf_spectacular.views import (
    SpectacularJSONAPIView,
    SpectacularRedocView,
    SpectacularSwaggerSplitView,
)

from driftguard import health
from driftguard.portal import views
from governance.admin import invitation_pages

urlpatterns: list[URLPattern | URLResolver] = [
    path("admin/", admin.site.urls),
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin", RedirectView.as_view(pattern_name="admin:index")),
    path("command-center", RedirectView.as_view(pattern_name="admin:index")),
    path("dashboard", admin.site.admin_view(views.dashboard), name="dashboard"),
    path("", include("driftguard.portal.urls")),
    path("invitations", invitation_pages.answer, name="invitation"),
    path("invitations/<str:token>", invitation_pages.open_link),
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("openapi.json", SpectacularJSONAPIView.as_view(), name="openapi"),
    path("docs", SpectacularSwaggerSplitView.as_view(url_name="openapi"), name="docs"),
    path("redoc", SpectacularRedocView.as_view(url_name="openapi"), name="redoc"),
    path("", include("governance.api.urls")),
    path("", include("monitoring.api.urls")),
]

handler400 = "governance.api.exceptions.bad_request"
handler403 = "governance.api.exceptions.permission_denied"
handler404 = "governance.api.exceptions.page_not_found"
handler500 = "governance.api.exceptions.server_error"
