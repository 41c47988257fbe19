"""Votes: one per person, by people, each checked again under lock."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from governance.actions import authority, effects, endings, quorums, submissions
from governance.actions.audit import Actor, deed, record
from governance.exceptions import (
    AlreadyDecidedError,
    ConflictError,
    ExpiredError,
    GovernanceError,
    InvalidError,
    PermissionDeniedError,
    StaleError,
    fault,
)
from governance.identifiers import uuid7
from governance.models import (
    ApprovalRequest,
    ApprovalStage,
    ApprovalVote,
    Delegation,
    ModelVersion,
    StageApprover,
    User,
)

Decision = ApprovalVote.Decision
Status = ApprovalRequest.Status
ACTION = "approval.voted"
ENDINGS = {
    Decision.REJECT: Status.REJECTED,
    Decision.CHANGES_REQUESTED: Status.CHANGES_REQUESTED,
}


@dataclass(frozen=True, slots=True)
class Ballot:
    """What somebody says to a request, and for whom if not for themselves."""

    decision: str
    reason: str = ""
    on_behalf_of: User | None = None
    batch: UUID | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What has become of one of several votes."""

    request: ApprovalRequest
    error: GovernanceError | None = None


def cast(request: ApprovalRequest, ballot: Ballot, *, actor: Actor) -> ApprovalRequest:
    """Vote on a request; return it as it is then.

    What decides it also applies it (`effects.conclude`). A request that turns out to
    be over or about something else now is closed, and the vote refused: ExpiredError,
    StaleError. Otherwise raises AlreadyDecidedError, PermissionDeniedError for who may
    not vote, ConflictError for a second vote, InvalidError without a reason. To
    approve, the actor has just shown who they are (`authority.confirmed`).
    """
    try:
        return _cast(request, ballot, actor=actor)
    except StaleError:
        endings.make_stale(request, actor=None)
        raise
    except ExpiredError:
        endings.expire(request, actor=None)
        raise


def cast_all(
    requests: Iterable[ApprovalRequest], ballot: Ballot, *, actor: Actor
) -> list[Result]:
    """Vote the same on several requests, for one reason.

    Each is a vote of its own, checked again and in the trail; one that is refused
    doesn't hold up the others.
    """
    if not ballot.reason.strip():
        raise InvalidError(
            errors=[fault("reason", code="missing", detail="say why, once for all")]
        )
    together = Ballot(ballot.decision, ballot.reason, ballot.on_behalf_of, uuid7())
    results = []
    for request in requests:
        try:
            results.append(Result(cast(request, together, actor=actor)))
        except GovernanceError as error:
            results.append(Result(request, error))
    return results


@deed
def _cast(request: ApprovalRequest, ballot: Ballot, *, actor: Actor) -> ApprovalRequest:
    decision = Decision(ballot.decision)
    request = endings.locked(request)
    _check_request(request)
    _check_voter(request, actor)
    if decision == Decision.APPROVE:
        authority.require_confirmation(request, action=ACTION, actor=actor)
    elif not ballot.reason.strip():
        raise InvalidError(
            errors=[fault("reason", code="missing", detail="a refusal needs a reason")]
        )
    stage = request.stages.get(number=request.stage)
    voter, approver, delegation = _approver(request, stage, ballot, actor)
    _refuse_second(request, approver, actor)
    if decision == Decision.APPROVE:
        _refuse_to_strand(request, stage, {voter, approver.user_id}, actor)
    vote = ApprovalVote(
        organization_id=request.organization_id,
        request=request,
        stage=stage,
        decision=decision,
        reason=ballot.reason,
        voter_id=voter,
        voter_label=actor.label[:300],
        principal_id=approver.user_id,
        principal_label=approver.label,
        delegation=delegation,
        role=approver.role,
        proof=actor.auth_method,
        batch=ballot.batch,
    )
    _store(vote, actor=actor)
    _remember(vote, actor=actor)
    if decision in ENDINGS:
        return endings.end(
            request, ENDINGS[decision], outcome=ballot.reason, actor=actor
        )
    return _go_on(request, actor=actor)


def _store(vote: ApprovalVote, *, actor: Actor) -> None:
    """Store a vote; the database says no if the voter was removed at this moment."""
    try:
        with transaction.atomic():
            vote.save()
    except IntegrityError:
        needed = "somebody who may still vote"
        authority.refuse(vote.request, needed, action=ACTION, actor=actor)


def _check_request(request: ApprovalRequest) -> None:
    if request.status != Status.PENDING:
        word = request.get_status_display().lower()
        raise AlreadyDecidedError(
            f"The request is {word}; no more votes count.",
            extra={"status": request.status},
        )
    if request.expires_at <= timezone.now():
        raise ExpiredError("The request has expired; it has to be made anew.")
    if changed := endings.changes_of(request):
        raise StaleError(
            endings.stale_sentence(changed),
            extra={"difference": [one.to_json() for one in changed]},
        )


def _check_voter(request: ApprovalRequest, actor: Actor) -> None:
    """Refuse keys, and everybody whose own doing this is."""
    if actor.type != "user" or actor.user_id is None:
        authority.refuse(request, "a person", action=ACTION, actor=actor)
    if actor.user_id in request.barred:
        needed = "somebody who neither asked for it nor made or changed it"
        authority.refuse(request, needed, action=ACTION, actor=actor)


def _approver(
    request: ApprovalRequest, stage: ApprovalStage, ballot: Ballot, actor: Actor
) -> tuple[int, StageApprover, Delegation | None]:
    """Return who votes, whose vote in the open stage this is, and by which delegation.

    Both the approver and who stands in for them must have had the role when the stage
    opened, and still have it.
    """
    principal = ballot.on_behalf_of.pk if ballot.on_behalf_of else actor.user_id
    approver = stage.approvers.filter(user=principal).first()
    if approver is None or principal not in quorums.voters(
        stage, since=stage.opened_at
    ):
        needed = f"one of those who may vote in stage {stage.number}: {stage.who}"
        authority.refuse(request, needed, action=ACTION, actor=actor)
    if approver is None or stage.opened_at is None or actor.user_id is None:
        raise PermissionDeniedError
    if principal == actor.user_id:
        return actor.user_id, approver, None
    delegation = (
        Delegation.objects.for_organization(request.organization_id)
        .in_effect()
        .filter(delegator=principal, delegate=actor.user_id, role=approver.role)
        .first()
    )
    is_able = quorums.holds(
        actor.user_id,
        request.organization_id,
        approver.role,
        since=stage.opened_at,
    )
    if delegation is None or not is_able:
        needed = f"a delegation by {approver.label} to somebody with the same role"
        authority.refuse(request, needed, action=ACTION, actor=actor)
    return actor.user_id, approver, delegation


def _refuse_second(
    request: ApprovalRequest, approver: StageApprover, actor: Actor
) -> None:
    """Refuse whoever has voted before, in any stage and on whosever behalf."""
    people = {actor.user_id, approver.user_id}
    for vote in request.votes.all():
        if people & {vote.voter_id, vote.principal_id}:
            _note_refusal(request, "voted before", actor)
            raise ConflictError(
                f"{vote.voter_label} has voted for {vote.principal_label} already; "
                "everybody has one vote over all stages."
            )


def _refuse_to_strand(
    request: ApprovalRequest, stage: ApprovalStage, people: set[int], actor: Actor
) -> None:
    """Refuse a vote of somebody without whom another stage finds its quorum no more."""
    after = quorums.remaining(request, used=people, at_stage=stage.number)
    if quorums.is_reachable(after):
        return
    # Where people are missing anyway, this vote is not what strands it.
    if not quorums.is_reachable(quorums.remaining(request)):
        return
    _note_refusal(request, "needed in another stage", actor)
    raise ConflictError(
        f"This vote is needed in another stage than {stage.number}: everybody has one "
        "vote over all stages, and there the others are too few. Let one of them vote "
        "here."
    )


def _note_refusal(request: ApprovalRequest, reason: str, actor: Actor) -> None:
    record(
        request.organization_id,
        actor=actor,
        action=ACTION,
        object=request,
        outcome="denied",
        reason=reason,
        approval_id=request.pk,
    )


def _remember(vote: ApprovalVote, *, actor: Actor) -> None:
    request = vote.request
    is_own = vote.voter_id == vote.principal_id
    record(
        vote.organization_id,
        actor=actor,
        action=ACTION,
        object=request,
        reason=vote.reason,
        after={
            "decision": vote.decision,
            "stage": str(vote.stage),
            "role": vote.role,
            "on_behalf_of": None if is_own else vote.principal_label,
            "digest": request.digest,
            "batch": vote.batch,
        },
        facts={"proof": vote.proof, "vote": vote.pk, "digest": request.digest},
        policy_version=request.policy_version_id,
        approval_id=request.pk,
    )


def _go_on(request: ApprovalRequest, *, actor: Actor) -> ApprovalRequest:
    """Go to the first stage whose quorum isn't there; if there is none, decide.

    That is an earlier stage again where a vote doesn't count any more, because its
    voter was removed meanwhile.
    """
    if request.kind == ApprovalRequest.Kind.DEPLOY:
        ModelVersion.objects.filter(
            requests=request, status=ModelVersion.Status.SUBMITTED
        ).update(status=ModelVersion.Status.IN_VALIDATION)
    votes = list(request.votes.all())
    for stage in request.stages.all():
        counted = quorums.counted(stage, votes)
        if len({vote.principal_id for vote in counted}) < stage.quorum:
            _turn_to(request, stage, actor=actor)
            return request
        if stage.completed_at is None:
            stage.completed_at = timezone.now()
            stage.save(update_fields=["completed_at"])
    return effects.conclude(request, actor=actor)


def _turn_to(request: ApprovalRequest, stage: ApprovalStage, *, actor: Actor) -> None:
    if stage.opened_at is None:
        submissions.open_stage(request, stage, actor=actor)
    elif request.stage != stage.number:
        request.stage = stage.number
        request.save(update_fields=["stage"])
