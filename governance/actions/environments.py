"""The environments: what a closed gate does in each, and what went through it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Q
from django.utils import timezone

from governance.actions import gate
from governance.models import ApiKey, Deployment, PolicyVersion


@dataclass(frozen=True, slots=True)
class Environment:
    """An environment of an organization, as its default policy has it."""

    name: str
    mode: str
    until: str | None  # of observing
    policy: dict[str, Any]
    deployed: int
    suspended: int
    would_have_been_blocked: int


def overview(organization_id: int, now: datetime | None = None) -> list[Environment]:
    """Return all environments, in two queries."""
    now = now or timezone.now()
    policy = PolicyVersion.objects.for_organization(organization_id).in_force().first()
    if policy is None:
        return []
    rows = (
        Deployment.objects.for_organization(organization_id)
        .open()
        .order_by()
        .values("environment")
        .annotate(
            live=Count("pk", filter=Q(suspended_at=None)),
            halted=Count("pk", filter=Q(suspended_at__isnull=False)),
            lenient=Count("pk", filter=Q(suspended_at=None, gate__would_be="DENY")),
        )
    )
    counts = {row["environment"]: row for row in rows}
    settings = policy.thresholds.controls.environments
    found = []
    for name in ApiKey.Environment.values:
        counted: Mapping[str, Any] = counts.get(name) or {}
        mode = gate.mode_of(policy, name, now)
        found.append(
            Environment(
                name=name,
                mode=mode.value,
                until=settings[name].until if mode == settings[name].mode else None,
                policy={"id": policy.policy_id, "version": policy.number},
                deployed=counted.get("live", 0),
                suspended=counted.get("halted", 0),
                would_have_been_blocked=counted.get("lenient", 0),
            )
        )
    return found
