"""Django's PostgreSQL backend, which brings the embedded server up when needed."""

from typing import Any

from django.conf import settings

from driftguard.embedded.cluster import PORT, Cluster
from driftguard.postgres import base

cluster = Cluster(
    settings.DATA_DIR / "postgres", keeper=settings.DATA_DIR / "serve.lock"
)


class DatabaseWrapper(base.DatabaseWrapper):
    def get_connection_params(self) -> dict[str, Any]:
        where = {"host": str(cluster.socket_directory()), "port": PORT}
        return super().get_connection_params() | where

    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        cluster.attend()
        return super().get_new_connection(conn_params)
