"""A database for measurements: migrated, on a server of its own, dropped at the end."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from tests import environment  # first: it points DriftGuard at throw-away state


@contextmanager
def fresh() -> Iterator[None]:
    """Give the measurement an empty database, as `manage.py migrate` leaves it."""
    import django

    os.environ["DJANGO_SETTINGS_MODULE"] = "driftguard.settings"
    django.setup()
    from django.core.management import call_command
    from django.db import connections

    from tests import conftest

    if not environment.TEST_DATABASE_URL:
        environment.cluster.attend()
    name = f"driftguard_bench_{conftest.RUN}"
    conftest.execute(f"CREATE DATABASE {name}")
    try:
        conftest.use_database(name)
        call_command("migrate", verbosity=0)
        yield
    finally:
        connections["default"].close()
        conftest.execute(f"DROP DATABASE {name} WITH (FORCE)")
