"""The addresses of governance, of both dialects."""

from django.urls import path

from governance.api import auth, deployments, registry, risk

urlpatterns = [
    path("auth/register", auth.RegisterOrganizationView.as_view()),
    path("api/auth/register", auth.RegisterPersonView.as_view()),
    path("api/auth/login", auth.LoginView.as_view()),
    path("api/auth/refresh", auth.RefreshView.as_view()),
    path("api/auth/logout", auth.LogoutView.as_view()),
    path("models", registry.QuickModelsView.as_view()),
    path("models/<str:reference>", registry.QuickModelView.as_view()),
    path("api/models", registry.ModelsView.as_view()),
    path("api/models/<str:reference>", registry.ModelView.as_view()),
    path("api/models/<str:reference>/versions", registry.VersionsView.as_view()),
    path("api/models/<str:reference>/risk-history", risk.RiskHistoryView.as_view()),
    path("api/models/<str:reference>/deploy", deployments.DeployView.as_view()),
]
