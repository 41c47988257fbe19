"""What the demo replays: the dates, the data, the model, its expectations."""

import calendar
import dataclasses
import datetime as dt
import io
import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from sklearn.metrics import roc_auc_score

from driftguard.demo import credit, expectations, labels
from driftguard.demo.dates import Shift, last_batch, month_end
from driftguard.demo.measurements import (
    OUTCOMES,
    SCORED,
    Drift,
    Measurement,
    Realized,
    shown,
)
from driftguard.demo.notebook import VERSION, ForeignNotebookError, Notebook

SNAPSHOTS = (*credit.BASELINE_MONTHS, *credit.PRODUCTION_MONTHS)
# Any second from 2006 to 2109.
moments = st.integers(1_136_073_600, 4_417_977_600).map(
    lambda seconds: dt.datetime.fromtimestamp(seconds, dt.UTC)
)


@pytest.fixture(scope="module")
def model() -> credit.CreditModel:
    return credit.CreditModel(credit.load())


def utc(*numbers: int) -> dt.datetime:
    return dt.datetime(*numbers, tzinfo=dt.UTC)  # type: ignore[arg-type, misc]


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (utc(2024, 2, 29, 23, 59), utc(2024, 2, 29, 18)),
        (utc(2024, 2, 29, 17, 59), utc(2024, 1, 31, 18)),
        (utc(2024, 3, 1), utc(2024, 2, 29, 18)),
        (utc(2023, 3, 30, 12), utc(2023, 2, 28, 18)),
        (utc(2024, 12, 31, 23, 59), utc(2024, 12, 31, 18)),
        (utc(2025, 1, 1), utc(2024, 12, 31, 18)),
        (utc(2025, 1, 31, 18), utc(2025, 1, 31, 18)),
    ],
)
def test_the_last_batch_is_the_newest_month_end_in_the_past(
    now: dt.datetime, expected: dt.datetime
) -> None:
    assert last_batch(now) == expected


@given(moments)
def test_september_falls_on_the_last_month_end_whatever_the_day(
    now: dt.datetime,
) -> None:
    anchor = last_batch(now)
    shift = Shift(anchor)
    assert anchor <= now < month_end(anchor.year, anchor.month + 1)
    assert shift.batch(dt.date(2005, 9, 30)) == anchor


@given(moments)
def test_shifted_months_stay_month_ends_in_their_order(now: dt.datetime) -> None:
    shift = Shift(last_batch(now))
    batches = [shift.batch(as_of) for as_of in SNAPSHOTS]
    for batch in batches:
        assert batch.day == calendar.monthrange(batch.year, batch.month)[1]
    months = [batch.year * 12 + batch.month for batch in batches]
    assert np.diff(months).tolist() == [1, 1, 1, 1]


@given(moments)
def test_outcomes_arrive_just_before_the_next_batch(now: dt.datetime) -> None:
    shift = Shift(last_batch(now))
    for as_of, later in itertools.pairwise(SNAPSHOTS):
        assert shift.outcome(as_of) == shift.batch(later) - dt.timedelta(hours=1)
    assert shift.outcome(SNAPSHOTS[-1]) > now - dt.timedelta(hours=1)


def test_another_file_is_refused(tmp_path: Path) -> None:
    forged = tmp_path / "credit.parquet"
    forged.write_bytes(credit.PATH.read_bytes() + b"\0")
    with pytest.raises(credit.WrongDataError, match="SHA-256"):
        credit.load(forged)


def test_the_readme_of_the_data_names_its_checksum() -> None:
    readme = credit.PATH.with_name("README.md").read_text()
    assert credit.SHA256 in readme
    assert "CC BY 4.0" in readme


# Oracle: scikit-learn's roc_auc_score on the figures that data/README.md promises.
@pytest.mark.parametrize(
    ("months", "clients", "expected"),
    [
        (credit.BASELINE_MONTHS, 18_000, 0.888),
        ((dt.date(2005, 7, 31),), 9_000, 0.886),
        ((dt.date(2005, 8, 31),), 9_000, 0.774),
        ((dt.date(2005, 9, 30),), 9_000, 0.715),
    ],
)
def test_the_model_is_as_good_as_the_data_allow(
    model: credit.CreditModel,
    months: tuple[dt.date, ...],
    clients: int,
    expected: float,
) -> None:
    batch = model.batch(*months)
    assert len(batch) == clients
    assert roc_auc_score(batch.labels, batch.probabilities) == pytest.approx(
        expected, abs=0.0006
    )


def test_a_month_scores_every_held_out_client_once(model: credit.CreditModel) -> None:
    batch = model.batch(dt.date(2005, 7, 31))
    assert len(set(batch.clients.tolist())) == len(batch)
    assert set((batch.clients % 10).tolist()) == {7, 8, 9}
    assert list(batch.features.columns) == list(credit.FEATURES)


def test_only_the_payment_status_columns_carry_the_model(
    model: credit.CreditModel,
) -> None:
    importances = model.importances()
    assert sum(importances.values()) == pytest.approx(1)
    important = {name for name, share in importances.items() if share >= 1 / 11}
    assert important == {"PAY_STATUS", "PAY_STATUS_PREV"}


def truth_of_two_months() -> dict[tuple[str, dt.datetime], int | None]:
    return {
        ("7", utc(2026, 8, 31, 18)): 0,
        ("8", utc(2026, 8, 31, 18)): 1,
        ("7", utc(2026, 9, 30, 18)): 1,
        ("8", utc(2026, 9, 30, 18)): None,
    }


def stored(client: str, month: int, outcome: str | None) -> dict[str, str | None]:
    day = calendar.monthrange(2026, month)[1]
    at = f"2026-{month:02}-{day}T18:00:00Z"
    return {"entityId": client, "timestamp": at, "actualOutcome": outcome}


def test_outcomes_on_their_own_predictions_are_right_both_ways() -> None:
    found = labels.check(
        truth_of_two_months(),
        [
            stored("7", 8, "0"),
            stored("8", 8, "1.0"),
            stored("7", 9, "1"),
            stored("8", 9, None),
        ],
    )
    assert (found.stored, found.known, found.joined) == (4, 3, 3)
    assert (found.wrong, found.missed, found.unknown) == (0, 0, 0)


def test_an_outcome_on_another_month_is_wrong_there_and_missed_here() -> None:
    found = labels.check(
        truth_of_two_months(),
        [
            stored("7", 8, "0"),
            stored("8", 8, None),
            stored("7", 9, "1"),
            stored("8", 9, "1"),
            stored("9", 9, None),
        ],
    )
    assert (found.wrong, found.missed, found.unknown) == (1, 1, 1)


def measured(
    name: str,
    step: str,
    status: str,
    roc_auc: tuple[str, float] | None = None,
    reasons: tuple[str, ...] = (),
    **drifts: Drift,
) -> Measurement:
    quiet = dict.fromkeys(credit.FEATURES, Drift(0.0, None, "ok"))
    number = {"July 2005": 7, "August 2005": 8, "September 2005": 9}[name]
    return Measurement(
        month=f"2026-{number:02}",
        name=name,
        step=step,
        rows=9_000,
        columns=quiet | drifts,
        score=Drift(0.0, 0.0, "ok"),
        realized=Realized(*roc_auc, rows=9_000) if roc_auc else None,
        risk=10.0,
        status=status,
        reasons=list(reasons),
    )


def as_the_data_say() -> list[Measurement]:
    collapse = "Realized ROC-AUC 0.888 → 0.774 in 2026-08 (a drop of 0.114)"
    payments = Drift(0.14, 0.15, "warning")
    return [
        measured("July 2005", SCORED, "APPROVED"),
        measured("July 2005", OUTCOMES, "APPROVED", ("2026-07", 0.886)),
        measured(
            "August 2005", SCORED, "APPROVED", ("2026-07", 0.886), PAY_AMT=payments
        ),
        measured(
            "August 2005",
            OUTCOMES,
            "BLOCKED",
            ("2026-08", 0.774),
            (collapse,),
            PAY_AMT=payments,
        ),
        measured(
            "September 2005",
            SCORED,
            "BLOCKED",
            ("2026-08", 0.774),
            ("PAY_STATUS PSI 0.978 > 0.25", collapse),
            PAY_AMT=payments,
            PAY_STATUS=Drift(0.978, None, "alert"),
        ),
    ]


RIGHT = labels.LabelCheck(
    expected=27_000,
    stored=27_000,
    known=18_000,
    joined=18_000,
    wrong=0,
    missed=0,
    unknown=0,
)


def failing(
    measurements: list[Measurement], check: labels.LabelCheck = RIGHT
) -> list[str]:
    return [
        one.sentence for one in expectations.check(measurements, check) if not one.holds
    ]


def test_what_is_truly_in_the_data_meets_every_expectation() -> None:
    assert failing(as_the_data_say()) == []


@pytest.mark.parametrize(
    ("step", "change", "sentence"),
    [
        (0, {"status": "AT_RISK"}, "July is within limits."),
        (1, {"realized": None}, "July's ROC-AUC is 0.886, and"),
        (2, {"status": "BLOCKED"}, "Before its outcomes, August is within limits."),
        (3, {"status": "APPROVED"}, "With its outcomes, August is at risk or blocked."),
        (3, {"reasons": ["a whim"]}, "The fall of the ROC-AUC is the named reason."),
        (3, {"realized": Realized("2026-08", 0.886, 1)}, "August's ROC-AUC falls to"),
        (4, {"status": "AT_RISK"}, "September is blocked before any outcome"),
        (4, {"realized": Realized("2026-09", 0.7, 1)}, "September is blocked before"),
        (4, {"reasons": []}, "PAY_STATUS is a named reason."),
        (4, {"rows": 18_000}, "Every month is measured on its 9,000 predictions"),
    ],
)
def test_each_step_that_came_out_otherwise_is_named(
    step: int, change: dict[str, object], sentence: str
) -> None:
    found = as_the_data_say()
    found[step] = dataclasses.replace(found[step], **change)  # type: ignore[arg-type]
    [named] = failing(found)
    assert named.startswith(sentence)


@pytest.mark.parametrize(
    ("step", "column", "drift", "sentence"),
    [
        (0, "BILL_AMT", Drift(0.11, 0.1, "warning"), "No column of July drifts."),
        (2, "BILL_AMT", Drift(0.1, 0.1, "warning"), "Before its outcomes, August has"),
        (2, "PAY_AMT", Drift(0.3, 0.3, "alert"), "Before its outcomes, August has"),
        (3, "SEX", Drift(1e-16, None, "ok"), "Who the clients are does not drift"),
        (3, "AGE", Drift(0.0, 1e-16, "ok"), "Who the clients are does not drift"),
        (4, "PAY_STATUS", Drift(0.917, None, "alert"), "September's PAY_STATUS has"),
        (4, "PAY_STATUS", Drift(0.978, None, "ok"), "September's PAY_STATUS has"),
    ],
)
def test_each_column_that_drifts_otherwise_is_named(
    step: int, column: str, drift: Drift, sentence: str
) -> None:
    found = as_the_data_say()
    found[step].columns[column] = drift
    [named] = failing(found)
    assert named.startswith(sentence)


def test_a_step_that_was_not_measured_is_named() -> None:
    found = as_the_data_say()
    del found[3]
    [missing] = expectations.check(found, RIGHT)
    assert not missing.holds
    assert missing.seen == "missing: August 2005 outcomes"


@pytest.mark.parametrize("fault", ["wrong", "missed", "unknown"])
def test_one_wrong_label_is_one_too_many(fault: str) -> None:
    changed = dataclasses.replace(RIGHT, **{fault: 1})
    assert len(failing(as_the_data_say(), changed)) == 1


def test_a_prediction_stored_twice_is_named() -> None:
    twice = dataclasses.replace(RIGHT, stored=27_001)
    assert failing(as_the_data_say(), twice) == [
        "Every prediction is stored once (27,000)."
    ]


def test_the_notebook_keeps_a_step_once_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "demo" / "notebook.json"
    first, *_, last = as_the_data_say()
    notebook = Notebook(path)
    notebook.put("api_key", "dg_live_secret")
    notebook.add("credit-default", first)
    notebook.add("credit-default", last)
    notebook.add("credit-default", dataclasses.replace(first, risk=11.0))
    again = Notebook(path)
    assert again.get("api_key") == "dg_live_secret"
    assert again.measurements("credit-default") == [
        dataclasses.replace(first, risk=11.0),
        last,
    ]
    assert again.measurements("another") == []
    assert path.stat().st_mode & 0o077 == 0


def test_the_table_says_why_and_fits_a_narrow_console() -> None:
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(shown(as_the_data_say()))
    text = console.export_text()
    for words in (
        "September 2005",
        "2026-08 outcomes: blocked",
        "PAY_STATUS 0.98",
        "0.774",
        "9,000",
        "Realized ROC-AUC 0.888 → 0.774",
        "Every rule of the policy holds.",
    ):
        assert words in text
    assert "\N{HORIZONTAL ELLIPSIS}" not in text


@pytest.mark.parametrize(
    "content",
    ['{"password": "of the first demo"}', f'{{"version": {VERSION + 1}}}', "[]", "no"],
)
def test_a_notebook_of_another_demo_is_refused_and_left_as_it_is(
    tmp_path: Path, content: str
) -> None:
    path = tmp_path / "demo" / "notebook.json"
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(ForeignNotebookError, match=str(path)):
        Notebook(path)
    assert path.read_text() == content
