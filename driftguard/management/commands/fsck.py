"""Say whether everything that is stored agrees with itself."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from driftguard import fsck
from governance.models import Organization


class Command(BaseCommand):
    help = (
        "Check that rows, receipts and profiles agree, that no reference leads into "
        "another organization, and that the audit trails are intact. Changes nothing. "
        "Exits with 1 if anything is wrong."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--organization", metavar="SLUG", help="only this one")
        parser.add_argument(
            "--json",
            action="store_true",
            help="an object a line: each fault, then what was checked",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        slug, as_json = options["organization"], options["json"]
        only = Organization.objects.filter(slug=slug).first() if slug else None
        if slug and only is None:
            raise CommandError(f"There is no organization {slug!r}.", returncode=2)
        checked = fsck.Checked()
        for fault in fsck.check(only, checked):
            text = json.dumps(fault._asdict()) if as_json else str(fault)
            self.stdout.write(text)
        done = asdict(checked)
        said = ", ".join(f"{count:,} {name}" for name, count in done.items())
        self.stdout.write(json.dumps({"checked": done}) if as_json else said)
        if checked.faults:
            raise CommandError(f"{checked.faults:,} faults were found.", returncode=1)
