"""The live result: which hours it is about, when it is due, what follows from it."""

import datetime as dt
from typing import Any

import numpy as np
import pytest
from django.utils import timezone
from scipy import stats

from governance.decision import Thresholds
from governance.identifiers import uuid7s
from governance.models import Assessment, ModelVersion, RiskScore
from monitoring import tasks
from monitoring.actions import analyses, baselines, hours, periods, standards
from monitoring.models import LiveResult, Profile, Receipt
from tests.monitoring import traffic
from tests.monitoring.traffic import HOUR, NOW

pytestmark = pytest.mark.django_db

DAY = dt.timedelta(days=1)
NEWEST = dt.datetime(2026, 3, 18, 14, tzinfo=dt.UTC)  # a Wednesday


@pytest.mark.parametrize(
    ("cadence", "start"),
    [
        ("stream", NEWEST + HOUR - 7 * DAY),
        ("hourly", NEWEST),
        ("daily", dt.datetime(2026, 3, 18, tzinfo=dt.UTC)),
        ("weekly", dt.datetime(2026, 3, 16, tzinfo=dt.UTC)),
        ("monthly", dt.datetime(2026, 3, 1, tzinfo=dt.UTC)),
    ],
)
def test_the_window_is_the_cadence_s_and_ends_with_the_newest_hour(
    cadence: str, start: dt.datetime
) -> None:
    window = periods.window_of(cadence, NEWEST)
    assert (window.start, window.end) == (start, NEWEST + HOUR)


def make_version(cadence: str = "stream", **more: Any) -> ModelVersion:
    return traffic.make_watched(
        features=["x", "y"],
        feature_types={"x": "float", "y": "float"},
        task="binary",
        classes=[0, 1],
        cadence=cadence,
        **more,
    )


def give_baseline(version: ModelVersion, *, wrong: float = 0.1) -> None:
    """Give 500 labelled rows, of which a share was answered wrongly."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 500)
    scores = np.where(rng.random(500) < wrong, 1 - labels, labels) * 0.6 + 0.2
    scores += rng.normal(scale=0.05, size=500)
    baselines.create(
        version,
        features={n: rng.normal(size=500).tolist() for n in ("x", "y")},
        labeled={
            "probabilities": [[1 - s, s] for s in scores.tolist()],
            "predictedLabels": (scores >= 0.5).astype(int).tolist(),
            "actualLabels": labels.tolist(),
        },
        label="at launch",
        actor=None,
    )


def rows(count: int, *, shift: float = 0.0, seed: int = 1) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 2, count) * 0.6 + 0.2 + rng.normal(scale=0.05, size=count)
    return [
        {
            "features": {"x": x + shift, "y": y},
            "prediction": int(score >= 0.5),
            "probabilities": [1 - score, score],
        }
        for x, y, score in zip(
            rng.normal(size=count).tolist(),
            rng.normal(size=count).tolist(),
            scores.tolist(),
            strict=True,
        )
    ]


def answers(receipt: Receipt, *, wrong: float) -> dict[Any, int]:
    """Return outcomes for a receipt's predictions, a share of them against it."""
    rng = np.random.default_rng(3)
    keys = traffic.ids_of(receipt)
    predicted = [
        int(one.prediction_value) for one in receipt.predictions.order_by("id")
    ]
    wrong_ones = rng.random(len(keys)) < wrong
    return {
        key: 1 - answer if is_wrong else answer
        for key, answer, is_wrong in zip(keys, predicted, wrong_ones, strict=True)
    }


def status_of(version: ModelVersion) -> str:
    return Assessment.objects.get(version=version).status


def test_quiet_data_are_within_limits_and_an_alert_blocks_at_once() -> None:
    version = make_version()
    give_baseline(version)
    traffic.log(version, rows(400))
    live = traffic.live(version)
    assert live.status == LiveResult.Status.OK
    assert live.window_end == NOW.replace(minute=0) + HOUR
    assert status_of(version) == "APPROVED"
    traffic.log(version, rows(2_000, shift=1.5))
    live = traffic.live(version)
    assert live.status == LiveResult.Status.ALERT
    assert live.drift["alerts"] == ["x"]
    assert status_of(version) == "BLOCKED"
    assert RiskScore.objects.filter(version=version).count() == 2


def test_the_last_day_of_a_stream_is_shown_beside_the_window() -> None:
    version = make_version()
    give_baseline(version)
    traffic.log(version, rows(300), at=NOW - 3 * DAY)
    traffic.log(version, rows(100, shift=3.0), at=NOW)
    live = traffic.live(version)
    assert live.predictions == 400
    assert live.drift["recent"]["predictions"] == 100
    assert live.drift["recent"]["max_psi"] > live.drift["max_psi"]


def test_rows_before_the_window_do_not_count() -> None:
    version = make_version("daily")
    give_baseline(version)
    traffic.log(version, rows(50), at=NOW - 2 * DAY)
    traffic.log(version, rows(60), at=NOW)
    assert traffic.live(version).predictions == 60


def test_labels_that_come_a_month_late_block_on_the_month_they_belong_to() -> None:
    version = make_version("monthly")
    give_baseline(version)
    first = NOW.replace(day=1, hour=0) - DAY  # the last day of a month
    second = first.replace(day=1) - DAY  # and of the month before it
    newer, older = rows(400, seed=5), rows(400, seed=4)
    receipt = traffic.log(version, older, at=second)
    traffic.label(version, answers(receipt, wrong=0.1))
    live = traffic.live(version)
    assert live.performance["periods"][0]["is_mature"]
    assert status_of(version) == "APPROVED"
    receipt = traffic.log(version, newer, at=first)
    live = traffic.live(version)
    periods_ = [one["period"] for one in live.performance["periods"]]
    assert periods_ == [f"{second:%Y-%m}"]  # the newest with labels
    assert status_of(version) == "APPROVED"
    traffic.label(version, answers(receipt, wrong=0.5))
    live = traffic.live(version)
    assert live.performance["periods"][0]["period"] == f"{first:%Y-%m}"
    assert live.performance["periods"][0]["metrics"]["roc_auc"]["n"] == 400
    assert status_of(version) == "BLOCKED"
    reasons = " ".join(Assessment.objects.get(version=version).reasons)
    assert "ROC-AUC" in reasons


def test_a_few_labels_of_a_month_decide_nothing() -> None:
    version = make_version("monthly")
    give_baseline(version)
    receipt = traffic.log(version, rows(400))
    told = answers(receipt, wrong=1.0)
    few = dict(list(told.items())[:100])
    traffic.label(version, few)
    live = traffic.live(version)
    assert live.performance["periods"][0]["labelled_share"] == 0.25
    assert not live.performance["periods"][0]["is_mature"]
    assert status_of(version) == "APPROVED"


def test_a_few_labels_decide_once_the_horizon_has_passed() -> None:
    version = make_version("daily")
    give_baseline(version)
    version.model.label_horizon_max = dt.timedelta(days=2)
    version.model.save()
    receipt = traffic.log(version, rows(400), at=NOW - 4 * DAY)
    few = dict(list(answers(receipt, wrong=1.0).items())[:100])
    traffic.label(version, few)
    live = traffic.live(version)
    assert live.performance["periods"][0]["horizon_passed"]
    assert live.performance["periods"][0]["is_mature"]


def test_unchanged_periods_are_not_merged_again() -> None:
    version = make_version("daily")
    give_baseline(version)
    receipt = traffic.log(version, rows(50), at=NOW - DAY)
    traffic.label(version, answers(receipt, wrong=0.1))
    live = traffic.live(version)
    LiveResult.objects.filter(pk=live.pk).update(
        performance={
            **live.performance,
            "periods": [{**live.performance["periods"][0], "kept": True}],
        }
    )
    traffic.log(version, rows(10))
    live = traffic.live(version)
    assert live.performance["periods"][0]["kept"]
    traffic.label(version, {traffic.ids_of(receipt)[0]: 0})
    traffic.label(version, {traffic.ids_of(receipt)[0]: 1})
    assert "kept" not in traffic.live(version).performance["periods"][0]


def test_silence_makes_a_version_not_assessed_without_new_data() -> None:
    version = make_version()
    give_baseline(version)
    traffic.log(version, rows(400))
    traffic.live(version)
    assert status_of(version) == "APPROVED"
    later = timezone.now() + 8 * DAY
    analyses.refresh(version, now=later)
    assert status_of(version) == "NOT_ASSESSED"


def test_a_month_that_is_logged_late_is_fresh_evidence() -> None:
    version = make_version("monthly")
    give_baseline(version)
    traffic.log(version, rows(400), at=NOW - 200 * DAY)
    traffic.live(version)
    assert status_of(version) == "APPROVED"


@pytest.mark.parametrize("cadence", ["hourly", "daily", "weekly", "monthly"])
def test_a_stray_row_of_a_new_period_leaves_the_last_full_one_shown(
    cadence: str,
) -> None:
    version = make_version(cadence)
    give_baseline(version)
    start = periods.start_of(periods.Cadence(cadence), NOW)
    full = start - HOUR / 2
    receipt = traffic.log(version, rows(400, shift=2.0), at=full)
    before = traffic.live(version)
    assert status_of(version) == "BLOCKED"
    traffic.log(version, rows(1), at=start)
    stray = traffic.live(version)
    assert (stray.window_start, stray.window_end) == (
        before.window_start,
        before.window_end,
    )
    assert stray.predictions == receipt.rows
    assert stray.drift["alerts"] == before.drift["alerts"]
    assert stray.drift["later"] == {
        "start": start.isoformat(),
        "predictions": 1,
        "needed": 30,
    }
    assert status_of(version) == "BLOCKED"
    traffic.log(version, rows(40), at=start)
    enough = traffic.live(version)
    assert (enough.window_start, enough.predictions) == (start, 41)
    assert "later" not in enough.drift


def test_where_no_period_has_enough_rows_the_newest_is_shown() -> None:
    version = make_version("monthly")
    give_baseline(version)
    start = periods.start_of(periods.Cadence("monthly"), NOW)
    traffic.log(version, rows(9), at=start - HOUR)
    traffic.log(version, rows(2), at=start)
    live = traffic.live(version)
    assert (live.window_start, live.predictions) == (start, 2)
    assert status_of(version) == "NOT_ASSESSED"


def test_without_a_baseline_nothing_is_assessed_and_the_result_says_so() -> None:
    version = make_version()
    traffic.log(version, rows(40))
    live = traffic.live(version)
    assert live.status == LiveResult.Status.NO_BASELINE
    assert live.predictions == 40
    assert status_of(version) == "NOT_ASSESSED"


def test_what_is_counted_makes_the_result_due_and_measuring_it_no_longer() -> None:
    version = make_version()
    give_baseline(version)
    traffic.log(version, rows(40))
    traffic.count_all()
    assert LiveResult.objects.get(version=version).due
    assert analyses.refresh_due() == 1
    assert not LiveResult.objects.get(version=version).due
    assert analyses.refresh_due() == 0
    LiveResult.objects.update(computed_at=timezone.now() - dt.timedelta(minutes=31))
    assert analyses.refresh_due() == 1


def test_a_poll_counts_and_measures_what_is_there() -> None:
    version = make_version()
    give_baseline(version)
    traffic.log(version, rows(400))
    tasks.poll()
    live = LiveResult.objects.get(version=version)
    assert (live.predictions, live.due) == (400, False)
    assert status_of(version) == "APPROVED"
    tasks.poll()
    assert LiveResult.objects.get(version=version).result_id == live.result_id


def test_what_cannot_be_counted_holds_up_no_other_receipt(caplog: Any) -> None:
    version = make_version()
    give_baseline(version)
    (row,), ids = rows(1), uuid7s(1)
    kind = Receipt.Kind.PREDICTIONS
    spoiled = traffic.make_receipt(version, ids, [NOW], kind)
    prediction = traffic.prediction(version, spoiled, ids[0], row, NOW)
    prediction.features = "no JSON"
    prediction.save(force_insert=True)
    sound = traffic.log(version, rows(40))
    tasks.poll()
    assert LiveResult.objects.get(version=version).predictions == 40
    assert str(spoiled.pk) in caplog.text
    assert Receipt.objects.get(pk=spoiled.pk).pending
    assert not Receipt.objects.get(pk=sound.pk).pending


def test_a_version_that_cannot_be_measured_holds_up_no_other(caplog: Any) -> None:
    spoiled, sound = make_version(), make_version()
    for version in (spoiled, sound):
        give_baseline(version)
        traffic.log(version, rows(40))
    traffic.count_all()
    hours = Profile.objects.filter(version=spoiled)
    assert hours.update(columns=b"no counts") > 0
    assert analyses.refresh_due() == 1
    assert LiveResult.objects.get(version=sound).predictions == 40
    assert LiveResult.objects.get(version=spoiled).due
    assert f"Version {spoiled.pk} can't be measured" in caplog.text


def test_a_change_of_status_needs_two_evaluations_with_new_rows() -> None:
    version = make_version()
    give_baseline(version)
    traffic.log(version, rows(400))
    traffic.live(version)
    assessed = Assessment.objects.get(version=version)
    evaluated = LiveResult.objects.get(version=version).evaluated_at
    traffic.log(version, rows(5))  # about one in a hundred
    traffic.live(version)
    assert LiveResult.objects.get(version=version).evaluated_at == evaluated
    traffic.log(version, rows(40))
    traffic.live(version)
    assert LiveResult.objects.get(version=version).evaluated_at > evaluated
    assert status_of(version) == assessed.status


def test_the_score_is_watched_apart_from_the_features() -> None:
    version = make_version()
    give_baseline(version)
    traffic.log(version, rows(300))
    live = traffic.live(version)
    names = [column["name"] for column in live.drift["columns"]]
    assert names == ["x", "y", "__score__"]
    assert live.drift["apart"] == ["__score__"]


def test_where_a_thinned_grid_leaves_ks_undecided_the_rows_decide() -> None:
    version = traffic.make_watched(features=["x"], feature_types={"x": "float"})
    base = np.linspace(0, 1, 10_000)
    baselines.create(version, features={"x": base.tolist()}, label="b", actor=None)
    wanted = standards.wanted(version)
    assert wanted is not None
    gauge = standards.gauge(wanted.baseline.pk)
    point = gauge.grid.columns["x"].points[1_000]  # type: ignore[union-attr]
    # 1,001 values move to just below a point: inside of a cell D is 0.1001, at no
    # point of the grid it reaches the warning limit of 0.1.
    last = int(np.searchsorted(base, point)) - 1
    window = base.copy()
    window[last - 1_000 : last + 1] = (base[last] + point) / 2
    truth = stats.ks_2samp(base, window, method="asymp").statistic
    traffic.log(version, [{"features": {"x": x}} for x in window.tolist()])
    traffic.count_all()
    merged = hours.merged(version, wanted.baseline.pk, NOW - DAY, NOW + HOUR)
    by_counts = analyses.drift_of(version, gauge, merged.counts, Thresholds())
    open_ = by_counts.columns["x"].algorithms["ks_test"]
    assert open_.undecided
    assert open_.status == "ok"
    live = traffic.live_now(version)
    (column,) = [one for one in live.drift["columns"] if one["name"] == "x"]
    found = column["algorithms"]["ks_test"]
    assert found["score"] == pytest.approx(truth, rel=1e-9)
    assert (found["status"], found["undecided"], found["interval"]) == (
        "warning",
        False,
        None,
    )
