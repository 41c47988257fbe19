"""Which prediction a label belongs to: all labels of a request in three queries.

1. With the prediction's id: that one.
2. With the entity and the prediction's time stamp: the prediction of that moment.
3. With the entity, and a label horizon set: the one prediction inside it.
4. With the entity alone: its latest prediction at or before the outcome; else its
   earliest later one.

Where 2 or 3 leave more than one prediction, none is guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from django.db import connection

from governance.models import RegisteredModel
from monitoring.models import GroundTruth

Match = GroundTruth.Match


class Wanted(Protocol):
    """What of a label is looked at; `GroundTruth` rows have it too."""

    @property
    def prediction_id(self) -> UUID | None:
        """The prediction, if the client named it."""

    @property
    def entity_id(self) -> str | None:
        """Whom the outcome is about."""

    @property
    def prediction_timestamp(self) -> datetime | None:
        """When the prediction was made, if the client said so."""

    @property
    def outcome_timestamp(self) -> datetime:
        """When the outcome was known."""


@dataclass(frozen=True, slots=True)
class Found:
    """How a label was matched, and with which prediction."""

    match: GroundTruth.Match
    prediction_id: UUID | None = None


WAITING = Found(Match.WAITING)
AMBIGUOUS = Found(Match.AMBIGUOUS)

_INSIDE = """
    SELECT wanted.place, (array_agg(p.id))[1], count(*)
    FROM unnest(%s::int[], %s::text[], %s::timestamptz[], %s::timestamptz[])
        AS wanted (place, entity, earliest, latest)
    JOIN monitoring_prediction AS p
        ON p.model_id = %s AND p.entity_id = wanted.entity
        AND p."timestamp" BETWEEN wanted.earliest AND wanted.latest
    GROUP BY wanted.place
"""
_NEAREST = """
    SELECT DISTINCT ON (wanted.place)
        wanted.place, p.id, p."timestamp" > wanted.known_at AS is_later
    FROM unnest(%s::int[], %s::text[], %s::timestamptz[])
        AS wanted (place, entity, known_at)
    JOIN monitoring_prediction AS p
        ON p.model_id = %s AND p.entity_id = wanted.entity
    ORDER BY wanted.place, is_later,
        abs(extract(epoch FROM p."timestamp" - wanted.known_at)), p.id DESC
"""
_BY_ID = """
    SELECT id FROM monitoring_prediction WHERE id = ANY(%s) AND model_id = %s
"""


def find(model: RegisteredModel, labels: Sequence[Wanted]) -> list[Found | None]:
    """Return the prediction of each label; None if it names one that doesn't exist."""
    found: list[Found | None] = [WAITING] * len(labels)
    named, inside, nearest = _by_rule(model, labels)
    if named:
        known = _existing(model, [labels[place].prediction_id for place in named])
        for place in named:
            pk = labels[place].prediction_id
            found[place] = Found(Match.MATCHED, pk) if pk in known else None
    if inside:
        for place, pk, count in _inside(model, labels, inside):
            found[place] = AMBIGUOUS if count > 1 else Found(Match.MATCHED, pk)
    if nearest:
        for place, pk, is_later in _nearest(model, labels, nearest):
            match = Match.AFTER_OUTCOME if is_later else Match.MATCHED
            found[place] = Found(match, pk)
    return found


def _by_rule(
    model: RegisteredModel, labels: Sequence[Wanted]
) -> tuple[list[int], list[int], list[int]]:
    """Return the places of labels that name a prediction, have bounds, or neither."""
    named, inside, nearest = [], [], []
    for place, label in enumerate(labels):
        if label.prediction_id is not None:
            named.append(place)
        elif label.prediction_timestamp is not None or _has_horizon(model):
            inside.append(place)
        else:
            nearest.append(place)
    return named, inside, nearest


def _has_horizon(model: RegisteredModel) -> bool:
    return model.label_horizon_min is not None or model.label_horizon_max is not None


def _existing(model: RegisteredModel, pks: Iterable[UUID | None]) -> set[UUID]:
    with connection.cursor() as cursor:
        cursor.execute(_BY_ID, [list(pks), model.pk])
        return {pk for (pk,) in cursor.fetchall()}


def _inside(
    model: RegisteredModel, labels: Sequence[Wanted], places: Sequence[int]
) -> list[tuple[int, UUID, int]]:
    chosen = [labels[place] for place in places]
    bounds = [_bounds(model, label) for label in chosen]
    with connection.cursor() as cursor:
        cursor.execute(
            _INSIDE,
            [
                list(places),
                [label.entity_id for label in chosen],
                [earliest for earliest, _ in bounds],
                [latest for _, latest in bounds],
                model.pk,
            ],
        )
        rows: list[tuple[int, UUID, int]] = cursor.fetchall()
        return rows


def _bounds(
    model: RegisteredModel, label: Wanted
) -> tuple[datetime | str, datetime | str]:
    if label.prediction_timestamp is not None:
        return label.prediction_timestamp, label.prediction_timestamp
    shortest = model.label_horizon_min or timedelta(0)
    longest = model.label_horizon_max
    known_at = label.outcome_timestamp
    try:
        earliest = known_at - longest if longest is not None else "-infinity"
    except OverflowError:
        earliest = "-infinity"
    return earliest, known_at - shortest


def _nearest(
    model: RegisteredModel, labels: Sequence[Wanted], places: Sequence[int]
) -> list[tuple[int, UUID, bool]]:
    chosen = [labels[place] for place in places]
    with connection.cursor() as cursor:
        cursor.execute(
            _NEAREST,
            [
                list(places),
                [label.entity_id for label in chosen],
                [label.outcome_timestamp for label in chosen],
                model.pk,
            ],
        )
        rows: list[tuple[int, UUID, bool]] = cursor.fetchall()
        return rows
