"""Which artifacts are refused, before anything of them is run."""

from collections.abc import Callable
from typing import Any

import pytest
from onnx import TensorProto, helper

from monitoring.inference import soundness
from monitoring.inference.words import UnsoundError
from tests import artifacts

SCHEMA: dict[str, Any] = {
    "features": [
        {"name": "age", "type": "int"},
        {"name": "income", "type": "float"},
    ],
    "task": "binary",
    "classes": ["0", "1"],
}
MIXED: dict[str, Any] = {
    "features": [
        {"name": "region", "type": "categorical"},
        {"name": "age", "type": "int"},
    ],
    "task": "binary",
    "classes": ["no", "yes"],
}


def test_one_input_takes_all_features_in_the_schemas_order() -> None:
    found = soundness.examine(artifacts.classifier(), SCHEMA)
    [taken] = found["inputs"]
    assert taken["features"] == ["age", "income"]
    assert found["outputs"] == {
        "label": "label",
        "probabilities": "probabilities",
        "value": None,
    }
    assert found["operators"] == ["ai.onnx.ml:LinearClassifier"]


def test_inputs_may_be_named_after_the_features() -> None:
    found = soundness.examine(artifacts.one_input_a_feature(), MIXED)
    assert {one["name"]: one["type"] for one in found["inputs"]} == {
        "age": "float",
        "region": "string",
    }


def test_a_regression_has_one_output() -> None:
    schema = {**SCHEMA, "task": "regression", "classes": None}
    found = soundness.examine(artifacts.regressor(), schema)
    assert found["outputs"]["value"] == "y"
    with pytest.raises(UnsoundError, match="one of labels"):
        soundness.examine(artifacts.regressor(), SCHEMA)
    with pytest.raises(UnsoundError, match="one of floats"):
        soundness.examine(artifacts.classifier(), schema)


def external(made: Any) -> None:
    made.graph.initializer.append(helper.make_tensor("w", 1, [1], [1.0]))
    tensor = made.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def external_inside(made: Any) -> None:
    tensor = helper.make_tensor("w", TensorProto.FLOAT, [1], [1.0])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    made.graph.node.append(helper.make_node("Constant", [], ["c"], value=tensor))


def branch(made: Any) -> None:
    made.graph.node.append(helper.make_node("If", ["x"], ["c"], then_branch=made.graph))


def hidden_graph(made: Any) -> None:
    node = helper.make_node("Identity", ["x"], ["c"])
    node.attribute.append(helper.make_attribute("body", made.graph))
    made.graph.node.append(node)


def own_function(made: Any) -> None:
    made.functions.append(
        helper.make_function("here", "F", ["a"], ["b"], [], made.opset_import)
    )


def own_domain(made: Any) -> None:
    made.opset_import.append(helper.make_opsetid("com.microsoft", 1))


def unknown_operator(made: Any) -> None:
    made.graph.node.append(helper.make_node("RandomNormal", [], ["c"], shape=[9]))


def old_opset(made: Any) -> None:
    made.opset_import[0].version = 1


def many_nodes(made: Any) -> None:
    node = helper.make_node("Identity", ["x"], ["c"])
    made.graph.node.extend([node] * soundness.MOST_NODES)


def fixed_rows(made: Any) -> None:
    made.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1


def other_width(made: Any) -> None:
    made.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 3


def wrong_type(made: Any) -> None:
    made.graph.input[0].type.tensor_type.elem_type = TensorProto.STRING


def three_classes(made: Any) -> None:
    made.graph.output[1].type.tensor_type.shape.dim[1].dim_value = 3


def dangling(made: Any) -> None:
    made.graph.node[0].input[0] = "nothing"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (external, "in another file"),
        (external_inside, "in another file"),
        (branch, "'If' is not allowed"),
        (hidden_graph, "a graph of its own"),
        (own_function, "functions"),
        (own_domain, "'com.microsoft' are not allowed"),
        (unknown_operator, "'RandomNormal' is not allowed"),
        (old_opset, "opset 1 of 'ai.onnx' isn't one of"),
        (many_nodes, "more than 20,000 nodes"),
        (fixed_rows, "fixed number of rows"),
        (other_width, "'x' is no feature of the schema"),
        (wrong_type, "takes string, and the schema says int"),
        (three_classes, "3 probabilities, and the schema has 2"),
        (dangling, "malformed"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_it_is_refused(change: Callable[[Any], None], why: str) -> None:
    made = artifacts.changed(artifacts.classifier())
    change(made)
    with pytest.raises(UnsoundError, match=why):
        soundness.examine(made.SerializeToString(), SCHEMA)


@pytest.mark.parametrize("content", [b"", b"\x80\x04pickle", b"PK\x03\x04", b"{}"])
def test_what_is_no_onnx_is_refused(content: bytes) -> None:
    with pytest.raises(UnsoundError, match="no ONNX model"):
        soundness.examine(content, SCHEMA)


def test_every_feature_needs_an_input() -> None:
    schema = {**MIXED, "features": [*MIXED["features"], {"name": "x", "type": None}]}
    with pytest.raises(UnsoundError, match="no input for the feature 'x'"):
        soundness.examine(artifacts.one_input_a_feature(), schema)
