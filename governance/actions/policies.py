"""Policies: what an organization asks of its models."""

from __future__ import annotations

import hashlib
from typing import Any

import rfc8785
from django.utils import timezone

from governance.actions.audit import Actor, deed, record
from governance.decision import DEFAULT_POLICY
from governance.models import Organization, Policy, PolicyVersion

DEFAULT_NAME = "Default policy"


def content_hash(content: dict[str, Any]) -> str:
    """Return the SHA-256, in hex, of the canonical JSON of a policy's content."""
    return hashlib.sha256(rfc8785.dumps(content)).hexdigest()


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
