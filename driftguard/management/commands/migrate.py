from typing import Any

from django.core.management.commands import migrate
from django.db import connections

from driftguard import roles


class Command(migrate.Command):
    """Django's migrate, done by the role that owns the tables."""

    # Checks that look into the database would do so as a login without rights yet.
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        with roles.acting_as_owner(connections[options["database"]]):
            super().handle(*args, **options)
