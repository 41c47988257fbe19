"""Deployments: which version was in production when, and by whose leave."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import ClassVar, Self

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from governance.models.approvals import ApprovalRequest
from governance.models.organizations import ApiKey, User
from governance.models.overrides import ENVIRONMENT_KNOWN, Override
from governance.models.policies import PolicyVersion
from governance.models.registry import ModelVersion, RegisteredModel
from governance.models.tenancy import TenantModel, TenantQuerySet


class DeploymentQuerySet(TenantQuerySet["Deployment"]):
    def open(self) -> Self:
        """Return those that nothing has replaced yet, suspended or not."""
        return self.filter(ended_at=None)

    def live(self) -> Self:
        """Return those that serve: open and not suspended."""
        return self.filter(ended_at=None, suspended_at=None)

    def between(self, start: datetime, end: datetime) -> Self:
        """Return those that were live at any moment in [start, end)."""
        return (
            self.filter(started_at__lt=end)
            .filter(Q(ended_at=None) | Q(ended_at__gt=start))
            .filter(Q(suspended_at=None) | Q(suspended_at__gt=start))
        )


class Deployment(TenantModel):
    """One version in one environment, from a moment until another one.

    A row is live in [started_at, suspended_at or ended_at). What resumes, rolls back or
    replaces it is a row of its own, so that each says what let it through.
    """

    class Kind(models.TextChoices):
        DEPLOY = "deploy", "Deployed"
        ROLLBACK = "rollback", "Rolled back to"
        RESUME = "resume", "Resumed"
        INTAKE = "intake", "Deployed (intake)"
        BREAK_GLASS = "break_glass", "Break-glass"

    class Fallback(models.TextChoices):
        PREVIOUS_VERSION = "previous_version", "The previous version"
        FIXED_RULE = "fixed_rule", "A fixed rule"
        MANUAL_REVIEW = "manual_review", "Manual review"

    class Suspension(models.TextChoices):
        PERSON = "person", "By a person"
        POLICY = "policy", "By the policy"
        OVERRIDE_ENDED = "override_ended", "Its override ended"
        INTAKE_OVERDUE = "intake_overdue", "Its intake is overdue"
        BREAK_GLASS_ENDED = "break_glass_ended", "Its break-glass ended"

    class End(models.TextChoices):
        REPLACED = "replaced", "Replaced"
        RESUMED = "resumed", "Resumed"
        RETIRED = "retired", "Retired"

    model = models.ForeignKey(
        RegisteredModel, on_delete=models.PROTECT, related_name="deployments"
    )
    version = models.ForeignKey(
        ModelVersion, on_delete=models.PROTECT, related_name="deployments"
    )
    environment = models.CharField(max_length=20, choices=ApiKey.Environment)
    kind = models.CharField(max_length=12, choices=Kind)
    reason = models.TextField(blank=True)
    started_at = models.DateTimeField(default=timezone.now, editable=False)
    requested_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    requested_label = models.CharField(max_length=300)
    requested_with = models.ForeignKey(
        ApiKey, null=True, on_delete=models.PROTECT, related_name="+"
    )
    # What the gate said, by which policy, approval and override.
    mode = models.CharField(max_length=10)
    gate = models.JSONField(default=dict)
    policy_version = models.ForeignKey(
        PolicyVersion, on_delete=models.PROTECT, related_name="+"
    )
    approval = models.ForeignKey(
        ApprovalRequest, null=True, on_delete=models.PROTECT, related_name="deployments"
    )
    override = models.ForeignKey(
        Override, null=True, on_delete=models.PROTECT, related_name="deployments"
    )
    # What serves instead when this one may not.
    fallback = models.CharField(max_length=20, choices=Fallback)
    fallback_version = models.ForeignKey(
        ModelVersion, null=True, on_delete=models.PROTECT, related_name="+"
    )
    fallback_text = models.CharField(max_length=500, blank=True)
    # Of an intake: until when it has to be approved; then a finding, then the gate.
    due_at = models.DateTimeField(null=True, editable=False)
    overdue_at = models.DateTimeField(null=True, editable=False)
    # Of a break-glass: when it ends, until when a second person has to stand by it.
    until = models.DateTimeField(null=True, editable=False)
    ratify_by = models.DateTimeField(null=True, editable=False)
    ratified_by = models.ForeignKey(
        User, null=True, on_delete=models.PROTECT, related_name="+"
    )
    ratified_label = models.CharField(max_length=300, blank=True)
    ratified_at = models.DateTimeField(null=True, editable=False)
    ratification = models.TextField(blank=True)
    unratified_at = models.DateTimeField(null=True, editable=False)
    # When people were last told that its version is blocked.
    blocked_told_at = models.DateTimeField(null=True, editable=False)
    suspended_at = models.DateTimeField(null=True, editable=False)
    suspension = models.CharField(max_length=20, choices=Suspension, blank=True)
    suspended_by = models.ForeignKey(
        User, null=True, on_delete=models.PROTECT, related_name="+"
    )
    suspended_label = models.CharField(max_length=300, blank=True)
    suspension_reason = models.TextField(blank=True)
    ended_at = models.DateTimeField(null=True, editable=False)
    end = models.CharField(max_length=10, choices=End, blank=True)
    ended_by = models.ForeignKey(
        User, null=True, on_delete=models.PROTECT, related_name="+"
    )
    ended_label = models.CharField(max_length=300, blank=True)

    objects: ClassVar = DeploymentQuerySet.as_manager()

    class Meta:
        ordering = ("-started_at", "-id")
        constraints = [
            models.UniqueConstraint(
                fields=("model", "environment"),
                condition=Q(ended_at=None),
                name="deployment_one_open",
            ),
            models.CheckConstraint(
                condition=ENVIRONMENT_KNOWN, name="deployment_environment_known"
            ),
            models.CheckConstraint(
                condition=Q(
                    kind__in=("deploy", "rollback", "resume", "intake", "break_glass")
                ),
                name="deployment_kind_known",
            ),
            models.CheckConstraint(
                condition=Q(mode__in=("prevent", "warn", "observe")),
                name="deployment_mode_known",
            ),
            # No way to production but an approval, unless the policy says so.
            models.CheckConstraint(
                condition=Q(approval__isnull=False)
                | Q(kind__in=("intake", "break_glass"))
                | Q(mode__in=("warn", "observe")),
                name="deployment_is_approved",
            ),
            models.CheckConstraint(
                condition=Q(fallback="previous_version", fallback_version__isnull=False)
                | Q(fallback="fixed_rule") & ~Q(fallback_text="")
                | Q(fallback="manual_review"),
                name="deployment_names_its_fallback",
            ),
            models.CheckConstraint(
                condition=~Q(kind="intake") | Q(due_at__isnull=False),
                name="deployment_intake_is_due",
            ),
            models.CheckConstraint(
                condition=~Q(kind="break_glass")
                | Q(
                    until__isnull=False,
                    ratify_by__isnull=False,
                    until__lte=F("started_at") + timedelta(hours=8),
                    ratify_by__lte=F("started_at") + timedelta(hours=24),
                )
                & ~Q(reason=""),
                name="deployment_break_glass_ends",
            ),
            models.CheckConstraint(
                condition=Q(ratified_by=None) | ~Q(ratified_by=F("requested_by")),
                name="deployment_ratified_by_another",
            ),
            models.CheckConstraint(
                condition=Q(suspended_at=None, suspension="")
                | Q(suspended_at__gte=F("started_at")) & ~Q(suspension=""),
                name="deployment_suspended_after_start",
            ),
            models.CheckConstraint(
                condition=Q(ended_at=None, end="")
                | Q(ended_at__gte=F("started_at")) & ~Q(end=""),
                name="deployment_ended_after_start",
            ),
        ]
        indexes = [
            # "What was in production on day D?", and predictions without a version.
            models.Index(
                fields=("model", "environment", "started_at"),
                name="deployment_by_time",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.version} in {self.environment}"

    @property
    def is_live(self) -> bool:
        return self.ended_at is None and self.suspended_at is None

    @property
    def is_suspended(self) -> bool:
        return self.ended_at is None and self.suspended_at is not None

    @property
    def state(self) -> str:
        if self.ended_at is not None:
            return "retired"
        return "deployed" if self.suspended_at is None else "suspended"

    @property
    def live_until(self) -> datetime | None:
        """When it stopped serving; None while it does."""
        moments = [one for one in (self.suspended_at, self.ended_at) if one]
        return min(moments) if moments else None
