"""A baseline's labelled predictions come back as they were sent."""

from typing import Any

import numpy as np
import pytest

from governance.schema import Schema, Task
from monitoring.stats import fitting, labelled, samples
from monitoring.stats.drops import Outcomes
from monitoring.stats.outcomes import OutcomeLayout

KINDS: dict[str, Any] = {"x": "numeric", "c": "categorical"}
FEATURES = {"x": [1.0, 2.5, None], "c": ["a", "b", "a"]}


def read(definition: dict[str, Any], body: dict[str, Any]) -> Outcomes | None:
    schema = Schema.from_json({"features": ["x", "c"], **definition})
    fitted = fitting.fit(samples.read_sample(body, schema), schema)
    assert fitted.outcomes is not None
    return labelled.outcomes(
        OutcomeLayout.from_bytes(fitted.outcomes),
        fitted.labeled,
        fitted.features,
        KINDS,
        is_ordered=fitted.performance["ordered"],
    )


def test_a_binary_model_has_scores_answers_and_labels() -> None:
    found = read(
        {"task": "binary", "classes": ["no", "yes"], "positive_class": "yes"},
        {
            "featureData": FEATURES,
            # Longer than the predictions: the sections need not agree.
            "targetData": {"type": "classification", "values": ["no"] * 9},
            "labeledPredictions": {
                "probabilities": [[0.9, 0.1], [0.3, 0.7], [0.4, 0.6], [0.5, 0.5]],
                "predictedLabels": ["no", "yes", "no", None],
                "actualLabels": ["yes", None, "no", "other"],
            },
        },
    )
    assert found is not None
    assert found.answers.scores.tolist() == [0.1, 0.7, 0.6, 0.5]
    assert found.answers.predicted.tolist() == [0, 1, 0, 1]
    assert found.codes is not None
    assert found.codes.tolist() == [1, -1, 0, -2]


def test_a_multiclass_model_has_probabilities_if_their_order_is_known() -> None:
    body: dict[str, Any] = {
        "featureData": FEATURES,
        "labeledPredictions": {
            "probabilities": [[0.7, 0.2, 0.1], [0.1, 0.2, 0.7]],
            "predictedLabels": ["a", "c"],
            "actualLabels": ["a", "b"],
        },
    }
    found = read({"task": "multiclass", "classes": ["a", "b", "c"]}, body)
    assert found is not None
    assert found.answers.probabilities is not None
    assert found.answers.probabilities.shape == (2, 3)
    assert found.codes is not None
    assert found.codes.tolist() == [0, 1]
    # Each place is each class once.
    body["labeledPredictions"]["predictedLabels"] = ["b", "a"]
    unknown = read({"task": "multiclass"}, body)
    assert unknown is not None
    assert unknown.answers.probabilities is None
    assert unknown.answers.scores.tolist() == [0.7, 0.7]


@pytest.mark.parametrize("rows", [3, 2])
def test_a_regression_has_its_features_if_they_are_as_many(rows: int) -> None:
    found = read(
        {"task": "regression"},
        {
            "featureData": FEATURES,
            "targetData": {"type": "regression", "values": [1.0, 2.0, 3.0]},
            "labeledPredictions": {
                "predictedLabels": [1.5, 2.5, 3.5][:rows],
                "actualLabels": [1.0, None, 3.25][:rows],
            },
        },
    )
    assert found is not None
    assert found.task is Task.REGRESSION
    assert found.values is not None
    np.testing.assert_array_equal(found.values, [1.0, np.nan, 3.25][:rows])
    assert set(found.columns) == (set(KINDS) if rows == 3 else set())
    assert found.kinds.keys() == found.columns.keys()


def test_without_labels_there_is_nothing() -> None:
    body = {
        "featureData": FEATURES,
        "targetData": {"type": "classification", "values": [0, 1, 1]},
    }
    assert read({"task": "binary"}, body) is None
