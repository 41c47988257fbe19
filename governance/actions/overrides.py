"""Overrides: asked for by one person, granted by another, until a date.

proposed → under_review → approved → active → expired | revoked; rejected → proposed.
Whoever changes one holds its model's lock first (`approvals.lock`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.utils import timezone

from governance.actions import approvals, authority, gate, override_ends
from governance.actions.audit import Actor, deed
from governance.actions.override_checks import (
    Terms,
    approver_roles,
    check_justification,
    check_rules,
    check_span,
    limit_of,
)
from governance.actions.override_ends import locked
from governance.actions.registry import author_of
from governance.exceptions import ConflictError, InvalidError, fault
from governance.models import Membership, ModelVersion, Override

Role = Membership.Role
Status = Override.Status
REQUESTERS = (Role.OWNER, Role.MODEL_OWNER)
REVOKERS = (Role.OWNER, Role.COMPLIANCE_OFFICER)
NEXT = {
    Status.PROPOSED: "Somebody else with the right to approve reviews it.",
    Status.UNDER_REVIEW: "The reviewer approves or rejects it.",
    Status.APPROVED: "It comes into force at its start.",
    Status.ACTIVE: "Deploy under it; it ends by itself.",
    Status.EXPIRED: "It is over; propose a new one if it is still needed.",
    Status.REVOKED: "It is over; propose a new one if it is still needed.",
    Status.REJECTED: "Answer the reason and propose it again.",
}


@deed
def propose(
    version: ModelVersion,
    *,
    environment: str,
    terms: Terms,
    extends: Override | None = None,
    actor: Actor,
) -> Override:
    """Ask for an override of soft rules, for one version in one environment.

    Needs the role owner or model owner, or a key. Raises InvalidError for rules that
    are unknown or hard, a justification under 20 characters, or a date beyond the
    limit; ConflictError if one waits already.
    """
    version = approvals.lock(version)
    if actor.type == "user":
        authority.require_role(
            version, REQUESTERS, action="override.proposed", actor=actor
        )
    if version.model.retired_at is not None:
        raise ConflictError(f"{version.model} is retired.")
    asked = gate.ask(version, environment)
    names = check_rules(terms.rules, asked.policy.thresholds)
    longest = limit_of(asked)
    check_justification(terms.justification)
    expires_at = terms.expires_at or (terms.starts_at or asked.at) + longest
    check_span(terms.starts_at, expires_at, longest)
    _refuse_second(version, environment, extends)
    key = int(actor.id) if actor.type == "api_key" else None
    author = author_of(actor)
    try:
        with transaction.atomic():
            made = Override.objects.create(
                organization_id=version.organization_id,
                version=version,
                environment=environment,
                rules=names,
                justification=terms.justification.strip(),
                is_justified=terms.is_justified,
                requested_by_id=author,
                requested_label=actor.label,
                requested_with_id=key,
                barred=sorted(authority.people_behind(actor) | {author}),
                longest=longest,
                policy_version=asked.policy,
                gate=asked.to_json(),
                extends=extends,
                starts_at=terms.starts_at,
                expires_at=expires_at,
            )
    except IntegrityError:
        raise ConflictError("An override of this version waits already.") from None
    override_ends.note(made, "override.proposed", before=None, actor=actor)
    return made


def _refuse_second(
    version: ModelVersion, environment: str, extends: Override | None
) -> None:
    open_ones = Override.objects.open().filter(version=version, environment=environment)
    for other in open_ones.order_by("pk"):
        if other == extends:
            continue
        word = other.get_status_display().lower()
        verb = "is" if other.status == Status.ACTIVE else "waits as"
        raise ConflictError(
            f"Override {other.pk} of this version {verb} {word}.",
            extra={
                "override_id": other.pk,
                "next": [
                    "Extend it: an extension is a new review."
                    if other.status == Status.ACTIVE
                    else NEXT[Status(other.status)]
                ],
            },
        )


@deed
def extend(
    override: Override,
    *,
    justification: str,
    expires_at: datetime | None = None,
    actor: Actor,
) -> Override:
    """Ask for an active override to go on: a new one, which is reviewed anew.

    When it is approved the earlier one ends. Raises ConflictError if that isn't in
    force.
    """
    override = locked(override)
    if not override.is_in_force():
        raise ConflictError(
            f"The override is {override.get_status_display().lower()}, not active.",
            extra={"next": ["Propose a new one."]},
        )
    return propose(
        override.version,
        environment=override.environment,
        terms=Terms(override.rules, justification, expires_at),
        extends=override,
        actor=actor,
    )


@deed
def resubmit(
    override: Override,
    *,
    justification: str,
    rules: Sequence[str] | None = None,
    expires_at: datetime | None = None,
    actor: Actor,
) -> Override:
    """Propose a rejected override again, or change one that nobody has reviewed yet.

    Needs whoever asked for it. Raises ConflictError in any other state.
    """
    override = locked(override)
    _require_requester(override, "override.proposed", actor=actor)
    _require_status(override, Status.REJECTED, Status.PROPOSED)
    asked = gate.ask(override.version, override.environment)
    before = override.status
    override.rules = check_rules(rules or override.rules, asked.policy.thresholds)
    check_justification(justification)
    override.justification = justification.strip()
    override.is_justified = True
    override.longest = limit_of(asked)
    override.policy_version = asked.policy
    override.gate = asked.to_json()
    override.expires_at = expires_at or max(
        override.expires_at, timezone.now() + timedelta(hours=1)
    )
    check_span(override.starts_at, override.expires_at, override.longest)
    if before == Status.REJECTED:
        _refuse_second(override.version, override.environment, override.extends)
    override.status = Status.PROPOSED
    override.reviewed_by = override.decided_by = None
    override.reviewed_label = override.decided_label = override.decision = ""
    override.reviewed_at = override.decided_at = None
    override.save()
    override_ends.note(override, "override.proposed", before=before, actor=actor)
    return override


@deed
def begin_review(override: Override, *, actor: Actor) -> Override:
    """Take a proposed override for review; needs the permission to approve it."""
    override = locked(override)
    _require_approver(override, "override.review_started", actor=actor)
    _require_status(override, Status.PROPOSED)
    _begin_review(override, actor=actor)
    return override


def _begin_review(override: Override, *, actor: Actor) -> None:
    override.status = Status.UNDER_REVIEW
    override.reviewed_by_id = actor.user_id
    override.reviewed_label = actor.label
    override.reviewed_at = timezone.now()
    override.save(
        update_fields=["status", "reviewed_by", "reviewed_label", "reviewed_at"]
    )
    override_ends.note(
        override, "override.review_started", before=Status.PROPOSED, actor=actor
    )


@deed
def approve(override: Override, *, reason: str, actor: Actor) -> Override:
    """Grant an override as the second person; it is active at once, or from its start.

    Needs the permission to approve in the model's tier, by a person who has just shown
    who they are and has nothing to do with the request. The rules have to be soft
    still, and the date within the limit. One that it extends ends. Raises
    ConflictError in any other state, or after the date.
    """
    override = locked(override)
    action = "override.approved"
    _require_approver(override, action, actor=actor)
    authority.require_confirmation(override, action=action, actor=actor)
    _require_status(override, Status.PROPOSED, Status.UNDER_REVIEW)
    said = _said(reason)
    if not override.is_justified:
        # Nobody has said yet why: then whoever grants it has to.
        check_justification(said, where="reason")
    asked = gate.ask(override.version, override.environment)
    check_rules(override.rules, asked.policy.thresholds)
    longest = min(override.longest, limit_of(asked))
    now = timezone.now()
    if override.expires_at <= now:
        raise ConflictError("Its date has passed.", extra={"next": ["Reject it."]})
    check_span(override.starts_at, override.expires_at, longest)
    if override.status == Status.PROPOSED:
        _begin_review(override, actor=actor)
    override.status = Status.APPROVED
    override.decided_by_id = actor.user_id
    override.decided_label = actor.label
    override.decided_at = now
    override.decision = said
    override.save(
        update_fields=[
            "status",
            "decided_by",
            "decided_label",
            "decided_at",
            "decision",
        ]
    )
    override_ends.note(
        override, action, before=Status.UNDER_REVIEW, reason=said, actor=actor
    )
    if override.starts_at is None or override.starts_at <= now:
        _activate(override, actor=actor)
    return override


def _activate(override: Override, *, actor: Actor | None) -> None:
    """Bring a locked, approved override into force; what it extends ends here."""
    if override.extends is not None and override.extends.status == Status.ACTIVE:
        override_ends.end(
            override.extends,
            Status.REVOKED,
            f"Override {override.pk} goes on from it.",
            reverts=False,
            actor=actor,
        )
    override.status = Status.ACTIVE
    override.activated_at = max(timezone.now(), override.decided_at or timezone.now())
    override.save(update_fields=["status", "activated_at"])
    if override.extends is not None:
        # What was deployed under the earlier one is now under this one.
        override.extends.deployments.filter(ended_at=None).update(override=override)
    override_ends.note(
        override, "override.activated", before=Status.APPROVED, actor=actor
    )


@deed
def activate(override: Override, *, actor: Actor | None) -> bool:
    """Bring an approved override into force at its start; false if it isn't time."""
    override = locked(override)
    now = timezone.now()
    is_time = override.starts_at is None or override.starts_at <= now
    if override.status != Status.APPROVED or not is_time or override.expires_at <= now:
        return False
    _activate(override, actor=actor)
    return True


@deed
def reject(override: Override, *, reason: str, actor: Actor) -> Override:
    """Refuse an override; whoever asked may propose it again."""
    override = locked(override)
    action = "override.rejected"
    _require_approver(override, action, actor=actor)
    _require_status(override, Status.PROPOSED, Status.UNDER_REVIEW)
    before = override.status
    override.status = Status.REJECTED
    override.decided_by_id = actor.user_id
    override.decided_label = actor.label
    override.decided_at = timezone.now()
    override.decision = _said(reason)
    override.save(
        update_fields=[
            "status",
            "decided_by",
            "decided_label",
            "decided_at",
            "decision",
        ]
    )
    override_ends.note(
        override, action, before=before, reason=override.decision, actor=actor
    )
    return override


@deed
def revoke(override: Override, *, reason: str, actor: Actor) -> Override:
    """End an override before its time: one person is enough, or whoever asked for it.

    What is deployed under it is suspended. Raises ConflictError if it is over.
    """
    override = locked(override)
    if not authority.people_behind(actor) & {override.requested_by_id}:
        authority.require_role(
            override, REVOKERS, action="override.revoked", actor=actor
        )
    _require_status(override, *(Status(one) for one in Override.OPEN))
    override_ends.end(override, Status.REVOKED, _said(reason), actor=actor)
    return override


def _require_approver(override: Override, action: str, *, actor: Actor) -> None:
    roles = approver_roles(override)
    authority.require_role(override, roles, action=action, actor=actor)
    people = {override.requested_by_id, *override.barred}
    authority.require_another(override, people, action=action, actor=actor)


def _require_requester(override: Override, action: str, *, actor: Actor) -> None:
    if not authority.people_behind(actor) & {override.requested_by_id}:
        authority.refuse(override, "whoever asked for it", action=action, actor=actor)


def _require_status(override: Override, *wanted: Status) -> None:
    if override.status in wanted:
        return
    word = override.get_status_display().lower()
    raise ConflictError(
        f"The override is {word}.",
        extra={"status": override.status, "next": [NEXT[Status(override.status)]]},
    )


def _said(reason: str) -> str:
    if not reason.strip():
        raise InvalidError(errors=[fault("reason", code="missing", detail="say why")])
    return reason.strip()
