"""Performance over time: what labels and estimates say of each hour, day and week."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from governance.models import ModelVersion
from governance.models.tenancy import TenantModel
from monitoring.models.baselines import Baseline


class PerformanceResult(TenantModel):
    """The realized and the estimated metrics of one hour, day or ISO week (UTC)."""

    class Period(models.TextChoices):
        HOUR = "hour", "Hour"
        DAY = "day", "Day"
        WEEK = "week", "Week"

    version = models.ForeignKey(
        ModelVersion, on_delete=models.PROTECT, related_name="performance_results"
    )
    # What estimates are made with, and drops are measured from.
    baseline = models.ForeignKey(Baseline, on_delete=models.PROTECT, related_name="+")
    period = models.CharField(max_length=4, choices=Period)
    start = models.DateTimeField()
    rows = models.BigIntegerField()
    labels = models.BigIntegerField()
    # The newest hour of it that has predictions ends here.
    last_end = models.DateTimeField()
    # Of the profiles that it was computed from: another one makes it due.
    revision = models.PositiveBigIntegerField()
    # monitoring.stats metrics as JSON: {"metrics": {name: {"value", "n", …}}, …}.
    realized = models.JSONField(default=dict)
    estimated = models.JSONField(default=dict)
    # Of an hour: monitoring.stats.summed.Sums, where counts don't tell the estimate.
    sums = models.BinaryField(null=True)
    computed_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=("version", "period", "start"),
                name="performance_result_unique",
            ),
            models.CheckConstraint(
                condition=models.Q(period__in=("hour", "day", "week")),
                name="performance_result_period_known",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.version} {self.period} {self.start:%Y-%m-%d %H:%M}"
