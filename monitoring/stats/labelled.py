"""The labelled predictions of a baseline, as what estimators are fitted on."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from governance.schema import Task
from monitoring.stats import gauges, rows
from monitoring.stats.answers import Answers, numbers
from monitoring.stats.columns import Kind, Values
from monitoring.stats.drops import Outcomes
from monitoring.stats.outcomes import OutcomeLayout
from monitoring.stats.samples import values_of

Blob = bytes | memoryview


def outcomes(
    layout: OutcomeLayout,
    labeled: Blob | None,
    features: Blob | None,
    kinds: Mapping[str, Kind],
    *,
    is_ordered: bool,
) -> Outcomes | None:
    """Return what the model answered on its baseline, and what was true.

    Parameters
    ----------
    layout : OutcomeLayout
        Of the baseline.
    labeled, features : bytes or None
        As `fitting.Fitted` has them. The features are joined by row, so only if there
        are as many as labelled predictions.
    kinds : mapping of str to {"numeric", "categorical"}
        Of the features.
    is_ordered : bool
        Whether it is known which class each probability belongs to.

    Returns
    -------
    Outcomes or None
        None without a labelled prediction.
    """
    table = None if labeled is None else _predictions(labeled)
    if table is None or "label" not in table.column_names:
        return None
    answers = _answers(layout, table, is_ordered=is_ordered)
    labels = rows.codes_of(rows.one_array(table["label"]))
    if layout.task is not Task.REGRESSION:
        return Outcomes(layout.task, answers, layout.label_codes(labels))
    columns = {} if features is None else _columns(features, kinds, len(labels))
    return Outcomes(
        layout.task,
        answers,
        values=numbers(labels),
        columns=columns,
        kinds={name: kind for name, kind in kinds.items() if name in columns},
    )


def answers(
    layout: OutcomeLayout, labeled: Blob | None, *, is_ordered: bool
) -> Answers | None:
    """Return what the model answered on its baseline, whether or not it has labels.

    Parameters are those of `outcomes`; None without a prediction.
    """
    table = None if labeled is None else _predictions(labeled)
    return None if table is None else _answers(layout, table, is_ordered=is_ordered)


def _answers(layout: OutcomeLayout, table: pa.Table, *, is_ordered: bool) -> Answers:
    chances = gauges.usable(
        layout.task, rows.probabilities(table), is_ordered=is_ordered
    )
    texts = rows.codes_of(rows.one_array(table["text"]))
    return layout.answers(table["value"].to_numpy(), texts, chances)


def _predictions(labeled: Blob) -> pa.Table | None:
    """Return the rows of the predictions: the target has a length of its own."""
    table = rows.decode(labeled)
    if not {"value", "text"} <= set(table.column_names):
        return None
    lengths = {
        name.decode(): int(length)
        for name, length in (table.schema.metadata or {}).items()
    }
    kept = [name for name in table.column_names if name != "target"]
    return table.select(kept).slice(0, lengths["value"])


def _columns(
    features: Blob, kinds: Mapping[str, Kind], length: int
) -> dict[str, Values]:
    table = rows.decode(features)
    if table.num_rows != length:
        return {}
    return {
        name: values_of(rows.one_array(table[name]), kind)
        for name, kind in kinds.items()
        if name in table.column_names
    }
