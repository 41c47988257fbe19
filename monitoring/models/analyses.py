"""Results of measuring, ready to be read: nothing here is computed in a request."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from governance.identifiers import encode, uuid7
from governance.models import ModelVersion, RegisteredModel
from governance.models.tenancy import TenantModel
from monitoring.models.baselines import Baseline


class LiveResult(TenantModel):
    """The newest live measurement of a version over its cadence's window."""

    class Status(models.TextChoices):
        OK = "ok", "OK"
        WARNING = "warning", "Warning"
        ALERT = "alert", "Alert"
        INSUFFICIENT_DATA = "insufficient_data", "Insufficient data"
        NO_BASELINE = "no_baseline", "No baseline"

    model = models.ForeignKey(
        RegisteredModel, on_delete=models.PROTECT, related_name="+"
    )
    version = models.OneToOneField(
        ModelVersion, on_delete=models.PROTECT, related_name="live_result"
    )
    baseline = models.ForeignKey(
        Baseline, null=True, on_delete=models.PROTECT, related_name="+"
    )
    # given, inherited (from an earlier version) or provisional.
    baseline_kind = models.CharField(max_length=12, blank=True)
    status = models.CharField(max_length=20, choices=Status)
    window_start = models.DateTimeField(null=True)
    window_end = models.DateTimeField(null=True)
    predictions = models.BigIntegerField(default=0)
    labels = models.BigIntegerField(default=0)
    # monitoring.stats reports as JSON: {"drift", "quality", "fairness", "performance"}.
    drift = models.JSONField(default=dict)
    quality = models.JSONField(default=dict)
    fairness = models.JSONField(default=dict)
    performance = models.JSONField(default=dict)
    # Names this state of the result: another computation has another one.
    result_id = models.UUIDField(default=uuid7)
    computed_at = models.DateTimeField(default=timezone.now)
    # The row is the queue: whoever changes a profile of the version sets it.
    due = models.BooleanField(default=True)
    # When the newest counted predictions arrived: silence is judged by it.
    received_at = models.DateTimeField(null=True)
    # Predictions and labels ever counted, and how many of them the last evaluation
    # of the governance status had seen.
    rows_seen = models.BigIntegerField(default=0)
    rows_evaluated = models.BigIntegerField(default=0)
    evaluated_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            # The refresh asks every two seconds for what is due.
            models.Index(
                fields=("version",),
                condition=models.Q(due=True),
                name="live_result_due",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.version}: {self.status}"

    @property
    def public_id(self) -> str:
        return encode("result", self.result_id)
