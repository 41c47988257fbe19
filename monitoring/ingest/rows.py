"""What a client may send about one prediction, and the three spellings of it.

A `Batch` is the validated form that everything else works on, whichever way it came:
columns, because a thousand rows in nine lists are handled many times faster than a
thousand objects.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, TypeAlias

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from governance.exceptions import FieldFault, InvalidError
from governance.strict_json import HIGHEST_INTEGER, LOWEST_INTEGER

MAX_ROWS = 10_000
MAX_FEATURES = 500
MAX_NAME_LENGTH = 200
MAX_ENTITY_LENGTH = 255  # an index over it takes at most 2,700 bytes
MAX_LABEL_LENGTH = 200
MAX_VERSION_LENGTH = 100
MAX_LISTED = 100

Place: TypeAlias = tuple[str | int, ...]
Integer: TypeAlias = Annotated[int, Meta(ge=LOWEST_INTEGER, le=HIGHEST_INTEGER)]
# msgspec reads a long integer as a float without a word. What these bounds refuse is
# read again exactly, which tells 1e300 from an integer of three hundred digits.
Number: TypeAlias = Annotated[float, Meta(ge=-(2.0**63), le=2.0**63)]
Text: TypeAlias = Annotated[str, Meta(min_length=1, max_length=MAX_LABEL_LENGTH)]
Label: TypeAlias = Integer | float | Text | bool
Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=MAX_ENTITY_LENGTH)]
Version: TypeAlias = Annotated[str, Meta(min_length=1, max_length=MAX_VERSION_LENGTH)]

# Every field that a row can have, with its type; the first two must be there.
REQUIRED = ("features", "prediction")
TYPES: Mapping[str, Any] = {
    "features": Raw,
    "prediction": Label,
    "model": Name | Integer | None | UnsetType,
    "version": Version | None | UnsetType,
    "timestamp": str | None | UnsetType,
    "entity_id": Name | Integer | None | UnsetType,
    "probabilities": list[Number] | None | UnsetType,
    "latency_ms": Annotated[float, Meta(ge=0, le=2.0**63)] | None | UnsetType,
    "label": Label | None | UnsetType,
}


@dataclass(frozen=True)
class Dialect:
    """One published spelling of a row."""

    # Our name of a field → theirs; what isn't listed doesn't exist in this dialect.
    names: Mapping[str, str]
    # `prediction` is a string by contract, and a number in it is one.
    numbers_are_text: bool = False
    # A classification model's prediction has to come with its probabilities.
    needs_probabilities: bool = False

    def __reduce__(self) -> tuple[Any, ...]:
        # The decoders can't go to another process; they are made again there.
        return Dialect, (self.names, self.numbers_are_text, self.needs_probabilities)

    @cached_property
    def fields(self) -> dict[str, str]:
        """Their name of a field → ours."""
        return {theirs: ours for ours, theirs in self.names.items()}

    @cached_property
    def one(self) -> msgspec.json.Decoder[Any]:
        """Decode a body that is one row."""
        return msgspec.json.Decoder(self._row)

    @cached_property
    def many(self) -> msgspec.json.Decoder[Any]:
        """Decode a body with `predictions`, and the model of all of them if given."""
        fields: list[Any] = [("predictions", list[self._row])]  # type: ignore[name-defined]
        names = {}
        if "model" in self.names:
            fields.append(("model", Name | Integer | UnsetType, UNSET))
            names["model"] = self.names["model"]
        body = msgspec.defstruct(
            "Body", fields, rename=names, forbid_unknown_fields=True
        )
        return msgspec.json.Decoder(body)

    @cached_property
    def _row(self) -> type[msgspec.Struct]:
        fields = [
            (name, TYPES[name]) if name in REQUIRED else (name, TYPES[name], UNSET)
            for name in self.names
        ]
        return msgspec.defstruct(
            "Row",
            fields,
            kw_only=True,
            gc=False,
            rename=dict(self.names),
            forbid_unknown_fields=True,
        )


PLATFORM = Dialect(
    {
        "features": "input_features",
        "prediction": "prediction",
        "model": "model_id",
        "version": "model_version",
        "timestamp": "timestamp",
        "entity_id": "entity_id",
        "probabilities": "probabilities",
        "latency_ms": "latency_ms",
        "label": "actual_label",
    }
)
QUICK_START = Dialect(
    {
        "features": "features",
        "prediction": "prediction_value",
        "version": "model_version",
        "timestamp": "timestamp",
        "entity_id": "entity_id",
        "probabilities": "probabilities",
        "latency_ms": "latency_ms",
    }
)
DRIFT = Dialect(
    {
        "features": "features",
        "prediction": "prediction",
        "model": "modelId",
        "version": "modelVersion",
        "timestamp": "timestamp",
        "entity_id": "entityId",
        "probabilities": "probabilities",
        "latency_ms": "latencyMs",
    },
    numbers_are_text=True,
    needs_probabilities=True,
)


class Faults:
    """What is wrong with which rows; the first hundred are kept word for word."""

    def __init__(self) -> None:
        self.rows: set[Place] = set()
        self._listed: list[FieldFault] = []

    def __bool__(self) -> bool:
        return bool(self.rows)

    def refuse(
        self, place: Place, path: Iterable[str | int], code: str, detail: str
    ) -> None:
        self.rows.add(place)
        self._listed.append({"loc": [*place, *path], "code": code, "detail": detail})
        if len(self._listed) >= 10 * MAX_LISTED:
            self._listed = self.first()

    def first(self) -> list[FieldFault]:
        """Return the faults of the first rows, in the order of the body."""
        in_order = sorted(self._listed, key=lambda fault: _row_number(fault["loc"]))
        return in_order[:MAX_LISTED]

    def error(self) -> InvalidError:
        some = "The prediction is" if len(self.rows) == 1 else f"{len(self.rows)} are"
        return InvalidError(
            f"{some} not valid; nothing was stored.", errors=self.first()
        )


def _row_number(location: list[str | int]) -> int:
    return next((part for part in location if isinstance(part, int)), -1)


@dataclass(slots=True)
class Batch:
    """Rows that are sound by themselves; whether their model agrees isn't known yet.

    Missing values are None; timestamps are microseconds since 1970.
    """

    dialect: Dialect
    # Where a row stood in the body: the start of its faults' locations.
    places: list[Place] = field(default_factory=list)
    features: list[bytes] = field(default_factory=list)
    predictions: list[Any] = field(default_factory=list)
    models: list[str | int | None] = field(default_factory=list)
    versions: list[str | None] = field(default_factory=list)
    timestamps: list[int] = field(default_factory=list)
    entity_ids: list[str | None] = field(default_factory=list)
    probabilities: list[list[float] | None] = field(default_factory=list)
    latencies: list[float | None] = field(default_factory=list)
    labels: list[Any] = field(default_factory=list)
    faults: Faults = field(default_factory=Faults)

    def __len__(self) -> int:
        return len(self.features)
