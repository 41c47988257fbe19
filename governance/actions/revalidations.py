"""Periodic re-validation: what is in production is looked at again, by its tier."""

from __future__ import annotations

from calendar import monthrange
from datetime import datetime
from functools import partial

from django.utils import timezone

from governance.actions import approvals, findings, policies, rounds
from governance.actions.approvals import Standing
from governance.actions.audit import Actor, deed
from governance.models import Deployment, Finding, ModelVersion, PolicyVersion

CAUSE = "revalidation"


def due_at(
    version: ModelVersion, policy: PolicyVersion, standing: Standing
) -> datetime | None:
    """Return when the version has to be validated again; None if it never was.

    Counted from its approval, from its first deployment if it came in without one, or
    from when the last finding about a re-validation was closed.
    """
    moments = [
        Finding.objects.filter(version=version, cause=CAUSE, status="closed")
        .order_by("-closed_at")
        .values_list("closed_at", flat=True)
        .first(),
        standing.request.applied_at if standing.request else None,
    ]
    known = [one for one in moments if one is not None]
    if not known:
        first = Deployment.objects.filter(version=version).order_by("started_at")
        known = list(first.values_list("started_at", flat=True)[:1])
    if not known:
        return None
    months = policy.thresholds.controls.revalidation_months
    return months_after(max(known), months[version.model.effective_risk_tier])


def months_after(moment: datetime, months: int) -> datetime:
    """Return the same day of the month so much later, or the month's last day."""
    count = moment.month - 1 + months
    year, month = moment.year + count // 12, count % 12 + 1
    day = min(moment.day, monthrange(year, month)[1])
    return moment.replace(year=year, month=month, day=day)


def sweep(now: datetime | None = None) -> int:
    """Open a finding on each deployed version whose re-validation is due."""
    now = now or timezone.now()
    versions = ModelVersion.objects.filter(
        pk__in=Deployment.objects.open().values("version")
    ).exclude(pk__in=Finding.objects.not_closed().filter(cause=CAUSE).values("version"))
    due = versions.select_related("model__owner").order_by("pk")
    return rounds.over(due, partial(_demand_if_due, now))


def _demand_if_due(now: datetime, version: ModelVersion) -> bool:
    policy = policies.in_force_for(version.model)
    due = due_at(version, policy, approvals.standing(version))
    if due is None or due > now:
        return False
    demand(version, due=due, policy=policy, actor=None)
    return True


@deed
def demand(
    version: ModelVersion, *, due: datetime, policy: PolicyVersion, actor: Actor | None
) -> Finding:
    """Open the finding that asks for a re-validation; closing it starts the clock."""
    tier = version.model.effective_risk_tier
    months = policy.thresholds.controls.revalidation_months[tier]
    return findings.open_finding(
        version,
        cause=CAUSE,
        severity=Finding.Severity.HIGH,
        title=f"{version} has to be validated again: due since {due:%Y-%m-%d}",
        detail={
            "due": due,
            "tier": tier,
            "months": months,
            "policy_version": policy.pk,
        },
        actor=actor,
    )
