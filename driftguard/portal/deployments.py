"""What is deployed of a model, what the gate says, and what somebody may do now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from driftguard.portal.clocks import countdown
from driftguard.portal.gates import GatePanel, gate_panel
from governance.actions import (
    authority,
    break_glass,
    deployments,
    intakes,
    override_checks,
    overrides,
    submissions,
    suspensions,
)
from governance.actions.audit import Actor
from governance.admin.display import DEPLOYMENT, OVERRIDE, Badge
from governance.admin.tenancy import Seat
from governance.api.deployment_lists import span_of
from governance.decision.gate import Purpose
from governance.exceptions import InvalidError
from governance.models import (
    ApiKey,
    ApprovalRequest,
    Deployment,
    ModelVersion,
    Override,
    RegisteredModel,
)
from governance.models.deployments import DeploymentQuerySet

MOST_ROWS = 50
WORDS = {
    Purpose.DEPLOY: gettext_lazy("Deploy"),
    Purpose.RESUME: gettext_lazy("Resume"),
    Purpose.ROLLBACK: gettext_lazy("Roll back to it"),
    Purpose.RECENT_ROLLBACK: gettext_lazy("Roll back to it"),
}


@dataclass(frozen=True, slots=True)
class Row:
    """A deployment with its state in words."""

    deployment: Deployment
    badge: Badge
    fallback: str
    # What has to happen by when: of a break-glass, an intake, an override.
    clocks: tuple[tuple[str, Badge], ...] = ()


@dataclass(frozen=True, slots=True)
class Tab:
    """An environment, and what is there."""

    name: str
    words: str
    version: str


@dataclass(frozen=True, slots=True)
class OverrideRow:
    """The override that waits or is in force."""

    override: Override
    badge: Badge
    clock: Badge
    next: str
    approvers: str


@dataclass(frozen=True, slots=True)
class Day:
    """What was live on a day, or at a moment."""

    asked: str
    rows: tuple[Row, ...]
    error: str = ""


@dataclass(frozen=True, slots=True)
class DeploymentPage:
    """A model in one environment, for one person."""

    model: RegisteredModel
    environment: str
    tabs: tuple[Tab, ...]
    current: Row | None
    versions: tuple[ModelVersion, ...]
    version: ModelVersion | None  # the one that the gate is asked about
    gate: GatePanel | None
    before: ModelVersion | None  # where a rollback would lead
    override: OverrideRow | None
    longest_hours: float  # of an override in this tier
    break_glass_hours: float
    history: tuple[Row, ...]
    day: Day | None
    offered: frozenset[str]  # the deeds that this person may do now

    @property
    def is_there(self) -> bool:
        """Whether the chosen version is the one that is deployed here."""
        current = self.current
        return current is not None and current.deployment.version == self.version


def deployment_page(
    model: RegisteredModel,
    version: ModelVersion | None,
    environment: str,
    seat: Seat,
    on: str = "",
) -> DeploymentPage:
    """Read the page; without a version, of the one that is next or there already."""
    rows = _rows(model)
    open_ones = {one.environment: row(one) for one in rows.open()}
    current = open_ones.get(environment)
    chosen = version or _next(model, current)
    gate = gate_panel(chosen, environment) if chosen is not None else None
    override = _override(chosen, environment) if chosen is not None else None
    here = rows.filter(environment=environment)
    history = tuple(row(one) for one in here[:MOST_ROWS])
    controls = gate.asked.policy.thresholds.controls if gate else None
    tier = controls.overrides[model.effective_risk_tier] if controls else None
    glass = controls.break_glass if controls else None
    return DeploymentPage(
        model=model,
        environment=environment,
        tabs=tuple(_tab(one, open_ones.get(one)) for one in ApiKey.Environment.values),
        current=current,
        versions=tuple(model.versions.all()),
        version=chosen,
        gate=gate,
        before=_before(current),
        override=override,
        longest_hours=tier.maximum_hours if tier else 0,
        break_glass_hours=glass.maximum_hours if glass else 0,
        history=history,
        day=_day(here, on) if on else None,
        offered=_offered(model, current, gate, override, seat, is_new=not history),
    )


def _rows(model: RegisteredModel) -> DeploymentQuerySet:
    rows: DeploymentQuerySet = Deployment.objects.for_organization(
        model.organization_id
    )
    return rows.filter(model=model).select_related(
        "version", "fallback_version", "override", "approval"
    )


def row(deployment: Deployment) -> Row:
    fallback = deployments.fallback_json(deployment)
    return Row(
        deployment=deployment,
        badge=DEPLOYMENT[deployment.state],
        fallback=" ".join(filter(None, (fallback["text"], fallback["version"]))),
        clocks=tuple(_clocks(deployment)),
    )


def _clocks(one: Deployment) -> list[tuple[str, Badge]]:
    if not one.is_live:
        return []
    is_unsaid = one.ratified_at is None and one.unratified_at is None
    found = (
        (_("A second person stands by it"), one.ratify_by if is_unsaid else None),
        (_("It ends by itself"), one.until),
        (_("It has to be approved"), one.due_at),
        (
            _("Its override ends"),
            one.override.ends_at if one.override is not None else None,
        ),
    )
    return [(words, countdown(due, one.started_at)) for words, due in found if due]


def _tab(name: str, row: Row | None) -> Tab:
    version = row.deployment.version.version if row else _("nothing")
    return Tab(name, str(ApiKey.Environment(name).label), version)


def _next(model: RegisteredModel, current: Row | None) -> ModelVersion | None:
    """Return the version that is to be deployed next, else the one that is there."""
    approved = model.versions.filter(status=ModelVersion.Status.APPROVED).first()
    chosen = approved or (current.deployment.version if current else None)
    chosen = chosen or model.versions.first()
    if chosen is not None:
        chosen.model = model
    return chosen


def _before(current: Row | None) -> ModelVersion | None:
    if current is None:
        return None
    one = current.deployment
    return deployments.default_fallback(one.version, one.environment).version


def _override(version: ModelVersion, environment: str) -> OverrideRow | None:
    found = (
        Override.objects.for_organization(version.organization_id)
        .open()
        .filter(version=version, environment=environment)
        .select_related("version__model")
        .order_by("-pk")
        .first()
    )
    if found is None:
        return None
    roles = override_checks.approver_roles(found)
    return OverrideRow(
        override=found,
        badge=OVERRIDE[Override.Status(found.status)],
        clock=countdown(found.expires_at, found.activated_at),
        next=overrides.NEXT[overrides.Status(found.status)],
        approvers=_(" or ").join(role.replace("_", " ") for role in roles),
    )


def _day(rows: DeploymentQuerySet, on: str) -> Day:
    try:
        found = rows.between(*span_of(on))
    except InvalidError as error:
        return Day(on, (), error.errors[0]["detail"])
    return Day(on, tuple(row(one) for one in found.order_by("started_at")))


def _offered(
    model: RegisteredModel,
    current: Row | None,
    gate: GatePanel | None,
    override: OverrideRow | None,
    seat: Seat,
    *,
    is_new: bool,
) -> frozenset[str]:
    """Name the deeds that this person may do here; each deed checks it again."""
    found = {*_stops(current, seat), *_decisions(override, seat)}
    if gate is None or model.retired_at is not None:
        return frozenset(found)
    if seat.has_one_of(deployments.MAY_DEPLOY) and _would_change(gate):
        found.add("deploy")
    retiring = model.requests.open().filter(kind=ApprovalRequest.Kind.RETIRE)
    if seat.has_one_of(submissions.MAY_SUBMIT) and not retiring.exists():
        found.add("retire")
    if not gate.is_open:
        found |= set(_exceptions(gate, override, seat, is_new=is_new))
    return frozenset(found)


def _exceptions(
    gate: GatePanel, override: OverrideRow | None, seat: Seat, *, is_new: bool
) -> Iterator[str]:
    """Name the ways past a closed gate that this person may ask for."""
    is_waiting = override is not None and not override.override.is_in_force()
    if gate.overridable and not is_waiting and seat.has_one_of(overrides.REQUESTERS):
        yield "override"
    glass = gate.asked.policy.thresholds.controls.break_glass
    if glass.allowed and seat.has_one_of(break_glass.MAY_BREAK):
        yield "break-glass"
    is_candidate = gate.asked.version.status not in intakes.NO_CANDIDATE
    if is_new and is_candidate and seat.has_one_of(intakes.MAY_ADOPT):
        yield "adopt"


def _would_change(gate: GatePanel) -> bool:
    """Tell whether deploying is possible, and would be another deployment."""
    current = gate.asked.current
    if not gate.is_open:
        return False
    if current is None or current.version_id != gate.asked.version.pk:
        return True
    # What is there under an override needs it no more once the gate is open without.
    is_freed = current.override_id is not None and gate.asked.used_override is None
    is_provisional = current.kind in deployments.PROVISIONAL
    return current.is_suspended or is_provisional or is_freed


def _stops(current: Row | None, seat: Seat) -> set[str]:
    found: set[str] = set()
    if current is None:
        return found
    one = current.deployment
    if one.is_live and seat.has_one_of(suspensions.MAY_SUSPEND):
        found.add("suspend")
    is_open = one.ratify_by is not None and not (one.ratified_at or one.unratified_at)
    if (
        is_open
        and one.requested_by_id != seat.user.pk
        and seat.has_one_of(break_glass.MAY_RATIFY)
    ):
        found.add("ratify")
    return found


def _decisions(override: OverrideRow | None, seat: Seat) -> set[str]:
    found: set[str] = set()
    if override is None:
        return found
    one = override.override
    if one.is_waiting and may_decide(one, seat):
        found |= {"approve-override", "reject-override"}
    if one.requested_by_id == seat.user.pk or seat.has_one_of(overrides.REVOKERS):
        found.add("revoke-override")
    if one.is_in_force() and seat.has_one_of(overrides.REQUESTERS):
        found.add("extend-override")
    return found


def may_decide(override: Override, seat: Seat) -> bool:
    """Tell whether a person may grant an override: by role, and as another one."""
    person = Actor("user", user_id=seat.user.pk)
    is_another = authority.people_behind(person).isdisjoint(
        {override.requested_by_id, *override.barred}
    )
    return is_another and seat.has_one_of(override_checks.approver_roles(override))


def overrides_to_decide(seat: Seat) -> list[Override]:
    """Return the overrides that this person may decide on, the oldest first."""
    waiting = (
        Override.objects.for_organization(seat.organization)
        .waiting()
        .select_related("version__model")
        .order_by("requested_at", "pk")
    )
    return [one for one in waiting[:MOST_ROWS] if may_decide(one, seat)]
