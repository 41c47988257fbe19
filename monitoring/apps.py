from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import checks

# What is wrong with the custom detectors that were left out.
FAULTS: list[str] = []


class MonitoringConfig(AppConfig):
    name = "monitoring"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Take what of a model is kept here, at its registration and at changes."""
        from governance.actions import changes, registry
        from monitoring.actions import alerts, baselines

        registry.PARTS["baseline"] = registry.Part(
            baselines.prepare_with_version, baselines.keep_with_version
        )
        changes.KINDS["baseline"] = changes.Kind(
            baselines.read_change, baselines.apply_change, needs_version=True
        )
        changes.KINDS["alerts"] = changes.Kind(alerts.read_change, alerts.apply_change)
        FAULTS[:] = self._join_detectors()

    def _join_detectors(self) -> list[str]:
        """Put the operator's detectors into the registry, if there are any."""
        from importlib.metadata import entry_points

        if not settings.CUSTOM_DETECTORS and not entry_points(
            group="driftguard.detectors"
        ):
            # numpy stays out of the web process until somebody asks for the registry.
            return []
        from monitoring.custom import joining
        from monitoring.custom.running import Limits

        listed = [("", path) for path in settings.CUSTOM_DETECTORS]
        limits = Limits(
            float(settings.CUSTOM_DETECTOR_SECONDS),
            settings.CUSTOM_DETECTOR_MEMORY_MB << 20,
        )
        return joining.join([*joining.installed(), *listed], limits)


@checks.register("detectors")
def check_detectors(**_: Any) -> list[checks.CheckMessage]:
    """Refuse to start with a custom detector that can't run."""
    return [
        checks.Error(
            fault,
            hint="See CUSTOM_DETECTORS and the entry points driftguard.detectors.",
            id="monitoring.E001",
        )
        for fault in FAULTS
    ]
