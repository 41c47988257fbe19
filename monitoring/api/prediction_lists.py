"""The Drift dialect's lists: predictions with their outcomes, and those without."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import msgspec
from django.db.models import Exists, OuterRef, QuerySet

from governance.exceptions import FieldFault, InvalidError, fault
from monitoring.actions import ground_truth
from monitoring.api.endpoints import Call, said
from monitoring.ingest import Answer, catalog, moments
from monitoring.models import GroundTruth, Prediction

HIGHEST_LIMIT = 1_000
HIGHEST_OFFSET = 10_000_000


def logged(call: Call) -> Answer:
    """GET /api/v1/drift/predictions."""
    given = Parameters(
        call.query(
            "modelId", "limit", "offset", "startDate", "endDate", "hasGroundTruth"
        )
    )
    limit = given.number("limit", 100, lowest=1, highest=HIGHEST_LIMIT)
    offset = given.number("offset", 0, lowest=0, highest=HIGHEST_OFFSET)
    start, end = given.moment("startDate"), given.moment("endDate", is_end=True)
    has_label = given.flag("hasGroundTruth")
    reference = given.required("modelId")
    found = _of_model(call, reference)
    if start is not None:
        found = found.filter(timestamp__gte=start)
    if end is not None:
        found = found.filter(timestamp__lt=end)
    if has_label is not None:
        found = found.filter(Exists(_labels()) if has_label else ~Exists(_labels()))
    rows = list(
        found.select_related("version").order_by("-timestamp", "-id")[
            offset : offset + limit
        ]
    )
    labels = ground_truth.current_of([row.pk for row in rows])
    return said(
        200,
        predictions=[_shown(row, reference, labels.get(row.pk)) for row in rows],
        total=found.count(),
    )


def unmatched(call: Call) -> Answer:
    """GET /api/v1/drift/predictions/unmatched."""
    given = Parameters(call.query("modelId", "limit"))
    limit = given.number("limit", 100, lowest=1, highest=HIGHEST_LIMIT)
    rows = (
        _of_model(call, given.required("modelId"))
        .filter(~Exists(_labels()))
        .order_by("-timestamp", "-id")[:limit]
    )
    return said(
        200,
        predictions=[
            {
                "predictionId": row.public_id,
                "entityId": row.entity_id,
                "timestamp": text_of(row.timestamp),
            }
            for row in rows
        ],
    )


def _of_model(call: Call, reference: str) -> QuerySet[Prediction]:
    organization_id = call.credential.organization_id
    model = catalog.find(organization_id, reference)
    return Prediction.objects.for_organization(organization_id).filter(model=model.id)


def _labels() -> QuerySet[GroundTruth]:
    return GroundTruth.objects.current().filter(prediction_id=OuterRef("pk"))


def _shown(
    row: Prediction, reference: str, label: ground_truth.Current | None
) -> dict[str, Any]:
    return {
        "predictionId": row.public_id,
        "modelId": int(reference) if reference.isdigit() else reference,
        "modelVersion": row.version.version,
        "features": msgspec.Raw(row.features.encode()),
        "prediction": as_string(row.decoded_prediction),
        "probabilities": row.probabilities,
        "entityId": row.entity_id,
        "latencyMs": row.latency_ms,
        "timestamp": text_of(row.timestamp),
        "actualOutcome": label and as_string(label.outcome),
    }


def as_string(value: Any) -> str:
    """Return a prediction or an outcome as this dialect spells it: a string."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def text_of(moment: datetime) -> str:
    return moments.as_text(moments.microseconds(moment))


class Parameters:
    """Query parameters, each read once; what is wrong with it names it."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self.given = given

    def required(self, name: str) -> str:
        if not self.given.get(name):
            raise _refused(fault(name, code="missing", detail="it has to be given"))
        return self.given[name]

    def number(self, name: str, default: int, *, lowest: int, highest: int) -> int:
        text = self.given.get(name)
        if text is None:
            return default
        if text.isascii() and text.isdigit() and len(text) < 10:
            value = int(text)
            if lowest <= value <= highest:
                return value
        detail = f"expected a whole number from {lowest} to {highest}"
        raise _refused(fault(name, code="range", detail=detail))

    def flag(self, name: str) -> bool | None:
        text = self.given.get(name)
        if text in {None, "true", "false"}:
            return None if text is None else text == "true"
        raise _refused(fault(name, code="flag", detail="expected true or false"))

    def choice(self, name: str, choices: Iterable[str]) -> str | None:
        text = self.given.get(name)
        if text is None or text in choices:
            return text
        detail = f"expected one of {', '.join(choices)}"
        raise _refused(fault(name, code="choice", detail=detail))

    def moment(self, name: str, *, is_end: bool = False) -> datetime | None:
        """Read a time stamp or a day; a day that ends a period belongs to it."""
        text = self.given.get(name)
        if text is None:
            return None
        # A plus sign in an address means a blank.
        text = text.replace(" ", "+") if "T" in text else text
        try:
            if len(text) <= 10:
                day = date.fromisoformat(text) + timedelta(days=is_end)
                return datetime.combine(day, time(), UTC)
            moment = moments.from_text(text)
        except (ValueError, OverflowError):
            detail = "expected an ISO 8601 date or time stamp"
            raise _refused(fault(name, code="timestamp", detail=detail)) from None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _refused(error: FieldFault) -> InvalidError:
    name = error["loc"][0]
    return InvalidError(f"The parameter {name} is not valid.", errors=[error])
