"""The two roles of the database: one may change tables, the other does the work.

Whoever gets at the application's connection can neither alter the schema nor switch
off a trigger nor touch what the migrations revoked.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import psycopg2.errors
from django.conf import settings
from django.core.management.base import CommandError
from django.db.backends.base.base import BaseDatabaseWrapper

OWNER = "driftguard_owner"
APP = "driftguard_app"
# The default privileges need no question: granting them again changes nothing.
DEFAULTS = [
    f"ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT {rights} TO {APP}"
    for rights in (
        "SELECT, INSERT, UPDATE, DELETE ON TABLES",
        "USAGE, SELECT ON SEQUENCES",
    )
]


class Cursor(Protocol):
    """What the cursors of psycopg2 and of Django have in common."""

    def execute(self, query: str, parameters: Any = None, /) -> object: ...

    def fetchone(self) -> tuple[Any, ...] | None: ...


def create(cursor: Cursor, *, login: bool = False) -> None:
    """Create the roles that don't exist yet; with ``login`` they may connect."""
    for role in (OWNER, APP):
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role])
        if cursor.fetchone() is None:
            cursor.execute(f"CREATE ROLE {role}{' LOGIN' if login else ''}")


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def needs(database: str, owner_login: str, app_login: str) -> list[tuple[str, str]]:
    """Return pairs of a question and the statement that makes its answer yes."""
    member = "SELECT pg_has_role('{}', '{}', 'MEMBER')"
    pairs = [
        (
            member.format(login.replace("'", "''"), role),
            f"GRANT {role} TO {quoted(login)}",
        )
        for login, role in [(owner_login, OWNER), (owner_login, APP), (app_login, APP)]
        if login != role
    ]
    name = quoted(database)
    for role, kind, thing, right in [
        (OWNER, "database", name, "CREATE"),
        (OWNER, "database", name, "CONNECT"),
        (APP, "database", name, "CONNECT"),
        (OWNER, "schema", "public", "CREATE"),
        (OWNER, "schema", "public", "USAGE"),
        (APP, "schema", "public", "USAGE"),
    ]:
        where = "current_database()" if kind == "database" else f"'{thing}'"
        pairs.append(
            (
                f"SELECT has_{kind}_privilege('{role}', {where}, '{right}')",
                f"GRANT {right} ON {kind.upper()} {thing} TO {role}",
            )
        )
    return pairs


def install(cursor: Cursor, *, app_login: str) -> None:
    """Make the roles and give them their rights in the connected database.

    A login that may not do so gets the statements that its administrator has to run;
    where they have been run, nothing is left to do and any member will do.
    """
    cursor.execute("SELECT current_database(), session_user")
    database, owner_login = cursor.fetchone() or ("", "")
    pairs = needs(database, owner_login, app_login or owner_login)
    try:
        create(cursor)
        for question, statement in pairs:
            cursor.execute(question)
            if cursor.fetchone() != (True,):
                cursor.execute(statement)
    except psycopg2.errors.InsufficientPrivilege as error:
        made = [f"CREATE ROLE {OWNER}", f"CREATE ROLE {APP}"]
        sql = ";\n".join([*made, *(statement for _, statement in pairs)])
        raise CommandError(
            f"{owner_login} may not set up DriftGuard's roles: "
            f"{error.diag.message_primary}. Let an administrator run this in the "
            "database, then try again (leave out a role that exists already):"
            f"\n\n{sql};"
        ) from error


@contextmanager
def acting_as_owner(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Connect as the owner of the tables, with the roles in place.

    Long waits are allowed here: a migration is worth waiting for, a request is not.
    """
    ordinary = connection.settings_dict
    login = settings.OWNER_DATABASE or {}
    if settings.EMBEDDED:
        login = {"USER": "postgres"}
    where = {name: value for name, value in login.items() if name != "OPTIONS"}
    options = {**ordinary["OPTIONS"], **login.get("OPTIONS", {})}
    options["options"] = "-c lock_timeout=10s"
    del options["assume_role"]
    try:
        change(connection, {**ordinary, **where, "OPTIONS": options})
        with connection.cursor() as cursor:
            install(cursor.cursor, app_login=ordinary["USER"])
        options = {**options, "assume_role": OWNER}
        change(connection, {**ordinary, **where, "OPTIONS": options})
        with connection.cursor() as cursor:
            for statement in DEFAULTS:
                cursor.execute(statement)
        yield
    finally:
        change(connection, ordinary)


def change(connection: BaseDatabaseWrapper, settings_dict: dict[str, Any]) -> None:
    connection.close()
    connection.settings_dict = settings_dict
