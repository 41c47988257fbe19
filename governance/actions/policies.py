"""Policies: what an organization asks of its models."""

from __future__ import annotations

import hashlib
from typing import Any

import rfc8785
from django.utils import timezone

from governance.actions.audit import Actor, deed, record
from governance.decision import DEFAULT_POLICY
from governance.exceptions import ConflictError
from governance.models import (
    Organization,
    Policy,
    PolicyVersion,
    RegisteredModel,
)

DEFAULT_NAME = "Default policy"


def content_hash(content: dict[str, Any]) -> str:
    """Return the SHA-256, in hex, of the canonical JSON of a policy's content."""
    return hashlib.sha256(rfc8785.dumps(content)).hexdigest()


def in_force_for(model: RegisteredModel) -> PolicyVersion:
    """Return the policy version that a model has to keep.

    The active one that names the model, else the one that names its tier, else that of
    the default policy. Raises ConflictError if there is none.
    """
    active = list(
        PolicyVersion.objects.for_organization(model.organization_id)
        .active()
        .select_related("policy")
        .order_by("policy_id")
    )
    ranks = [(_rank(version, model), version) for version in active]
    chosen = max(ranks, key=lambda one: one[0], default=None)
    if chosen is None or chosen[0] == 0:
        raise ConflictError("The organization has no policy in force.")
    return chosen[1]


def _rank(version: PolicyVersion, model: RegisteredModel) -> int:
    """Tell how closely a policy is meant for a model; 0 is not at all."""
    controls = version.thresholds.controls
    if model.slug in controls.models:
        return 3
    if model.effective_risk_tier in controls.tiers:
        return 2
    return 1 if version.policy.is_default else 0


def binding_hash(version: PolicyVersion) -> str:
    """Return the hash of what an approval rests on: the version's rules and stages.

    Read and written again first: content that was stored before there were stages, or
    that leaves out a default, means the same.
    """
    return content_hash(version.thresholds.binding)


@deed
def create_default(organization: Organization, *, actor: Actor | None) -> PolicyVersion:
    """Give a new organization the recommended policy, in force at once."""
    policy = Policy.objects.create(
        organization=organization, name=DEFAULT_NAME, is_default=True
    )
    version = PolicyVersion.objects.create(
        organization=organization,
        policy=policy,
        number=1,
        status=PolicyVersion.Status.ACTIVE,
        content=DEFAULT_POLICY,
        content_hash=content_hash(DEFAULT_POLICY),
        created_by_id=actor.user_id if actor else None,
        published_at=timezone.now(),
    )
    record(
        organization,
        actor=actor,
        action="policy.published",
        object=version,
        after={"content": DEFAULT_POLICY, "content_hash": version.content_hash},
        policy_version=version.pk,
    )
    return version
