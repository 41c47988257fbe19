"""Profiles: what was counted equals the rows, each once, whatever happens."""

import datetime as dt
import math
import threading
import tracemalloc
import warnings
from typing import Any

import numpy as np
import pytest
from django.db import connection, transaction
from django.utils import timezone
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon

from governance.decision import Thresholds
from governance.models import Finding, ModelVersion
from monitoring.actions import analyses, baselines, hours, profiles, standards
from monitoring.models import (
    LiveResult,
    Prediction,
    Profile,
    ProfiledReceipt,
    Receipt,
    Segment,
)
from monitoring.stats import realized
from monitoring.stats.gauges import Counts
from tests.factories import make_alice
from tests.monitoring import traffic
from tests.monitoring.traffic import HOUR, NOW

KINDS = {"x": "float", "tied": "float", "constant": "float", "c": "categorical"}
Column = list[Any]


def make_version(**more: Any) -> ModelVersion:
    return traffic.make_watched(
        features=list(KINDS), feature_types=KINDS, task="binary", **more
    )


def give_baseline(version: ModelVersion, columns: dict[str, Column]) -> Any:
    return baselines.create(version, features=columns, label="at launch", actor=None)


def counted(version: ModelVersion) -> Counts:
    """Return everything that stands in the version's profiles."""
    standard = standards.wanted(version)
    assert standard is not None
    ends = NOW - dt.timedelta(days=400), NOW + 2 * HOUR
    return hours.merged(version, standard.baseline.pk, *ends).counts


def simple_columns(rows: int, seed: int = 0) -> dict[str, Column]:
    rng = np.random.default_rng(seed)
    return {
        "x": rng.normal(size=rows).tolist(),
        "tied": rng.integers(0, 5, rows).astype(float).tolist(),
        "constant": [7.0] * rows,
        "c": rng.choice(["a", "b", "c"], rows).tolist(),
    }


def rows_of(columns: dict[str, Column]) -> list[dict[str, Any]]:
    return [
        {"features": {n: v for n, v in zip(columns, row, strict=True) if v is not None}}
        for row in zip(*columns.values(), strict=True)
    ]


numbers = st.one_of(
    st.none(),
    st.integers(-3, 3).map(float),
    st.floats(-1e6, 1e6, allow_subnormal=False),
)
categories = st.one_of(st.none(), st.sampled_from(["a", "b", "c", "1", "unseen"]))


@st.composite
def columns_of(draw: st.DrawFn, names: list[str]) -> dict[str, Column]:
    """Draw a table: ties, missing values, a constant; a row or forty of them."""
    size = draw(st.integers(1, 40))
    table: dict[str, Column] = {
        "x": draw(st.lists(numbers, min_size=size, max_size=size)),
        "tied": draw(
            st.lists(st.integers(0, 2).map(float), min_size=size, max_size=size)
        ),
        "constant": [draw(st.sampled_from([None, 7.0]))] * size,
        "c": draw(
            st.lists(
                categories.filter(lambda v: v in {None, *names}),
                min_size=size,
                max_size=size,
            )
        ),
    }
    return table


@pytest.mark.django_db
def test_drift_from_stored_profiles_equals_scipy_on_the_raw_rows() -> None:
    alice = make_alice()

    @settings(max_examples=15, deadline=None, phases=[Phase.generate])
    @given(
        columns_of(["a", "b", "c", "1"]),
        columns_of(["a", "b", "unseen"]),
        st.lists(st.integers(0, 60), min_size=40, max_size=40),
        st.integers(1, 40),
    )
    def same(
        before: dict[str, Column], now: dict[str, Column], ages: list[int], cut: int
    ) -> None:
        with transaction.atomic():
            version = make_version(person=alice)
            give_baseline(version, before)
            rows = rows_of(now)
            times = [NOW - age * HOUR for age in ages[: len(rows)]]
            for part in (slice(None, cut), slice(cut, None)):
                if rows[part]:
                    traffic.log(version, rows[part], at=times[part])
                    profiles.profile_pending()
            found = drift_columns(version)
            transaction.set_rollback(True)
        for name in ("x", "tied", "constant"):
            same_as_scipy(found[name], known(before[name]), known(now[name]))
        same_categories(found["c"], known(before["c"]), known(now["c"]))

    same()


def drift_columns(version: ModelVersion) -> dict[str, dict[str, Any]]:
    standard = standards.wanted(version)
    assert standard is not None
    report = analyses.drift_of(
        version, standards.gauge(standard.baseline.pk), counted(version), Thresholds()
    )
    return {column["name"]: column for column in report.to_json()["columns"]}


def known(values: Column) -> Column:
    return [value for value in values if value is not None]


def shares(edges: np.ndarray, values: Column) -> np.ndarray:
    bins = np.searchsorted(edges, values)
    return np.bincount(bins, minlength=len(edges) + 1) / len(values)


def psi(p: np.ndarray, q: np.ndarray) -> float:
    """Return the definition of statistics.md, written out."""
    p, q = np.where(p == 0, 1e-4, p), np.where(q == 0, 1e-4, q)
    return float(((p - q) * np.log(p / q)).sum())


def same_as_scipy(column: dict[str, Any], before: Column, now: Column) -> None:
    """Oracles: scipy.stats.ks_2samp, wasserstein_distance; scipy's jensenshannon."""
    if not before or not now:
        assert column["status"] in {"no_data", "insufficient_data"}
        return
    found = column["algorithms"]
    with warnings.catch_warnings():
        # It is about the p-value, which isn't looked at.
        warnings.simplefilter("ignore", RuntimeWarning)
        d = stats.ks_2samp(before, now).statistic
    assert found["ks_test"]["score"] == pytest.approx(d, rel=1e-9, abs=1e-12)
    edges = np.unique(np.quantile(before, np.arange(1, 10) / 10))
    p, q = shares(edges, before), shares(edges, now)
    assert found["psi"]["score"] == pytest.approx(psi(p, q), rel=1e-9, abs=1e-12)
    js = jensenshannon(p, q, base=2)
    assert found["jensen_shannon"]["score"] == pytest.approx(js, rel=1e-6, abs=1e-7)
    distance = stats.wasserstein_distance(before, now)
    low, high = found["wasserstein"]["interval"] or [found["wasserstein"]["score"]] * 2
    slack = 1e-9 * max(1.0, *map(abs, [*before, *now]))
    assert low - slack <= distance <= high + slack


def same_categories(column: dict[str, Any], before: Column, now: Column) -> None:
    """Oracle: scipy.stats.chi2_contingency on the union table."""
    if not before or not now:
        assert column["status"] in {"no_data", "insufficient_data"}
        return
    names = sorted({*before, *now})
    table = np.array([[side.count(n) for n in names] for side in (before, now)])
    p, q = table[0] / table[0].sum(), table[1] / table[1].sum()
    score = column["algorithms"]["psi"]["score"]
    assert score == pytest.approx(psi(p, q), rel=1e-9, abs=1e-12)
    expected = table.sum(1)[:, None] * table.sum(0) / table.sum()
    found = column["algorithms"]["chi_square"]
    if (expected >= 5).all() and len(names) > 1:
        chi2, _, _, _ = stats.chi2_contingency(table)
        v = math.sqrt(chi2 / table.sum())
        assert found["score"] == pytest.approx(v, rel=1e-9, abs=1e-12)


@pytest.mark.django_db
def test_hours_merged_through_days_equal_the_hours_themselves() -> None:
    version = make_version()
    give_baseline(version, simple_columns(100))
    rows = rows_of(simple_columns(300, seed=1))
    times = [NOW - (place % 90) * HOUR for place in range(300)]
    traffic.log(version, rows, at=times)
    traffic.count_all()
    total = counted(version)
    assert Profile.objects.filter(period="day").count() >= 3
    baseline = standards.counted(version)[0]
    stored = Profile.objects.filter(version=version, baseline=baseline, period="hour")
    gauge = standards.gauge(baseline.pk)
    by_hour = gauge.empty()
    for profile in stored:
        by_hour = by_hour + gauge.stored(profile)
    assert np.array_equal(total.columns.ints, by_hour.columns.ints)
    assert total.rows == by_hour.rows == 300
    assert counted(version).columns == total.columns


@pytest.mark.django_db
def test_a_late_row_undoes_the_merged_day_it_belongs_to() -> None:
    version = make_version()
    give_baseline(version, simple_columns(100))
    rows = rows_of(simple_columns(100, seed=1))
    times = [NOW - (place % 60) * HOUR for place in range(100)]
    traffic.log(version, rows, at=times)
    traffic.count_all()
    assert counted(version).rows == 100
    traffic.log(version, rows[:10], at=NOW - 30 * HOUR)
    traffic.count_all()
    assert counted(version).rows == 110


@pytest.mark.django_db
def test_wrong_types_are_counted_invalid_and_open_one_finding_each() -> None:
    version = make_version()
    give_baseline(version, simple_columns(50))
    rows = rows_of(simple_columns(200, seed=1))
    rows[17]["features"]["x"] = "not a number"
    rows[18]["features"]["x"] = True
    rows[19]["features"]["c"] = {"nested": 1}
    rows[20]["features"]["new"] = 1
    for part in (rows[:100], rows[100:] + rows[17:21]):
        traffic.log(version, part)
        traffic.count_all()
    gauge = standards.gauge(standards.counted(version)[0].pk)
    ints = counted(version).columns.ints
    wrong = {
        name: int(ints[column.cells.stop + 1])
        for name, column in gauge.grid.columns.items()
    }
    assert wrong == {"x": 4, "tied": 0, "constant": 0, "c": 2}
    opened = Finding.objects.filter(version=version).values_list("cause", "occurrences")
    assert dict(opened) == {
        "schema:type:x": 2,
        "schema:type:c": 2,
        "schema:unknown:new": 2,
    }


@pytest.mark.django_db
def test_a_killed_worker_s_receipts_are_taken_up_when_its_lease_has_passed() -> None:
    version = make_version()
    give_baseline(version, simple_columns(50))
    traffic.log(version, rows_of(simple_columns(20, seed=1)))
    profiles._claim(100)  # the worker dies here
    assert profiles.profile_pending() == 0
    Receipt.objects.update(claimed_until=timezone.now() - dt.timedelta(seconds=1))
    assert profiles.profile_pending() == 1
    assert counted(version).rows == 20


@pytest.mark.django_db
def test_a_worker_killed_between_counting_and_finishing_counts_nothing_twice() -> None:
    version = make_version()
    give_baseline(version, simple_columns(50))
    receipt = traffic.log(version, rows_of(simple_columns(20, seed=1)))
    profiles._count(version, profiles._claim(100))  # and dies here
    receipt.refresh_from_db()
    assert receipt.pending
    Receipt.objects.update(claimed_until=None)
    assert profiles.profile_pending() == 1
    receipt.refresh_from_db()
    assert not receipt.pending
    assert counted(version).rows == 20
    assert Segment.objects.get(version=version).rows == 20


def test_many_profilers_at_once_count_every_row_once(cloned_db: str) -> None:
    version = make_version()
    give_baseline(version, simple_columns(50))
    receipts = [
        traffic.log(
            version,
            rows_of(simple_columns(15, seed=seed)),
            at=[NOW - (place % 5) * HOUR for place in range(15)],
        )
        for seed in range(40)
    ]
    errors: list[BaseException] = []

    def work() -> None:
        try:
            while profiles.profile_pending(3):
                pass
        except BaseException as error:  # noqa: BLE001 (the main thread raises it)
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    total = counted(version)
    assert total.rows == Prediction.objects.count() == 600
    gauge = standards.gauge(standards.counted(version)[0].pk)
    cells = gauge.grid.columns["constant"].cells
    assert int(total.columns.ints[cells].sum()) == 600
    assert sum(Segment.objects.values_list("rows", flat=True)) == 600
    assert ProfiledReceipt.objects.count() == len(receipts)
    assert not Receipt.objects.pending().exists()


def test_two_workers_with_the_same_receipts_store_them_once(cloned_db: str) -> None:
    """Both believe that the other is dead, and read the same rows."""
    version = make_version()
    give_baseline(version, simple_columns(50))
    receipts = [
        traffic.log(version, rows_of(simple_columns(30, seed=seed)))
        for seed in range(3)
    ]
    together = threading.Barrier(2)
    errors: list[BaseException] = []

    def work() -> None:
        try:
            together.wait()
            profiles._count(version, receipts)
        except BaseException as error:  # noqa: BLE001 (the main thread raises it)
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert counted(version).rows == 90
    assert sum(Segment.objects.values_list("rows", flat=True)) == 90


def outcome_metrics(version: ModelVersion) -> dict[str, Any]:
    baseline = standards.counted(version)[0]
    layout = standards.gauge(baseline.pk).layout
    outcomes = counted(version).outcomes
    assert layout is not None
    assert outcomes is not None
    return realized.realized(layout, outcomes).to_json()


def scored_rows(scores: list[float]) -> list[dict[str, Any]]:
    return [
        {
            "features": {"x": 0.5, "tied": 1.0, "constant": 7.0, "c": "a"},
            "prediction": int(score >= 0.5),
            "probabilities": [1 - score, score],
        }
        for score in scores
    ]


def labelled_baseline(version: ModelVersion) -> None:
    scores = np.linspace(0.01, 0.99, 60).tolist()
    baselines.create(
        version,
        features=simple_columns(60),
        labeled={
            "probabilities": [[1 - score, score] for score in scores],
            "predictedLabels": [int(score >= 0.5) for score in scores],
            "actualLabels": [int(score >= 0.4) for score in scores],
        },
        label="at launch",
        actor=None,
    )


@pytest.mark.django_db
@pytest.mark.parametrize("order", ["predictions first", "labels first", "together"])
def test_labels_count_once_in_whatever_order_they_come(order: str) -> None:
    version = make_version(classes=[0, 1])
    labelled_baseline(version)
    receipt = traffic.log(version, scored_rows([0.1, 0.9, 0.8, 0.2]))
    if order == "predictions first":
        traffic.count_all()
    told = traffic.label(
        version, dict(zip(traffic.ids_of(receipt), [0, 1, 0, 0], strict=True))
    )
    if order == "labels first":
        Receipt.objects.filter(pk=receipt.pk).update(pending=False)
        traffic.count_all()
        assert counted(version).labels == 0
        Receipt.objects.filter(pk=receipt.pk).update(pending=True)
    traffic.count_all()
    metrics = outcome_metrics(version)
    assert metrics["labelled"] == 4
    assert metrics["confusion"] == [[2, 0], [1, 1]]
    Receipt.objects.filter(pk=told.pk).update(pending=True)
    traffic.count_all()
    assert outcome_metrics(version) == metrics
    assert counted(version).labels == 4


@pytest.mark.django_db
def test_a_correction_takes_the_old_label_out_and_puts_the_new_one_in() -> None:
    version = make_version(classes=[0, 1])
    labelled_baseline(version)
    receipt = traffic.log(version, scored_rows([0.1, 0.9, 0.8, 0.2]))
    ids = traffic.ids_of(receipt)
    traffic.label(version, dict(zip(ids, [0, 1, 0, 0], strict=True)))
    traffic.count_all()
    traffic.label(version, {ids[2]: 1})
    traffic.label(version, {ids[2]: "0"})  # corrected twice before it is counted
    traffic.label(version, {ids[3]: 1})
    traffic.count_all()
    metrics = outcome_metrics(version)
    assert metrics["confusion"] == [[1, 1], [1, 1]]
    assert counted(version).labels == 4


@pytest.mark.django_db
def test_another_baseline_counts_the_window_again_and_serves_when_it_is_done() -> None:
    version = make_version(classes=[0, 1])
    labelled_baseline(version)
    first = standards.counted(version)[0]
    receipts = [traffic.log(version, scored_rows([0.1, 0.9])) for _ in range(3)]
    traffic.label(version, dict.fromkeys(traffic.ids_of(receipts[0]), 1))
    live = traffic.live(version)
    assert live.baseline_id == first.pk
    second = baselines.create(
        version, features=simple_columns(80, seed=5), label="later", actor=None
    )
    baselines.activate(second, actor=None)
    assert traffic.live_now(version).baseline_id == first.pk
    profiles.profile_pending(2)
    assert traffic.live_now(version).baseline_id == first.pk
    traffic.log(version, scored_rows([0.5]))
    live = traffic.live(version)
    assert live.baseline_id == second.pk
    assert live.predictions == 7
    assert live.labels == 2
    assert counted(version).rows == 7


@pytest.mark.django_db
def test_a_baseline_that_comes_back_counts_what_was_corrected_meanwhile() -> None:
    version = make_version(classes=[0, 1])
    labelled_baseline(version)
    first = standards.counted(version)[0]
    receipt = traffic.log(version, scored_rows([0.1, 0.9, 0.8, 0.2]))
    ids = traffic.ids_of(receipt)
    traffic.label(version, dict(zip(ids, [0, 1, 0, 0], strict=True)))
    traffic.live(version)
    second = baselines.create(
        version, features=simple_columns(80, seed=5), label="later", actor=None
    )
    baselines.activate(second, actor=None)
    traffic.live(version)
    traffic.label(version, {ids[2]: 1})
    traffic.live(version)
    first.refresh_from_db()
    baselines.activate(first, actor=None)
    traffic.live(version)
    assert outcome_metrics(version)["confusion"] == [[2, 0], [0, 2]]
    assert (counted(version).rows, counted(version).labels) == (4, 4)


@pytest.mark.django_db
def test_a_version_without_a_baseline_inherits_the_earlier_version_s() -> None:
    first = make_version(version="1")
    baseline = give_baseline(first, simple_columns(60))
    person = traffic.owner_of(first)
    second = make_version(person=person, version="2")
    traffic.log(second, rows_of(simple_columns(40, seed=2)))
    live = traffic.live(second)
    assert (live.baseline_id, live.baseline_kind) == (baseline.pk, "inherited")
    assert live.predictions == 40


@pytest.mark.django_db
def test_the_first_thousand_predictions_become_a_provisional_baseline() -> None:
    version = make_version()
    traffic.log(version, rows_of(simple_columns(700)))
    live = traffic.live(version)
    assert live.status == LiveResult.Status.NO_BASELINE
    assert live.predictions == 700
    assert version.assessment.reasons == [
        "No baseline is active.",
        "Nothing could be measured yet.",
    ]
    traffic.log(version, rows_of(simple_columns(700, seed=3)))
    live = traffic.live(version)
    assert live.baseline is not None
    assert (live.baseline_kind, live.baseline.sample_size) == ("provisional", 1_000)
    assert live.predictions == 1_400
    given_one = give_baseline(version, simple_columns(50))
    assert given_one.active
    assert traffic.live(version).baseline_kind == "given"


@pytest.mark.django_db
def test_rows_of_very_many_hours_are_counted_in_little_memory() -> None:
    version = make_version()
    give_baseline(version, simple_columns(4_000))
    columns = rows_of(simple_columns(500, seed=1))
    times = [NOW - at * HOUR for at in range(500)]
    receipt = traffic.log(version, columns, at=times)
    traffic.label(version, dict.fromkeys(traffic.ids_of(receipt), 1))
    tracemalloc.start()
    try:
        traffic.count_all()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    found = counted(version)
    assert (found.rows, found.labels) == (500, 500)
    # Unpacked, each of the hours would take 100 kB.
    assert peak < 20 * 2**20, peak
