from django.apps import AppConfig
from django.contrib.admin.apps import SimpleAdminConfig


class DriftGuardConfig(AppConfig):
    default = True
    name = "driftguard"
    verbose_name = "DriftGuard"

    def ready(self) -> None:
        # Registers the Celery application, so that `task.delay()` finds the broker
        # in every process.
        from driftguard import celery, checks  # noqa: F401


class AdminConfig(SimpleAdminConfig):
    """The admin with our own site, and only with our own pages.

    Libraries register tables of theirs that know no organization; without Django's
    discovery they don't get in.
    """

    default_site = "driftguard.site.DriftGuardSite"

    def ready(self) -> None:
        super().ready()
        import governance.admin  # noqa: F401
        import monitoring.admin  # noqa: F401
