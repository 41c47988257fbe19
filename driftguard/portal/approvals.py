"""Requests for approval: those that wait for me first, then all there ever were."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, cast

import django_filters
from django.core.paginator import Page, Paginator
from django.db.models import Q, QuerySet
from django.forms import DateInput
from django.http import QueryDict
from django.utils.text import get_text_list
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from driftguard.portal.addresses import page_address
from driftguard.portal.clocks import countdown
from driftguard.portal.deployments import overrides_to_decide
from governance.admin.display import Badge
from governance.admin.tenancy import Seat
from governance.models import (
    ApprovalRequest,
    ApprovalStage,
    ApprovalVote,
    Delegation,
    Organization,
    Override,
)

PAGE = 50
MOST_NAMES = 3
Status = ApprovalRequest.Status
Kind = ApprovalRequest.Kind
STATES = {
    Status.PENDING: ("warn", "how_to_vote", gettext_lazy("Waits for votes")),
    Status.APPROVED: ("good", "schedule", gettext_lazy("Approved, not applied")),
    Status.APPLIED: ("good", "verified", gettext_lazy("Approved")),
    Status.REJECTED: ("bad", "cancel", gettext_lazy("Rejected")),
    Status.CHANGES_REQUESTED: ("warn", "edit_note", gettext_lazy("Changes requested")),
    Status.WITHDRAWN: ("calm", "undo", gettext_lazy("Withdrawn")),
    Status.EXPIRED: ("calm", "event_busy", gettext_lazy("Expired")),
    Status.STALE: ("calm", "difference", gettext_lazy("Stale")),
}
# What becomes of a request that is over; the kind says what its approval was for.
AFTER = {
    Kind.DEPLOY: gettext_lazy("Next, the model's owner deploys it."),
    Kind.CHANGE: gettext_lazy("The change is in force."),
    Kind.POLICY: gettext_lazy("The policy is in force."),
    Kind.RETIRE: gettext_lazy("The model is retired."),
}
OVER = {
    Status.REJECTED: gettext_lazy(
        "%(who)s can mend what was refused, and ask again with a new request."
    ),
    Status.CHANGES_REQUESTED: gettext_lazy(
        "%(who)s makes the changes that were asked for, and then asks again."
    ),
    Status.WITHDRAWN: gettext_lazy("%(who)s took it back, and can ask again."),
    Status.EXPIRED: gettext_lazy(
        "Its time is over. If it is still wanted, %(who)s asks again."
    ),
    Status.STALE: gettext_lazy(
        "What it was about has changed, so its votes are void. "
        "%(who)s asks again for what is there now."
    ),
}


class RequestFilter(django_filters.FilterSet):  # type: ignore[misc]
    """What the list can be narrowed to."""

    search = django_filters.CharFilter(
        method="containing", label=gettext_lazy("Subject or person")
    )
    status = django_filters.ChoiceFilter(
        choices=Status.choices,
        label=gettext_lazy("State"),
        empty_label=gettext_lazy("Any state"),
    )
    kind = django_filters.ChoiceFilter(
        choices=Kind.choices,
        label=gettext_lazy("Kind"),
        empty_label=gettext_lazy("Any kind"),
    )
    since = django_filters.DateFilter(
        field_name="submitted_at",
        lookup_expr="date__gte",
        label=gettext_lazy("Since"),
        widget=DateInput({"type": "date"}),
    )

    class Meta:
        model = ApprovalRequest
        fields: ClassVar[list[str]] = []

    def containing(
        self, requests: QuerySet[ApprovalRequest], name: str, value: str
    ) -> QuerySet[ApprovalRequest]:
        return requests.filter(
            Q(label__icontains=value)
            | Q(reason__icontains=value)
            | Q(requested_by_label__icontains=value)
        )


@dataclass(frozen=True, slots=True)
class Row:
    """A request as a line of a list, with what happens next."""

    request: ApprovalRequest
    badge: Badge
    clock: Badge | None  # of the open stage
    next: str
    on_behalf_of: str = ""  # for whom the reader may vote, if not for themselves


@dataclass(frozen=True, slots=True)
class Desk:
    """The page of approvals for one person."""

    mine: tuple[Row, ...]  # that wait for this person's vote, the most urgent
    waiting: int  # all of them
    delegated: tuple[Row, ...]  # or for somebody's whom they stand in for
    overrides: tuple[Override, ...]  # that this person may decide on
    asked: tuple[Row, ...]  # open ones that this person asked for
    rows: tuple[Row, ...]
    filters: RequestFilter
    page: Page[ApprovalRequest]
    total: int
    previous: str
    following: str


def desk(seat: Seat, asked: QueryDict) -> Desk:
    """Read the page, in a fixed number of queries (and one for each delegation).

    What the address asks for and isn't known is left out: a page is never refused.
    """
    requests = ApprovalRequest.objects.for_organization(seat.organization)
    filters = RequestFilter(asked, queryset=requests)
    found = filters.qs if filters.is_valid() else requests
    page = Paginator(found.order_by("-submitted_at", "-pk"), PAGE).get_page(
        asked.get("page")
    )
    mine = waiting(seat)
    own = requests.open().filter(requested_by=seat.user)
    return Desk(
        mine=tuple(row(one) for one in mine[:PAGE]),
        waiting=len(mine),
        delegated=tuple(_delegated(seat)),
        overrides=tuple(overrides_to_decide(seat)),
        asked=tuple(row(one) for one in with_stages(own)[:PAGE]),
        rows=tuple(row(one) for one in with_stages(cast(Any, page.object_list))),
        filters=filters,
        page=page,
        total=requests.count(),
        previous=page_address(asked, page.number - 1),
        following=page_address(asked, page.number + 1),
    )


def with_stages(requests: QuerySet[ApprovalRequest]) -> QuerySet[ApprovalRequest]:
    """Read along what `row` needs."""
    return requests.select_related("model", "version").prefetch_related(
        "stages__approvers", "votes"
    )


def waiting(seat: Seat) -> list[ApprovalRequest]:
    """Return what waits for this person's own vote, the most urgent first."""
    requests = ApprovalRequest.objects.for_organization(seat.organization)
    return _urgent(with_stages(requests.waiting_for(seat.user)), seat)


@dataclass(frozen=True, slots=True)
class Todo:
    """What waits for a person, for the command center."""

    rows: tuple[Row, ...]  # the most urgent
    overrides: tuple[Override, ...]
    number: int


def todo(seat: Seat, most: int) -> Todo:
    """Return the most urgent of what a person has to decide, and how much there is."""
    mine, exceptions = waiting(seat), overrides_to_decide(seat)
    return Todo(
        rows=tuple(row(one) for one in mine[:most]),
        overrides=tuple(exceptions[:most]),
        number=len(mine) + len(exceptions),
    )


def _delegated(seat: Seat) -> list[Row]:
    rows = Delegation.objects.for_organization(seat.organization).in_effect()
    found = []
    for one in rows.filter(delegate=seat.user):
        requests = ApprovalRequest.objects.for_organization(seat.organization)
        theirs = with_stages(requests.waiting_for(one.delegator_id))
        found += [
            row(each, on_behalf_of=one.delegator_label)
            for each in _urgent(theirs, seat)
            if seat.user.pk not in {*each.barred, *have_voted(each)}
        ]
    return found


def _urgent(requests: QuerySet[ApprovalRequest], seat: Seat) -> list[ApprovalRequest]:
    """Sort by the clock; leave out what a role that was lost would decide."""
    found = [
        (stage, one)
        for one in requests
        if (stage := open_stage(one)) is not None
        and {each.role for each in stage.approvers.all()} & seat.roles
    ]
    found.sort(key=lambda pair: (pair[0].due_at or pair[1].expires_at, pair[1].pk))
    return [one for _, one in found]


def open_stage(request: ApprovalRequest) -> ApprovalStage | None:
    """Return the stage that waits for votes."""
    if request.status != Status.PENDING:
        return None
    stages = request.stages.all()
    return next((one for one in stages if one.number == request.stage), None)


def row(request: ApprovalRequest, *, on_behalf_of: str = "") -> Row:
    stage = open_stage(request)
    clock = None
    if stage is not None and stage.due_at is not None:
        clock = countdown(stage.due_at, stage.opened_at)
    return Row(
        request=request,
        badge=state(request),
        clock=clock,
        next=next_step(request),
        on_behalf_of=on_behalf_of,
    )


def state(request: ApprovalRequest) -> Badge:
    tone, icon, words = STATES[Status(request.status)]
    return Badge(tone, icon, str(words))


def next_step(request: ApprovalRequest) -> str:
    """Say what happens next, and who has to act."""
    status = Status(request.status)
    stage = open_stage(request)
    if stage is not None:
        return _asked_for(request, stage)
    if status == Status.APPROVED:
        words = _("It has its votes, and is applied as soon as that can be.")
        return " ".join(filter(None, (words, request.outcome)))
    if status == Status.APPLIED:
        return str(AFTER[Kind(request.kind)])
    who = {"who": request.requested_by_label}
    return " ".join(filter(None, (OVER[status] % who, _said(request))))


def _said(request: ApprovalRequest) -> str:
    if not request.outcome or request.status == Status.STALE:
        return ""
    return _("Reason: %(reason)s") % {"reason": request.outcome}


def have_voted(request: ApprovalRequest) -> set[int]:
    """Return who has no vote left: theirs is cast, or they cast another's."""
    votes = request.votes.all()
    return {pk for one in votes for pk in (one.voter_id, one.principal_id)}


def _asked_for(request: ApprovalRequest, stage: ApprovalStage) -> str:
    votes = [vote for vote in request.votes.all() if vote.stage_id == stage.pk]
    yes = [one for one in votes if one.decision == ApprovalVote.Decision.APPROVE]
    number = max(stage.quorum - len({one.principal_id for one in yes}), 1)
    said = have_voted(request)
    able = [one.label for one in stage.approvers.all() if one.user_id not in said]
    words = ngettext(
        "Stage %(stage)s of %(stages)s waits for %(number)s vote of %(names)s.",
        "Stage %(stage)s of %(stages)s waits for %(number)s votes of %(names)s.",
        number,
    )
    return words % {
        "stage": stage.number,
        "stages": len(request.stages.all()),
        "number": number,
        "names": names_of(able) or stage.who,
    }


def names_of(labels: list[str]) -> str:
    """Name some people, and count the others."""
    shown = labels[:MOST_NAMES]
    more = len(labels) - len(shown)
    if more:
        shown.append(
            ngettext("%(number)s more", "%(number)s more", more) % {"number": more}
        )
    return get_text_list(shown, _("or"))


def of(organization: Organization) -> QuerySet[ApprovalRequest]:
    """Return the requests of an organization, with what the page of one shows."""
    requests = ApprovalRequest.objects.for_organization(organization)
    return with_stages(requests).select_related(
        "model__owner", "version__model", "evidence", "policy_version__policy", "draft"
    )
