import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.importance import normalised
from governance.schema import (
    SCHEMA_FIELDS,
    Feature,
    Mode,
    Schema,
    SchemaError,
    Task,
    infer_task,
)

CREDIT: dict[str, Any] = {
    "features": [
        {"name": "AGE", "type": "int", "importance": 1, "minimum": 18, "maximum": 120},
        {"name": "SEX", "type": "categorical", "categories": [1, 2], "importance": 1},
        {"name": "LIMIT_BAL", "type": "float", "importance": 2, "nullable": False},
    ],
    "target": "late_next_month",
    "feature_types": {"late_next_month": "int"},
    "task": "binary",
    "classes": [0, 1],
    "positive_class": 1,
    "favourable_outcome": 0,
    "decision_threshold": 0.3,
    "primary_metric": "roc_auc",
    "protected_attributes": {"AGE": [30, 45, 60], "SEX": None, "REGION": None},
    "attributes": {"REGION": "string"},
    "schema_mode": "strict",
}


def errors_of(definition: object) -> list[tuple[tuple[str | int, ...], str]]:
    with pytest.raises(SchemaError) as refusal:
        Schema.from_json(definition)
    for error in refusal.value.errors:
        assert error.detail
        assert json.dumps(error.to_json())
    return [(error.loc, error.code) for error in refusal.value.errors]


def test_the_platform_form_is_read() -> None:
    schema = Schema.from_json(
        {
            "schema_definition": {
                "features": ["age", "income", "region"],
                "target": "credit_approved",
                "feature_types": {
                    "age": "int",
                    "income": "Float",
                    "credit_approved": "int",
                },
            },
            "protected_attributes": ["region"],
        }
    )
    assert schema.features == (
        Feature("age", "int", 1),
        Feature("income", "float", 2),
        Feature("region", None, 3),
    )
    assert [feature.kind for feature in schema.features] == ["numeric", "numeric", None]
    assert (schema.target, schema.target_type) == ("credit_approved", "int")
    assert schema.protected == {"region": None}
    assert schema.mode is Mode.LENIENT


def test_the_quick_start_form_is_read_in_its_order() -> None:
    schema = Schema.from_json(
        [
            {"feature_name": "country", "feature_type": "string", "order": 2},
            {"feature_name": "amount", "feature_type": "continuous", "order": 1},
        ]
    )
    assert schema.features == (
        Feature("amount", "continuous", 1),
        Feature("country", "string", 2),
    )
    assert Schema.from_json({"schema_definition": ["a"]}).by_name == {
        "a": Feature("a", order=1)
    }


def test_every_optional_field_is_read() -> None:
    schema = Schema.from_json(CREDIT)
    assert schema == Schema(
        features=(
            Feature("AGE", "int", 1, 1, None, 18, 120),
            Feature("SEX", "categorical", 2, 1, ("1", "2")),
            Feature("LIMIT_BAL", "float", 3, 2, nullable=False),
        ),
        target="late_next_month",
        target_type="int",
        task=Task.BINARY,
        classes=("0", "1"),
        positive_class="1",
        favourable_outcome="0",
        decision_threshold=0.3,
        primary_metric="roc_auc",
        protected={"AGE": (30, 45, 60), "SEX": None, "REGION": None},
        attributes={"REGION": "string"},
        mode=Mode.STRICT,
    )


@pytest.mark.parametrize("definition", [CREDIT, {}, [], ["a", "b"], {"task": "binary"}])
def test_the_json_form_is_finite_and_reads_back_to_the_same(definition: object) -> None:
    schema = Schema.from_json(definition)
    text = json.dumps(schema.to_json(), allow_nan=False)
    again = Schema.from_json(json.loads(text))
    assert again == schema
    assert again.digest == schema.digest
    assert set(schema.to_json()) <= SCHEMA_FIELDS


def test_the_digest_tells_schemas_apart() -> None:
    assert len(Schema().digest) == 64
    assert Schema.from_json(["a"]).digest != Schema.from_json(["b"]).digest
    assert Schema.from_json({"classes": ["0", 1.0]}).digest == (
        Schema.from_json({"classes": [False, True]}).digest
    )


@pytest.mark.parametrize(
    ("word", "value_type", "kind"),
    [
        ("continuous", "float", "numeric"),
        ("float", "float", "numeric"),
        ("numeric", "float", "numeric"),
        ("number", "float", "numeric"),
        ("int", "int", "numeric"),
        ("integer", "int", "numeric"),
        ("Int64", "int", "numeric"),
        ("categorical", "categorical", "categorical"),
        ("category", "categorical", "categorical"),
        ("string", "categorical", "categorical"),
        ("str", "categorical", "categorical"),
        ("boolean", "boolean", "categorical"),
        ("bool", "boolean", "categorical"),
    ],
)
def test_every_published_word_for_a_type_is_known(
    word: str, value_type: str, kind: str
) -> None:
    feature = Schema.from_json([{"name": "x", "type": word}]).features[0]
    assert (feature.value_type, feature.kind) == (value_type, kind)


def test_types_without_a_list_of_features_name_them() -> None:
    schema = Schema.from_json(
        {"target": "y", "feature_types": {"a": "int", "y": "bool", "b": "str"}}
    )
    assert [feature.name for feature in schema.features] == ["a", "b"]
    assert schema.target_type == "boolean"


@pytest.mark.parametrize(
    ("definition", "loc", "code"),
    [
        (5, (), "type"),
        ({"colour": 1}, ("colour",), "unknown_field"),
        ({"schema_definition": {"model": 1}}, ("schema_definition", "model"),
         "unknown_field"),
        ({"target": "y", "schema_definition": {"target": "y"}},
         ("schema_definition", "target"), "conflict"),
        ({"features": "a"}, ("features",), "type"),
        ({"features": [3]}, ("features", 0), "type"),
        ({"features": ["a", ""]}, ("features", 1, "name"), "text"),
        ({"features": ["a\0"]}, ("features", 0, "name"), "text"),
        ({"features": ["a" * 201]}, ("features", 0, "name"), "text"),
        ({"features": [{"type": "int"}]}, ("features", 0, "name"), "missing"),
        ({"features": [{"feature_name": 3}]}, ("features", 0, "feature_name"), "type"),
        ({"features": ["a", "b", "a"]}, ("features", 2), "duplicate"),
        ({"features": [{"name": "a", "color": 1}]}, ("features", 0, "color"),
         "unknown_field"),
        ({"features": [{"name": "a", "type": "blob"}]}, ("features", 0, "type"),
         "choice"),
        ({"features": [{"name": "a", "feature_type": 7}]},
         ("features", 0, "feature_type"), "choice"),
        ({"features": [{"name": "a", "order": 2}, "b"]}, ("features", 1, "order"),
         "duplicate"),
        ({"features": [{"name": "a", "order": 1.5}]}, ("features", 0, "order"), "type"),
        ({"features": [{"name": "a", "order": -1}]}, ("features", 0, "order"), "range"),
        ({"features": [{"name": "a", "importance": -1}]}, ("features", 0, "importance"),
         "range"),
        ({"features": [{"name": "a", "importance": "1"}]},
         ("features", 0, "importance"), "type"),
        ({"features": [{"name": "a", "importance": True}]},
         ("features", 0, "importance"), "type"),
        ({"features": [{"name": "a", "minimum": float("nan")}]},
         ("features", 0, "minimum"), "range"),
        ({"features": [{"name": "a", "maximum": 10**400}]}, ("features", 0, "maximum"),
         "range"),
        ({"features": [{"name": "a", "minimum": 2, "maximum": 1}]},
         ("features", 0, "minimum"), "range"),
        ({"features": [{"name": "a", "nullable": "no"}]}, ("features", 0, "nullable"),
         "type"),
        ({"features": [{"name": "a", "categories": []}]}, ("features", 0, "categories"),
         "too_few"),
        ({"features": [{"name": "a", "categories": [1, "1"]}]},
         ("features", 0, "categories", 1), "duplicate"),
        ({"features": [{"name": "a", "categories": [None, "1"]}]},
         ("features", 0, "categories", 0), "missing"),
        ({"features": [{"name": "a", "categories": [[]]}]},
         ("features", 0, "categories", 0), "type"),
        ({"features": [{"name": "a", "categories": "ab"}]},
         ("features", 0, "categories"), "type"),
        ({"features": [{"name": "a", "categories": [float("inf")]}]},
         ("features", 0, "categories", 0), "range"),
        ({"features": [f"f{i}" for i in range(501)]}, ("features",), "too_many"),
        ({"features": ["a"], "importance": {"b": 1}}, ("importance", "b"),
         "unknown_feature"),
        ({"features": ["a"], "importance": [1]}, ("importance",), "type"),
        ({"features": ["a"], "feature_types": {"b": "int"}}, ("feature_types", "b"),
         "unknown_feature"),
        ({"features": ["a"], "feature_types": ["a", 3]}, ("feature_types", 1), "type"),
        ({"features": ["a"], "target": "a"}, ("target",), "conflict"),
        ({"target": 4}, ("target",), "type"),
        ({"target_type": "x"}, ("target_type",), "choice"),
        ({"task": "clustering"}, ("task",), "choice"),
        ({"task": 3}, ("task",), "choice"),
        ({"classes": ["a"]}, ("classes",), "too_few"),
        ({"classes": [0, 1, 2], "task": "binary"}, ("classes",), "conflict"),
        ({"classes": [0, 1], "task": "regression"}, ("classes",), "conflict"),
        ({"classes": [0, 1], "positive_class": 2}, ("positive_class",), "conflict"),
        ({"classes": [0, 1], "favourable_outcome": "no"}, ("favourable_outcome",),
         "conflict"),
        ({"favourable_outcome": [0]}, ("favourable_outcome",), "type"),
        ({"decision_threshold": 1.5, "task": "binary"}, ("decision_threshold",),
         "range"),
        ({"decision_threshold": -1, "classes": [0, 1]}, ("decision_threshold",),
         "range"),
        ({"primary_metric": "mae", "task": "binary"}, ("primary_metric",), "choice"),
        ({"protected_attributes": ["b"], "features": ["a"]},
         ("protected_attributes", "b"), "unknown_feature"),
        ({"protected_attributes": {"a": [2, 1]}}, ("protected_attributes", "a"),
         "bands"),
        ({"protected_attributes": {"a": []}}, ("protected_attributes", "a"), "bands"),
        ({"protected_attributes": {"a": ["x"]}}, ("protected_attributes", "a", 0),
         "type"),
        ({"protected_attributes": {"a": [1]},
          "features": [{"name": "a", "type": "string"}]},
         ("protected_attributes", "a"), "bands"),
        ({"attributes": {"a": "int"}, "features": ["a"]}, ("attributes", "a"),
         "conflict"),
        ({"attributes": {"": "int"}}, ("attributes", ""), "text"),
        ({"schema_mode": "loose"}, ("schema_mode",), "choice"),
    ],
)  # fmt: skip
def test_a_fault_is_named_by_place_and_code(
    definition: object, loc: tuple[str | int, ...], code: str
) -> None:
    assert (loc, code) in errors_of(definition)


def test_all_faults_are_named_at_once() -> None:
    found = errors_of(
        {"task": "x", "classes": [1], "features": ["a", "a"], "target": 3}
    )
    assert {code for _, code in found} == {"choice", "too_few", "duplicate", "type"}
    with pytest.raises(SchemaError, match=r"features\.1: 'a' is there already"):
        Schema.from_json(["a", "a"])


def test_a_fault_never_repeats_a_long_value() -> None:
    with pytest.raises(SchemaError) as refusal:
        Schema.from_json({"target": [9] * 9999, "task": "x" * 9999})
    assert len(str(refusal.value)) < 400


def test_groups_are_bands_or_values() -> None:
    schema = Schema.from_json(CREDIT)
    assert schema.group_of("AGE", 45) == "45 to under 60"
    assert schema.group_of("AGE", None) is None
    assert schema.group_of("AGE", "old") is None
    assert schema.group_of("SEX", 1.0) == "1"
    assert schema.groups_of("SEX") == ("1", "2")
    assert schema.groups_of("REGION") is None
    assert schema.groups_of("AGE") == (
        "under 30",
        "30 to under 45",
        "45 to under 60",
        "60 and over",
    )
    with pytest.raises(KeyError):
        schema.group_of("LIMIT_BAL", 1)


def test_the_kind_of_a_column_is_known_for_features_and_attributes() -> None:
    schema = Schema.from_json(CREDIT)
    assert schema.kind_of("AGE") == "numeric"
    assert schema.kind_of("REGION") == "categorical"
    assert schema.kind_of("unheard of") is None


@pytest.mark.parametrize(
    ("definition", "positive"),
    [
        ({"task": "binary"}, "1"),
        ({}, "1"),
        ({"classes": ["no", "yes"]}, "yes"),
        ({"classes": [1, 0]}, "1"),
        ({"classes": ["bad", "good"], "positive_class": "bad"}, "bad"),
        ({"classes": ["a", "b", "c"]}, None),
        ({"task": "regression"}, None),
    ],
)
def test_the_positive_class_is_the_declared_one_or_1_or_the_second(
    definition: object, positive: str | None
) -> None:
    assert Schema.from_json(definition).positive == positive


def test_the_primary_metric_follows_the_task() -> None:
    assert Schema().metric(Task.BINARY) == "roc_auc"
    assert Schema().metric(Task.MULTICLASS) == "accuracy"
    assert Schema().metric(Task.REGRESSION) == "mae"
    chosen = Schema.from_json({"primary_metric": "accuracy"})
    assert chosen.metric(Task.BINARY) == "accuracy"


@pytest.mark.parametrize(
    ("given_importances", "shares"),
    [
        ({}, {}),
        ({"a": None, "b": None}, {"a": 0.5, "b": 0.5}),
        ({"a": 0.0, "b": 0.0}, {"a": 0.5, "b": 0.5}),
        ({"a": 1.0, "b": 3.0}, {"a": 0.25, "b": 0.75}),
        ({"a": 1.0, "b": 3.0, "c": None}, {"a": 1 / 6, "b": 0.5, "c": 1 / 3}),
    ],
)
def test_importances_are_shares_of_the_whole(
    given_importances: dict[str, float | None], shares: dict[str, float]
) -> None:
    assert normalised(given_importances) == pytest.approx(shares)
    schema = Schema.from_json(CREDIT)
    assert schema.importances == {"AGE": 0.25, "SEX": 0.25, "LIMIT_BAL": 0.5}


def test_importances_may_stand_in_a_table_of_their_own() -> None:
    schema = Schema.from_json({"features": ["a", "b"], "importance": {"b": 3}})
    assert [feature.importance for feature in schema.features] == [None, 3]


@given(
    st.dictionaries(st.text(), st.none() | st.floats(0, 1e308), min_size=1, max_size=9)
)
def test_importances_always_sum_to_one(values: dict[str, float | None]) -> None:
    shares = normalised(values)
    assert shares.keys() == values.keys()
    assert sum(shares.values()) == pytest.approx(1)
    assert min(shares.values()) >= 0


@pytest.mark.parametrize(
    ("definition", "seen", "task"),
    [
        ({"task": "regression"}, {"labels": ["a", "b"]}, "regression"),
        ({"classes": [0, 1]}, {"target_type": "regression"}, "regression"),
        ({"classes": ["a", "b"]}, {}, "binary"),
        ({"classes": ["a", "b", "c"]}, {}, "multiclass"),
        ({"positive_class": "bad"}, {}, "binary"),
        ({"target": "y", "target_type": "bool"}, {}, "binary"),
        ({}, {"probabilities": 1}, "binary"),
        ({}, {"probabilities": 2}, "binary"),
        ({}, {"probabilities": 3}, "multiclass"),
        ({"target_type": "float"}, {}, "regression"),
        ({"target_type": "float"}, {"predictions": [0.5]}, "regression"),
        ({"target_type": "float"}, {"labels": [0, 1], "predictions": [0.5]}, "binary"),
        ({"target_type": "float"}, {"labels": [0.3]}, "regression"),
        ({"target_type": "int"}, {"predictions": [0.87, 0.1]}, "binary"),
        ({}, {}, None),
        ({}, {"predictions": [None, float("nan")]}, None),
        ({}, {"labels": ["good", "bad"]}, "binary"),
        ({}, {"labels": ["good", "bad", "ugly"], "predictions": [0.4]}, "multiclass"),
        ({}, {"labels": ["good"]}, None),
        ({}, {"predictions": ["good", "bad"]}, "binary"),
        ({}, {"predictions": [0.87, 0.2]}, "binary"),
        ({}, {"predictions": ["0", "1"], "labels": ["1"]}, "binary"),
        ({}, {"predictions": [0.9, 1.1]}, "regression"),
        ({}, {"predictions": [0.9], "labels": [17]}, "regression"),
        ({}, {"predictions": [17.5], "labels": [0, 1]}, "regression"),
        ({"target_type": "category"}, {"labels": [1, 2, 3]}, "multiclass"),
        ({}, {"labels": [1, 2, 3], "target_type": "classification"}, "multiclass"),
        ({}, {"labels": [1, 2], "target_type": "classification"}, "binary"),
        ({}, {"labels": [5], "target_type": "classification"}, None),
    ],
)
def test_the_task_follows_from_what_is_known(
    definition: object, seen: dict[str, Any], task: str | None
) -> None:
    assert infer_task(Schema.from_json(definition), **seen) == task
