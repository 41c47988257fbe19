"""One request for approval, with all that a decision on it needs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from driftguard.portal import approvals
from driftguard.portal.clocks import countdown
from driftguard.portal.gates import GatePanel, check_panel
from governance.actions import discussions, endings, quorums, subjects
from governance.actions.subjects import Difference
from governance.admin.display import Badge, health
from governance.admin.tenancy import Seat
from governance.models import (
    ApiKey,
    ApprovalRequest,
    ApprovalStage,
    ApprovalVote,
    ApprovedSubject,
    Delegation,
    RiskScore,
    StageApprover,
    User,
)

Status = ApprovalRequest.Status
Kind = ApprovalRequest.Kind
SAID = {
    ApprovalVote.Decision.APPROVE: ("good", "thumb_up"),
    ApprovalVote.Decision.REJECT: ("bad", "thumb_down"),
    ApprovalVote.Decision.CHANGES_REQUESTED: ("warn", "edit_note"),
}
# Another version is another one in these, which says nothing.
NO_DIFFERENCE = ("version.id", "version.version", "evidence")


@dataclass(frozen=True, slots=True)
class Approver:
    """Somebody whom a stage asks, and what they said."""

    label: str
    vote: ApprovalVote | None
    badge: Badge


@dataclass(frozen=True, slots=True)
class Step:
    """A stage of the request."""

    stage: ApprovalStage
    have: int
    badge: Badge
    clock: Badge | None
    people: tuple[Approver, ...]


@dataclass(frozen=True, slots=True)
class Message:
    """Something that was said: the reason, a comment, or a vote."""

    who: str
    at: datetime
    text: str
    badge: Badge | None = None
    on_behalf_of: str = ""


@dataclass(frozen=True, slots=True)
class Ballots:
    """For whom somebody may vote now; or why for nobody."""

    people: tuple[StageApprover, ...] = ()
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class Review:
    """The page of one request, for one person."""

    request: ApprovalRequest
    badge: Badge
    next: str
    steps: tuple[Step, ...]
    ballots: Ballots
    can_withdraw: bool
    can_comment: bool
    changed: tuple[Difference, ...]  # since it was asked for
    previous: ApprovedSubject | None
    differences: tuple[Difference, ...]  # to what was approved before
    score: RiskScore | None  # by the evidence that was chosen
    score_badge: Badge | None
    gate: GatePanel | None
    messages: tuple[Message, ...]


def review(request: ApprovalRequest, seat: Seat) -> Review:
    """Read the page of a request as it is at this moment."""
    previous, differences = _difference(request)
    score = _score(request)
    return Review(
        request=request,
        badge=approvals.state(request),
        next=approvals.next_step(request),
        steps=tuple(_step(request, stage) for stage in request.stages.all()),
        ballots=ballots(request, seat.user),
        can_withdraw=request.is_open and seat.user.pk in _askers(request),
        can_comment=seat.has_one_of(discussions.MAY_COMMENT),
        changed=_changed(request),
        previous=previous,
        differences=differences,
        score=score,
        score_badge=health(score.governance_status) if score else None,
        gate=_gate(request),
        messages=tuple(sorted(_messages(request), key=lambda one: one.at)),
    )


def _askers(request: ApprovalRequest) -> set[int | None]:
    key = request.requested_with
    more = () if key is None else (key.owner_id, key.created_by_id)
    return {request.requested_by_id, *more}


def ballots(request: ApprovalRequest, user: User) -> Ballots:
    """Tell for whom a person may vote on a request now, as `votes.cast` checks it."""
    stage = approvals.open_stage(request)
    if stage is None:
        return Ballots()
    if user.pk in request.barred:
        return Ballots(
            why_not=_(
                "You asked for this, or made or last changed what it is about: "
                "somebody else has to decide."
            )
        )
    said = approvals.have_voted(request)
    if user.pk in said:
        return Ballots(
            why_not=_("Your vote is cast. Everybody has one vote over all stages.")
        )
    able = quorums.voters(stage, since=stage.opened_at)
    asked = {
        one.user_id: one
        for one in stage.approvers.all()
        if one.user_id in able and one.user_id not in said
    }
    found = [asked[user.pk]] if user.pk in asked else []
    found += _on_behalf(stage, asked, user)
    if found:
        return Ballots(tuple(found))
    return Ballots(why_not=_why_not(stage))


def _on_behalf(
    stage: ApprovalStage, asked: dict[int, StageApprover], user: User
) -> list[StageApprover]:
    rows = Delegation.objects.for_organization(stage.organization_id).in_effect()
    return [
        approver
        for one in rows.filter(delegate=user)
        if (approver := asked.get(one.delegator_id)) is not None
        and approver.role == one.role
        and quorums.holds(
            user.pk, stage.organization_id, one.role, since=stage.opened_at
        )
    ]


def _why_not(stage: ApprovalStage) -> str:
    names = approvals.names_of([one.label for one in stage.approvers.all()])
    return _(
        "Stage %(stage)s is decided by %(who)s who could vote when it opened: "
        "%(names)s."
    ) % {"stage": stage.number, "who": stage.who, "names": names}


def _step(request: ApprovalRequest, stage: ApprovalStage) -> Step:
    votes = [one for one in request.votes.all() if one.stage_id == stage.pk]
    have = len({one.principal_id for one in quorums.counted(stage, votes)})
    said = {one.principal_id: one for one in votes}
    spent = approvals.have_voted(request)
    is_open = approvals.open_stage(request) == stage
    clock = None
    if is_open and stage.due_at is not None:
        clock = countdown(stage.due_at, stage.opened_at)
    return Step(
        stage=stage,
        have=have,
        badge=_step_badge(stage, have, is_open=is_open),
        clock=clock,
        people=tuple(
            _approver(
                one,
                said.get(one.user_id),
                is_asked=is_open and one.user_id not in spent,
            )
            for one in stage.approvers.all()
        ),
    )


def _step_badge(stage: ApprovalStage, have: int, *, is_open: bool) -> Badge:
    if have >= stage.quorum:
        return Badge("good", "check_circle", _("Complete"))
    if is_open:
        return Badge("warn", "how_to_vote", _("Open"))
    if stage.opened_at is None:
        return Badge("calm", "schedule", _("Not open yet"))
    return Badge("calm", "block", _("Ended"))


def _approver(
    approver: StageApprover, vote: ApprovalVote | None, *, is_asked: bool
) -> Approver:
    if vote is None:
        words = _("is asked") if is_asked else _("no vote of their own")
        return Approver(approver.label, None, Badge("calm", "hourglass_empty", words))
    return Approver(approver.label, vote, said(vote))


def said(vote: ApprovalVote) -> Badge:
    """Show what somebody decided."""
    tone, icon = SAID[ApprovalVote.Decision(vote.decision)]
    words = {
        ApprovalVote.Decision.APPROVE: _("approved"),
        ApprovalVote.Decision.REJECT: _("rejected"),
        ApprovalVote.Decision.CHANGES_REQUESTED: _("requested changes"),
    }
    return Badge(tone, icon, words[ApprovalVote.Decision(vote.decision)])


def _changed(request: ApprovalRequest) -> tuple[Difference, ...]:
    """Return what is another one than when it was asked for."""
    if request.is_open:
        return tuple(endings.changes_of(request))
    return tuple(Difference(**one) for one in request.difference)


def _difference(
    request: ApprovalRequest,
) -> tuple[ApprovedSubject | None, tuple[Difference, ...]]:
    """Return what is approved of the model before this, and what this changes in it."""
    if request.kind != Kind.DEPLOY:
        return None, _proposed(request)
    before = (
        ApprovedSubject.objects.for_organization(request.organization_id)
        .filter(version__model=request.model_id, created_at__lt=request.submitted_at)
        .exclude(request=request)
        .select_related("version", "request")
        .first()
    )
    if before is None:
        return None, ()
    found = subjects.differences(before.subject, request.subject)
    return before, tuple(one for one in found if not one.path.startswith(NO_DIFFERENCE))


def _proposed(request: ApprovalRequest) -> tuple[Difference, ...]:
    """Return what a change would make of what was there when it was asked for."""
    if request.kind == Kind.POLICY and request.draft is not None:
        return _policy_changes(request)
    if request.kind != Kind.CHANGE:
        return ()
    model: dict[str, Any] = request.subject.get("model") or {}
    version: dict[str, Any] = request.subject.get("version") or {}
    before: dict[str, Any] = {
        "risk_tier": model.get("risk_tier"),
        "label_horizon": {
            "min": model.get("label_horizon_min"),
            "max": model.get("label_horizon_max"),
        },
        "schema": version.get("schema"),
    }
    wanted = request.proposal
    return tuple(
        subjects.differences({name: before.get(name) for name in wanted}, wanted)
    )


def _policy_changes(request: ApprovalRequest) -> tuple[Difference, ...]:
    draft = request.draft
    replaced = request.subject.get("replaces") or {"id": 0}
    if draft is None:
        return ()
    before = draft.policy.versions.filter(pk=replaced["id"]).first()
    return tuple(subjects.differences(before.content if before else {}, draft.content))


def _score(request: ApprovalRequest) -> RiskScore | None:
    if request.evidence_id is None:
        return None
    rows = RiskScore.objects.for_organization(request.organization_id)
    return rows.filter(evidence=request.evidence_id).first()


def _gate(request: ApprovalRequest) -> GatePanel | None:
    """Ask what the gate to production would say of the version."""
    if request.kind != Kind.DEPLOY or request.version is None:
        return None
    return check_panel(request.version, ApiKey.Environment.PRODUCTION)


def _messages(request: ApprovalRequest) -> list[Message]:
    found = [
        Message(
            request.requested_by_label,
            request.submitted_at,
            request.reason,
            Badge("calm", "send", _("asked for it")),
        )
    ]
    found += [
        Message(one.author_label, one.created_at, one.text)
        for one in request.comments.all()
    ]
    found += [
        Message(
            one.voter_label,
            one.cast_at,
            one.reason,
            said(one),
            "" if one.voter_id == one.principal_id else one.principal_label,
        )
        for one in request.votes.all()
    ]
    return found
