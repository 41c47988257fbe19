"""The words of a schema: features, their types, tasks and modes."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

from governance.reading import DescriptionError

MAX_FEATURES = 500

# Every published word for a type, and what a value of that type is.
VALUE_TYPES = {
    "continuous": "float",
    "float": "float",
    "numeric": "float",
    "int": "int",
    "integer": "int",
    "categorical": "categorical",
    "string": "categorical",
    "boolean": "boolean",
}
# Other spellings that clients send, pandas' own among them.
TYPE_ALIASES = {
    "bool": "boolean",
    "category": "categorical",
    "double": "float",
    "float32": "float",
    "float64": "float",
    "int32": "int",
    "int64": "int",
    "number": "numeric",
    "object": "string",
    "str": "string",
    "text": "string",
}


class Task(StrEnum):
    """What kind of answer the model gives."""

    BINARY = "binary"
    MULTICLASS = "multiclass"
    REGRESSION = "regression"


class Mode(StrEnum):
    """What happens to an unknown feature or a wrong type."""

    LENIENT = "lenient"  # stored, and recorded as a finding
    STRICT = "strict"  # refused


# The metrics whose drop the policy can judge; the first one is the default.
PRIMARY_METRICS: Mapping[Task, tuple[str, ...]] = {
    Task.BINARY: ("roc_auc", "accuracy"),
    Task.MULTICLASS: ("accuracy",),
    Task.REGRESSION: ("mae", "rmse"),
}


class SchemaError(DescriptionError):
    """The description of a schema is wrong."""

    code: ClassVar[str] = "schema"


@dataclass(frozen=True, slots=True)
class Feature:
    """One input column."""

    name: str
    type: str | None = None  # a word of VALUE_TYPES, as declared; None: data will tell
    order: int = 0
    importance: float | None = None  # at least 0, in any unit
    categories: tuple[str, ...] | None = None
    minimum: float | None = None
    maximum: float | None = None
    nullable: bool = True

    @property
    def value_type(self) -> str | None:
        """`float`, `int`, `categorical`, `boolean`, or None if unknown."""
        return VALUE_TYPES[self.type] if self.type else None

    @property
    def kind(self) -> str | None:
        """`numeric` or `categorical`, as drift treats the column; None if unknown."""
        return kind_of_type(self.type)

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "type": self.type,
            "order": self.order,
            "importance": self.importance,
            "categories": None if self.categories is None else list(self.categories),
            "minimum": self.minimum,
            "maximum": self.maximum,
            "nullable": self.nullable,
        }


def kind_of_type(word: str | None) -> str | None:
    if word is None:
        return None
    return "numeric" if VALUE_TYPES[word] in {"float", "int"} else "categorical"
