"""The live view as it stood at the end of each day: what a replay is made of."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from governance.models import ModelVersion
from governance.models.tenancy import TenantModel
from monitoring.models.baselines import Baseline


class DayView(TenantModel):
    """What the live window that ends with a day's newest prediction showed."""

    version = models.ForeignKey(
        ModelVersion, on_delete=models.PROTECT, related_name="day_views"
    )
    baseline = models.ForeignKey(Baseline, on_delete=models.PROTECT, related_name="+")
    day = models.DateField()  # in UTC
    window_start = models.DateTimeField()
    window_end = models.DateTimeField()
    rows = models.BigIntegerField()
    # Of the profiles of the window: another one makes it due.
    revision = models.PositiveBigIntegerField()
    # Column → algorithm → [score, is significant, 95 % point without drift, has a
    # p-value]: all that a threshold is held against, measured ones only.
    readings = models.JSONField(default=dict)
    # As `monitoring.alerting.signals.of_performance` takes it.
    performance = models.JSONField(default=dict)
    computed_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=("version", "day"), name="day_view_unique"),
        ]

    def __str__(self) -> str:
        return f"{self.version} {self.day}"
