"""``manage.py ready``: tells whether all is there that a process needs."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from driftguard import health


class Command(BaseCommand):
    help = "Exit with 1 unless the database is there and migrated, and the broker too."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            health.check_database()
            health.Broker().check()
        except health.NotReadyError as error:
            raise CommandError(f"{error}: not ready") from error
