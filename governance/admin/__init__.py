"""The admin of governance; driftguard.apps imports it once the models are there."""

from governance.admin import (
    audit,
    findings,
    invitations,
    organizations,
    policies,
    registry,
    risk,
)

__all__ = [
    "audit",
    "findings",
    "invitations",
    "organizations",
    "policies",
    "registry",
    "risk",
]
