"""Letting what is deployed predict: asked of the gate, in a process apart, and logged.

Nobody gets an answer that isn't on disk: a decision that DriftGuard itself made and
forgot would be the worst gap in its own trail. The commit is shared with whatever else
arrives (`ingest.group_commit`) and takes a few milliseconds.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from django.conf import settings

from governance.actions import artifacts, permits
from governance.actions.audit import Actor
from governance.actions.credentials import Credential
from governance.exceptions import (
    ConflictError,
    FieldFault,
    InvalidError,
    PermitRefusedError,
    TooLargeError,
    UnavailableError,
    fault,
)
from governance.models import Artifact, ModelVersion
from monitoring.actions import predictions
from monitoring.actions.predictions import Stored
from monitoring.inference import running
from monitoring.ingest import Answer, Key, checking, moments
from monitoring.ingest.catalog import Model, Version
from monitoring.ingest.exact import shown
from monitoring.ingest.rows import (
    MAX_FEATURES,
    MAX_LISTED,
    MAX_NAME_LENGTH,
    QUICK_START,
    Batch,
)
from monitoring.models import Receipt

MOST_INSTANCES = 1_000
# The gate reads a dozen rows; a busy model asks it once in this time and process.
ALLOWED_SECONDS = 1.0
MOST_REMEMBERED = 1_000

pool = running.Pool()
Instance = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Predicted:
    """What the deployed version said."""

    predictions: Sequence[Any]
    probabilities: Sequence[Sequence[float]] | None
    version: str
    governance_status: str


@dataclass(frozen=True, slots=True)
class _Allowed:
    """What the gate said last: the claims of a permit, or why there is none."""

    until: float  # on the monotonic clock
    claims: Mapping[str, Any]
    refused: PermitRefusedError | None = None


_allowed: dict[tuple[int, str], _Allowed] = {}
_artifacts: dict[tuple[int, str], running.Artifact] = {}


def forget() -> None:
    """Ask the gate again, and read artifacts again, in this process."""
    _allowed.clear()
    _artifacts.clear()


def limits() -> running.Limits:
    """Return what an artifact may take, as the settings say."""
    return running.Limits(
        seconds=settings.INFERENCE_SECONDS,
        memory=settings.INFERENCE_MEMORY_MB << 20,
        processes=settings.INFERENCE_PROCESSES,
    )


def store_artifact(version: ModelVersion, content: bytes, *, actor: Actor) -> Artifact:
    """Check an artifact in a process apart and keep it as the version's own.

    Raises InvalidError if it isn't one that may be run, or doesn't fit the version's
    schema, and whatever `artifacts.store` raises.
    """
    schema = version.schema
    described = {
        "features": [
            {"name": one.name, "type": one.value_type} for one in schema.features
        ],
        "task": schema.task and schema.task.value,
        "classes": schema.classes and list(schema.classes),
    }
    try:
        signature = running.check(content, described, limits())
    except running.UnsoundError as error:
        raise InvalidError(
            f"The artifact is refused: {error}.",
            errors=[fault(code="artifact", detail=str(error))],
        ) from None
    return artifacts.store(version, content=content, signature=signature, actor=actor)


def predict(
    instances: object,
    *,
    model: Model,
    credential: Credential,
    respond: Callable[[Predicted, Stored], Answer],
    key: Key | None = None,
) -> Answer:
    """Let the deployed version predict, log each instance, and return what to answer.

    The version is the one deployed in the credential's environment. What it said is on
    disk before it is answered, through the same ingestion as every other prediction.

    Raises
    ------
    PermitRefusedError
        It is blocked, suspended, retired, or nothing is deployed; with the fallback.
    ConflictError
        It has no artifact here.
    InvalidError
        Instances are no input of it; the first hundred faults are named.
    TooLargeError
        Too many instances.
    UnavailableError
        It took too long, or others ask too much; or the database is away.
    """
    claims = _permitted(model, credential.environment)
    version = model.versions.get(claims["version"])
    if version is None:  # deployed this very moment
        raise UnavailableError("A new version is being deployed.")
    artifact = _artifact(version, claims)
    rows = _sound(instances)
    columns = _columns(rows, version, artifact.signature)
    started = time.perf_counter()
    said = _ask(artifact, columns)
    took = (time.perf_counter() - started) * 1_000
    predicted = Predicted(
        said["value"] if said["label"] is None else said["label"],
        said["probabilities"],
        version.name,
        claims["status"],
    )
    return predictions.log_predictions(
        _batch(rows, predicted, took / len(rows)),
        credential=credential,
        channel=Receipt.Channel.INFERENCE,
        respond=lambda stored: respond(predicted, stored),
        model=model,
        key=key,
    )


def _permitted(model: Model, environment: str) -> Mapping[str, Any]:
    """Return the claims of a permit that is at most a second old, or raise."""
    known = _allowed.get((model.id, environment))
    if known is None or time.monotonic() >= known.until:
        if len(_allowed) >= MOST_REMEMBERED:
            _allowed.clear()
        known = _allowed[model.id, environment] = _asked(model, environment)
    if known.refused is not None:
        raise PermitRefusedError(known.refused.detail, extra=known.refused.extra)
    return known.claims


def _asked(model: Model, environment: str) -> _Allowed:
    asked_at, now = time.monotonic(), time.time()
    try:
        claims, ends_at = permits.allow(model.row, environment)
    except PermitRefusedError as error:
        return _Allowed(asked_at + ALLOWED_SECONDS, {}, error)
    good_for = min(ALLOWED_SECONDS, ends_at.timestamp() - now)
    return _Allowed(asked_at + good_for, claims)


def _artifact(version: Version, claims: Mapping[str, Any]) -> running.Artifact:
    """Return the artifact with the digest that the permit names."""
    digest = claims["artifact_digest"] or ""
    known = _artifacts.get((version.id, digest))
    if known is not None:
        return known
    rows = Artifact.objects.for_organization(version.organization_id).filter(
        version=version.id, digest=digest
    )
    found = rows.defer("content").first()
    if found is None:
        raise ConflictError(
            f"Version {version.name} has no artifact here.",
            extra={
                "version": version.name,
                "fallback": claims["fallback"],
                "next": [
                    "Serve it yourself and log its predictions, or register a version "
                    "and store its artifact with "
                    "PUT /api/models/{id}/versions/{version}/artifact."
                ],
            },
        )
    if len(_artifacts) >= MOST_REMEMBERED:
        _artifacts.clear()
    made = running.Artifact(
        digest,
        found.signature,
        lambda: bytes(rows.values_list("content", flat=True).get()),
    )
    return _artifacts.setdefault((version.id, digest), made)


def _sound(instances: object) -> list[Instance]:
    """Return the instances if they are objects of scalars; else InvalidError."""
    if not isinstance(instances, list) or not instances:
        detail = "expected a list of at least one object"
        raise InvalidError(errors=[fault("instances", code="type", detail=detail)])
    if len(instances) > MOST_INSTANCES:
        raise TooLargeError(f"At most {MOST_INSTANCES:,} instances at a time.")
    faults = [one for row, it in enumerate(instances) for one in _unsound(row, it)]
    if faults:
        raise InvalidError(errors=faults[:MAX_LISTED])
    return instances


def _unsound(row: int, instance: object) -> Iterator[FieldFault]:
    if not isinstance(instance, dict) or not instance:
        detail = "expected an object of features"
        yield fault("instances", row, code="type", detail=detail)
        return
    if len(instance) > MAX_FEATURES:
        detail = f"more than {MAX_FEATURES} features"
        yield fault("instances", row, code="too_many", detail=detail)
        return
    for name, value in instance.items():
        if not 1 <= len(name) <= MAX_NAME_LENGTH:
            detail = f"expected a name of 1 to {MAX_NAME_LENGTH} characters"
            yield fault("instances", row, name[:100], code="length", detail=detail)
        elif isinstance(value, list | dict):
            detail = "expected a scalar"
            yield fault("instances", row, name, code="type", detail=detail)


def _columns(
    instances: Sequence[Instance], version: Version, signature: Mapping[str, Any]
) -> dict[str, list[Any]]:
    """Return the values of each input feature, as its tensor takes them."""
    kinds = {
        name: one["type"] for one in signature["inputs"] for name in one["features"]
    }
    columns: dict[str, list[Any]] = {name: [] for name in kinds}
    faults: list[FieldFault] = []
    for row, instance in enumerate(instances):
        wrong = list(_misfits(row, instance, version))
        for name, kind in kinds.items() if not wrong else ():
            try:
                columns[name].append(_TAKES[kind](instance[name]))
            except (TypeError, ValueError):
                detail = f"the artifact takes {kind} here, got {shown(instance[name])}"
                wrong.append(fault("instances", row, name, code="type", detail=detail))
        faults += wrong
        if len(faults) >= MAX_LISTED:
            break
    if faults:
        raise InvalidError(
            "The instances are not what the artifact takes; nothing was predicted.",
            errors=faults[:MAX_LISTED],
        )
    return columns


def _misfits(row: int, instance: Instance, version: Version) -> Iterator[FieldFault]:
    """Yield what isn't as declared; unknown features only if the schema is strict."""
    for name, code, detail in checking.feature_faults(
        msgspec.json.encode(instance), version
    ):
        if code != "unknown" or version.is_strict:
            yield fault("instances", row, name, code=code, detail=detail)


def _number(value: Any) -> float:
    if value is None:
        return math.nan
    if isinstance(value, str):
        raise TypeError
    return float(value)


def _whole(value: Any) -> int:
    if value is None or isinstance(value, str) or int(value) != value:
        raise TypeError
    return int(value)


def _flag(value: Any) -> bool:
    if value not in (0, 1):
        raise TypeError
    return bool(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


_TAKES: Mapping[str, Callable[[Any], Any]] = {
    "float": _number,
    "double": _number,
    "int64": _whole,
    "bool": _flag,
    "string": _text,
}


def _ask(
    artifact: running.Artifact, columns: Mapping[str, Sequence[Any]]
) -> dict[str, Any]:
    try:
        return pool.predict(artifact, columns, limits())
    except running.UnsoundError as error:
        raise InvalidError(
            f"The artifact can't say anything of these instances: {error}.",
            errors=[fault("instances", code="artifact", detail=str(error))],
        ) from None
    except running.LostError:
        raise UnavailableError("The artifact took too long, or too much.") from None
    except running.BusyError:
        raise UnavailableError("Too many ask at the same time.") from None


def _batch(
    instances: Sequence[Instance], predicted: Predicted, latency: float
) -> Batch:
    rows = len(instances)
    return Batch(
        QUICK_START,
        places=[("instances", row) for row in range(rows)],
        features=[msgspec.json.encode(one) for one in instances],
        predictions=list(predicted.predictions),
        models=[None] * rows,
        versions=[predicted.version] * rows,
        timestamps=[moments.now()] * rows,
        entity_ids=[None] * rows,
        probabilities=[None] * rows
        if predicted.probabilities is None
        else [list(one) for one in predicted.probabilities],
        latencies=[latency] * rows,
        labels=[None] * rows,
    )
