"""Clients that keep logging predictions and outcomes, whatever happens to the server.

Each call carries an idempotency key and is repeated until it is acknowledged.
"""

import datetime as dt
import threading
from typing import Any

from driftguard.demo.api import Api
from driftguard.demo.story import stamp

PATIENCE = 240.0  # seconds that one call is repeated for
COUNTRIES = ("DE", "FR", "IT", "SE", None)
BATCH = 50


def features(number: int) -> dict[str, Any]:
    """Return the features of the row that `number` names; some are missing."""
    amount = None if number % 17 == 0 else (number * 37 % 1_000) / 4
    return {"amount": amount, "country": COUNTRIES[number % len(COUNTRIES)]}


class Sender(threading.Thread):
    """Logs one batch after the other with its outcomes, or one row after the other."""

    def __init__(
        self, url: str, key: str, model: str, name: str, enough: threading.Event
    ) -> None:
        super().__init__(name=name)
        self.api = Api(url, key, patience=PATIENCE)
        self.model = model
        self.enough = enough
        self.started_at = dt.datetime.now(dt.UTC).replace(microsecond=0)
        self.numbers: list[int] = []  # rows that were acknowledged
        self.labels = 0
        self.error: BaseException | None = None

    def run(self) -> None:
        call = 0
        try:
            while not self.enough.is_set():
                self.send(call)
                call += 1
        except BaseException as error:  # noqa: BLE001 - the test's thread raises it
            self.error = error

    def send(self, call: int) -> None:
        raise NotImplementedError

    def entity(self, number: int) -> str:
        return f"{self.name}-{number}"

    def timestamp(self, number: int) -> str:
        return stamp(self.started_at - dt.timedelta(seconds=60 + number % 7200))

    def key(self, call: int, what: str) -> str:
        return f"{self.name} {what} {call}"


class BatchSender(Sender):
    def send(self, call: int) -> None:
        numbers = range(call * BATCH, (call + 1) * BATCH)
        rows = [
            {
                "input_features": features(number),
                "prediction": number % 2,
                "probabilities": [0.75, 0.25] if number % 2 == 0 else [0.25, 0.75],
                "entity_id": self.entity(number),
                "timestamp": self.timestamp(number),
            }
            for number in numbers
        ]
        self.api.post(
            "/api/logs/prediction/batch",
            {"model_id": self.model, "predictions": rows},
            key=self.key(call, "rows"),
        )
        self.numbers.extend(numbers)
        records = [
            {
                "entityId": self.entity(number),
                "predictionTimestamp": self.timestamp(number),
                "actualOutcome": str(number % 3 % 2),
            }
            for number in numbers
        ]
        self.api.post(
            "/api/v1/drift/ground-truth/batch",
            {"modelId": self.model, "records": records},
            key=self.key(call, "outcomes"),
        )
        self.labels += len(records)


class SingleSender(Sender):
    """Shares its commits with whoever sends at the same moment."""

    def send(self, call: int) -> None:
        body = {
            "model_id": self.model,
            "input_features": features(call),
            "prediction": call % 2,
            "probabilities": [0.75, 0.25] if call % 2 == 0 else [0.25, 0.75],
            "entity_id": self.entity(call),
            "timestamp": self.timestamp(call),
        }
        self.api.post("/api/logs/prediction", body, key=self.key(call, "row"))
        self.numbers.append(call)
