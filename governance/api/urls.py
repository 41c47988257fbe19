"""The addresses of governance, of both dialects."""

from django.urls import path

from governance.api import (
    approvals,
    audit,
    auth,
    checkpoints,
    delegations,
    deployment_lists,
    deployments,
    finding_actions,
    findings,
    invitations,
    members,
    overrides,
    permits,
    policies,
    policy_versions,
    registry,
    risk,
)

urlpatterns = [
    path("auth/register", auth.RegisterOrganizationView.as_view()),
    path("api/auth/register", auth.RegisterPersonView.as_view()),
    path("api/auth/login", auth.LoginView.as_view()),
    path("api/auth/refresh", auth.RefreshView.as_view()),
    path("api/auth/logout", auth.LogoutView.as_view()),
    path("api/invitations", invitations.InvitationsView.as_view()),
    path("api/invitations/accept", invitations.AcceptView.as_view()),
    path("api/invitations/decline", invitations.DeclineView.as_view()),
    path("api/invitations/<str:reference>", invitations.InvitationView.as_view()),
    path("api/members", members.MembersView.as_view()),
    path("api/members/<str:reference>/confirm", members.ConfirmView.as_view()),
    path("api/members/<str:reference>/end", members.EndView.as_view()),
    path("models", registry.QuickModelsView.as_view()),
    path("models/<str:reference>", registry.QuickModelView.as_view()),
    path("api/models", registry.ModelsView.as_view()),
    path("api/models/<str:reference>", registry.ModelView.as_view()),
    path("api/models/<str:reference>/versions", registry.VersionsView.as_view()),
    path("api/audit", audit.AuditView.as_view()),
    path("api/audit/export", audit.ExportView.as_view()),
    path("api/audit/bundle", audit.BundleView.as_view()),
    path("api/audit/checkpoint", checkpoints.CheckpointView.as_view()),
    path("api/audit/proof/inclusion", checkpoints.InclusionView.as_view()),
    path("api/audit/proof/consistency", checkpoints.ConsistencyView.as_view()),
    path("api/audit/keys", checkpoints.KeysView.as_view()),
    path("api/models/<str:reference>/risk-history", risk.RiskHistoryView.as_view()),
    path("api/models/<str:reference>/deploy", deployments.DeployView.as_view()),
    path("api/models/<str:reference>/rollback", deployments.RollbackView.as_view()),
    path("api/models/<str:reference>/suspend", deployments.SuspendView.as_view()),
    path("api/models/<str:reference>/resume", deployments.ResumeView.as_view()),
    path(
        "api/models/<str:reference>/break-glass", deployments.BreakGlassView.as_view()
    ),
    path(
        "api/models/<str:reference>/deployments",
        deployment_lists.ModelDeploymentsView.as_view(),
    ),
    path("api/models/<str:reference>/permit", permits.PermitView.as_view()),
    path("api/permit-keys", permits.PermitKeysView.as_view()),
    path("api/environments", permits.EnvironmentsView.as_view()),
    path("api/environments/<str:name>", permits.EnvironmentView.as_view()),
    path("api/deployments", deployment_lists.DeploymentsView.as_view()),
    path("api/deployments/intake", deployment_lists.IntakeView.as_view()),
    path(
        "api/deployments/<str:reference>", deployment_lists.OneDeploymentView.as_view()
    ),
    path(
        "api/deployments/<str:reference>/ratify", deployment_lists.RatifyView.as_view()
    ),
    path("api/approvals", approvals.ApprovalsView.as_view()),
    path("api/approvals/decide", approvals.DecideView.as_view()),
    path("api/approvals/<str:reference>", approvals.OneApprovalView.as_view()),
    path("api/approvals/<str:reference>/vote", approvals.VoteView.as_view()),
    path("api/approvals/<str:reference>/comments", approvals.CommentsView.as_view()),
    path("api/approvals/<str:reference>/withdraw", approvals.WithdrawView.as_view()),
    path("api/delegations", delegations.DelegationsView.as_view()),
    path(
        "api/delegations/<str:reference>/confirm",
        delegations.ConfirmDelegationView.as_view(),
    ),
    path(
        "api/delegations/<str:reference>/end", delegations.EndDelegationView.as_view()
    ),
    path("api/policies", policies.PoliciesView.as_view()),
    path("api/policies/<str:reference>", policies.OnePolicyView.as_view()),
    path(
        "api/policies/<str:reference>/versions", policy_versions.VersionsView.as_view()
    ),
    *(
        path(
            f"api/policies/<str:reference>/versions/<str:number>{rest}", view.as_view()
        )
        for rest, view in (
            ("", policy_versions.OneVersionView),
            ("/yaml", policy_versions.FileView),
            ("/diff", policy_versions.DiffView),
            ("/backtest", policy_versions.BacktestView),
            ("/touched", policy_versions.TouchedView),
            ("/publication", policy_versions.PublicationView),
        )
    ),
    path("api/policy-templates", policies.TemplatesView.as_view()),
    path("api/policy-templates/<str:name>", policies.TemplateView.as_view()),
    path("api/overrides", overrides.OverridesView.as_view()),
    path("api/overrides/metrics", overrides.OverrideMetricsView.as_view()),
    path("api/overrides/<str:reference>", overrides.OneOverrideView.as_view()),
    path("api/overrides/<str:reference>/review", overrides.ReviewView.as_view()),
    path("api/overrides/<str:reference>/approve", overrides.ApproveView.as_view()),
    path("api/overrides/<str:reference>/reject", overrides.RejectView.as_view()),
    path("api/overrides/<str:reference>/revoke", overrides.RevokeView.as_view()),
    path("api/overrides/<str:reference>/extend", overrides.ExtendView.as_view()),
    path("api/findings", findings.FindingsView.as_view()),
    path("api/findings/<str:reference>", findings.OneFindingView.as_view()),
    path("api/findings/<str:reference>/start", findings.StartView.as_view()),
    path("api/findings/<str:reference>/resolve", findings.ResolveView.as_view()),
    path("api/findings/<str:reference>/reopen", findings.ReopenView.as_view()),
    path("api/findings/<str:reference>/close", findings.CloseView.as_view()),
    path(
        "api/findings/<str:reference>/comments", finding_actions.CommentsView.as_view()
    ),
    path("api/findings/<str:reference>/links", finding_actions.LinksView.as_view()),
    path("api/findings/<str:reference>/actions", finding_actions.ActionsView.as_view()),
    path(
        "api/findings/<str:reference>/actions/<str:action>/decide",
        finding_actions.ActionDecisionView.as_view(),
    ),
    path(
        "api/findings/<str:reference>/remediations",
        finding_actions.RemediationsView.as_view(),
    ),
]
