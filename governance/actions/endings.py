"""How a request ends without being applied, and who hears of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.utils import timezone

from governance.actions import authority, quorums, subjects
from governance.actions.audit import Actor, deed, record
from governance.actions.subjects import Difference
from governance.exceptions import AlreadyDecidedError
from governance.models import ApprovalRequest, ModelVersion, Notification

Status = ApprovalRequest.Status
# A version that nobody has approved yet goes back to its developer.
_WAITING = (ModelVersion.Status.SUBMITTED, ModelVersion.Status.IN_VALIDATION)


def locked(request: ApprovalRequest) -> ApprovalRequest:
    """Lock a request, and its model before it; return it as it is now."""
    if request.model_id is not None:
        subjects.lock(request.model_id)
    requests = ApprovalRequest.objects.select_for_update(of=("self",), no_key=True)
    return requests.select_related(
        "model", "version__model", "draft__policy", "evidence", "policy_version"
    ).get(pk=request.pk)


def changes_of(request: ApprovalRequest) -> list[Difference]:
    """Return what has changed since a request was made; nothing if it is as it was."""
    now = subjects.of_request(request)
    if subjects.digest_of(now) == request.digest:
        return []
    found = subjects.differences(request.subject, now)
    return found or [Difference("subject", request.digest, subjects.digest_of(now))]


@deed
def end(
    request: ApprovalRequest,
    status: Status,
    *,
    outcome: str,
    differences: Iterable[Difference] = (),
    actor: Actor | None,
) -> ApprovalRequest:
    """Close an open request that the caller has locked.

    A version that waited for this approval is a draft again, or rejected.
    """
    request.status = status
    request.outcome = outcome
    request.difference = [one.to_json() for one in differences]
    request.decided_at = timezone.now()
    request.save(update_fields=["status", "outcome", "difference", "decided_at"])
    if request.kind == ApprovalRequest.Kind.DEPLOY:
        is_refused = status == Status.REJECTED
        after = (
            ModelVersion.Status.REJECTED if is_refused else ModelVersion.Status.DRAFT
        )
        ModelVersion.objects.filter(requests=request, status__in=_WAITING).update(
            status=after
        )
    record(
        request.organization_id,
        actor=actor,
        action=f"approval.{status.value}",
        object=request,
        reason=outcome,
        after={"status": status.value, "difference": request.difference},
        policy_version=request.policy_version_id,
        approval_id=request.pk,
    )
    tell(request, f"{request.label}: {request.get_status_display().lower()}")
    return request


def tell(
    request: ApprovalRequest,
    subject: str,
    *,
    event: str = "decided",
    people: Iterable[int] = (),
    **more: Any,
) -> None:
    """Put a message about a request into the outbox; without people to its author."""
    Notification.objects.create(
        organization_id=request.organization_id,
        event=f"approval.{event}",
        version_id=request.version_id,
        subject=subject[:500],
        payload={
            "request": request.pk,
            "kind": request.kind,
            "status": request.status,
            "label": request.label,
            "outcome": request.outcome,
            "recipients": sorted(people) or [request.requested_by_id],
            **more,
        },
    )


@deed
def withdraw(
    request: ApprovalRequest, *, reason: str = "", actor: Actor
) -> ApprovalRequest:
    """Take a request back; only who made it can, by whichever credential.

    Raises AlreadyDecidedError if it isn't open any more.
    """
    request = locked(request)
    own: set[int | None] = {request.requested_by_id}
    if request.requested_with is not None:
        own |= {request.requested_with.owner_id, request.requested_with.created_by_id}
    if actor.user_id not in own:
        authority.refuse(
            request, "who made the request", action="approval.withdrawn", actor=actor
        )
    if not request.is_open:
        word = request.get_status_display().lower()
        raise AlreadyDecidedError(f"The request is {word}.")
    return end(request, Status.WITHDRAWN, outcome=reason, actor=actor)


@deed
def make_stale(request: ApprovalRequest, *, actor: Actor | None) -> bool:
    """End a request whose subject has changed; tell whether it had.

    So does one that is approved, but not applied, and whose votes don't count any more.
    """
    request = locked(request)
    if not request.is_open:
        return False
    differences = changes_of(request)
    lacking = request.status == Status.APPROVED and quorums.shortfalls(request)
    if not differences and not lacking:
        return False
    end(
        request,
        Status.STALE,
        outcome=stale_sentence(differences) if differences else " ".join(lacking or []),
        differences=differences,
        actor=actor,
    )
    return True


@deed
def expire(request: ApprovalRequest, *, actor: Actor | None) -> bool:
    """End a request whose time is over; tell whether it was."""
    request = locked(request)
    if not request.is_open or request.expires_at > timezone.now():
        return False
    waited = "votes" if request.status == Status.PENDING else "being applied"
    end(
        request,
        Status.EXPIRED,
        outcome=f"It waited for {waited} until {request.expires_at:%Y-%m-%d %H:%M}.",
        actor=actor,
    )
    return True


def stale_sentence(differences: Iterable[Difference]) -> str:
    """Say in one sentence what has changed."""
    return f"Since it was asked for, {'; '.join(map(str, list(differences)[:5]))}."


@deed
def void_stale(
    organization_id: int,
    *,
    model_id: int | None,
    sparing: ApprovalRequest | None = None,
    actor: Actor | None,
) -> int:
    """End every open request of a model, or of all, whose subject has changed.

    The votes on them are void. Spared is the one that is being applied. Returns how
    many there were.
    """
    requests = ApprovalRequest.objects.for_organization(organization_id).open()
    requests = requests.exclude(kind=ApprovalRequest.Kind.POLICY)
    if sparing is not None:
        requests = requests.exclude(pk=sparing.pk)
    if model_id is not None:
        requests = requests.filter(model=model_id)
    ordered = requests.order_by("model_id", "pk")  # as all others take their locks
    return sum(make_stale(one, actor=actor) for one in ordered)
