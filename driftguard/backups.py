"""A backup is one file: the whole database as it was at one moment, made by pg_dump."""

from __future__ import annotations

import os
import re
import shutil
import subprocess  # nosec B404
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from django.db import connection
from psycopg2.extensions import make_dsn

from driftguard import roles
from driftguard.embedded import cluster
from driftguard.embedded.cluster import ClusterError

# What only Django understands, or what a backup must not be limited by.
NOT_LIBPQ = {"assume_role", "options"}


class BackupError(Exception):
    """A backup could not be made or restored; the message says why."""


def back_up(path: Path) -> None:
    """Write a backup of the database.

    The file appears when it is complete, readable by its owner alone, or not at all.

    Raises
    ------
    BackupError
        pg_dump is missing, older than the server, or failed.
    """
    partial = path.with_name(f"{path.name}.partial")
    partial.unlink(missing_ok=True)
    os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        with _owner():
            _run("pg_dump", "--format=custom", f"--file={partial}")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def restore(path: Path) -> None:
    """Read a backup into the database, which has to be empty.

    It is one transaction: all is there afterwards, or nothing.

    Raises
    ------
    BackupError
        The database has tables, the file is damaged, or pg_restore failed.
    """
    with _owner():
        if connection.introspection.table_names():
            raise BackupError("The database is not empty; restore into a new one.")
        options = ("--no-owner", "--exit-on-error", "--single-transaction")
        _run("pg_restore", *options, str(path))


@contextmanager
def _owner() -> Iterator[None]:
    """Make the roles that the backup speaks of, and act as the owner of the tables."""
    with roles.acting_as_owner(connection):
        yield


def _run(program: str, *arguments: str) -> None:
    found = _program(program)
    login = connection.settings_dict
    dsn = make_dsn(
        dbname=login["NAME"],
        user=login["USER"] or None,
        host=login["HOST"] or None,
        port=login["PORT"] or None,
        **{
            name: value
            for name, value in login["OPTIONS"].items()
            if name not in NOT_LIBPQ
        },
    )
    connection.close()
    command = [found, f"--dbname={dsn}", f"--role={roles.OWNER}", *arguments]
    # The password would stand in the list of processes.
    environment = {**os.environ, "PGPASSWORD": str(login["PASSWORD"] or "")}
    done = subprocess.run(  # noqa: S603  # nosec B603
        command, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BackupError(f"{program} failed: {_last_lines(done.stderr)}")


def _program(name: str) -> str:
    """Find the program of the server's own release.

    An older one can't read the server, and what a newer one writes an older server
    can't always read.
    """
    with connection.cursor() as cursor:
        cursor.execute("SHOW server_version_num")
        major = int(cursor.fetchone()[0]) // 10_000
    candidates = [shutil.which(name), f"/usr/lib/postgresql/{major}/bin/{name}"]
    with suppress(ClusterError):
        candidates.append(cluster.binary(name))
    for candidate in candidates:
        if candidate and Path(candidate).exists() and _major(candidate) == major:
            return candidate
    raise BackupError(
        f"{name} of PostgreSQL {major} is not on the PATH; it comes with PostgreSQL's "
        "client programs."
    )


def _major(program: str) -> int:
    """Return the release that `pg_dump (PostgreSQL) 15.20 (…)` is of."""
    said = subprocess.run(  # noqa: S603  # nosec B603
        [program, "--version"], capture_output=True, text=True, check=True
    ).stdout
    found = re.search(r"PostgreSQL\) (\d+)", said)
    return int(found[1]) if found else 0


def _last_lines(text: str) -> str:
    lines: Sequence[str] = [line for line in text.splitlines() if line.strip()]
    return " ".join(lines[-3:]) or "it said nothing"
