"""Every algorithm on real data against the library that defines it.

The data are the credit data of this project and the sets that come with scikit-learn.
"""

import warnings
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import fairlearn.metrics
import numpy as np
import pandas as pd
import pytest
import sklearn.metrics
from river import drift
from scipy import stats
from scipy.spatial import distance
from sklearn import datasets
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from monitoring.detectors import CATEGORICAL, DETECTORS, NUMERIC
from monitoring.stats import fairness, performance
from monitoring.stats.columns import psi_edges
from monitoring.stats.measure import Measure
from monitoring.stats.shares import FLOOR

CREDIT = Path(__file__).parents[3] / "data" / "credit_default_monthly.parquet"
WITH_CATEGORIES = ["digits", "credit"]
NAMES = ["breast_cancer", "wine", "diabetes", "iris", *WITH_CATEGORIES]
Sides = tuple[Any, Any]
Oracle = Callable[[Any, Any], dict[str, float]]


@cache
def frame(name: str) -> pd.DataFrame:
    """Return a data set in an order that isn't that of its classes."""
    if name == "credit":
        rows = pd.read_parquet(CREDIT)
        return rows[rows["ID"] <= 3_000].sort_values(["as_of", "ID"], ignore_index=True)
    found = getattr(datasets, f"load_{name}")(as_frame=True).frame
    return found.sample(frac=1, random_state=0, ignore_index=True)


def numeric_sides(name: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield each numeric column: one half against the other, and class by class."""
    rows = frame(name)
    target = "late_next_month" if name == "credit" else "target"
    half = len(rows) // 2
    is_high = (rows[target] > rows[target].median()).to_numpy()
    for column in rows.columns:
        if not pd.api.types.is_numeric_dtype(rows[column]) or column in {"ID", target}:
            continue
        values = rows[column].to_numpy(np.float64)
        yield column, values[:half], values[half:]
        if 1 < is_high.sum() < len(rows):
            yield column, values[~is_high], values[is_high]


def categorical_sides(name: str) -> Iterator[tuple[str, Any, Any]]:
    """Yield each column of few values as text."""
    for column, first, second in numeric_sides(name):
        if len(np.unique(np.concatenate((first, second)))) <= 20:
            yield column, *([f"{v:g}" for v in side] for side in (first, second))


def shares_of(first: Any, second: Any) -> Sides:
    """Return the shares over right-closed deciles of the first, or over categories."""
    if isinstance(first[0], str):
        names = sorted({*first, *second})
        return tuple(
            pd.Series(s)
            .value_counts(normalize=True)
            .reindex(names)
            .fillna(0)
            .to_numpy()
            for s in (first, second)
        )  # type: ignore[return-value]
    edges = np.unique(np.quantile(first, np.arange(1, 10) / 10))
    bins = [-np.inf, *edges, np.inf]
    return tuple(
        pd.cut(pd.Series(s), bins, right=True)
        .value_counts(normalize=True, sort=False)
        .to_numpy()
        for s in (first, second)
    )  # type: ignore[return-value]


def filled(first: Any, second: Any) -> Sides:
    p, q = shares_of(first, second)
    return np.where(p == 0, FLOOR, p), np.where(q == 0, FLOOR, q)


def psi(first: Any, second: Any) -> dict[str, float]:
    p, q = filled(first, second)
    # With the same fill on both sides it is the sum of both relative entropies,
    # without scipy's normalisation.
    total = np.sum((p - q) * (np.log(p) - np.log(q)))
    return {"score": float(total)}


def kl_divergence(first: Any, second: Any) -> dict[str, float]:
    p, q = filled(first, second)
    return {"score": float(stats.entropy(q, p))}


def jensen_shannon(first: Any, second: Any) -> dict[str, float]:
    return {"score": float(distance.jensenshannon(*shares_of(first, second), base=2))}


def hellinger(first: Any, second: Any) -> dict[str, float]:
    p, q = shares_of(first, second)
    return {"score": distance.euclidean(np.sqrt(p), np.sqrt(q)) / np.sqrt(2)}


def total_variation(first: Any, second: Any) -> dict[str, float]:
    return {"score": distance.cityblock(*shares_of(first, second)) / 2}


def l_infinity(first: Any, second: Any) -> dict[str, float]:
    return {"score": distance.chebyshev(*shares_of(first, second))}


def ks_test(first: Any, second: Any) -> dict[str, float]:
    test = stats.ks_2samp(first, second)
    return {"score": test.statistic, "p_value": test.pvalue}


def wasserstein(first: Any, second: Any) -> dict[str, float]:
    return {"score": stats.wasserstein_distance(first, second)}


def wasserstein_normed(first: Any, second: Any) -> dict[str, float]:
    spread = max(float(np.std(first)), 0.001)
    return {"score": stats.wasserstein_distance(first, second) / spread}


def energy(first: Any, second: Any) -> dict[str, float]:
    return {"score": stats.energy_distance(first, second)}


def cramer_von_mises(first: Any, second: Any) -> dict[str, float]:
    pooled = np.concatenate((first, second))
    if len(np.unique(pooled)) == 1:
        return {"score": 0.0, "p_value": 1.0}
    test = stats.cramervonmises_2samp(first, second, method="asymptotic")
    scale = 1 / len(first) + 1 / len(second)
    found = {"score": test.statistic * scale, "statistic": test.statistic}
    if 1 - len(np.unique(pooled)) / len(pooled) <= 0.05:
        found["p_value"] = test.pvalue
    return found


def anderson_darling(first: Any, second: Any) -> dict[str, float]:
    if len(np.unique(np.concatenate((first, second)))) == 1:
        return {"score": 0.0}
    test = stats.anderson_ksamp([first, second], variant="midrank")
    return {"statistic": test.statistic, "p_value": test.pvalue}


def mann_whitney(first: Any, second: Any) -> dict[str, float]:
    test = stats.mannwhitneyu(first, second, method="asymptotic")
    effect = abs(2 * test.statistic / len(first) / len(second) - 1)
    return {"score": effect, "statistic": test.statistic, "p_value": test.pvalue}


def welch_t(first: Any, second: Any) -> dict[str, float]:
    pooled = np.sqrt((np.var(first) + np.var(second)) / 2)
    score = abs(np.mean(second) - np.mean(first)) / max(float(pooled), 0.001)
    if not pooled:
        return {"score": score}
    test = stats.ttest_ind(second, first, equal_var=False)
    return {"score": score, "statistic": test.statistic, "p_value": test.pvalue}


def chi_square(first: Any, second: Any) -> dict[str, float]:
    names = sorted({*first, *second})
    table = np.array(
        [[list(side).count(name) for name in names] for side in (first, second)]
    )
    expected = stats.contingency.expected_freq(table).min(axis=0)
    rare = expected < 5
    if len(names) > 1 and rare.any():
        lumped = table[:, rare].sum(axis=1, keepdims=True)
        table = np.hstack((table[:, ~rare], lumped))
    if table.shape[1] == 1:
        return {"score": 0.0, "p_value": 1.0}
    test = stats.chi2_contingency(table)
    v = stats.contingency.association(table, method="cramer")
    return {"score": v, "statistic": test.statistic, "p_value": test.pvalue}


ORACLES: dict[str, Oracle] = {
    one.__name__: one
    for one in (
        psi,
        kl_divergence,
        jensen_shannon,
        hellinger,
        total_variation,
        l_infinity,
        ks_test,
        wasserstein,
        wasserstein_normed,
        energy,
        cramer_von_mises,
        anderson_darling,
        mann_whitney,
        welch_t,
        chi_square,
    )
}


def assert_equal(measure: Measure, truth: dict[str, float], where: str) -> None:
    """What is 0 but for rounding, such as a p-value of 1e-17, is equal to 0."""
    for field, expected in truth.items():
        found = getattr(measure, field)
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-13), (where, field)


def test_every_univariate_algorithm_has_an_oracle() -> None:
    univariate = {one.name for one in DETECTORS.values() if one.family == "univariate"}
    assert set(ORACLES) == univariate


@pytest.mark.parametrize(
    ("name", "data"),
    [
        (name, data)
        for name in ORACLES
        for data in (WITH_CATEGORIES if name == "chi_square" else NAMES)
    ],
)
def test_univariate_algorithms_equal_their_oracle(name: str, data: str) -> None:
    detector = DETECTORS[name]
    checked = 0
    with warnings.catch_warnings():
        # scipy warns of capped p-values and of the constant pixels of the digits
        warnings.simplefilter("ignore")
        for kinds, sides in (
            (NUMERIC, numeric_sides),
            (CATEGORICAL, categorical_sides),
        ):
            if not kinds & detector.kinds:
                continue
            for column, first, second in sides(data):
                measure = detector.function(first, second)
                assert_equal(measure, ORACLES[name](first, second), f"{data} {column}")
                checked += 1
    assert checked > 0


def test_stored_edges_are_numpy_s_deciles_of_real_columns() -> None:
    for data in NAMES:
        for _, values, _ in numeric_sides(data):
            edges = np.unique(np.quantile(values, np.arange(1, 10) / 10))
            np.testing.assert_array_equal(psi_edges(values), edges)


@cache
def predictions(name: str) -> tuple[Any, Any]:
    """Return labels and probabilities by a model of the first third of the rows."""
    rows = frame(name)
    target = "late_next_month" if name == "credit" else "target"
    inputs = rows.drop(
        columns=[
            target,
            *(c for c in ("ID", "as_of", "label_available_on") if c in rows),
        ]
    )
    third = len(rows) // 3
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
    model.fit(inputs[:third], rows[target][:third])
    return rows[target][third:].to_numpy(), model.predict_proba(inputs[third:])


STREAMS: dict[str, Callable[..., Any]] = {
    "adwin": drift.ADWIN,
    "kswin": drift.KSWIN,
    "page_hinkley": drift.PageHinkley,
    "ddm": drift.binary.DDM,
    "eddm": drift.binary.EDDM,
    "hddm_a": drift.binary.HDDMA,
    "hddm_w": drift.binary.HDDMW,
}


def test_every_stream_has_an_oracle() -> None:
    streaming = {one.name for one in DETECTORS.values() if one.family == "streaming"}
    assert set(STREAMS) == streaming


@pytest.mark.parametrize("name", STREAMS)
def test_streams_find_the_indices_that_river_finds_in_real_errors(name: str) -> None:
    labels, chances = predictions("credit")
    errors = (chances.argmax(axis=1) != labels).astype(float)
    # A test of river takes a third of a millisecond.
    errors = errors[6_000:9_000] if name == "kswin" else errors
    theirs = {
        "kswin": {"seed": 0, "alpha": 0.02},
        "page_hinkley": {"threshold": 20.0},
    }.get(name, {})
    mine = {"min_errors": 0} if name == "ddm" else theirs
    found = [c.index for c in DETECTORS[name].function(**mine).feed(errors)]
    oracle = STREAMS[name](**theirs)
    expected = []
    for index, value in enumerate(errors.tolist()):
        oracle.update(value)
        if oracle.drift_detected:
            expected.append(index)
    assert found == expected
    assert found


@pytest.mark.parametrize("name", ["adwin", "page_hinkley"])
@pytest.mark.parametrize("column", ["PAY_AMT", "BILL_AMT", "PAY_STATUS"])
def test_streams_find_the_indices_that_river_finds_in_real_values(
    name: str, column: str
) -> None:
    values = frame("credit")[column].to_numpy(np.float64)
    found = [c.index for c in DETECTORS[name].function().feed(values)]
    oracle = STREAMS[name]()
    expected = []
    for index, value in enumerate(values.tolist()):
        oracle.update(value)
        if oracle.drift_detected:
            expected.append(index)
    assert found == expected
    assert found


@pytest.mark.parametrize("attribute", ["SEX", "EDUCATION", "MARRIAGE"])
def test_fairness_of_real_flags_equals_fairlearn(attribute: str) -> None:
    labels, chances = predictions("credit")
    rows = frame("credit")[len(frame("credit")) // 3 :]
    # Undocumented codes are too few to be measured.
    large = rows[attribute].map(rows[attribute].value_counts()) >= 30
    groups = rows[attribute].astype(str)[large].to_numpy()
    flagged = (chances[large.to_numpy(), 1] >= 0.3).astype(int)
    truth = labels[large.to_numpy()]
    found = fairness.from_rows(attribute, groups, flagged, truth)
    for figure in (
        "demographic_parity_difference",
        "demographic_parity_ratio",
        "equalized_odds_difference",
        "equalized_odds_ratio",
        "equal_opportunity_difference",
    ):
        oracle = getattr(fairlearn.metrics, figure)
        expected = oracle(truth, flagged, sensitive_features=groups)
        assert getattr(found, figure) == pytest.approx(expected, rel=1e-9), figure
    by_group = fairlearn.metrics.MetricFrame(
        metrics={
            "selection_rate": fairlearn.metrics.selection_rate,
            "true_positive_rate": fairlearn.metrics.true_positive_rate,
            "false_positive_rate": fairlearn.metrics.false_positive_rate,
            "accuracy": sklearn.metrics.accuracy_score,
            "precision": sklearn.metrics.precision_score,
        },
        y_true=truth,
        y_pred=flagged,
        sensitive_features=groups,
    ).by_group
    for group in found.groups:
        for figure, expected in by_group.loc[group.group].items():
            assert getattr(group, str(figure)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("data", ["breast_cancer", "credit"])
def test_binary_performance_on_real_data_equals_scikit_learn(data: str) -> None:
    labels, chances = predictions(data)
    scores = chances[:, 1]
    guesses = (scores >= 0.5).astype(int)
    found = performance.binary(scores, guesses, labels)
    oracle = sklearn.metrics
    expected = {
        "accuracy": oracle.accuracy_score(labels, guesses),
        "balanced_accuracy": oracle.balanced_accuracy_score(labels, guesses),
        "precision": oracle.precision_score(labels, guesses),
        "recall": oracle.recall_score(labels, guesses),
        "specificity": oracle.recall_score(labels, guesses, pos_label=0),
        "f1": oracle.f1_score(labels, guesses),
        "roc_auc": oracle.roc_auc_score(labels, scores),
        "log_loss": oracle.log_loss(labels, scores),
        "brier": oracle.brier_score_loss(labels, scores),
    }
    assert {name: one.value for name, one in found.items()} == pytest.approx(
        expected, rel=1e-9
    )


@pytest.mark.parametrize("data", ["wine", "iris", "digits"])
def test_multiclass_performance_on_real_data_equals_scikit_learn(data: str) -> None:
    labels, chances = predictions(data)
    guesses = chances.argmax(axis=1)
    found = performance.multiclass(guesses, labels, chances, chances.shape[1])
    oracle = sklearn.metrics
    macro = {"average": "macro", "zero_division": 0}
    expected = {
        "accuracy": oracle.accuracy_score(labels, guesses),
        "balanced_accuracy": oracle.balanced_accuracy_score(labels, guesses),
        "precision": oracle.precision_score(labels, guesses, **macro),
        "recall": oracle.recall_score(labels, guesses, **macro),
        "f1": oracle.f1_score(labels, guesses, **macro),
        "roc_auc": oracle.roc_auc_score(labels, chances, multi_class="ovr"),
        "log_loss": oracle.log_loss(labels, chances),
    }
    for name, value in expected.items():
        assert found[name].value == pytest.approx(value, rel=1e-9), name


def test_regression_on_real_data_equals_scikit_learn() -> None:
    rows = frame("diabetes")
    inputs, labels = rows.drop(columns="target"), rows["target"]
    model = LinearRegression().fit(inputs[:200], labels[:200])
    guesses, truth = model.predict(inputs[200:]), labels[200:].to_numpy()
    found = performance.regression(guesses, truth)
    oracle = sklearn.metrics
    expected = {
        "mae": oracle.mean_absolute_error(truth, guesses),
        "rmse": oracle.root_mean_squared_error(truth, guesses),
        "mape": oracle.mean_absolute_percentage_error(truth, guesses),
        "r2": oracle.r2_score(truth, guesses),
        "bias": float((guesses - truth).mean()),
    }
    assert {name: one.value for name, one in found.items()} == pytest.approx(
        expected, rel=1e-9
    )
