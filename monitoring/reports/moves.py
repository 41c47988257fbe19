"""Drift chunk by chunk, against all of the reference and against the same season of it.

A month differs from a whole year because it is a month. Where the reference covers more
of the calendar than what it is compared with, each column is measured a second time,
against the reference's rows of the same calendar months.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitoring.laboratory import Settings
from monitoring.reports.cases import Case
from monitoring.reports.clocks import Chunk, Times
from monitoring.stats import drift
from monitoring.stats.columns import Codes, Kind, Values
from monitoring.stats.encoding import take
from monitoring.stats.grid import Grid
from monitoring.stats.report import ColumnDrift, DriftReport, Status, plain

# Fewer rows of the same season are no reference.
FEWEST = 100
# A column of one value for each date names dates only if its values are few.
FEW_VALUES = 31
# Distances shown chunk by chunk, whichever the column has.
SHOWN = ("psi", "ks_test", "chi_square")
DRIFT = (Status.WARNING, Status.ALERT)


@dataclass(frozen=True, slots=True)
class Move:
    """How far a column has moved in one chunk."""

    status: Status
    n: int
    missing: int
    direction: str | None
    scores: Mapping[str, float | None]

    @classmethod
    def of(cls, column: ColumnDrift) -> Move:
        """Return the little that a chunk shows of a column."""
        scores = {
            name: column.algorithms[name].score
            for name in SHOWN
            if name in column.algorithms
        }
        return cls(column.status, column.n, column.missing, column.direction, scores)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {
            "status": self.status.value,
            "n": self.n,
            "missing": self.missing,
            "direction": self.direction,
            **{name: plain(score) for name, score in self.scores.items()},
        }


Moves = Mapping[str, Move]


@dataclass(frozen=True, slots=True)
class Season:
    """Drift against the reference's rows of the same calendar months."""

    months: tuple[int, ...]  # 1 is January
    reference_rows: int
    status: Status
    columns: Moves

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {
            "months": list(self.months),
            "reference_rows": self.reference_rows,
            "status": self.status.value,
            "columns": {name: move.to_json() for name, move in self.columns.items()},
        }


@dataclass(frozen=True, slots=True)
class ChunkMoves:
    """The columns of one chunk."""

    status: Status
    columns: Moves
    season: Season | None


class Mover:
    """Measures chunks of a case.

    Attributes
    ----------
    calendar : dict of str to str
        Inputs that the time stamp determines in the reference, and by which part.
    """

    def __init__(
        self,
        case: Case,
        grid: Grid,
        columns: tuple[Mapping[str, Values], Mapping[str, Values]],
        settings: Settings,
    ) -> None:
        self._case, self._grid = case, grid
        self._reference, self._current = columns
        rules = settings.rules
        self._rules = drift.Rules(
            {
                name: limits
                for name, limits in rules.thresholds.items()
                if name in rules.voting or name in SHOWN
            },
            rules.voting,
            rules.alpha,
            rules.min_rows,
            rules.importances,
            rules.apart,
        )
        self._grids: dict[tuple[int, ...], Grid] = {}

    @cached_property
    def calendar(self) -> dict[str, str]:
        """Inputs that follow from the time stamp, and from which part of it."""
        times = self._case.reference.times
        if times is None:
            return {}
        parts = parts_of(times)
        found = {}
        for name in self._case.kinds:
            part = _determining(parts, self._reference[name])
            if part is not None:
                found[name] = part
        return found

    def chunk(self, chunk: Chunk) -> ChunkMoves:
        """Return how far the columns have moved in a chunk."""
        rows = np.arange(chunk.first, chunk.stop)
        columns = {name: take(one, rows) for name, one in self._current.items()}
        report = self._report(self._grid, columns)
        times = self._case.current.times
        mine = None if times is None else times[chunk.rows]
        return ChunkMoves(report.status, _moves(report), self._season(mine, columns))

    def whole(self) -> Season | None:
        """Return the drift of all current rows against the same season."""
        return self._season(self._case.current.times, self._current)

    def _report(self, grid: Grid, columns: Mapping[str, Values]) -> DriftReport:
        measured = drift.measured(grid, grid.count(columns), self._rules)
        return drift.judged(measured, self._rules)

    def _season(
        self, times: Times | None, columns: Mapping[str, Values]
    ) -> Season | None:
        before = self._case.reference.times
        if times is None or before is None:
            return None
        months = tuple(np.unique(month_of(times)).tolist())
        theirs = month_of(before)
        is_same = np.isin(theirs, months)
        rows = int(is_same.sum())
        if rows == len(before) or rows < FEWEST:
            return None
        if months not in self._grids:
            kinds: dict[str, Kind] = {
                name: one.kind for name, one in self._grid.columns.items()
            }
            place = np.flatnonzero(is_same)
            self._grids[months] = Grid.fit(
                {name: take(one, place) for name, one in self._reference.items()}, kinds
            )
        report = self._report(self._grids[months], columns)
        return Season(months, rows, report.status, _moves(report))


def _moves(report: DriftReport) -> dict[str, Move]:
    return {name: Move.of(column) for name, column in report.columns.items()}


def month_of(times: Times) -> NDArray[np.int64]:
    """Return the calendar month of each time stamp, 1 is January."""
    months: NDArray[np.int64] = times.astype("datetime64[M]").astype(np.int64)
    return months % 12 + 1


def parts_of(times: Times) -> dict[str, NDArray[np.int64]]:
    """Return the parts of time stamps that a column may stand for, the coarsest first.

    Examples
    --------
    >>> times = np.array(["2012-02-29T06:30", "2012-03-01"], "datetime64[us]")
    >>> {name: part.tolist() for name, part in parts_of(times).items()}
    {'month': [2, 3], 'weekday': [2, 3], 'time of day': [23400, 0], 'date': [229, 301]}

    """
    seconds = times.astype("datetime64[s]").astype(np.int64)
    days = times.astype("datetime64[D]")
    month = month_of(times)
    of_month = (days - times.astype("datetime64[M]")).astype(np.int64) + 1
    return {
        "month": month,
        "weekday": (days.astype(np.int64) + 3) % 7,
        "time of day": seconds % 86_400,
        "date": month * 100 + of_month,
    }


def _determining(parts: Mapping[str, NDArray[np.int64]], column: Values) -> str | None:
    """Return the part of the time stamp that a column is a function of."""
    codes = _codes(column)
    values = int(codes.max(initial=-1)) + 1
    if values < 2:
        return None
    for name, part in parts.items():
        _, keys = np.unique(part, return_inverse=True)
        several = int(keys.max(initial=0)) + 1
        # Of one row for each key anything is a function.
        if several < 2 or several > len(keys) / 2:
            continue
        if name == "date" and values > FEW_VALUES:
            continue
        if len(np.unique(keys * (values + 1) + codes)) == several:
            return name
    return None


def _codes(column: Values) -> NDArray[np.int64]:
    """Return positions among the different values; a missing one is a value too."""
    values = column.codes if isinstance(column, Codes) else np.asarray(column)
    found: NDArray[np.int64] = np.unique(values, return_inverse=True)[1]
    return found


def varied(column: Values) -> int:
    """Return how many different values a column has, missing ones apart."""
    if isinstance(column, Codes):
        return len(np.unique(column.codes[column.codes >= 0]))
    values = np.asarray(column, np.float64)
    return len(np.unique(values[~np.isnan(values)]))


def trapped(chunks: Sequence[ChunkMoves], whole: DriftReport) -> list[str]:
    """Return the columns that drift in more than half of the chunks, yet not in all.

    That is the mark of a column that follows the calendar: a chunk covers less of it
    than the reference does.
    """
    found = []
    for name, column in whole.columns.items():
        drifting = sum(one.columns[name].status in DRIFT for one in chunks)
        if column.status == Status.OK and 2 * drifting > len(chunks) > 1:
            found.append(name)
    return found
