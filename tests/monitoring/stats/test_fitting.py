"""From a client's bytes to a baseline. Oracles: scikit-learn, and counting by hand."""

import io
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import accuracy_score, mean_absolute_error

from governance.exceptions import InvalidError, MalformedError
from governance.schema import Schema, Task
from monitoring.stats import apart, fitting, gauges, rows, samples
from monitoring.stats.gauges import SCORE, Gauge
from monitoring.stats.grid import Grid
from monitoring.stats.outcomes import OutcomeLayout

RNG = np.random.default_rng(0)


def fit(schema: Schema | None = None, **body: Any) -> fitting.Fitted:
    content = {"modelId": 1, "version": "1", "featureData": {"x": [1.0, 2.0]}, **body}
    return apart.fit(apart.JSON, json.dumps(content).encode(), schema or Schema())


def layout_of(fitted: fitting.Fitted) -> OutcomeLayout:
    assert fitted.outcomes is not None
    return OutcomeLayout.from_bytes(fitted.outcomes)


def kinds_of(fitted: fitting.Fitted) -> dict[str, str]:
    grid = Grid.from_bytes(fitted.grid)
    return {name: column.kind for name, column in grid.columns.items()}


def test_a_regression_s_predictions_are_watched_and_compared() -> None:
    truth, guess = RNG.normal(size=50), RNG.normal(size=50)
    fitted = fit(
        targetData={"type": "regression", "values": truth.tolist()},
        labeledPredictions={
            # The Drift dialect spells predictions as strings.
            "predictedLabels": [str(value) for value in guess.tolist()],
            "actualLabels": truth.tolist(),
        },
    )
    found = fitted.performance
    assert (found["task"], found["primary_metric"]) == ("regression", "mae")
    mae = mean_absolute_error(truth, guess)
    assert found["metrics"]["mae"]["value"] == pytest.approx(mae)
    assert kinds_of(fitted) == {"x": "numeric", SCORE: "numeric"}


def test_a_regression_without_predictions_watches_its_target() -> None:
    fitted = fit(targetData={"type": "regression", "values": [1, 2, None, 4]})
    assert kinds_of(fitted)[SCORE] == "numeric"
    assert fitted.performance["labelled"] == 0


def test_several_classes_are_told_from_the_labelled_rows() -> None:
    names = ["low", "mid", "high"]
    chances = RNG.dirichlet([1, 1, 1], size=200)
    actual = [names[place] for place in RNG.integers(0, 3, 200)]
    predicted = [names[place] for place in chances.argmax(1)]
    fitted = fit(
        labeledPredictions={
            "probabilities": chances.tolist(),
            "predictedLabels": predicted,
            "actualLabels": actual,
        }
    )
    layout = layout_of(fitted)
    assert (layout.task, layout.classes) == (Task.MULTICLASS, tuple(names))
    assert fitted.performance["ordered"] is True
    accuracy = fitted.performance["metrics"]["accuracy"]["value"]
    assert accuracy == pytest.approx(accuracy_score(actual, predicted))


def test_without_a_majority_the_order_of_the_classes_is_unknown() -> None:
    chances = [[0.9, 0.05, 0.05], [0.05, 0.9, 0.05], [0.05, 0.05, 0.9]]
    fitted = fit(
        labeledPredictions={
            "probabilities": chances * 3,
            "predictedLabels": list("aaabbbccc"),
            "actualLabels": list("abcabcabc"),
        }
    )
    assert fitted.performance["ordered"] is False
    gauge = Gauge(Grid.from_bytes(fitted.grid), layout_of(fitted), is_ordered=False)
    table = pa.table({"value": [np.nan], "text": pa.array(["a"])})
    for place, chance in enumerate((0.2, 0.7, 0.1)):
        table = table.append_column(f"{rows.PROBABILITY}{place}", pa.array([chance]))
    assert gauge.layout is not None
    answers = gauges.answers_of(gauge.layout, table, is_ordered=False)
    assert answers.scores.tolist() == [0.7]  # the confidence alone
    assert answers.probabilities is None


def test_two_probabilities_of_unknown_classes_are_no_score() -> None:
    fitted = fit(Schema(task=Task.BINARY), labeledPredictions=None)
    gauge = Gauge(Grid.from_bytes(fitted.grid), layout_of(fitted), is_ordered=False)
    assert gauges.usable(Task.BINARY, np.array([[0.2, 0.8]]), is_ordered=False) is None
    assert SCORE not in gauge.grid.columns


def test_a_class_that_was_never_predicted_is_the_one_left() -> None:
    chances = np.array([[0.9, 0.1], [0.8, 0.2]])
    assert gauges.class_order(chances, ["no", "no"], ["no", "yes"]) == ("no", "yes")
    assert gauges.class_order(chances, ["no", "no"]) is None
    assert gauges.class_order(chances, [None, None], ["no", "yes"]) is None


def test_text_labels_without_probabilities_drift_as_categories() -> None:
    fitted = fit(
        labeledPredictions={
            "predictedLabels": ["no", "yes", "no"],
            "actualLabels": ["no", "no", "yes"],
        }
    )
    assert kinds_of(fitted)[SCORE] == "categorical"
    layout = layout_of(fitted)
    assert (layout.classes, layout.positive) == (("no", "yes"), "yes")
    gauge = Gauge(Grid.from_bytes(fitted.grid), layout, is_ordered=False)
    table = pa.table(
        {"value": [np.nan] * 3, "text": pa.array(["yes", "no", "yes"])}
    ).append_column("features.x", pa.array([1.0, 2.0, 3.0]))
    counts = gauge.count(table, Schema())
    cells = gauge.grid.columns[SCORE].cells
    assert counts.columns.ints[cells].tolist() == [1, 2]


def test_a_model_of_unknown_task_has_columns_but_no_outcomes() -> None:
    fitted = fit()
    assert fitted.outcomes is None
    gauge = Gauge(Grid.from_bytes(fitted.grid), None)
    table = pa.table({"value": [1.0], "features.x": pa.array([1.5])})
    counts = gauge.count(table, Schema())
    assert (counts.rows, counts.outcomes) == (1, None)
    labelled = table.append_column("label", pa.array(["1"]))
    more = counts + gauge.count_labels(labelled, Schema())
    assert (more.rows, more.labels) == (1, 1)
    assert (more + -more).labels == 0
    assert gauge.pack(more).outcomes is None


def test_groups_come_from_bands_or_from_the_rows() -> None:
    schema = Schema.from_json(
        {
            "features": ["age", "sex"],
            "task": "binary",
            "protected_attributes": {"age": [30, 45], "sex": None, "absent": None},
            "attributes": {"absent": "categorical"},
        }
    )
    fitted = fit(
        schema,
        featureData={"age": [20, 30, None, 50], "sex": ["m", "f", "f", None]},
        labeledPredictions={
            "predictedLabels": [0, 1, 1, 0],
            "actualLabels": [0, 1, 0, 0],
        },
    )
    layout = layout_of(fitted)
    assert layout.groups["age"] == ("under 30", "30 to under 45", "45 and over")
    assert layout.groups["sex"] == ("f", "m")
    assert layout.groups["absent"] == ()
    as_text = gauges.group_codes(pa.array(["20", "x", "50", None]), [30, 45])
    assert as_text.codes.tolist() == [0, -1, 2, -1]


def test_a_declared_feature_may_be_missing_from_the_baseline() -> None:
    schema = Schema.from_json({"features": ["x", "z"], "feature_types": {"z": "str"}})
    assert kinds_of(fit(schema)) == {"x": "numeric", "z": "categorical"}


def test_a_feature_that_the_schema_does_not_name_is_kept_but_not_watched() -> None:
    schema = Schema.from_json({"features": ["x"]})
    fitted = fit(schema, featureData={"x": [1.0], "extra": ["a"]})
    assert kinds_of(fitted) == {"x": "numeric"}
    shown = apart.show(fitted.features, fitted.labeled)
    assert shown["featureData"] == {"x": [1.0], "extra": ["a"]}


def test_a_strict_schema_refuses_it() -> None:
    schema = Schema.from_json({"features": ["x"], "schema_mode": "strict"})
    with pytest.raises(InvalidError) as refused:
        fit(schema, featureData={"x": [1.0], "extra": ["a"]})
    assert refused.value.errors[0]["loc"] == ["featureData", "extra"]


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ({"labeledPredictions": 5}, ["labeledPredictions"]),
        (
            {"labeledPredictions": {"predictedLabels": "0"}},
            ["labeledPredictions", "predictedLabels"],
        ),
        (
            {"labeledPredictions": {"predictedLabels": [[1]]}},
            ["labeledPredictions", "predictedLabels", 0],
        ),
        (
            {"labeledPredictions": {"probabilities": [2.0]}},
            ["labeledPredictions", "probabilities", 0],
        ),
        (
            {"featureData": {str(place): [1] for place in range(501)}},
            ["featureData"],
        ),
    ],
)
def test_faults_have_a_place(body: dict[str, Any], loc: list[Any]) -> None:
    with pytest.raises(InvalidError) as refused:
        fit(**body)
    assert loc in [error["loc"] for error in refused.value.errors]


def test_no_more_faults_are_named_than_anybody_reads() -> None:
    with pytest.raises(InvalidError) as refused:
        fit(
            Schema.from_json({"features": ["x"], "feature_types": {"x": "float"}}),
            featureData={"x": ["a"] * 300},
            labeledPredictions={"probabilities": [5] * 300},
        )
    assert len(refused.value.errors) == samples.MOST_FAULTS


def test_one_probability_a_row_and_missing_ones_are_read() -> None:
    fitted = fit(
        labeledPredictions={
            "probabilities": [0.9, None, 0.1],
            "predictedLabels": [1, 1, 0],
            "actualLabels": [1, 0, 0],
        }
    )
    assert fitted.performance["metrics"]["roc_auc"]["n"] == 3
    assert fitted.performance["task"] == "binary"


def test_mixed_values_are_told_apart_by_value() -> None:
    fitted = fit(featureData={"big": [2**60, 1.5, 3], "mixed": ["a", 1, True]})
    assert kinds_of(fitted) == {"big": "numeric", "mixed": "categorical"}
    grid = Grid.from_bytes(fitted.grid)
    assert grid.columns["mixed"].categories == ("1", "a")


def test_equal_samples_make_equal_baselines() -> None:
    assert fit().digest == fit().digest
    assert fit().digest != fit(featureData={"x": [1.0, 3.0]}).digest


def ask(head: dict[str, Any], body: bytes) -> bytes:
    sink = io.BytesIO()
    apart.main(io.BytesIO(json.dumps(head).encode() + b"\n" + body), sink)
    return sink.getvalue()


def test_the_fitting_process_answers_the_same_baseline() -> None:
    content = {"modelId": 1, "version": "1", "featureData": {"x": [1.0, 2.0]}}
    head = {"do": "fit", "form": apart.JSON, "schema": Schema().to_json()}
    line, _, rest = ask(head, json.dumps(content).encode()).partition(b"\n")
    told = json.loads(line)
    expected = fit()
    assert told["digest"] == expected.digest
    assert rest == expected.features + expected.grid
    assert told["lengths"]["labeled"] is None


def test_the_fitting_process_answers_what_is_wrong() -> None:
    head = {"do": "fit", "form": apart.JSON, "schema": Schema().to_json()}
    told = json.loads(ask(head, b"[]"))
    assert told["error"] == InvalidError.code
    told = json.loads(ask(head, b"{"))
    assert told["error"] == MalformedError.code
    told = json.loads(ask({**head, "form": apart.CSV}, b"x,x\n1,2\n"))
    assert told["error"] == InvalidError.code


def test_the_fitting_process_shows_a_baseline() -> None:
    fitted = fit(targetData={"type": "classification", "values": ["a", None, "b"]})
    head = {"do": "show", "features": len(fitted.features)}
    shown = json.loads(ask(head, fitted.features + (fitted.labeled or b"")))
    assert shown == {"featureData": {"x": [1, 2]}, "targetValues": ["a", None, "b"]}
    assert apart.show(fit().features, None)["targetValues"] is None


def test_a_file_may_have_dates_and_coded_columns() -> None:
    sink = io.BytesIO()
    table = pa.table(
        {
            "day": pa.array([0, 1], pa.date32()),
            "coded": pa.array(["a", "b"]).dictionary_encode(),
            "probability": [0.5, 0.5],
        }
    )
    pa.parquet.write_table(table, sink)
    fitted = apart.fit(apart.PARQUET, sink.getvalue(), Schema())
    assert kinds_of(fitted)["day"] == kinds_of(fitted)["coded"] == "categorical"
    shown = apart.show(fitted.features, fitted.labeled)["featureData"]
    assert shown["day"] == ["1970-01-01", "1970-01-02"]


def test_a_column_of_the_other_kind_is_counted_invalid_not_missing() -> None:
    grid = Grid.fit({"n": [1.0, 2.0], "c": ["a"]}, {"n": "numeric", "c": "categorical"})
    table = pa.table(
        {
            "features.n": pa.array(["x", None]).dictionary_encode(),
            "features.c": pa.array([1.0, None]),
        }
    )
    columns, invalid = rows.columns_for(table, {"n": "numeric", "c": "categorical"})
    assert invalid == {"n": 1}
    tally = grid.count(columns, invalid=invalid)
    missing = grid.columns["n"].cells.stop
    assert tally.ints[missing : missing + 2].tolist() == [1, 1]
    assert tally.unseen == {"c": {"1": 1}}
    absent, _ = rows.columns_for(table, {"gone": "numeric", "away": "categorical"})
    assert np.isnan(np.asarray(absent["gone"])).all()
    assert len(absent["away"]) == 2
