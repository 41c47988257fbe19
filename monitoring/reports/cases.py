"""Two tables read by a plan: inputs, answers, labels, times and groups of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from monitoring.reports import clocks, outcomes
from monitoring.reports.plan import Plan
from monitoring.reports.tables import Table, UnusableError
from monitoring.stats import gauges
from monitoring.stats.columns import Codes, Kind, Values
from monitoring.stats.drops import Outcomes
from monitoring.stats.encoding import take
from monitoring.stats.outcomes import OutcomeLayout
from monitoring.stats.samples import kind_of, values_of

# Columns that can be told by their type alone to be neither numbers nor names.
_NEVER = (
    pa.types.is_temporal,
    pa.types.is_nested,
    pa.types.is_binary,
    pa.types.is_large_binary,
)


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """One file as it is analysed, in the order of time if there is a time stamp.

    Attributes
    ----------
    table : Table
        The file.
    columns : dict of str to array or Codes
        The inputs.
    outcomes : Outcomes or None
        Answers and labels; None without a prediction.
    label : array or Codes, or None
        The labels as a column, for the drift of the target.
    times : datetime64[us] array or None
        Rising.
    groups : dict of str to Codes
        The group of each row, for each protected attribute.
    """

    table: Table
    columns: dict[str, Values]
    outcomes: Outcomes | None
    label: Values | None
    times: NDArray[np.datetime64] | None
    groups: dict[str, Codes]

    def __len__(self) -> int:
        return self.table.rows


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """Two files that are compared.

    Attributes
    ----------
    plan : Plan
        By which they were read.
    kinds : dict of str to {"numeric", "categorical"}
        Of the inputs.
    layout : OutcomeLayout or None
        None without a prediction and a label.
    reference, current : Rows
    notes : tuple of str
        What was left out, and what else the user should know about the reading.
    """

    plan: Plan
    kinds: dict[str, Kind]
    layout: OutcomeLayout | None
    reference: Rows
    current: Rows
    notes: tuple[str, ...]


def read(plan: Plan, reference: Table, current: Table) -> Case:
    """Return two tables as a plan says.

    1. Find the columns that the plan names.
    2. Tell the inputs and their kinds: declared, or text and booleans; never by the
       number of values.
    3. Refuse infinite values, and numbers that became text.
    4. Read answers, labels and groups.
    5. Sort by time.

    Raises
    ------
    UnusableError
        A column is missing or isn't what it should be.

    """
    notes: list[str] = []
    tables = reference, current
    for table in tables:
        _check_named(plan, table, notes)
    kinds = _kinds(plan, reference, current, notes)
    columns = [
        {name: _values(table, name, kind) for name, kind in kinds.items()}
        for table in tables
    ]
    layout, results = outcomes.read(plan, tables, columns, kinds, notes)
    sides = [
        _rows(plan, table, column, result)
        for table, column, result in zip(tables, columns, results, strict=True)
    ]
    _note_identifiers(kinds, sides, notes)
    return Case(plan, kinds, layout, sides[0], sides[1], tuple(notes))


def _rows(
    plan: Plan, table: Table, columns: dict[str, Values], result: outcomes.Result
) -> Rows:
    """Return the rows of a table in the order of time."""
    times = clocks.times_of(plan, table)
    groups = _groups(plan, table)
    found, label = result.outcomes, result.label
    if times is not None and (times[1:] < times[:-1]).any():
        order = np.argsort(times, kind="stable")
        times = times[order]
        columns = {name: take(column, order) for name, column in columns.items()}
        groups = {name: taken(codes, order) for name, codes in groups.items()}
        label = None if label is None else take(label, order)
        found = None if found is None else found.at(order)
    return Rows(table, columns, found, label, times, groups)


def taken(codes: Codes, rows: NDArray[np.intp]) -> Codes:
    """Return some rows of codes."""
    return Codes(codes.codes[rows], codes.categories)


def _check_named(plan: Plan, table: Table, notes: list[str]) -> None:
    """Refuse a file without a column that the plan names.

    CURRENT may be without labels, which come late, and REFERENCE without a time stamp.
    """
    late = plan.label if table.role == "CURRENT" else plan.timestamp
    declared = {*plan.categorical, *plan.excluded}
    for name in (*plan.outputs, *(plan.features or ()), *plan.protected):
        if name == late and name not in table.columns:
            notes.append(f"{table.role} has no column {name!r}.")
        else:
            table.column(name)
    for name in sorted(declared - table.columns.keys()):
        if table.role == "REFERENCE":
            table.column(name)


def _kinds(
    plan: Plan, reference: Table, current: Table, notes: list[str]
) -> dict[str, Kind]:
    kinds: dict[str, Kind] = {}
    for name in plan.features or reference.columns:
        if name in plan.outputs or name in plan.excluded:
            continue
        sides = reference.column(name), current.column(name)
        odd = next((side for side in sides if _is_never(side)), None)
        if odd is not None and plan.features is None:
            notes.append(f"Column {name!r} is left out: its type is {odd.type}.")
            continue
        if odd is not None:
            raise UnusableError(f"Column {name!r} can't be an input: it is {odd.type}.")
        kinds[name] = _kind(plan, name, *sides)
    if not kinds:
        raise UnusableError("No column is left that could be an input.")
    known = {*reference.columns, *plan.outputs, *plan.excluded}
    news = ", ".join(repr(name) for name in current.columns if name not in known)
    if news and plan.features is None:
        notes.append(f"Only CURRENT has {news}: left out.")
    return kinds


def _is_never(column: Any) -> bool:
    return any(test(column.type) for test in _NEVER)


def _kind(plan: Plan, name: str, before: Any, after: Any) -> Kind:
    """Return the kind that the reference gives a column, the window if it is empty."""
    if name in plan.categorical:
        return "categorical"
    is_empty = before.null_count == len(before)
    kind = kind_of(after if is_empty else before)
    if kind == "numeric" and kind_of(after) == "categorical":
        row = pc.index(after.is_valid(), pa.scalar(True)).as_py()
        shown = str(after[row].as_py())[:40]
        raise UnusableError(
            f"Column {name!r} holds numbers in REFERENCE but {after.type} in CURRENT "
            f"({shown!r} in row {row + 1}). Clean it, or compare its values as names "
            f"with --categorical {name}."
        )
    return kind


def _values(table: Table, name: str, kind: Kind) -> Values:
    column = table.column(name)
    refuse_infinite(table, name)
    if kind == "categorical" and pa.types.is_null(column.type):
        column = column.cast(pa.string())
    return values_of(column, kind)


def refuse_infinite(table: Table, name: str) -> None:
    """Raise UnusableError if a column has an infinite value."""
    column = table.column(name)
    if not pa.types.is_floating(column.type):
        return
    found = pc.is_inf(column)
    count = pc.sum(found).as_py() or 0
    if count:
        row = pc.index(found, pa.scalar(True)).as_py() + 1
        raise UnusableError(
            f"Column {name!r} of {table.role} has {count} infinite values, the first "
            f"in row {row}. Leave them empty, or leave the column out."
        )


def _groups(plan: Plan, table: Table) -> dict[str, Codes]:
    found = {}
    for name, bands in plan.protected.items():
        column = table.column(name)
        if pa.types.is_null(column.type):
            column = column.cast(pa.string())
        found[name] = gauges.group_codes(column, bands)
    return found


def _note_identifiers(
    kinds: dict[str, Kind], sides: Sequence[Rows], notes: list[str]
) -> None:
    for name in kinds:
        if all(_is_identifier(side, name) for side in sides):
            notes.append(
                f"Column {name!r} has another value in every row. If it names rows, "
                f"leave it out with --exclude {name}."
            )


def _is_identifier(side: Rows, name: str) -> bool:
    column = side.table.columns[name]
    if pa.types.is_floating(column.type) or len(side) < 30:
        return False
    return bool(pc.count_distinct(column).as_py() == len(side))
