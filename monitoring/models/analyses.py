"""Results of measuring, ready to be read: nothing here is computed in a request."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Self

from django.db import models
from django.utils import timezone

from governance.identifiers import encode, uuid7
from governance.models import ModelVersion, RegisteredModel, User
from governance.models.tenancy import TenantModel, TenantQuerySet
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
    # As `rows_seen` was when performance over time was last recorded.
    rows_recorded = models.BigIntegerField(default=0)
    recorded_baseline = models.ForeignKey(
        Baseline, null=True, on_delete=models.PROTECT, related_name="+"
    )

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


class AnalysisRunQuerySet(TenantQuerySet["AnalysisRun"]):
    def unfinished(self) -> Self:
        """Find the runs that wait for a worker or have one."""
        return self.filter(status__in=AnalysisRun.UNFINISHED)

    def claimable(self, now: datetime) -> Self:
        """Find the runs that nobody works on: new ones, and those of dead workers."""
        return self.unfinished().filter(
            models.Q(claimed_until=None) | models.Q(claimed_until__lt=now)
        )


class AnalysisRun(TenantModel):
    """A request for a whole analysis of a window, and its place in the queue.

    The row is the queue: a worker takes a lease on it, renews the lease while it works,
    and another one takes the run up when the lease has passed.
    """

    class Status(models.TextChoices):
        QUEUED = "queued", "Queued"
        RUNNING = "running", "Running"
        SUCCEEDED = "succeeded", "Succeeded"
        FAILED = "failed", "Failed"
        CANCELLED = "cancelled", "Cancelled"

    class Trigger(models.TextChoices):
        REQUEST = "request", "Request"
        SCHEDULE = "schedule", "Schedule"

    UNFINISHED: ClassVar = (Status.QUEUED, Status.RUNNING)

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    model = models.ForeignKey(
        RegisteredModel, on_delete=models.PROTECT, related_name="analysis_runs"
    )
    version = models.ForeignKey(
        ModelVersion, on_delete=models.PROTECT, related_name="analysis_runs"
    )
    # What the window is compared with; fixed when the run was requested.
    baseline = models.ForeignKey(Baseline, on_delete=models.PROTECT, related_name="+")
    # given, inherited (from an earlier version) or provisional.
    baseline_kind = models.CharField(max_length=12)
    # Predictions made in [start, end), by their own time stamps.
    window_start = models.DateTimeField()
    window_end = models.DateTimeField()
    # Thresholds, parameters and votes as they were when the run was requested.
    configuration = models.JSONField(default=dict)
    trigger = models.CharField(max_length=10, choices=Trigger)
    # The moment of a schedule that the run is for; two schedulers make one run.
    slot = models.DateTimeField(null=True)
    requested_by = models.ForeignKey(
        User, null=True, on_delete=models.PROTECT, related_name="+"
    )
    requested_at = models.DateTimeField(default=timezone.now, editable=False)
    status = models.CharField(max_length=10, choices=Status, default=Status.QUEUED)
    progress = models.FloatField(default=0.0)  # share of the work that is done
    step = models.CharField(max_length=100, blank=True)
    # How often a worker took it up: whose lease is an older one's has lost the run.
    attempts = models.PositiveSmallIntegerField(default=0)
    claimed_until = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    completed_at = models.DateTimeField(null=True)
    # Why it failed, for people.
    error = models.TextField(blank=True)

    objects: ClassVar = AnalysisRunQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        indexes = [
            # The workers ask every two seconds for what is to be done.
            models.Index(
                fields=("id",),
                condition=models.Q(status__in=("queued", "running")),
                name="analysis_run_unfinished",
            ),
            # Whose turn it is: the organization that was served longest ago.
            models.Index(
                fields=("organization", "-started_at"), name="analysis_run_turns"
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=("version", "slot"), name="analysis_run_slot_unique"
            ),
            models.CheckConstraint(
                condition=models.Q(
                    status__in=("queued", "running", "succeeded", "failed", "cancelled")
                ),
                name="analysis_run_status_known",
            ),
            models.CheckConstraint(
                condition=models.Q(trigger__in=("request", "schedule")),
                name="analysis_run_trigger_known",
            ),
            models.CheckConstraint(
                condition=models.Q(window_start__lt=models.F("window_end")),
                name="analysis_run_window_not_empty",
            ),
            models.CheckConstraint(
                condition=models.Q(progress__gte=0, progress__lte=1),
                name="analysis_run_progress_is_share",
            ),
            models.CheckConstraint(
                condition=models.Q(
                    status__in=("queued", "running"), completed_at__isnull=True
                )
                | models.Q(
                    status__in=("succeeded", "failed", "cancelled"),
                    completed_at__isnull=False,
                ),
                name="analysis_run_completed_when_finished",
            ),
        ]

    def __str__(self) -> str:
        return f"analysis of {self.version}, {self.window_start:%Y-%m-%d %H:%M}"

    @property
    def public_id(self) -> str:
        return encode("drift_job", self.id)

    @property
    def is_finished(self) -> bool:
        return self.status not in self.UNFINISHED


class DriftResult(TenantModel):
    """What an analysis found, and everything needed to compute it again."""

    class Status(models.TextChoices):
        OK = "ok", "OK"
        WARNING = "warning", "Warning"
        ALERT = "alert", "Alert"
        INSUFFICIENT_DATA = "insufficient_data", "Insufficient data"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    # One result per run, however often workers died over it.
    run = models.OneToOneField(
        AnalysisRun, on_delete=models.PROTECT, related_name="result"
    )
    model = models.ForeignKey(
        RegisteredModel, on_delete=models.PROTECT, related_name="drift_results"
    )
    version = models.ForeignKey(
        ModelVersion, on_delete=models.PROTECT, related_name="drift_results"
    )
    baseline = models.ForeignKey(Baseline, on_delete=models.PROTECT, related_name="+")
    baseline_kind = models.CharField(max_length=12)
    window_start = models.DateTimeField()
    window_end = models.DateTimeField()
    predictions = models.BigIntegerField()
    labels = models.BigIntegerField()
    status = models.CharField(max_length=20, choices=Status)
    # Name → what one algorithm says of the window.
    algorithms = models.JSONField(default=dict)
    # monitoring.stats reports as JSON: {"columns": […], …}, and why they moved.
    drift = models.JSONField(default=dict)
    root_cause = models.JSONField(default=dict)
    # Baseline hash, edges, parameters, versions of code and libraries, digest of rows.
    provenance = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ("-id",)
        indexes = [
            # The newest results of a model.
            models.Index(fields=("model", "-created_at"), name="drift_result_by_age"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(
                    status__in=("ok", "warning", "alert", "insufficient_data")
                ),
                name="drift_result_status_known",
            ),
            models.CheckConstraint(
                condition=models.Q(predictions__gte=0, labels__gte=0),
                name="drift_result_counts_not_negative",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.version}: {self.status}"

    @property
    def public_id(self) -> str:
        return encode("result", self.id)


class StreamState(TenantModel):
    """The memory of one streaming algorithm over one version's errors or scores.

    Values are fed in the order of (time stamp, id), each once: only what lies behind
    the row that was fed last is new.
    """

    class Series(models.TextChoices):
        ERRORS = "errors", "Errors"
        SCORES = "scores", "Scores"

    version = models.ForeignKey(
        ModelVersion, on_delete=models.PROTECT, related_name="streams"
    )
    algorithm = models.CharField(max_length=40)
    series = models.CharField(max_length=10, choices=Series)
    # monitoring.stats.streaming.Stream as bytes.
    state = models.BinaryField()
    # The time stamp of the row that was fed first; of older windows it knows nothing.
    fed_from = models.DateTimeField()
    # The row that was fed last.
    fed_until = models.DateTimeField()
    fed_id = models.UUIDField()
    # The newest changes that were noticed: [{"index", "at"}].
    changes = models.JSONField(default=list)
    updated_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=("version", "algorithm", "series"), name="stream_state_unique"
            ),
            models.CheckConstraint(
                condition=models.Q(series__in=("errors", "scores")),
                name="stream_state_series_known",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.algorithm} of {self.version}"
