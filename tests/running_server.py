"""The real processes of `manage.py serve`, for tests that use or kill them."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import psutil

ROOT = Path(__file__).parent.parent
READY_SECONDS = 120


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class RunningServer:
    def __init__(self, directory: Path, variables: dict[str, str]) -> None:
        self.directory = directory
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.lines: list[str] = []
        self._variables = variables
        self.process: subprocess.Popen[str]

    def environment(self) -> dict[str, str]:
        inherited = dict(os.environ)
        # These are the tests' own; the server under test uses its embedded default.
        for name in ("DATABASE_URL", "SECRET_KEY", "OPEN_REGISTRATION", "LOG_LEVEL"):
            inherited.pop(name, None)
        return {
            **inherited,
            "DRIFTGUARD_DATA_DIR": str(self.directory),
            "PYTHONUNBUFFERED": "1",
            # All tests together come from one address.
            "REGISTRATIONS_PER_HOUR": "10000",
            **self._variables,
        }

    def manage(self, *words: str) -> None:
        """Run another command of manage.py on the same data directory to its end."""
        command = [sys.executable, "manage.py", *words]
        subprocess.run(command, cwd=ROOT, env=self.environment(), check=True)

    def take_over(self, data: Path) -> None:
        """Begin with the files of another embedded PostgreSQL, which is at rest."""
        own = self.directory / "postgres" / "data"
        if not own.exists():
            own.parent.mkdir(parents=True, mode=0o700)
            # PostgreSQL insists on who owns its files, which Python's copy forgets.
            subprocess.run(["/bin/cp", "-a", data, own], check=True)

    def start(self, *, wait: bool = True) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "serve", "--port", str(self.port)],
            cwd=ROOT,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        threading.Thread(target=self._read, args=[self.process], daemon=True).start()
        if wait:
            self.wait_for_line("DriftGuard is ready at")

    def _read(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.lines.append(line.rstrip("\n"))

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def wait_for_line(self, words: str) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while words not in self.output:
            ended = self.process.poll() is not None
            assert not ended, f"serve ended early:\n{self.output}"
            assert time.monotonic() < deadline, f"no {words!r} in:\n{self.output}"
            time.sleep(0.05)

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not self.is_ready():
            assert time.monotonic() < deadline, f"never ready again:\n{self.output}"
            time.sleep(0.1)

    def is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    def processes(self) -> list[psutil.Process]:
        """Return serve itself and all that it started, directly or not."""
        root = psutil.Process(self.process.pid)
        return [root, *root.children(recursive=True)]

    def find(self, words: str) -> list[psutil.Process]:
        """Return the processes whose command line contains ``words``, oldest first."""
        found = []
        for process in self.processes():
            # A process may end, or wait to be buried, while we look at it.
            with contextlib.suppress(psutil.Error):
                if words in " ".join(process.cmdline()):
                    found.append(process)
        return sorted(found, key=lambda process: process.create_time())

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End serve with a signal and return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout=READY_SECONDS)
