"""The addresses of monitoring, in all dialects."""

from django.urls import path

from monitoring.api import (
    alerts,
    algorithms,
    analyses,
    artifacts,
    baselines,
    drift,
    hot,
    overrides,
    performance,
    quarantines,
    results,
    status,
)

_DRIFT = "api/v1/drift"

urlpatterns = [
    *hot.urlpatterns,
    path("api/models/<str:reference>/drift", drift.DriftView.as_view()),
    path("models/<str:reference>/drift/current", drift.DriftView.as_view()),
    path("api/models/<str:reference>/performance", drift.PerformanceView.as_view()),
    path("api/models/<str:reference>/fairness", drift.FairnessView.as_view()),
    path("api/models/<str:reference>/status", status.StatusView.as_view()),
    path(
        "api/models/<str:reference>/versions/<str:version>/artifact",
        artifacts.ArtifactView.as_view(),
    ),
    path(
        "api/overrides/<str:reference>/predictions", overrides.DecisionsView.as_view()
    ),
    path(
        "api/models/<str:reference>/quarantines",
        quarantines.QuarantinesView.as_view(),
    ),
    path(f"{_DRIFT}/alerts", alerts.AlertsView.as_view()),
    path(f"{_DRIFT}/alerts/preview", alerts.PreviewView.as_view()),
    path(f"{_DRIFT}/baselines", baselines.BaselinesView.as_view()),
    path(f"{_DRIFT}/baselines/active", baselines.ActiveBaselineView.as_view()),
    path(
        f"{_DRIFT}/baselines/<str:reference>/activate",
        baselines.ActivationView.as_view(),
    ),
    path(f"{_DRIFT}/performance", performance.HistoryView.as_view()),
    path(f"{_DRIFT}/algorithms", algorithms.AlgorithmsView.as_view()),
    path(f"{_DRIFT}/analyze", analyses.AnalyzeView.as_view()),
    path(f"{_DRIFT}/analyze/<str:reference>", analyses.JobView.as_view()),
    path(f"{_DRIFT}/analyze/<str:reference>/status", analyses.JobStatusView.as_view()),
    path(f"{_DRIFT}/results/latest", results.LatestResultView.as_view()),
    path(f"{_DRIFT}/results/<str:reference>", results.ResultView.as_view()),
    path(f"{_DRIFT}/results", results.ResultsView.as_view()),
]
