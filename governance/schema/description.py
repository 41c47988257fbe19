"""What a model version expects and answers."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

from governance.importance import normalised
from governance.labels import band_names, band_of, canonical
from governance.schema.features import (
    PRIMARY_METRICS,
    Feature,
    Mode,
    SchemaError,
    Task,
    kind_of_type,
)
from governance.schema.reader import SchemaReader


@dataclass(frozen=True)
class Schema:
    """The description of a model version; every label in it is canonical text."""

    features: tuple[Feature, ...] = ()  # in the model's order
    target: str | None = None
    target_type: str | None = None
    task: Task | None = None
    classes: tuple[str, ...] | None = None  # the order of `probabilities`
    positive_class: str | None = None
    favourable_outcome: str | None = None
    decision_threshold: float | None = None
    primary_metric: str | None = None
    # A feature or attribute → the edges of its bands, or None: grouped by value.
    protected: Mapping[str, tuple[float, ...] | None] = field(default_factory=dict)
    # Logged for fairness, never a model input: name → type.
    attributes: Mapping[str, str | None] = field(default_factory=dict)
    mode: Mode = Mode.LENIENT

    @classmethod
    def from_json(cls, definition: object) -> Self:
        """Read a description in any published form.

        Known are the Platform's body fields (also with `schema_definition` still
        inside them), the Quick start's list of features, and `to_json()` itself.
        `SCHEMA_FIELDS` names what a caller should pick out of a request's body.

        Raises
        ------
        SchemaError
            With every fault of the description in `errors`.
        """
        reader = SchemaReader()
        values = reader.schema(definition)
        if reader.errors:
            raise SchemaError(reader.errors)
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        return {
            "features": [feature.to_json() for feature in self.features],
            "target": self.target,
            "target_type": self.target_type,
            "task": self.task and self.task.value,
            "classes": None if self.classes is None else list(self.classes),
            "positive_class": self.positive_class,
            "favourable_outcome": self.favourable_outcome,
            "decision_threshold": self.decision_threshold,
            "primary_metric": self.primary_metric,
            "protected_attributes": {
                name: None if bands is None else list(bands)
                for name, bands in self.protected.items()
            },
            "attributes": dict(self.attributes),
            "schema_mode": self.mode.value,
        }

    @cached_property
    def digest(self) -> str:
        """SHA-256, in hex, of the JSON form."""
        text = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @cached_property
    def by_name(self) -> dict[str, Feature]:
        return {feature.name: feature for feature in self.features}

    @cached_property
    def importances(self) -> dict[str, float]:
        """The features' shares of the whole; equal if none is known."""
        return normalised(
            {feature.name: feature.importance for feature in self.features}
        )

    @property
    def positive(self) -> str | None:
        """The class whose probability is the score of a binary model.

        The declared one; else `1`, unless the two classes are others: then the second.
        """
        if self.task not in {Task.BINARY, None}:
            return None
        if self.positive_class is not None:
            return self.positive_class
        if self.classes is None or "1" in self.classes:
            return "1"
        return self.classes[1] if len(self.classes) == 2 else None

    def metric(self, task: Task) -> str:
        """Return the declared primary metric, else the default of the task."""
        return self.primary_metric or PRIMARY_METRICS[task][0]

    def kind_of(self, name: str) -> str | None:
        """`numeric` or `categorical` for a feature or attribute; None if unknown."""
        if name in self.by_name:
            return self.by_name[name].kind
        return kind_of_type(self.attributes.get(name))

    def group_of(self, attribute: str, value: object) -> str | None:
        """Return the group of a protected attribute that a value falls into.

        None if the value is missing, or is no number where there are bands.
        Raises KeyError if the attribute isn't protected.
        """
        bands = self.protected[attribute]
        return canonical(value) if bands is None else band_of(value, bands)

    def groups_of(self, attribute: str) -> tuple[str, ...] | None:
        """Return every group there can be, or None if only the data tell."""
        bands = self.protected[attribute]
        if bands is not None:
            return band_names(bands)
        feature = self.by_name.get(attribute)
        return feature.categories if feature else None
