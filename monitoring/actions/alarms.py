"""From results to alarms: one finding for each cause, and one message when it begins.

The live view and the analyses go through `take`. The findings are those that the rules
of the policy open for the same cause (`governance.actions.risk`): there is one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from governance.actions import findings
from governance.actions.audit import Actor, deed, record
from governance.models import Assessment, Finding, ModelVersion, Notification
from monitoring.actions import alerts
from monitoring.alerting import alarms, signals
from monitoring.alerting.alarms import Event, State
from monitoring.alerting.settings import AlertSettings
from monitoring.alerting.signals import Level, Signal
from monitoring.models import Alarm, AnalysisRun, Baseline, DriftResult

Source = Alarm.Source
Severity = Finding.Severity
SEVERITY = {Level.WARNING: Severity.MEDIUM, Level.ALERT: Severity.HIGH}
# A window that ends so long before the newest prediction is about the present too.
RECENT = timedelta(days=1)
_WORDS: Mapping[Event, str] = {
    "raised": "needs attention",
    "worsened": "has become worse",
    "cleared": "is back within limits",
}


@dataclass(frozen=True, slots=True)
class Result:
    """What a result says, and where it is from."""

    source: str  # one of `Alarm.Source`
    signals: Iterable[Signal]
    baseline: Baseline
    until: datetime  # the end of its window
    counts: bool  # as a result of its own
    reference: str  # its public id


@dataclass(slots=True)
class _Told:
    """What is to be told of a result: alarms by what happened to them."""

    by_event: dict[Event, list[Alarm]] = field(default_factory=dict)

    def add(self, event: Event, alarm: Alarm) -> None:
        self.by_event.setdefault(event, []).append(alarm)


@deed
def take(version: ModelVersion, *, result: Result, actor: Actor | None) -> None:
    """Raise, worsen and clear alarms by what a result says.

    1. Lock the version's assessment: two results are taken one after the other.
    2. Let each cause's alarm take its step (`monitoring.alerting.alarms`). A window
       that ends before the newest one that was taken is passed over.
    3. Raised: open the finding of the cause, unless it is open for another reason.
       Cleared in the last source: resolve it, if nobody works on it.
    4. Write one message for each kind of event, and entries of the trail.

    Nothing happens where alerting is switched off.
    """
    settings = alerts.in_force(version, alerts.policy_of(version.model))
    if not settings.enabled:
        return
    _lock(version)
    known = {
        alarm.cause: alarm
        for alarm in Alarm.objects.filter(
            version=version, source=result.source
        ).select_related("finding")
    }
    told = _Told()
    for signal in result.signals:
        _step(version, known.get(signal.cause[:300]), signal, result, told)
    for event, found in told.by_event.items():
        _notify(version, event, found, result, settings)
        _remember(version, event, found, result, actor=actor)


@deed
def take_analysis(result: DriftResult, *, actor: Actor | None) -> None:
    """Take the alarms of an analysis, if it is about the present.

    A schedule's always is; one that a person asked for may be about any window of the
    past, which says nothing of today.
    """
    run, version = result.run, result.version
    newest = version.last_prediction_at
    is_recent = newest is None or run.window_end + RECENT >= newest
    if run.trigger != AnalysisRun.Trigger.SCHEDULE and not is_recent:
        return
    configuration = run.configuration
    least = configuration["alerts"]["minBaselineSampleSize"]
    if result.baseline.sample_size < least:
        return
    maturity = configuration["policy"]["label_maturity"]
    is_mature = result.labels >= maturity * result.predictions
    said = Result(
        source=Source.ANALYSIS,
        signals=signals.of_analysis(result.algorithms, result.drift, is_mature),
        baseline=result.baseline,
        until=result.window_end,
        counts=_is_new(result),
        reference=result.public_id,
    )
    take(version, result=said, actor=actor)


def _is_new(result: DriftResult) -> bool:
    """Tell whether it is about other rows than the analysis before.

    The same rows analysed twice are one result, however often a schedule asks.
    """
    before = (
        DriftResult.objects.filter(version=result.version_id, pk__lt=result.pk)
        .order_by("-pk")
        .values_list("provenance__rows_digest", flat=True)
        .first()
    )
    return before is None or before != result.provenance.get("rows_digest")


def _lock(version: ModelVersion) -> None:
    Assessment.objects.get_or_create(
        version=version, defaults={"organization_id": version.organization_id}
    )
    Assessment.objects.select_for_update().get(version=version)


def _step(
    version: ModelVersion,
    alarm: Alarm | None,
    signal: Signal,
    result: Result,
    told: _Told,
) -> None:
    if alarm is not None and result.until < alarm.until:
        return
    before = State() if alarm is None else _state_of(alarm)
    after, event = alarms.step(before, signal, counts=result.counts)
    if alarm is None:
        if event is None:
            return
        alarm = Alarm(
            organization_id=version.organization_id,
            version=version,
            cause=signal.cause[:300],
            source=result.source,
            baseline=result.baseline,
        )
    alarm.is_raised = after.is_raised
    alarm.level = int(after.level)
    alarm.quiet_results = after.quiet_results
    alarm.title, alarm.detail = signal.title[:500], dict(signal.detail)
    alarm.until = result.until
    if event in {"raised", "worsened"}:
        _raise(version, alarm, result, told, event)
    elif event == "cleared":
        _clear(alarm, result, told)
    alarm.save()


def _state_of(alarm: Alarm) -> State:
    if alarm.finding is not None and alarm.finding.is_closed:
        # Somebody has closed it: the same breach is a new one.
        return State()
    return State(alarm.is_raised, Level(alarm.level), alarm.quiet_results)


def _raise(
    version: ModelVersion, alarm: Alarm, result: Result, told: _Told, event: Event
) -> None:
    others = list(_others(alarm))
    is_news = all(one.level < alarm.level for one in others)
    if event == "raised":
        alarm.baseline, alarm.raised_at = result.baseline, timezone.now()
        alarm.cleared_at = None
    alarm.finding = _finding(version, alarm, result)
    if is_news:
        told.add("worsened" if others else event, alarm)


def _others(alarm: Alarm) -> Iterator[Alarm]:
    """Yield the alarms of the same cause that another source has raised."""
    same = Alarm.objects.raised().filter(version=alarm.version_id, cause=alarm.cause)
    yield from same.exclude(source=alarm.source)


def _finding(version: ModelVersion, alarm: Alarm, result: Result) -> Finding:
    """Return the cause's finding: the one that isn't closed, or a new one."""
    severity = SEVERITY[Level(alarm.level)]
    known = (
        Finding.objects.not_closed().filter(version=version, cause=alarm.cause).first()
    )
    if known is not None:
        findings.breach_again(known, reason=alarm.title, actor=None)
        rank = findings.SEVERITIES.index
        if rank(known.severity) >= rank(severity):
            return known
    detail = {**alarm.detail, "source": alarm.source, "result": result.reference}
    return findings.open_finding(
        version,
        cause=alarm.cause,
        severity=severity,
        title=alarm.title,
        detail=detail,
        actor=None,
    )


def _clear(alarm: Alarm, result: Result, told: _Told) -> None:
    alarm.cleared_at = timezone.now()
    if any(True for _ in _others(alarm)):
        return
    told.add("cleared", alarm)
    is_comparable = alarm.baseline_id == result.baseline.pk
    if alarm.finding is not None and is_comparable:
        # Measured against another baseline it would say nothing.
        reason = (
            f"Back within limits in {alarms.QUIET_RESULTS} results in a row: "
            f"{alarm.title}."
        )
        findings.settle(alarm.finding, reason=reason, actor=None)


def _notify(
    version: ModelVersion,
    event: Event,
    found: list[Alarm],
    result: Result,
    settings: AlertSettings,
) -> None:
    names = [alarm.title for alarm in found]
    more = "" if len(names) == 1 else f" and {len(names) - 1} more"
    Notification.objects.create(
        organization_id=version.organization_id,
        event=f"alert.{event}",
        version=version,
        subject=f"{version} {_WORDS[event]}: {names[0]}{more}"[:500],
        payload={
            "model": version.model.name,
            "version": version.version,
            "source": result.source,
            "result": result.reference,
            "severity": max(
                (_severity(alarm) for alarm in found), key=findings.SEVERITIES.index
            ),
            "alerts": [_told(alarm) for alarm in found],
            "channels": settings.channels.to_json(),
        },
    )


def _severity(alarm: Alarm) -> str:
    return SEVERITY.get(Level(alarm.level), Severity.LOW).value


def _told(alarm: Alarm) -> dict[str, Any]:
    return {
        "cause": alarm.cause,
        "title": alarm.title,
        "level": Level(alarm.level).name.lower(),
        "detail": alarm.detail,
        "finding": alarm.finding_id,
    }


def _remember(
    version: ModelVersion,
    event: Event,
    found: list[Alarm],
    result: Result,
    *,
    actor: Actor | None,
) -> None:
    record(
        version.organization_id,
        actor=actor,
        action=f"alert.{event}",
        object=version,
        after={
            "source": result.source,
            "result": result.reference,
            "alerts": [_told(alarm) for alarm in found],
        },
    )
