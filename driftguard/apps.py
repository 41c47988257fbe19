from django.apps import AppConfig


class DriftGuardConfig(AppConfig):
    name = "driftguard"
    verbose_name = "DriftGuard"

    def ready(self) -> None:
        # Registers the Celery application, so that `task.delay()` finds the broker
        # in every process.
        from driftguard import celery  # noqa: F401
