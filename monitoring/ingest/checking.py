"""Sound rows against the version they belong to; what passes is ready to be stored."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from governance.exceptions import InvalidError, NotFoundError
from governance.identifiers import uuid7s
from governance.labels import number
from governance.models import ApiKey
from governance.schema import Task
from monitoring.ingest import catalog, tuples
from monitoring.ingest.catalog import Model, Version
from monitoring.ingest.exact import RefusedError, shown
from monitoring.ingest.rows import Batch, Dialect
from monitoring.models.predictions import Verdict

_VERDICTS = {status: tuples.text(status.encode()) for status in Verdict.values}
_encode = msgspec.json.encode


class Line(NamedTuple):
    """A row on its way into the table."""

    id: UUID
    row: int  # in the batch
    version: Version
    at: int
    # Its columns behind the receipt, which nobody knows before it is written.
    tail: bytes


def check(
    batch: Batch,
    *,
    organization_id: int,
    model: Model | None,
    environment: str = ApiKey.Environment.PRODUCTION.value,
) -> list[Line]:
    """Return the rows that their versions accept; the others' faults go to the batch.

    Parameters
    ----------
    batch : Batch
        Rows as they were read.
    organization_id : int
        Whose models are meant.
    model : Model or None
        The model of all rows, if the request's address names it.
    environment : str
        Where the sender is: whose deployments and overrides count.

    Raises
    ------
    NotFoundError
        All rows are of one model, and the organization has no such model.
    """
    versions = _Versions(batch, organization_id, model, environment).all()
    ids = uuid7s(len(batch))
    lines = []
    for row, version in enumerate(versions):
        if version is None or (version.is_strict and _refuses(version, batch, row)):
            continue
        try:
            tail = _tail(batch, row, version, environment)
        except RefusedError as refused:
            batch.faults.refuse(
                batch.places[row], refused.path, refused.code, str(refused)
            )
        else:
            lines.append(Line(ids[row], row, version, batch.timestamps[row], tail))
    return lines


class _Versions:
    """Finds the version of each row; most batches have one only."""

    def __init__(
        self,
        batch: Batch,
        organization_id: int,
        model: Model | None,
        environment: str,
    ) -> None:
        self.batch = batch
        self.organization_id = organization_id
        self.model = model
        self.environment = environment
        # Models of rows that name no version, and that have ever been deployed here.
        self.unnamed: dict[Any, Model] = {}
        self.found: dict[tuple[Any, str | None], Version | RefusedError] = {}

    def all(self) -> list[Version | None]:
        batch = self.batch
        wanted = list(zip(batch.models, batch.versions, strict=True))
        distinct = set(wanted)
        if len(distinct) == 1:
            only = self._find(*wanted[0])
            if isinstance(only, Version):
                return self._in_time([only] * len(wanted))
        self.found = {pair: self._find(*pair) for pair in distinct}
        return self._in_time(
            [self._or_fault(row, pair) for row, pair in enumerate(wanted)]
        )

    def _in_time(self, found: list[Version | None]) -> list[Version | None]:
        """Give rows that name no version the one that was deployed at their time."""
        if not self.unnamed:
            return found
        for row, (reference, name) in enumerate(
            zip(self.batch.models, self.batch.versions, strict=True)
        ):
            model = self.unnamed.get(reference) if name is None else None
            if model is not None and found[row] is not None:
                at = self.batch.timestamps[row]
                deployed = model.deployed_at(self.environment, at)
                found[row] = deployed or found[row]
        return found

    def _or_fault(self, row: int, pair: tuple[Any, str | None]) -> Version | None:
        found = self.found[pair]
        if isinstance(found, Version):
            return found
        self.batch.faults.refuse(
            self.batch.places[row], found.path, found.code, str(found)
        )
        return None

    def _find(self, reference: Any, name: str | None) -> Version | RefusedError:
        names = self.batch.dialect.names
        model = self.model
        if model is None and reference is None:
            return RefusedError("missing", "the field is missing", names["model"])
        try:
            model = model or catalog.find(self.organization_id, reference)
        except NotFoundError as error:
            if len(set(self.batch.models)) == 1:
                raise
            return RefusedError("not_found", str(error), names["model"])
        if name is None:
            if self.environment in model.deployed:
                self.unnamed[reference] = model
            return model.default
        try:
            return catalog.find_version(model, name)
        except InvalidError as error:
            return RefusedError("unknown_version", str(error), names["version"])


def _tail(batch: Batch, row: int, version: Version, environment: str) -> bytes:
    prediction = batch.predictions[row]
    probabilities = batch.probabilities[row]
    entity = batch.entity_ids[row]
    at = batch.timestamps[row]
    features = batch.features[row]
    value = _value(prediction, version, batch.dialect)
    if batch.labels[row] is not None:
        _check_label(batch.labels[row], version, batch.dialect)
    confidence = chosen = None
    if probabilities is not None:
        chosen = _probability(probabilities, prediction, version)
        confidence = max(probabilities)
    elif batch.dialect.needs_probabilities and version.task not in _FREE:
        raise RefusedError(
            "missing", "a classification needs its probabilities", "probabilities"
        )
    return b"".join(
        (
            tuples.moment(at),
            tuples.text(None if entity is None else entity.encode()),
            tuples.text(features),
            tuples.text(_encode(prediction)),
            tuples.double(value),
            tuples.doubles(probabilities),
            tuples.double(confidence),
            tuples.double(chosen),
            tuples.double(batch.latencies[row]),
            _VERDICTS[version.verdict_at(at)],
            _override(version, environment, at),
        )
    )


def _override(version: Version, environment: str, at: int) -> bytes:
    if not version.overrides:
        return tuples.NULL
    override = version.override_at(environment, at)
    return tuples.NULL if override is None else tuples.integer(override)


# Tasks that need no probabilities, or aren't known to.
_FREE = {Task.REGRESSION, None}
# What float() accepts beyond this (white space, underscores, "nan") is no number here.
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def as_number(text: str) -> float | None:
    """Return the finite number that a text spells, or None."""
    return number(text) if _NUMBER.fullmatch(text) else None


def value_of(prediction: Any, task: Task | None, *, is_text: bool) -> float | None:
    """Return a prediction or an outcome as a number; None for a class that is none.

    Raises
    ------
    RefusedError
        A regression's is no number: `"12"` only is one where `is_text` says that
        numbers come as strings.
    """
    kind = type(prediction)
    if kind is float or kind is int:
        return float(prediction)
    if task is not Task.REGRESSION:
        return float(prediction) if kind is bool else as_number(prediction)
    value = as_number(prediction) if kind is str and is_text else None
    if value is None:
        raise RefusedError("type", f"expected a number, got {shown(prediction)}")
    return value


def _value(prediction: Any, version: Version, dialect: Dialect) -> float | None:
    try:
        return value_of(prediction, version.task, is_text=dialect.numbers_are_text)
    except RefusedError as refused:
        refused.path = (dialect.names["prediction"],)
        raise


def _check_label(label: Any, version: Version, dialect: Dialect) -> None:
    try:
        value_of(label, version.task, is_text=False)
    except RefusedError as refused:
        refused.path = (dialect.names["label"],)
        raise


def _probability(
    probabilities: list[float], prediction: Any, version: Version
) -> float | None:
    """Return the probability of the predicted class, if its place is known."""
    length = version.probabilities_length
    if length is not None and len(probabilities) != length:
        raise RefusedError(
            "length",
            f"expected {length} probabilities, got {len(probabilities)}",
            "probabilities",
        )
    place = version.position_of(prediction)
    return None if place is None else probabilities[place]


def _refuses(version: Version, batch: Batch, row: int) -> bool:
    """Tell whether features are unknown, missing or of a wrong type; note which."""
    if not version.schema.features:
        return False
    features = batch.features[row]
    try:
        version.strict_features.decode(features)
    except msgspec.ValidationError:
        field = batch.dialect.names["features"]
        for name, code, detail in feature_faults(features, version):
            batch.faults.refuse(batch.places[row], (field, name), code, detail)
        return True
    return False


def feature_faults(features: bytes, version: Version) -> Iterator[tuple[str, str, str]]:
    """Yield the name, a code and a sentence for each feature that isn't as declared."""
    given: dict[str, Any] = msgspec.json.decode(features)
    kinds = version.feature_types
    for name, value in given.items():
        if name not in kinds:
            yield name, "unknown", "the schema has no such feature"
            continue
        try:
            msgspec.convert(value, kinds[name])
        except msgspec.ValidationError:
            what = version.described(name)
            yield name, "type", f"expected {what}, got {shown(value)}"
    for feature in version.schema.features:
        if feature.name not in given:
            yield feature.name, "missing", "the feature is missing"
