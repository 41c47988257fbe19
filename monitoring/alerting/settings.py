"""What a model's owner may set about its alerts, and what holds if nothing is set.

The names in JSON are those of the Drift dialect, which is also how they are stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

FREQUENCIES = ("hourly", "daily", "weekly")
# Those that make the status by default: `monitoring.stats.drift.VOTING`, which would
# bring numpy into the web process.
DEFAULT_ALGORITHMS = ("psi", "ks_test", "chi_square")
LONGEST_WINDOW_DAYS = 366


@dataclass(frozen=True, slots=True)
class Override:
    """What is set otherwise of one algorithm; None: as it is by default."""

    warning: float | None = None
    alert: float | None = None
    params: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return what is set, by the dialect's names."""
        found: dict[str, Any] = {}
        if self.warning is not None:
            found["warningThreshold"] = self.warning
        if self.alert is not None:
            found["alertThreshold"] = self.alert
        if self.params:
            found["params"] = dict(self.params)
        return found

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        return cls(
            data.get("warningThreshold"),
            data.get("alertThreshold"),
            dict(data.get("params", {})),
        )


@dataclass(frozen=True, slots=True)
class Channels:
    """Where messages go; without recipients, e-mail goes to the model's owner."""

    email: bool = False
    slack: str | None = None  # https addresses of webhooks
    discord: str | None = None
    webhook: str | None = None
    recipients: tuple[str, ...] = ()  # e-mail addresses, or https addresses

    def to_json(self) -> dict[str, Any]:
        """Return all of it, by the dialect's names."""
        return {
            "email": self.email,
            "slack": self.slack,
            "discord": self.discord,
            "webhook": self.webhook,
            "recipients": list(self.recipients),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote."""
        return cls(**{**data, "recipients": tuple(data.get("recipients", ()))})


@dataclass(frozen=True, slots=True)
class Schedule:
    """When an analysis runs by itself, and over how many days."""

    enabled: bool = False
    frequency: str = "daily"  # one of `FREQUENCIES`
    window_days: int = 7

    def to_json(self) -> dict[str, Any]:
        """Return all of it, by the dialect's names."""
        return {
            "enabled": self.enabled,
            "frequency": self.frequency,
            "timeWindowDays": self.window_days,
        }


@dataclass(frozen=True, slots=True)
class AlertSettings:
    """The alert settings of a model, complete."""

    enabled: bool = True
    # Those that make the status and open findings; all others are only shown.
    algorithms: tuple[str, ...] = DEFAULT_ALGORITHMS
    overrides: Mapping[str, Override] = field(default_factory=dict)
    # Of a classification's metric, absolute; of a regression's error, relative.
    accuracy_drop_warning: float = 0.05
    accuracy_drop_alert: float = 0.10
    performance_drop_relative: float = 0.15
    min_baseline_sample_size: int = 30
    channels: Channels = field(default_factory=Channels)
    schedule: Schedule = field(default_factory=Schedule)

    def algorithms_json(self) -> dict[str, Any]:
        """Return the algorithms that are enabled, and what is set of any."""
        return {
            "enabled": list(self.algorithms),
            "overrides": {name: one.to_json() for name, one in self.overrides.items()},
        }

    def to_json(self) -> dict[str, Any]:
        """Return all of it, by the dialect's names."""
        return {
            "enabled": self.enabled,
            "algorithms": self.algorithms_json(),
            "accuracyDropWarning": self.accuracy_drop_warning,
            "accuracyDropAlert": self.accuracy_drop_alert,
            "performanceDropRelative": self.performance_drop_relative,
            "minBaselineSampleSize": self.min_baseline_sample_size,
            "notifications": self.channels.to_json(),
            "schedule": self.schedule.to_json(),
        }
