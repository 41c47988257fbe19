"""Answers and labels out of two tables, and the task that they belong to."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from governance.labels import band_names, canonical
from governance.schema import Schema, Task, infer_task
from monitoring.reports.plan import Plan
from monitoring.reports.tables import Table, UnusableError
from monitoring.stats import gauges
from monitoring.stats.answers import Answers, is_given, numbers, positions
from monitoring.stats.columns import Codes, Kind, Values
from monitoring.stats.drops import Outcomes
from monitoring.stats.outcomes import OutcomeLayout
from monitoring.stats.samples import kind_of, numbers_of, values_of
from monitoring.stats.tally import Floats

MOST_GROUPS = 50
# So many rows tell which class each probability belongs to.
ORDER_ROWS = 20_000
# More classes are a number that was taken for a name.
MOST_CLASSES = 1_000
SUM_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """What one table says of answers and labels."""

    outcomes: Outcomes | None = None
    label: Values | None = None


def read(
    plan: Plan,
    tables: Sequence[Table],
    columns: Sequence[Mapping[str, Values]],
    kinds: Mapping[str, Kind],
    notes: list[str],
) -> tuple[OutcomeLayout | None, list[Result]]:
    """Return the layout of the outcomes, and the outcomes of each table.

    Raises
    ------
    UnusableError
        A column isn't what the task needs.

    """
    labels = [_column(table, plan.label) for table in tables]
    task = _task(plan, tables, labels)
    if task is None:
        as_columns = [_label_values(plan, label) for label in labels]
        return None, [Result(label=label) for label in as_columns]
    if task is Task.REGRESSION:
        layout = OutcomeLayout.fit(
            task, threshold=plan.threshold, favourable=plan.favourable
        )
        return layout, [
            _regression(plan, table, label, mine, kinds)
            for table, label, mine in zip(tables, labels, columns, strict=True)
        ]
    return _classification(plan, task, tables, labels, notes)


def _column(table: Table, name: str | None) -> Any:
    return None if name is None else table.columns.get(name)


def _distinct(column: Any) -> list[object]:
    """Return the different values of a column; of very many, some."""
    if column is None or pa.types.is_null(column.type):
        return []
    found = pc.unique(column).drop_null()
    return list(found.slice(0, 10_000).to_pylist())


def _task(plan: Plan, tables: Sequence[Table], labels: Sequence[Any]) -> Task | None:
    """Return the task, None if there are no answers."""
    if plan.prediction is None and not plan.probabilities:
        if plan.task is not None:
            raise UnusableError("--task needs --prediction or --probability.")
        return None
    if plan.task is not None:
        return plan.task
    predictions = [_column(table, plan.prediction) for table in tables]
    task = infer_task(
        Schema(classes=plan.classes, positive_class=plan.positive),
        predictions=[v for column in predictions for v in _distinct(column)],
        labels=[v for column in labels for v in _distinct(column)],
        probabilities=len(plan.probabilities) or None,
    )
    if task is None:
        raise UnusableError(
            "The task can't be told from the values: name it with --task."
        )
    return task


def _label_values(plan: Plan, column: Any) -> Values | None:
    """Return labels as a column of their own type."""
    if column is None:
        return None
    named = plan.label in plan.categorical
    return values_of(column, "categorical" if named else kind_of(column))


def _regression(
    plan: Plan,
    table: Table,
    label: Any,
    columns: Mapping[str, Values],
    kinds: Mapping[str, Kind],
) -> Result:
    if plan.probabilities:
        raise UnusableError("--probability is for classes; a regression has none.")
    predictions = _numbers(table, plan.prediction or "", plan)
    truths = None if label is None else _numbers(table, plan.label or "", plan)
    answers = Answers(predictions, np.full(table.rows, -1))
    found = Outcomes(
        Task.REGRESSION, answers, values=truths, columns=columns, kinds=kinds
    )
    return Result(found, truths)


def _numbers(table: Table, name: str, plan: Plan) -> Floats:
    """Return a column of numbers; refuse one that isn't."""
    column = table.column(name)
    if kind_of(column) == "categorical":
        values = values_of(column, "categorical")
        found = numbers(values)
        wrong = np.flatnonzero(np.isnan(found) & is_given(values))
        if len(wrong):
            row = int(wrong[0])
            raise UnusableError(
                f"A regression needs numbers: column {name!r} of {table.role} has "
                f"{str(column[row].as_py())[:40]!r} in row {row + 1}."
            )
    else:
        found = numbers_of(column)
    _refuse_infinite(found, name, table.role)
    return found


def _refuse_infinite(values: Floats, name: str, role: str) -> None:
    wrong = np.flatnonzero(np.isinf(values))
    if len(wrong):
        raise UnusableError(
            f"Column {name!r} of {role} has {len(wrong)} infinite values, the first in "
            f"row {wrong[0] + 1}."
        )


def _classification(
    plan: Plan,
    task: Task,
    tables: Sequence[Table],
    labels: Sequence[Any],
    notes: list[str],
) -> tuple[OutcomeLayout, list[Result]]:
    given = [_predictions(plan, table) for table in tables]
    chances = [_probabilities(plan, task, table) for table in tables]
    names = _classes(plan, task, tables, labels, [texts for _, texts in given])
    is_ordered = True
    if chances[0] is not None and chances[0].shape[1] > 1:
        ordered = _order(plan, names, chances[0], given[0], labels[0])
        is_ordered = ordered is not None
        names = ordered or names
        if not is_ordered:
            notes.append(
                "Which class each probability belongs to isn't clear: name them in "
                "that order with --classes. Until then only accuracy is estimated."
            )
    chances = [gauges.usable(task, one, is_ordered=is_ordered) for one in chances]
    layout = _layout(plan, task, names, given[0], chances[0], tables)
    results = []
    for table, (values, texts), one, label in zip(
        tables, given, chances, labels, strict=True
    ):
        answers = layout.answers(values, texts, one)
        codes = None
        seen = None if label is None else values_of(label, "categorical")
        if seen is not None:
            codes = layout.label_codes(seen)
            _refuse_strangers(layout, plan.label, seen, table.role)
        if texts is not None:
            _refuse_strangers(layout, plan.prediction, texts, table.role)
        results.append(Result(Outcomes(task, answers, codes), seen))
    _note_other_class(plan, task, results[0], notes)
    return layout, results


def _refuse_strangers(
    layout: OutcomeLayout, name: str | None, values: Values, role: str
) -> None:
    """Refuse a column that has values, and none of them is a class."""
    places = positions(values, layout.classes)
    if (places >= 0).any() and not (
        (places >= 0) & (places < len(layout.classes))
    ).any():
        raise UnusableError(
            f"Column {name!r} of {role} names none of the classes "
            f"{', '.join(layout.classes[:10])}."
        )


def _predictions(plan: Plan, table: Table) -> tuple[Floats | None, Codes | None]:
    """Return the predictions as numbers, or as names."""
    if plan.prediction is None:
        return None, None
    column = table.column(plan.prediction)
    if plan.prediction in plan.categorical or kind_of(column) == "categorical":
        found = values_of(column, "categorical")
        return None, found if isinstance(found, Codes) else None
    values = numbers_of(column)
    _refuse_infinite(values, plan.prediction, table.role)
    return values, None


def _probabilities(plan: Plan, task: Task, table: Table) -> Floats | None:
    if not plan.probabilities:
        return None
    width = len(plan.probabilities)
    if task is Task.BINARY and width > 2:
        raise UnusableError(f"A binary model has two classes, not {width}.")
    found = np.column_stack(
        [_numbers(table, name, plan) for name in plan.probabilities]
    )
    for place, name in enumerate(plan.probabilities):
        outside = np.flatnonzero((found[:, place] < 0) | (found[:, place] > 1))
        if len(outside):
            row = int(outside[0])
            raise UnusableError(
                f"Column {name!r} of {table.role} has {found[row, place]:g} in row "
                f"{row + 1}; a probability lies in [0, 1]."
            )
    off = np.flatnonzero(np.abs(found.sum(axis=1) - 1) > SUM_TOLERANCE)
    if width > 1 and len(off):
        row = int(off[0])
        raise UnusableError(
            f"The probabilities of {table.role} add up to {found[row].sum():.4g} in "
            f"row {row + 1}, not to 1. Name a column for every class."
        )
    return found


def _classes(
    plan: Plan,
    task: Task,
    tables: Sequence[Table],
    labels: Sequence[Any],
    predicted: Sequence[Codes | None],
) -> tuple[str, ...] | None:
    """Return the classes, as declared or as seen; None: 0 and 1."""
    if plan.classes is not None:
        return plan.classes
    seen = {text for column in labels for text in map(canonical, _distinct(column))}
    for codes in predicted:
        seen |= set() if codes is None else {*map(canonical, codes.categories)}
    if task is Task.MULTICLASS and plan.prediction is not None:
        columns = [table.column(plan.prediction) for table in tables]
        seen |= {canonical(v) for column in columns for v in _distinct(column)}
    names = tuple(sorted(name for name in seen if name is not None))
    if len(names) > MOST_CLASSES:
        raise UnusableError(
            f"{len(names):,} different labels and predictions are no classes: is it a "
            "regression?"
        )
    if task is Task.MULTICLASS:
        return names or None
    if set(names) <= {"0", "1"}:
        return None
    if len(names) != 2:
        shown = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
        raise UnusableError(
            f"A binary model has two classes; the files have {len(names)}: {shown}."
        )
    return names


def _order(
    plan: Plan,
    names: Collection[str] | None,
    chances: Floats,
    given: tuple[Floats | None, Codes | None],
    label: Any,
) -> tuple[str, ...] | None:
    """Return the classes in the order of the probabilities, None if it isn't clear.

    Declared, or by the names of the columns, or by which one is large where a class is
    predicted.
    """
    width = len(plan.probabilities)
    if plan.classes is not None:
        if len(plan.classes) != width:
            raise UnusableError(
                f"--classes names {len(plan.classes)}, --probability {width} columns."
            )
        return plan.classes
    known = names or ("0", "1")
    ends = [
        [name for name in known if _ends_with(column, name)]
        for column in plan.probabilities
    ]
    if all(len(one) == 1 for one in ends) and len({one[0] for one in ends}) == width:
        return tuple(one[0] for one in ends)
    values, texts = given
    first = slice(0, ORDER_ROWS)
    if texts is not None:
        # The last one is where the code -1 of a missing value points.
        by_code = [*map(canonical, texts.categories), None]
        predicted = [by_code[code] for code in texts.codes[first].tolist()]
    elif values is not None:
        predicted = [canonical(value) for value in values[first].tolist()]
    else:
        return None
    truths = [canonical(value) for value in _distinct(label)]
    return gauges.class_order(
        chances[first], predicted, [name for name in truths if name is not None]
    )


def _ends_with(column: str, name: str) -> bool:
    start, found, end = column.rpartition(name)
    return bool(found) and not end and (not start or not start[-1].isalnum())


def _layout(
    plan: Plan,
    task: Task,
    names: tuple[str, ...] | None,
    given: tuple[Floats | None, Codes | None],
    chances: Floats | None,
    tables: Sequence[Table],
) -> OutcomeLayout:
    positive = plan.positive if task is Task.BINARY else None

    def fitted(scores: Floats | None) -> OutcomeLayout:
        try:
            return OutcomeLayout.fit(
                task,
                classes=names,
                positive=positive,
                favourable=plan.favourable,
                threshold=plan.threshold,
                scores=scores,
                groups=_group_names(plan, tables),
            )
        except ValueError as error:
            raise UnusableError(f"{str(error)[:1].upper()}{str(error)[1:]}.") from error

    scores = fitted(None).answers(*given, chances).scores
    return fitted(scores)


def _group_names(plan: Plan, tables: Sequence[Table]) -> dict[str, list[str]]:
    """Return the most frequent groups of each protected attribute."""
    found = {}
    for name, bands in plan.protected.items():
        if bands is not None:
            found[name] = list(band_names(bands))
            continue
        counts: dict[str, int] = {}
        for table in tables:
            column = table.column(name)
            if pa.types.is_null(column.type):
                continue
            codes = gauges.group_codes(column, None)
            sizes = np.bincount(codes.codes[codes.codes >= 0]).tolist()
            for group, size in zip(codes.categories, sizes, strict=False):
                counts[group] = counts.get(group, 0) + size
        ranked = sorted(counts, key=lambda group: (-counts[group], group))
        found[name] = sorted(ranked[:MOST_GROUPS])
    return found


def _note_other_class(plan: Plan, task: Task, result: Result, notes: list[str]) -> None:
    """Tell if the scores look like those of the other class."""
    if task is not Task.BINARY or not plan.probabilities or plan.prediction is None:
        return
    answers = result.outcomes.answers if result.outcomes is not None else None
    if answers is None:
        return
    high, low = (
        answers.scores[(answers.predicted == one) & np.isfinite(answers.scores)]
        for one in (1, 0)
    )
    if len(high) and len(low) and high.mean() < low.mean():
        notes.append(
            f"{plan.probabilities[0]!r} is lower where the positive class is predicted "
            "than elsewhere, as if it were the other one's probability. Name the "
            "positive class with --positive."
        )
