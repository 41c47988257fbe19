"""Findings: what a person has to look at; one open finding per cause."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from governance.actions.audit import Actor, deed, plain, record
from governance.exceptions import ConflictError
from governance.models import Finding, ModelVersion

Severity = Finding.Severity
SEVERITIES = list(Severity.values)  # from low to critical


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
                owner_id=version.model.owner_id,
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
        _remember(finding, "finding.worsened", before=before, actor=actor)
    finding.save(
        update_fields=["occurrences", "last_seen_at", "title", "detail", "severity"]
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
