"""The processes of `manage.py serve`, kept alive by supervisor."""

import configparser
import os
import secrets
import shlex
import subprocess
import sys
import threading
import time
import xmlrpc.client
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from supervisor.xmlrpc import SupervisorTransport

WORK = "work"
USER = "serve"
RPC_SECONDS = 15


@dataclass(frozen=True, slots=True)
class Program:
    """One process to keep alive."""

    name: str
    command: Sequence[str]
    stop_signal: str = "TERM"
    # Time for what is under way; what is cut off then is taken up again.
    stop_seconds: int = 20
    # Started by `start_work()` only, and stopped before those that don't wait.
    waits: bool = True


class SupervisionError(Exception):
    """The processes can't be started or looked after."""


class Supervisor:
    """A supervisord of our own, whose every file is under ``directory``.

    The output of each program arrives line by line at ``print_line(name, line)``.
    """

    def __init__(
        self,
        programs: Sequence[Program],
        *,
        directory: Path,
        socket: Path,
        environment: dict[str, str],
        print_line: Callable[[str, str], None],
    ) -> None:
        self.programs = programs
        self.directory = directory
        self.socket = socket
        self.environment = environment
        self.password = secrets.token_hex(32)
        self.print_line = print_line
        self.process: subprocess.Popen[bytes] | None = None
        self._outputs: dict[str, int] = {}

    def start(self, *, keep_open: int) -> None:
        """Start supervisord; it holds the descriptor ``keep_open`` as long as it lives.

        1. Give every program a pipe, read by a thread.
        2. Write the configuration.
        3. Start the process in a session of its own: Ctrl-C reaches only us, and we
           stop everything in order.
        """
        for program in self.programs:
            if program.name not in self._outputs:
                self._outputs[program.name] = self._pipe(program.name)
        if "supervisor" not in self._outputs:
            self._outputs["supervisor"] = self._pipe("supervisor")
        configuration = self.directory / "supervisord.conf"
        configuration.touch(mode=0o600)
        with configuration.open("w", encoding="utf-8") as file:
            self._configuration().write(file)
        self.socket.unlink(missing_ok=True)
        command = [sys.executable, "-m", "driftguard.tether", sys.executable]
        command += ["-W", "ignore", "-m", "supervisor.supervisord"]
        command += ["--nodaemon", "--configuration", str(configuration)]
        self.process = subprocess.Popen(  # noqa: S603 - our own command
            command,
            stdin=subprocess.DEVNULL,
            stdout=self._outputs["supervisor"],
            stderr=self._outputs["supervisor"],
            pass_fds=[*self._outputs.values(), keep_open],
            start_new_session=True,
            env=self.environment,
            cwd=Path(__file__).parents[1],
        )

    def _pipe(self, name: str) -> int:
        reading, writing = os.pipe()
        threading.Thread(target=self._read, args=[name, reading], daemon=True).start()
        return writing

    def _read(self, name: str, descriptor: int) -> None:
        with open(descriptor, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                self.print_line(name, line.rstrip("\n"))

    def _configuration(self) -> configparser.RawConfigParser:
        parser = configparser.RawConfigParser()
        parser["supervisord"] = {
            "nodaemon": "true",
            "logfile": "/dev/null",
            "logfile_maxbytes": "0",
            "loglevel": "warn",
            "pidfile": escaped(self.directory / "supervisord.pid"),
            "childlogdir": escaped(self.directory),
            **({"user": "root"} if os.geteuid() == 0 else {}),
        }
        parser["unix_http_server"] = {
            "file": escaped(self.socket),
            "chmod": "0700",
            "username": USER,
            "password": self.password,
        }
        parser["rpcinterface:supervisor"] = {
            "supervisor.rpcinterface_factory": (
                "supervisor.rpcinterface:make_main_rpcinterface"
            )
        }
        for program in self.programs:
            parser[f"program:{program.name}"] = self._section(program)
        # Groups stop in the reverse order of their priority: the database comes last.
        work = [program.name for program in self.programs if program.waits]
        parser[f"group:{WORK}"] = {"programs": ",".join(work), "priority": "2"}
        return parser

    def _section(self, program: Program) -> dict[str, str]:
        return {
            "command": escaped(shlex.join(program.command)),
            "environment": f'DRIFTGUARD_PROCESS="{program.name}"',
            "priority": "1",
            "autostart": str(not program.waits).lower(),
            "autorestart": "true",
            "startsecs": "1",
            "startretries": "1000",
            "stopsignal": program.stop_signal,
            "stopwaitsecs": str(program.stop_seconds),
            "killasgroup": "true",
            "redirect_stderr": "true",
            "stdout_logfile": f"/dev/fd/{self._outputs[program.name]}",
            "stdout_logfile_maxbytes": "0",
        }

    def start_work(self) -> None:
        """Start the programs that had to wait for the database."""
        transport = SupervisorTransport(USER, self.password, f"unix://{self.socket}")
        proxy = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)
        deadline = time.monotonic() + RPC_SECONDS
        while True:
            try:
                proxy.supervisor.startProcessGroup(WORK, False)
            except (OSError, xmlrpc.client.Error) as error:
                if not self.is_running() or time.monotonic() > deadline:
                    raise SupervisionError(f"supervisord: {error}") from error
                time.sleep(0.1)
            else:
                return

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def wait(self) -> None:
        """Wait until supervisord ends, which it does by itself only if it is killed."""
        if self.process is not None:
            self.process.wait()

    def stop(self) -> None:
        """Stop everything, the database last, and wait until it is gone."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait()


def escaped(value: object) -> str:
    # supervisor expands %(…)s in its configuration.
    return str(value).replace("%", "%%")
