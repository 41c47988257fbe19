"""Where the approval of a version stands.

Locks are always taken in this order: that of the model (`subjects.lock`), rows, and
the trail's head last.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from governance.actions import quorums, subjects
from governance.actions.audit import Actor, deed, record
from governance.actions.subjects import Difference
from governance.models import (
    ApprovalRequest,
    ApprovedSubject,
    Evidence,
    ModelVersion,
)

Status = ApprovalRequest.Status


@dataclass(frozen=True, slots=True)
class Problem:
    """Why the approval of a version doesn't count."""

    code: str  # none, stale, expired, quorum
    detail: str
    differences: tuple[Difference, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the problem as the gate's answer has it."""
        return {
            "code": self.code,
            "detail": self.detail,
            "differences": [one.to_json() for one in self.differences],
        }


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether a version is approved as it is now, by which request."""

    request: ApprovalRequest | None  # the applied one
    problems: tuple[Problem, ...] = ()

    @property
    def is_valid(self) -> bool:
        """Whether the approval counts."""
        return self.request is not None and not self.problems


def subject_digest(version: ModelVersion, evidence: Evidence | None = None) -> str:
    """Return the SHA-256 of what an approval of the version would bind now."""
    return subjects.digest_of(subjects.of_version(version, evidence))


def lock(version: ModelVersion) -> ModelVersion:
    """Lock a version's model, then the version, until the transaction ends.

    Returns the version as it is now. Always the first lock of its transaction.
    """
    subjects.lock(version.model_id)
    versions = ModelVersion.objects.select_for_update(of=("self",), no_key=True)
    return versions.select_related("model").get(pk=version.pk)


def standing(version: ModelVersion) -> Standing:
    """Tell whether the version is approved as it is now, and if not, why.

    Who decides on the answer has called `lock`. Until the approval is first used
    (`note_use`), votes of people who have lost their role meanwhile don't count; after
    that what counts is who could vote when it was applied.
    """
    approved = (
        ApprovedSubject.objects.for_organization(version.organization_id)
        .filter(version=version)
        .select_related("request__evidence")
        .first()
    )
    if approved is None:
        return Standing(None, (_none_yet(version),))
    request = approved.request
    found = [*_staleness(version, approved)]
    if request.status != Status.APPLIED:
        detail = f"Its approval is {request.get_status_display().lower()}."
        code = "expired" if request.status == Status.EXPIRED else "none"
        found.append(Problem(code, detail))
    at = request.applied_at if request.used_at else None
    lacking = quorums.shortfalls(request, at=at)
    if lacking:
        found.append(Problem("quorum", " ".join(lacking)))
    return Standing(request, tuple(found))


def _none_yet(version: ModelVersion) -> Problem:
    newest = version.requests.filter(kind=ApprovalRequest.Kind.DEPLOY).first()
    if newest is None:
        return Problem("none", f"Nobody has asked for {version} to be approved.")
    word = newest.get_status_display().lower()
    code = "expired" if newest.status == Status.EXPIRED else "none"
    return Problem(code, f"The request to approve {version} is {word}.")


def _staleness(version: ModelVersion, approved: ApprovedSubject) -> list[Problem]:
    now = subjects.of_version(version, approved.request.evidence)
    if subjects.digest_of(now) == approved.digest:
        return []
    changed = tuple(subjects.differences(approved.subject, now))
    listed = "; ".join(map(str, changed[:5])) or "the stored subject is another one"
    return [Problem("stale", f"Since it was approved, {listed}.", changed)]


@deed
def note_use(request: ApprovalRequest, *, actor: Actor | None) -> None:
    """Note that what was approved is put to use; only the first time counts."""
    is_first = ApprovalRequest.objects.filter(pk=request.pk, used_at=None).update(
        used_at=timezone.now()
    )
    if is_first:
        record(
            request.organization_id,
            actor=actor,
            action="approval.used",
            object=request,
        )
