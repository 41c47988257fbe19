"""Findings: what a person has to look at; one open finding per cause."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from governance.actions import authority
from governance.actions.audit import SYSTEM, Actor, deed, plain, record
from governance.exceptions import ConflictError, InvalidError, fault
from governance.identifiers import uuid7
from governance.models import Finding, Membership, ModelVersion, User

Role = Membership.Role
Severity = Finding.Severity
Status = Finding.Status
SEVERITIES = list(Severity.values)  # from low to critical
# How long there is to close one, unless somebody says otherwise.
DUE_IN = {
    Severity.CRITICAL: timedelta(days=7),
    Severity.HIGH: timedelta(days=14),
    Severity.MEDIUM: timedelta(days=30),
    Severity.LOW: timedelta(days=90),
}
WORKERS = (Role.OWNER, Role.MODEL_OWNER, Role.VALIDATOR, Role.COMPLIANCE_OFFICER)
CLOSERS = (Role.COMPLIANCE_OFFICER,)
_RESOLVED = ("status", "resolved_by", "resolved_label", "resolved_at", "resolution")


@deed
def open_finding(
    version: ModelVersion,
    *,
    cause: str,
    severity: str,
    title: str,
    detail: Mapping[str, Any] | None = None,
    actor: Actor | None,
) -> Finding:
    """Open a finding, or note that the one open for this cause was seen again.

    Seen again it may become more severe, never less. Only what is new is remembered in
    the trail: a finding, or a higher severity.
    """
    found = _open_one(version, cause)
    if found is None:
        made = _insert(
            version,
            cause=cause[:300],
            severity=Severity(severity),
            title=title[:500],
            detail=plain(dict(detail or {})),
        )
        if made is not None:
            _remember(made, "finding.opened", actor=actor)
            return made
        found = _open_one(version, cause)
    if found is None:
        raise ConflictError("The finding was closed at this moment; try again.")
    _see_again(found, Severity(severity), title, detail, actor=actor)
    return found


def _open_one(version: ModelVersion, cause: str) -> Finding | None:
    return (
        Finding.objects.not_closed()
        .select_for_update()
        .filter(version=version, cause=cause[:300])
        .first()
    )


def _insert(version: ModelVersion, **fields: Any) -> Finding | None:
    """Return the new finding, or None if another process was faster."""
    try:
        with transaction.atomic():
            return Finding.objects.create(
                organization_id=version.organization_id,
                version=version,
                owner_id=fields.pop("owner_id", None) or version.model.owner_id,
                due_at=fields.pop("due_at", None)
                or timezone.now() + DUE_IN[fields["severity"]],
                **fields,
            )
    except IntegrityError:
        return None


def _see_again(
    finding: Finding,
    severity: Severity,
    title: str,
    detail: Mapping[str, Any] | None,
    *,
    actor: Actor | None,
) -> None:
    is_worse = SEVERITIES.index(severity) > SEVERITIES.index(finding.severity)
    before = finding.severity
    finding.occurrences = finding.occurrences + 1
    finding.last_seen_at = timezone.now()
    finding.title = title[:500]
    finding.detail = plain(dict(detail or {}))
    if is_worse:
        finding.severity = severity
        due = timezone.now() + DUE_IN[severity]
        finding.due_at = min(due, finding.due_at or due)
        _remember(finding, "finding.worsened", before=before, actor=actor)
    finding.save(
        update_fields=[
            "occurrences",
            "last_seen_at",
            "title",
            "detail",
            "severity",
            "due_at",
        ]
    )


def _remember(
    finding: Finding, action: str, *, before: str = "", actor: Actor | None
) -> None:
    record(
        finding.organization_id,
        actor=actor,
        action=action,
        object=finding,
        before={"severity": before} if before else None,
        after={
            "version": str(finding.version),
            "cause": finding.cause,
            "severity": finding.severity,
            "detail": finding.detail,
        },
    )


@deed
def report(
    version: ModelVersion,
    *,
    title: str,
    severity: str,
    detail: str = "",
    owner: User | None = None,
    due_at: datetime | None = None,
    actor: Actor,
) -> Finding:
    """Open a finding that a person has made; it is about nothing that was seen before.

    Needs one of the roles that work on findings.
    """
    authority.require_role(version, WORKERS, action="finding.opened", actor=actor)
    _check_due(due_at)
    made = _insert(
        version,
        cause=f"reported:{uuid7().hex}",
        severity=Severity(severity),
        title=title[:500],
        detail={"text": detail, "reported_by": actor.label},
        owner_id=owner.pk if owner else None,
        due_at=due_at,
    )
    if made is None:
        raise ConflictError("The finding could not be opened; try again.")
    _remember(made, "finding.opened", actor=actor)
    return made


def _check_due(due_at: datetime | None) -> None:
    if due_at is not None and due_at <= timezone.now():
        raise InvalidError(errors=[fault("due_at", code="range", detail="has passed")])


@deed
def assign(
    finding: Finding,
    *,
    owner: User | None = None,
    due_at: datetime | None = None,
    actor: Actor,
) -> Finding:
    """Give a finding to somebody, or another due date; what is None stays.

    Raises ConflictError once it is closed.
    """
    finding = _locked(finding)
    authority.require_role(finding, WORKERS, action="finding.assigned", actor=actor)
    if finding.is_closed:
        raise ConflictError("The finding is closed.")
    _check_due(due_at)
    before = {"owner": str(finding.owner), "due_at": finding.due_at}
    finding.owner = owner or finding.owner
    finding.due_at = due_at or finding.due_at
    finding.reminded_at = None
    finding.save(update_fields=["owner", "due_at", "reminded_at"])
    record(
        finding.organization_id,
        actor=actor,
        action="finding.assigned",
        object=finding,
        before=before,
        after={"owner": str(finding.owner), "due_at": finding.due_at},
    )
    return finding


@deed
def start(finding: Finding, *, reason: str = "", actor: Actor) -> Finding:
    """Begin to work on an open finding. Raises ConflictError in any other state."""
    finding = _locked(finding)
    authority.require_role(finding, WORKERS, action="finding.started", actor=actor)
    _require_status(finding, Status.OPEN)
    finding.status = Status.IN_PROGRESS
    finding.save(update_fields=["status"])
    _remember_step(finding, "finding.started", Status.OPEN, reason, actor=actor)
    return finding


@deed
def resolve(finding: Finding, *, reason: str, actor: Actor) -> Finding:
    """Say what was done about a finding in progress; somebody else has to close it."""
    finding = _locked(finding)
    authority.require_role(finding, WORKERS, action="finding.resolved", actor=actor)
    _require_status(finding, Status.IN_PROGRESS)
    finding.status = Status.RESOLVED
    finding.resolved_by_id = actor.user_id
    finding.resolved_label = actor.label
    finding.resolved_at = timezone.now()
    finding.resolution = _said(reason)
    finding.save(update_fields=_RESOLVED)
    _remember_step(finding, "finding.resolved", Status.IN_PROGRESS, reason, actor=actor)
    return finding


@deed
def reopen(finding: Finding, *, reason: str, actor: Actor) -> Finding:
    """Send a resolved finding back to work: what was done is not enough."""
    finding = _locked(finding)
    authority.require_role(finding, WORKERS, action="finding.reopened", actor=actor)
    _require_status(finding, Status.RESOLVED)
    _said(reason)
    finding.status = Status.IN_PROGRESS
    finding.reminded_at = None
    finding.save(update_fields=["status", "reminded_at"])
    _remember_step(finding, "finding.reopened", Status.RESOLVED, reason, actor=actor)
    return finding


@deed
def close(finding: Finding, *, reason: str, actor: Actor) -> Finding:
    """Close a resolved finding; the same breach later is a new one.

    Needs the role compliance officer, and somebody else than who resolved it.
    """
    finding = _locked(finding)
    action = "finding.closed"
    authority.require_role(finding, CLOSERS, action=action, actor=actor)
    _require_status(finding, Status.RESOLVED)
    people = {finding.resolved_by_id}
    authority.require_another(finding, people, action=action, actor=actor)
    finding.status = Status.CLOSED
    finding.closed_by_id = actor.user_id
    finding.closed_label = actor.label
    finding.closed_at = timezone.now()
    finding.closing_reason = _said(reason)
    finding.save(
        update_fields=[
            "status",
            "closed_by",
            "closed_label",
            "closed_at",
            "closing_reason",
        ]
    )
    _remember_step(finding, action, Status.RESOLVED, reason, actor=actor)
    return finding


@deed
def settle(finding: Finding, *, reason: str, actor: Actor | None) -> bool:
    """Resolve an open finding whose measurement is back within its limits.

    A person still has to close it. One that somebody works on, and a critical one,
    which keeps the gate shut, stay as they are. Returns whether it was resolved.
    """
    finding = _locked(finding)
    if finding.status != Status.OPEN or finding.severity == Severity.CRITICAL:
        return False
    finding.status = Status.RESOLVED
    finding.resolved_by_id = actor.user_id if actor else None
    finding.resolved_label = (actor or SYSTEM).label
    finding.resolved_at = timezone.now()
    finding.resolution = _said(reason)
    finding.save(update_fields=_RESOLVED)
    _remember_step(finding, "finding.resolved", Status.OPEN, reason, actor=actor)
    return True


@deed
def breach_again(finding: Finding, *, reason: str, actor: Actor | None) -> bool:
    """Open a resolved finding again, for what it is about has come back.

    Returns whether it was resolved.
    """
    finding = _locked(finding)
    if finding.status != Status.RESOLVED:
        return False
    finding.status = Status.OPEN
    finding.reminded_at = None
    finding.save(update_fields=["status", "reminded_at"])
    _remember_step(finding, "finding.reopened", Status.RESOLVED, reason, actor=actor)
    return True


def _locked(finding: Finding) -> Finding:
    found: Finding = (
        Finding.objects.select_for_update(of=("self",))
        .select_related("version__model", "owner")
        .get(pk=finding.pk)
    )
    return found


def _require_status(finding: Finding, *wanted: Status) -> None:
    if finding.status in wanted:
        return
    words = " or ".join(status.label.lower() for status in wanted)
    raise ConflictError(
        f"The finding is {finding.get_status_display().lower()}, not {words}.",
        extra={"status": finding.status, "next": NEXT[Status(finding.status)]},
    )


NEXT: Mapping[Status, str] = {
    Status.OPEN: "Begin to work on it (start).",
    Status.IN_PROGRESS: "Say what was done about it (resolve).",
    Status.RESOLVED: "Somebody else closes it, or sends it back (reopen).",
    Status.CLOSED: "It is closed for good; the same breach opens a new one.",
}


def _said(reason: str) -> str:
    if not reason.strip():
        raise InvalidError(errors=[fault("reason", code="missing", detail="say why")])
    return reason.strip()


def _remember_step(
    finding: Finding, action: str, before: Status, reason: str, *, actor: Actor | None
) -> None:
    record(
        finding.organization_id,
        actor=actor,
        action=action,
        object=finding,
        before={"status": before.value},
        after={"status": finding.status, "cause": finding.cause},
        reason=reason.strip(),
    )
