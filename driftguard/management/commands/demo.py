import datetime as dt
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)

from driftguard.demo import bank, credit, expectations, labels, replay
from driftguard.demo.api import Api, ApiError
from driftguard.demo.dates import Shift, last_batch
from driftguard.demo.measurements import shown
from driftguard.demo.notebook import ForeignNotebookError, Notebook
from driftguard.demo.server import Server, ServerError
from driftguard.demo.story import Story
from driftguard.demo.watch import NotMeasuredError
from driftguard.management.commands.serve import port_number

# Where the output is no terminal: a reason fits into one line.
PLAIN_WIDTH = 120
# What a shell says of a command that Ctrl-C has ended.
INTERRUPTED = 130


class Command(BaseCommand):
    """Replays the credit data through the HTTP interface and shows what came of it."""

    help = "Start DriftGuard and replay five months of real credit data through it."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=port_number, default=8000)
        # manage.py has put it into the environment before the settings were read.
        parser.add_argument("--data-dir", help="where all state lives")
        parser.add_argument(
            "--exit",
            action="store_true",
            help="end after the replay, with status 0 if all came out as expected",
        )

    def handle(self, *_: Any, **options: Any) -> None:
        """Run the demo.

        1. Start `serve`, unless it runs already on this data directory.
        2. Make Demo Bank with its people and its key.
        3. Train the model, register it, replay its months, each step measured.
        4. Show the table, what came out otherwise than expected, and the logins.
        5. Stay up until Ctrl-C, or end if so asked.
        """
        self.console = Console()
        if not self.console.is_terminal:
            self.console = Console(width=PLAIN_WIDTH)
        try:
            self.notebook = Notebook(settings.DATA_DIR / "demo" / "notebook.json")
        except ForeignNotebookError as error:
            raise CommandError(str(error)) from error
        server = Server(settings.DATA_DIR, options["host"], options["port"])
        try:
            with signals_interrupt():
                failed = self.perform(server)
                if not options["exit"]:
                    self.show_logins(server)
                    self.stay_up(server)
        except KeyboardInterrupt as error:
            raise CommandError("Interrupted.", returncode=INTERRUPTED) from error
        except (ServerError, NotMeasuredError, ApiError, TimeoutError) as error:
            raise CommandError(str(error)) from error
        finally:
            server.stop()
        if failed and options["exit"]:
            raise CommandError(f"{failed} of the expectations did not come true.")

    def perform(self, server: Server) -> int:
        """Do everything up to the table; return how many expectations failed."""
        with self.console.status("Starting DriftGuard …"):
            server.start()
        self.console.print(f"DriftGuard is ready at {server.address}")
        bank.open_bank(self.notebook)
        # The stop of the database must not wait for us.
        connections.close_all()
        with Api(server.address, self.notebook.get("api_key")) as api:
            return self.replay(api)

    def replay(self, api: Api) -> int:
        with self.console.status("Training the credit model on two months …"):
            model = credit.CreditModel(credit.load())
            story = Story(api, model, Shift(last_batch(dt.datetime.now(dt.UTC))))
            story.register()
            story.send_baseline()
        with self.progress() as progress:
            bar = progress.add_task("", total=replay.rows(story))
            measurements = replay.run(
                story,
                self.notebook,
                lambda rows: progress.advance(bar, rows),
                lambda words: progress.update(bar, description=words),
            )
        self.console.print(shown(measurements), highlight=False)
        with self.console.status("Comparing every stored outcome with the data …"):
            stored = labels.stored_predictions(api, story.slug)
            check = labels.check(story.truth(), stored)
        return self.show_expectations(expectations.check(measurements, check))

    def progress(self) -> Progress:
        return Progress(
            TextColumn("{task.description:<32}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("rows"),
            TimeElapsedColumn(),
            console=self.console,
        )

    def show_expectations(self, found: list[expectations.Expectation]) -> int:
        failed = [one for one in found if not one.holds]
        for one in failed:
            self.console.print(
                f"[bold red]Not as in the data:[/] {one.sentence} Seen: {one.seen}",
                highlight=False,
            )
        held = len(found) - len(failed)
        self.console.print(f"{held} of {len(found)} expectations came true.")
        return len(failed)

    def show_logins(self, server: Server) -> None:
        say, notebook = self.console.print, self.notebook
        say(f"\nOpen [bold]{server.address}/admin/[/] and sign in as")
        for person in bank.PEOPLE:
            say(f"  {person.email:<28} {person.role.label}, {person.task}")
        say(f"with the password [bold]{notebook.get('password')}[/]", highlight=False)
        say(f"API key: {notebook.get('api_key')}", highlight=False)
        say(f"The interface to try in the browser: {server.address}/docs\n")

    def stay_up(self, server: Server) -> None:
        if server.child is None:
            return
        self.console.print(
            f"DriftGuard stays up until Ctrl-C. Its log: {server.log}", highlight=False
        )
        with suppress(KeyboardInterrupt):
            server.wait()


@contextmanager
def signals_interrupt() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the demo as Ctrl-C does."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {
        number: signal.signal(number, interrupt)
        for number in (signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
