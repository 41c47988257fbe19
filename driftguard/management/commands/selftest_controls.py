"""Try every known way around the controls, and file what has come of it."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from argparse import ArgumentParser
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from driftguard import selftest
from driftguard.selftest import Outcome, Result
from governance.actions import selftests
from governance.actions.audit import Actor
from governance.models import Organization

CONSOLE = Actor(type="system", label="manage.py selftest_controls", channel="command")


class Command(BaseCommand):
    help = (
        "Try every known way around the controls on an organization that is thrown "
        "away. The outcome is kept in the data directory and in every trail. Exits "
        "with 1 if one got through."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--area", action="append", choices=sorted(selftest.AREAS), help="only this"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        areas = options["area"] or list(selftest.AREAS)
        try:
            # Every refusal is meant; the log is for those that aren't.
            logging.disable(logging.WARNING)
            outcomes = selftest.run(areas)
        except selftest.WrongRoleError as error:
            raise CommandError(f"Nothing can be tested: {error}.") from error
        finally:
            logging.disable(logging.NOTSET)
        for line in table(outcomes):
            self.stdout.write(line)
        path, digest = keep(outcomes)
        failed = [one for one in outcomes if one.result is not Result.REFUSED]
        for organization in Organization.objects.order_by("pk"):
            selftests.file(
                organization,
                attempts=len(outcomes),
                failed=[asdict(one) for one in failed],
                digest=digest,
                actor=CONSOLE,
            )
        self.stdout.write(f"{len(outcomes)} attempts; kept in {path}")
        if failed:
            raise CommandError(
                f"{len(failed)} of {len(outcomes)} attempts were not refused.",
                returncode=1,
            )


def table(outcomes: Sequence[Outcome]) -> list[str]:
    """Return the outcomes as lines of a table, without what was said to each."""
    rows = [(one.area, one.what, one.way, one.result.value) for one in outcomes]
    rows = [("area", "what", "way", "result"), *rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in rows
    ]


def keep(outcomes: Sequence[Outcome]) -> tuple[Path, str]:
    """Write the outcomes to a new file; return it and its SHA-256."""
    now = timezone.now()
    content = json.dumps(
        {"at": now.isoformat(), "outcomes": [asdict(one) for one in outcomes]}, indent=1
    ).encode()
    directory = settings.DATA_DIR / "selftests"
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = directory / f"{now:%Y-%m-%dT%H%M%S.%fZ}.json"
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return path, hashlib.sha256(content).hexdigest()
