"""Performance over time, realized and estimated, as the product tells it.

Oracles: scikit-learn on the raw rows for what is realized, `Cbpe` and `Dle` on the raw
rows (which NannyML's figures check) for what is estimated.
"""

import datetime as dt
import json
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sklearn

from governance.models import Assessment, ModelVersion
from governance.schema import Task
from monitoring.actions import baselines, estimators, history, quarantine
from monitoring.models import PerformanceResult
from monitoring.stats.answers import Answers
from monitoring.stats.estimation import Cbpe
from monitoring.stats.losses import Dle
from tests.factories import make_alice, make_charlie
from tests.governance.api import api_of, faults
from tests.monitoring import traffic
from tests.monitoring.traffic import HOUR

pytestmark = pytest.mark.django_db

DAY = dt.timedelta(days=1)
PATH = "/api/v1/drift/performance"
# A Wednesday noon, some weeks ago.
NOON = (traffic.NOW - 30 * DAY).replace(hour=12)
NOON -= ((NOON.weekday() - 2) % 7) * DAY
Json = dict[str, Any]


def ask(version: ModelVersion, **query: Any) -> Json:
    query = {"modelId": version.model.slug, **query}
    text = "&".join(f"{name}={value}" for name, value in query.items())
    answer = api_of(traffic.owner_of(version)).get(f"{PATH}?{text}")
    assert answer.status_code == 200, answer.content
    told: Json = json.loads(answer.content, parse_constant=pytest.fail)
    return told


def measure(version: ModelVersion) -> None:
    """Count, measure and record until nothing is left to do."""
    traffic.count_all()
    traffic.live_now(version)
    while history.record_due():
        pass
    traffic.live_now(version)


class Binary:
    """A model whose scores are too high: they have to be calibrated."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def draw(self, count: int, *, easy: float = 1.0) -> tuple[Any, Any]:
        """Return scores and labels; the harder, the nearer are scores to a half."""
        chances = self.rng.beta(0.5, 0.5, count)
        chances = 0.5 + easy * (chances - 0.5)
        labels = (self.rng.random(count) < chances).astype(int)
        return np.sqrt(chances), labels


def make_binary(**fields: Any) -> ModelVersion:
    return traffic.make_watched(
        features=["x"],
        feature_types={"x": "float"},
        task="binary",
        classes=[0, 1],
        **fields,
    )


def give_binary(version: ModelVersion, count: int = 3_000) -> Cbpe:
    scores, labels = Binary(0).draw(count)
    predicted = (scores >= 0.7).astype(int)
    baselines.create(
        version,
        features={"x": scores.tolist()},
        labeled={
            "probabilities": [[1 - s, s] for s in scores.tolist()],
            "predictedLabels": predicted.tolist(),
            "actualLabels": labels.tolist(),
        },
        label="at launch",
        actor=None,
    )
    return Cbpe.fit(Task.BINARY, Answers(scores, predicted), labels)


def log_binary(
    version: ModelVersion,
    at: dt.datetime,
    count: int,
    *,
    seed: int,
    easy: float = 1.0,
    labelled: int | None = None,
    flip: bool = False,
) -> tuple[Any, Any, Any]:
    """Log predictions of one hour and the labels of the first of them."""
    scores, labels = Binary(seed).draw(count, easy=easy)
    predicted = (scores >= 0.7).astype(int)
    if flip:
        labels = 1 - labels
    receipt = traffic.log(
        version,
        [
            {
                "features": {"x": score},
                "prediction": int(answer),
                "probabilities": [1 - score, score],
            }
            for score, answer in zip(scores.tolist(), predicted.tolist(), strict=True)
        ],
        at=at,
    )
    keys = traffic.ids_of(receipt)[: count if labelled is None else labelled]
    if keys:
        traffic.label(version, dict(zip(keys, labels.tolist(), strict=False)))
    return scores, predicted, labels


def test_both_series_equal_their_oracles_in_each_granularity() -> None:
    version = make_binary()
    oracle = give_binary(version)
    drawn = {
        at: log_binary(version, at, 400, seed=seed)
        for seed, at in enumerate(
            (NOON - 9 * DAY, NOON - DAY, NOON - HOUR, NOON - 10 * HOUR), 1
        )
    }
    measure(version)
    for granularity, period in (
        ("hourly", "hour"),
        ("daily", "day"),
        ("weekly", "week"),
    ):
        told = ask(version, granularity=granularity)
        groups: dict[dt.datetime, list[Any]] = {}
        for at, rows in drawn.items():
            groups.setdefault(history.start_of(period, at), []).append(rows)
        points = {
            dt.datetime.fromisoformat(one["timestamp"]): one for one in told["history"]
        }
        assert list(points) == sorted(groups)
        for start, rows in groups.items():
            scores, predicted, labels = map(np.concatenate, zip(*rows, strict=True))
            point = points[start]
            assert point["sampleSize"] == point["predictions"] == len(scores)
            assert point["labelledShare"] == 1.0
            assert point["isMature"] is True
            check_realized(point, scores, predicted, labels)
            expected = oracle.estimate(Answers(scores, predicted)).metrics
            assert point["estimatedSampleSize"] == len(scores)
            for name in ("accuracy", "recall", "specificity", "f1", "roc_auc"):
                value = point["estimatedMetrics"][name]["value"]
                assert value == pytest.approx(expected[name].value, abs=3e-3)
            low, high = point["estimatedAccuracyInterval"]
            assert low < point["estimatedAccuracy"] < high
            assert low == pytest.approx(expected["accuracy"].low, abs=3e-3)


def check_realized(point: Json, scores: Any, predicted: Any, labels: Any) -> None:
    found = {name: one["value"] for name, one in point["metrics"].items()}
    assert point["accuracy"] == sklearn.accuracy_score(labels, predicted)
    for name, function in (
        ("precision", sklearn.precision_score),
        ("recall", sklearn.recall_score),
        ("f1", sklearn.f1_score),
        ("balanced_accuracy", sklearn.balanced_accuracy_score),
    ):
        assert found[name] == pytest.approx(function(labels, predicted))
    # Scores between two points of the grid count as ties.
    area = sklearn.roc_auc_score(labels, scores)
    assert found["roc_auc"] == pytest.approx(area, abs=2e-3)
    assert found["log_loss"] == pytest.approx(sklearn.log_loss(labels, scores))
    assert found["brier"] == pytest.approx(sklearn.brier_score_loss(labels, scores))


def test_labels_that_come_later_change_the_point_and_its_maturity() -> None:
    version = make_binary()
    give_binary(version)
    log_binary(version, NOON, 400, seed=1, labelled=40)
    measure(version)
    [early] = ask(version)["history"]
    assert (early["sampleSize"], early["predictions"]) == (40, 400)
    assert early["labelledShare"] == 0.1
    assert early["isMature"] is False
    keys = traffic.ids_of(version.receipts.get())
    traffic.label(version, dict.fromkeys(keys[40:], 1))
    measure(version)
    [late] = ask(version)["history"]
    assert (late["sampleSize"], late["isMature"]) == (400, True)
    # The estimate doesn't look at labels.
    assert late["estimatedAccuracy"] == early["estimatedAccuracy"]


def test_one_label_of_a_thousand_is_told_as_what_it_is() -> None:
    version = make_binary()
    give_binary(version)
    log_binary(version, NOON, 1_000, seed=1, labelled=1)
    measure(version)
    told = ask(version)
    [point] = told["history"]
    assert (point["sampleSize"], point["isMature"]) == (1, False)
    assert point["labelledShare"] == 0.001
    assert point["accuracy"] in {0.0, 1.0}
    area = point["metrics"]["roc_auc"]
    assert area["value"] is None
    assert "one class" in area["reason"]
    assert point["estimatedAccuracy"] is not None
    assert told["trust"] == {
        "backTest": {},
        "period": None,
        "residual": {},
        "reason": "No period has all its labels yet.",
    }


def test_hours_without_rows_have_no_points() -> None:
    version = make_binary()
    give_binary(version)
    log_binary(version, NOON, 100, seed=1)
    log_binary(version, NOON - 3 * DAY, 100, seed=2)
    measure(version)
    assert len(ask(version)["history"]) == 2
    # The window ends with the newest hour that has predictions.
    assert len(ask(version, windowDays=2)["history"]) == 1


def test_trust_is_high_where_only_the_inputs_move() -> None:
    version = make_binary()
    give_binary(version, 20_000)
    for day in range(6):
        # Harder rows: accuracy falls, and so does its estimate.
        log_binary(version, NOON - day * DAY, 600, seed=1 + day, easy=0.3)
    measure(version)
    told = ask(version)
    test = told["trust"]["backTest"]["accuracy"]
    assert test["windows"] == 6
    assert test["mean_error"] < 0.05
    assert test["covered"] == 1.0
    residual = told["trust"]["residual"]["accuracy"]
    assert residual["concept_drift"] is False
    assert residual["low"] <= 0 <= residual["high"]
    drop = told["estimation"]["baseline"]["accuracy"]["value"] - np.mean(
        [one["estimatedAccuracy"] for one in told["history"]]
    )
    assert drop > 0.1


def test_concept_drift_is_what_is_left_between_the_two() -> None:
    version = make_binary()
    give_binary(version)
    log_binary(version, NOON, 800, seed=1, flip=True)
    measure(version)
    told = ask(version)
    [point] = told["history"]
    residual = told["trust"]["residual"]["accuracy"]
    assert residual["concept_drift"] is True
    expected = point["accuracy"] - point["estimatedAccuracy"]
    assert residual["value"] == pytest.approx(expected)
    assert told["trust"]["backTest"]["accuracy"]["covered"] == 0.0


def test_an_estimated_collapse_blocks_without_a_label() -> None:
    version = make_binary()
    give_binary(version)
    log_binary(version, traffic.NOW, 600, seed=1, labelled=0)
    measure(version)
    assert Assessment.objects.get(version=version).status == "APPROVED"
    log_binary(version, traffic.NOW, 6_000, seed=2, easy=0.2, labelled=0)
    measure(version)
    found = Assessment.objects.get(version=version)
    assert any("Estimated ROC-AUC" in reason for reason in found.reasons)
    rules = {one["rule"] for one in found.verdict["failed"]}
    assert "R6" in rules


def test_labels_overrule_an_estimate_of_the_same_window() -> None:
    version = make_binary()
    give_binary(version)
    log_binary(version, traffic.NOW, 2_000, seed=2, easy=0.2)
    measure(version)
    found = Assessment.objects.get(version=version)
    assert not any("Estimated" in reason for reason in found.reasons)
    assert any("Realized ROC-AUC" in reason for reason in found.reasons)


def test_without_labelled_predictions_nothing_is_made_up() -> None:
    version = make_binary()
    baselines.create(
        version, features={"x": [0.1, 0.2, 0.3] * 50}, label="bare", actor=None
    )
    log_binary(version, NOON, 200, seed=1)
    measure(version)
    told = ask(version)
    assert told["estimation"]["available"] is False
    assert "labeledPredictions" in told["estimation"]["reason"]
    [point] = told["history"]
    assert point["estimatedAccuracy"] is None
    assert point["estimatedAccuracyInterval"] is None
    assert (point["estimatedMetrics"], point["estimatedSampleSize"]) == ({}, 0)
    assert point["accuracy"] is not None


BASELINES: dict[str, tuple[Json, str]] = {
    "hard labels": (
        {"predictedLabels": [0, 1] * 100, "actualLabels": [0, 1, 1, 1] * 50},
        "without probabilities",
    ),
    "one class": (
        {
            "probabilities": [[0.4, 0.6], [0.3, 0.7]] * 100,
            "predictedLabels": [1] * 200,
            "actualLabels": [1] * 200,
        },
        "one class only",
    ),
    "few rows": (
        {
            "probabilities": [[0.4, 0.6], [0.6, 0.4]] * 10,
            "predictedLabels": [1, 0] * 10,
            "actualLabels": [1, 0, 0, 1] * 5,
        },
        "20 labelled rows",
    ),
    "no label": (
        {
            "probabilities": [[0.4, 0.6], [0.6, 0.4]] * 100,
            "predictedLabels": [1, 0] * 100,
            "actualLabels": [None] * 200,
        },
        "label",
    ),
}


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_that_allows_no_estimate_says_why(name: str) -> None:
    labeled, reason = BASELINES[name]
    version = make_binary()
    baselines.create(
        version,
        features={"x": [0.1, 0.9] * 100},
        labeled=labeled,
        label="odd",
        actor=None,
    )
    log_binary(version, NOON, 60, seed=1)
    measure(version)
    told = ask(version)
    assert told["estimation"]["available"] is False
    assert reason in told["estimation"]["reason"]
    assert told["history"][0]["estimatedAccuracy"] is None


def test_constant_scores_estimate_the_share_of_the_baseline() -> None:
    version = make_binary()
    baselines.create(
        version,
        features={"x": [0.1, 0.9] * 200},
        labeled={
            "probabilities": [[0.4, 0.6]] * 400,
            "predictedLabels": [1] * 400,
            "actualLabels": [1, 1, 1, 0] * 100,
        },
        label="constant",
        actor=None,
    )
    traffic.log(
        version,
        [{"features": {"x": 0.5}, "prediction": 1, "probabilities": [0.4, 0.6]}] * 50,
        at=NOON,
    )
    measure(version)
    [point] = ask(version)["history"]
    assert point["estimatedAccuracy"] == pytest.approx(0.75)
    assert point["estimatedMetrics"]["roc_auc"]["value"] == pytest.approx(0.5)
    assert (point["accuracy"], point["sampleSize"]) == (None, 0)


def test_rows_without_probabilities_are_left_out_of_the_estimate() -> None:
    version = make_binary()
    give_binary(version)
    bare = [{"features": {"x": 1.0}, "prediction": "1"}] * 10
    traffic.log(version, bare, at=NOON)
    log_binary(version, NOON, 100, seed=1, labelled=0)
    measure(version)
    [point] = ask(version)["history"]
    assert (point["predictions"], point["estimatedSampleSize"]) == (110, 100)


def test_only_rows_without_probabilities_estimate_nothing() -> None:
    version = make_binary()
    give_binary(version)
    bare = [{"features": {"x": 1.0}, "prediction": "1"}]
    traffic.log(version, bare, at=NOON)
    measure(version)
    [point] = ask(version)["history"]
    assert (point["predictions"], point["estimatedSampleSize"]) == (1, 0)
    accuracy = point["estimatedMetrics"]["accuracy"]
    assert accuracy["value"] is None
    assert "score" in accuracy["reason"]


CLASSES = ["a", "b", "c"]


def draw_classes(count: int, seed: int) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    table = rng.dirichlet([0.6, 0.5, 0.4], count)
    labels = np.array([rng.choice(3, p=row) for row in table])
    sharp = table**2
    sharp /= sharp.sum(1, keepdims=True)
    return sharp, sharp.argmax(1), labels


def test_several_classes_are_estimated_from_the_rows() -> None:
    version = traffic.make_watched(
        features=["x"],
        feature_types={"x": "float"},
        task="multiclass",
        classes=CLASSES,
    )
    table, predicted, labels = draw_classes(2_000, 0)
    baselines.create(
        version,
        features={"x": [0.0, 1.0]},
        labeled={
            "probabilities": table.tolist(),
            "predictedLabels": [CLASSES[one] for one in predicted],
            "actualLabels": [CLASSES[one] for one in labels],
        },
        label="at launch",
        actor=None,
    )
    oracle = Cbpe.fit(Task.MULTICLASS, Answers(table.max(1), predicted, table), labels)
    drawn = []
    for seed, at in ((1, NOON), (2, NOON - 2 * HOUR), (3, NOON - DAY)):
        rows = draw_classes(300, seed)
        drawn.append(rows)
        receipt = traffic.log(
            version,
            [
                {
                    "features": {"x": 0.5},
                    "prediction": CLASSES[answer],
                    "probabilities": row,
                }
                for row, answer in zip(rows[0].tolist(), rows[1], strict=True)
            ],
            at=at,
        )
        outcomes = [CLASSES[one] for one in rows[2]]
        keys = traffic.ids_of(receipt)
        traffic.label(version, dict(zip(keys, outcomes, strict=True)))
    measure(version)
    [week] = ask(version, granularity="weekly")["history"]
    table, predicted, labels = map(np.concatenate, zip(*drawn, strict=True))
    expected = oracle.estimate(Answers(table.max(1), predicted, table)).metrics
    for name in ("accuracy", "precision", "recall", "specificity", "f1"):
        value = week["estimatedMetrics"][name]["value"]
        assert value == pytest.approx(expected[name].value, abs=1e-9)
    area = week["estimatedMetrics"]["roc_auc"]["value"]
    assert area == pytest.approx(expected["roc_auc"].value, abs=2e-3)
    assert week["accuracy"] == sklearn.accuracy_score(labels, predicted)
    realized = {name: one["value"] for name, one in week["metrics"].items()}
    f1 = sklearn.f1_score(labels, predicted, average="macro")
    assert realized["f1"] == pytest.approx(f1)
    # The live view has the estimate of its window too.
    live = traffic.live_now(version).performance
    value = live["estimated"]["metrics"]["f1"]["value"]
    assert value == pytest.approx(expected["f1"].value, abs=1e-9)
    assert "accuracy" in live["trust"]["residual"]


def draw_regression(count: int, seed: int, shift: float = 0.0) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1 + shift, 1, count)
    return x, 3 * x, 3 * x + rng.normal(0, 0.2 + np.clip(x, 0, None), count)


def log_regression(
    version: ModelVersion, at: dt.datetime, seed: int, shift: float = 0.0
) -> tuple[Any, Any, Any]:
    x, answers, truths = draw_regression(500, seed, shift)
    receipt = traffic.log(
        version,
        [
            {"features": {"x": value}, "prediction": answer}
            for value, answer in zip(x.tolist(), answers.tolist(), strict=True)
        ],
        at=at,
    )
    keys = traffic.ids_of(receipt)
    traffic.label(version, dict(zip(keys, truths.tolist(), strict=True)))
    return x, answers, truths


def make_regression() -> tuple[ModelVersion, Dle]:
    version = traffic.make_watched(
        features=["x"], feature_types={"x": "float"}, task="regression"
    )
    x, answers, truths = draw_regression(2_000, 0)
    baselines.create(
        version,
        features={"x": x.tolist()},
        target={"type": "regression", "values": truths.tolist()},
        labeled={
            "predictedLabels": answers.tolist(),
            "actualLabels": truths.tolist(),
        },
        label="at launch",
        actor=None,
    )
    return version, Dle.fit({"x": x}, {"x": "numeric"}, answers, truths)


def test_a_regression_s_error_is_estimated_from_the_rows() -> None:
    version, oracle = make_regression()
    easy = log_regression(version, NOON - DAY, 1)
    hard = log_regression(version, NOON, 2, shift=1.2)
    measure(version)
    told = ask(version)
    assert told["estimation"]["method"] == "dle"
    for point, (x, answers, truths) in zip(told["history"], (easy, hard), strict=True):
        assert point["accuracy"] is point["estimatedAccuracy"] is None
        expected = oracle.estimate({"x": x}, answers).metrics
        for name in ("mae", "rmse"):
            value = point["estimatedMetrics"][name]["value"]
            assert value == pytest.approx(expected[name].value)
        realized = {name: one["value"] for name, one in point["metrics"].items()}
        mae = sklearn.mean_absolute_error(truths, answers)
        assert realized["mae"] == pytest.approx(mae)
        assert realized["r2"] == pytest.approx(sklearn.r2_score(truths, answers))
        # Right to a tenth without having seen a label.
        assert point["estimatedMetrics"]["mae"]["value"] == pytest.approx(mae, rel=0.15)


def test_label_changes_alone_read_no_rows_again() -> None:
    version, _ = make_regression()
    log_regression(version, NOON, 1)
    measure(version)
    [before] = PerformanceResult.objects.filter(period="hour")
    receipt = version.receipts.get()
    traffic.label(version, dict.fromkeys(traffic.ids_of(receipt)[:3], 0.0))
    measure(version)
    [after] = PerformanceResult.objects.filter(period="hour")
    assert after.revision > before.revision
    assert after.realized != before.realized
    assert bytes(after.sums or b"") == bytes(before.sums or b"")


def test_quarantined_rows_leave_the_history() -> None:
    version = make_binary()
    give_binary(version)
    log_binary(version, NOON - DAY, 200, seed=1)
    log_binary(version, NOON, 300, seed=2)
    measure(version)
    assert len(ask(version)["history"]) == 2
    receipt = version.receipts.get(first_event=NOON)
    quarantine.quarantine(
        version.model,
        api_key=None,
        received_from=receipt.received_at,
        received_until=receipt.received_at + dt.timedelta(microseconds=1),
        reason="wrong traffic",
        actor=None,
    )
    measure(version)
    [left] = ask(version)["history"]
    assert left["predictions"] == 200


def test_a_new_baseline_takes_over_the_hours_that_are_counted_for_it() -> None:
    version = make_binary()
    give_binary(version)
    log_binary(version, traffic.NOW, 300, seed=1)
    measure(version)
    before = ask(version)["history"][0]["estimatedAccuracy"]
    scores, labels = Binary(9).draw(1_000, easy=0.2)
    baseline = baselines.create(
        version,
        features={"x": scores.tolist()},
        labeled={
            "probabilities": [[1 - s, s] for s in scores.tolist()],
            "predictedLabels": (scores >= 0.7).astype(int).tolist(),
            "actualLabels": labels.tolist(),
        },
        label="later",
        actor=None,
    )
    baselines.activate(baseline, actor=None)
    measure(version)
    [point] = ask(version)["history"]
    assert point["estimatedAccuracy"] != before
    [row] = PerformanceResult.objects.filter(period="hour")
    assert row.baseline_id == baseline.pk


def test_nothing_logged_yet_is_an_empty_history_with_a_reason() -> None:
    version = make_binary()
    told = ask(version)
    assert (told["history"], told["windowEnd"]) == ([], None)
    assert "no baseline" in told["detail"]
    assert told["estimation"]["available"] is False
    give_binary(version)
    assert "ask again" in ask(version)["detail"]


@pytest.mark.parametrize(
    ("query", "loc"),
    [
        ({"granularity": "monthly"}, "granularity"),
        ({"windowDays": "0"}, "windowDays"),
        ({"windowDays": "-3"}, "windowDays"),
        ({"windowDays": "1.5"}, "windowDays"),
        ({"windowDays": "367"}, "windowDays"),
        ({"windowDays": "100", "granularity": "hourly"}, "windowDays"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_wrong_parameters_are_named(query: dict[str, str], loc: str) -> None:
    version = make_binary()
    text = "&".join(f"{name}={value}" for name, value in query.items())
    api = api_of(traffic.owner_of(version))
    answer = api.get(f"{PATH}?modelId={version.model.slug}&{text}")
    assert answer.status_code == 422
    assert set(faults(answer)) == {loc}


def test_charlie_sees_no_history() -> None:
    version = make_binary()
    stranger = api_of(make_charlie())
    assert stranger.get(f"{PATH}?modelId={version.model.pk}").status_code == 404


def test_the_estimator_of_a_baseline_is_fitted_once() -> None:
    version = make_binary(person=make_alice())
    give_binary(version)
    baseline = version.baselines.get()
    assert estimators.of(baseline.pk) is estimators.of(baseline.pk)
