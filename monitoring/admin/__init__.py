"""The admin of monitoring; driftguard.apps imports it once the models are there."""

from monitoring.admin import analyses, baselines, predictions, registry

__all__ = ["analyses", "baselines", "predictions", "registry"]
