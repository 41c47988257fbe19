from django.apps import AppConfig


class MonitoringConfig(AppConfig):
    name = "monitoring"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Take the baseline that may come along when a model is registered."""
        from governance.actions import registry
        from monitoring.actions import baselines

        registry.PARTS["baseline"] = baselines.create_with_version
