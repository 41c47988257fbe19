"""What a baseline fixes about counting, and the counts of some rows under it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from governance.labels import band_names, number
from governance.schema import Schema, Task
from monitoring.stats import rows
from monitoring.stats.answers import Answers
from monitoring.stats.columns import Codes, Kind, Values
from monitoring.stats.grid import Grid
from monitoring.stats.outcomes import OutcomeLayout
from monitoring.stats.tally import Tally

# The name under which the model's own output is watched like a feature.
SCORE = "__score__"

Ranges = dict[str, list[float]]
Blob = bytes | memoryview


class Stored(Protocol):
    """A row of counts, as the database keeps it."""

    @property
    def rows(self) -> int:
        """Rows counted."""

    @property
    def labels(self) -> int:
        """Labels counted."""

    @property
    def columns(self) -> Blob:
        """The tally of the columns."""

    @property
    def outcomes(self) -> Blob | None:
        """The tally of the outcomes."""

    @property
    def ranges(self) -> Ranges:
        """Minimum and maximum of each numeric feature."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Everything counted of some rows; counts of disjoint rows add."""

    rows: int
    labels: int
    columns: Tally
    outcomes: Tally | None
    # Minimum and maximum of each numeric feature; only ever widened.
    ranges: Ranges = field(default_factory=dict)

    def __add__(self, other: Self) -> Self:
        outcomes = self.outcomes
        if outcomes is not None and other.outcomes is not None:
            outcomes = outcomes + other.outcomes
        return replace(
            self,
            rows=self.rows + other.rows,
            labels=self.labels + other.labels,
            columns=self.columns + other.columns,
            outcomes=outcomes,
            ranges=_widened(self.ranges, other.ranges),
        )

    def __neg__(self) -> Self:
        empty = Tally.empty(len(self.columns.ints), len(self.columns.sums))
        outcomes = None
        if self.outcomes is not None:
            none = Tally.empty(len(self.outcomes.ints), len(self.outcomes.sums))
            outcomes = none - self.outcomes
        return replace(
            self,
            rows=-self.rows,
            labels=-self.labels,
            columns=empty - self.columns,
            outcomes=outcomes,
        )


@dataclass(frozen=True, slots=True)
class Packed:
    """Counts in few bytes: of thousands of hours the others don't fit into memory."""

    rows: int
    labels: int
    columns: bytes
    outcomes: bytes | None
    ranges: Ranges


def _widened(one: Ranges, other: Ranges) -> Ranges:
    result = dict(one)
    for name, (low, high) in other.items():
        known = result.get(name, [low, high])
        result[name] = [min(low, known[0]), max(high, known[1])]
    return result


@dataclass(frozen=True)
class Gauge:
    """The grid of a baseline's columns and the layout of its outcomes."""

    grid: Grid
    layout: OutcomeLayout | None  # None: the task isn't known
    # Whether it is known which class each probability belongs to.
    is_ordered: bool = True

    @cached_property
    def kinds(self) -> dict[str, Kind]:
        """The kind of each feature; the score isn't one."""
        return {
            name: column.kind
            for name, column in self.grid.columns.items()
            if name != SCORE
        }

    def empty(self) -> Counts:
        """Return the counts of no rows."""
        return Counts(
            0,
            0,
            self.grid.empty(),
            None if self.layout is None else self.layout.empty(),
        )

    def count(self, table: pa.Table, schema: Schema) -> Counts:
        """Count logged rows; their labels come later."""
        columns, invalid = rows.columns_for(table, self.kinds)
        outcomes = None
        if self.layout is not None:
            answers = answers_of(self.layout, table, is_ordered=self.is_ordered)
            outcomes = self.layout.count(answers, None, groups(schema, table))
            if SCORE in self.grid.columns:
                columns[SCORE] = self.watched(answers)
        return Counts(
            table.num_rows,
            0,
            self.grid.count(columns, invalid=invalid),
            outcomes,
            rows.ranges(table),
        )

    def watched(self, answers: Answers) -> Values:
        """Return the model's own output as the grid counts it."""
        if self.grid.columns[SCORE].kind == "numeric" or self.layout is None:
            return answers.scores
        return Codes(answers.predicted, self.layout.class_names)

    def count_labels(self, table: pa.Table, schema: Schema) -> Counts:
        """Count the labels (column `label`) of rows that are counted already."""
        counts = self.empty()
        if self.layout is None:
            return replace(counts, labels=table.num_rows)
        outcomes = self.layout.count_labels(
            answers_of(self.layout, table, is_ordered=self.is_ordered),
            rows.codes_of(rows.one_array(table["label"])),
            groups(schema, table),
        )
        return replace(counts, labels=table.num_rows, outcomes=outcomes)

    def stored(self, row: Stored) -> Counts:
        """Return the counts that a row keeps."""
        return replace(
            self.merge([(row.columns, row.outcomes)]),
            rows=row.rows,
            labels=row.labels,
            ranges=row.ranges,
        )

    def merge(
        self,
        blobs: Iterable[tuple[Blob | None, Blob | None]],
        *,
        rows: int = 0,
        labels: int = 0,
    ) -> Counts:
        """Return the sum of stored pairs of tallies: of columns, and of outcomes."""
        pairs = list(blobs)
        outcomes = None
        if self.layout is not None:
            outcomes = self.layout.merge([b for _, b in pairs if b is not None])
        columns = self.grid.merge(blob for blob, _ in pairs if blob is not None)
        return Counts(rows, labels, columns, outcomes)

    def pack(self, counts: Counts) -> Packed:
        """Return the counts as they are stored."""
        outcomes = counts.outcomes
        return Packed(
            counts.rows,
            counts.labels,
            counts.columns.to_bytes(),
            None if outcomes is None else outcomes.to_bytes(),
            counts.ranges,
        )


def kind_of(schema: Schema, name: str) -> Kind | None:
    """Return the declared kind of a feature or attribute, None if data will tell."""
    match schema.kind_of(name):
        case "numeric":
            return "numeric"
        case "categorical":
            return "categorical"
    return None


def answers_of(layout: OutcomeLayout, table: pa.Table, *, is_ordered: bool) -> Answers:
    """Return what the model answered in logged rows."""
    texts = None
    if "text" in table.column_names:
        texts = rows.codes_of(rows.one_array(table["text"]))
    probabilities = rows.probabilities(table)
    return layout.answers(
        table["value"].to_numpy(),
        texts,
        usable(layout.task, probabilities, is_ordered=is_ordered),
    )


def usable(
    task: Task, probabilities: NDArray[np.float64] | None, *, is_ordered: bool
) -> NDArray[np.float64] | None:
    """Return what may be used of probabilities whose order may be unknown.

    Without the order only the confidence of a multiclass model is known; which of two
    columns is the positive class's isn't.
    """
    if probabilities is None or is_ordered or probabilities.shape[1] == 1:
        return probabilities
    if task is Task.BINARY:
        return None
    known = np.where(np.isnan(probabilities), -np.inf, probabilities).max(axis=1)
    return np.where(np.isfinite(known), known, np.nan)[:, np.newaxis]


def groups(schema: Schema, table: pa.Table) -> dict[str, Codes]:
    """Return the group of each row, for each protected attribute that is there."""
    present = rows.features(table)
    return {
        name: group_codes(rows.one_array(present[name]), bands)
        for name, bands in schema.protected.items()
        if name in present
    }


def group_codes(column: pa.Array, bands: Sequence[float] | None) -> Codes:
    """Return the group of each value: itself, or the band that it lies in."""
    if not bands:
        return rows.codes_of(column)
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        values = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    else:
        codes = rows.codes_of(column)
        numbers = [number(category) for category in codes.categories]
        values = np.array([np.nan if n is None else n for n in [*numbers, None]])[
            codes.codes
        ]
    places = np.searchsorted(np.asarray(bands), values, "right")
    return Codes(np.where(np.isnan(values), -1, places), band_names(tuple(bands)))


def class_order(
    probabilities: NDArray[np.float64],
    predicted: Sequence[str | None],
    truths: Iterable[str | None] = (),
) -> tuple[str, ...] | None:
    """Return the class names in the order of the probabilities, None if unclear.

    That is the order under which the largest probability stands at the predicted
    label in more than half of the rows. A class that was never predicted is known
    from the truths, if it is the only one left for the only place left.

    Examples
    --------
    >>> class_order(np.array([[0.9, 0.1], [0.2, 0.8]]), ["no", "yes"])
    ('no', 'yes')
    """
    votes: dict[tuple[int, str], int] = {}
    for place in np.flatnonzero(~np.isnan(probabilities).any(axis=1)).tolist():
        name = predicted[place]
        if name is not None:
            vote = int(probabilities[place].argmax()), name
            votes[vote] = votes.get(vote, 0) + 1
    names: dict[int, str] = {}
    agreeing = 0
    for (place, name), count in sorted(votes.items(), key=lambda v: (-v[1], v[0])):
        if place not in names and name not in names.values():
            names[place] = name
            agreeing += count
    everybody = {name for _, name in votes} | {name for name in truths if name}
    left = sorted(everybody - set(names.values()))
    free = sorted(set(range(probabilities.shape[1])) - set(names))
    is_clear = 2 * agreeing > sum(votes.values())
    if not is_clear or len(left) != len(free) or len(free) > 1:
        return None
    names.update(zip(free, left, strict=True))
    return tuple(names[place] for place in range(len(names)))
