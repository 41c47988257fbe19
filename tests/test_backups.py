"""A backup that is restored is all there, and says so if it isn't."""

import uuid
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection

from driftguard import roles
from governance.models import AuditEntry
from monitoring.models import Prediction
from tests import conftest, factories
from tests.monitoring import traffic
from tests.monitoring.calls import Caller

ROWS = [{"input_features": {"x": n}, "prediction": n % 2} for n in range(50)]


@pytest.fixture
def backup(cloned_db: str, tmp_path: Path) -> Path:
    """Make a backup of a database with an organization at work."""
    alice = factories.make_alice()
    version = traffic.make_watched(alice, features=["x"], feature_types={"x": "int"})
    call = Caller(factories.make_api_key(alice)[1])
    body = {"model_id": version.model.slug, "predictions": ROWS}
    assert call.post("/api/logs/prediction/batch", body)[0] == 201
    traffic.live(version)
    path = tmp_path / "driftguard.dump"
    call_command("backup", path, stdout=StringIO())
    return path


@pytest.fixture
def empty_db(backup: Path) -> Iterator[str]:
    before = settings.DATABASES["default"]["NAME"]
    name = f"driftguard_restored_{uuid.uuid4().hex[:8]}"
    conftest.execute(f"CREATE DATABASE {name}")
    conftest.use_database(name)
    yield name
    conftest.use_database(before)
    conftest.execute(f"DROP DATABASE {name} WITH (FORCE)")


def restored(path: Path) -> str:
    said = StringIO()
    call_command("restore", path, stdout=said)
    return said.getvalue()


def test_what_is_restored_is_what_was_there(backup: Path, empty_db: str) -> None:
    assert oct(backup.stat().st_mode & 0o777) == "0o600"
    assert "50 rows" in restored(backup)
    assert Prediction.objects.count() == 50
    assert AuditEntry.objects.exists()
    # The application is as little an owner as before, and can go on.
    with connection.cursor() as cursor:
        cursor.execute("SELECT tableowner FROM pg_tables WHERE schemaname = 'public'")
        assert {owner for (owner,) in cursor.fetchall()} == {"driftguard_owner"}
    with pytest.raises(CommandError, match="not empty"):
        restored(backup)
    charlie = factories.make_charlie()
    version = traffic.make_watched(charlie, features=["x"])
    call = Caller(factories.make_api_key(charlie)[1])
    body = {"model_id": version.model.slug, "predictions": ROWS}
    assert call.post("/api/logs/prediction/batch", body)[0] == 201


def test_a_backup_that_does_not_agree_is_found_out(
    cloned_db: str, backup: Path, tmp_path: Path, empty_db: str
) -> None:
    conftest.use_database(cloned_db)
    with roles.acting_as_owner(connection), connection.cursor() as cursor:
        cursor.execute("DELETE FROM monitoring_prediction WHERE features LIKE '%7%'")
    worse = tmp_path / "worse.dump"
    call_command("backup", worse, stdout=StringIO())
    conftest.use_database(empty_db)
    with pytest.raises(CommandError, match="faults were found"):
        restored(worse)


def test_a_damaged_backup_leaves_the_database_empty(
    backup: Path, empty_db: str
) -> None:
    whole = backup.read_bytes()
    backup.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CommandError, match="pg_restore failed"):
        restored(backup)
    assert not connection.introspection.table_names()
    backup.write_bytes(whole)
    restored(backup)


def test_a_backup_replaces_no_other(backup: Path) -> None:
    with pytest.raises(CommandError, match="there already"):
        call_command("backup", backup)
    assert list(backup.parent.glob("*.partial")) == []
