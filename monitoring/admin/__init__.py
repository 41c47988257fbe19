"""The admin of monitoring; driftguard.apps imports it once the models are there."""

from monitoring.admin import baselines, predictions, registry

__all__ = ["baselines", "predictions", "registry"]
