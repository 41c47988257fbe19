"""What the demo replays: the dates, the data, the model, its expectations."""

import calendar
import datetime as dt
import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from driftguard.demo import credit
from driftguard.demo.dates import Shift, last_batch, month_end

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
