"""The replay: the credit model's months, sent through the HTTP interface in order.

Every step may be repeated: what is stored already is not sent again, what is sent
carries an idempotency key, and a key belongs to one model and one batch.
"""

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from driftguard.demo import credit
from driftguard.demo.api import Api
from driftguard.demo.dates import Shift
from driftguard.demo.labels import Truth, stored_predictions

NAME = "Credit default"
VERSION = "1.0.0"
CHUNK = 1_000  # rows of one request
AGE_BANDS = [30, 40, 50]
Progress = Callable[[int], None]


def stamp(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True)
class Month:
    """One production month, scored."""

    as_of: dt.date  # in the data
    scored_at: dt.datetime
    outcome_at: dt.datetime
    batch: credit.Batch

    @property
    def name(self) -> str:
        return f"{self.as_of:%B %Y}"

    @property
    def label(self) -> str:
        return f"{self.scored_at:%Y-%m}"


class Story:
    def __init__(self, api: Api, model: credit.CreditModel, shift: Shift) -> None:
        self.api = api
        self.model = model
        self.shift = shift
        self.slug = ""
        self.months = [
            Month(as_of, shift.batch(as_of), shift.outcome(as_of), model.batch(as_of))
            for as_of in credit.PRODUCTION_MONTHS
        ]

    @property
    def reference(self) -> str:
        """What the registered model carries: it was replayed up to this date."""
        return f"demo of {self.shift.anchor:%Y-%m-%d}"

    def register(self) -> None:
        """Register the model, or find the one that this replay belongs to.

        A replay of an earlier month keeps its model; this one gets another name.
        """
        known = self.api.get("/api/models", search=NAME, limit=1000)["results"]
        ours = [one for one in known if one["external_ref"] == self.reference]
        if not ours:
            taken = {one["model_name"] for one in known}
            name = f"{NAME} {self.shift.anchor:%B %Y}" if NAME in taken else NAME
            ours = [
                self.api.post(
                    "/api/models", self._registration(name), key=f"register {name}"
                )
            ]
        self.slug = ours[0]["slug"]

    def _registration(self, name: str) -> dict[str, Any]:
        types = dict.fromkeys(credit.CATEGORICAL, "categorical")
        types |= dict.fromkeys(credit.NUMERIC, "int")
        return {
            "model_name": name,
            "version": VERSION,
            "description": (
                "Tells which credit-card clients will be late with next month's "
                "payment. Gradient boosting on two months of real clients."
            ),
            "purpose": "Decides whom to call before the payment is due.",
            "external_ref": self.reference,
            "training_accuracy": round(self.model.training_accuracy, 4),
            "risk_tier": "high",
            "cadence": "monthly",
            "task": "binary",
            "classes": [0, 1],
            "positive_class": 1,
            "favourable_outcome": 0,
            "decision_threshold": credit.THRESHOLD,
            "primary_metric": "roc_auc",
            "protected_attributes": {
                "SEX": None,
                "AGE": AGE_BANDS,
                "EDUCATION": None,
                "MARRIAGE": None,
            },
            "importance": self.model.importances(),
            "schema_definition": {
                "features": list(credit.FEATURES),
                "feature_types": {name: types[name] for name in credit.FEATURES},
                "target": credit.TARGET,
            },
        }

    def send_baseline(self) -> None:
        """Give the model its baseline: the baseline months of the clients it scores."""
        path = "/api/v1/drift/baselines"
        if self.api.get(path, modelId=self.slug)["baselines"]:
            return
        batch = self.model.batch(*credit.BASELINE_MONTHS)
        body = {
            "modelId": self.slug,
            "version": "May and June 2005",
            "featureData": {
                name: batch.features[name].tolist() for name in credit.FEATURES
            },
            "targetData": {"type": "classification", "values": batch.labels.tolist()},
            "labeledPredictions": {
                "probabilities": _probabilities(batch),
                "predictedLabels": batch.predicted.tolist(),
                "actualLabels": batch.labels.tolist(),
            },
        }
        self.api.post(path, body, key=f"baseline {self.slug}")

    def send_scores(self, month: Month, progress: Progress) -> None:
        """Log a month's batch."""
        stored = self._count(month)
        if stored == len(month.batch):
            progress(stored)
            return
        present = self._clients(month) if stored else set()
        for number, rows in enumerate(_chunks(self._scores(month))):
            # A chunk is stored whole or not at all.
            if rows[0]["entity_id"] not in present:
                self.api.post(
                    "/api/logs/prediction/batch",
                    {"model_id": self.slug, "predictions": rows},
                    key=f"{self.slug} {month.label} scores {number}",
                )
            progress(len(rows))

    def send_outcomes(self, month: Month, progress: Progress) -> None:
        """Send what became of a month's clients, with the time they were scored at."""
        if self._count(month, hasGroundTruth="true") == len(month.batch):
            progress(len(month.batch))
            return
        for number, records in enumerate(_chunks(self._outcomes(month))):
            self.api.post(
                "/api/v1/drift/ground-truth/batch",
                {"modelId": self.slug, "records": records},
                key=f"{self.slug} {month.label} outcomes {number}",
            )
            progress(len(records))

    def is_scored(self, month: Month) -> bool:
        """Tell whether any prediction of a month is stored."""
        return self._count(month) > 0

    def truth(self) -> Truth:
        """Return every prediction's outcome; the newest month's are still to come."""
        return {
            (str(client), month.scored_at): None if month is self.months[-1] else label
            for month in self.months
            for client, label in zip(
                month.batch.clients.tolist(), month.batch.labels.tolist(), strict=True
            )
        }

    def _scores(self, month: Month) -> list[dict[str, Any]]:
        batch = month.batch
        columns = zip(
            batch.clients.tolist(),
            batch.features.to_dict("records"),
            batch.predicted.tolist(),
            _probabilities(batch),
            strict=True,
        )
        return [
            {
                "model_version": VERSION,
                "entity_id": str(client),
                "input_features": features,
                "prediction": predicted,
                "probabilities": probabilities,
                "timestamp": stamp(month.scored_at),
            }
            for client, features, predicted, probabilities in columns
        ]

    def _outcomes(self, month: Month) -> list[dict[str, Any]]:
        batch = month.batch
        return [
            {
                "entityId": str(client),
                "predictionTimestamp": stamp(month.scored_at),
                "actualOutcome": str(label),
                "outcomeTimestamp": stamp(month.outcome_at),
            }
            for client, label in zip(
                batch.clients.tolist(), batch.labels.tolist(), strict=True
            )
        ]

    def _count(self, month: Month, **more: str) -> int:
        page = self.api.get(
            "/api/v1/drift/predictions",
            modelId=self.slug,
            limit=1,
            **_around(month),
            **more,
        )
        return int(page["total"])

    def _clients(self, month: Month) -> set[str]:
        stored = stored_predictions(self.api, self.slug, **_around(month))
        return {prediction["entityId"] for prediction in stored}


def _around(month: Month) -> dict[str, str]:
    hour = dt.timedelta(hours=1)
    return {
        "startDate": stamp(month.scored_at - hour),
        "endDate": stamp(month.scored_at + hour),
    }


def _probabilities(batch: credit.Batch) -> list[list[float]]:
    return [[1 - late, late] for late in batch.probabilities.tolist()]


def _chunks(rows: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    for start in range(0, len(rows), CHUNK):
        yield rows[start : start + CHUNK]
