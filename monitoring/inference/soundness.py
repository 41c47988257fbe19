"""Whether the bytes of an artifact may be run at all, and how it is asked.

Everything is looked at before a session exists, in a process that holds nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import onnx
from onnx import AttributeProto, TensorProto

from monitoring.inference.operators import OPERATORS, OPSETS
from monitoring.inference.words import UnsoundError

MOST_NODES = 20_000
MOST_CLASSES = 1_000
# What a tensor of the artifact may consist of, and what a feature has to be for it.
INPUT_TYPES = {
    TensorProto.FLOAT: "float",
    TensorProto.DOUBLE: "double",
    TensorProto.INT64: "int64",
    TensorProto.STRING: "string",
    TensorProto.BOOL: "bool",
}
_SUITS: Mapping[str, frozenset[str]] = {
    "float": frozenset({"float", "int", "boolean"}),
    "double": frozenset({"float", "int", "boolean"}),
    "int64": frozenset({"int", "boolean"}),
    "string": frozenset({"categorical"}),
    "bool": frozenset({"boolean"}),
}
_FLOATS = {TensorProto.FLOAT, TensorProto.DOUBLE}
_LABELS = {TensorProto.INT64, TensorProto.STRING}


def examine(content: bytes, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return how the artifact is asked: its inputs, outputs, opsets and operators.

    Parameters
    ----------
    content : bytes
        What claims to be an ONNX model.
    schema : mapping
        Of the version: `features`, a list of name and type in the model's order,
        `task` and `classes`; each of the latter may be None.

    Raises
    ------
    UnsoundError
        Saying what about it is refused.
    """
    try:
        model = onnx.ModelProto.FromString(content)
    except Exception:  # noqa: BLE001 (protobuf's errors have no common ancestor)
        raise UnsoundError("it is no ONNX model") from None
    if not model.graph.node or not model.graph.output:
        raise UnsoundError("it is no ONNX model: its graph is empty")
    opsets = _opsets(model)
    operators = sorted({_operator(node, opsets) for node in _nodes(model)})
    for tensor in _tensors(model):
        if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
            raise UnsoundError(
                f"its tensor {tensor.name[:80]!r} stands in another file"
            )
    try:
        onnx.checker.check_model(model)
    except Exception as error:  # noqa: BLE001 (also RuntimeError and ValueError)
        raise UnsoundError(f"it is malformed: {str(error)[:200]}") from None
    return {
        "inputs": _inputs(model, schema["features"]),
        "outputs": _outputs(model, schema),
        "opsets": opsets,
        "operators": operators,
    }


def _opsets(model: Any) -> dict[str, int]:
    if model.functions or model.training_info:
        raise UnsoundError("it defines functions or training of its own")
    found: dict[str, int] = {}
    for entry in model.opset_import:
        domain = "" if entry.domain == "ai.onnx" else entry.domain
        if domain not in OPSETS:
            raise UnsoundError(f"the operators of {domain[:80]!r} are not allowed")
        first, last = OPSETS[domain]
        if not first <= entry.version <= last:
            raise UnsoundError(
                f"opset {entry.version} of {domain or 'ai.onnx'!r} isn't one of "
                f"{first} to {last}"
            )
        found[domain] = entry.version
    return found


def _nodes(model: Any) -> Sequence[Any]:
    nodes: Sequence[Any] = model.graph.node
    if len(nodes) > MOST_NODES:
        raise UnsoundError(f"it has more than {MOST_NODES:,} nodes")
    return nodes


def _operator(node: Any, opsets: Mapping[str, int]) -> str:
    domain = "" if node.domain == "ai.onnx" else node.domain
    if domain not in opsets or node.op_type not in OPERATORS[domain]:
        hint = "; convert it with zipmap=False" if node.op_type == "ZipMap" else ""
        raise UnsoundError(f"the operator {node.op_type[:80]!r} is not allowed{hint}")
    for attribute in node.attribute:
        if attribute.type in {AttributeProto.GRAPH, AttributeProto.GRAPHS} or (
            attribute.HasField("g") or attribute.graphs
        ):
            raise UnsoundError(f"its node {node.op_type} has a graph of its own")
    return f"{domain}:{node.op_type}" if domain else str(node.op_type)


def _tensors(model: Any) -> Iterator[Any]:
    graph = model.graph
    yield from graph.initializer
    sparse = list(graph.sparse_initializer)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            if attribute.HasField("sparse_tensor"):
                sparse.append(attribute.sparse_tensor)
            sparse += attribute.sparse_tensors
    for one in sparse:
        yield one.values
        yield one.indices


def _inputs(model: Any, features: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the inputs with the features that each takes, in this order."""
    known = {one["name"]: one["type"] for one in features}
    constant = {one.name for one in model.graph.initializer}
    given = [one for one in model.graph.input if one.name not in constant]
    if not known:
        raise UnsoundError("the version has no schema that says what the inputs are")
    if len(given) == 1 and _width(given[0]) == len(known):
        names = [list(known)]
    else:
        names = [[one.name] for one in given]
        _same_names(set(known), [one.name for one in given])
    return [_input(one, taken, known) for one, taken in zip(given, names, strict=True)]


def _same_names(features: set[str], inputs: Sequence[str]) -> None:
    if missing := sorted(set(inputs) - features):
        raise UnsoundError(
            f"its input {missing[0][:80]!r} is no feature of the schema, nor one that "
            f"takes all {len(features)} of them"
        )
    if left := sorted(features - set(inputs)):
        raise UnsoundError(f"it has no input for the feature {left[0]!r}")


def _input(
    given: Any, names: list[str], known: Mapping[str, str | None]
) -> dict[str, Any]:
    kind = INPUT_TYPES.get(given.type.tensor_type.elem_type)
    if kind is None:
        raise UnsoundError(f"the type of its input {given.name[:80]!r} is not allowed")
    dimensions = given.type.tensor_type.shape.dim
    if len(dimensions) not in {1, 2} or _width(given) != len(names):
        raise UnsoundError(
            f"its input {given.name[:80]!r} has to take rows of {len(names)}"
        )
    if dimensions[0].HasField("dim_value"):
        raise UnsoundError(
            f"its input {given.name[:80]!r} takes a fixed number of rows; leave the "
            "first dimension open"
        )
    for name in names:
        declared = known[name]
        if declared is not None and declared not in _SUITS[kind]:
            raise UnsoundError(
                f"its input for {name!r} takes {kind}, and the schema says {declared}"
            )
    return {
        "name": given.name,
        "type": kind,
        "rank": len(dimensions),
        "features": names,
    }


def _width(value: Any) -> int | None:
    """Return how many features a row of an input has; None if it is open."""
    dimensions = value.type.tensor_type.shape.dim
    if len(dimensions) == 1:
        return 1
    if len(dimensions) != 2 or not dimensions[1].HasField("dim_value"):
        return None
    return int(dimensions[1].dim_value)


def _outputs(model: Any, schema: Mapping[str, Any]) -> dict[str, str | None]:
    """Return which output is the label, the probabilities, or the value."""
    outputs = list(model.graph.output)
    if any(not one.type.HasField("tensor_type") for one in outputs):
        raise UnsoundError(
            "an output is no tensor; convert a classifier with zipmap=False"
        )
    labels = [one for one in outputs if one.type.tensor_type.elem_type in _LABELS]
    floats = [one for one in outputs if one.type.tensor_type.elem_type in _FLOATS]
    task = schema["task"]
    if len(outputs) == len(floats) == 1 and task in {None, "regression"}:
        return {"label": None, "probabilities": None, "value": floats[0].name}
    if len(labels) != 1 or len(floats) > 1 or len(outputs) > 2 or task == "regression":
        wanted = (
            "one of floats"
            if task == "regression"
            else "one of labels (int64 or string), and one of probabilities (floats)"
        )
        raise UnsoundError(f"its outputs have to be {wanted}")
    probabilities = floats[0] if floats else None
    if probabilities is not None:
        _classes(probabilities, schema["classes"])
    return {
        "label": labels[0].name,
        "probabilities": probabilities.name if probabilities is not None else None,
        "value": None,
    }


def _classes(output: Any, classes: Sequence[str] | None) -> None:
    width = _width(output) if output.type.tensor_type.shape.dim else None
    if width is None:
        return
    wanted = len(classes) if classes else width
    if not 2 <= width <= MOST_CLASSES or width != wanted:
        raise UnsoundError(
            f"it gives {width} probabilities, and the schema has {wanted} classes"
        )
