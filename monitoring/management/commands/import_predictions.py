"""``manage.py import_predictions FILES…``: predictions out of files of any size."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from governance.actions import credentials
from governance.actions.credentials import Credential
from governance.exceptions import (
    FieldFault,
    GovernanceError,
    InvalidError,
    UnavailableError,
)
from governance.identifiers import uuid7
from monitoring.actions import imports
from monitoring.ingest import files
from monitoring.ingest.files import Part
from monitoring.ingest.rows import PLATFORM

KEY = "DRIFTGUARD_IMPORT_KEY"
WRITE = "mlops:write"
BAR = 24
MOST_LISTED = 20


class Progress:
    """One line on a terminal that says how far a file is."""

    def __init__(self, name: str, stream: Any) -> None:
        self.name, self.stream = name, stream
        self.started = time.monotonic()

    def show(self, done: float, rows: int) -> None:
        filled = int(done * BAR)
        bar = "█" * filled + "░" * (BAR - filled)
        pace = rows / max(time.monotonic() - self.started, 1e-3)
        self._write(f"{self.name}  {bar} {done:4.0%}  {rows:,} rows  {pace:,.0f}/s")

    def end(self) -> None:
        self._write("")

    def _write(self, text: str) -> None:
        if self.stream.isatty():
            self.stream.write(f"\r\x1b[K{text}", ending="")
            self.stream.flush()


class Command(BaseCommand):
    help = "Store predictions out of CSV, JSON Lines and Parquet files."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
        parser.add_argument(
            "--model", default="", help="id or slug of the model of rows that name none"
        )
        parser.add_argument(
            "--on-error",
            choices=["fail", "skip"],
            default="fail",
            help="end at a bad row, or leave it out",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        for path in options["files"]:
            if not path.is_file():
                raise CommandError(f"{path} is no file.")
        self.request = uuid7().hex
        self.model = options["model"]
        self.leave_out_bad_rows = options["on_error"] == "skip"
        try:
            with imports.alone(self._credential()):
                left_out = sum(map(self._import, options["files"]))
        except GovernanceError as error:
            raise CommandError(error.detail) from error
        if left_out:
            raise CommandError(f"{left_out:,} rows were left out.")

    def _credential(self) -> Credential:
        """Return what the key is good for now: it may be revoked meanwhile."""
        key = os.environ.get(KEY, "").strip()
        if not key:
            raise CommandError(f"{KEY} has to hold an API key: whose predictions?")
        credential = credentials.authenticate(
            None, key, ip="", request_id=self.request, channel="file"
        )
        credential.require(WRITE)
        return credential

    def _import(self, path: Path) -> int:
        """Store what isn't stored yet of a file; return how many rows were left out."""
        credential = self._credential()
        begun = end = imports.continued_after(
            path, model=self.model, credential=credential
        )
        accepted = left_out = 0
        refusal: GovernanceError | None = None
        progress = Progress(path.name, self.stderr)
        try:
            for part in files.read(path, PLATFORM, after=begun):
                outcome = self._store(part)
                end = part.end
                accepted += outcome.accepted
                left_out += outcome.rejected
                if outcome.faults and left_out - outcome.rejected < MOST_LISTED:
                    progress.end()
                    self._list(path, part.first, outcome.faults)
                progress.show(part.done, accepted)
        except GovernanceError as error:
            refusal = error
        progress.end()
        if end != begun and not isinstance(refusal, UnavailableError):
            imports.finish(
                path, end=end, accepted=accepted, rejected=left_out, by=credential
            )
        before = f", {begun.rows:,} rows stood there before" if begun.rows else ""
        self.stdout.write(f"{path}: {accepted:,} rows stored{before}.")
        if refusal is not None:
            self._refuse(path, end.rows, refusal)
        return left_out

    def _store(self, part: Part) -> imports.Outcome:
        return imports.store(
            part,
            model=self.model,
            credential=self._credential(),
            leave_out_bad_rows=self.leave_out_bad_rows,
        )

    def _list(self, path: Path, first: int, faults: Sequence[FieldFault]) -> None:
        for sentence in files.sentences(first, faults)[:MOST_LISTED]:
            self.stderr.write(f"{path}, {sentence}")

    def _refuse(self, path: Path, rows: int, error: GovernanceError) -> None:
        if isinstance(error, InvalidError):
            self._list(path, rows, error.errors)
        raise CommandError(
            f"{path}: {error.detail} Its first {rows:,} rows are settled; "
            "the same command goes on behind them."
        ) from error
