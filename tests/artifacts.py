"""Small ONNX models, written operator by operator."""

from collections.abc import Sequence
from typing import Any

import onnx
from onnx import TensorProto, helper

OPSETS = {"": 17, "ai.onnx.ml": 3}


def model(
    nodes: Sequence[Any],
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    *,
    initializers: Sequence[Any] = (),
    opsets: dict[str, int] | None = None,
) -> bytes:
    graph = helper.make_graph(nodes, "g", inputs, outputs, list(initializers))
    made = helper.make_model(
        graph,
        opset_imports=[
            helper.make_opsetid(domain, version)
            for domain, version in (opsets or OPSETS).items()
        ],
        ir_version=8,
    )
    return bytes(made.SerializeToString())


def floats(name: str, *shape: int | None) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))


def integers(name: str, *shape: int | None) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.INT64, list(shape))


def classifier(weights: Sequence[float] = (0.1, 0.0), bias: float = -5.0) -> bytes:
    """Return a logistic regression; its label is 1 where weights · x + bias > 0."""
    node = helper.make_node(
        "LinearClassifier",
        ["x"],
        ["label", "probabilities"],
        domain="ai.onnx.ml",
        coefficients=[*(-one for one in weights), *weights],
        intercepts=[-bias, bias],
        classlabels_ints=[0, 1],
        post_transform="SOFTMAX",
        multi_class=0,
    )
    return model(
        [node],
        [floats("x", None, len(weights))],
        [integers("label", None), floats("probabilities", None, 2)],
    )


def regressor(weights: Sequence[float] = (2.0, 1.0)) -> bytes:
    node = helper.make_node(
        "LinearRegressor",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        coefficients=list(weights),
        intercepts=[0.0],
    )
    return model([node], [floats("x", None, len(weights))], [floats("y", None, 1)])


def one_input_a_feature() -> bytes:
    """Return a classifier whose inputs are `age` (a number) and `region` (text)."""
    nodes = [
        helper.make_node(
            "LabelEncoder",
            ["region"],
            ["code"],
            domain="ai.onnx.ml",
            keys_strings=["north", "south"],
            values_floats=[0.0, 1.0],
            default_float=0.0,
        ),
        helper.make_node("Concat", ["age", "code"], ["x"], axis=1),
        helper.make_node(
            "LinearClassifier",
            ["x"],
            ["label", "probabilities"],
            domain="ai.onnx.ml",
            coefficients=[-0.1, -9.0, 0.1, 9.0],
            intercepts=[5.0, -5.0],
            classlabels_strings=["no", "yes"],
            post_transform="SOFTMAX",
        ),
    ]
    text = TensorProto.STRING
    return model(
        nodes,
        [
            floats("age", None, 1),
            helper.make_tensor_value_info("region", text, [None, 1]),
        ],
        [
            helper.make_tensor_value_info("label", text, [None]),
            floats("probabilities", None, 2),
        ],
    )


def slow() -> bytes:
    """Return a regression that multiplies matrices for minutes unless `age` is 0."""
    nodes: list[Any] = [
        # A square of ones; `age` is its side.
        helper.make_node("Slice", ["x", "zero", "one", "axis"], ["age"]),
        helper.make_node("Cast", ["age"], ["count"], to=TensorProto.INT64),
        helper.make_node("ReduceMax", ["count"], ["most"], keepdims=0),
        helper.make_node("Reshape", ["most", "flat"], ["side"]),
        helper.make_node("Concat", ["side", "side"], ["shape"], axis=0),
        helper.make_node("ConstantOfShape", ["shape"], ["m0"], value=_one()),
    ]
    for number in range(20):
        before, after = f"m{number}", f"m{number + 1}"
        nodes += [
            helper.make_node("MatMul", [before, before], [f"p{number}"]),
            helper.make_node("Tanh", [f"p{number}"], [after]),
        ]
    nodes += [
        helper.make_node("ReduceSum", ["m20"], ["total"], keepdims=0),
        helper.make_node("Mul", ["age", "nothing"], ["none"]),
        helper.make_node("Mul", ["total", "nothing"], ["some"]),
        helper.make_node("Add", ["none", "some"], ["y"]),
    ]
    constants = [
        helper.make_tensor("zero", TensorProto.INT64, [1], [0]),
        helper.make_tensor("one", TensorProto.INT64, [1], [1]),
        helper.make_tensor("axis", TensorProto.INT64, [1], [1]),
        helper.make_tensor("flat", TensorProto.INT64, [1], [1]),
        helper.make_tensor("nothing", TensorProto.FLOAT, [], [0.0]),
    ]
    return model(
        nodes,
        [floats("x", None, 2)],
        [floats("y", None, 1)],
        initializers=constants,
    )


def _one() -> Any:
    return helper.make_tensor("value", TensorProto.FLOAT, [1], [1.0])


def changed(content: bytes) -> Any:
    """Return a model that can be changed; `SerializeToString` makes bytes of it."""
    return onnx.ModelProto.FromString(content)
