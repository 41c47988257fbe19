"""What the hot path has to know of models, remembered for a few seconds per process."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Annotated, Any

import msgspec

from governance.actions import registry
from governance.exceptions import InvalidError, NotFoundError
from governance.labels import canonical
from governance.models import (
    Deployment,
    GovernanceStatus,
    ModelVersion,
    Override,
    RegisteredModel,
    StatusChange,
)
from governance.schema import Mode, Schema, Task, infer_task
from monitoring.ingest import moments
from monitoring.ingest.rows import Integer
from monitoring.models.predictions import Verdict

# A promise says five seconds; loading takes a moment too.
CACHE_SECONDS = 4.0
CACHE_LIMIT = 10_000
# While somebody may bring an override into force at any moment, it is soon known.
AWAITED = ("proposed", "under_review", "approved")
AWAITED_SECONDS = 0.25
FOREVER = 2**63 - 1

# A whole number is often sent as 3.0, and a boolean as 0 or 1.
_TYPES: dict[str | None, Any] = {
    "float": float,
    "int": Integer | Annotated[float, msgspec.Meta(multiple_of=1)],
    "boolean": bool | Annotated[int, msgspec.Meta(ge=0, le=1)],
}
_ANY: Any = Integer | float | str | bool
_WORDS: dict[str | None, str] = {
    "float": "a number",
    "int": "a whole number",
    "boolean": "true or false",
    "categorical": "text, a number or a boolean",
}


@dataclass(frozen=True, eq=False)
class Version:
    """A version as its predictions are checked against it."""

    id: int
    model_id: int
    organization_id: int
    name: str
    schema: Schema
    # It is the last that received predictions which name no version.
    is_noted_default: bool = False
    is_deployed: bool = False  # anywhere, now
    # When the governance status changed, and to what; oldest first.
    changed_at: list[int] = field(default_factory=list)
    statuses: list[str] = field(default_factory=list)
    # Overrides that were or are in force: environment → from, until, id.
    overrides: dict[str, list[tuple[int, int, int]]] = field(default_factory=dict)
    retired_at: int | None = None

    def verdict_at(self, moment: int) -> str:
        """Return the governance status that was in force then."""
        if self.retired_at is not None and moment >= self.retired_at:
            return Verdict.RETIRED.value
        position = bisect_right(self.changed_at, moment)
        if position == 0:
            return GovernanceStatus.NOT_ASSESSED.value
        return self.statuses[position - 1]

    def override_at(self, environment: str, moment: int) -> int | None:
        """Return the override that was in force then; the latest, if several were."""
        for start, end, override in reversed(self.overrides.get(environment, ())):
            if start <= moment < end:
                return override
        return None

    @cached_property
    def task(self) -> Task | None:
        return infer_task(self.schema)

    @property
    def is_strict(self) -> bool:
        return self.schema.mode is Mode.STRICT

    @cached_property
    def probabilities_length(self) -> int | None:
        if self.schema.classes:
            return len(self.schema.classes)
        return 2 if self.task is Task.BINARY else None

    @cached_property
    def _class_positions(self) -> dict[str | None, int]:
        return {name: place for place, name in enumerate(self.schema.classes or ())}

    def position_of(self, prediction: Any) -> int | None:
        """Return where the predicted class stands in the order of probabilities."""
        return self._class_positions.get(canonical(prediction))

    @cached_property
    def feature_types(self) -> dict[str, Any]:
        """Name of a feature or attribute → what msgspec takes for it."""
        types: dict[str, Any] = {}
        for feature in self.schema.features:
            accepted = _TYPES.get(feature.value_type, _ANY)
            types[feature.name] = accepted | None if feature.nullable else accepted
        return types | dict.fromkeys(self.schema.attributes, _ANY | None)

    @cached_property
    def strict_features(self) -> msgspec.json.Decoder[Any]:
        """Decode features that are what the schema says, and refuse all others."""
        types = self.feature_types
        features = msgspec.defstruct(
            "Features",
            [
                (f"f{place}", kind, None)
                if name in self.schema.attributes
                else (f"f{place}", kind)
                for place, (name, kind) in enumerate(types.items())
            ],
            rename={f"f{place}": name for place, name in enumerate(types)},
            kw_only=True,
            gc=False,
            forbid_unknown_fields=True,
        )
        return msgspec.json.Decoder(features)

    def described(self, name: str) -> str:
        """Say what the schema expects of a feature."""
        feature = self.schema.by_name.get(name)
        what = _WORDS.get(feature.value_type if feature else None, "a scalar")
        return what if feature is None or feature.nullable else f"{what} (never null)"


@dataclass(frozen=True)
class Model:
    """A model with the versions that its predictions may name."""

    row: RegisteredModel
    versions: dict[str, Version]
    # Where predictions go that name no version and came when nothing was deployed: to
    # the one that last received such, else to the newest.
    default: Version
    # Environment → from, until, version; in the order of time.
    deployed: dict[str, list[tuple[int, int, Version]]] = field(default_factory=dict)

    @property
    def id(self) -> int:
        return self.row.pk

    def deployed_at(self, environment: str, moment: int) -> Version | None:
        """Return the version that was deployed in an environment then."""
        for start, end, version in reversed(self.deployed.get(environment, ())):
            if start <= moment < end:
                return version
        return None


# Until when an entry is good, and the entry.
_models: dict[tuple[int, str], tuple[float, Model]] = {}


def find(organization_id: int, reference: str | int) -> Model:
    """Return the organization's model with this id or slug, or raise NotFoundError."""
    known = _models.get((organization_id, str(reference)))
    if known is not None and time.monotonic() < known[0]:
        return known[1]
    return _load(organization_id, str(reference))


def forget() -> None:
    """Ask the database again about every model, in this process."""
    _models.clear()


def find_version(model: Model, name: str) -> Version:
    """Return the version of this name; one that nobody knows is registered as such.

    Raises
    ------
    InvalidError
        The version is unknown, and the model is strict or has too many such.
    """
    if name in model.versions:
        return model.versions[name]
    model = _load(model.row.organization_id, str(model.id))
    if name not in model.versions:
        if model.default.is_strict:
            raise InvalidError(f"{model.row.name} has no version {name!r}.")
        registry.unregistered_version(model.row, name)
        model = _load(model.row.organization_id, str(model.id))
    return model.versions[name]


def note_default(version: Version) -> None:
    """Remember that this version received predictions that name none."""
    if version.is_noted_default:
        return
    RegisteredModel.objects.filter(pk=version.model_id).update(
        default_version=version.id
    )
    forget()


def _load(organization_id: int, reference: str) -> Model:
    asked_at = time.monotonic()
    row = (
        RegisteredModel.objects.for_organization(organization_id)
        .named(reference)
        .first()
    )
    versions = list(row.versions.order_by("created_at", "pk")) if row else []
    if row is None or not versions:
        raise NotFoundError
    overrides = list(Override.objects.filter(version__model=row))
    known = {one.version: _version(row, one, overrides) for one in versions}
    model = Model(
        row, known, known[_default(row, versions).version], _deployed(row, known)
    )
    if len(_models) >= CACHE_LIMIT:
        _models.clear()
    is_awaited = any(one.status in AWAITED for one in overrides)
    good_for = AWAITED_SECONDS if is_awaited else CACHE_SECONDS
    _models[organization_id, reference] = (asked_at + good_for, model)
    return model


def _default(row: RegisteredModel, versions: list[ModelVersion]) -> ModelVersion:
    """Choose among versions of which the oldest stands first."""
    last = [v for v in versions if v.pk == row.default_version_id]
    registered = [v for v in versions if v.status != ModelVersion.Status.UNREGISTERED]
    return (last or registered or versions)[-1]


def _deployed(
    row: RegisteredModel, versions: dict[str, Version]
) -> dict[str, list[tuple[int, int, Version]]]:
    found: dict[str, list[tuple[int, int, Version]]] = {}
    deployments = Deployment.objects.filter(model=row).order_by("started_at", "pk")
    for environment, start, end, version in deployments.values_list(
        "environment", "started_at", "ended_at", "version__version"
    ):
        span = (moments.microseconds(start), _end(end), versions[version])
        found.setdefault(environment, []).append(span)
    return found


def _end(moment: datetime | None) -> int:
    return FOREVER if moment is None else moments.microseconds(moment)


def _overrides(
    row: ModelVersion, rows: Sequence[Override]
) -> dict[str, list[tuple[int, int, int]]]:
    found: dict[str, list[tuple[int, int, int]]] = {}
    for one in rows:
        if one.version_id == row.pk and one.activated_at is not None:
            start = moments.microseconds(one.activated_at)
            span = (start, moments.microseconds(one.ends_at), one.pk)
            found.setdefault(one.environment, []).append(span)
    for spans in found.values():
        spans.sort()
    return found


def _version(
    model: RegisteredModel, row: ModelVersion, overrides: Sequence[Override]
) -> Version:
    changes = list(
        StatusChange.objects.filter(version=row)
        .order_by("since", "pk")
        .values_list("since", "status")
    )
    return Version(
        id=row.pk,
        model_id=row.model_id,
        organization_id=row.organization_id,
        name=row.version,
        schema=row.schema,
        is_noted_default=model.default_version_id == row.pk,
        is_deployed=row.status == ModelVersion.Status.DEPLOYED,
        changed_at=[moments.microseconds(since) for since, _ in changes],
        statuses=[status for _, status in changes],
        overrides=_overrides(row, overrides),
        retired_at=None if model.retired_at is None else _end(model.retired_at),
    )
