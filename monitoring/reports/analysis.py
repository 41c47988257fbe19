"""The whole analysis of two files, as one value that becomes JSON or a page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from monitoring import laboratory
from monitoring.detectors import DETECTORS
from monitoring.laboratory import Findings, Settings, Side
from monitoring.reports import clocks, gaps, moves, performances, streams
from monitoring.reports.cases import Case, Rows
from monitoring.reports.clocks import Chunk
from monitoring.reports.gaps import Clock
from monitoring.reports.moves import ChunkMoves, Mover, Season
from monitoring.reports.performances import Performance
from monitoring.reports.plan import Plan
from monitoring.reports.streams import Streamed
from monitoring.stats import fairness, quality, realized, root_cause
from monitoring.stats.columns import Codes, Values
from monitoring.stats.fairness import FairnessReport
from monitoring.stats.grid import Grid
from monitoring.stats.quality import QualityReport
from monitoring.stats.report import Status, plain, worst

SCHEMA = "driftguard.drift_report/1"
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """What two files say.

    Attributes
    ----------
    case : Case
        The files, as they were read.
    settings : Settings
        What was run.
    findings : Findings
        The registry's results on all rows.
    quality : QualityReport
    causes : dict
        Columns, bins and slices behind the drift.
    variety : dict of str to (int, int)
        Different values of each column: reference, current.
    chunks : list of Chunk
    moves : list of ChunkMoves
        Drift of the chunks.
    season : Season or None
        Drift of all rows against the same calendar months.
    calendar : dict of str to str
        Columns that follow from the time stamp, by which part of it.
    performance : Performance or None
    streams : list of Streamed
    fairness : (FairnessReport, FairnessReport) or None
        Of the reference and of the current file.
    clocks : (Clock, Clock)
        Of both.
    created_at : datetime
    """

    case: Case
    settings: Settings
    findings: Findings
    quality: QualityReport
    causes: Mapping[str, Any]
    variety: Mapping[str, tuple[int, int]]
    chunks: list[Chunk]
    moves: list[ChunkMoves]
    season: Season | None
    calendar: Mapping[str, str]
    performance: Performance | None
    streams: list[Streamed]
    fairness: tuple[FairnessReport, FairnessReport] | None
    clocks: tuple[Clock, Clock]
    created_at: datetime


def settings_of(plan: Plan, apart: tuple[str, ...]) -> Settings:
    """Return what is run: named algorithms also vote, where they can."""
    if plan.algorithms is None:
        return Settings(apart=apart)
    voting = [name for name in plan.algorithms if DETECTORS[name].may_vote]
    return Settings(enabled=plan.algorithms, voting=voting, apart=apart)


def run(case: Case, *, tell: Tell | None = None) -> Report:
    """Return the report on two files.

    1. Measure all rows by the whole registry, with quality and causes.
    2. Measure chunk by chunk, also against the same season.
    3. Estimate and realize performance, feed the streams, look at the groups.

    Parameters
    ----------
    case : Case
        The files.
    tell : callable, optional
        Told in a word what comes next.

    """
    say = tell or _silent
    columns = _columns(case, case.reference), _columns(case, case.current)
    apart = tuple(name for name in columns[0] if name not in case.kinds)
    settings = settings_of(case.plan, apart)
    kinds = {**case.kinds, **{name: _kind(columns[0][name]) for name in apart}}
    say("the reference")
    grid = Grid.fit(columns[0], kinds)
    findings = laboratory.run(
        Side(columns[0], case.reference.outcomes),
        Side(columns[1], case.current.outcomes),
        grid,
        settings,
        on_step=lambda name, _: say(name),
    )
    say("causes")
    causes = root_cause.explain(findings.drift, columns[0], columns[1], case.kinds)
    say("chunks")
    chunks = clocks.chunks(case.plan, case.current.times, len(case.current))
    mover = Mover(case, grid, columns, settings)
    moved = [mover.chunk(chunk) for chunk in chunks]
    say("performance")
    performance = _performance(case, chunks)
    say("streams")
    return Report(
        case,
        settings,
        findings,
        quality.assess(grid, findings.counts),
        causes,
        {name: _variety(name, columns) for name in kinds},
        chunks,
        moved,
        mover.whole(),
        mover.calendar,
        performance,
        streams.run(case, settings),
        _fairness(case),
        (gaps.read(case.reference.times), gaps.read(case.current.times, chunks)),
        datetime.now(UTC),
    )


def _silent(_word: str) -> None:
    """Tell nobody."""


def _columns(case: Case, rows: Rows) -> dict[str, Values]:
    """Return the inputs, then the model's answer and the label under their own names.

    The last two are set apart: they may drift, but they are no inputs.
    """
    columns = dict(rows.columns)
    plan, outcomes = case.plan, rows.outcomes
    if case.layout is not None and outcomes is not None:
        answers = outcomes.answers
        name = plan.probabilities[0] if plan.probabilities else plan.prediction
        if name is not None and np.isfinite(answers.scores).any():
            columns[name] = answers.scores
        elif name is not None:
            columns[name] = Codes(answers.predicted, case.layout.class_names)
    if plan.label is not None and case.reference.label is not None:
        empty = case.reference.label
        missing: Values = np.full(len(rows), np.nan)
        if isinstance(empty, Codes):
            missing = Codes(np.full(len(rows), -1), ())
        columns[plan.label] = missing if rows.label is None else rows.label
    return columns


def _kind(column: Values) -> Any:
    return "categorical" if isinstance(column, Codes) else "numeric"


def _variety(
    name: str, columns: tuple[Mapping[str, Values], Mapping[str, Values]]
) -> tuple[int, int]:
    before, after = (moves.varied(side[name]) for side in columns)
    return before, after


def _performance(case: Case, chunks: list[Chunk]) -> Performance | None:
    reference, current = case.reference.outcomes, case.current.outcomes
    if reference is None or current is None:
        return None
    return performances.measure(reference, current, chunks)


def _fairness(case: Case) -> tuple[FairnessReport, FairnessReport] | None:
    if not case.plan.protected or case.layout is None:
        return None
    before, after = (_groups(case, rows) for rows in (case.reference, case.current))
    return before, after


def _groups(case: Case, rows: Rows) -> FairnessReport:
    layout, outcomes = case.layout, rows.outcomes
    if layout is None or outcomes is None:
        return FairnessReport()
    tally = layout.count(outcomes.answers, rows.label, rows.groups)
    return fairness.report(realized.groups(layout, tally))


def to_json(report: Report, sentences: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the report as plain JSON; every number in it is finite.

    docs/drift_report.md describes the fields.
    """
    case, findings = report.case, report.findings
    performance = report.performance
    found = {
        "schema": SCHEMA,
        "created_at": report.created_at.isoformat(),
        "reference": _file(case.reference, report.clocks[0]),
        "current": _file(case.current, report.clocks[1]),
        "settings": _settings(report),
        "notes": list(case.notes),
        "status": findings.status.value,
        "sentences": list(sentences),
        "columns": [_column(report, name) for name in findings.drift.columns],
        "univariate": findings.drift.to_json()["algorithms"],
        "algorithms": {
            name: one.to_json() for name, one in findings.algorithms.items()
        },
        "causes": report.causes,
        "calendar": dict(report.calendar),
        "season": None if report.season is None else report.season.to_json(),
        "performance": None if performance is None else _performance_json(report),
        "chunks": [_chunk(report, place) for place in range(len(report.chunks))],
        "streams": [one.to_json() for one in report.streams],
        "fairness": _fairness_json(report),
    }
    result: dict[str, Any] = finite(found)
    return result


def finite(value: Any) -> Any:
    """Return plain JSON with null for what isn't finite, however deep it lies."""
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    return plain(value)


def _file(rows: Rows, clock: Clock) -> dict[str, Any]:
    times = rows.times
    ends: list[str | None] = [None, None]
    if times is not None:
        ends = [clocks.moment(time).isoformat() for time in (times[0], times[-1])]
    return {
        "file": str(rows.table.path),
        "sha256": rows.table.digest,
        "rows": len(rows),
        "first": ends[0],
        "last": ends[1],
        "clock": clock.to_json(),
    }


def _settings(report: Report) -> dict[str, Any]:
    plan, settings, layout = report.case.plan, report.settings, report.case.layout
    return {
        "task": None if layout is None else layout.task.value,
        "prediction": plan.prediction,
        "probabilities": list(plan.probabilities),
        "label": plan.label,
        "timestamp": plan.timestamp,
        "categorical": sorted(plan.categorical),
        "excluded": sorted(plan.excluded),
        "protected": {
            name: None if bands is None else list(bands)
            for name, bands in plan.protected.items()
        },
        "classes": None if layout is None else list(layout.classes),
        "positive": None if layout is None else layout.positive,
        "favourable": None if layout is None else layout.favourable,
        "threshold": None if layout is None else layout.threshold,
        "chunk_rows": plan.chunk_rows,
        "period": plan.period,
        "alpha": settings.alpha,
        "min_rows": settings.min_rows,
        "algorithms": {
            name: {
                "family": detector.family,
                "warning": None if limits is None else limits[0],
                "alert": None if limits is None else limits[1],
                "votes": settings.votes(name),
                "parameters": settings.parameters_of(name),
            }
            for name, detector in DETECTORS.items()
            if settings.runs(name)
            for limits in [settings.limits(name)]
        },
    }


def _column(report: Report, name: str) -> dict[str, Any]:
    column = report.findings.drift.columns[name]
    checked = report.quality.columns[name]
    before, after = report.variety[name]
    return {
        **column.to_json(),
        "is_input": name in report.case.kinds,
        "calendar": report.calendar.get(name),
        "distinct": after,
        "distinct_baseline": before,
        "moved_bins": root_cause.moved_bins(column),
        "quality": {
            "findings": list(checked.findings),
            "checks": {
                check: {field: getattr(share, field) for field in share.__slots__}
                for check, share in checked.checks.items()
            },
            "new_categories": dict(checked.new_categories),
            "vanished_categories": list(checked.vanished_categories),
        },
    }


def _chunk(report: Report, place: int) -> dict[str, Any]:
    chunk, moved = report.chunks[place], report.moves[place]
    performance = report.performance
    point = None if performance is None else performance.chunks[place].to_json()
    absent = report.clocks[1].by_chunk
    return {
        "label": chunk.label,
        "first": chunk.first,
        "stop": chunk.stop,
        "start": None if chunk.start is None else chunk.start.isoformat(),
        "end": None if chunk.end is None else chunk.end.isoformat(),
        "rows": len(chunk),
        "absent_steps": absent[place] if absent else None,
        "status": moved.status.value,
        "columns": {name: move.to_json() for name, move in moved.columns.items()},
        "season": None if moved.season is None else moved.season.to_json(),
        "performance": point,
    }


def _performance_json(report: Report) -> dict[str, Any]:
    found = {} if report.performance is None else report.performance.to_json()
    results = [
        one.result.status
        for one in report.findings.algorithms.values()
        if one.family == "performance"
    ]
    status = worst(results) or Status.INSUFFICIENT_DATA
    return {"status": status.value, **found}


def _fairness_json(report: Report) -> dict[str, Any] | None:
    if report.fairness is None:
        return None
    before, after = report.fairness
    return {"reference": before.to_json(), "current": after.to_json()}
