"""Versions on their way into production, and what measurements make of them."""

from datetime import timedelta
from typing import Any

from django.db import connection
from django.utils import timezone

from governance.actions import registry, risk
from governance.decision import ColumnFacts, Facts, GroupFacts, Measured
from governance.models import Deployment, ModelVersion, Override
from tests import factories
from tests.factories import Person

REASON = "The group has 41 applicants; the retrained model is due."


def make_ready(
    person: Person, *, name: str = "Credit", version: str = "1.0.0", **fields: Any
) -> ModelVersion:
    """Register a version that only lacks its approval."""
    fields = {"risk_tier": "high", **fields}
    made = factories.make_version(person, name=name, version=version, **fields)
    registry.note_baseline(
        made, ref="baseline_x", kind="given", is_labelled=True, actor=person.actor
    )
    return fresh(made)


def make_approved(person: Person, **fields: Any) -> ModelVersion:
    return fresh(factories.approve(make_ready(person, **fields)))


def fresh(version: ModelVersion) -> ModelVersion:
    return ModelVersion.objects.select_related("model", "assessment").get(pk=version.pk)


def again(deployment: Deployment) -> Deployment:
    return Deployment.objects.select_related("version__model").get(pk=deployment.pk)


def column(name: str, psi: float, importance: float = 1.0) -> ColumnFacts:
    status = "alert" if psi >= 0.25 else "warning" if psi >= 0.1 else "ok"
    measured = (Measured("psi", psi, significant=psi >= 0.1),)
    return ColumnFacts(name, status, psi, importance, measured)


def measure(
    version: ModelVersion,
    *,
    drift: float = 0.01,
    ratio: float = 1.0,
    minor: float = 0.01,
    times: int = 2,
) -> ModelVersion:
    """Log traffic, and judge it: the important column, a minor one, the worst group."""
    now = timezone.now()
    registry.note_traffic(version, now)
    facts = Facts(
        n=1000,
        n_baseline=5000,
        baseline_kind="given",
        evidence_age_hours=0.5,
        columns=(
            column("age", drift, 0.9),
            column("income", minor, 0.1),
            *(column(name, 0.01, 0.1) for name in ("a", "b", "c")),
        ),
        groups=(
            GroupFacts("region", "north", 500, ratio, ratio - 0.02, ratio + 0.02),
            GroupFacts("region", "south", 500, 1.0, 1.0, 1.0),
        ),
    )
    for _ in range(times):
        risk.assess(
            version,
            facts=facts,
            source={"baseline": "baseline_x"},
            window=(now - timedelta(days=7), now),
            is_evaluation=True,
        )
    return fresh(version)


def move(row: Deployment | Override, **values: Any) -> None:
    """Change what the database keeps as it is: put a row into the past."""
    table = row._meta.db_table
    trigger = {
        Deployment: "deployment_stays",
        Override: "override_goes_forward",
    }[type(row)]
    if "suspended_at" in values:
        values["suspension"] = "person"
    with connection.cursor() as cursor:
        cursor.execute("RESET ROLE")
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER {trigger}")
        type(row).objects.filter(pk=row.pk).update(**values)
        cursor.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {trigger}")
        cursor.execute("SET ROLE driftguard_app")
