"""What a result says about each cause of an alert.

A *cause* is what went wrong as a stable key, the same whoever noticed it: the column
that drifted, all inputs together, the performance, a stream. Rules of the policy that
fail for the same reason have the same one (`governance.actions.risk.cause_of`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from governance.decision import ERROR_METRICS
from governance.decision.causes import PERFORMANCE, drift_cause
from monitoring.alerting.settings import AlertSettings

Json = Mapping[str, Any]
# A score is back to normal below this share of its warning threshold.
QUIET_SHARE = 0.8
# The score of an algorithm where nothing has changed, if that isn't 0.
_NEUTRAL = {"domain_classifier": 0.5}
INPUTS = "inputs:together"
# The column of the model's own output, in a report and as people call it.
_SCORE = ("__score__", "the model's score")


class Level(IntEnum):
    """How bad it is."""

    NONE = 0
    WARNING = 1
    ALERT = 2


_LEVELS = {"ok": Level.NONE, "warning": Level.WARNING, "alert": Level.ALERT}


@dataclass(frozen=True, slots=True)
class Signal:
    """What one result says of one cause.

    Attributes
    ----------
    cause : str
        What went wrong, if anything.
    level : Level
        How bad it is.
    is_quiet : bool
        Whether every score lies clearly below its warning threshold.
    opens_at : Level
        From which level on somebody is told.
    title : str
        In words, with figures.
    detail : mapping
        Algorithm, score and thresholds of the worst, as plain JSON.
    subject : str
        The column, metric or series that it is about.
    levels : mapping of str to Level
        What each algorithm says alone.
    """

    cause: str
    level: Level
    is_quiet: bool
    opens_at: Level
    title: str
    detail: Json
    subject: str = ""
    levels: Mapping[str, Level] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Score:
    """One measured score with its thresholds."""

    label: str  # what it is a score of
    algorithm: str
    score: float
    warning: float
    alert: float
    level: Level
    detail: Json

    @property
    def excess(self) -> float:
        """How far beyond the warning threshold, 1 is at it."""
        neutral = _NEUTRAL.get(self.algorithm, 0.0)
        if self.warning <= neutral:
            neutral = 0.0
        return (self.score - neutral) / (self.warning - neutral)

    def to_json(self) -> dict[str, Any]:
        return {
            "algorithm": self.algorithm,
            "score": self.score,
            "warning": self.warning,
            "alert": self.alert,
            **self.detail,
        }


def _signal(
    cause: str, subject: str, scores: Iterable[_Score], opens_at: Level
) -> Iterator[Signal]:
    """Yield one signal of several scores of a cause; none if nothing is measured."""
    found = list(scores)
    if not found:
        return
    worst = max(found, key=lambda one: (one.level, one.excess))
    limit = worst.alert if worst.level is Level.ALERT else worst.warning
    sign = "<" if worst.level is Level.NONE else "≥"
    yield Signal(
        cause,
        worst.level,
        all(one.excess < QUIET_SHARE for one in found),
        opens_at,
        f"{worst.label} {worst.score:.3g} {sign} {limit:.3g}",
        worst.to_json(),
        subject,
        {
            name: max(one.level for one in found if one.algorithm == name)
            for name in dict.fromkeys(one.algorithm for one in found)
        },
    )


def of_columns(columns: Iterable[Json]) -> Iterator[Signal]:
    """Yield what the voting algorithms say of each column of a drift report."""
    for column in columns:
        name = column["name"]
        shown = _SCORE[1] if name == _SCORE[0] else name
        scores = [
            one
            for algorithm, result in column["algorithms"].items()
            if result["votes"]
            for one in _score(
                f"{shown}: {algorithm}",
                algorithm,
                result,
                {"column": shown, "direction": result.get("direction")},
            )
        ]
        yield from _signal(drift_cause(shown), shown, scores, Level.ALERT)


def of_inputs(algorithms: Mapping[str, Json]) -> Iterator[Signal]:
    """Yield what the voting algorithms over all columns at once say."""
    scores = [
        one
        for name, result in algorithms.items()
        if result["family"] in {"multivariate", "custom"} and result["votes"]
        for one in _score(f"all inputs: {name}", name, result, {})
    ]
    yield from _signal(INPUTS, "all inputs", scores, Level.ALERT)


def of_streams(algorithms: Mapping[str, Json]) -> Iterator[Signal]:
    """Yield what the voting streams say of the errors and of the scores."""
    found: dict[str, list[_Score]] = {}
    for name, result in algorithms.items():
        if result["family"] != "streaming" or not result["votes"]:
            continue
        warning, alert = result.get("warning"), result.get("alert")
        if result["status"] not in _LEVELS or warning is None or alert is None:
            continue
        for series, part in result["detail"].get("series", {}).items():
            changes = part.get("changes")
            if changes is None:
                continue
            score = float(len(changes))
            shown = {"status": _status(score, warning, alert), "score": score}
            detail = {"series": series, "changes": changes[-20:]}
            named = f"changes of the {series} found by {name}:"
            limits = {"warning": warning, "alert": alert}
            scores = found.setdefault(series, [])
            scores += _score(named, name, {**shown, **limits}, detail)
    for series, scores in found.items():
        yield from _signal(f"stream:{series}", series, scores, Level.WARNING)


def _status(score: float, warning: float, alert: float) -> str:
    if score >= alert:
        return "alert"
    return "warning" if score >= warning else "ok"


def _score(label: str, algorithm: str, result: Json, detail: Json) -> Iterator[_Score]:
    """Yield a result that was measured and judged."""
    level = _LEVELS.get(result["status"])
    score, warning, alert = (result.get(n) for n in ("score", "warning", "alert"))
    if level is None or score is None or warning is None or alert is None:
        return
    yield _Score(label, algorithm, score, warning, alert, level, detail)


def of_performance(
    measured: Json, settings: AlertSettings, *, fewest: int
) -> Iterator[Signal]:
    """Yield what the live view says of realized and estimated performance.

    Parameters
    ----------
    measured : mapping
        What `monitoring.actions.performance.measure` returned.
    settings : AlertSettings
        Whose limits count.
    fewest : int
        Rows of a window from which it is judged.
    """
    if not measured.get("task"):
        return
    accuracy = "mae" if measured["task"] == "regression" else "accuracy"
    names = list(dict.fromkeys([accuracy, measured["primary_metric"]]))
    scores: list[_Score] = []
    mature = next((one for one in measured["periods"] if one["is_mature"]), None)
    least = settings.min_baseline_sample_size
    if mature is not None and measured["baseline"]["labelled"] >= least:
        enough = mature["labelled"] >= fewest
        scores += _drops("realized", mature, names, settings) if enough else ()
    estimated = measured.get("estimated", {})
    window = estimated.get("start"), estimated.get("end")
    is_known = mature is not None and (mature["start"], mature["end"]) == window
    has_estimate = estimated.get("method") is not None and not is_known
    if has_estimate and estimated["used"] >= fewest:
        enough = (estimated.get("labelled_rows") or 0) >= least
        scores += _drops("estimated", estimated, names, settings) if enough else ()
    yield from _signal(PERFORMANCE, "performance", scores, Level.WARNING)


def _drops(
    source: str, told: Json, names: Iterable[str], settings: AlertSettings
) -> Iterator[_Score]:
    for name in names:
        drop = told["drops"].get(name)
        if drop is None:
            continue
        warning, alert = drop_limits(name, settings)
        level = Level.NONE
        if drop["low"] > 0:
            level = _LEVELS[_status(drop["value"], warning, alert)]
        what = "growth" if name in ERROR_METRICS else "drop"
        detail = {"metric": name, "source": source, **drop}
        label = f"{source} {what} of {name}"
        yield _Score(label, source, drop["value"], warning, alert, level, detail)


def drop_limits(metric: str, settings: AlertSettings) -> tuple[float, float]:
    """Return from which drop on there is a warning and an alert.

    That of an error is relative; its alert lies at twice the warning, as 0.15 and 0.30.
    """
    if metric in ERROR_METRICS:
        relative = settings.performance_drop_relative
        return relative, 2 * relative
    return settings.accuracy_drop_warning, settings.accuracy_drop_alert


def of_analysis(
    algorithms: Mapping[str, Json], drift: Json, is_mature: bool
) -> Iterator[Signal]:
    """Yield what an analysis says of each cause.

    Parameters
    ----------
    algorithms, drift : mapping
        Of a `DriftResult`.
    is_mature : bool
        Whether so many labels are in that realized performance can be judged.
    """
    yield from of_columns(drift["columns"])
    yield from of_inputs(algorithms)
    yield from of_streams(algorithms)
    hidden = () if is_mature else ("realized", "realized_error")
    yield from _of_performance(
        {name: one for name, one in algorithms.items() if name not in hidden}
    )


def _of_performance(algorithms: Mapping[str, Json]) -> Iterator[Signal]:
    """Yield what an analysis says of performance, whether that votes or not."""
    scores = [
        one
        for name, result in algorithms.items()
        if result["family"] == "performance"
        for one in _score(
            f"{name}: drop of {result['detail'].get('metric', 'performance')}",
            name,
            result,
            {"metric": result["detail"].get("metric")},
        )
    ]
    yield from _signal(PERFORMANCE, "performance", scores, Level.WARNING)
