"""``manage.py run web|worker|beat``: one process of DriftGuard, for containers."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connections

from driftguard import programs


class Command(BaseCommand):
    help = (
        "Become one process of DriftGuard, where something else keeps it alive. "
        "The database has to be there, and migrated."
    )
    requires_system_checks = ["detectors"]

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("process", choices=["web", "worker", "beat"])
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8000)

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.EMBEDDED:
            raise CommandError("DATABASE_URL is not set; `manage.py serve` needs none.")
        process = options["process"]
        if process == "web":
            settings.STATIC_ROOT.mkdir(parents=True, exist_ok=True)
            call_command("collectstatic", verbosity=0, interactive=False)
            command = programs.web(options["host"], options["port"])
        else:
            command = {"worker": programs.worker, "beat": programs.beat}[process]()
        if settings.MESSAGE_DIR:
            settings.MESSAGE_DIR.mkdir(exist_ok=True, mode=0o700)
        connections.close_all()
        environment = {
            **os.environ,
            **programs.ENVIRONMENT,
            "DRIFTGUARD_PROCESS": process,
        }
        # In our place: signals reach it, and its end is ours.
        os.execve(command[0], command, environment)  # noqa: S606  # nosec B606
