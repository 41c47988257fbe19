"""``manage.py restore FILE``: a backup into an empty database, and if it agrees."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from driftguard import backups


class Command(BaseCommand):
    help = (
        "Restore a backup into an empty database, then check that rows, receipts and "
        "profiles agree and that the audit trails are intact. Exits with 1 if not."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["file"]
        if not path.is_file():
            raise CommandError(f"{path} is no file.")
        try:
            backups.restore(path)
        except backups.BackupError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{path} is restored; looking whether all of it agrees …")
        # A backup of an older version.
        call_command("migrate", verbosity=0, interactive=False)
        call_command("fsck", stdout=self.stdout)
