"""Alert settings: when a model's people are told, and when an analysis runs."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from django.db import models
from django.utils import timezone

from governance.models import Finding, ModelVersion, RegisteredModel, User
from governance.models.tenancy import TenantModel, TenantQuerySet
from monitoring.alerting.settings import (
    LONGEST_WINDOW_DAYS,
    AlertSettings,
    Channels,
    Override,
    Schedule,
)
from monitoring.models.baselines import Baseline

Q = models.Q


def default_algorithms() -> dict[str, Any]:
    return AlertSettings().algorithms_json()


def default_notifications() -> dict[str, Any]:
    return Channels().to_json()


class AlertConfig(TenantModel):
    """The alert settings of a model; one without a row has the defaults."""

    class Frequency(models.TextChoices):
        HOURLY = "hourly", "Hourly"
        DAILY = "daily", "Daily"
        WEEKLY = "weekly", "Weekly"

    model = models.OneToOneField(
        RegisteredModel, on_delete=models.PROTECT, related_name="alert_config"
    )
    enabled = models.BooleanField(default=True)
    # {"enabled": [name], "overrides": {name: {"warningThreshold", "alertThreshold",
    # "params"}}}, checked against the registry before they are stored.
    algorithms = models.JSONField(default=default_algorithms)
    accuracy_drop_warning = models.FloatField(default=0.05)
    accuracy_drop_alert = models.FloatField(default=0.10)
    performance_drop_relative = models.FloatField(default=0.15)
    min_baseline_sample_size = models.PositiveIntegerField(default=30)
    notifications = models.JSONField(default=default_notifications)
    # Columns, for beat reads them every few seconds.
    schedule_enabled = models.BooleanField(default=False)
    schedule_frequency = models.CharField(
        max_length=6, choices=Frequency, default=Frequency.DAILY
    )
    schedule_window_days = models.PositiveSmallIntegerField(default=7)
    updated_by = models.ForeignKey(
        User, null=True, on_delete=models.PROTECT, related_name="+"
    )
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name = "alert settings"
        verbose_name_plural = "alert settings"
        indexes = [
            # Beat asks which models have a schedule.
            models.Index(
                fields=("schedule_frequency",),
                condition=Q(schedule_enabled=True),
                name="alert_config_scheduled",
            ),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(schedule_frequency__in=("hourly", "daily", "weekly")),
                name="alert_config_frequency_known",
            ),
            models.CheckConstraint(
                condition=Q(
                    schedule_window_days__gte=1,
                    schedule_window_days__lte=LONGEST_WINDOW_DAYS,
                ),
                name="alert_config_window_possible",
            ),
            models.CheckConstraint(
                condition=Q(
                    accuracy_drop_warning__gt=0,
                    accuracy_drop_warning__lte=models.F("accuracy_drop_alert"),
                    accuracy_drop_alert__lte=1,
                ),
                name="alert_config_drops_rise",
            ),
            models.CheckConstraint(
                condition=Q(performance_drop_relative__gt=0),
                name="alert_config_relative_drop_positive",
            ),
            models.CheckConstraint(
                condition=Q(min_baseline_sample_size__gte=1),
                name="alert_config_sample_positive",
            ),
        ]

    def __str__(self) -> str:
        return f"Alert settings of {self.model}"

    @property
    def settings(self) -> AlertSettings:
        """The settings as a value."""
        return AlertSettings(
            enabled=self.enabled,
            algorithms=tuple(self.algorithms["enabled"]),
            overrides={
                name: Override.from_json(one)
                for name, one in self.algorithms["overrides"].items()
            },
            accuracy_drop_warning=self.accuracy_drop_warning,
            accuracy_drop_alert=self.accuracy_drop_alert,
            performance_drop_relative=self.performance_drop_relative,
            min_baseline_sample_size=self.min_baseline_sample_size,
            channels=Channels.from_json(self.notifications),
            schedule=Schedule(
                self.schedule_enabled,
                self.schedule_frequency,
                self.schedule_window_days,
            ),
        )

    @settings.setter
    def settings(self, settings: AlertSettings) -> None:
        self.enabled = settings.enabled
        self.algorithms = settings.algorithms_json()
        self.accuracy_drop_warning = settings.accuracy_drop_warning
        self.accuracy_drop_alert = settings.accuracy_drop_alert
        self.performance_drop_relative = settings.performance_drop_relative
        self.min_baseline_sample_size = settings.min_baseline_sample_size
        self.notifications = settings.channels.to_json()
        self.schedule_enabled = settings.schedule.enabled
        self.schedule_frequency = settings.schedule.frequency
        self.schedule_window_days = settings.schedule.window_days


class AlarmQuerySet(TenantQuerySet["Alarm"]):
    def raised(self) -> Self:
        """Find the alarms that nothing has cleared yet."""
        return self.filter(is_raised=True)


class Alarm(TenantModel):
    """The memory of one cause: raised or not, and how long it has been quiet.

    The live view and the analyses look at windows of their own, so each has its own
    alarm; the cause's finding is about both.
    """

    class Source(models.TextChoices):
        LIVE = "live", "Live view"
        ANALYSIS = "analysis", "Analysis"

    version = models.ForeignKey(
        ModelVersion, on_delete=models.PROTECT, related_name="alarms"
    )
    # As `Finding.cause`.
    cause = models.CharField(max_length=300)
    source = models.CharField(max_length=8, choices=Source)
    is_raised = models.BooleanField()
    # monitoring.alerting.signals.Level: the worst since it was raised.
    level = models.PositiveSmallIntegerField()
    quiet_results = models.PositiveSmallIntegerField(default=0)
    # The title and the detail of the newest signal.
    title = models.CharField(max_length=500)
    detail = models.JSONField(default=dict)
    # What was measured against when it was raised.
    baseline = models.ForeignKey(Baseline, on_delete=models.PROTECT, related_name="+")
    # The end of the newest window that was looked at; older ones are old news.
    until = models.DateTimeField()
    finding = models.ForeignKey(
        Finding, null=True, on_delete=models.PROTECT, related_name="alarms"
    )
    raised_at = models.DateTimeField(default=timezone.now)
    cleared_at = models.DateTimeField(null=True)

    objects: ClassVar = AlarmQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=("version", "cause", "source"), name="alarm_unique"
            ),
            models.CheckConstraint(
                condition=Q(source__in=("live", "analysis")), name="alarm_source_known"
            ),
            models.CheckConstraint(
                condition=Q(level__in=(0, 1, 2)), name="alarm_level_known"
            ),
        ]

    def __str__(self) -> str:
        return self.title
