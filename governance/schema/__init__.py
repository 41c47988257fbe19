"""What a model version expects and answers: features, classes, protected attributes."""

from governance.schema.description import Schema
from governance.schema.features import (
    MAX_FEATURES,
    PRIMARY_METRICS,
    VALUE_TYPES,
    Feature,
    Mode,
    SchemaError,
    Task,
)
from governance.schema.inference import infer_task
from governance.schema.reader import SCHEMA_FIELDS

__all__ = [
    "MAX_FEATURES",
    "PRIMARY_METRICS",
    "SCHEMA_FIELDS",
    "VALUE_TYPES",
    "Feature",
    "Mode",
    "Schema",
    "SchemaError",
    "Task",
    "infer_task",
]
