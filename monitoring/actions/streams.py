"""Streams: changes in a version's errors and scores, each row fed once.

The memory of a stream lives with the version. Rows are fed in the order of (time
stamp, id) from behind the row that was fed last. A row that arrives, or whose label
does, when a later one was fed already is *late* and passed over: fed out of order it
would make up a change where there is none. A model with a label horizon has its errors
fed up to the first hour whose labels aren't in, so that few are late.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, overload

import numpy as np
from django.utils import timezone

from governance.models import ModelVersion
from governance.schema import Task
from monitoring import laboratory
from monitoring.actions.periods import Window
from monitoring.actions.windows import Rows
from monitoring.detectors import Detector
from monitoring.laboratory import Finding, Settings
from monitoring.models import StreamState
from monitoring.stats.drops import Outcomes
from monitoring.stats.measure import Measure
from monitoring.stats.report import AlgorithmResult, Status, worst
from monitoring.stats.tally import Floats, Ints
from monitoring.stats.verdicts import verdict

Series = StreamState.Series
# Between two pieces the job tells where it is, and learns that it was cancelled.
ROWS_AT_ONCE = 25_000
MOST_CHANGES = 1_000
_HOUR = 3_600_000_000  # µs
# Of an absolute error: its square is finite.
_MOST = 1e150


@dataclass(frozen=True, slots=True, eq=False)
class _Values:
    """A series of a window: values in the order of time, NaN where there is none."""

    series: Series
    values: Floats
    scale: float | None  # standard deviation over the baseline
    are_errors: bool  # 0, 1 or between
    end: int  # rows before it may be fed
    reason: str  # why there is no value, if there is none


@dataclass(frozen=True, slots=True)
class _Part:
    """What one stream says of one series."""

    result: AlgorithmResult
    detail: dict[str, Any]
    fed: int = 0
    state: StreamState | None = None  # to be stored


@dataclass(frozen=True, slots=True)
class Fed:
    """What the streams said, and their memories, to be stored with the result."""

    findings: Mapping[str, Finding]
    states: Sequence[StreamState]


@dataclass(frozen=True, slots=True, eq=False)
class Feeding:
    """A window whose rows are fed to the streams of a version.

    Attributes
    ----------
    version, window, rows
        What is fed.
    settings : Settings
        Of the analysis.
    maturity : float
        From which share of labels an hour's errors are fed, if the model has a horizon.
    on_piece : callable
        Told the algorithm's name before each piece of work.
    """

    version: ModelVersion
    window: Window
    rows: Rows
    settings: Settings
    maturity: float
    on_piece: Callable[[str], None]

    def feed(self, outcomes: Outcomes | None, baseline: Outcomes | None) -> Fed:
        """Feed every stream with what is new.

        Nothing is stored: `store` does, in the transaction that stores the result, so
        that the rows of an analysis that isn't finished are fed again. Without
        `outcomes` nobody knows what the model answers.
        """
        known = {
            (state.algorithm, state.series): state
            for state in StreamState.objects.filter(version=self.version)
        }
        every = [] if outcomes is None else self._series(outcomes, baseline)
        findings, states = {}, []
        for detector in self.settings.wanted("streaming"):
            parts = {
                one.series: self._feed(
                    detector, one, known.get((detector.name, one.series))
                )
                for one in every
                # What counts wrong answers has nothing to count in a regression.
                if one.are_errors or "values" in detector.kinds
            }
            if not parts and every:
                continue
            findings[detector.name] = self._together(detector, parts)
            states += [p.state for p in parts.values() if p.state is not None]
        return Fed(findings, states)

    def _series(self, outcomes: Outcomes, baseline: Outcomes | None) -> list[_Values]:
        errors, scores = _errors(outcomes), outcomes.answers.scores
        before = None if baseline is None else _errors(baseline)
        return [
            _Values(
                Series.ERRORS,
                errors,
                None if before is None else _spread(before),
                outcomes.task is not Task.REGRESSION,
                self._mature(errors),
                "no row has a label" if np.isnan(errors).all() else "",
            ),
            _Values(
                Series.SCORES,
                scores,
                None if baseline is None else _spread(baseline.answers.scores),
                False,
                len(self.rows),
                "no row has a score" if np.isnan(scores).all() else "",
            ),
        ]

    def _mature(self, errors: Floats) -> int:
        """Return before which row errors may be fed.

        That is the first hour that waits for labels. Without a label horizon nobody
        knows how long to wait, so nothing waits.
        """
        horizon = self.version.model.label_horizon_max
        if horizon is None or not len(self.rows):
            return len(self.rows)
        hours, starts, counts = np.unique(
            self.rows.times // _HOUR, return_index=True, return_counts=True
        )
        labelled = np.add.reduceat(~np.isnan(errors), starts, dtype=np.int64)
        passed = (timezone.now() - horizon).timestamp() * 1e6
        is_open = (hours + 1) * _HOUR > passed
        waits = (labelled < self.maturity * counts) & is_open
        return int(starts[np.argmax(waits)]) if waits.any() else len(self.rows)

    def _feed(
        self, detector: Detector, values: _Values, state: StreamState | None
    ) -> _Part:
        if state is not None and not self._goes_on(detector, values, state):
            state = None
        first = 0
        if state is not None:
            first = self.rows.behind(state.fed_until, state.fed_id)
        places = np.arange(first, max(values.end, first))
        places = places[~np.isnan(values.values[places])]
        memory = None if state is None else bytes(state.state)
        changes = [] if state is None else list(state.changes)
        for start in range(0, len(places), ROWS_AT_ONCE):
            self.on_piece(detector.name)
            piece = places[start : start + ROWS_AT_ONCE]
            fed = laboratory.stream(
                detector.name,
                values.values[piece],
                _Times(self.rows, piece),
                settings=self.settings,
                scale=values.scale,
                state=memory,
            )
            if fed.stream is None:
                reason = fed.finding.result.reason
                return _Part(fed.finding.result, {"reason": reason})
            memory = fed.stream.to_bytes()
            changes += [change.to_json() for change in fed.changes]
        if memory is None or not len(places):
            return self._said(detector, values, state, 0)
        fresh = StreamState(
            organization_id=self.version.organization_id,
            version=self.version,
            algorithm=detector.name,
            series=values.series,
            state=memory,
            fed_from=self.rows.moment(places[0]) if state is None else state.fed_from,
            fed_until=self.rows.moment(places[-1]),
            fed_id=self.rows.identifier(places[-1]),
            changes=changes[-MOST_CHANGES:],
            updated_at=timezone.now(),
        )
        said = self._said(detector, values, fresh, len(places))
        return replace(said, state=fresh)

    def _goes_on(self, detector: Detector, values: _Values, state: StreamState) -> bool:
        """Tell whether a memory is of today's parameters; else all begins anew."""
        stream: Any = detector.function
        try:
            stored = stream.from_bytes(state.state)
        except ValueError:
            return False
        wanted = laboratory.stream_parameters(
            detector.name, self.settings, values.scale
        )
        return bool(stored.parameters == stream(**wanted).parameters)

    def _said(
        self, detector: Detector, values: _Values, state: StreamState | None, fed: int
    ) -> _Part:
        """Return the changes inside of the window, whichever analysis fed them."""
        if state is None:
            return _nothing(values.reason or "the labels of the rows aren't in yet")
        if state.fed_until < self.window.start:
            return _nothing(values.reason or "no row of the window has been fed yet")
        if state.fed_from >= self.window.end:
            return _nothing("the window lies before all rows that were fed")
        inside = [
            change
            for change in state.changes
            if self.window.start
            <= datetime.fromisoformat(change["at"])
            < self.window.end
        ]
        measure = Measure(float(len(inside)), 0, fed)
        # A change is significant by itself, and there are no rows of a baseline.
        result = verdict(measure, self.settings.limits(detector.name), min_rows=0)
        detail = {
            "changes": inside,
            "fed": fed,
            "fed_from": state.fed_from.isoformat(),
            "fed_until": state.fed_until.isoformat(),
        }
        return _Part(result, detail, fed)

    def _together(self, detector: Detector, parts: Mapping[Series, _Part]) -> Finding:
        """Return one finding over all series, the worst of them."""
        known = parts or {
            Series.ERRORS: _nothing("the task of the model isn't known"),
        }
        results = [part.result for part in known.values()]
        scores = [result.score for result in results if result.score is not None]
        status = worst(result.status for result in results)
        shown = next((one for one in results if one.status == status), results[0])
        measure = None
        if scores:
            detail = {"series": {str(one): part.detail for one, part in known.items()}}
            fed = sum(part.fed for part in known.values())
            measure = Measure(max(scores), 0, fed, detail=detail)
        name = detector.name
        result = replace(
            shown, score=max(scores, default=None), votes=self.settings.votes(name)
        )
        parameters = self.settings.parameters_of(name)
        return Finding(name, "streaming", result, measure, parameters)


def store(states: Iterable[StreamState]) -> None:
    """Keep memories; belongs into the transaction that stores the result."""
    StreamState.objects.bulk_create(
        states,
        update_conflicts=True,
        unique_fields=["version", "algorithm", "series"],
        update_fields=[
            "state",
            "fed_from",
            "fed_until",
            "fed_id",
            "changes",
            "updated_at",
        ],
    )


def _errors(side: Outcomes) -> Floats:
    """Return 1 for a wrong answer, 0 for a right one; of a regression how far off."""
    answers = side.answers
    if side.task is Task.REGRESSION:
        if side.values is None:
            return np.full(len(answers), np.nan)
        with np.errstate(over="ignore"):
            return np.minimum(np.abs(answers.scores - side.values), _MOST)
    if side.codes is None:
        return np.full(len(answers), np.nan)
    known = (answers.predicted >= 0) & (side.codes >= 0)
    return np.where(known, answers.predicted != side.codes, np.nan)


def _spread(values: Floats) -> float | None:
    known = values[np.isfinite(values)]
    if len(known) < 2:
        return None
    with np.errstate(over="ignore"):
        found = float(known.std())
    return found if 0 < found < np.inf else None


def _nothing(reason: str) -> _Part:
    result = AlgorithmResult(Status.NO_DATA, None, reason=reason)
    return _Part(result, {"reason": reason})


class _Times(Sequence[datetime]):
    """The time stamps of some rows, made when they are asked for."""

    def __init__(self, rows: Rows, places: Ints) -> None:
        self._rows, self._places = rows, places

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, at: int) -> datetime: ...

    @overload
    def __getitem__(self, at: slice) -> Sequence[datetime]: ...

    def __getitem__(self, at: int | slice) -> datetime | Sequence[datetime]:
        if isinstance(at, slice):
            return _Times(self._rows, self._places[at])
        return self._rows.moment(int(self._places[at]))
