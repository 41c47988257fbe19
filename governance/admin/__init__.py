"""The admin of governance; driftguard.apps imports it once the models are there."""

from governance.admin import (
    audit,
    deployments,
    findings,
    invitations,
    organizations,
    overrides,
    policies,
    registry,
    risk,
)

__all__ = [
    "audit",
    "deployments",
    "findings",
    "invitations",
    "organizations",
    "overrides",
    "policies",
    "registry",
    "risk",
]
