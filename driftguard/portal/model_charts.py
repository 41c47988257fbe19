"""The charts of a model's page, read from what was recorded; nothing is measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from typing import Any

from django.db import connection
from django.urls import reverse
from django.utils.translation import gettext as _

from driftguard.portal.charts import Chart, Limit, Row
from driftguard.portal.model_tables import features_table, quality_table, report
from governance.admin.addresses import changelist
from governance.admin.display import health, measured
from governance.decision import Thresholds
from governance.models import GovernanceStatus, ModelVersion, RegisteredModel, RiskScore
from monitoring.admin.model_outcomes import METRICS
from monitoring.admin.model_page import SCORE
from monitoring.models import PerformanceResult, Prediction

Json = Mapping[str, Any]
Period = PerformanceResult.Period
MOST_POINTS = 300
MOST_DAYS = 60
MOST_FEATURES = 40
SCORE_KEY = "__score__"
# Of models that are judged by the week or the month, a day is no period.
PERIODS = {
    RegisteredModel.Cadence.WEEKLY: Period.WEEK,
    RegisteredModel.Cadence.MONTHLY: Period.WEEK,
}
LENGTHS = {Period.DAY: timedelta(days=1), Period.WEEK: timedelta(weeks=1)}
# PSI only, of the newest days: a day view holds every algorithm's score.
READINGS = """
    SELECT day, feature.key, (feature.value -> 'psi' ->> 0)::float8
    FROM (
        SELECT day, readings FROM monitoring_dayview
        WHERE organization_id = %s AND version_id = %s ORDER BY day DESC LIMIT %s
    ) newest, jsonb_each(readings) feature
    WHERE feature.value ? 'psi' ORDER BY day
"""


def risk_chart(version: ModelVersion, policy: Thresholds) -> Chart:
    """Show the risk index over time, as the sum of its weighted terms."""
    names = ("computed_at", "score", "drift_component", "fairness_component")
    told = ("governance_status", "evidence_id")
    weights = ("terms__drift_weight", "terms__fairness_weight")
    scores = RiskScore.objects.for_organization(version.organization_id)
    found = list(
        scores.filter(model=version.model_id, version=version).values_list(
            *names, *told, *weights
        )[:MOST_POINTS]
    )
    rows = []
    for at, score, drift, fairness, status, evidence, *shares in reversed(found):
        parts = [_part(*one) for one in zip((drift, fairness), shares, strict=True)]
        address = reverse("admin:governance_evidence_change", args=[evidence])
        cells = (_moment(at), score, *parts, health(status).words)
        rows.append(Row(cells, address))
    index = policy.index
    return Chart(
        name="risk",
        kind="risk",
        words=_(
            "Risk index over time from 0 to 100, with its drift and fairness parts"
        ),
        columns=(
            _("Computed (UTC)"),
            _("Risk index"),
            _("Drift part"),
            _("Fairness part"),
            _("Health"),
        ),
        rows=tuple(rows),
        limits=(
            Limit(index.mild, health(GovernanceStatus.AT_RISK).words, "warn"),
            Limit(index.serious, health(GovernanceStatus.BLOCKED).words, "bad"),
        ),
    )


def _part(component: float | None, weight: float | None) -> float | None:
    return None if component is None or weight is None else component * weight


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}"


def drift_chart(version: ModelVersion, policy: Thresholds) -> Chart:
    """Show the PSI of each feature on each recorded day, the largest first."""
    with connection.cursor() as cursor:
        cursor.execute(READINGS, [version.organization_id, version.pk, MOST_DAYS])
        readings = cursor.fetchall()
    days: list[date] = sorted({day for day, _name, _psi in readings})
    psi: dict[str, dict[date, float]] = {}
    for day, name, value in readings:
        psi.setdefault(name, {})[day] = value
    names = sorted(psi, key=lambda name: (-max(psi[name].values()), name))
    limits = policy.algorithms["psi"]
    address = changelist_of_drift(version)
    return Chart(
        name="drift",
        kind="heat",
        words=_(
            "Heat map of PSI: features from top to bottom, days from left to right"
        ),
        columns=(_("Feature"), *(f"{day:%Y-%m-%d}" for day in days)),
        rows=tuple(
            Row(
                (_named(name), *(psi[name].get(day) for day in days)),
                address,
            )
            for name in names[:MOST_FEATURES]
        ),
        limits=(
            Limit(limits.mild, measured("warning").words, "warn"),
            Limit(limits.serious, measured("alert").words, "bad"),
        ),
    )


def _named(name: str) -> str:
    return SCORE if name == SCORE_KEY else name


def changelist_of_drift(version: ModelVersion) -> str:
    """Return the address of the results that analysed the version's windows."""
    name = "admin:monitoring_driftresult_changelist"
    return f"{reverse(name)}?model={version.model_id}"


def performance_chart(version: ModelVersion, policy: Thresholds) -> Chart:
    """Show the primary metric by period: by the labels, and estimated without them."""
    live = report(version, "performance")
    metric = live.get("primary_metric") or "accuracy"
    period = PERIODS.get(RegisteredModel.Cadence(version.model.cadence), Period.DAY)
    recorded = PerformanceResult.objects.for_organization(version.organization_id)
    found = (
        recorded.filter(version=version, period=period, rows__gt=0)
        .order_by("-start")
        .values_list(
            "start",
            "rows",
            "labels",
            f"realized__metrics__{metric}",
            f"estimated__metrics__{metric}",
        )[:MOST_DAYS]
    )
    rows = [
        _performance(version, one, policy, LENGTHS[period]) for one in reversed(found)
    ]
    before = ((live.get("baseline") or {}).get("metrics") or {}).get(metric) or {}
    level = before.get("value")
    words = METRICS.get(metric, metric)
    return Chart(
        name="performance",
        kind="course",
        words=_("%(metric)s over time, realized and estimated, with 95%% intervals")
        % {"metric": words},
        columns=(
            _("Week of (UTC)") if period == Period.WEEK else _("Day (UTC)"),
            _("Predictions"),
            _("Labelled, %"),
            _("Labels"),
            *(_("Realized"), _("from"), _("to")),
            *(_("Estimated"), _("from"), _("to")),
        ),
        rows=tuple(rows),
        limits=() if level is None else (Limit(level, _("Baseline")),),
        options={"metric": words},
    )


def _performance(
    version: ModelVersion, recorded: Any, policy: Thresholds, length: timedelta
) -> Row:
    start, number, labels, realized, estimated = recorded
    share = min(labels / number, 1.0)
    is_mature = share >= policy.label_maturity and labels >= policy.minimum_sample
    address = changelist(
        Prediction,
        model=version.model_id,
        timestamp_from_0=f"{start:%Y-%m-%d}",
        timestamp_from_1="00:00:00",
        timestamp_to_0=f"{start + length - timedelta(days=1):%Y-%m-%d}",
        timestamp_to_1="23:59:59",
    )
    cells = (
        f"{start:%Y-%m-%d}",
        number,
        round(100 * share, 1),
        _("mature") if is_mature else _("still to come"),
        *_with_interval(realized),
        *_with_interval(estimated),
    )
    return Row(cells, address)


def _with_interval(metric: Json | None) -> tuple[float | None, ...]:
    found = metric or {}
    return tuple(found.get(name) for name in ("value", "low", "high"))


def fairness_chart(version: ModelVersion, policy: Thresholds) -> Chart:
    """Show how often each group gets the favourable outcome."""
    fairness = report(version, "fairness")
    address = reverse("admin:governance_modelversion_change", args=[version.pk])
    rows = [
        Row(
            (
                f"{attribute['attribute']} = {group['group']}",
                group["n"],
                group["selection_rate"],
                *(group[name] for name in ("ratio", "ratio_low", "ratio_high")),
                group["accuracy"],
            ),
            address,
        )
        for attribute in fairness.get("attributes") or ()
        for group in attribute["groups"]
    ]
    return Chart(
        name="fairness",
        kind="ranges",
        words=_("Ratio of each group's favourable outcomes to the best-off group's"),
        columns=(
            _("Group"),
            _("Rows"),
            _("Favourable, share"),
            *(_("Ratio"), _("from"), _("to")),
            _("Accuracy"),
        ),
        rows=tuple(rows),
        limits=(Limit(policy.fairness_minimum, _("Minimum"), "bad"),),
    )


DRAWN: Mapping[str, Callable[[ModelVersion, Thresholds], Chart]] = {
    "risk": risk_chart,
    "drift": drift_chart,
    "performance": performance_chart,
    "fairness": fairness_chart,
}
# What can be taken as a file.
TABLES = {**DRAWN, "features": features_table, "quality": quality_table}


def charts(version: ModelVersion, policy: Thresholds) -> dict[str, Chart]:
    """Read what is drawn of a version, in a fixed number of queries."""
    return {name: read(version, policy) for name, read in DRAWN.items()}
