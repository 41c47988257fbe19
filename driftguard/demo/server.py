"""The `serve` that the demo runs against: one that is there already, or its child."""

import os
import subprocess
import sys
import time
from pathlib import Path

import httpx

from driftguard.locks import FileLock

MANAGE = Path(__file__).resolve().parents[2] / "manage.py"
START_SECONDS = 180
STOP_SECONDS = 60
# Whoever listens everywhere is spoken to on this machine.
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}  # noqa: S104 - only compared
READY = "DriftGuard is ready at"
TAIL = 20  # lines of the log that an error shows


class ServerError(Exception):
    """DriftGuard did not start, or has ended."""


class Server:
    def __init__(
        self,
        directory: Path,
        host: str,
        port: int,
        *,
        patience: float = START_SECONDS,
    ) -> None:
        self.directory = directory
        self.host = host
        self.port = port
        self.patience = patience
        self.address = f"http://{EVERYWHERE.get(host, host)}:{port}"
        self.log = directory / "demo" / "serve.log"
        self.child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return once DriftGuard answers at `address`, from our data directory."""
        if not FileLock(self.directory / "serve.lock").is_held_elsewhere():
            self._start_child()
        deadline = time.monotonic() + self.patience
        while not self._is_ready():
            if self.child is not None and self.child.poll() is not None:
                raise ServerError(f"DriftGuard did not start.\n{self.tail()}")
            if time.monotonic() > deadline:
                raise ServerError(self._silence())
            time.sleep(0.2)

    def _start_child(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        command = [sys.executable, str(MANAGE), "serve"]
        command += ["--host", self.host, "--port", str(self.port)]
        command += ["--data-dir", str(self.directory)]
        with self.log.open("wb") as log:
            # Its own session: Ctrl-C reaches the demo alone, which then stops it.
            self.child = subprocess.Popen(  # noqa: S603 - our own command
                [sys.executable, "-m", "driftguard.tether", *command],
                cwd=MANAGE.parent,
                env={**os.environ, "DRIFTGUARD_DATA_DIR": str(self.directory)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _is_ready(self) -> bool:
        if self.child is not None:
            # Whoever else has the port would answer, too.
            return READY in self.log.read_text(errors="replace")
        try:
            answer = httpx.get(f"{self.address}/readyz", timeout=5, trust_env=False)
        except httpx.HTTPError:
            return False
        return answer.is_success

    def _silence(self) -> str:
        if self.child is None:
            return (
                f"DriftGuard runs on {self.directory} already, but does not answer at "
                f"{self.address}. Name its address with --host and --port."
            )
        return f"DriftGuard is not ready after {self.patience:.0f} s.\n{self.tail()}"

    def tail(self) -> str:
        """Return the last lines that `serve` wrote."""
        if not self.log.exists():
            return ""
        lines = self.log.read_text(errors="replace").splitlines()[-TAIL:]
        return "\n".join([*lines, f"(all of it: {self.log})"])

    def wait(self) -> None:
        """Return when `serve` has ended; at once if it isn't our child."""
        if self.child is not None:
            self.child.wait()
            raise ServerError(f"DriftGuard has ended.\n{self.tail()}")

    def stop(self) -> None:
        """End the `serve` that `start` has started, and leave any other alone."""
        if self.child is None or self.child.poll() is not None:
            return
        self.child.terminate()
        try:
            self.child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
