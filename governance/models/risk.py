"""What was measured, what was decided on it, and when the decision changed."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from governance.models.policies import PolicyVersion
from governance.models.registry import ModelVersion, RegisteredModel
from governance.models.tenancy import TenantModel


class GovernanceStatus(models.TextChoices):
    """The health of a version, decided by measurements; never its approval."""

    NOT_ASSESSED = "NOT_ASSESSED", "Not assessed"
    APPROVED = "APPROVED", "Within limits"
    AT_RISK = "AT_RISK", "At risk"
    BLOCKED = "BLOCKED", "Blocked"


STATUS_KNOWN = models.Q(status__in=("NOT_ASSESSED", "APPROVED", "AT_RISK", "BLOCKED"))


class Evidence(TenantModel):
    """Facts that monitoring measured over one window; never changed afterwards."""

    version = models.ForeignKey(
        ModelVersion, on_delete=models.PROTECT, related_name="evidence"
    )
    # governance.decision.Facts as JSON.
    facts = models.JSONField()
    digest = models.CharField(max_length=64)
    # The baseline's public id and hash, and the counts, so that it can be recomputed.
    source = models.JSONField(default=dict)
    window_start = models.DateTimeField(null=True)
    window_end = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name_plural = "evidence"
        ordering = ("-created_at", "-id")

    def __str__(self) -> str:
        return f"Evidence {self.pk} on {self.version}"


class RiskScore(TenantModel):
    """One point of the risk history, with the terms to recompute it from."""

    model = models.ForeignKey(
        RegisteredModel, on_delete=models.PROTECT, related_name="risk_scores"
    )
    version = models.ForeignKey(
        ModelVersion, on_delete=models.PROTECT, related_name="risk_scores"
    )
    score = models.FloatField()
    drift_component = models.FloatField(null=True)
    fairness_component = models.FloatField(null=True)
    governance_status = models.CharField(max_length=12, choices=GovernanceStatus)
    explanation = models.JSONField(default=list)
    terms = models.JSONField(default=dict)
    policy_version = models.ForeignKey(
        PolicyVersion, on_delete=models.PROTECT, related_name="+"
    )
    evidence = models.ForeignKey(Evidence, on_delete=models.PROTECT, related_name="+")
    computed_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ("-computed_at", "-id")
        indexes = [
            # GET /api/models/{id}/risk-history reads the newest of a model.
            models.Index(fields=("model", "-computed_at"), name="risk_by_model_time"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(score__gte=0, score__lte=100),
                name="risk_score_in_range",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.version}: {self.score:.1f}"


class Assessment(TenantModel):
    """The state of one version now: locked, read and rewritten by `risk.assess`."""

    version = models.OneToOneField(
        ModelVersion, on_delete=models.PROTECT, related_name="assessment"
    )
    status = models.CharField(
        max_length=12, choices=GovernanceStatus, default=GovernanceStatus.NOT_ASSESSED
    )
    since = models.DateTimeField(default=timezone.now)
    # A change that has been seen once and waits for its second evaluation.
    candidate = models.CharField(max_length=12, choices=GovernanceStatus, blank=True)
    candidate_evaluations = models.PositiveSmallIntegerField(default=0)
    # Evaluations that have found it blocked, without a break; 0 if it isn't.
    blocked_evaluations = models.PositiveIntegerField(default=0)
    # governance.decision.Verdict as JSON: rules with observed, limit, evidence.
    verdict = models.JSONField(default=dict)
    reasons = models.JSONField(default=list)
    score = models.FloatField(null=True)
    fairness_score = models.FloatField(null=True)
    rows = models.BigIntegerField(default=0)
    evaluated_at = models.DateTimeField(null=True)
    policy_version = models.ForeignKey(
        PolicyVersion, null=True, on_delete=models.PROTECT, related_name="+"
    )
    evidence = models.ForeignKey(
        Evidence, null=True, on_delete=models.PROTECT, related_name="+"
    )

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=STATUS_KNOWN, name="assessment_status_known"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.version}: {self.get_status_display()}"


class StatusChange(TenantModel):
    """Since when a version has which status; gives predictions their verdict."""

    version = models.ForeignKey(
        ModelVersion, on_delete=models.PROTECT, related_name="status_changes"
    )
    status = models.CharField(max_length=12, choices=GovernanceStatus)
    previous = models.CharField(max_length=12, choices=GovernanceStatus)
    reasons = models.JSONField(default=list)
    evidence = models.ForeignKey(
        Evidence, null=True, on_delete=models.PROTECT, related_name="+"
    )
    policy_version = models.ForeignKey(
        PolicyVersion, null=True, on_delete=models.PROTECT, related_name="+"
    )
    since = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ("-since", "-id")
        indexes = [
            # The hot path reads a version's changes to date a prediction's verdict.
            models.Index(fields=("version", "since"), name="status_change_by_time"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=STATUS_KNOWN, name="status_change_status_known"
            ),
        ]

    def __str__(self) -> str:
        before = GovernanceStatus(self.previous).label
        return f"{self.version}: {before} → {self.get_status_display()}"
