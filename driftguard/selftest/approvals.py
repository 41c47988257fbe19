"""Votes: of others only, once each, by who may, on what it still is, in time."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from http import HTTPStatus

from django.http import HttpResponseBase
from django.urls import reverse
from django.utils import timezone

from driftguard.selftest.cast import APPROVE, WHY, Cast, Person
from driftguard.selftest.scenarios import Act, Scenario, Trial, sql
from governance.actions import registry, submissions, votes
from governance.actions.audit import Actor
from governance.exceptions import ConflictError
from governance.models import (
    ApprovalRequest,
    ApprovalStage,
    ApprovalVote,
    StageApprover,
)

ALL = votes.Ballot("approve", WHY)


def _vote(request: ApprovalRequest, actor: Actor) -> Act:
    return lambda: votes.cast(request, APPROVE, actor=actor)


def _in_bulk(request: ApprovalRequest, actor: Actor) -> Act:
    def act() -> None:
        (result,) = votes.cast_all([request], ALL, actor=actor)
        if result.error is not None:
            raise result.error

    return act


def _sent(request: ApprovalRequest, person: Person) -> dict[str, Act]:
    """Return how somebody votes on pages and through the API, alone and in bulk."""
    said = {"decision": "approve", "reason": WHY, "password": person.password}
    page = reverse("vote", args=[request.pk])
    path = f"/api/approvals/{request.pk}/vote"
    several = {"requests": str(request.pk), **said}
    return {
        "page": lambda: person.browser.submit(page, said),
        "page, bulk": lambda: person.browser.submit(reverse("decide"), several),
        "API with token": lambda: person.token.post(path, said),
        "API with token, bulk": lambda: _each(
            person.token.post("/api/approvals/decide", {"ids": [request.pk], **said})
        ),
    }


def _each(answer: HttpResponseBase) -> HttpResponseBase:
    """Raise what became of the one vote in an answer about several."""
    if answer.status_code == HTTPStatus.OK:
        (result,) = json.loads(getattr(answer, "content", b""))["results"]
        if result["outcome"] != "done":
            raise ConflictError(result["detail"])
    return answer


def _by_sql(request: ApprovalRequest, person: Person) -> Act:
    """Write the vote of somebody, and name them an approver first."""
    stage = request.stages.get(number=request.stage)

    def act() -> None:
        names = {"organization_id": request.organization_id, "stage": stage}
        known = StageApprover.objects.filter(stage=stage, user=person.user)
        if not known.exists():
            StageApprover.objects.create(
                user=person.user, label="x", role="compliance_officer", **names
            )
        ApprovalVote.objects.create(
            request=request,
            decision="approve",
            voter=person.user,
            voter_label="x",
            principal=person.user,
            principal_label="x",
            role="compliance_officer",
            proof="password",
            **names,
        )

    return act


def _has_votes(request: ApprovalRequest, more_than: int = 0) -> Callable[[], bool]:
    """Tell whether votes were counted, or the request decided without them."""

    def is_through() -> bool:
        status = ApprovalRequest.objects.get(pk=request.pk).status
        is_decided = status in {"approved", "applied"}
        return is_decided or request.votes.count() > more_than

    return is_through


def _by_one_s_own(cast: Cast) -> Trial:
    request, alice = cast.request(), cast.alice
    return Trial(
        {
            "deed": _vote(request, alice.actor),
            "bulk": _in_bulk(request, alice.actor),
            "deed, by the key": _vote(request, cast.key_actor),
            **_sent(request, alice),
            "API with key": lambda: cast.with_key.post(
                f"/api/approvals/{request.pk}/vote",
                {"decision": "approve", "reason": WHY, "password": alice.password},
            ),
            "SQL": _by_sql(request, alice),
            "SQL, without votes": sql(
                "UPDATE governance_approvalrequest SET status = 'approved', "
                "decided_at = now() WHERE id = %s",
                request.pk,
            ),
            "SQL, barring nobody": sql(
                "UPDATE governance_approvalrequest SET barred = '{}' WHERE id = %s",
                request.pk,
            ),
            "SQL, granting it to itself": sql(
                "UPDATE governance_approvalrequest SET auto_approval = '{}', "
                "status = 'approved' WHERE id = %s",
                request.pk,
            ),
            "SQL, a quorum of 0": sql(
                "UPDATE governance_approvalstage SET quorum = 0 WHERE request_id = %s",
                request.pk,
            ),
        },
        _has_votes(request),
        meant=_sent(request, cast.bob)["page"],
    )


def _twice(cast: Cast) -> Trial:
    request = votes.cast(cast.request(), APPROVE, actor=cast.bob.actor)
    return Trial(
        {
            "deed": _vote(request, cast.bob.actor),
            "bulk": _in_bulk(request, cast.bob.actor),
            **_sent(request, cast.bob),
            "SQL": _by_sql(request, cast.bob),
        },
        _has_votes(request, more_than=1),
        meant=_vote(request, cast.frank.actor),
    )


def _by_who_may_not(cast: Cast) -> Trial:
    request = cast.request()
    return Trial(
        {
            "deed": _vote(request, cast.dora.actor),
            "bulk": _in_bulk(request, cast.dora.actor),
            **_sent(request, cast.dora),
            "SQL": _by_sql(request, cast.dora),
            "deed, by a stranger": _vote(request, cast.charlie.actor),
            "SQL, by a stranger": _by_sql(request, cast.charlie),
        },
        _has_votes(request),
        meant=_sent(request, cast.bob)["API with token, bulk"],
    )


def _on_what_has_changed(cast: Cast) -> Trial:
    version = cast.version()
    request = submissions.submit_version(version, actor=cast.alice.actor)
    registry.update(version.model, changes={"risk_tier": "low"}, actor=cast.alice.actor)
    return Trial(
        {
            "deed": _vote(request, cast.bob.actor),
            "bulk": _in_bulk(request, cast.bob.actor),
            **_sent(request, cast.bob),
            "SQL, with another subject": sql(
                "UPDATE governance_approvalrequest SET digest = 'x' WHERE id = %s",
                request.pk,
            ),
        },
        _has_votes(request),
    )


def _after_its_time(cast: Cast) -> Trial:
    """Write a request as one of the past, which is possible; its votes are not."""
    request = cast.request()
    stage = request.stages.get()
    ApprovalRequest.objects.filter(pk=request.pk).update(
        status="withdrawn", decided_at=timezone.now()
    )
    now = timezone.now()
    request.pk, request._state.adding = None, True
    request.submitted_at = now - timedelta(days=15)
    request.expires_at = now - timedelta(days=1)
    request.save()
    approvers = list(stage.approvers.all())
    stage = ApprovalStage.objects.create(
        organization_id=request.organization_id,
        request=request,
        number=1,
        role=stage.role,
        quorum=stage.quorum,
        sla_hours=stage.sla_hours,
        escalate_to=stage.escalate_to,
        opened_at=stage.opened_at,
        due_at=stage.due_at,
    )
    for one in approvers:
        one.pk, one._state.adding, one.stage = None, True, stage
        one.save()
    return Trial(
        {
            "deed": _vote(request, cast.bob.actor),
            "bulk": _in_bulk(request, cast.bob.actor),
            **_sent(request, cast.bob),
            "SQL": _by_sql(request, cast.bob),
            "SQL, put off": sql(
                "UPDATE governance_approvalrequest "
                "SET expires_at = now() + interval '1 day' WHERE id = %s",
                request.pk,
            ),
        },
        _has_votes(request),
    )


SCENARIOS = (
    Scenario("who asked for it votes on it", _by_one_s_own),
    Scenario("somebody votes twice", _twice),
    Scenario("somebody votes who may not", _by_who_may_not),
    Scenario("a vote on what has changed since", _on_what_has_changed),
    Scenario("a vote after its time", _after_its_time),
)
