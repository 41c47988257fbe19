"""The decisions that were made under an override, and that somebody took them out."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

from django.db.models import QuerySet

from governance.actions.audit import Actor, deed, record
from governance.models import Override
from monitoring.models import Prediction

ROWS_AT_ONCE = 2_000
COLUMNS = (
    "prediction_id",
    "timestamp",
    "model",
    "version",
    "entity_id",
    "prediction",
    "verdict",
    "override_id",
    "features",
)
# A spreadsheet would take what begins so for a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def decisions(override: Override) -> QuerySet[Prediction]:
    """Return the predictions made under an override: one query, by its own index."""
    return Prediction.objects.for_organization(override.organization_id).filter(
        override_id=override.pk
    )


@deed
def note_export(override: Override, *, actor: Actor) -> None:
    """Remember that somebody takes the decisions out as a file."""
    record(
        override.organization_id,
        actor=actor,
        action="predictions.exported",
        object=override,
        override_id=override.pk,
    )


def csv_lines(override: Override) -> Iterator[str]:
    """Yield the decisions as lines of CSV, a few thousand at a time."""
    yield _line(COLUMNS)
    version = override.version
    last = None
    while True:
        rows = decisions(override).order_by("pk")
        page = list((rows if last is None else rows.filter(pk__gt=last))[:ROWS_AT_ONCE])
        for row in page:
            yield _line(
                (
                    row.public_id,
                    row.timestamp.isoformat(),
                    _safe(version.model.slug),
                    _safe(version.version),
                    _safe(row.entity_id or ""),
                    _safe(row.decoded_prediction),
                    row.verdict,
                    row.override_id,
                    row.features,
                )
            )
        if len(page) < ROWS_AT_ONCE:
            return
        last = page[-1].pk


def _safe(value: Any) -> Any:
    is_formula = isinstance(value, str) and value.startswith(FORMULA)
    return f"'{value}" if is_formula else value


def _line(cells: tuple[Any, ...]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow(cells)
    return line.getvalue()
