"""The portfolio: every model of an organization on one page that can be searched."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar

import django_filters
from django.core.paginator import Page, Paginator
from django.db import connection
from django.db.models import (
    Case,
    Count,
    F,
    IntegerField,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Value,
    When,
)
from django.db.models.functions import Coalesce
from django.db.models.lookups import Exact
from django.http import QueryDict
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from governance.admin.charts import Spark, spark_line
from governance.admin.display import Badge, health
from governance.decision import Thresholds
from governance.models import (
    Finding,
    GovernanceStatus,
    ModelVersion,
    Organization,
    PolicyVersion,
    RegisteredModel,
)

PAGE = 50
POINTS = 30  # of a sparkline
ASSESSMENT = "current_version__assessment"
SEVERITY = Case(
    When(**{f"{ASSESSMENT}__status": GovernanceStatus.BLOCKED}, then=Value(3)),
    When(**{f"{ASSESSMENT}__status": GovernanceStatus.AT_RISK}, then=Value(2)),
    When(**{f"{ASSESSMENT}__status": GovernanceStatus.APPROVED}, then=Value(0)),
    default=Value(1),
    output_field=IntegerField(),
)
# Name of the order → what is compared; the id makes every order total.
ORDERS: dict[str, str] = {
    "name": "name",
    "health": "severity",
    "risk": f"{ASSESSMENT}__score",
    "tier": "tier",
    "owner": "owner__email",
    "findings": "open_findings",
    "seen": "current_version__last_prediction_at",
}
DEFAULT_ORDER = "-health"
# The id's index leads to a model's newest scores: one short scan for each row.
NEWEST_SCORES = """
    SELECT wanted.id, newest.score FROM unnest(%s::bigint[]) AS wanted (id)
    CROSS JOIN LATERAL (
        SELECT score, computed_at FROM governance_riskscore
        WHERE model_id = wanted.id ORDER BY computed_at DESC LIMIT %s
    ) newest ORDER BY wanted.id, newest.computed_at
"""


class PortfolioFilter(django_filters.FilterSet):  # type: ignore[misc]
    """What the page can be narrowed to; about the version that a model shows."""

    search = django_filters.CharFilter(
        method="containing", label=gettext_lazy("Name, purpose or owner")
    )
    health = django_filters.ChoiceFilter(
        method="of_health",
        choices=GovernanceStatus.choices,
        label=gettext_lazy("Health"),
        empty_label=gettext_lazy("Any health"),
    )
    approval = django_filters.ChoiceFilter(
        field_name="current_version__status",
        choices=ModelVersion.Status.choices,
        label=gettext_lazy("Approval"),
        empty_label=gettext_lazy("Any approval"),
    )
    tier = django_filters.ChoiceFilter(
        method="of_tier",
        choices=RegisteredModel.RiskTier.choices,
        label=gettext_lazy("Risk tier"),
        empty_label=gettext_lazy("Any tier"),
    )
    cadence = django_filters.ChoiceFilter(
        choices=RegisteredModel.Cadence.choices,
        label=gettext_lazy("Cadence"),
        empty_label=gettext_lazy("Any cadence"),
    )

    class Meta:
        model = RegisteredModel
        fields: ClassVar[list[str]] = []

    def containing(
        self, models: QuerySet[RegisteredModel], name: str, value: str
    ) -> QuerySet[RegisteredModel]:
        return models.filter(
            Q(name__icontains=value)
            | Q(slug__icontains=value)
            | Q(purpose__icontains=value)
            | Q(description__icontains=value)
            | Q(external_ref__icontains=value)
            | Q(owner__email__icontains=value)
            | Q(owner__name__icontains=value)
        )

    def of_health(
        self, models: QuerySet[RegisteredModel], name: str, value: str
    ) -> QuerySet[RegisteredModel]:
        if value != GovernanceStatus.NOT_ASSESSED:
            return models.filter(**{f"{ASSESSMENT}__status": value})
        # A model that has never been looked at counts with those that can't be.
        return models.filter(Exact(F("severity"), 1))

    def of_tier(
        self, models: QuerySet[RegisteredModel], name: str, value: str
    ) -> QuerySet[RegisteredModel]:
        return models.filter(Exact(F("tier"), value))


@dataclass(frozen=True, slots=True)
class Row:
    """One model as a line of the table."""

    model: RegisteredModel
    health: Badge
    score: float | None
    spark: Spark | None
    is_silent: bool


@dataclass(frozen=True, slots=True)
class Column:
    """The head of a column, which sorts by it; the second click turns it round."""

    words: str
    address: str
    order: str  # ascending, descending or none, as `aria-sort` has it
    is_number: bool = False


@dataclass(frozen=True, slots=True)
class Portfolio:
    filters: PortfolioFilter
    rows: tuple[Row, ...]
    page: Page[RegisteredModel]
    columns: tuple[Column, ...]
    total: int  # models of the organization, whatever is asked for
    order: str
    previous: str
    following: str


def portfolio(organization: Organization, asked: QueryDict) -> Portfolio:
    """Read one page of an organization's models, in a fixed number of queries.

    What the address asks for and isn't known is left out: a page is never refused.
    """
    models = RegisteredModel.objects.for_organization(organization)
    filters = PortfolioFilter(asked, queryset=_annotated(models))
    found = filters.qs if filters.is_valid() else _annotated(models)
    order = asked.get("order", DEFAULT_ORDER)
    if order.lstrip("-") not in ORDERS:
        order = DEFAULT_ORDER
    page = Paginator(_ordered(found, order), PAGE).get_page(asked.get("page"))
    return Portfolio(
        filters=filters,
        rows=_rows(organization, list(page)),
        page=page,
        columns=_columns(asked, order),
        total=models.count(),
        order=order,
        previous=_address(asked, page=str(page.number - 1)),
        following=_address(asked, page=str(page.number + 1)),
    )


def _annotated(models: QuerySet[RegisteredModel]) -> QuerySet[RegisteredModel]:
    findings = (
        Finding.objects.not_closed()
        .filter(version=OuterRef("current_version"))
        .order_by()
        .values("version")
        .annotate(number=Count("pk"))
        .values("number")
    )
    return models.select_related("owner", ASSESSMENT).annotate(
        severity=SEVERITY,
        open_findings=Coalesce(Subquery(findings), Value(0)),
        # Unset counts as high.
        tier=Case(When(risk_tier="", then=Value("high")), default=F("risk_tier")),
    )


def _ordered(
    models: QuerySet[RegisteredModel], order: str
) -> QuerySet[RegisteredModel]:
    by = F(ORDERS[order.lstrip("-")])
    first = by.desc(nulls_last=True) if order[0] == "-" else by.asc(nulls_last=True)
    risk = F(f"{ASSESSMENT}__score").desc(nulls_last=True)
    return models.order_by(first, risk, "name", "id")


def _rows(organization: Organization, models: list[RegisteredModel]) -> tuple[Row, ...]:
    scores = _newest_scores([model.pk for model in models])
    policy = PolicyVersion.objects.for_organization(organization).in_force().first()
    ages = (policy.thresholds if policy else Thresholds()).maximum_age_hours
    return tuple(_row(model, scores.get(model.pk, []), ages) for model in models)


def _row(model: RegisteredModel, scores: list[float], ages: Any) -> Row:
    version = model.current_version
    assessment = getattr(version, "assessment", None)
    seen = version.last_prediction_at if version else None
    longest = timedelta(hours=ages[model.cadence])
    return Row(
        model=model,
        health=health(assessment.status if assessment else None),
        score=assessment.score if assessment else None,
        spark=spark_line(scores, top=100.0),
        is_silent=seen is not None and timezone.now() - seen > longest,
    )


def _newest_scores(models: list[int]) -> dict[int, list[float]]:
    """Return the newest scores of each model, in order of time."""
    found: dict[int, list[float]] = {}
    with connection.cursor() as cursor:
        cursor.execute(NEWEST_SCORES, [models, POINTS])
        for model, score in cursor.fetchall():
            found.setdefault(model, []).append(score)
    return found


def _columns(asked: QueryDict, order: str) -> tuple[Column, ...]:
    words = {
        "name": _("Model"),
        "health": _("Health"),
        "risk": _("Risk"),
        "tier": _("Tier"),
        "owner": _("Owner"),
        "findings": _("Findings"),
        "seen": _("Last seen"),
    }
    return tuple(
        Column(
            words=text,
            address=_address(asked, order=_turned(name, order)),
            order={name: "ascending", f"-{name}": "descending"}.get(order, "none"),
            is_number=name in {"risk", "findings"},
        )
        for name, text in words.items()
    )


def _turned(name: str, order: str) -> str:
    """Return the order that a click on a column asks for: the worst first."""
    if order in {name, f"-{name}"}:
        return name if order[0] == "-" else f"-{name}"
    return f"-{name}" if name in {"health", "risk", "findings"} else name


def _address(asked: QueryDict, **changes: str) -> str:
    given = asked.copy()
    given.pop("page", None)
    for name, value in changes.items():
        given[name] = value
    return f"?{given.urlencode()}"
