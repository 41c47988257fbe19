"""Verifying what is due: by one worker at a time, with real transactions."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from django.db import connection

from governance.actions import verification
from governance.models import AuditEntry
from tests.governance import trails


def test_of_two_workers_one_verifies_a_trail(
    cloned_db: str, settings, tmp_path: Path
) -> None:
    settings.DATA_DIR = tmp_path
    settings.CHECKPOINT_DIRECTORIES = [str(tmp_path / "outside")]
    organization = trails.make_trail().organization
    barrier = threading.Barrier(4)

    def work() -> None:
        barrier.wait()
        try:
            verification.verify_due()
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(work) for _ in range(4)]:
            done.result()
    runs = AuditEntry.objects.for_organization(organization).filter(
        action=verification.ACTION
    )
    assert runs.count() == 1
    # The lock has gone with the work.
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
        assert cursor.fetchone() == (0,)
