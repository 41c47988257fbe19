"""Reading from the HTTP interface what DriftGuard has measured by itself."""

import datetime as dt
import time
from typing import Any

from driftguard.demo import credit
from driftguard.demo.api import Api
from driftguard.demo.measurements import OUTCOMES, Drift, Measurement, Realized
from driftguard.demo.story import Month

PATIENCE = 180.0  # seconds for the worker to count and measure a batch
PAUSE = 0.3


class NotMeasuredError(Exception):
    """DriftGuard has not measured a step in time; the message says how far it is."""


def measure(
    api: Api, slug: str, month: Month, step: str, *, patience: float = PATIENCE
) -> Measurement:
    """Wait until DriftGuard has measured a whole step, and return what it says."""
    deadline = time.monotonic() + patience
    while True:
        drift = api.get(f"/api/models/{slug}/drift")
        performance = api.get(f"/api/models/{slug}/performance")
        status = api.get(f"/api/models/{slug}/status")
        missing = _missing(drift, performance, status, month, step)
        if not missing:
            return _measurement(drift, performance, status, month, step)
        if time.monotonic() > deadline:
            raise NotMeasuredError(
                f"After {patience:.0f} s DriftGuard has not measured "
                f"{month.name} ({step}): {missing}."
            )
        time.sleep(PAUSE)


def _missing(
    drift: dict[str, Any],
    performance: dict[str, Any],
    status: dict[str, Any],
    month: Month,
    step: str,
) -> str:
    """Say what the answers lack of the step, or nothing."""
    window = drift["window"]
    if not _covers(window, month.scored_at):
        return f"its window is {window['start']} to {window['end']}"
    if window["predictions"] < len(month.batch):
        return f"{window['predictions']} of {len(month.batch)} predictions counted"
    if step == OUTCOMES:
        realized = _realized(performance)
        if realized is None or realized.month != month.label:
            return "no ROC-AUC of the month yet"
        if realized.rows < len(month.batch):
            return f"{realized.rows} of {len(month.batch)} outcomes counted"
    if _moment(status["last_updated"]) < _moment(drift["computed_at"]):
        return "its status is older than its drift"
    return ""
