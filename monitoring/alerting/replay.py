"""What alert settings would have done: stored results, judged by other thresholds.

Scores and their significance don't depend on thresholds, so a replay measures nothing:
it holds what was measured of each day against the limits, and lets the alarms take
their steps, with the hysteresis that they have.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from monitoring.alerting import alarms, signals
from monitoring.alerting.alarms import State
from monitoring.alerting.settings import AlertSettings, Override
from monitoring.alerting.signals import Level, Signal
from monitoring.alerting.strictness import Limits, thresholds_of
from monitoring.detectors import DETECTORS
from monitoring.stats.verdicts import judge

Json = Mapping[str, Any]
# A reply stays readable; the counts are of all.
MOST_EVENTS = 500


@dataclass(frozen=True, slots=True)
class Day:
    """The live view at the end of a day; see `monitoring.models.DayView`."""

    day: date
    rows: int
    baseline_rows: int
    readings: Json
    performance: Json


@dataclass(frozen=True, slots=True)
class Analysis:
    """The result of an analysis; see `monitoring.models.DriftResult`."""

    day: date  # on which its window ends
    algorithms: Json
    drift: Json
    is_mature: bool
    baseline_rows: int


@dataclass(frozen=True, slots=True)
class Judge:
    """Settings, and what they leave open.

    Attributes
    ----------
    settings : AlertSettings
        That are tried.
    defaults : mapping of str to (warning, alert) or None
        Thresholds where nothing is set: the policy's, else the registry's.
    fewest : int
        Rows of a window from which performance is judged.
    """

    settings: AlertSettings
    defaults: Mapping[str, Limits | None]
    fewest: int

    def limits(self, name: str) -> Limits | None:
        """Return the thresholds of an enabled algorithm, None of all others."""
        if name not in self.settings.algorithms:
            return None
        return thresholds_of(self.settings, name, self.defaults.get(name))

    @property
    def counted(self) -> frozenset[str]:
        """The enabled algorithms that the live view measures from counts."""
        overrides = self.settings.overrides
        return frozenset(
            name
            for name in self.settings.algorithms
            if name in DETECTORS
            and DETECTORS[name].live
            and not overrides.get(name, Override()).params
        )

    @property
    def analysed(self) -> frozenset[str]:
        """The enabled algorithms that only an analysis runs."""
        return frozenset(self.settings.algorithms) - self.counted

    def of_day(self, day: Day) -> Iterator[Signal]:
        """Yield what a day's live view would have said."""
        least = self.settings.min_baseline_sample_size
        if day.baseline_rows >= least:
            yield from signals.of_columns(
                {"name": name, "algorithms": self._of_column(readings)}
                for name, readings in day.readings.items()
            )
        if day.performance:
            yield from signals.of_performance(
                day.performance, self.settings, fewest=self.fewest
            )

    def _of_column(self, readings: Json) -> dict[str, Json]:
        found: dict[str, Json] = {}
        for name in self.counted:
            limits = self.limits(name)
            if name not in readings or limits is None:
                continue
            score, significant, chance, tested = readings[name]
            status = judge(
                score,
                limits,
                significant=significant,
                powerless=chance is not None and chance > limits[1],
                tested=tested,
            )
            found[name] = _told(score, limits, status.value)
        return found

    def of_analysis(self, analysis: Analysis) -> Iterator[Signal]:
        """Yield what an analysis would have said by the algorithms that need rows."""
        if analysis.baseline_rows < self.settings.min_baseline_sample_size:
            return
        judged = {
            name: self._of_result(name, result)
            for name, result in analysis.algorithms.items()
            if name in self.analysed and self.is_alike(name, result)
        }
        yield from signals.of_columns(
            {
                "name": column["name"],
                "algorithms": {
                    name: self._of_result(name, result)
                    for name, result in column["algorithms"].items()
                    if name in judged
                },
            }
            for column in analysis.drift.get("columns", ())
        )
        yield from signals.of_inputs(judged)
        yield from signals.of_streams(judged)

    def is_alike(self, name: str, result: Json) -> bool:
        """Tell whether an algorithm ran with the parameters that are tried."""
        wanted = dict(DETECTORS[name].parameters) if name in DETECTORS else {}
        wanted |= self.settings.overrides.get(name, Override()).params
        ran = {key: result.get("parameters", {}).get(key) for key in wanted}
        # The scale of a stream comes from the baseline unless it is set.
        if "scale" not in self.settings.overrides.get(name, Override()).params:
            ran.pop("scale", None)
            wanted.pop("scale", None)
        return ran == wanted

    def _of_result(self, name: str, result: Json) -> Json:
        limits = self.limits(name)
        score = result.get("score")
        is_measured = result.get("status") in {"ok", "warning", "alert", "unrated"}
        if limits is None or score is None or not is_measured:
            return {**result, "votes": False}
        significant = bool(result.get("significant", True))
        status = judge(score, limits, significant=significant)
        return {**result, **_told(score, limits, status.value)}


def _told(score: float, limits: Limits, status: str) -> dict[str, Any]:
    return {
        "score": score,
        "warning": limits[0],
        "alert": limits[1],
        "status": status,
        "votes": True,
    }


@dataclass(slots=True)
class Outcome:
    """What settings would have done."""

    alerts: int = 0  # raised or worsened
    cleared: int = 0
    events: list[dict[str, Any]] = field(default_factory=list)
    # Algorithm → feature → level → days, whatever the hysteresis makes of them.
    by_algorithm: dict[str, dict[str, dict[str, list[str]]]] = field(
        default_factory=dict
    )
    open_causes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON by the dialect's names."""
        return {
            "alerts": self.alerts,
            "cleared": self.cleared,
            "events": self.events[-MOST_EVENTS:],
            "eventsLeftOut": max(len(self.events) - MOST_EVENTS, 0),
            "stillOpen": sorted(self.open_causes),
            "algorithms": {
                name: {
                    "alertDays": _days(features, "alert"),
                    "warningDays": _days(features, "warning"),
                    "features": {
                        feature: {
                            "alertDays": levels.get("alert", []),
                            "warningDays": levels.get("warning", []),
                        }
                        for feature, levels in sorted(features.items())
                    },
                }
                for name, features in sorted(self.by_algorithm.items())
            },
        }


def _days(features: Mapping[str, Mapping[str, list[str]]], level: str) -> int:
    return len({day for levels in features.values() for day in levels.get(level, ())})


def replay(judge_: Judge, days: Iterable[Day], analyses: Iterable[Analysis]) -> Outcome:
    """Return what settings would have done on some days, in the order of time.

    Parameters
    ----------
    judge_ : Judge
        The settings; switched off they do nothing.
    days, analyses : iterable
        Of one version, each rising.

    Examples
    --------
    >>> reading = {"x": {"psi": [0.3, True, 0.01, False]}}
    >>> days = [Day(date(2026, 3, n), 500, 500, reading, {}) for n in (1, 2)]
    >>> outcome = replay(Judge(AlertSettings(), {"psi": (0.1, 0.25)}, 30), days, ())
    >>> outcome.alerts, outcome.by_algorithm["psi"]["x"]["alert"]
    (1, ['2026-03-01', '2026-03-02'])

    """
    outcome = Outcome()
    if not judge_.settings.enabled:
        return outcome
    said = [
        *((one.day, "live", list(judge_.of_day(one))) for one in days),
        *((one.day, "analysis", list(judge_.of_analysis(one))) for one in analyses),
    ]
    states: dict[tuple[str, str], State] = {}
    for day, source, found in sorted(said, key=lambda one: one[0]):
        for signal in found:
            _step(outcome, states, day, source, signal)
    outcome.open_causes = sorted(
        {cause for (cause, _), state in states.items() if state.is_raised}
    )
    return outcome


def _step(
    outcome: Outcome,
    states: dict[tuple[str, str], State],
    day: date,
    source: str,
    signal: Signal,
) -> None:
    for algorithm, level in signal.levels.items():
        if level is not Level.NONE:
            named = outcome.by_algorithm.setdefault(algorithm, {})
            levels = named.setdefault(signal.subject, {})
            levels.setdefault(level.name.lower(), []).append(day.isoformat())
    key = signal.cause, source
    states[key], event = alarms.step(states.get(key, State()), signal)
    if event is None:
        return
    outcome.alerts += event != "cleared"
    outcome.cleared += event == "cleared"
    outcome.events.append(
        {
            "date": day.isoformat(),
            "event": event,
            "cause": signal.cause,
            "feature": signal.subject,
            "level": signal.level.name.lower(),
            "source": source,
            "title": signal.title,
            **{
                name: signal.detail.get(name)
                for name in ("algorithm", "score", "warning", "alert")
            },
        }
    )


def unmeasured(judge_: Judge, analyses: Collection[Analysis]) -> list[dict[str, str]]:
    """Return the enabled algorithms that the replay knows nothing of, and why."""
    found = []
    for name in sorted(judge_.analysed):
        ran = [one for one in analyses if name in one.algorithms]
        if not ran:
            reason = "only analyses measure it, and none ran in these days"
        elif not any(judge_.is_alike(name, one.algorithms[name]) for one in ran):
            reason = "the analyses of these days ran it with other parameters"
        else:
            continue
        found.append({"algorithm": name, "reason": reason})
    unjudged = (name for name in sorted(judge_.counted) if judge_.limits(name) is None)
    reason = "it has no thresholds, so it is shown and never judged"
    return found + [{"algorithm": name, "reason": reason} for name in unjudged]
