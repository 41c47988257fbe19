"""Profiles (counts for the live view) and segments (columns for arithmetic)."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from governance.models import ModelVersion, Organization, RegisteredModel
from governance.models.tenancy import TenantModel
from monitoring.models.baselines import Baseline
from monitoring.models.predictions import Receipt


class Profile(TenantModel):
    """The counts of one hour (or of one whole day, merged) on one baseline's grid."""

    class Period(models.TextChoices):
        HOUR = "hour", "Hour"
        DAY = "day", "Day"

    version = models.ForeignKey(
        ModelVersion, on_delete=models.PROTECT, related_name="profiles"
    )
    baseline = models.ForeignKey(
        Baseline, on_delete=models.PROTECT, related_name="profiles"
    )
    period = models.CharField(max_length=4, choices=Period)
    start = models.DateTimeField()
    rows = models.BigIntegerField(default=0)
    labels = models.BigIntegerField(default=0)
    # monitoring.stats.tally.Tally as bytes: of the columns, and of the outcomes.
    columns = models.BinaryField()
    outcomes = models.BinaryField(null=True)
    # Per numeric column {"name": [minimum, maximum]}; not mergeable downwards.
    ranges = models.JSONField(default=dict)
    # Grows with every change, so that whoever cached a merge can tell.
    revision = models.PositiveBigIntegerField(default=1)
    updated_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=("version", "baseline", "period", "start"),
                name="profile_unique",
            ),
            models.CheckConstraint(
                condition=models.Q(period__in=("hour", "day")),
                name="profile_period_known",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.version} {self.period} {self.start:%Y-%m-%d %H:%M}"


class ProfiledReceipt(models.Model):
    """The marker that makes counting happen exactly once per receipt and grid."""

    organization = models.ForeignKey(
        Organization, on_delete=models.PROTECT, related_name="+"
    )
    receipt = models.ForeignKey(Receipt, on_delete=models.PROTECT, related_name="+")
    baseline = models.ForeignKey(Baseline, on_delete=models.PROTECT, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=("receipt", "baseline"), name="profiled_receipt_unique"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.receipt_id} on {self.baseline_id}"


class Segment(TenantModel):
    """Rows of one version and hour as columns (Arrow IPC stream)."""

    model = models.ForeignKey(
        RegisteredModel, on_delete=models.PROTECT, related_name="+"
    )
    version = models.ForeignKey(
        ModelVersion, on_delete=models.PROTECT, related_name="segments"
    )
    hour = models.DateTimeField()
    rows = models.PositiveIntegerField()
    data = models.BinaryField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [
            models.Index(fields=("version", "hour"), name="segment_by_hour"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(rows__gte=1), name="segment_has_rows"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.version} {self.hour:%Y-%m-%d %H}h, {self.rows} rows"


class SegmentedReceipt(models.Model):
    """The marker that a receipt's rows stand in the segments: once."""

    receipt = models.OneToOneField(
        Receipt, primary_key=True, on_delete=models.PROTECT, related_name="+"
    )
    organization = models.ForeignKey(
        Organization, on_delete=models.PROTECT, related_name="+"
    )

    def __str__(self) -> str:
        return str(self.receipt_id)
