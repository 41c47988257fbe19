"""Log predictions to DriftGuard without slowing or breaking production."""

from driftguard_client._async import AsyncDriftGuard
from driftguard_client.aio import AsyncMonitor
from driftguard_client.client import DriftGuard
from driftguard_client.errors import (
    ApiError,
    ConflictError,
    DriftGuardError,
    InvalidError,
    NotAuthenticatedError,
    NotFoundError,
    PermissionDeniedError,
    UnavailableError,
    UnreachableError,
)
from driftguard_client.monitor import Monitor, Stats
from driftguard_client.version import __version__
from driftguard_client.watching import WatchedModel, watch

__all__ = [
    "ApiError",
    "AsyncDriftGuard",
    "AsyncMonitor",
    "ConflictError",
    "DriftGuard",
    "DriftGuardError",
    "InvalidError",
    "Monitor",
    "NotAuthenticatedError",
    "NotFoundError",
    "PermissionDeniedError",
    "Stats",
    "UnavailableError",
    "UnreachableError",
    "WatchedModel",
    "__version__",
    "watch",
]
