"""Reading a schema in any of its published forms; every fault is named."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from governance.reading import Location, Reader
from governance.schema.features import (
    MAX_FEATURES,
    PRIMARY_METRICS,
    TYPE_ALIASES,
    VALUE_TYPES,
    Feature,
    Mode,
    Task,
    kind_of_type,
)

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


class SchemaReader(Reader):
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
            value = TYPE_ALIASES.get(value.lower(), value)
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
        if bands is not None and kind_of_type(word) == "categorical":
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
