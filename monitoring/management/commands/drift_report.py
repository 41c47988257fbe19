import json
import math
import sys
from argparse import ArgumentTypeError
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.template.loader import render_to_string
from rich.console import Console

from governance.schema import Task
from monitoring.detectors import DETECTORS
from monitoring.reports import analysis, cases, console, page, sentences, tables
from monitoring.reports.plan import PERIODS, Plan
from monitoring.reports.tables import UnusableError

# Where the output is no terminal.
PLAIN_WIDTH = 140


class Command(BaseCommand):
    """Compares two files by the whole registry; needs no server and no database."""

    help = (
        "Compare two CSV or Parquet files: drift of every column, data quality, "
        "estimated and realized performance, changes over time, fairness."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("reference", type=Path, metavar="REFERENCE")
        parser.add_argument("current", type=Path, metavar="CURRENT")
        self.add_columns(parser)
        self.add_task(parser)
        run = parser.add_argument_group("what is run, and where the result goes")
        size = run.add_mutually_exclusive_group()
        size.add_argument(
            "--chunk-size", type=count, metavar="N", help="rows of a chunk"
        )
        size.add_argument(
            "--period", choices=PERIODS, help="a chunk is such a part of the calendar"
        )
        run.add_argument(
            "--algorithms",
            type=algorithms,
            metavar="NAME,NAME",
            help="run these, and let them vote; default: all (docs/algorithms.md)",
        )
        form = run.add_mutually_exclusive_group()
        form.add_argument(
            "--json", action="store_true", help="print everything as JSON"
        )
        form.add_argument(
            "--html", type=Path, metavar="FILE", help="write one self-contained page"
        )

    def add_columns(self, parser: CommandParser) -> None:
        group = parser.add_argument_group("which column is what")
        group.add_argument(
            "--prediction", metavar="COL", help="what the model answered"
        )
        group.add_argument(
            "--probability",
            type=words,
            default=(),
            metavar="COL",
            help="the score of the positive class, or one column for each class",
        )
        group.add_argument("--label", metavar="COL", help="what was true")
        group.add_argument("--timestamp", metavar="COL", help="ISO 8601, else UTC")
        group.add_argument(
            "--features", type=words, metavar="COL,COL", help="default: all others"
        )
        group.add_argument(
            "--exclude", type=words, default=(), metavar="COL,COL", help="leave out"
        )
        group.add_argument(
            "--categorical",
            type=words,
            default=(),
            metavar="COL,COL",
            help="numbers that are names; text and booleans are names anyway",
        )
        group.add_argument(
            "--protected",
            type=protected,
            default={},
            metavar="COL,COL",
            help="for fairness; COL=30/45 makes bands of a number",
        )

    def add_task(self, parser: CommandParser) -> None:
        group = parser.add_argument_group("the model")
        group.add_argument("--task", choices=[task.value for task in Task])
        group.add_argument(
            "--classes",
            type=words,
            metavar="NAME,NAME",
            help="in the order of the probabilities",
        )
        group.add_argument(
            "--positive", metavar="NAME", help="class; default: 1, else the second"
        )
        group.add_argument(
            "--favourable",
            metavar="NAME",
            help="outcome a person wishes for; default: the positive class",
        )
        group.add_argument(
            "--threshold",
            type=finite_number,
            metavar="X",
            help="from this score on the positive class is predicted; default: 0.5",
        )

    def handle(self, *_: Any, **options: Any) -> None:
        """Write the report.

        1. Read both files by the plan.
        2. Analyse them.
        3. Print a table, print JSON, or write the page.
        """
        screen = Console(stderr=True)
        try:
            plan = plan_of(options)
            with screen.status("Reading …") as status:
                reference = tables.read(options["reference"], "REFERENCE")
                current = tables.read(options["current"], "CURRENT")
                case = cases.read(plan, reference, current)
                report = analysis.run(
                    case, tell=lambda word: status.update(f"Measuring {word} …")
                )
        except UnusableError as error:
            raise CommandError(str(error)) from error
        self.write(report, options)

    def write(self, report: analysis.Report, options: dict[str, Any]) -> None:
        words_of = sentences.of(report)
        found = analysis.to_json(report, words_of)
        if options["json"]:
            self.stdout.write(
                json.dumps(found, ensure_ascii=False, allow_nan=False, indent=1)
            )
            return
        if options["html"]:
            text = render_to_string("reports/drift.html", page.context(found))
            save(options["html"], text)
            self.stderr.write(f"Wrote {options['html']}")
            return
        width = None if sys.stdout.isatty() else PLAIN_WIDTH
        shown = Console(width=width)
        with shown.capture() as capture:
            console.show(found, shown)
        self.stdout.write(capture.get(), ending="")


def save(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise CommandError(f"The page can't be written: {path}: {reason}.") from error


def plan_of(options: dict[str, Any]) -> Plan:
    if options["period"] is not None and options["timestamp"] is None:
        raise UnusableError("--period needs --timestamp.")
    return Plan(
        task=None if options["task"] is None else Task(options["task"]),
        prediction=options["prediction"],
        probabilities=options["probability"],
        label=options["label"],
        timestamp=options["timestamp"],
        features=options["features"],
        excluded=frozenset(options["exclude"]),
        categorical=frozenset(options["categorical"]),
        protected=options["protected"],
        classes=options["classes"],
        positive=options["positive"],
        favourable=options["favourable"],
        threshold=options["threshold"],
        chunk_rows=options["chunk_size"],
        period=options["period"],
        algorithms=options["algorithms"],
    )


def words(text: str) -> tuple[str, ...]:
    """Read names between commas."""
    found = tuple(word.strip() for word in text.split(",") if word.strip())
    if not found:
        raise ArgumentTypeError("expected at least one name")
    if len(set(found)) < len(found):
        twice = next(word for word in found if found.count(word) > 1)
        raise ArgumentTypeError(f"{twice!r} is named twice")
    return found


def algorithms(text: str) -> tuple[str, ...]:
    """Read names of algorithms."""
    found = words(text)
    for name in found:
        if name not in DETECTORS:
            near = get_close_matches(name, DETECTORS, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ArgumentTypeError(f"there is no algorithm {name!r}{hint}")
    return found


def protected(text: str) -> dict[str, tuple[float, ...] | None]:
    """Read protected attributes, each maybe with the edges of its bands."""
    found: dict[str, tuple[float, ...] | None] = {}
    for word in words(text):
        name, is_banded, edges = word.partition("=")
        bands = tuple(finite_number(edge) for edge in edges.split("/") if is_banded)
        if any(high <= low for low, high in pairwise(bands)):
            raise ArgumentTypeError(f"the bands of {name!r} do not rise: {edges}")
        found[name] = bands or None
    return found


def count(text: str) -> int:
    """Read a number of rows."""
    try:
        found = int(text)
    except ValueError:
        found = 0
    if found < 1:
        raise ArgumentTypeError(f"expected a whole number from 1 on, got {text!r}")
    return found


def finite_number(text: str) -> float:
    """Read a number that is neither infinite nor NaN."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise ArgumentTypeError(f"expected a number, got {text!r}")
    return found
