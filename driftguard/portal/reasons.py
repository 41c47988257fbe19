"""Why a model is in its state, in one sentence: since when, by what, and what next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from driftguard.portal.gates import Step
from governance.admin.addresses import changelist
from governance.admin.display import Badge
from governance.decision import Effect, Level
from governance.models import (
    Assessment,
    Deployment,
    Finding,
    GovernanceStatus,
    ModelVersion,
)
from monitoring.admin.model_page import ModelPage
from monitoring.models import Baseline, Prediction

# More are not worth counting while somebody waits.
MOST_DECISIONS = 10_000
Status = ModelVersion.Status


@dataclass(frozen=True, slots=True)
class Why:
    """The sentence in its parts, so that each can lead to what it rests on."""

    badge: Badge
    since: datetime | None
    cause: str
    others: int  # reasons beside the first one
    decisions: int | None  # predictions since then; None where nobody asks
    more: bool  # there are more than that
    decisions_address: str
    next: Step


def why(page: ModelPage, opened: Sequence[Deployment]) -> Why:
    """Say why the model is in its state and who does what next.

    `opened` are its deployments that nothing has replaced yet.
    """
    assessment = page.assessment
    is_judged = (
        assessment is not None and assessment.status != GovernanceStatus.NOT_ASSESSED
    )
    since = assessment.since if assessment is not None and is_judged else None
    causes = _causes(assessment)
    number = _decisions(page.version, since) if since is not None else None
    return Why(
        badge=page.health,
        since=since,
        cause=causes[0],
        others=len(causes) - 1,
        decisions=None if number is None else min(number, MOST_DECISIONS),
        more=(number or 0) > MOST_DECISIONS,
        decisions_address=_decisions_address(page, since),
        next=_next(page, opened),
    )


def _causes(assessment: Assessment | None) -> list[str]:
    """Return what makes the status what it is, the rules that block first."""
    if assessment is None:
        return [_("nothing has been measured yet")]
    verdict = assessment.verdict
    counted = [
        one
        for one in verdict.get("failed") or ()
        if one["level"] != Level.ADVISORY and _makes(one["effect"], assessment.status)
    ]
    counted.sort(key=lambda one: one["effect"] != Effect.BLOCK)
    policy = assessment.policy_version
    named = policy.spoken if policy is not None else _("the policy")
    causes = [
        _("%(evidence)s, rule %(rule)s of %(policy)s")
        % {"evidence": one["evidence"], "rule": one["rule"], "policy": named}
        for one in counted
    ]
    missing = [one.rstrip(".") for one in verdict.get("missing") or ()]
    if assessment.status == GovernanceStatus.NOT_ASSESSED:
        causes = missing + causes
    return causes or [_index(assessment)]


def _makes(effect: str, status: str) -> bool:
    if status == GovernanceStatus.AT_RISK:
        return effect == Effect.AT_RISK
    return status in {GovernanceStatus.BLOCKED, GovernanceStatus.NOT_ASSESSED}


def _index(assessment: Assessment) -> str:
    """Say what decides where no rule fails: the index alone."""
    if assessment.score is None:
        return _("nothing could be measured yet")
    score = {"score": f"{assessment.score:.1f}"}
    if assessment.status == GovernanceStatus.APPROVED:
        return _("every rule holds and the risk index is %(score)s") % score
    return _("the risk index is %(score)s") % score


def _decisions(version: ModelVersion | None, since: datetime) -> int:
    """Count what the version has predicted since, by the predictions' own times."""
    if version is None:
        return 0
    rows = Prediction.objects.for_organization(version.organization_id).filter(
        model=version.model_id, version=version, timestamp__gte=since
    )
    return rows.order_by()[: MOST_DECISIONS + 1].count()


def _decisions_address(page: ModelPage, since: datetime | None) -> str:
    if since is None:
        return changelist(Prediction, model=page.model.pk)
    moment = since.astimezone(UTC)
    return changelist(
        Prediction,
        model=page.model.pk,
        timestamp_from_0=f"{moment:%Y-%m-%d}",
        timestamp_from_1=f"{moment:%H:%M:%S}",
    )


def _next(page: ModelPage, opened: Sequence[Deployment]) -> Step:
    version = page.version
    if page.model.retired_at is not None:
        return Step(_("nothing; the model is retired and its history stays"))
    if version is None:
        return Step(_("its owner registers a version, or sends predictions"))
    status = page.assessment.status if page.assessment else None
    if status == GovernanceStatus.BLOCKED:
        return _next_of_blocked(page, version, opened)
    if status == GovernanceStatus.AT_RISK:
        return _work_on_findings(page)
    if status == GovernanceStatus.APPROVED:
        return _next_in_life(version)
    return _next_of_unknown(page)


def _next_of_blocked(
    page: ModelPage, version: ModelVersion, opened: Sequence[Deployment]
) -> Step:
    mine = [one for one in opened if one.version_id == version.pk]
    live = next((one for one in mine if one.is_live), None)
    if live is not None:
        where = {"version": version.version, "environment": live.environment}
        words = _(
            "a compliance officer suspends it in %(environment)s, or grants an "
            "override; its owner works on the findings"
        )
        address = f"{reverse('deployments', args=[page.model.slug])}?{urlencode(where)}"
        return Step(words % where, address, _("Suspend or override"))
    return _work_on_findings(page)


def _work_on_findings(page: ModelPage) -> Step:
    number = page.open_findings
    address = changelist(Finding, version__model=page.model.pk)
    if not number:
        words = _("its owner finds out what moved, and sends a version without it")
        return Step(words, address, _("See the findings"))
    words = ngettext(
        "its owner works on %(number)s open finding",
        "its owner works on %(number)s open findings",
        number,
    )
    return Step(words % {"number": number}, address, _("Open the findings"))


def _next_in_life(version: ModelVersion) -> Step:
    about = urlencode({"version": version.version})
    slug = [version.model.slug]
    submit = f"{reverse('submit', args=slug)}?{about}"
    deploy = f"{reverse('deployments', args=slug)}?{about}"
    steps = {
        Status.SUBMITTED: (_("those who were asked vote on it"), submit),
        Status.IN_VALIDATION: (_("those who were asked vote on it"), submit),
        Status.APPROVED: (_("its owner deploys it"), deploy),
        Status.DEPLOYED: (_("nothing; it is watched"), ""),
        Status.SUSPENDED: (_("its owner resumes it once it is repaired"), deploy),
        Status.REJECTED: (_("its owner sends another version"), ""),
        Status.RETIRED: (_("nothing; another version has taken its place"), ""),
    }
    ask = (_("its owner asks for its approval"), submit)
    words, address = steps.get(Status(version.status), ask)
    links = {submit: _("Ask for approval"), deploy: _("Go to its deployment")}
    return Step(words, address, links.get(address, ""))


def _next_of_unknown(page: ModelPage) -> Step:
    address = changelist(Baseline, model=page.model.pk)
    if page.baseline is None:
        words = _("its owner sends a baseline, and predictions to compare with it")
        return Step(words, address, _("See the baselines"))
    if page.live is not None and page.live.baseline_kind == "provisional":
        words = _("its owner sends a baseline that somebody stands by")
        return Step(words, address, _("See the baselines"))
    return Step(_("its owner sends predictions"))
