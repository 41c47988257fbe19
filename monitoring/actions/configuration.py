"""By what a version is judged: the policy's limits and the model's own settings."""

from __future__ import annotations

from typing import Any

from governance.decision import Thresholds
from governance.models import ModelVersion, PolicyVersion

MIN_BASELINE_ROWS = 30


def policy_of(version: ModelVersion) -> Thresholds:
    """Return the limits of the policy in force."""
    policy = (
        PolicyVersion.objects.for_organization(version.organization_id)
        .in_force()
        .first()
    )
    return Thresholds() if policy is None else policy.thresholds


def of(version: ModelVersion) -> dict[str, Any]:
    """Return what an analysis of the version is judged by, as plain JSON.

    `voting` names the algorithms that make the status (None: the registry's own
    choice); `thresholds` and `parameters` stand in place of the registry's.
    """
    policy = policy_of(version)
    return {
        "voting": None,
        "thresholds": {
            name: [limit.mild, limit.serious]
            for name, limit in policy.algorithms.items()
        },
        "parameters": {},
        "min_rows": policy.minimum_sample,
        "min_baseline_rows": MIN_BASELINE_ROWS,
    }
