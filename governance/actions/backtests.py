"""What a draft of a policy would have said of what was measured lately."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import rfc8785
from django.db import connection
from django.db.models import Q
from django.utils import timezone

from governance.actions import policies
from governance.actions.audit import plain
from governance.decision import (
    RULE_NAMES,
    Facts,
    Level,
    PreviousState,
    Status,
    Thresholds,
    Verdict,
    decide,
    explain,
)
from governance.exceptions import InvalidError, fault
from governance.models import Evidence, Override, PolicyVersion, RegisteredModel

LONGEST_DAYS = 366
# A run of that many takes some ten seconds; beyond, the newest of a day stands for it.
MOST_EVIDENCE = 20_000
MOST_SHOWN = 1_000
# Facts of a long time before the first day bring both sides into their state.
WARM_UP = timedelta(days=2)
# The rules of the gate that stored evidence tells about.
MEASURED = ["index", "assessed", *RULE_NAMES]

# The newest evidence of each version in each step, of some models, oldest first.
SELECTED = """
    SELECT id FROM (
        SELECT DISTINCT ON (version_id, date_trunc(%(step)s, created_at, 'UTC'))
            id, version_id, created_at
        FROM governance_evidence
        WHERE organization_id = %(organization)s AND version_id IN (
                SELECT id FROM governance_modelversion
                WHERE model_id = ANY (%(models)s))
            AND created_at >= %(since)s AND created_at < %(until)s
        ORDER BY version_id, date_trunc(%(step)s, created_at, 'UTC'),
            created_at DESC, id DESC
    ) newest ORDER BY version_id, created_at, id
"""


@dataclass(frozen=True, slots=True)
class Sides:
    """Which policy holds for a model now, and which would with the draft published."""

    model: RegisteredModel
    before: PolicyVersion
    after: PolicyVersion


@dataclass(slots=True)
class _Course:
    """How one version fares under both policies, evidence by evidence."""

    sides: Sides
    version: str = ""
    states: dict[str, PreviousState] = field(default_factory=dict)
    # The last verdict of each day, of both sides.
    days: dict[date, dict[str, Verdict]] = field(default_factory=dict)

    def add(self, day: date, facts: Facts) -> None:
        verdicts = {
            "before": self._decide("before", facts, self.sides.before.thresholds),
            "after": self._decide("after", facts, self.sides.after.thresholds),
        }
        self.days[day] = verdicts

    def _decide(self, side: str, facts: Facts, thresholds: Thresholds) -> Verdict:
        verdict = decide(facts, thresholds, self.states.get(side))
        self.states[side] = verdict.state
        return verdict


def sides_of(draft: PolicyVersion) -> list[Sides]:
    """Return the models for which another policy version would hold.

    Those of the draft's policy, and those that the draft names or names no longer.
    """
    active = list(
        PolicyVersion.objects.for_organization(draft.organization_id)
        .active()
        .select_related("policy")
    )
    then = [*(one for one in active if one.policy_id != draft.policy_id), draft]
    models = RegisteredModel.objects.for_organization(draft.organization_id)
    found = []
    for model in models.filter(retired_at=None).order_by("name"):
        before = policies.closest(model, active)
        after = policies.closest(model, then)
        if before is not None and after is not None and before.pk != after.pk:
            found.append(Sides(model, before, after))
    return found


def run(
    draft: PolicyVersion, *, days: int = 30, now: datetime | None = None
) -> dict[str, Any]:
    """Decide on the stored evidence of some days by the policy in force and the draft.

    Both sides begin without a state and get the same evidence, each as an evaluation of
    its own. Returns plain JSON: the totals, and per model and day where the verdict
    would have been another one, and why. Reads only; takes a while, so that it belongs
    outside of any transaction. Raises InvalidError for an impossible number of days.
    """
    if not 1 <= days <= LONGEST_DAYS:
        detail = f"expected 1 to {LONGEST_DAYS}"
        raise InvalidError(errors=[fault("days", code="range", detail=detail)])
    until = now or timezone.now()
    since = until - timedelta(days=days)
    sides = {one.model.pk: one for one in sides_of(draft)}
    step, rows = _selected(draft.organization_id, list(sides), since, until)
    courses: dict[int, _Course] = {}
    count = 0
    for row in rows:
        count += 1
        course = courses.get(row.version_id)
        if course is None:
            course = _Course(sides[row.version.model_id], row.version.version)
            courses[row.version_id] = course
        course.add(row.created_at.astimezone(UTC).date(), Facts.from_json(row.facts))
    return _result(draft, courses, since, until, {"evidence": count, "step": step})


def digest_of(result: Mapping[str, Any]) -> str:
    """Return the SHA-256, in hex, of a backtest's result."""
    return hashlib.sha256(rfc8785.dumps(plain(result))).hexdigest()


def _selected(
    organization_id: int, models: list[int], since: datetime, until: datetime
) -> tuple[str, Iterator[Evidence]]:
    """Return the evidence to decide on, by hours, or by days if there is too much."""
    values: dict[str, Any] = {
        "organization": organization_id,
        "models": models,
        "since": since - WARM_UP,
        "until": until,
    }
    for step in ("hour", "day"):
        with connection.cursor() as cursor:
            cursor.execute(SELECTED, {**values, "step": step})
            found = [pk for (pk,) in cursor.fetchall()]
        if len(found) <= MOST_EVIDENCE:
            break
    return step, _read(found)


def _read(found: list[int]) -> Iterator[Evidence]:
    """Read evidence in the order of its ids' list, some hundred at a time."""
    for start in range(0, len(found), 500):
        part = found[start : start + 500]
        rows = Evidence.objects.select_related("version").in_bulk(part)
        yield from (rows[pk] for pk in part)


def _result(
    draft: PolicyVersion,
    courses: Mapping[int, _Course],
    since: datetime,
    until: datetime,
    counts: Mapping[str, Any],
) -> dict[str, Any]:
    totals: Counter[str] = Counter()
    flips: list[dict[str, Any]] = []
    for pk, course in courses.items():
        for day, verdicts in sorted(course.days.items()):
            if day < since.date():
                continue
            totals["days"] += 1
            flip = _flip(course, day, verdicts)
            if flip is None:
                continue
            totals["flips"] += 1
            totals["new_blocks"] += flip["is_new_block"]
            totals["lifted_blocks"] += flip["is_lifted_block"]
            flips.append({"version_id": pk, **flip})
    spared = [*_spared(courses, since, until)]
    totals["unnecessary_overrides"] = len(spared)
    return {
        "since": since.isoformat(),
        "until": until.isoformat(),
        "draft": {"version": draft.number, "hash": draft.content_hash},
        **counts,
        "models": len({course.sides.model.pk for course in courses.values()}),
        "totals": {
            name: totals[name]
            for name in (
                "days",
                "flips",
                "new_blocks",
                "lifted_blocks",
                "unnecessary_overrides",
            )
        },
        "flips": flips[:MOST_SHOWN],
        "left_out": max(len(flips) - MOST_SHOWN, 0),
        "overrides": spared[:MOST_SHOWN],
    }


def _spared(
    courses: Mapping[int, _Course], since: datetime, until: datetime
) -> Iterator[dict[str, Any]]:
    """Yield the overrides that were needed, and wouldn't have been under the draft.

    That can be told of those for rules on what was measured.
    """
    overrides = (
        Override.objects.filter(version__in=courses, activated_at__lt=until)
        .filter(Q(ended_at=None) | Q(ended_at__gt=since))
        .filter(rules__contained_by=MEASURED)
        .order_by("pk")
    )
    for override in overrides:
        course = courses[override.version_id]
        start = override.activated_at or until
        end = override.ended_at or min(override.expires_at, until)
        days = [
            verdicts
            for day, verdicts in course.days.items()
            if start.date() <= day <= end.date()
        ]
        needed, still = (
            any(_fails(rule, one[side]) for one in days for rule in override.rules)
            for side in ("before", "after")
        )
        if needed and not still:
            yield {
                "id": override.pk,
                "model": course.sides.model.name,
                "version": course.version,
                "environment": override.environment,
                "rules": override.rules,
                "days": len(days),
            }


def _fails(rule: str, verdict: Verdict) -> bool:
    """Tell whether a verdict needs an override of this rule to pass the gate."""
    if rule == "index":
        return verdict.band is Status.BLOCKED
    if rule == "assessed":
        return verdict.status is Status.NOT_ASSESSED
    return any(
        one.rule == rule and one.level is not Level.ADVISORY for one in verdict.failed
    )


def _flip(
    course: _Course, day: date, verdicts: Mapping[str, Verdict]
) -> dict[str, Any] | None:
    before, after = verdicts["before"], verdicts["after"]
    if before.status == after.status:
        return None
    return {
        "model_id": course.sides.model.pk,
        "model": course.sides.model.name,
        "version": course.version,
        "day": day.isoformat(),
        "before": before.status.value,
        "after": after.status.value,
        "is_new_block": after.status is Status.BLOCKED,
        "is_lifted_block": before.status is Status.BLOCKED,
        "reasons": explain(after, course.sides.after.spoken)[:5],
        "reasons_before": explain(before, course.sides.before.spoken)[:5],
    }
