import argparse
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import FrameType
from typing import Any

import psutil
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections

from driftguard import programs
from driftguard.embedded.cluster import Cluster, ClusterError
from driftguard.locks import FileLock
from driftguard.supervision import Program, SupervisionError, Supervisor

# How long the remains of a killed predecessor may take to end.
REMAINS_SECONDS = 30
READY_SECONDS = 90
COLUMN = 10
# Where to ask a server that listens on all addresses.
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


class StopRequestedError(Exception):
    """A signal asked for the end."""


def port_number(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port (1 to 65535)")
    return int(text)


class Command(BaseCommand):
    """Database, web server, worker and beat on one console, kept alive."""

    help = "Run DriftGuard: everything it needs, on one console, until Ctrl-C."
    # The others need a database, which isn't there yet.
    requires_system_checks = ["detectors"]

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=port_number, default=8000)
        # manage.py has put it into the environment before the settings were read.
        parser.add_argument("--data-dir", help="where all state lives")

    def handle(self, *_: Any, **options: Any) -> None:
        """Run until a signal asks for the end.

        1. Become the only one on the data directory and on the port.
        2. Clear away what a killed predecessor left.
        3. Start the supervisor with the database; migrate; collect the static files.
        4. Start the rest, say when it is ready, and wait.
        5. Should the supervisor itself be killed, begin again at 3.
        """
        self.host, self.port = options["host"], options["port"]
        self.directory = settings.DATA_DIR
        self.printing = threading.Lock()
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with signals_raise(), only_one(self.directory) as lock:
            self.claim_port()
            cluster = self.cleared_cluster() if settings.EMBEDDED else None
            supervisor = self.supervisor(cluster)
            try:
                while True:
                    supervisor.start(keep_open=lock)
                    self.bring_up(supervisor, cluster)
                    supervisor.wait()
                    self.say("The supervisor ended by itself; starting it again.")
            except StopRequestedError:
                self.say("Stopping …")
            except (ClusterError, SupervisionError) as error:
                raise CommandError(str(error)) from error
            finally:
                ignore_signals()
                connections.close_all()
                supervisor.stop()
        self.say("Stopped.")

    def say(self, line: str) -> None:
        self.print_line("serve", line)

    def print_line(self, name: str, line: str) -> None:
        with self.printing:
            self.stdout.write(f"{name:<{COLUMN}} | {line}")
            self.stdout.flush()

    def claim_port(self) -> None:
        """Make sure that the port is free; wait for a predecessor that is ending."""
        deadline = time.monotonic() + (REMAINS_SECONDS if self.was_killed() else 0)
        while error := port_error(self.host, self.port):
            if time.monotonic() >= deadline:
                raise CommandError(
                    f"DriftGuard can't listen on {self.host}:{self.port}: {error}. "
                    "Choose another port with --port."
                )
            time.sleep(0.2)
        (self.directory / "serve.pid").write_text(str(os.getpid()))

    def was_killed(self) -> bool:
        return (self.directory / "serve.pid").exists()

    def cleared_cluster(self) -> Cluster:
        """Return the embedded server, which nobody runs any more."""
        cluster = Cluster(self.directory / "postgres")
        deadline = time.monotonic() + REMAINS_SECONDS
        while cluster.postmaster() is not None and not cluster.stop_unused():
            if time.monotonic() > deadline:
                raise CommandError(
                    f"Another command still uses the database in {cluster.directory}. "
                    "Let it end, then start again."
                )
            time.sleep(0.2)
        return cluster

    def supervisor(self, cluster: Cluster | None) -> Supervisor:
        sockets = (cluster or Cluster(self.directory / "postgres")).socket_directory()
        return Supervisor(
            self.programs(cluster),
            directory=self.directory,
            socket=sockets / "supervisor",
            environment=self.environment(),
            print_line=self.print_line,
        )

    def environment(self) -> dict[str, str]:
        temporary = self.directory / "tmp"
        temporary.mkdir(exist_ok=True, mode=0o700)
        hosts = list(settings.ALLOWED_HOSTS)
        if self.host not in (*hosts, *EVERYWHERE):
            hosts.append(self.host)
        return {
            **os.environ,
            "DRIFTGUARD_DATA_DIR": str(self.directory),
            "DRIFTGUARD_SUPERVISED": "1",
            "ALLOWED_HOSTS": ",".join(hosts),
            "SITE_URL": os.environ.get("SITE_URL") or self.url(self.host),
            "TMPDIR": str(temporary),
            **programs.ENVIRONMENT,
        }

    def programs(self, cluster: Cluster | None) -> list[Program]:
        tether = [*programs.PYTHON, "driftguard.tether"]
        work = [
            Program("web", [*tether, *programs.web(self.host, self.port)]),
            Program("worker", [*tether, *programs.worker()]),
            Program("beat", [*tether, *programs.beat()]),
        ]
        if cluster is None:
            return work
        database = Program(
            "database",
            [*programs.PYTHON, "driftguard.embedded", str(cluster.directory)],
            stop_signal="INT",
            stop_seconds=60,
            waits=False,
        )
        return [database, *work]

    def bring_up(self, supervisor: Supervisor, cluster: Cluster | None) -> None:
        if cluster is not None:
            cluster.wait(supervisor.process)
            cluster.prepare()
        call_command("migrate", verbosity=0, interactive=False)
        settings.STATIC_ROOT.mkdir(parents=True, exist_ok=True)
        call_command("collectstatic", verbosity=0, interactive=False)
        if settings.MESSAGE_DIR:
            settings.MESSAGE_DIR.mkdir(exist_ok=True, mode=0o700)
        supervisor.start_work()
        deadline = time.monotonic() + READY_SECONDS
        waits_for_broker = False
        while reason := self.unreadiness():
            if "broker" in reason and not waits_for_broker:
                # It only delays: everything but the work of the worker goes on.
                self.say("The message broker does not answer; its work waits.")
                waits_for_broker = True
            if time.monotonic() > deadline and not waits_for_broker:
                raise SupervisionError(f"The web server did not become ready: {reason}")
            if not supervisor.is_running():
                return
            time.sleep(0.1)
        with self.printing:
            self.stdout.write(f"DriftGuard is ready at {self.url(self.host)}")
            self.stdout.flush()

    def url(self, host: str) -> str:
        return (
            f"http://[{host}]:{self.port}"
            if ":" in host
            else f"http://{host}:{self.port}"
        )

    def unreadiness(self) -> str:
        """Return what `/readyz` says is missing, or nothing if all is there."""
        host = EVERYWHERE.get(self.host, self.host)
        connection = HTTPConnection(host, self.port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            answer = connection.getresponse()
            if answer.status == HTTPStatus.OK:
                return ""
            return str(json.loads(answer.read())["detail"])
        except (OSError, HTTPException, ValueError, KeyError):
            return "It does not answer."
        finally:
            connection.close()


def port_error(host: str, port: int) -> str:
    """Return why we can't listen there, or nothing.

    The web server shares its port between its processes (SO_REUSEPORT), so that it
    would also share it with another one's; hence the question whether anybody answers.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.settimeout(3)
        if probe.connect_ex((EVERYWHERE.get(host, host), port)) == 0:
            return "somebody else does"
    with socket.socket(family) as probe:
        # Connections in their last minute don't count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            return error.strerror or str(error)
    return ""


@contextmanager
def only_one(directory: Path) -> Iterator[int]:
    """Hold the data directory; yield the descriptor of the lock.

    The lock is also held by the supervisor, so that after a killed `serve` it is free
    only when everything has been stopped.
    """
    lock = FileLock(directory / "serve.lock")
    note = directory / "serve.pid"
    deadline = time.monotonic() + REMAINS_SECONDS
    while not lock.acquire():
        number = int(note.read_text() or 0) if note.exists() else 0
        if psutil.pid_exists(number) or time.monotonic() > deadline:
            raise CommandError(
                f"DriftGuard already runs on {directory} (process {number}). Stop it "
                "first, or choose another directory with --data-dir."
            )
        time.sleep(0.2)
    try:
        yield lock.descriptor or 0
    finally:
        note.unlink(missing_ok=True)
        lock.release()


@contextmanager
def signals_raise() -> Iterator[None]:
    def stop(_number: int, _frame: FrameType | None) -> None:
        ignore_signals()
        raise StopRequestedError

    before = {
        number: signal.signal(number, stop)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ignore_signals() -> None:
    """Let the end take its course however often it is asked for."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
