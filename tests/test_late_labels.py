"""Clients recur every month and their outcomes come a month late, on real data.

Here the outcomes of a month arrive after the next month's batch, known by client only:
the latest prediction before an outcome is then always another month's.
"""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import httpx
import pandas as pd
import pytest

from driftguard.demo import credit, labels
from driftguard.demo.api import Api
from driftguard.demo.dates import Shift, last_batch
from driftguard.demo.story import stamp
from tests.running_server import RunningServer

pytestmark = pytest.mark.server

CLIENTS = 200
AFTER_BATCH = dt.timedelta(hours=4)
Truth = dict[tuple[str, dt.datetime], int | None]


@pytest.fixture(scope="module")
def api(server: RunningServer) -> Iterator[Api]:
    answer = httpx.post(f"{server.url}/auth/register", json={"name": "Late Bank"})
    with Api(server.url, answer.raise_for_status().json()["api_key"]) as api:
        yield api


@pytest.fixture(scope="module")
def months() -> list[tuple[dt.date, pd.DataFrame]]:
    data = credit.load()
    data = data[data["ID"] <= CLIENTS]
    return [(month, data[data["as_of"] == month]) for month in credit.PRODUCTION_MONTHS]


@pytest.fixture(scope="module")
def shift() -> Shift:
    # A month earlier than the demo's, so that the last outcomes lie in the past too.
    return Shift(last_batch(dt.datetime.now(dt.UTC) - dt.timedelta(days=40)))


def register(api: Api, name: str, **more: Any) -> str:
    body = {
        "model_name": name,
        "version": "1",
        "task": "binary",
        "classes": [0, 1],
        "cadence": "monthly",
        "schema_definition": {
            "features": ["PAY_STATUS"],
            "feature_types": {"PAY_STATUS": "categorical"},
        },
        **more,
    }
    return str(api.post("/api/models", body)["slug"])


def replay(
    api: Api,
    model: str,
    months: list[tuple[dt.date, pd.DataFrame]],
    shift: Shift,
    *,
    named: bool,
) -> labels.LabelCheck:
    """Send each batch, then the outcomes of the month before; compare both ways."""
    truth: Truth = {}
    before = None
    for month, rows in months:
        at = shift.batch(month)
        send_batch(api, model, at, rows)
        truth |= dict.fromkeys(((str(client), at) for client in rows["ID"]), None)
        if before is not None:
            truth |= send_outcomes(api, model, shift, before, named=named)
        before = (month, rows)
    return labels.check(truth, labels.stored_predictions(api, model))


def send_batch(api: Api, model: str, at: dt.datetime, rows: pd.DataFrame) -> None:
    predictions = [
        {
            "entity_id": str(client),
            "input_features": {"PAY_STATUS": status},
            "prediction": int(status > 0),
            "timestamp": stamp(at),
        }
        for client, status in zip(
            rows["ID"].tolist(), rows["PAY_STATUS"].tolist(), strict=True
        )
    ]
    body = {"model_id": model, "predictions": predictions}
    api.post("/api/logs/prediction/batch", body)


def send_outcomes(
    api: Api,
    model: str,
    shift: Shift,
    of: tuple[dt.date, pd.DataFrame],
    *,
    named: bool,
) -> Truth:
    month, rows = of
    at = shift.batch(month)
    known = shift.outcome(month) + AFTER_BATCH
    outcomes = dict(zip(rows["ID"].tolist(), rows[credit.TARGET].tolist(), strict=True))
    records = [
        {
            "entityId": str(client),
            "actualOutcome": str(outcome),
            "outcomeTimestamp": stamp(known),
            **({"predictionTimestamp": stamp(at)} if named else {}),
        }
        for client, outcome in outcomes.items()
    ]
    body = {"modelId": model, "records": records}
    api.post("/api/v1/drift/ground-truth/batch", body)
    return {(str(client), at): outcome for client, outcome in outcomes.items()}


def test_the_trap_is_real_for_outcomes_that_name_nothing(
    api: Api, months: list[tuple[dt.date, pd.DataFrame]], shift: Shift
) -> None:
    found = replay(api, register(api, "Careless"), months, shift, named=False)
    assert found.missed >= CLIENTS
    assert found.wrong >= CLIENTS


def test_a_label_horizon_joins_every_outcome_to_its_own_month(
    api: Api, months: list[tuple[dt.date, pd.DataFrame]], shift: Shift
) -> None:
    model = register(api, "Horizon", label_horizon={"min": "P20D", "max": "P40D"})
    found = replay(api, model, months, shift, named=False)
    assert found.joined == found.known == 2 * CLIENTS
    assert (found.wrong, found.missed, found.unknown) == (0, 0, 0)


def test_the_time_stamp_of_the_prediction_joins_every_outcome_to_its_own_month(
    api: Api, months: list[tuple[dt.date, pd.DataFrame]], shift: Shift
) -> None:
    found = replay(api, register(api, "Named"), months, shift, named=True)
    assert found.joined == found.known == 2 * CLIENTS
    assert (found.wrong, found.missed, found.unknown) == (0, 0, 0)
