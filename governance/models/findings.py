"""Findings: something about a version that a person has to look at."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Self

from django.db import models
from django.utils import timezone

from governance.models.organizations import User
from governance.models.registry import ModelVersion, RegisteredModel
from governance.models.risk import Evidence
from governance.models.tenancy import TenantModel, TenantQuerySet


class FindingQuerySet(TenantQuerySet["Finding"]):
    def not_closed(self) -> Self:
        return self.exclude(status=Finding.Status.CLOSED)

    def of_model(self, model: RegisteredModel) -> Self:
        return self.filter(version__model=model)

    def overdue(self, at: datetime) -> Self:
        """Return the findings that should have been closed by then."""
        return self.not_closed().filter(due_at__lte=at)

    def unattended(self, at: datetime) -> Self:
        """Critical ones that nobody had begun with by then."""
        return self.filter(
            status=Finding.Status.OPEN,
            severity=Finding.Severity.CRITICAL,
            opened_at__lte=at,
        )

    def critical(self, at: datetime) -> Self:
        """Open critical ones whose risk nobody has accepted at that moment."""
        accepted = FindingAction.objects.accepted(at).filter(
            finding=models.OuterRef("pk")
        )
        return self.not_closed().filter(
            ~models.Exists(accepted), severity=Finding.Severity.CRITICAL
        )


class Finding(TenantModel):
    class Severity(models.TextChoices):
        LOW = "low", "Low"
        MEDIUM = "medium", "Medium"
        HIGH = "high", "High"
        CRITICAL = "critical", "Critical"

    class Status(models.TextChoices):
        OPEN = "open", "Open"
        IN_PROGRESS = "in_progress", "In progress"
        RESOLVED = "resolved", "Resolved"
        CLOSED = "closed", "Closed"

    version = models.ForeignKey(
        ModelVersion, on_delete=models.PROTECT, related_name="findings"
    )
    # What went wrong, as a stable key ("drift:PAY_STATUS"): one open finding per cause.
    cause = models.CharField(max_length=300)
    severity = models.CharField(max_length=10, choices=Severity)
    status = models.CharField(max_length=12, choices=Status, default=Status.OPEN)
    title = models.CharField(max_length=500)
    detail = models.JSONField(default=dict)
    occurrences = models.PositiveBigIntegerField(default=1)
    owner = models.ForeignKey(
        User, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    due_at = models.DateTimeField(null=True, blank=True)
    opened_at = models.DateTimeField(default=timezone.now, editable=False)
    last_seen_at = models.DateTimeField(default=timezone.now, editable=False)
    # Who resolved it, and who else closed it. Labels, as people may be renamed.
    resolved_by = models.ForeignKey(
        User, null=True, editable=False, on_delete=models.PROTECT, related_name="+"
    )
    resolved_label = models.CharField(max_length=300, blank=True, editable=False)
    resolved_at = models.DateTimeField(null=True, editable=False)
    resolution = models.TextField(blank=True, editable=False)
    closed_by = models.ForeignKey(
        User, null=True, editable=False, on_delete=models.PROTECT, related_name="+"
    )
    closed_label = models.CharField(max_length=300, blank=True, editable=False)
    closed_at = models.DateTimeField(null=True, editable=False)
    closing_reason = models.TextField(blank=True, editable=False)
    # When it was last told that nobody looks after it.
    reminded_at = models.DateTimeField(null=True, editable=False)

    objects: ClassVar = FindingQuerySet.as_manager()

    class Meta:
        ordering = ("-opened_at", "-id")
        constraints = [
            models.UniqueConstraint(
                fields=("version", "cause"),
                condition=~models.Q(status="closed"),
                name="finding_one_open_per_cause",
            ),
            models.CheckConstraint(
                condition=models.Q(
                    status__in=("open", "in_progress", "resolved", "closed")
                ),
                name="finding_status_known",
            ),
            models.CheckConstraint(
                condition=models.Q(severity__in=("low", "medium", "high", "critical")),
                name="finding_severity_known",
            ),
            models.CheckConstraint(
                # The label alone: by the system, as the measurement is back in limits.
                condition=~models.Q(status__in=("resolved", "closed"))
                | (models.Q(resolved_by__isnull=False) | ~models.Q(resolved_label=""))
                & models.Q(resolved_at__isnull=False)
                & ~models.Q(resolution=""),
                name="finding_resolved_by_somebody",
            ),
            models.CheckConstraint(
                condition=~models.Q(status="closed")
                | models.Q(closed_by__isnull=False, closed_at__isnull=False)
                & ~models.Q(closing_reason="")
                & ~models.Q(closed_by=models.F("resolved_by")),
                name="finding_closed_by_another",
            ),
        ]

    def __str__(self) -> str:
        return self.title

    @property
    def is_closed(self) -> bool:
        return self.status == self.Status.CLOSED


class FindingComment(TenantModel):
    """What somebody said about a finding."""

    finding = models.ForeignKey(
        Finding, on_delete=models.PROTECT, related_name="comments"
    )
    author = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    author_label = models.CharField(max_length=300)
    text = models.TextField()
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return f"{self.author_label}: {self.text[:80]}"


class FindingLink(TenantModel):
    """Something that a finding rests on: evidence that is kept here, or an address."""

    finding = models.ForeignKey(Finding, on_delete=models.PROTECT, related_name="links")
    evidence = models.ForeignKey(
        Evidence, null=True, on_delete=models.PROTECT, related_name="+"
    )
    reference = models.CharField(max_length=1000, blank=True)
    note = models.TextField(blank=True)
    added_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    added_label = models.CharField(max_length=300)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ("id",)
        constraints = [
            models.CheckConstraint(
                condition=models.Q(evidence__isnull=False) | ~models.Q(reference=""),
                name="finding_link_leads_somewhere",
            ),
        ]

    def __str__(self) -> str:
        return str(self.evidence) if self.evidence_id else self.reference


class FindingActionQuerySet(TenantQuerySet["FindingAction"]):
    def accepted(self, at: datetime) -> Self:
        """Return the acceptances of a risk that hold at that moment."""
        return self.filter(
            kind=FindingAction.Kind.ACCEPT_RISK,
            status=FindingAction.Status.DONE,
            decided_at__lte=at,
            until__gt=at,
        )


class FindingAction(TenantModel):
    """What is to be done about a finding, and whether it was."""

    class Kind(models.TextChoices):
        RETRAIN = "retrain", "Retrain the model"
        RESTRICT_USE = "restrict_use", "Restrict its use"
        # Until a date; a second person has to agree.
        ACCEPT_RISK = "accept_risk", "Accept the risk"

    class Status(models.TextChoices):
        REQUESTED = "requested", "Requested"
        DONE = "done", "Done"
        DECLINED = "declined", "Declined"

    finding = models.ForeignKey(
        Finding, on_delete=models.PROTECT, related_name="actions"
    )
    kind = models.CharField(max_length=12, choices=Kind)
    status = models.CharField(max_length=10, choices=Status, default=Status.REQUESTED)
    note = models.TextField()
    until = models.DateTimeField(null=True, blank=True)
    requested_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    requested_label = models.CharField(max_length=300)
    requested_at = models.DateTimeField(default=timezone.now, editable=False)
    decided_by = models.ForeignKey(
        User, null=True, on_delete=models.PROTECT, related_name="+"
    )
    decided_label = models.CharField(max_length=300, blank=True)
    decided_at = models.DateTimeField(null=True, editable=False)
    decision = models.TextField(blank=True)
    # A risk whose acceptance has ended is told once.
    ended_at = models.DateTimeField(null=True, editable=False)

    objects: ClassVar = FindingActionQuerySet.as_manager()

    class Meta:
        ordering = ("id",)
        constraints = [
            models.CheckConstraint(
                condition=models.Q(kind__in=("retrain", "restrict_use", "accept_risk")),
                name="finding_action_kind_known",
            ),
            models.CheckConstraint(
                condition=models.Q(status__in=("requested", "done", "declined")),
                name="finding_action_status_known",
            ),
            models.CheckConstraint(
                condition=models.Q(status="requested")
                | models.Q(decided_by__isnull=False, decided_at__isnull=False),
                name="finding_action_decided_by_somebody",
            ),
            models.CheckConstraint(
                condition=~models.Q(kind="accept_risk")
                | models.Q(until__gt=models.F("requested_at")),
                name="finding_risk_accepted_until",
            ),
            # NULL passes: nobody has decided yet.
            models.CheckConstraint(
                condition=~models.Q(kind="accept_risk")
                | models.Q(decided_by=None)
                | ~models.Q(decided_by=models.F("requested_by")),
                name="finding_risk_accepted_by_another",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.get_status_display().lower()}"


class Remediation(TenantModel):
    """A version that was declared not to have what was found on another one."""

    finding = models.ForeignKey(
        Finding, on_delete=models.PROTECT, related_name="remediations"
    )
    version = models.ForeignKey(
        ModelVersion, on_delete=models.PROTECT, related_name="remediations"
    )
    reason = models.TextField()
    declared_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    declared_label = models.CharField(max_length=300)
    declared_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ("id",)
        constraints = [
            models.UniqueConstraint(
                fields=("finding", "version"), name="remediation_declared_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.version} remedies {self.finding}"
