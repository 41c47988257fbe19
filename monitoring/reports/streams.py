"""Changes in the course of the current rows: of the errors, the answers, the inputs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from governance.schema import Task
from monitoring import laboratory
from monitoring.laboratory import Finding, Settings
from monitoring.reports.cases import Case, Rows
from monitoring.reports.clocks import Moments
from monitoring.stats.drops import Outcomes
from monitoring.stats.moments import moments
from monitoring.stats.tally import Floats

# Cheap enough for every numeric input, and quiet while nothing changes.
OF_INPUTS = "adwin"


@dataclass(frozen=True, slots=True)
class Streamed:
    """One stream over one series of values."""

    subject: str  # "error", "answer" or "input"
    column: str  # what it is the error, the answer or the values of
    finding: Finding

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {
            "subject": self.subject,
            "column": self.column,
            "algorithm": self.finding.name,
            **self.finding.to_json(),
        }


@dataclass(frozen=True, slots=True)
class _Series:
    subject: str
    column: str
    kind: str  # "errors" in [0, 1] or "values"
    before: Floats
    values: Floats


def run(case: Case, settings: Settings) -> list[Streamed]:
    """Feed every stream with the current rows, in the order of time or of the file.

    Errors and answers go to all streams that take them, numeric inputs to ADWIN. An
    index counts the rows of the series that have a value, from 0.
    """
    times = case.current.times
    found = []
    for series in _series(case):
        known = ~np.isnan(series.values)
        mine = None if times is None else Moments(times[known])
        scale = _spread(series.before)
        for detector in settings.wanted("streaming"):
            is_input = series.subject == "input"
            if series.kind not in detector.kinds or (
                is_input and detector.name != OF_INPUTS
            ):
                continue
            streamed = laboratory.stream(
                detector.name,
                series.values[known],
                mine,
                settings=settings,
                scale=scale,
            )
            found.append(Streamed(series.subject, series.column, streamed.finding))
    return found


def _series(case: Case) -> Iterator[_Series]:
    plan = case.plan
    sides = case.reference.outcomes, case.current.outcomes
    if sides[0] is not None and sides[1] is not None:
        errors = [_errors(side) for side in sides if side is not None]
        kind = "values" if sides[0].task is Task.REGRESSION else "errors"
        if not np.isnan(errors[1]).all():
            yield _Series("error", plan.label or "", kind, *errors)
        answer = plan.probabilities[0] if plan.probabilities else plan.prediction
        scores = [side.answers.scores for side in sides if side is not None]
        if not np.isnan(scores[1]).all():
            yield _Series("answer", answer or "", "values", *scores)
    for name, kind in case.kinds.items():
        if kind == "numeric":
            yield _Series("input", name, "values", *map(_column(name), _sides(case)))


def _sides(case: Case) -> tuple[Rows, Rows]:
    return case.reference, case.current


def _column(name: str) -> Any:
    return lambda side: np.asarray(side.columns[name], np.float64)


def _errors(side: Outcomes) -> Floats:
    """Return 0 and 1 for right and wrong, or absolute errors; NaN without a label."""
    if side.task is Task.REGRESSION:
        values = side.values
        if values is None:
            return np.full(len(side.answers), np.nan)
        with np.errstate(over="ignore"):
            return np.abs(side.answers.scores - values)
    if side.codes is None:
        return np.full(len(side.answers), np.nan)
    known = (side.codes >= 0) & (side.answers.predicted >= 0)
    return np.where(known, side.codes != side.answers.predicted, np.nan)


def _spread(values: Floats) -> float | None:
    known = values[np.isfinite(values)]
    return moments(known)[1] or None if len(known) else None
