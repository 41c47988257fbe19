"""The sample that a baseline is made of, read from what a client sent.

Columns are kept as they came, so that they can be shown again; how they are counted is
`fitting`'s business.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from governance.exceptions import FieldFault, InvalidError, fault
from governance.labels import canonical, number
from governance.schema import Mode, Schema
from monitoring.stats import gauges, rows
from monitoring.stats.columns import Codes, Kind

MOST_FAULTS = 100
MOST_FEATURES = 500

Column: TypeAlias = Any  # a pyarrow.Array of the type that the client sent


@dataclass(frozen=True, slots=True)
class Sample:
    """The columns of a baseline before anything was computed from them."""

    features: dict[str, Column]
    target_type: str = ""
    target: Column | None = None
    # The predictions, in rows of their own: as numbers, as labels, probabilities.
    values: NDArray[np.float64] | None = None
    texts: Codes | None = None
    probabilities: NDArray[np.float64] | None = None
    labels: Column | None = None  # text

    @property
    def predicted(self) -> list[str | None]:
        """The predictions as labels."""
        if self.values is None or self.texts is None:
            return []
        return [
            self.texts.categories[code] if code >= 0 else canonical(value)
            for value, code in zip(
                self.values.tolist(), self.texts.codes.tolist(), strict=True
            )
        ]

    @property
    def truths(self) -> list[str | None]:
        """The labels, of the labelled predictions or else of the target."""
        column = self.target if self.labels is None else self.labels
        return [] if column is None else [canonical(v) for v in column.to_pylist()]


def read_sample(body: Mapping[str, Any], schema: Schema) -> Sample:
    """Read `featureData`, `targetData` and `labeledPredictions`.

    Raises
    ------
    InvalidError
        With every fault found, up to a hundred.
    """
    faults: list[FieldFault] = []
    features = _features(body.get("featureData"), schema, faults)
    target_type, target = _target(body.get("targetData"), faults)
    labeled = _labeled(body.get("labeledPredictions"), faults)
    if faults:
        raise InvalidError("The baseline is not valid.", errors=faults[:MOST_FAULTS])
    return _sample(features, target_type, target, labeled)


def _features(
    data: object, schema: Schema, faults: list[FieldFault]
) -> dict[str, Column]:
    if not isinstance(data, Mapping) or not data:
        faults.append(
            fault(
                "featureData",
                code="type",
                detail="expected an object of lists, one for each feature",
            )
        )
        return {}
    if len(data) > MOST_FEATURES:
        detail = f"expected at most {MOST_FEATURES} features, got {len(data)}"
        faults.append(fault("featureData", code="too_many", detail=detail))
        return {}
    lengths = {len(values) for values in data.values() if isinstance(values, list)}
    columns = {}
    declared = {*schema.by_name, *schema.attributes, *schema.protected}
    for name, values in data.items():
        where = ("featureData", name)
        if not isinstance(values, list):
            faults.append(fault(*where, code="type", detail="expected a list"))
        elif len(values) != max(lengths):
            detail = f"expected {max(lengths)} values as elsewhere, got {len(values)}"
            faults.append(fault(*where, code="length", detail=detail))
        elif schema.mode is Mode.STRICT and schema.features and name not in declared:
            detail = "is no feature of the schema"
            faults.append(fault(*where, code="unknown", detail=detail))
        else:
            columns[name] = _column(values, gauges.kind_of(schema, name), where, faults)
    if lengths == {0}:
        detail = "expected at least one row"
        faults.append(fault("featureData", code="empty", detail=detail))
    return columns


def _column(
    values: Sequence[Any],
    kind: Kind | None,
    where: tuple[str, ...],
    faults: list[FieldFault],
) -> Column:
    """Return scalars as a column of their own type."""
    types = {type(value) for value in values} - {type(None)}
    odd = types - {str, bool, int, float}
    if kind == "numeric":
        odd = types - {int, float}
    if odd:
        expected = "a number" if kind == "numeric" else "text, a number or a boolean"
        for place, value in enumerate(values):
            if type(value) in odd and len(faults) < MOST_FAULTS:
                detail = f"expected {expected}, got {_shown(value)}"
                faults.append(fault(*where, place, code="type", detail=detail))
        return pa.nulls(len(values), pa.float64())
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        # Numbers of both kinds, or text among them: told apart by value all the same.
        if types <= {int, float}:
            return pa.array([None if v is None else float(v) for v in values])
        return pa.array([canonical(value) for value in values], pa.string())


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _target(data: object, faults: list[FieldFault]) -> tuple[str, Column | None]:
    if data is None:
        return "", None
    if not isinstance(data, Mapping) or not isinstance(data.get("values"), list):
        detail = 'expected {"type": …, "values": […]}'
        faults.append(fault("targetData", code="type", detail=detail))
        return "", None
    kind = data.get("type")
    if kind not in {"classification", "regression"}:
        detail = f'expected "classification" or "regression", got {_shown(kind)}'
        faults.append(fault("targetData", "type", code="choice", detail=detail))
        return "", None
    as_kind: Kind = "numeric" if kind == "regression" else "categorical"
    where = ("targetData", "values")
    return str(kind), _column(data["values"], as_kind, where, faults)


@dataclass(frozen=True, slots=True)
class _Labeled:
    probabilities: NDArray[np.float64] | None = None
    predicted: tuple[Any, ...] | None = None
    actual: tuple[Any, ...] | None = None

    def __len__(self) -> int:
        parts = (self.probabilities, self.predicted, self.actual)
        return max((len(part) for part in parts if part is not None), default=0)


def _labeled(data: object, faults: list[FieldFault]) -> _Labeled:
    names = ("probabilities", "predictedLabels", "actualLabels")
    if data is None:
        return _Labeled()
    if not isinstance(data, Mapping):
        detail = "expected an object"
        faults.append(fault("labeledPredictions", code="type", detail=detail))
        return _Labeled()
    for name in data.keys() - set(names):
        where = ("labeledPredictions", name)
        faults.append(fault(*where, code="unknown", detail="is no known field"))
    parts = {name: data[name] for name in names if data.get(name) is not None}
    lengths = {name: len(p) for name, p in parts.items() if isinstance(p, list)}
    for name in parts.keys() - lengths.keys():
        where = ("labeledPredictions", name)
        faults.append(fault(*where, code="type", detail="expected a list"))
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        detail = f"the lists must be of one length, but {told}"
        faults.append(fault("labeledPredictions", code="length", detail=detail))
    if len(lengths) < len(parts) or len(set(lengths.values())) > 1:
        return _Labeled()
    probabilities = None
    if "probabilities" in parts:
        probabilities = _probabilities(parts["probabilities"], faults)
    return _Labeled(
        probabilities,
        _scalars("predictedLabels", parts, faults),
        _scalars("actualLabels", parts, faults),
    )


def _scalars(
    name: str, parts: Mapping[str, list[Any]], faults: list[FieldFault]
) -> tuple[Any, ...] | None:
    if name not in parts:
        return None
    for place, value in enumerate(parts[name]):
        if value is not None and not isinstance(value, str | int | float):
            detail = f"expected text, a number or a boolean, got {_shown(value)}"
            where = ("labeledPredictions", name, place)
            faults.append(fault(*where, code="type", detail=detail))
            if len(faults) >= MOST_FAULTS:
                break
    return tuple(parts[name])


def _probabilities(
    data: Sequence[Any], faults: list[FieldFault]
) -> NDArray[np.float64] | None:
    """Return the probabilities, one row for each prediction."""
    lists = [value if isinstance(value, list) else [value] for value in data]
    width = max((len(value) for value in lists), default=0)
    table = np.full((len(lists), width), np.nan)
    for place, value in enumerate(lists):
        problem = _problem(value, width)
        if problem is None:
            table[place] = value
        elif data[place] is not None:
            where = ("labeledPredictions", "probabilities", place)
            faults.append(fault(*where, code="probabilities", detail=problem))
            if len(faults) >= MOST_FAULTS:
                break
    return table if width else None


def _problem(value: Sequence[Any], width: int) -> str | None:
    if len(value) != width:
        return f"expected {width} probabilities as elsewhere, got {len(value)}"
    numbers = [v for v in value if isinstance(v, int | float) and type(v) is not bool]
    if len(numbers) < width or min(numbers) < 0 or max(numbers) > 1 + 1e-3:
        return f"expected numbers in [0, 1], got {_shown(list(value))}"
    if width > 1 and abs(math.fsum(numbers) - 1) > 1e-3:
        return f"expected the sum 1, got {math.fsum(numbers):.6g}"
    return None


def _sample(
    features: dict[str, Column],
    target_type: str,
    target: Column | None,
    labeled: _Labeled,
) -> Sample:
    values = texts = labels = None
    if labeled.predicted is not None or labeled.probabilities is not None:
        as_text = target_type == "regression"
        predicted = labeled.predicted or (None,) * len(labeled)
        numbers = [_number(value, as_text) for value in predicted]
        values = np.array([np.nan if n is None else n for n in numbers], np.float64)
        names = [
            canonical(value) if n is None else None
            for value, n in zip(predicted, numbers, strict=True)
        ]
        texts = rows.codes_of(pa.array(names, pa.string()))
    elif target_type == "regression" and target is not None:
        # The best guess at what the model answers is what it should answer.
        values = numbers_of(target)
        texts = Codes(np.full(len(values), -1, np.int32), ())
    if labeled.actual is not None:
        labels = pa.array([canonical(v) for v in labeled.actual], pa.string())
    return Sample(
        features, target_type, target, values, texts, labeled.probabilities, labels
    )


def sample_of(table: pa.Table) -> Sample:
    """Return logged predictions as a sample: what a provisional baseline is made of."""
    values = table["value"].to_numpy()
    texts = Codes(np.full(len(values), -1, np.int32), ())
    if "text" in table.column_names:
        texts = rows.codes_of(rows.one_array(table["text"]))
    features = {
        name: _sent(rows.one_array(column))
        for name, column in rows.features(table).items()
    }
    return Sample(
        features,
        values=values,
        texts=texts,
        probabilities=rows.probabilities(table),
    )


def _sent(column: pa.Array) -> Column:
    is_coded = pa.types.is_dictionary(column.type)
    return column.cast(pa.string()) if is_coded else column


def _number(value: object, as_text: bool) -> float | None:
    """Return a logged prediction as a number; of a regression also one that is text."""
    if isinstance(value, str):
        return number(value) if as_text else None
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return None


def kind_of(column: Column) -> Kind:
    """Return the kind of a column that nobody declared: text and booleans name things.

    Never by the number of distinct values.
    """
    kind = column.type
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    return "numeric" if is_number or pa.types.is_null(kind) else "categorical"


def values_of(column: Column, kind: Kind) -> NDArray[np.float64] | Codes:
    """Return a column as the grid counts it."""
    return rows.codes_of(column) if kind == "categorical" else numbers_of(column)


def numbers_of(column: Column) -> NDArray[np.float64]:
    """Return a column of numbers, NaN where there is none."""
    numbers = column.cast(pa.float64(), safe=False)
    return np.asarray(numbers.to_numpy(zero_copy_only=False), np.float64)
