"""Whether every outcome reached the prediction it belongs to, and no other.

Clients recur every month and outcomes come a month late, so a careless join gives
each outcome to the wrong month.
"""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from driftguard.demo.api import Api

PAGE = 1_000

# (client, time of the prediction) → the outcome, None while it is still to come.
Truth = Mapping[tuple[str, dt.datetime], int | None]


@dataclass(frozen=True, slots=True)
class LabelCheck:
    expected: int  # predictions that were sent
    stored: int
    known: int  # outcomes that were sent
    joined: int  # predictions that have one
    wrong: int  # another value than the truth, or one where none is known yet
    missed: int  # predictions without the outcome that is known
    unknown: int  # predictions that nobody sent


def check(truth: Truth, stored: Iterable[Mapping[str, Any]]) -> LabelCheck:
    """Compare stored predictions with what was sent, both ways."""
    seen: dict[tuple[str, dt.datetime], Any] = {}
    rows = 0
    for prediction in stored:
        at = dt.datetime.fromisoformat(prediction["timestamp"])
        seen[prediction["entityId"], at] = prediction["actualOutcome"]
        rows += 1
    joined = {place: outcome for place, outcome in seen.items() if outcome is not None}
    return LabelCheck(
        expected=len(truth),
        stored=rows,
        known=sum(outcome is not None for outcome in truth.values()),
        joined=len(joined),
        wrong=sum(
            _spelled(outcome) != _spelled(truth.get(place))
            for place, outcome in joined.items()
        ),
        missed=sum(
            outcome is not None and place not in joined
            for place, outcome in truth.items()
        ),
        unknown=len(seen.keys() - truth.keys()),
    )


def stored_predictions(
    api: Api, model: str, **filters: str
) -> Iterator[dict[str, Any]]:
    """Read the predictions of a model, page by page."""
    path = "/api/v1/drift/predictions"
    offset = 0
    while True:
        page = api.get(path, modelId=model, limit=PAGE, offset=offset, **filters)[
            "predictions"
        ]
        yield from page
        if len(page) < PAGE:
            return
        offset += PAGE


def _spelled(outcome: object) -> str:
    """Spell 1, 1.0 and "1" alike: the dialects differ in the type of an outcome."""
    return "" if outcome is None else str(outcome).removesuffix(".0")
