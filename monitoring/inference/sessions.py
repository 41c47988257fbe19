"""A session of onnxruntime: columns in, labels, probabilities or values out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from monitoring.inference.words import UnsoundError

MOST_CLASSES = 1_000
SUM_TOLERANCE = 1e-3
_TYPES: Mapping[str, Any] = {
    "float": np.float32,
    "double": np.float64,
    "int64": np.int64,
    "bool": np.bool_,
    "string": np.object_,
}
_PROBES: Mapping[str, Any] = {"string": ""}


class Session:
    """An artifact that is ready to predict.

    Raises
    ------
    UnsoundError
        onnxruntime can't load it, or what it answers makes no sense.
    """

    def __init__(self, content: bytes, signature: Mapping[str, Any]) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False
        options.log_severity_level = 4
        self.inputs: Sequence[Mapping[str, Any]] = signature["inputs"]
        self.outputs: Mapping[str, str | None] = signature["outputs"]
        self.wanted = [name for name in self.outputs.values() if name is not None]
        try:
            self.session = onnxruntime.InferenceSession(
                content, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # noqa: BLE001 (its errors have no ancestor)
            raise UnsoundError(_told("it can't be loaded", error)) from None

    def probe(self) -> None:
        """Let it predict one row, and two, of nothing."""
        for rows in (1, 2):
            self.predict(
                {
                    name: [_PROBES.get(one["type"], 0)] * rows
                    for one in self.inputs
                    for name in one["features"]
                }
            )

    def predict(self, columns: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
        """Return label, probabilities and value of each row; None for what it lacks."""
        rows = len(next(iter(columns.values())))
        feed = {one["name"]: _tensor(one, columns) for one in self.inputs}
        try:
            said = self.session.run(self.wanted, feed)
        except Exception as error:  # noqa: BLE001 (its errors have no ancestor)
            raise UnsoundError(_told("it failed", error)) from None
        by_name = dict(zip(self.wanted, map(np.asarray, said), strict=True))
        found = {
            what: None if name is None else by_name[name]
            for what, name in self.outputs.items()
        }
        return {
            "label": _one_each(found["label"], rows, "labels"),
            "probabilities": _probabilities(found["probabilities"], rows),
            "value": _finite(_one_each(found["value"], rows, "values")),
        }


def _told(what: str, error: Exception) -> str:
    if isinstance(error, MemoryError) or "alloc" in str(error):
        return f"{what}: it takes more memory than is allowed"
    return f"{what}: {str(error)[:200]}"


def _tensor(
    wanted: Mapping[str, Any], columns: Mapping[str, Sequence[Any]]
) -> NDArray[Any]:
    kind = _TYPES[wanted["type"]]
    if wanted["rank"] == 1:
        return np.array(columns[wanted["features"][0]], dtype=kind)
    return np.array([columns[name] for name in wanted["features"]], dtype=kind).T


def _one_each(values: NDArray[Any] | None, rows: int, what: str) -> list[Any] | None:
    if values is None:
        return None
    if values.shape not in {(rows,), (rows, 1)}:
        raise UnsoundError(f"it gave {what} of shape {values.shape} for {rows} rows")
    return values.reshape(rows).tolist()


def _finite(values: list[Any] | None) -> list[Any] | None:
    if values is not None and not np.isfinite(values).all():
        raise UnsoundError("it gave a value that is no finite number")
    return values


def _probabilities(values: NDArray[Any] | None, rows: int) -> list[Any] | None:
    if values is None:
        return None
    values = values.astype(np.float64)
    if values.ndim != 2 or len(values) != rows or values.shape[1] > MOST_CLASSES:
        raise UnsoundError(f"it gave probabilities of shape {values.shape}")
    is_sound = (
        np.isfinite(values).all()
        and (values >= 0).all()
        and (abs(values.sum(axis=1) - 1) <= SUM_TOLERANCE).all()
    )
    if not is_sound:
        raise UnsoundError("what it gives as probabilities are none")
    found: list[Any] = values.tolist()
    return found
