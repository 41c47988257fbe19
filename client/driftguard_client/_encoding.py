"""From a logged row to its JSON, in the background and a row at a time.

So one row that can't be sent harms no other.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import date, datetime, timezone
from typing import Any, NamedTuple


class Row(NamedTuple):
    """One prediction as it was logged."""

    at: float  # seconds since 1970
    features: Mapping[str, Any]
    prediction: Any
    probabilities: Any = None
    entity_id: str | None = None
    latency_ms: float | None = None
    version: str | None = None


class Outcome(NamedTuple):
    """One outcome as it was told."""

    entity_id: str | None
    outcome: Any
    at: float
    prediction_at: Any = None
    prediction_id: str | None = None


def encode_row(row: Row) -> bytes:
    """Return a prediction's JSON; raises ValueError or TypeError if it has none."""
    told = {
        "input_features": dict(row.features),
        "prediction": row.prediction,
        "timestamp": _moment(row.at),
        "probabilities": row.probabilities,
        "entity_id": row.entity_id,
        "latency_ms": row.latency_ms,
        "model_version": row.version,
    }
    return _dumps(told)


def encode_outcome(outcome: Outcome) -> bytes:
    """Return an outcome's JSON; raises ValueError or TypeError if it has none."""
    told = {
        "entityId": outcome.entity_id,
        "actualOutcome": outcome.outcome,
        "outcomeTimestamp": _moment(outcome.at),
        "predictionTimestamp": _moment(outcome.prediction_at),
        "predictionId": outcome.prediction_id,
    }
    value = _plain(outcome.outcome)
    told["actualOutcome"] = value if isinstance(value, str) else json.dumps(value)
    return _dumps(told)


def _moment(at: Any) -> Any:
    if isinstance(at, (int, float)):
        return datetime.fromtimestamp(at, timezone.utc).isoformat()
    return at


def _dumps(told: Mapping[str, Any]) -> bytes:
    present = {name: value for name, value in told.items() if value is not None}
    try:
        text = json.dumps(present, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError):
        # Values of numpy and pandas, and NaN: looked at one by one only where needed.
        text = json.dumps(_plain(present), allow_nan=False, separators=(",", ":"))
    return text.encode()


def _plain(value: Any) -> Any:
    """Return a value in JSON's words: numpy's numbers and arrays, dates, and NaN.

    NaN means missing, which JSON calls null. Infinity has no word: ValueError later.
    """
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    # pandas' NA and NaT, without importing pandas.
    return None if type(value).__name__ in {"NAType", "NaTType"} else value
