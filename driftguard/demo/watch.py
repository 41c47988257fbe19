"""Reading from the HTTP interface what DriftGuard has measured by itself."""

import datetime as dt
import time
from dataclasses import dataclass
from typing import Any

from driftguard.demo.api import Api
from driftguard.demo.measurements import OUTCOMES, Drift, Measurement, Realized
from driftguard.demo.story import Month

PATIENCE = 180.0  # seconds for the worker to count and measure a batch
PAUSE = 0.3


class NotMeasuredError(Exception):
    """DriftGuard has not measured a step in time; the message says how far it is."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What the interface says of a model at one moment."""

    drift: dict[str, Any]
    performance: dict[str, Any]
    status: dict[str, Any]

    @classmethod
    def read(cls, api: Api, slug: str) -> "Answers":
        drift, performance, status = (
            api.get(f"/api/models/{slug}/{what}")
            for what in ("drift", "performance", "status")
        )
        return cls(drift, performance, status)

    @property
    def realized(self) -> Realized | None:
        """The ROC-AUC of the newest month with outcomes."""
        for period in self.performance["periods"]:
            metric = period["metrics"].get("roc_auc")
            if metric is not None and metric["value"] is not None:
                return Realized(period["period"], metric["value"], metric["n"])
        return None

    def lacks(self, month: Month, step: str) -> str:
        """Say what isn't measured of a step yet, or nothing."""
        expected = len(month.batch)
        window = self.drift["window"]
        if not _holds(window, month.scored_at):
            return f"its window is {window['start']} to {window['end']}"
        # Predictions are shown as soon as they are stored, columns when measured.
        counted = min((one["n"] for one in self.drift["drift_metrics"]), default=0)
        if min(counted, window["predictions"]) < expected:
            return f"{counted} of {expected} predictions are counted"
        realized = self.realized
        if step == OUTCOMES and (realized is None or realized.month != month.label):
            return "there is no ROC-AUC of the month"
        if step == OUTCOMES and realized is not None and realized.rows < expected:
            return f"{realized.rows} of {expected} outcomes are counted"
        return ""


def measure(
    api: Api, slug: str, month: Month, step: str, *, patience: float = PATIENCE
) -> Measurement:
    """Wait until DriftGuard has measured a whole step, and return what it says."""
    deadline = time.monotonic() + patience
    while True:
        answers = Answers.read(api, slug)
        lacking = answers.lacks(month, step)
        if not lacking:
            return _measurement(answers, month, step)
        if time.monotonic() > deadline:
            raise NotMeasuredError(
                f"After {patience:.0f} s DriftGuard has not measured {month.name} "
                f"({step}): {lacking}."
            )
        time.sleep(PAUSE)


def _measurement(answers: Answers, month: Month, step: str) -> Measurement:
    columns = {one["feature"]: one for one in answers.drift["drift_metrics"]}
    score = answers.drift["score"]
    return Measurement(
        month=month.label,
        name=month.name,
        step=step,
        rows=answers.drift["window"]["predictions"],
        columns={name: _drift(column) for name, column in columns.items()},
        score=score and _drift(score),
        realized=answers.realized,
        risk=answers.status["risk_score"],
        status=answers.status["governance_status"],
        reasons=answers.status["reasons"],
    )


def _drift(column: dict[str, Any]) -> Drift:
    return Drift(column["psi"], column["ks"], column["status"])


def _holds(window: dict[str, Any], moment: dt.datetime) -> bool:
    if window["start"] is None or window["end"] is None:
        return False
    start, end = (dt.datetime.fromisoformat(window[side]) for side in ("start", "end"))
    return start <= moment < end
