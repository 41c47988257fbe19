"""Publishing a policy: what it would touch and change is shown first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from governance.actions import backtests, policies, submissions
from governance.actions.audit import Actor
from governance.models import ApprovalRequest, ModelVersion, PolicyVersion

# What is in production, or was and may come back.
DEPLOYED = (ModelVersion.Status.DEPLOYED, ModelVersion.Status.SUSPENDED)


@dataclass(frozen=True, slots=True)
class Touched:
    """What publishing a draft would reach: nothing of it is undone by that."""

    models: tuple[str, ...]  # whose policy would be another version
    requests: tuple[ApprovalRequest, ...]  # open ones that would become stale
    deployments: tuple[ModelVersion, ...]  # whose approval would be of other rules

    def to_json(self) -> dict[str, Any]:
        """Return what is touched as answers have it."""
        return {
            "models": list(self.models),
            "requests": [
                {"id": one.pk, "label": str(one), "status": one.status}
                for one in self.requests
            ],
            "deployments": [
                {
                    "model": one.model.slug,
                    "version": one.version,
                    "status": one.status,
                }
                for one in self.deployments
            ],
        }


def touched(draft: PolicyVersion) -> Touched:
    """Return what would be touched if the draft were published now."""
    sides = backtests.sides_of(draft)
    stricter = [
        one.model.pk
        for one in sides
        if policies.binding_hash(one.before) != policies.binding_hash(one.after)
    ]
    requests = ApprovalRequest.objects.for_organization(draft.organization_id).open()
    versions = ModelVersion.objects.for_organization(draft.organization_id)
    return Touched(
        tuple(one.model.name for one in sides),
        tuple(requests.filter(model__in=stricter)),
        tuple(
            versions.filter(model__in=stricter, status__in=DEPLOYED).select_related(
                "model"
            )
        ),
    )


def tried(draft: PolicyVersion, *, days: int = 30) -> dict[str, Any]:
    """Return the backtest that a request to publish a draft has attached.

    Takes a while, so that it belongs outside of any transaction. Raises ConflictError
    where another policy is meant for the same models.
    """
    policies.refuse_overlap(draft)
    return {"days": days, **backtests.run(draft, days=days)}


def ask(
    draft: PolicyVersion,
    *,
    reason: str = "",
    effective_at: datetime | None = None,
    days: int = 30,
    actor: Actor,
) -> ApprovalRequest:
    """Ask for a draft to be published, with its backtest over some days attached.

    The backtest runs first, outside of the transaction. Raises what
    `submissions.submit_publication` raises, and ConflictError where another policy is
    meant for the same models.
    """
    return submissions.submit_publication(
        draft,
        reason=reason,
        effective_at=effective_at,
        backtest=tried(draft, days=days),
        actor=actor,
    )
