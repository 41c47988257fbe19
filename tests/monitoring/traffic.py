"""Versions with traffic: receipts, predictions and labels as ingestion stores them."""

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from typing import Any

from governance.actions import registry
from governance.identifiers import uuid7s
from governance.models import ModelVersion
from governance.schema import Schema
from monitoring.actions import analyses, profiles
from monitoring.models import GroundTruth, LiveResult, Prediction, Receipt
from tests.factories import Person, make_alice

HOUR = dt.timedelta(hours=1)
# In the middle of an hour, recent enough to be fresh.
NOW = dt.datetime.now(dt.UTC).replace(minute=30, second=0, microsecond=0) - HOUR
Rows = Sequence[Mapping[str, Any]]


def make_watched(
    person: Person | None = None,
    *,
    name: str = "Watched",
    version: str = "1",
    cadence: str = "stream",
    **definition: Any,
) -> ModelVersion:
    """Register a version whose schema is the definition."""
    person = person or make_alice()
    registration = registry.Registration(
        name=name,
        version=version,
        schema=Schema.from_json(definition),
        model_fields={"cadence": cadence},
    )
    registered = registry.register(
        person.organization, registration, actor=person.actor
    )
    return registered.model.versions.select_related("model").get(version=version)


def log(
    version: ModelVersion,
    rows: Rows,
    *,
    at: dt.datetime | Sequence[dt.datetime] = NOW,
    **fields: Any,
) -> Receipt:
    """Store rows of {"features", "prediction", …} as one receipt."""
    times = [at] * len(rows) if isinstance(at, dt.datetime) else list(at)
    ids = uuid7s(len(rows))
    receipt = make_receipt(version, ids, times, Receipt.Kind.PREDICTIONS, **fields)
    Prediction.objects.bulk_create(
        prediction(version, receipt, pk, row, time)
        for pk, row, time in zip(ids, rows, times, strict=True)
    )
    return receipt


def make_receipt(
    version: ModelVersion,
    ids: Sequence[Any],
    times: Sequence[dt.datetime],
    kind: str,
    **fields: Any,
) -> Receipt:
    return Receipt.objects.create(
        organization_id=version.organization_id,
        model_id=version.model_id,
        version=version if kind == Receipt.Kind.PREDICTIONS else None,
        kind=kind,
        channel=Receipt.Channel.HTTP,
        rows=len(ids),
        first_id=min(ids),
        last_id=max(ids),
        first_event=min(times),
        last_event=max(times),
        digest=bytes(32),
        merkle_root=bytes(32),
        **fields,
    )


def prediction(
    version: ModelVersion,
    receipt: Receipt,
    pk: Any,
    row: Mapping[str, Any],
    time: dt.datetime,
) -> Prediction:
    answer = row.get("prediction", 0)
    is_number = isinstance(answer, int | float) and not isinstance(answer, bool)
    features = row["features"]
    return Prediction(
        id=pk,
        organization_id=version.organization_id,
        model_id=version.model_id,
        version_id=version.pk,
        receipt_id=receipt.pk,
        timestamp=time,
        entity_id=row.get("entity_id"),
        features=features if isinstance(features, str) else json.dumps(features),
        prediction=json.dumps(answer),
        prediction_value=float(answer) if is_number else None,
        probabilities=row.get("probabilities"),
        verdict="NOT_ASSESSED",
    )


def label(
    version: ModelVersion,
    outcomes: Mapping[Any, Any],
    *,
    at: dt.datetime = NOW,
    counts_as: str = GroundTruth.Match.MATCHED,
) -> Receipt:
    """Store outcomes by prediction id; a second one corrects the first."""
    ids = uuid7s(len(outcomes))
    receipt = make_receipt(version, ids, [at], Receipt.Kind.GROUND_TRUTH)
    current = {
        row.prediction_id: row
        for row in GroundTruth.objects.filter(
            prediction_id__in=list(outcomes), superseded=False
        )
    }
    GroundTruth.objects.filter(pk__in=[row.pk for row in current.values()]).update(
        superseded=True
    )
    GroundTruth.objects.bulk_create(
        GroundTruth(
            id=pk,
            organization_id=version.organization_id,
            model_id=version.model_id,
            receipt=receipt,
            outcome_timestamp=at,
            outcome=json.dumps(outcome),
            match=counts_as,
            prediction_id=key,
            supersedes=current.get(key),
        )
        for pk, (key, outcome) in zip(ids, outcomes.items(), strict=True)
    )
    return receipt


def ids_of(receipt: Receipt) -> list[Any]:
    """Return the ids of a receipt's predictions, in their order."""
    stored = Prediction.objects.filter(receipt_id=receipt.pk).order_by("id")
    return list(stored.values_list("id", flat=True))


def count_all() -> None:
    """Empty the queue."""
    while profiles.profile_pending():
        pass


def live(version: ModelVersion) -> LiveResult:
    """Count everything and measure the version."""
    count_all()
    return live_now(version)


def live_now(version: ModelVersion) -> LiveResult:
    """Measure the version by what has been counted so far."""
    version = ModelVersion.objects.select_related("model").get(pk=version.pk)
    assert analyses.refresh(version) is not None
    return LiveResult.objects.get(version=version)


def owner_of(version: ModelVersion) -> Person:
    return Person(version.model.owner, version.organization)
