"""Findings: something about a version that a person has to look at."""

from __future__ import annotations

from typing import ClassVar, Self

from django.db import models
from django.utils import timezone

from governance.models.organizations import User
from governance.models.registry import ModelVersion
from governance.models.tenancy import TenantModel, TenantQuerySet


class FindingQuerySet(TenantQuerySet["Finding"]):
    def not_closed(self) -> Self:
        return self.exclude(status=Finding.Status.CLOSED)


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
    # What went wrong, as a stable key ("R1:PAY_STATUS"): one open finding per cause.
    cause = models.CharField(max_length=300)
    severity = models.CharField(max_length=10, choices=Severity)
    status = models.CharField(max_length=12, choices=Status, default=Status.OPEN)
    title = models.CharField(max_length=500)
    detail = models.JSONField(default=dict)
    occurrences = models.PositiveBigIntegerField(default=1)
    owner = models.ForeignKey(
        User, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    opened_at = models.DateTimeField(default=timezone.now, editable=False)
    last_seen_at = models.DateTimeField(default=timezone.now, editable=False)

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
        ]

    def __str__(self) -> str:
        return self.title
