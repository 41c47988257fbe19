"""Telling the task of a model from what is known of it."""

from collections.abc import Collection

from governance.labels import canonical, number
from governance.schema.description import Schema
from governance.schema.features import VALUE_TYPES, Task


def infer_task(
    schema: Schema,
    *,
    predictions: Collection[object] = (),
    labels: Collection[object] = (),
    probabilities: int | None = None,
    target_type: str | None = None,
) -> Task | None:
    """Tell the task of a model from what is known of it; None: not yet.

    The first that answers:

    1. the schema's task;
    2. the baseline's `targetData.type`, if it is `regression`;
    3. the classes: two are binary, more are multiclass; a positive class or a boolean
       target is binary;
    4. the number of probabilities: one or two are binary, more are multiclass;
    5. the values seen. Text among the labels (without labels: the predictions): two
       distinct ones are binary, more are multiclass, one is no answer yet. Numbers:
       binary if every label is 0 or 1 and every prediction is in [0, 1] (without
       labels a target declared as a float is regression), else by their number as for
       text if the target is declared a category, else regression.

    Parameters
    ----------
    schema : Schema
        What was declared.
    predictions, labels : collection of scalars
        A sample of what was seen.
    probabilities : int or None
        How many probabilities a prediction carries.
    target_type : str or None
        The baseline's `targetData.type`: `classification`, `regression` or unknown.
    """
    if schema.task is not None:
        return schema.task
    declared = _declared_task(schema, probabilities, target_type)
    if declared is not None:
        return declared
    answers = {text for text in map(canonical, predictions) if text is not None}
    truths = {text for text in map(canonical, labels) if text is not None}
    kind = VALUE_TYPES[schema.target_type] if schema.target_type else None
    if kind == "float" and not truths:
        return Task.REGRESSION
    by_class = target_type == "classification" or kind == "categorical"
    return _observed_task(answers, truths, by_class=by_class)


def _declared_task(
    schema: Schema, probabilities: int | None, target_type: str | None
) -> Task | None:
    if target_type == "regression":
        return Task.REGRESSION
    if schema.classes:
        return Task.BINARY if len(schema.classes) == 2 else Task.MULTICLASS
    if schema.positive_class is not None or schema.target_type == "boolean":
        return Task.BINARY
    if probabilities:
        return Task.BINARY if probabilities <= 2 else Task.MULTICLASS
    return None


def _observed_task(
    answers: set[str], truths: set[str], *, by_class: bool
) -> Task | None:
    seen = truths or answers
    if not seen:
        return None
    if any(number(text) is None for text in seen):
        return _task_of_classes(seen)
    shares = all(0 <= (number(text) or 0) <= 1 for text in answers)
    if truths <= {"0", "1"} and shares:
        return Task.BINARY
    return _task_of_classes(seen) if by_class else Task.REGRESSION


def _task_of_classes(seen: set[str]) -> Task | None:
    if len(seen) < 2:
        return None
    return Task.BINARY if len(seen) == 2 else Task.MULTICLASS
