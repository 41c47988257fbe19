"""Live results: what the counts of a version's window say, and what follows from it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import InterfaceError, OperationalError, connection
from django.db.models import Max, Q, Sum
from django.utils import timezone

from governance.actions import risk
from governance.actions.audit import deed
from governance.decision import Facts, Thresholds
from governance.identifiers import uuid7
from governance.models import ModelVersion
from monitoring import detectors
from monitoring.actions import (
    alarms,
    alerts,
    evidence,
    hours,
    performance,
    periods,
    standards,
    undecided,
)
from monitoring.actions.periods import Later, Window
from monitoring.actions.standards import Standard
from monitoring.alerting import signals, strictness
from monitoring.alerting.settings import AlertSettings, Override
from monitoring.alerting.signals import Signal
from monitoring.alerting.strictness import thresholds_of
from monitoring.models import Baseline, LiveResult, Receipt
from monitoring.stats import drift, fairness, quality, realized
from monitoring.stats.fairness import FairnessReport
from monitoring.stats.gauges import SCORE, Counts, Gauge
from monitoring.stats.report import DriftReport

logger = logging.getLogger(__name__)

# Silence is judged without new data; so often a result is looked at all the same.
LOOKED_AT_EVERY = timedelta(minutes=30)
_LOCK_CLASS = 0x44475632
# What others write meanwhile, or nobody.
_NOT_OURS = {
    "id",
    "due",
    "rows_seen",
    "received_at",
    "version",
    "model",
    "rows_recorded",
    "recorded_baseline",
}


@dataclass(frozen=True, slots=True)
class _Measured:
    """Everything measured of a version at one moment."""

    standard: Standard
    window: Window
    counts: Counts
    drift: DriftReport
    fairness: FairnessReport
    performance: dict[str, Any]
    reports: dict[str, dict[str, Any]]
    signals: list[Signal]  # what all this says to the alarms


def refresh_due(limit: int = 200) -> int:
    """Refresh the live results that are due; returns how many there were.

    A version that can't be measured holds up nobody else's: the log says why, and it
    stays due.
    """
    now = timezone.now()
    due = LiveResult.objects.filter(
        Q(due=True) | Q(computed_at__lt=now - LOOKED_AT_EVERY)
    ).order_by("-due", "computed_at")
    done = 0
    for version in ModelVersion.objects.filter(
        pk__in=list(due.values_list("version_id", flat=True)[:limit])
    ).select_related("model"):
        try:
            done += refresh(version) is not None
        except (OperationalError, InterfaceError):
            raise
        except Exception:
            logger.exception("Version %s can't be measured.", version.pk)
    return done


def refresh(version: ModelVersion, *, now: datetime | None = None) -> LiveResult | None:
    """Measure the version's window and judge it.

    1. Merge the counts of the window, hour by hour or day by day.
    2. Compute drift, quality, fairness, realized and estimated performance from them.
    3. Store the live result, and let governance assess the version: both or neither.

    It stays due if something was counted meanwhile. Returns None if another worker is
    at it.
    """
    with _alone(version) as is_mine:
        if not is_mine:
            return None
        result, _ = LiveResult.objects.get_or_create(
            version=version,
            defaults={
                "organization_id": version.organization_id,
                "model_id": version.model_id,
                "status": LiveResult.Status.NO_BASELINE,
            },
        )
        policy = alerts.policy_of(version.model)
        standard = standards.served(version)
        measured = _measure(version, standard, result, policy) if standard else None
        _store(version, result, measured, now or timezone.now())
    return result


@contextmanager
def _alone(version: ModelVersion) -> Iterator[bool]:
    """Keep a second refresh of the version away; nobody waits."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", (_LOCK_CLASS, version.pk))
        (is_mine,) = cursor.fetchone()
    try:
        yield is_mine
    finally:
        if is_mine:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_advisory_unlock(%s, %s)", (_LOCK_CLASS, version.pk)
                )


def _measure(
    version: ModelVersion, standard: Standard, before: LiveResult, policy: Thresholds
) -> _Measured | None:
    baseline = standard.baseline
    newest = periods.newest_hour(version, baseline.pk)
    if newest is None:
        return None
    window = periods.live_window(version, baseline.pk, newest, policy.minimum_sample)
    merged = hours.merged(
        version, baseline.pk, window.start, window.end, recent=window.recent
    )
    gauge = standards.gauge(baseline.pk)
    settings = alerts.in_force(version, policy)
    # Governance judges by nothing looser than its policy, alerts by what is set.
    strict = strictness.in_force(settings, policy)
    report = drift_of(version, gauge, merged.counts, policy, strict)
    exact = _exact(version, baseline, window, report)
    if exact:
        report = drift_of(version, gauge, merged.counts, policy, strict, exact=exact)
    shown = report.to_json()
    if merged.recent is not None:
        recent = drift_of(version, gauge, merged.recent, policy, strict)
        shown["recent"] = _recent(recent, merged.recent, window)
    if window.later is not None:
        shown["later"] = _later(window.later)
    alerted = report
    if settings != strict:
        alerted = drift_of(version, gauge, merged.counts, policy, settings, exact=exact)
    fair = _fairness(gauge, merged.counts)
    performed = performance.measure(
        version,
        baseline,
        window,
        merged.counts.outcomes,
        before.performance,
        policy,
    )
    return _Measured(
        standard,
        window,
        merged.counts,
        report,
        fair,
        performed,
        {
            "drift": shown,
            "quality": quality.assess(gauge.grid, merged.counts.columns).to_json(),
            "fairness": _fairness_json(version, gauge, fair),
            "performance": performed,
        },
        _signals(settings, policy, baseline, alerted, performed),
    )


def _signals(
    settings: AlertSettings,
    policy: Thresholds,
    baseline: Baseline,
    report: DriftReport,
    performed: Mapping[str, Any],
) -> list[Signal]:
    found: list[Signal] = []
    if baseline.sample_size >= settings.min_baseline_sample_size:
        columns = [column.to_json() for column in report.columns.values()]
        found += signals.of_columns(columns)
    fewest = policy.minimum_sample
    found += signals.of_performance(performed, settings, fewest=fewest)
    return found


def drift_of(
    version: ModelVersion,
    gauge: Gauge,
    counts: Counts,
    policy: Thresholds,
    settings: AlertSettings | None = None,
    *,
    exact: undecided.Distances | None = None,
) -> DriftReport:
    """Return the drift that counts show, by some alert settings.

    `exact` decides what the counts leave open.

    Without settings, by the limits of the policy. An algorithm whose parameters are set
    otherwise is left to the analysis job: counts are for the default ones.
    """
    settings = settings or strictness.demanded(policy)
    defaults = alerts.thresholds(policy)
    is_ours = {
        name: not settings.overrides.get(name, Override()).params
        for name in detectors.LIVE
    }
    thresholds = {
        name: thresholds_of(settings, name, defaults[name]) if is_ours[name] else None
        for name, detector in detectors.DETECTORS.items()
        if detector.live
    }
    importances = version.schema.importances if version.schema.features else None
    return drift.evaluate(
        gauge.grid,
        counts.columns,
        thresholds=thresholds,
        importances=importances,
        min_rows=policy.minimum_sample,
        voting=[name for name in settings.algorithms if thresholds.get(name)],
        apart=(SCORE,),
        exact=exact,
    )


def _exact(
    version: ModelVersion, baseline: Baseline, window: Window, report: DriftReport
) -> undecided.Distances:
    """Return the distances of the features that the counts leave undecided."""
    names = [name for name in drift.undecided(report) if name != SCORE]
    return undecided.distances(version, baseline, window, names) if names else {}


def _later(later: Later) -> dict[str, Any]:
    return {
        "start": later.start.isoformat(),
        "predictions": later.rows,
        "needed": later.needed,
    }


def _recent(report: DriftReport, counts: Counts, window: Window) -> dict[str, Any]:
    """Return the last 24 hours of a stream: what moved, without the details."""
    columns = {
        name: {
            "status": column.status.value,
            **{
                algorithm: result.score
                for algorithm, result in column.algorithms.items()
                if result.votes
            },
        }
        for name, column in report.columns.items()
    }
    return {
        "start": None if window.recent is None else window.recent.isoformat(),
        "end": window.end.isoformat(),
        "predictions": counts.rows,
        "status": report.status.value,
        "max_psi": report.max_psi,
        "max_ks": report.max_ks,
        "columns": columns,
    }


def _fairness(gauge: Gauge, counts: Counts) -> FairnessReport:
    if gauge.layout is None or counts.outcomes is None:
        return FairnessReport()
    return fairness.report(realized.groups(gauge.layout, counts.outcomes))


def _fairness_json(
    version: ModelVersion, gauge: Gauge, report: FairnessReport
) -> dict[str, Any]:
    reason = ""
    if not version.schema.protected:
        reason = "The model has no protected attributes."
    elif gauge.layout is None:
        reason = "The task of the model is not known yet."
    elif not gauge.layout.can_judge_groups:
        reason = "The model has no favourable outcome."
    favourable = None if gauge.layout is None else gauge.layout.favourable
    return {**report.to_json(), "favourable_outcome": favourable, "reason": reason}


@deed
def _store(
    version: ModelVersion,
    result: LiveResult,
    measured: _Measured | None,
    now: datetime,
) -> None:
    """Write the live result, assess the version and take the alarms, in one go."""
    seen, window = result.rows_seen, None
    is_evaluation = _is_evaluation(version, result, measured, now)
    if is_evaluation:
        result.rows_evaluated, result.evaluated_at = seen, now
    if measured is None:
        _fill_empty(version, result)
    else:
        _fill(result, measured)
        window = (measured.window.start, measured.window.end)
    result.result_id = uuid7()
    result.computed_at = now
    _keep(result, seen)
    facts, source = _facts(version, result, measured, now)
    risk.assess(
        version,
        facts=facts,
        source=source,
        window=window,
        is_evaluation=is_evaluation,
        actor=None,
    )
    if measured is not None:
        said = alarms.Result(
            source=alarms.Source.LIVE,
            signals=measured.signals,
            baseline=measured.standard.baseline,
            until=measured.window.end,
            counts=is_evaluation,
            reference=result.public_id,
        )
        alarms.take(version, result=said, actor=None)


def _keep(result: LiveResult, seen: int) -> None:
    """Write the live result; due again if something was counted meanwhile."""
    kept = {
        field.attname: getattr(result, field.attname)
        for field in LiveResult._meta.concrete_fields
        if field.name not in _NOT_OURS
    }
    # Whoever counted something has raised `rows_seen`.
    LiveResult.objects.filter(pk=result.pk).update(**kept, due=~Q(rows_seen=seen))


def _facts(
    version: ModelVersion,
    result: LiveResult,
    measured: _Measured | None,
    now: datetime,
) -> tuple[Facts, Mapping[str, Any]]:
    """Return what governance is told, and where it is from."""
    age = _age(result, now)
    if measured is None:
        facts = Facts(
            n=result.predictions,
            cadence=version.model.cadence,
            evidence_age_hours=None if age is None else age / timedelta(hours=1),
        )
        return facts, {}
    facts = evidence.facts(
        version,
        kind=measured.standard.kind,
        counts=measured.counts,
        drift=measured.drift,
        fairness=measured.fairness,
        performance=measured.performance,
        age=age,
    )
    return facts, evidence.source(measured.standard.baseline, measured.counts)


def _age(result: LiveResult, now: datetime) -> timedelta | None:
    """Return how long ago predictions arrived; whatever time they were made at."""
    return None if result.received_at is None else now - result.received_at


def _is_evaluation(
    version: ModelVersion,
    result: LiveResult,
    measured: _Measured | None,
    now: datetime,
) -> bool:
    """Tell whether enough is new, or a step of the cadence has passed."""
    if result.evaluated_at is None:
        return True
    step = periods.STEP[periods.Cadence(version.model.cadence)]
    if now - result.evaluated_at >= step:
        return True
    share = alerts.policy_of(version.model).new_rows_share
    window = measured.counts.rows if measured else 0
    fresh = result.rows_seen - result.rows_evaluated
    return fresh > 0 and fresh >= share * window


def _fill(result: LiveResult, measured: _Measured) -> None:
    known = set(LiveResult.Status.values)
    status = measured.drift.status.value
    result.status = (
        status if status in known else LiveResult.Status.INSUFFICIENT_DATA.value
    )
    result.baseline = measured.standard.baseline
    result.baseline_kind = measured.standard.kind
    result.window_start = measured.window.start
    result.window_end = measured.window.end
    result.predictions = measured.counts.rows
    result.labels = measured.counts.labels
    result.drift = measured.reports["drift"]
    result.quality = measured.reports["quality"]
    result.fairness = measured.reports["fairness"]
    result.performance = measured.reports["performance"]


def _fill_empty(version: ModelVersion, result: LiveResult) -> None:
    """Say what there is without a baseline, or without a counted prediction."""
    receipts = Receipt.objects.counted().filter(
        version=version, kind=Receipt.Kind.PREDICTIONS
    )
    standard = standards.wanted(version)
    result.status = LiveResult.Status.NO_BASELINE
    result.baseline, result.baseline_kind = None, ""
    if standard is not None:
        result.status = LiveResult.Status.INSUFFICIENT_DATA
        result.baseline, result.baseline_kind = standard.baseline, standard.kind
    newest = receipts.aggregate(at=Max("last_event"))["at"]
    result.window_start = result.window_end = None
    result.predictions = result.labels = 0
    result.drift = result.quality = result.fairness = result.performance = {}
    if newest is not None:
        hour = newest.replace(minute=0, second=0, microsecond=0)
        window = periods.window_of(version.model.cadence, hour)
        result.window_start, result.window_end = window.start, window.end
        result.predictions = (
            receipts.filter(last_event__gte=window.start).aggregate(n=Sum("rows"))["n"]
            or 0
        )
