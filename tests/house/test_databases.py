import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import psycopg2.extensions
import pytest
from django.core.management.base import CommandError
from django.db import ProgrammingError, connection, transaction

from driftguard import roles
from driftguard.roles import acting_as_owner
from tests.conftest import execute
from tests.running_server import ROOT


def show(name: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"SHOW {name}")
        return str(cursor.fetchone()[0])


@pytest.mark.django_db
def test_the_application_works_as_a_role_that_owns_nothing() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        assert cursor.fetchone() == (roles.APP,)
        cursor.execute(
            "SELECT rolsuper, rolbypassrls, rolcreaterole FROM pg_roles "
            "WHERE rolname = current_user"
        )
        assert cursor.fetchone() == (False, False, False)
        cursor.execute(
            "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
        )
        assert cursor.fetchall() == [(roles.OWNER,)]


@pytest.mark.django_db
@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE intruder (id int)",
        "ALTER TABLE django_session ADD COLUMN intruder int",
        "DROP TABLE django_session",
        "TRUNCATE django_session",
        "ALTER TABLE django_session DISABLE TRIGGER ALL",
    ],
)
def test_the_application_cannot_change_the_schema(statement: str) -> None:
    with (
        pytest.raises(ProgrammingError, match=r"permission denied|must be owner"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)


@pytest.mark.django_db
def test_a_session_gives_up_waiting_and_waits_for_the_disk() -> None:
    assert show("lock_timeout") == "3s"
    assert show("idle_in_transaction_session_timeout") == "30s"
    assert show("synchronous_commit") == "on"


def count_sessions() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM django_session")
        return int(cursor.fetchone()[0])


def insert_session() -> None:
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO django_session VALUES ('key', 'data', now())")


def test_threads_see_what_another_one_committed_in_a_cloned_database(
    cloned_db: str,
) -> None:
    insert_session()
    seen: list[int] = []

    def look() -> None:
        seen.append(count_sessions())
        connection.close()

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [1]


def test_the_next_cloned_database_is_empty_again(cloned_db: str) -> None:
    assert count_sessions() == 0
    insert_session()
    assert count_sessions() == 1


@pytest.mark.django_db
def test_an_ordinary_test_sees_nothing_of_a_cloned_database() -> None:
    assert count_sessions() == 0


@pytest.fixture
def limited_login(cloned_db: str) -> Iterator[psycopg2.extensions.connection]:
    """Connect as a login that may do nothing but connect."""
    name = f"limited_{cloned_db[-8:]}"
    execute(f"CREATE ROLE {name} LOGIN PASSWORD 'limited'")
    where = connection.get_connection_params()
    limited = psycopg2.connect(
        dbname=cloned_db,
        user=name,
        password="limited",
        host=where.get("host"),
        port=where.get("port"),
    )
    yield limited
    limited.close()
    with acting_as_owner(connection), connection.cursor() as cursor:
        cursor.execute("RESET ROLE")
        cursor.execute(f"DROP OWNED BY {name}")
    execute(f"DROP ROLE {name}")


def test_a_login_that_may_not_make_the_roles_is_told_what_to_run(
    limited_login: psycopg2.extensions.connection,
) -> None:
    login = limited_login.info.user
    with limited_login.cursor() as cursor:
        with pytest.raises(CommandError) as refused:
            roles.install(cursor, app_login=login)
        limited_login.rollback()
        explanation, _, sql = str(refused.value).partition("\n\n")
        assert f"{login} may not set up DriftGuard's roles" in explanation
        # What it says is enough, and right as it stands (the two roles exist here).
        with connection.cursor() as administrator:
            administrator.execute("RESET ROLE")
            for statement in sql.split(";\n"):
                if not statement.startswith("CREATE ROLE"):
                    administrator.execute(statement)
        roles.install(cursor, app_login=login)
        cursor.execute("SET ROLE driftguard_owner")
        cursor.execute("SET ROLE driftguard_app")
        limited_login.rollback()


def manage(environment: dict[str, str], *arguments: str) -> str:
    finished = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_a_deployment_may_give_the_owner_a_login_of_its_own(cloned_db: str) -> None:
    name = f"deployed_{cloned_db[-8:]}"
    login = f"service_{cloned_db[-8:]}"
    execute(f"CREATE DATABASE {name}")
    execute(f"CREATE ROLE {login} LOGIN PASSWORD 'service'")
    where = connection.get_connection_params()
    password = f":{where['password']}" if "password" in where else ""
    rest = f"@/{name}?host={where['host']}&port={where['port']}"
    environment = {
        "DATABASE_OWNER_URL": f"postgresql://{where['user']}{password}{rest}",
        "DATABASE_URL": f"postgresql://{login}:service{rest}",
    }
    try:
        manage(environment, "migrate", "--verbosity=0")
        question = (
            "from django.db import connection as c; k = c.cursor();"
            "k.execute('SELECT session_user, current_user'); print(k.fetchone());"
            "k.execute('SELECT count(*) FROM governance_user'); print(k.fetchone())"
        )
        answer = manage(environment, "shell", "-v0", "-c", question)
        assert answer == f"('{login}', 'driftguard_app')\n(0,)\n"
    finally:
        execute(f"DROP DATABASE {name} WITH (FORCE)")
        execute(f"DROP ROLE {login}")
