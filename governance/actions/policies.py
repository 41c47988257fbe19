"""Policies: what an organization asks of its models."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

import rfc8785
from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils import timezone

from governance.actions import authority, credentials
from governance.actions.audit import Actor, deed, record
from governance.decision import DEFAULT_POLICY, PolicyError, Thresholds
from governance.exceptions import (
    AlreadyExistsError,
    ConflictError,
    InvalidError,
    PermissionDeniedError,
    fault,
)
from governance.models import (
    Membership,
    Organization,
    Policy,
    PolicyVersion,
    RegisteredModel,
)

AUTHORS = (Membership.Role.OWNER, Membership.Role.COMPLIANCE_OFFICER)
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
    chosen = closest(model, active)
    if chosen is None:
        raise ConflictError("The organization has no policy in force.")
    return chosen


def closest(
    model: RegisteredModel, active: Iterable[PolicyVersion]
) -> PolicyVersion | None:
    """Return which of some policy versions is meant for a model, None if none is."""
    ranks = [(_rank(version, model), version) for version in active]
    chosen = max(ranks, key=lambda one: one[0], default=None)
    return None if chosen is None or chosen[0] == 0 else chosen[1]


def thresholds_for(model: RegisteredModel) -> Thresholds:
    """Return the limits that hold for a model; the recommended ones without a policy.

    For what is shown and measured. Decisions ask `in_force_for`.
    """
    try:
        return in_force_for(model).thresholds
    except ConflictError:
        return Thresholds()


def _rank(version: PolicyVersion, model: RegisteredModel) -> int:
    """Tell how closely a policy is meant for a model; 0 is not at all."""
    controls = version.thresholds.controls
    if model.slug in controls.models:
        return 3
    if model.effective_risk_tier in controls.tiers:
        return 2
    return 1 if version.policy.is_default else 0


def default_of(organization_id: int) -> PolicyVersion:
    """Return the policy version that holds where no other is meant to.

    Raises ConflictError if there is none.
    """
    found = (
        PolicyVersion.objects.for_organization(organization_id)
        .in_force()
        .select_related("policy")
        .first()
    )
    if found is None:
        raise ConflictError("The organization has no policy in force.")
    return found


def binding_hash(version: PolicyVersion) -> str:
    """Return the hash of what an approval rests on: the version's rules and stages.

    Read and written again first: content that was stored before there were stages, or
    that leaves out a default, means the same.
    """
    return content_hash(version.thresholds.binding)


def read_content(content: object) -> dict[str, Any]:
    """Return a policy's content complete; raises InvalidError with all its faults."""
    try:
        return Thresholds.from_json(content).to_json()
    except PolicyError as error:
        faults = [
            fault("content", *one.loc, code=one.code, detail=one.detail)
            for one in error.errors
        ]
        raise InvalidError("The policy's content is wrong.", errors=faults) from None


@deed
def create_policy(
    organization: Organization, *, name: str, content: object, actor: Actor
) -> PolicyVersion:
    """Make another policy with a first draft; it holds for nobody until published.

    Raises InvalidError, or AlreadyExistsError if a policy has the name.
    """
    complete = read_content(content)
    _require_author(organization, actor)
    try:
        with transaction.atomic():
            policy = Policy.objects.create(organization=organization, name=name)
    except IntegrityError:
        raise AlreadyExistsError("Another policy has this name.") from None
    record(organization, actor=actor, action="policy.created", object=policy)
    return _insert_draft(policy, complete, actor=actor)


@deed
def add_draft(policy: Policy, *, content: object, actor: Actor) -> PolicyVersion:
    """Draft the next version of a policy. Raises InvalidError."""
    complete = read_content(content)
    _require_author(policy.organization, actor)
    policy = Policy.objects.select_for_update(no_key=True).get(pk=policy.pk)
    return _insert_draft(policy, complete, actor=actor)


def _insert_draft(
    policy: Policy, content: dict[str, Any], *, actor: Actor
) -> PolicyVersion:
    newest = policy.versions.aggregate(number=Max("number"))["number"] or 0
    version = PolicyVersion.objects.create(
        organization_id=policy.organization_id,
        policy=policy,
        number=newest + 1,
        content=content,
        content_hash=content_hash(content),
        created_by_id=actor.user_id,
        **authority.editor(actor),
    )
    record(
        policy.organization_id,
        actor=actor,
        action="policy.drafted",
        object=version,
        after={"content": content, "content_hash": version.content_hash},
        policy_version=version.pk,
    )
    return version


@deed
def edit_draft(
    version: PolicyVersion, *, content: object, actor: Actor
) -> PolicyVersion:
    """Replace the content of a draft; an open request to publish it becomes stale.

    Who edits it doesn't approve it. Raises InvalidError, or ConflictError once it is
    no draft.
    """
    complete = read_content(content)
    _require_author(version.organization, actor)
    versions = PolicyVersion.objects.select_for_update(of=("self",), no_key=True)
    version = versions.select_related("policy", "organization").get(pk=version.pk)
    if version.status != PolicyVersion.Status.DRAFT:
        raise ConflictError(
            f"{version} is {version.get_status_display().lower()}, and stays as it is.",
            extra={"next": "Draft another version."},
        )
    if complete == version.content:
        return version
    before = version.content
    changed = {
        "content": complete,
        "content_hash": content_hash(complete),
        **authority.editor(actor),
    }
    for name, value in changed.items():
        setattr(version, name, value)
    version.__dict__.pop("thresholds", None)
    version.save(update_fields=list(changed))
    record(
        version.organization_id,
        actor=actor,
        action="policy.edited",
        object=version,
        before={"content": before},
        after={"content": complete, "content_hash": version.content_hash},
        policy_version=version.pk,
    )
    return version


def _require_author(organization: Organization, actor: Actor) -> None:
    """Refuse people who don't propose policies; a key was checked for its scope."""
    if actor.user_id is None:
        raise PermissionDeniedError("A policy has an author.")
    if actor.type != "user":
        return
    roles = credentials.roles_of(actor.user_id, organization.pk)
    if roles.isdisjoint(AUTHORS):
        record(
            organization,
            actor=actor,
            action="policy.drafted",
            object=organization,
            outcome="denied",
            reason="needs the role owner or compliance officer",
        )
        raise PermissionDeniedError("This needs the role owner or compliance officer.")


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


@deed
def activate(draft: PolicyVersion, *, actor: Actor | None) -> PolicyVersion:
    """Put an approved draft into force; the version before is archived.

    The caller applies the request that says so; the database wants it too. Raises
    ConflictError if it is no draft, or if another policy names a model or tier of its.
    """
    Policy.objects.select_for_update(no_key=True).get(pk=draft.policy_id)
    versions = PolicyVersion.objects.select_for_update(of=("self",), no_key=True)
    draft = versions.select_related("policy").get(pk=draft.pk)
    if draft.status != PolicyVersion.Status.DRAFT:
        raise ConflictError(f"{draft} is no draft.")
    refuse_overlap(draft)
    now = timezone.now()
    before = versions.filter(
        policy=draft.policy_id, status=PolicyVersion.Status.ACTIVE
    ).first()
    if before is not None:
        before.status, before.archived_at = PolicyVersion.Status.ARCHIVED, now
        before.save(update_fields=["status", "archived_at"])
    draft.status, draft.published_at = PolicyVersion.Status.ACTIVE, now
    draft.save(update_fields=["status", "published_at"])
    record(
        draft.organization_id,
        actor=actor,
        action="policy.published",
        object=draft,
        before=before and {"version": before.number, "hash": before.content_hash},
        after={"content": draft.content, "content_hash": draft.content_hash},
        policy_version=draft.pk,
    )
    return draft


def refuse_overlap(draft: PolicyVersion) -> None:
    """Refuse a draft for a model or tier that another policy in force is meant for.

    Raises ConflictError, which names it.
    """
    mine = draft.thresholds.controls
    others = PolicyVersion.objects.for_organization(draft.organization_id).active()
    for other in others.exclude(policy=draft.policy_id).select_related("policy"):
        theirs = other.thresholds.controls
        both = sorted(
            (set(mine.models) & set(theirs.models))
            | (set(mine.tiers) & set(theirs.tiers))
        )
        if both:
            raise ConflictError(f"{other} is meant for {', '.join(both)} already.")
