"""Django's PostgreSQL backend; the pulse knows every connection that it makes."""

from typing import Any

import psycopg2
from django.db.backends.postgresql import base

from driftguard.pulse import pulse


class DatabaseWrapper(base.DatabaseWrapper):
    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        # Imported here: the applications are there by now.
        from governance import availability

        if availability.refuses_to_connect():
            # Somebody has been cut off and comes back too early: trying takes seconds.
            raise psycopg2.OperationalError("the database is known to be away")
        made = super().get_new_connection(conn_params)
        pulse.watch(made)
        return made
