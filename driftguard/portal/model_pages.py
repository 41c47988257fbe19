"""The page of a model: its state, why it is so, and what happened to it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from driftguard.portal.charts import Chart
from driftguard.portal.model_charts import charts
from driftguard.portal.reasons import Why, why
from driftguard.portal.timelines import Event, timeline
from governance.actions import permits
from governance.admin.display import Badge
from governance.admin.tenancy import TRAIL_READERS, Role, Seat
from governance.exceptions import PermitRefusedError
from governance.models import AuditHead, Deployment, RegisteredModel
from monitoring.actions.alerts import policy_of
from monitoring.admin.model_page import ANALYSTS, ModelPage, model_page
from monitoring.models import LiveResult, Prediction

MOST_DECISIONS = 15
EDITORS = frozenset({Role.OWNER, Role.MODEL_OWNER})


@dataclass(frozen=True, slots=True)
class PermitRow:
    """Whether what is deployed in an environment may serve now."""

    deployment: Deployment
    badge: Badge
    detail: str


@dataclass(frozen=True, slots=True)
class ModelState:
    """Everything that the page shows."""

    page: ModelPage
    why: Why
    charts: dict[str, Chart]
    permits: tuple[PermitRow, ...]
    events: tuple[Event, ...]
    decisions: tuple[Prediction, ...]
    can_edit: bool
    can_analyse: bool
    mark: str  # changes with what the page shows


def model_state(model: RegisteredModel, seat: Seat) -> ModelState:
    """Read the page in a number of queries that grows with nothing but environments."""
    page = model_page(model, with_trail=seat.has_one_of(TRAIL_READERS))
    if page.version is not None:
        page.version.model = model
    opened = list(_open_deployments(model))
    return ModelState(
        page=page,
        why=why(page, opened),
        permits=tuple(_permits(opened)),
        charts=charts(page.version, policy_of(model)) if page.version else {},
        events=timeline(model),
        decisions=_decisions(model),
        can_edit=seat.has_one_of(EDITORS),
        can_analyse=seat.has_one_of(ANALYSTS),
        mark=mark_of(model),
    )


def _decisions(model: RegisteredModel) -> tuple[Prediction, ...]:
    """Return the newest predictions; what they were made from isn't read."""
    rows = Prediction.objects.for_organization(model.organization_id)
    newest = rows.filter(model=model).select_related("version").defer("features")
    return tuple(newest.order_by("-timestamp")[:MOST_DECISIONS])


def mark_of(model: RegisteredModel) -> str:
    """Return what changes with what the page shows, in two small queries.

    Whatever people do stands in the trail; what is measured has its own times. Words
    such as "5 minutes ago" are told anew every five minutes.
    """
    head = AuditHead.objects.filter(pk=model.organization_id)
    measured = LiveResult.objects.for_organization(model.organization_id).filter(
        version=model.current_version_id
    )
    parts = (
        head.values_list("seq", flat=True).first(),
        *measured.values_list("result_id", "version__assessment__evaluated_at"),
        model.current_version_id,
        int(timezone.now().timestamp()) // 300,
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _open_deployments(model: RegisteredModel) -> QuerySet[Deployment]:
    rows: QuerySet[Deployment] = Deployment.objects.for_organization(
        model.organization_id
    )
    return (
        rows.filter(model=model, ended_at=None)
        .select_related(
            "version__model", "fallback_version", "override", "approval", "model"
        )
        .order_by("environment")
    )


def _permits(opened: list[Deployment]) -> Iterator[PermitRow]:
    for deployment in opened:
        try:
            _claims, ends_at = permits.consider(deployment)
        except PermitRefusedError as error:
            badge = Badge("bad", "lock", _("No permit"))
            yield PermitRow(deployment, badge, error.detail)
        else:
            badge = Badge("good", "verified_user", _("Permit given"))
            words = _("one that is asked for now ends at %(at)s, and is given again")
            told = words % {"at": f"{ends_at:%H:%M:%S} UTC"}
            yield PermitRow(deployment, badge, told)
