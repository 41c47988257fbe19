"""The registry run on two sets of rows: what each algorithm says, or why nothing.

`run` is the whole of it: univariate, multivariate and performance algorithms on a
baseline and a window of raw rows. `stream` feeds one stream with what is new. An
algorithm that has nothing to say is told with its reason; one that fails is told by its
name and does not fail the others.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, cast

from monitoring.detectors import DETECTORS, Detector, Family
from monitoring.stats import drift, significance, univariate
from monitoring.stats.columns import Kind, Ordered, Values
from monitoring.stats.drift import Measured
from monitoring.stats.drops import Outcomes
from monitoring.stats.grid import Grid
from monitoring.stats.live import DISTANCES, Reading
from monitoring.stats.measure import Measure, NoDataError, NotMeasurableError
from monitoring.stats.report import AlgorithmResult, DriftReport, Status, plain, worst
from monitoring.stats.significance import NoDrift
from monitoring.stats.streaming import Change, Stream
from monitoring.stats.tally import OTHER, Floats, Tally
from monitoring.stats.verdicts import ALPHA, MIN_ROWS, Limits, verdict

logger = logging.getLogger(__name__)

# Called with the name of the next step and the share of the steps that is done.
OnStep = Callable[[str, float], None]

# Nothing is known of what the score is without drift.
_UNKNOWN = NoDrift(None, math.nan, math.nan)


@dataclass(frozen=True, slots=True)
class Settings:
    """What is run and how it is judged; what is not named is as the registry says.

    Attributes
    ----------
    enabled : collection of str, optional
        Names of the algorithms to run; all if None.
    voting : collection of str, optional
        Those that make the status; the registry's if None.
    thresholds : mapping of str to (warning, alert)
        In place of the registry's.
    parameters : mapping of str to mapping
        In place of the registry's, algorithm by algorithm.
    alpha, min_rows, importances, apart
        See `drift.Rules`.
    """

    enabled: Collection[str] | None = None
    voting: Collection[str] | None = None
    thresholds: Mapping[str, Limits] = field(default_factory=dict)
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    alpha: float = ALPHA
    min_rows: int = MIN_ROWS
    importances: Mapping[str, float] | None = None
    apart: Collection[str] = ()

    def runs(self, name: str) -> bool:
        """Whether an algorithm is run."""
        return self.enabled is None or name in self.enabled

    def votes(self, name: str) -> bool:
        """Whether an algorithm makes the status."""
        if self.voting is None:
            return DETECTORS[name].votes
        return name in self.voting and self.limits(name) is not None

    def limits(self, name: str) -> Limits | None:
        """Return the thresholds of an algorithm, None if it is never judged."""
        return self.thresholds.get(name, DETECTORS[name].thresholds)

    def parameters_of(self, name: str) -> dict[str, Any]:
        """Return every parameter that an algorithm is run with."""
        return {**DETECTORS[name].parameters, **self.parameters.get(name, {})}

    def wanted(self, family: Family) -> list[Detector]:
        """Return the algorithms of a family that are run."""
        return [
            one
            for one in DETECTORS.values()
            if one.family == family and self.runs(one.name)
        ]

    @property
    def rules(self) -> drift.Rules:
        """How the univariate algorithms are judged."""
        names = [one.name for one in self.wanted("univariate")]
        return drift.Rules(
            {name: self.limits(name) for name in names},
            [name for name in names if self.votes(name)],
            self.alpha,
            self.min_rows,
            self.importances,
            self.apart,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """Rows of a baseline or a window.

    Attributes
    ----------
    columns : mapping of str to array, sequence or Codes
        As `Grid.count` takes them; a value that was refused is left out or missing.
    outcomes : Outcomes, optional
        What the model answered, and what was true; of rows of their own.
    invalid : mapping of str to int
        How many values of a column were refused.
    """

    columns: Mapping[str, Values]
    outcomes: Outcomes | None = None
    invalid: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one algorithm says of all rows; `result.reason` tells why it doesn't."""

    name: str
    family: Family
    result: AlgorithmResult
    measure: Measure | None
    parameters: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, None for what isn't finite."""
        result = {name: plain(getattr(self.result, name)) for name in _RESULT}
        measure = self.measure
        return {
            **result,
            "drift": self.result.drift,
            "family": self.family,
            "statistic": None if measure is None else plain(measure.statistic),
            "n": None if measure is None else measure.n,
            "n_baseline": None if measure is None else measure.n_baseline,
            "detail": {} if measure is None else plain(measure.detail),
            "parameters": plain(dict(self.parameters)),
        }


# Of a result; the others are figures of univariate algorithms alone.
_RESULT = (
    "status",
    "score",
    "interval",
    "p_value",
    "p_value_method",
    "warning",
    "alert",
    "significant",
    "votes",
    "reason",
)


@dataclass(frozen=True, slots=True)
class Findings:
    """What the registry says of a window."""

    drift: DriftReport  # the univariate algorithms, column by column
    algorithms: Mapping[str, Finding]  # the others
    counts: Tally  # of the window, on the baseline's grid

    @property
    def status(self) -> Status:
        """The worst of the measured voting algorithms."""
        voted = (
            one.result.status for one in self.algorithms.values() if one.result.votes
        )
        return worst((self.drift.status, *voted)) or Status.INSUFFICIENT_DATA


def run(
    baseline: Side,
    window: Side,
    grid: Grid,
    settings: Settings,
    *,
    on_step: OnStep | None = None,
) -> Findings:
    """Run the univariate, multivariate and performance algorithms on two sets of rows.

    Parameters
    ----------
    baseline, window : Side
        Columns that `settings.apart` names are no inputs: left out of what looks at all
        columns at once.
    grid : Grid
        Of the baseline's columns.
    settings : Settings
        What is run.
    on_step : callable, optional
        Told what comes next.

    """
    kinds = {
        name: column.kind
        for name, column in grid.columns.items()
        if name not in settings.apart
    }
    task = None
    if baseline.outcomes is not None and window.outcomes is not None:
        task = baseline.outcomes.task.value
    others = [
        *settings.wanted("multivariate"),
        *(one for one in settings.wanted("performance") if task in one.kinds),
        *settings.wanted("custom"),
    ]
    steps = 1 + len(others)
    tell = on_step or _silent
    tell("univariate", 0.0)
    report, counts = _columns(baseline, window, grid, settings)
    found = {}
    for place, detector in enumerate(others, 1):
        tell(detector.name, place / steps)
        found[detector.name] = _finding(detector, baseline, window, kinds, settings)
    return Findings(report, found, counts)


def _silent(_name: str, _share: float) -> None:
    """Tell nobody."""


def columns(
    baseline: Side, window: Side, grid: Grid, settings: Settings
) -> DriftReport:
    """Return what the univariate algorithms say, from the raw values of each column.

    Figures that are functions of counts are computed from the grid's counts, all others
    and every p-value from the values.
    """
    return _columns(baseline, window, grid, settings)[0]


def _columns(
    baseline: Side, window: Side, grid: Grid, settings: Settings
) -> tuple[DriftReport, Tally]:
    rules = settings.rules
    sides = _sides(baseline, window, grid)
    tally = grid.count(
        {name: mine for name, (_, mine) in sides.items()}, invalid=window.invalid
    )
    counted = drift.measured(grid, tally, rules)
    several = max(sum(one.enough for one in counted), 1)
    # Beyond so many categories a tally no longer tells them apart.
    lumped = {
        name
        for side in (grid.baseline, tally)
        for name, unseen in side.unseen.items()
        if OTHER in unseen
    }
    exact = []
    for one in counted:
        name = one.column.name
        kept = {} if name in lumped else _of_counts(one, settings)
        more = _of_values(one, sides.pop(name), settings, kept, several)
        exact.append(replace(one, readings=more))
    return drift.judged(exact, rules), tally


_Sides = tuple[Values | Ordered, Values | Ordered]


def _sides(baseline: Side, window: Side, grid: Grid) -> dict[str, _Sides]:
    """Return both sides of each column, numbers sorted once for all algorithms."""
    found: dict[str, _Sides] = {}
    for name, column in grid.columns.items():
        first, second = (side.columns.get(name, ()) for side in (baseline, window))
        if column.kind == "numeric":
            found[name] = Ordered(first), Ordered(second)
        else:
            found[name] = first, second
    return found


def _of_counts(one: Measured, settings: Settings) -> dict[str, Reading]:
    """Return the readings for which counts are all that is needed."""
    return {
        name: reading
        for name, reading in one.readings.items()
        if (name in DISTANCES or name == "chi_square")
        and settings.parameters_of(name) == dict(DETECTORS[name].parameters)
    }


def _of_values(
    one: Measured,
    sides: _Sides,
    settings: Settings,
    known: Mapping[str, Reading],
    several: int,
) -> dict[str, Reading]:
    """Return every reading of a column, in the order of the registry."""
    if not min(one.pair.n, one.pair.n_baseline):
        return {}
    found = {}
    for detector in settings.wanted("univariate"):
        name = detector.name
        if one.column.kind not in detector.kinds:
            continue
        if name in known:
            found[name] = known[name]
            continue
        parameters = settings.parameters_of(name)
        measure, failure = _measured(detector, *sides, **parameters)
        if measure is None:
            found[name] = Reading(
                math.nan,
                math.nan,
                _UNKNOWN,
                measurable=False,
                failed=failure.status is Status.FAILED,
                reason=failure.reason,
            )
            continue
        chance = _without_drift(name, one, sides, parameters, several)
        found[name] = _reading(measure, chance)
    return found


def _reading(measure: Measure, chance: NoDrift) -> Reading:
    return Reading(
        measure.score,
        measure.score,
        chance,
        measure.p_value,
        measure.p_value_method,
        measure.low_counts,
        measurable=math.isfinite(measure.score),
        reason="" if math.isfinite(measure.score) else "the values are too large",
    )


def _without_drift(
    name: str,
    one: Measured,
    sides: _Sides,
    parameters: Mapping[str, Any],
    several: int,
) -> NoDrift:
    """Return what chance does to a score, as far as that is known."""
    if name in DISTANCES and parameters.get("bins", "psi") != "psi":
        bins = univariate.bin_counts(*sides, parameters["bins"])
        return significance.without_drift(*bins, several)[name]
    reading = one.readings.get(name)
    return _UNKNOWN if reading is None else reading.no_drift


def _finding(
    detector: Detector,
    baseline: Side,
    window: Side,
    kinds: Mapping[str, Kind],
    settings: Settings,
) -> Finding:
    parameters = settings.parameters_of(detector.name)
    if detector.family == "performance":
        sides: tuple[Any, ...] = (baseline.outcomes, window.outcomes)
    else:
        sides = (
            {
                name: baseline.columns[name]
                for name in kinds
                if name in baseline.columns
            },
            {name: window.columns[name] for name in kinds if name in window.columns},
            kinds,
        )
    measure, failure = _measured(detector, *sides, **parameters)
    result = failure
    if measure is not None:
        result = verdict(
            measure,
            settings.limits(detector.name),
            alpha=settings.alpha,
            min_rows=settings.min_rows,
        )
    votes = settings.votes(detector.name)
    result = replace(result, votes=votes)
    return Finding(detector.name, detector.family, result, measure, parameters)


def _measured(
    detector: Detector, *sides: Any, **parameters: Any
) -> tuple[Measure | None, AlgorithmResult]:
    """Return a measure; or None, and a result that tells why."""
    try:
        return detector.function(*sides, **parameters), _NOTHING
    except NotMeasurableError as error:
        return None, _reasoned(error)
    except Exception as error:
        # Whatever goes wrong in one algorithm mustn't take the others with it.
        logger.exception("%s failed.", detector.name)
        told = str(error) or type(error).__name__
        return None, AlgorithmResult(Status.FAILED, None, reason=told)


_NOTHING = AlgorithmResult(Status.NO_DATA, None)


def _reasoned(error: NotMeasurableError) -> AlgorithmResult:
    empty = isinstance(error, NoDataError)
    status = Status.NO_DATA if empty else Status.INSUFFICIENT_DATA
    return AlgorithmResult(status, None, reason=str(error))


@dataclass(frozen=True, slots=True)
class Streamed:
    """What a stream says of the values that it was fed."""

    finding: Finding
    changes: tuple[Change, ...]
    stream: Stream | None  # to be kept, and fed with what comes next; None: it failed


def stream(
    name: str,
    values: Floats,
    times: Sequence[datetime] | None = None,
    *,
    settings: Settings,
    scale: float | None = None,
    state: bytes | memoryview | None = None,
) -> Streamed:
    """Feed a stream with new values and return the changes that it noticed.

    Parameters
    ----------
    name : str
        Of a streaming algorithm.
    values : float array, shape (n,)
        In the order of time, none of them fed before; NaN is passed over.
    times : sequence of datetime, optional
        Time stamps of the values.
    settings : Settings
        Parameters and thresholds.
    scale : float, optional
        The baseline's standard deviation, for algorithms whose thresholds are in units
        of it, unless the settings name another.
    state : bytes, optional
        What `Stream.to_bytes` wrote. A state of other parameters is not taken up.

    """
    parameters = stream_parameters(name, settings, scale)
    fed: list[tuple[Stream, list[Change]]] = []

    def feed(**wanted: Any) -> Measure:
        mine = cast(type[Stream], detector.function).resume(state, **wanted)
        before = mine.seen
        changes = mine.feed(values, times)
        fed.append((mine, changes))
        return _of_stream(mine, changes, before)

    detector = DETECTORS[name]
    measure, result = _measured(replace(detector, function=feed), **parameters)
    if measure is not None:
        # A change is significant by itself, and there are no rows of a baseline.
        result = verdict(measure, settings.limits(name), min_rows=0)
    result = replace(result, votes=settings.votes(name))
    finding = Finding(name, "streaming", result, measure, parameters)
    mine, changes = fed[0] if fed else (None, [])
    return Streamed(finding, tuple(changes), mine)


def stream_parameters(
    name: str, settings: Settings, scale: float | None
) -> dict[str, Any]:
    """Return what a stream is started with: see `stream`."""
    parameters = settings.parameters_of(name)
    is_set = "scale" in settings.parameters.get(name, {})
    if scale and "scale" in parameters and not is_set:
        parameters["scale"] = scale
    return parameters


def _of_stream(stream: Stream, changes: Sequence[Change], before: int) -> Measure:
    if stream.seen == before:
        raise NoDataError("there are no values")
    detail = {
        "changes": [change.to_json() for change in changes],
        "warned": stream.is_warned,
        "seen": stream.seen,
    }
    return Measure(float(len(changes)), before, stream.seen - before, detail=detail)
