"""Trying alert settings on the past before they are saved."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db.models import Max

from governance.actions.registry import APPROVED
from governance.decision import Thresholds
from governance.models import ModelVersion
from monitoring.actions import alerts
from monitoring.alerting import replay, strictness
from monitoring.alerting.replay import Analysis, Day, Judge
from monitoring.alerting.settings import AlertSettings
from monitoring.models import DayView, DriftResult, Profile

LONGEST_DAYS = 180
# The newest ones; each may be large.
MOST_ANALYSES = 100


def preview(
    version: ModelVersion, settings: AlertSettings, *, days: int
) -> dict[str, Any]:
    """Return what settings would have done in the last days, and the present ones.

    The days end with the newest prediction. Nothing is measured: what was recorded of
    each day is held against the limits, so the cost depends on days and columns alone.
    """
    policy = alerts.policy_of(version.model)
    defaults = alerts.thresholds(policy)
    newest = _newest(version)
    first = None if newest is None else newest - timedelta(days=days - 1)
    seen = [] if first is None else list(_days(version, first))
    now = alerts.in_force(version, policy)
    tried = _in_force(version, settings, policy)
    judges = [Judge(one, defaults, policy.minimum_sample) for one in (tried, now)]
    needed = judges[0].analysed | judges[1].analysed
    analyses: list[Analysis] = []
    if first is not None and needed:
        analyses = list(_analyses(version, first, policy))
    proposed, current = (replay.replay(one, seen, analyses) for one in judges)
    return {
        "windowStart": None if first is None else first.isoformat(),
        "windowEnd": None if newest is None else newest.isoformat(),
        "days": days,
        **_coverage(first, newest, seen),
        "analyses": len(analyses),
        "proposed": proposed.to_json(),
        "current": current.to_json(),
        "notReplayed": replay.unmeasured(judges[0], analyses),
        "limitedByPolicy": _limited(settings, tried),
        "looser": [
            {"loc": list(one.loc), "detail": one.detail}
            for one in strictness.looser(settings, alerts.of(version.model), defaults)
        ],
    }


def _newest(version: ModelVersion) -> date | None:
    """Return the day of the newest counted prediction."""
    profiles = Profile.objects.filter(
        version=version, period=Profile.Period.HOUR, rows__gt=0
    )
    newest: datetime | None = profiles.aggregate(at=Max("start"))["at"]
    return None if newest is None else newest.astimezone(UTC).date()


def _days(version: ModelVersion, first: date) -> Iterable[Day]:
    views = DayView.objects.filter(version=version, day__gte=first, rows__gt=0)
    for view in views.order_by("day").values(
        "day", "rows", "baseline__sample_size", "readings", "performance"
    ):
        yield Day(
            view["day"],
            view["rows"],
            view["baseline__sample_size"],
            view["readings"],
            view["performance"],
        )


def _analyses(
    version: ModelVersion, first: date, policy: Thresholds
) -> Iterable[Analysis]:
    """Return the newest analyses of the days, the oldest of them first."""
    start = datetime(first.year, first.month, first.day, tzinfo=UTC)
    found = DriftResult.objects.filter(version=version, window_end__gt=start)
    rows = found.order_by("-pk").values(
        "window_end",
        "algorithms",
        "drift",
        "labels",
        "predictions",
        "baseline__sample_size",
    )[:MOST_ANALYSES]
    for row in reversed(rows):
        end = row["window_end"] - timedelta(microseconds=1)
        yield Analysis(
            end.astimezone(UTC).date(),
            row["algorithms"],
            row["drift"],
            row["labels"] >= policy.label_maturity * row["predictions"],
            row["baseline__sample_size"],
        )


def _coverage(
    first: date | None, newest: date | None, seen: list[Day]
) -> dict[str, Any]:
    """Return on how many days there is something to replay, and on which there isn't.

    A day is judged if any column or performance was measured; on the others nothing
    can have alerted, whatever is set.
    """
    if first is None or newest is None:
        return {"daysWithData": 0, "daysMeasured": 0, "daysWithoutData": []}
    known = {one.day for one in seen}
    every = (first + timedelta(days=n) for n in range((newest - first).days + 1))
    measured = [one for one in seen if one.readings or one.performance]
    return {
        "daysWithData": len(known),
        "daysMeasured": len(measured),
        "daysWithoutData": [day.isoformat() for day in every if day not in known],
    }


def _in_force(
    version: ModelVersion, settings: AlertSettings, policy: Thresholds
) -> AlertSettings:
    """Return the settings as they would hold: of an approved version never looser."""
    if version.status not in APPROVED:
        return settings
    return replace(strictness.in_force(settings, policy), enabled=True)


def _limited(asked: AlertSettings, tried: AlertSettings) -> list[str]:
    """Return the settings in whose place the policy's stricter ones would hold."""
    one, other = asked.to_json(), tried.to_json()
    return sorted(name for name in one if one[name] != other[name])
