"""What a model version expects and answers: features, classes, protected attributes."""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any, ClassVar, Self

from governance.importance import normalised
from governance.labels import band_names, band_of, canonical, number
from governance.reading import DescriptionError, Location, Reader

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
_TYPE_ALIASES = {
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
        return _kind(self.type)

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
        reader = _SchemaReader()
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

        The declared one, else the second of two classes, else `1`.
        """
        if self.task not in {Task.BINARY, None}:
            return None
        if self.positive_class is not None or self.classes is None:
            return self.positive_class or "1"
        return self.classes[1] if len(self.classes) == 2 else None

    def metric(self, task: Task) -> str:
        """Return the declared primary metric, else the default of the task."""
        return self.primary_metric or PRIMARY_METRICS[task][0]

    def kind_of(self, name: str) -> str | None:
        """`numeric` or `categorical` for a feature or attribute; None if unknown."""
        if name in self.by_name:
            return self.by_name[name].kind
        return _kind(self.attributes.get(name))

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


def _kind(word: str | None) -> str | None:
    if word is None:
        return None
    return "numeric" if VALUE_TYPES[word] in {"float", "int"} else "categorical"


def infer_task(
    schema: Schema,
    *,
    predictions: Collection[object] = (),
    labels: Collection[object] = (),
    probabilities: int | None = None,
    target_type: str | None = None,
) -> Task | None:
    """Tell the task of a model from what is known of it; None: not yet.

    The first that answers:

    1. the schema's task;
    2. the baseline's `targetData.type`, if it is `regression`;
    3. the classes: two are binary, more are multiclass; a positive class or a boolean
       target is binary;
    4. the number of probabilities: one or two are binary, more are multiclass;
    5. the values seen. Text among the labels (without labels: the predictions): two
       distinct ones are binary, more are multiclass, one is no answer yet. Numbers:
       binary if every label is 0 or 1 and every prediction is in [0, 1] (without
       labels a target declared as a float is regression), else by their number as for
       text if the target is declared a category, else regression.

    Parameters
    ----------
    schema : Schema
        What was declared.
    predictions, labels : collection of scalars
        A sample of what was seen.
    probabilities : int or None
        How many probabilities a prediction carries.
    target_type : str or None
        The baseline's `targetData.type`: `classification`, `regression` or unknown.
    """
    if schema.task is not None:
        return schema.task
    declared = _declared_task(schema, probabilities, target_type)
    if declared is not None:
        return declared
    answers = {text for text in map(canonical, predictions) if text is not None}
    truths = {text for text in map(canonical, labels) if text is not None}
    kind = VALUE_TYPES[schema.target_type] if schema.target_type else None
    if kind == "float" and not truths:
        return Task.REGRESSION
    by_class = target_type == "classification" or kind == "categorical"
    return _observed_task(answers, truths, by_class=by_class)


def _declared_task(
    schema: Schema, probabilities: int | None, target_type: str | None
) -> Task | None:
    if target_type == "regression":
        return Task.REGRESSION
    if schema.classes:
        return Task.BINARY if len(schema.classes) == 2 else Task.MULTICLASS
    if schema.positive_class is not None or schema.target_type == "boolean":
        return Task.BINARY
    if probabilities:
        return Task.BINARY if probabilities <= 2 else Task.MULTICLASS
    return None


def _observed_task(
    answers: set[str], truths: set[str], *, by_class: bool
) -> Task | None:
    seen = truths or answers
    if not seen:
        return None
    if any(number(text) is None for text in seen):
        return _task_of_classes(seen)
    shares = all(0 <= (number(text) or 0) <= 1 for text in answers)
    if truths <= {"0", "1"} and shares:
        return Task.BINARY
    return _task_of_classes(seen) if by_class else Task.REGRESSION


def _task_of_classes(seen: set[str]) -> Task | None:
    if len(seen) < 2:
        return None
    return Task.BINARY if len(seen) == 2 else Task.MULTICLASS


_DEFINITION_FIELDS = frozenset(
    {
        "features",
        "feature_types",
        "target",
        "target_type",
        "task",
        "classes",
        "positive_class",
        "favourable_outcome",
        "decision_threshold",
        "primary_metric",
        "protected_attributes",
        "attributes",
        "schema_mode",
        "importance",
    }
)
SCHEMA_FIELDS = _DEFINITION_FIELDS | {"schema_definition"}
_FEATURE_FIELDS = frozenset(
    {
        "name",
        "feature_name",
        "type",
        "feature_type",
        "order",
        "importance",
        "categories",
        "minimum",
        "maximum",
        "nullable",
    }
)


class _SchemaReader(Reader):
    """Reads the fields of a description, wherever they stand in it."""

    def schema(self, definition: object) -> dict[str, Any]:
        """Return the arguments of `Schema`; of use only if there are no `errors`."""
        self._gather(definition)
        types = self._types("feature_types")
        task = self._choice("task", Task)
        target = self.text(*self._at("target"))
        loc, declared = self._at("target_type")
        target_type = types.pop(target or "", None) or self._type(loc, declared)
        attributes = self._types("attributes")
        values: dict[str, Any] = {
            "features": self._features(types),
            "target": target,
            "target_type": target_type,
            "task": task and Task(task),
            "classes": self.distinct_labels(*self._at("classes"), fewest=2),
            "positive_class": self.label(*self._at("positive_class")),
            "favourable_outcome": self.label(*self._at("favourable_outcome")),
            "decision_threshold": self.number(*self._at("decision_threshold")),
            "primary_metric": self._primary_metric(task),
            "protected": self._protected(),
            "attributes": attributes,
            "mode": Mode(self._choice("schema_mode", Mode) or Mode.LENIENT),
        }
        if not self.errors:
            self._check_names(values, types)
            self._check_classes(values)
        return values

    def _gather(self, definition: object) -> None:
        """Put every field with its place into one table."""
        self.fields: dict[str, tuple[Location, object]] = {}
        if isinstance(definition, list | tuple):
            definition = {"features": definition}
        outer = self.mapping((), definition)
        self.known((), outer, SCHEMA_FIELDS)
        nested = outer.get("schema_definition")
        if isinstance(nested, list | tuple):
            nested = {"features": nested}
        inner = self.mapping(("schema_definition",), nested)
        self.known(("schema_definition",), inner, _DEFINITION_FIELDS)
        for name in _DEFINITION_FIELDS:
            place: Location = (name,)
            value = outer.get(name)
            if inner.get(name) is not None:
                place = ("schema_definition", name)
                if value is not None:
                    self.refuse(place, "conflict", "given in two places")
                value = inner[name]
            self.fields[name] = (place, value)

    def _at(self, name: str) -> tuple[Location, object]:
        return self.fields[name]

    def _choice(self, name: str, choices: type[StrEnum]) -> str | None:
        loc, value = self._at(name)
        return self.choice(loc, value, [str(choice) for choice in choices])

    def _type(self, loc: Location, value: object) -> str | None:
        if isinstance(value, str):
            value = _TYPE_ALIASES.get(value.lower(), value)
        return self.choice(loc, value, VALUE_TYPES)

    def _types(self, name: str) -> dict[str, str | None]:
        """Read names with their types; a plain list of names has none."""
        loc, value = self._at(name)
        if isinstance(value, list | tuple):
            names = [self.text((*loc, at), item) for at, item in enumerate(value)]
            return {name: None for name in names if name is not None}
        return {
            name: self._type((*loc, name), word)
            for name, word in self.mapping(loc, value).items()
            if self.text((*loc, name), name)
        }

    def _features(self, types: Mapping[str, str | None]) -> tuple[Feature, ...]:
        loc, value = self._at("features")
        items = list(types) if value is None else self.items(loc, value)
        if len(items) > MAX_FEATURES:
            self.refuse(loc, "too_many", f"more than {MAX_FEATURES} features")
            return ()
        place, weights = self._at("importance")
        importances = {
            name: self.number((*place, name), weight, low=0)
            for name, weight in self.mapping(place, weights).items()
        }
        features: dict[str, Feature] = {}
        orders: set[int] = set()
        for at, item in enumerate(items):
            feature = self._feature((*loc, at), item, types, importances)
            if feature is None:
                continue
            if feature.name in features:
                detail = f"{feature.name!r} is there already"
                self.refuse((*loc, at), "duplicate", detail)
            if feature.order in orders:
                detail = f"the order {feature.order} is taken"
                self.refuse((*loc, at, "order"), "duplicate", detail)
            features[feature.name] = feature
            orders.add(feature.order)
        for name in importances.keys() - features.keys():
            self.refuse((*place, name), "unknown_feature", f"{name!r} is no feature")
        return tuple(sorted(features.values(), key=lambda feature: feature.order))

    def _feature(
        self,
        loc: Location,
        item: object,
        types: Mapping[str, str | None],
        importances: Mapping[str, float | None],
    ) -> Feature | None:
        given = {"name": item} if isinstance(item, str) else self.mapping(loc, item)
        self.known(loc, given, _FEATURE_FIELDS)
        key = "feature_name" if "feature_name" in given else "name"
        name = self.text((*loc, key), given.get(key))
        if name is None:
            if given.get(key) is None:
                self.refuse((*loc, key), "missing", "a feature needs a name")
            return None
        key = "feature_type" if "feature_type" in given else "type"
        order = self.number((*loc, "order"), given.get("order"), low=0, high=10**6)
        if order is not None and not order.is_integer():
            self.expected((*loc, "order"), "a whole number", order)
        importance = self.number((*loc, "importance"), given.get("importance"), low=0)
        low = self.number((*loc, "minimum"), given.get("minimum"))
        high = self.number((*loc, "maximum"), given.get("maximum"))
        if low is not None and high is not None and low > high:
            self.refuse((*loc, "minimum"), "range", f"{low} is above the maximum")
        return Feature(
            name=name,
            type=self._type((*loc, key), given.get(key)) or types.get(name),
            order=int(loc[-1]) + 1 if order is None else int(order),
            importance=importances.get(name) if importance is None else importance,
            categories=self.distinct_labels(
                (*loc, "categories"), given.get("categories")
            ),
            minimum=low,
            maximum=high,
            nullable=self.flag((*loc, "nullable"), given.get("nullable"), default=True),
        )

    def _primary_metric(self, task: str | None) -> str | None:
        loc, value = self._at("primary_metric")
        tasks = [Task(task)] if task else list(Task)
        choices = dict.fromkeys(name for one in tasks for name in PRIMARY_METRICS[one])
        return self.choice(loc, value, list(choices))

    def _protected(self) -> dict[str, tuple[float, ...] | None]:
        loc, value = self._at("protected_attributes")
        if isinstance(value, list | tuple):
            names = [self.text((*loc, at), item) for at, item in enumerate(value)]
            return {name: None for name in names if name is not None}
        return {
            name: self._bands((*loc, name), edges)
            for name, edges in self.mapping(loc, value).items()
        }

    def _bands(self, loc: Location, value: object) -> tuple[float, ...] | None:
        if value is None:
            return None
        edges = [
            self.number((*loc, at), item)
            for at, item in enumerate(self.items(loc, value))
        ]
        found = [edge for edge in edges if edge is not None]
        if not found or len(found) < len(edges) or sorted(set(found)) != found:
            self.refuse(loc, "bands", "expected at least one edge, in rising order")
        return tuple(found)

    def _check_names(
        self, values: Mapping[str, Any], types: Mapping[str, str | None]
    ) -> None:
        """Refuse names that point nowhere or mean two things."""
        names = {feature.name for feature in values["features"]}
        target, attributes = values["target"], values["attributes"]
        if target in names or target in attributes:
            detail = f"{target!r} can't be an input too"
            self.refuse(self._at("target")[0], "conflict", detail)
        for name in sorted(types.keys() - names):
            place = (*self._at("feature_types")[0], name)
            self.refuse(place, "unknown_feature", f"{name!r} is no feature")
        for name in sorted(attributes.keys() & names):
            place = (*self._at("attributes")[0], name)
            self.refuse(place, "conflict", f"{name!r} is a feature")
        for name, bands in values["protected"].items():
            self._check_protected(name, bands, values)

    def _check_protected(
        self, name: str, bands: object, values: Mapping[str, Any]
    ) -> None:
        place = (*self._at("protected_attributes")[0], name)
        by_name = {feature.name: feature for feature in values["features"]}
        feature = by_name.get(name)
        # A model registered without features learns them from its data.
        if by_name and feature is None and name not in values["attributes"]:
            detail = f"{name!r} is neither a feature nor an attribute"
            self.refuse(place, "unknown_feature", detail)
        word = feature.type if feature else values["attributes"].get(name)
        if bands is not None and _kind(word) == "categorical":
            self.refuse(place, "bands", f"{name!r} is categorical and can't have bands")

    def _check_classes(self, values: Mapping[str, Any]) -> None:
        """Refuse classes that disagree with the task or with each other."""
        task, classes = values["task"], values["classes"]
        place = self._at("classes")[0]
        if classes and task == Task.REGRESSION:
            self.refuse(place, "conflict", "a regression has no classes")
        if classes and task == Task.BINARY and len(classes) != 2:
            self.refuse(place, "conflict", "a binary model has two classes")
        for name in ("positive_class", "favourable_outcome"):
            label = values[name]
            if classes and label is not None and label not in classes:
                detail = f"{label!r} is none of the classes {', '.join(classes)}"
                self.refuse(self._at(name)[0], "conflict", detail)
        threshold = values["decision_threshold"]
        binary = task == Task.BINARY or (task is None and classes is not None)
        if threshold is not None and binary and not 0 <= threshold <= 1:
            loc = self._at("decision_threshold")[0]
            self.refuse(loc, "range", f"expected a number from 0 to 1, got {threshold}")
