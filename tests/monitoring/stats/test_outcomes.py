import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from governance.schema import Task
from monitoring.stats import answers, fairness, performance, realized
from monitoring.stats.columns import Codes
from monitoring.stats.outcomes import OutcomeLayout
from monitoring.stats.performance import Metrics
from monitoring.stats.tally import OTHER, Tally

GROUPS = {"SEX": ("1", "2")}
SEEDS = st.integers(0, 2**32 - 1)


def binary_layout(scores: Any = None, **more: Any) -> OutcomeLayout:
    return OutcomeLayout.fit(Task.BINARY, scores=scores, groups=GROUPS, **more)


def binary_rows(seed: int, n: int = 300) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 40, n) / 40
    labels = (rng.random(n) < scores).astype(float)
    labels[rng.random(n) < 0.3] = np.nan  # not in yet
    scores[rng.random(n) < 0.1] = np.nan
    sex = rng.choice(np.array(["1", "2", "3", None], object), n)
    return {"values": scores, "labels": labels, "groups": {"SEX": sex}}


def multiclass_rows(seed: int, n: int = 300) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    chances = rng.dirichlet(np.ones(3), n)
    texts = rng.choice(np.array(["a", "b", "c", "d", None], object), n)
    labels = rng.choice(np.array(["a", "b", "c", "d", None], object), n)
    sex = rng.choice(np.array(["1", "2"], object), n)
    return {
        "texts": texts,
        "probabilities": chances,
        "labels": labels,
        "groups": {"SEX": sex},
    }


def regression_rows(seed: int, n: int = 300) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    labels = rng.normal(1000, 20, n)
    values = labels + rng.normal(3, 10, n)
    labels[rng.random(n) < 0.3] = np.nan
    values[rng.random(n) < 0.1] = np.nan
    sex = rng.choice(np.array(["1", "2"], object), n)
    return {"values": values, "labels": labels, "groups": {"SEX": sex}}


LAYOUTS = {
    "binary": (binary_layout(np.arange(41) / 40), binary_rows),
    "multiclass": (
        OutcomeLayout.fit(
            Task.MULTICLASS, classes=["a", "b", "c"], favourable="b", groups=GROUPS
        ),
        multiclass_rows,
    ),
    "regression": (
        OutcomeLayout.fit(
            Task.REGRESSION, scores=[990.0, 1000.0], threshold=1000, groups=GROUPS
        ),
        regression_rows,
    ),
}


def cut(rows: dict[str, Any], which: Any) -> dict[str, Any]:
    """Some of the rows."""
    return {
        name: {key: column[which] for key, column in value.items()}
        if isinstance(value, dict)
        else value[which]
        for name, value in rows.items()
    }


def counted(
    layout: OutcomeLayout, rows: dict[str, Any], *, labels: bool = True
) -> Tally:
    rows = dict(rows)
    truths, groups = rows.pop("labels"), rows.pop("groups")
    return layout.count(layout.answers(**rows), truths if labels else None, groups)


def labels_of(layout: OutcomeLayout, rows: dict[str, Any], labels: Any) -> Tally:
    rows = {name: value for name, value in rows.items() if name != "labels"}
    groups = rows.pop("groups")
    return layout.count_labels(layout.answers(**rows), labels, groups)


def same(one: Tally, other: Tally) -> None:
    np.testing.assert_array_equal(one.ints, other.ints)
    np.testing.assert_allclose(one.sums, other.sums, rtol=1e-9, atol=1e-6)


def equal(found: Metrics, expected: Metrics) -> None:
    assert set(found) <= set(expected)
    for name, metric in found.items():
        raw = expected[name]
        if "needs those of all classes" in metric.reason:
            assert metric.value is None
            continue
        assert metric.n == raw.n, name
        for one, other in (
            (metric.value, raw.value),
            (metric.low, raw.low),
            (metric.high, raw.high),
        ):
            if other is None:
                assert one is None, name
            else:
                assert one == pytest.approx(other, rel=1e-9, abs=1e-9), name


@settings(max_examples=25)
@given(SEEDS, st.sampled_from(sorted(LAYOUTS)), st.integers(1, 5))
def test_merged_chunks_equal_the_whole(seed: int, task: str, chunks: int) -> None:
    layout, make = LAYOUTS[task]
    rows = make(seed)
    whole = counted(layout, rows)
    of_chunk = np.random.default_rng(seed).integers(0, chunks, 300)
    blobs = [
        counted(layout, cut(rows, of_chunk == chunk)).to_bytes()
        for chunk in range(chunks)
    ]
    same(layout.merge(blobs), whole)


@settings(max_examples=25)
@given(SEEDS, st.sampled_from(sorted(LAYOUTS)))
def test_a_label_that_comes_later_counts_as_if_it_had_come_at_once(
    seed: int, task: str
) -> None:
    layout, make = LAYOUTS[task]
    rows = make(seed)
    later = np.random.default_rng(seed).random(300) < 0.5
    tally = counted(layout, rows, labels=False)
    for batch in (later, ~later):
        part = cut(rows, batch)
        tally += labels_of(layout, part, part["labels"])
    same(tally, counted(layout, rows))


@settings(max_examples=25)
@given(SEEDS, st.sampled_from(sorted(LAYOUTS)))
def test_a_correction_leaves_no_trace_of_the_wrong_label(seed: int, task: str) -> None:
    layout, make = LAYOUTS[task]
    rows = make(seed)
    right = rows["labels"]
    wrong = np.random.default_rng(seed).permutation(right)
    tally = counted(layout, rows | {"labels": wrong})
    tally -= labels_of(layout, rows, wrong)
    tally += labels_of(layout, rows, right)
    same(tally, counted(layout, rows))


@given(SEEDS)
def test_binary_metrics_equal_those_of_the_rows(seed: int) -> None:
    layout, _ = LAYOUTS["binary"]
    rows = binary_rows(seed)
    found = realized.realized(layout, counted(layout, rows))
    predicted = np.where(np.isnan(rows["values"]), np.nan, rows["values"] >= 0.5)
    equal(found.metrics, performance.binary(rows["values"], predicted, rows["labels"]))
    assert found.rows == 300
    assert found.labelled == np.count_nonzero(~np.isnan(rows["labels"]))
    assert found.labelled_share == found.labelled / 300


@given(SEEDS)
def test_multiclass_metrics_equal_those_of_the_rows(seed: int) -> None:
    layout, _ = LAYOUTS["multiclass"]
    rows = multiclass_rows(seed)
    found = realized.realized(layout, counted(layout, rows))
    names = ("a", "b", "c")
    predicted = answers.positions(rows["texts"], names)
    predicted = np.where(
        predicted < 0, rows["probabilities"].argmax(1), predicted
    )  # one that says nothing means its most probable class
    labels = answers.positions(rows["labels"], names)
    chances = np.column_stack([rows["probabilities"], np.zeros(300)])
    raw = performance.multiclass(predicted, labels, chances, 4)
    known = labels < 3  # a label outside the classes has no probability
    raw |= performance.multiclass(
        np.minimum(predicted, 2)[known], labels[known], rows["probabilities"][known], 3
    ) | {name: raw[name] for name in performance.MACRO}
    equal(found.metrics, raw)
    assert np.array(found.confusion).sum() == np.count_nonzero(labels >= 0)


@given(SEEDS)
def test_regression_metrics_equal_those_of_the_rows(seed: int) -> None:
    layout, _ = LAYOUTS["regression"]
    rows = regression_rows(seed)
    found = realized.realized(layout, counted(layout, rows))
    equal(found.metrics, performance.regression(rows["values"], rows["labels"]))
    assert found.confusion is None


@given(SEEDS)
def test_groups_equal_those_of_the_rows(seed: int) -> None:
    layout, _ = LAYOUTS["binary"]
    rows = binary_rows(seed)
    found = fairness.report(realized.groups(layout, counted(layout, rows)))
    sex = rows["groups"]["SEX"]
    sex[sex == "3"] = OTHER
    predicted = np.where(np.isnan(rows["values"]), np.nan, rows["values"] >= 0.5)
    raw = fairness.from_rows("SEX", sex, predicted, rows["labels"])
    mine = found.attributes[0].to_json()
    theirs = raw.to_json()
    mine["groups"].sort(key=lambda group: group["group"])
    theirs["groups"].sort(key=lambda group: group["group"])
    assert mine == theirs


@given(SEEDS)
def test_the_favourable_outcome_turns_the_groups_around(seed: int) -> None:
    rows = binary_rows(seed)
    flagged = binary_layout()
    granted = binary_layout(favourable=0)
    (by_flag,) = realized.groups(flagged, counted(flagged, rows)).values()
    (by_grant,) = realized.groups(granted, counted(granted, rows)).values()
    for one, other in zip(by_flag, by_grant, strict=True):
        assert one.n == other.n == one.favourable + other.favourable
        assert one.true_favourable == other.true_unfavourable
        assert one.false_favourable == other.false_unfavourable


def test_a_regression_is_favourable_from_its_threshold_on_or_below_it() -> None:
    rows = {
        "values": np.array([999.0, 1000.0, 1500.0, np.nan]),
        "labels": np.array([1001.0, 1001.0, 1.0, 1.0]),
        "groups": {"SEX": np.array(["1", "1", "1", "1"], object)},
    }
    above, below = (
        OutcomeLayout.fit(
            Task.REGRESSION, threshold=1000, favourable=favourable, groups=GROUPS
        )
        for favourable in (None, 0)
    )
    (group,) = realized.groups(above, counted(above, rows))["SEX"]
    assert (group.n, group.favourable) == (3, 2)
    assert (group.true_favourable, group.false_favourable) == (1, 1)
    (group,) = realized.groups(below, counted(below, rows))["SEX"]
    assert (group.n, group.favourable) == (3, 1)


def test_without_a_favourable_outcome_there_are_no_groups() -> None:
    for layout in (
        OutcomeLayout.fit(Task.MULTICLASS, classes=["a", "b"], groups=GROUPS),
        OutcomeLayout.fit(Task.REGRESSION, groups=GROUPS),
    ):
        groups = {"SEX": np.array(["1"], object)}
        rows = layout.answers(np.array([1.0]))
        tally = layout.count(rows, np.array([1.0]), groups)
        assert realized.groups(layout, tally) == {}


@given(SEEDS)
def test_scores_off_the_grid_widen_the_interval_of_the_area(seed: int) -> None:
    rng = np.random.default_rng(seed)
    layout = binary_layout(rng.random(50))
    scores = rng.random(400)
    labels = (rng.random(400) < scores).astype(float)
    tally = layout.count(layout.answers(scores), labels)
    metric = realized.realized(layout, tally).metrics["roc_auc"]
    exact = performance.binary(scores, scores >= 0.5, labels)["roc_auc"]
    assert metric.value is not None
    assert exact.value is not None
    assert abs(metric.value - exact.value) < 1 / 256
    assert metric.low is not None
    assert metric.high is not None
    assert exact.low is not None
    assert exact.high is not None
    data = metric.to_json()
    assert data["approximate"] is True
    assert data["certain_low"] <= exact.value <= data["certain_high"]
    assert data["certain_high"] - data["certain_low"] < 2 / 256
    assert metric.low <= exact.low + 1e-3
    assert metric.high >= exact.high - 1e-3


@given(SEEDS)
def test_the_area_of_scores_on_the_grid_is_scikit_learn_s(seed: int) -> None:
    rng = np.random.default_rng(seed)
    known = rng.random(200)
    scores = rng.choice(known, 400)
    labels = (rng.random(400) < scores).astype(float)
    layout = binary_layout(known)
    tally = layout.count(layout.answers(scores), labels)
    metric = realized.realized(layout, tally).metrics["roc_auc"]
    assert metric.value == pytest.approx(roc_auc_score(labels, scores), rel=1e-12)
    assert "approximate" not in metric.to_json()


def test_an_area_that_needs_every_class_s_probability_says_so() -> None:
    layout, make = LAYOUTS["multiclass"]
    metrics = realized.realized(layout, counted(layout, make(1))).metrics
    assert metrics["roc_auc"].value is None
    assert "all classes" in metrics["roc_auc"].to_json()["reason"]


def test_many_scores_are_thinned_and_the_area_stays_within_a_thousandth() -> None:
    rng = np.random.default_rng(3)
    layout = binary_layout(rng.beta(1, 6, 20_000))
    assert len(layout.points) <= 2_049 + 9 + 257
    scores = rng.beta(1, 6, 20_000)
    labels = (rng.random(20_000) < scores).astype(float)
    found = realized.realized(layout, layout.count(layout.answers(scores), labels))
    exact = performance.binary(scores, scores >= 0.5, labels)
    assert found.metrics["roc_auc"].value == pytest.approx(
        exact["roc_auc"].value, abs=1e-3
    )
    assert found.metrics["brier"].value == pytest.approx(exact["brier"].value)


def test_scores_that_are_no_probabilities_get_a_grid_of_their_own() -> None:
    layout = binary_layout(np.array([-5.0, 0.0, 5.0]), threshold=0.0)
    assert layout.points[0] == -5
    tally = layout.count(layout.answers(np.array([-1.0, 4.0])), [0, 1])
    found = realized.realized(layout, tally)
    assert found.metrics["accuracy"].value == 1
    assert found.metrics["brier"].value is None


def test_one_class_only_has_no_area_in_the_live_view_either() -> None:
    layout = binary_layout()
    tally = layout.count(layout.answers(np.array([0.2, 0.8])), [1, 1])
    metric = realized.realized(layout, tally).metrics["roc_auc"]
    assert metric.value is None
    assert "one class" in metric.reason


@pytest.mark.parametrize("task", sorted(LAYOUTS))
def test_no_rows_and_no_labels_are_a_result_too(task: str) -> None:
    layout, make = LAYOUTS[task]
    for tally in (layout.empty(), counted(layout, make(1), labels=False)):
        found = realized.realized(layout, tally)
        assert found.labelled == found.labelled_share == 0
        assert all(metric.value is None for metric in found.metrics.values())
        assert json.dumps(found.to_json(), allow_nan=False)
        report = fairness.report(realized.groups(layout, tally))
        assert json.dumps(report.to_json(), allow_nan=False)


def test_a_label_that_is_no_class_is_counted_apart() -> None:
    layout = binary_layout()
    tally = layout.count(
        layout.answers(np.array([0.2, 0.8, 0.4])), ["0", "maybe", None]
    )
    assert layout.view(tally, "labels").tolist() == [1, 1]
    assert realized.realized(layout, tally).labelled == 1
    regression = OutcomeLayout.fit(Task.REGRESSION)
    tally = regression.count(
        regression.answers(np.array([1.0, 2.0, 3.0])), ["1.5", "many", None]
    )
    assert regression.view(tally, "labels").tolist() == [1, 1]
    assert realized.realized(regression, tally).metrics["mae"].value == 0.5


def test_classes_beyond_the_limit_keep_their_margins() -> None:
    names = [f"c{at}" for at in range(60)]
    layout = OutcomeLayout.fit(Task.MULTICLASS, classes=names)
    rng = np.random.default_rng(4)
    predicted, labels = rng.integers(0, 60, (2, 500))
    labels[:250] = predicted[:250]
    tally = layout.count(
        layout.answers(texts=[names[at] for at in predicted]),
        [names[at] for at in labels],
    )
    assert layout.ints_length < 61 * 61
    found = realized.realized(layout, tally)
    raw = performance.multiclass(predicted, labels, None, 60)
    equal({name: found.metrics[name] for name in performance.MACRO}, raw)
    assert found.confusion is None


@pytest.mark.parametrize("task", sorted(LAYOUTS))
def test_a_layout_survives_storage(task: str) -> None:
    layout, make = LAYOUTS[task]
    assert layout.baseline == layout.empty()
    kept = layout.with_baseline(counted(layout, make(7)))
    again = OutcomeLayout.from_bytes(memoryview(kept.to_bytes()))
    assert again.to_bytes() == kept.to_bytes()
    assert again.digest == kept.digest != layout.digest
    assert again.class_names == layout.class_names
    same(again.baseline, counted(layout, make(7)))
    same(counted(again, make(8)), counted(layout, make(8)))


@pytest.mark.parametrize("data", [b"", b"\x09" * 40, binary_layout().to_bytes()[:-1]])
def test_bytes_that_are_no_layout_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="layout"):
        OutcomeLayout.from_bytes(data)


def test_a_binary_model_has_two_classes_and_one_of_them_is_positive() -> None:
    with pytest.raises(ValueError, match="not 3"):
        OutcomeLayout.fit(Task.BINARY, classes=["a", "b", "c"])
    with pytest.raises(ValueError, match="'c' is none of a, b"):
        OutcomeLayout.fit(Task.BINARY, classes=["a", "b"], positive="c")
    assert OutcomeLayout.fit(Task.BINARY, classes=["a", "b"]).class_names == ("a", "b")
    assert OutcomeLayout.fit(Task.BINARY, classes=[1, 0]).class_names == ("0", "1")
    turned = OutcomeLayout.fit(Task.BINARY, classes=["a", "b"], positive="a")
    assert turned.class_names == ("b", "a")


def read(layout: OutcomeLayout, **given: Any) -> tuple[list[float | None], list[int]]:
    found = layout.answers(**given)
    scores = [None if math.isnan(score) else score for score in found.scores.tolist()]
    return scores, found.predicted.tolist()


def test_a_binary_prediction_is_a_score_or_names_a_class() -> None:
    layout = OutcomeLayout.fit(Task.BINARY, classes=["bad", "good"], threshold=0.3)
    chances = np.array([[0.8, 0.2], [0.6, 0.4], [np.nan, np.nan]])
    assert read(layout, values=np.array([0.29, 0.3, np.nan])) == (
        [0.29, 0.3, None],
        [0, 1, -1],
    )
    # With probabilities, the prediction is the class and beats the threshold.
    assert read(layout, texts=["good", "bad", "good"], probabilities=chances) == (
        [0.2, 0.4, None],
        [1, 0, 1],
    )
    assert read(layout, probabilities=chances) == ([0.2, 0.4, None], [0, 1, -1])
    # A single probability is that of the positive class.
    assert read(layout, probabilities=np.array([[0.9], [0.1]])) == ([0.9, 0.1], [1, 0])
    turned = OutcomeLayout.fit(Task.BINARY, classes=["bad", "good"], positive="bad")
    assert read(turned, texts=["bad"], probabilities=chances[:1]) == ([0.8], [1])


def test_numbers_that_are_classes_name_them_in_any_spelling() -> None:
    layout = binary_layout()
    expected = ([1.0, 0.0, 0.7], [1, 0, 1])
    assert read(layout, values=np.array([1.0, 0.0, 0.7])) == expected
    texts = Codes(np.array([0, 1, -1]), ["1.0", "false"])
    assert read(layout, values=np.array([np.nan, np.nan, 0.7]), texts=texts) == (
        [None, None, 0.7],
        [1, 0, 1],
    )


def test_a_multiclass_prediction_names_a_class_or_means_the_most_probable() -> None:
    layout = OutcomeLayout.fit(Task.MULTICLASS, classes=["a", "b", "c"])
    chances = np.array([[0.2, 0.5, 0.3], [0.2, 0.5, 0.3], [np.nan] * 3])
    assert read(layout, texts=["c", None, "x"], probabilities=chances) == (
        [0.5, 0.5, None],
        [2, 1, 3],
    )
    # Without the classes' order only the confidence is known.
    short = np.array([[0.9, 0.1]])
    assert read(layout, texts=["c"], probabilities=short) == ([0.9], [2])
    assert layout.answers(texts=["c"], probabilities=short).probabilities is None
    numbered = OutcomeLayout.fit(Task.MULTICLASS, classes=[0, 1, 2])
    assert read(numbered, values=np.array([2.0, 0.5, np.nan])) == (
        [None, None, None],
        [2, -1, -1],
    )


def test_a_regression_reads_its_predictions_from_text_too() -> None:
    layout = OutcomeLayout.fit(Task.REGRESSION)
    assert read(layout, texts=["1.5", "n/a", None]) == ([1.5, None, None], [-1] * 3)
    coded = Codes(np.array([0, -1]), ["7"])
    assert read(layout, texts=coded) == ([7.0, None], [-1, -1])
    assert read(layout, values=np.array([2, 3])) == ([2.0, 3.0], [-1, -1])
    assert read(layout) == ([], [])
