"""Making a baseline: from a sample to the grid and to what was realized on it.

A web process doesn't load what this takes: see `apart`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from governance.schema import Schema, Task, infer_task
from monitoring.stats import gauges, realized, rows
from monitoring.stats.answers import Answers
from monitoring.stats.columns import Codes, Kind, Values, by_category
from monitoring.stats.gauges import SCORE
from monitoring.stats.grid import Grid
from monitoring.stats.outcomes import OutcomeLayout
from monitoring.stats.samples import Sample, kind_of, values_of

MOST_GROUPS = 50


@dataclass(frozen=True, slots=True)
class Fitted:
    """A baseline as it is stored."""

    sample_size: int
    features: bytes
    labeled: bytes | None
    target_type: str
    grid: bytes
    outcomes: bytes | None
    performance: dict[str, Any]
    digest: str


def fit(sample: Sample, schema: Schema) -> Fitted:
    """Return the baseline of a sample: grid, outcome layout, realized performance."""
    layout, is_ordered = _layout(sample, schema)
    answers = None
    if layout is not None and sample.values is not None:
        chances = gauges.usable(
            layout.task, sample.probabilities, is_ordered=is_ordered
        )
        answers = layout.answers(sample.values, sample.texts, chances)
    kinds, columns = _watched(sample, schema, layout, answers)
    grid = Grid.fit(columns, kinds)
    performance: dict[str, Any] = {"ordered": is_ordered}
    if layout is not None and answers is not None:
        layout = _with_baseline(layout, sample, schema, answers)
        found = realized.realized(layout, layout.baseline)
        performance |= {"task": layout.task.value, **found.to_json()}
        performance["primary_metric"] = schema.metric(layout.task)
    return _packed(sample, grid, layout, performance)


def _packed(
    sample: Sample,
    grid: Grid,
    layout: OutcomeLayout | None,
    performance: dict[str, Any],
) -> Fitted:
    features = rows.encode(pa.table(sample.features))
    labeled = _labeled_table(sample)
    grid_data = grid.to_bytes()
    outcomes = None if layout is None else layout.to_bytes()
    digest = hashlib.sha256()
    for part in (features, labeled or b"", grid_data, outcomes or b""):
        digest.update(len(part).to_bytes(8, "big") + part)
    return Fitted(
        sample_size=len(next(iter(sample.features.values()), ())),
        features=features,
        labeled=labeled,
        target_type=sample.target_type,
        grid=grid_data,
        outcomes=outcomes,
        performance=performance,
        digest=digest.hexdigest(),
    )


def _layout(sample: Sample, schema: Schema) -> tuple[OutcomeLayout | None, bool]:
    """Return the layout, and whether the probabilities' classes are known."""
    width = None
    if sample.probabilities is not None:
        width = sample.probabilities.shape[1]
    task = infer_task(
        schema,
        predictions=sample.predicted,
        labels=sample.truths,
        probabilities=width,
        target_type=sample.target_type or None,
    )
    if task is None:
        return None, False
    classes, is_ordered = _classes(task, sample, schema)
    positive = _positive(schema, classes) if task is Task.BINARY else None
    groups = _group_names(sample, schema)
    layout = OutcomeLayout.fit(
        task,
        classes=classes,
        positive=positive,
        favourable=schema.favourable_outcome,
        threshold=schema.decision_threshold,
        groups=groups,
    )
    if sample.values is None:
        return layout, is_ordered
    chances = gauges.usable(task, sample.probabilities, is_ordered=is_ordered)
    answers = layout.answers(sample.values, sample.texts, chances)
    layout = OutcomeLayout.fit(
        task,
        classes=classes,
        positive=positive,
        favourable=schema.favourable_outcome,
        threshold=schema.decision_threshold,
        scores=answers.scores,
        groups=groups,
    )
    return layout, is_ordered


def _classes(
    task: Task, sample: Sample, schema: Schema
) -> tuple[tuple[str, ...] | None, bool]:
    """Return the classes, and whether they stand in the order of the probabilities."""
    if task is Task.REGRESSION:
        return None, True
    if schema.classes is not None:
        return schema.classes, True
    if sample.probabilities is not None and sample.probabilities.shape[1] > 1:
        order = gauges.class_order(
            sample.probabilities, sample.predicted, sample.truths
        )
        if order is not None:
            return order, True
    seen = sorted({name for name in sample.truths if name is not None})
    if task is Task.MULTICLASS:
        predicted = {name for name in sample.predicted if name is not None}
        return tuple(sorted({*seen, *predicted})) or None, False
    if set(seen) <= {"0", "1"} or len(seen) != 2:
        return None, False
    return tuple(seen), False


def _positive(schema: Schema, classes: tuple[str, ...] | None) -> str:
    """Return the declared positive class; else 1; else the second of two."""
    names = classes or ("0", "1")
    for name in (schema.positive_class, "1"):
        if name is not None and name in names:
            return name
    return names[1]


def _group_names(sample: Sample, schema: Schema) -> dict[str, list[str]]:
    """Return the groups of each protected attribute: declared, or seen here."""
    found = {}
    for name, bands in schema.protected.items():
        known = schema.groups_of(name)
        column = sample.features.get(name)
        if known is None and column is not None:
            counts, _ = by_category(gauges.group_codes(column, bands))
            frequent = sorted(counts, key=lambda group: (-counts[group], group))
            known = tuple(sorted(frequent[:MOST_GROUPS]))
        found[name] = list(known or ())
    return found


def _with_baseline(
    layout: OutcomeLayout, sample: Sample, schema: Schema, answers: Answers
) -> OutcomeLayout:
    """Keep the baseline's own outcomes in the layout.

    The groups are those of the features' rows, known only if there are as many.
    """
    groups = {
        name: gauges.group_codes(column, bands)
        for name, bands in schema.protected.items()
        if (column := sample.features.get(name)) is not None
        and len(column) == len(answers)
    }
    labels = None if sample.labels is None else rows.codes_of(sample.labels)
    return layout.with_baseline(layout.count(answers, labels, groups))


def _watched(
    sample: Sample,
    schema: Schema,
    layout: OutcomeLayout | None,
    answers: Answers | None,
) -> tuple[dict[str, Kind], dict[str, Values]]:
    """Return the columns of the grid: the model's inputs, then its own output."""
    names = [feature.name for feature in schema.features] or list(sample.features)
    kinds: dict[str, Kind] = {}
    columns: dict[str, Values] = {}
    for name in names:
        column = sample.features.get(name)
        kind = gauges.kind_of(schema, name)
        if column is None:
            kinds[name] = kind or "numeric"
            continue
        kinds[name] = kind or kind_of(column)
        columns[name] = values_of(column, kinds[name])
    if layout is not None and answers is not None:
        if not np.isnan(answers.scores).all():
            kinds[SCORE], columns[SCORE] = "numeric", answers.scores
        elif (answers.predicted >= 0).any():
            kinds[SCORE] = "categorical"
            columns[SCORE] = Codes(answers.predicted, layout.class_names)
    return kinds, columns


def _labeled_table(sample: Sample) -> bytes | None:
    """Return target and labelled predictions; each may have a length of its own."""
    columns: dict[str, pa.Array] = {}
    if sample.target is not None:
        columns["target"] = sample.target
    if sample.values is not None and sample.texts is not None:
        columns["value"] = pa.array(sample.values)
        columns["text"] = rows.coded(sample.texts.codes, list(sample.texts.categories))
    if sample.probabilities is not None:
        for place, column in enumerate(sample.probabilities.T):
            name = f"{rows.PROBABILITY}{place}"
            columns[name] = pa.array(np.ascontiguousarray(column))
    if sample.labels is not None:
        columns["label"] = sample.labels
    if not columns:
        return None
    longest = max(len(column) for column in columns.values())
    padded = {
        name: pa.concat_arrays([column, pa.nulls(longest - len(column), column.type)])
        for name, column in columns.items()
    }
    lengths = {name: str(len(column)) for name, column in columns.items()}
    return rows.encode(pa.table(padded).replace_schema_metadata(lengths))
