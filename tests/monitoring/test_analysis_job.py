"""The analysis job: what a result says of a window."""

import datetime as dt
import json
import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from governance.models import ModelVersion
from monitoring.actions import alerts, baselines
from monitoring.actions.periods import Window
from monitoring.alerting.settings import AlertSettings, Override
from monitoring.detectors import DETECTORS
from monitoring.models import AnalysisRun, DriftResult
from tests.monitoring import analysed, traffic
from tests.monitoring.test_refresh import answers, give_baseline, make_version, rows
from tests.monitoring.traffic import HOUR, NOW

pytestmark = pytest.mark.django_db


@pytest.fixture
def version() -> ModelVersion:
    version = make_version()
    give_baseline(version)
    return version


@pytest.fixture
def drifted(version: ModelVersion) -> DriftResult:
    receipt = traffic.log(version, rows(600, shift=0.8))
    traffic.label(version, answers(receipt, wrong=0.1))
    return analysed.result(version)


def column(result: DriftResult, name: str) -> dict[str, Any]:
    (found,) = [one for one in result.drift["columns"] if one["name"] == name]
    return dict(found)


def set_alerts(version: ModelVersion, **fields: Any) -> None:
    alerts.change(version.model, settings=AlertSettings(**fields), actor=None)


def test_every_algorithm_of_the_registry_says_something(drifted: DriftResult) -> None:
    assert set(drifted.algorithms) == {
        name
        for name, one in DETECTORS.items()
        if one.family != "performance" or "binary" in one.kinds
    }
    for name, told in drifted.algorithms.items():
        assert told["status"] != "failed", (name, told)
        assert told["score"] is not None or told["reason"], name


def test_the_status_is_the_worst_of_the_voting_algorithms(drifted: DriftResult) -> None:
    assert drifted.status == "alert"
    voting = {name for name, told in drifted.algorithms.items() if told["votes"]}
    assert voting == {"psi", "ks_test", "chi_square"}
    assert drifted.algorithms["psi"]["drift"] is True
    assert drifted.algorithms["psi"]["column"] == "x"
    assert drifted.algorithms["chi_square"]["status"] == "no_data"
    assert "kind" in drifted.algorithms["chi_square"]["reason"]


def test_numbers_are_those_of_the_raw_rows(version: ModelVersion) -> None:
    """scipy's exact p-values, on what was logged."""
    sent = rows(600, shift=0.3)
    traffic.log(version, sent)
    result = analysed.result(version)
    baseline = np.random.default_rng(0)
    labels = baseline.integers(0, 2, 500)
    assert len(labels) == 500
    window = np.array([row["features"]["x"] for row in sent])
    kept = np.array(json_features(version))
    test = stats.ks_2samp(kept, window)
    told = column(result, "x")["algorithms"]["ks_test"]
    assert told["score"] == pytest.approx(test.statistic, rel=1e-9)
    assert told["p_value"] == pytest.approx(test.pvalue, rel=1e-9)
    assert told["p_value_method"] == "exact"
    whitney = stats.mannwhitneyu(kept, window, method="asymptotic")
    told = column(result, "x")["algorithms"]["mann_whitney"]
    assert told["p_value"] == pytest.approx(whitney.pvalue, rel=1e-9)


def json_features(version: ModelVersion) -> list[float]:
    (baseline,) = version.baselines.all()
    kept: list[float] = baselines.content(baseline)["featureData"]["x"]
    return kept


def test_estimated_and_realized_performance_stand_side_by_side(
    version: ModelVersion,
) -> None:
    receipt = traffic.log(version, rows(600))
    traffic.label(version, answers(receipt, wrong=0.4))
    told = analysed.result(version).algorithms
    # Inputs and scores are quiet, so the estimate can't know.
    assert told["cbpe"]["score"] == pytest.approx(0, abs=0.05)
    assert told["cbpe"]["status"] == "ok"
    assert told["realized"]["score"] == pytest.approx(0.3, abs=0.06)
    assert told["realized"]["status"] == "alert"
    assert told["realized"]["interval"][0] > 0.1
    assert told["cbpe"]["detail"]["metrics"]["f1"]["value"] > 0.8


def test_a_result_names_all_it_was_computed_from(
    version: ModelVersion, drifted: DriftResult
) -> None:
    told = drifted.provenance
    (baseline,) = version.baselines.all()
    assert told["baseline"]["digest"] == baseline.digest
    assert told["baseline"]["grid"] == baseline.grid.digest
    assert told["window"]["rows"] == told["window"]["analysed"] == 600
    assert len(told["rows_digest"]) == len(told["labels_digest"]) == 64
    assert set(told["settings"]["parameters"]) == set(DETECTORS)
    assert told["settings"]["thresholds"]["psi"] == [0.1, 0.25]
    assert told["versions"].keys() >= {"driftguard", "python", "numpy", "scipy"}
    assert column(drifted, "x")["bins"]["edges"]
    assert (drifted.predictions, drifted.labels) == (600, 600)


def test_the_same_window_gives_the_same_result_again(
    version: ModelVersion, drifted: DriftResult
) -> None:
    again = analysed.result(version)
    assert again.pk != drifted.pk
    assert again.provenance == drifted.provenance
    assert again.drift == drifted.drift
    assert again.root_cause == drifted.root_cause
    for name, told in drifted.algorithms.items():
        if told["family"] != "streaming":
            assert again.algorithms[name] == told, name
        else:
            assert again.algorithms[name]["score"] == told["score"], name
            assert again.algorithms[name]["status"] == told["status"], name


def test_the_cause_of_the_drift_is_told(drifted: DriftResult) -> None:
    top = drifted.root_cause["features"][0]
    assert top["feature"] == "x"
    assert top["contribution"] > 0.8
    assert top["bins"][0]["change"] != 0


def test_a_configuration_decides_thresholds_parameters_and_votes(
    version: ModelVersion,
) -> None:
    set_alerts(
        version,
        algorithms=("ks_test", "mmd"),
        overrides={
            "ks_test": Override(0.6, 0.9),
            "mmd": Override(params={"permutations": 99, "max_rows": 300}),
            "cbpe": Override(params={"metric": "roc_auc"}),
        },
    )
    traffic.log(version, rows(600, shift=0.8))
    result = analysed.result(version)
    told = result.algorithms
    assert (told["ks_test"]["warning"], told["ks_test"]["alert"]) == (0.6, 0.9)
    assert told["ks_test"]["status"] == "ok"
    assert told["psi"]["status"] == "alert"
    assert told["mmd"]["detail"]["permutations"] == 99
    assert told["mmd"]["n"] == 300
    assert told["cbpe"]["detail"]["metric"] == "roc_auc"
    assert {name for name, one in told.items() if one["votes"]} == {"ks_test", "mmd"}
    assert result.status == told["mmd"]["status"] == "alert"


def test_drops_of_the_performance_have_the_model_s_limits(
    version: ModelVersion,
) -> None:
    set_alerts(
        version,
        algorithms=("realized",),
        accuracy_drop_warning=0.2,
        accuracy_drop_alert=0.5,
    )
    receipt = traffic.log(version, rows(900))
    traffic.label(version, answers(receipt, wrong=0.4))
    result = analysed.result(version)
    assert result.algorithms["realized"]["status"] == "warning"
    assert result.status == "warning"


def test_the_configuration_at_the_request_counts(version: ModelVersion) -> None:
    traffic.log(version, rows(600, shift=0.8))
    asked = analysed.request(version)
    set_alerts(version, algorithms=("chi_square",))
    from monitoring.actions import analysis_job

    assert analysis_job.work()
    assert DriftResult.objects.get(run=asked).status == "alert"


def test_a_baseline_of_too_few_rows_decides_nothing(version: ModelVersion) -> None:
    set_alerts(version, min_baseline_sample_size=501)
    traffic.log(version, rows(600, shift=0.8))
    result = analysed.result(version)
    assert result.status == "insufficient_data"
    assert "500 rows" in result.drift["reason"]


def test_predictions_logged_just_before_the_request_are_waited_for(
    version: ModelVersion,
) -> None:
    traffic.log(version, rows(300))
    asked = analysed.request(version)
    traffic.log(version, rows(50))
    from monitoring.actions import analysis_job

    assert analysis_job.work()
    assert DriftResult.objects.get(run=asked).predictions >= 300


def test_only_the_window_is_analysed(version: ModelVersion) -> None:
    traffic.log(version, rows(200, shift=3.0), at=NOW - 5 * HOUR)
    traffic.log(version, rows(300))
    now = analysed.result(version, Window(NOW - HOUR, NOW + HOUR))
    assert (now.predictions, now.status) == (300, "ok")
    before = analysed.result(version, Window(NOW - 6 * HOUR, NOW - HOUR))
    assert (before.predictions, before.status) == (200, "alert")


def test_an_empty_window_is_no_verdict(version: ModelVersion) -> None:
    result = analysed.result(version, Window(NOW - 90 * HOUR, NOW - 80 * HOUR))
    assert (result.status, result.predictions) == ("insufficient_data", 0)
    for name, told in result.algorithms.items():
        assert told["score"] is None, name
        assert told["status"] in {"no_data", "insufficient_data"}, (name, told)


def test_without_labels_of_the_baseline_nothing_is_estimated() -> None:
    version = make_version()
    baselines.create(
        version,
        features={"x": [0.1 * place for place in range(100)], "y": [1.0, 2.0] * 50},
        label="v1",
        actor=None,
    )
    traffic.log(version, rows(200))
    told = analysed.result(version).algorithms
    for name in ("cbpe", "realized"):
        assert told[name]["status"] == "no_data"
        assert "label" in told[name]["reason"]
        assert told[name]["score"] is None


def test_a_regression_has_its_own_algorithms() -> None:
    version = traffic.make_watched(
        features=["x"], feature_types={"x": "float"}, task="regression"
    )
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=400)
    truths = 2 * numbers + rng.normal(0, 0.1, 400)
    baselines.create(
        version,
        features={"x": numbers.tolist()},
        target={"type": "regression", "values": truths.tolist()},
        labeled={
            "predictedLabels": (2 * numbers).tolist(),
            "actualLabels": truths.tolist(),
        },
        label="v1",
        actor=None,
    )
    receipt = traffic.log(
        version,
        [{"features": {"x": x}, "prediction": 2 * x} for x in numbers.tolist()],
    )
    keys = traffic.ids_of(receipt)
    far_off = (truths + rng.normal(0, 1, 400)).tolist()
    traffic.label(version, dict(zip(keys, far_off, strict=True)))
    told = analysed.result(version).algorithms
    assert "cbpe" not in told
    assert told["realized_error"]["status"] == "alert"
    assert told["realized_error"]["score"] > 5
    assert told["dle"]["status"] == "ok"
    assert "ddm" not in told
    assert told["page_hinkley"]["status"] != "failed"


ODD: dict[str, list[dict[str, Any]]] = {
    "one row": rows(1),
    "missing everywhere": [{"features": {}} for _ in range(200)],
    "null everywhere": [{"features": {"x": None, "y": None}} for _ in range(200)],
    "one column missing": [
        {**row, "features": {"y": row["features"]["y"]}} for row in rows(200)
    ],
    "constant": [{**row, "features": {"x": 1.0, "y": 1.0}} for row in rows(200)],
    "half missing": [
        {**row, "features": {"x": None if at % 2 else 0.5, "y": row["features"]["y"]}}
        for at, row in enumerate(rows(200))
    ],
    "wrong types": [
        {**row, "features": {"x": "n/a", "y": row["features"]["y"]}} for row in rows(99)
    ],
    "huge": [
        {**row, "features": {"x": 1.7e308 * (-1) ** at, "y": 1e300}}
        for at, row in enumerate(rows(200))
    ],
    "no answers": [{"features": row["features"], "prediction": ""} for row in rows(99)],
    "strange answers": [
        {"features": row["features"], "prediction": "perhaps"} for row in rows(99)
    ],
}


@pytest.mark.parametrize("name", ODD)
def test_odd_windows_give_a_sound_result(version: ModelVersion, name: str) -> None:
    receipt = traffic.log(version, ODD[name])
    traffic.label(version, {traffic.ids_of(receipt)[0]: 1})
    result = analysed.result(version)
    assert result.predictions == len(ODD[name])
    for algorithm, told in result.algorithms.items():
        assert told["status"] != "failed", (algorithm, told["reason"])
        assert (told["score"] is None) <= bool(told["reason"]), (algorithm, told)
    sound(result)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_labels_of_one_class_are_no_area(version: ModelVersion, share: float) -> None:
    receipt = traffic.log(version, rows(300))
    keys = traffic.ids_of(receipt)
    traffic.label(version, dict.fromkeys(keys, int(share)))
    set_alerts(version, overrides={"realized": Override(params={"metric": "roc_auc"})})
    told = analysed.result(version).algorithms["realized"]
    assert (told["score"], told["status"]) == (None, "insufficient_data")
    assert "one class" in told["reason"]


def test_one_label_of_a_thousand_is_no_verdict(version: ModelVersion) -> None:
    receipt = traffic.log(version, rows(1_000))
    traffic.label(version, {traffic.ids_of(receipt)[17]: 1})
    result = analysed.result(version)
    assert result.labels == 1
    assert result.algorithms["realized"]["status"] == "insufficient_data"
    assert result.algorithms["adwin"]["detail"]["series"]["errors"]["fed"] == 1
    sound(result)


def test_categories_never_seen_are_survived() -> None:
    version = traffic.make_watched(
        features=["c"], feature_types={"c": "categorical"}, task="binary"
    )
    baselines.create(version, features={"c": ["a", "b"] * 60}, label="v1", actor=None)
    traffic.log(version, [{"features": {"c": f"new {at}"}} for at in range(400)])
    result = analysed.result(version)
    assert result.status == "alert"
    assert result.algorithms["chi_square"]["score"] == pytest.approx(1)
    sound(result)


def test_a_model_whose_task_nobody_knows_says_so() -> None:
    version = traffic.make_watched(features=["x"], feature_types={"x": "float"})
    analysed.give_numbers(version)
    result = analysed.result(version)
    assert result.status == "ok"
    for name in ("cbpe", "dle", "adwin"):
        assert "isn't known" in result.algorithms[name]["reason"]


def sound(result: DriftResult) -> None:
    """There is no number in a result that isn't one."""

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            for one in value.values():
                walk(one)
        elif isinstance(value, list):
            for one in value:
                walk(one)
        elif isinstance(value, float):
            assert math.isfinite(value)

    for part in (
        result.algorithms,
        result.drift,
        result.root_cause,
        result.provenance,
    ):
        walk(part)
        json.dumps(part, allow_nan=False)


def test_values_that_were_refused_are_told_apart_from_missing_ones(
    version: ModelVersion,
) -> None:
    logged = rows(100)
    for row in logged[:10]:
        row["features"]["x"] = "n/a"
    for row in logged[10:15]:
        row["features"]["x"] = None
    traffic.log(version, logged)
    found = column(analysed.result(version), "x")
    assert (found["n"], found["missing"], found["invalid"]) == (85, 5, 10)


def test_an_algorithm_that_fails_fails_alone(
    version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A number of rows that no random generator can draw.
    set_alerts(version, overrides={"mmd": Override(params={"max_rows": -1})})
    traffic.log(version, rows(600, shift=0.8))
    result = analysed.result(version)
    failed = {n: t for n, t in result.algorithms.items() if t["status"] == "failed"}
    assert list(failed) == ["mmd"]
    assert failed["mmd"]["reason"]
    assert failed["mmd"]["score"] is None
    assert result.status == "alert"


def test_a_run_that_can_t_be_done_fails_with_a_reason(version: ModelVersion) -> None:
    traffic.log(version, rows(50))
    asked = analysed.request(version)
    AnalysisRun.objects.filter(pk=asked.pk).update(configuration={})
    from monitoring.actions import analysis_job

    assert analysis_job.work()
    run = AnalysisRun.objects.get(pk=asked.pk)
    assert (run.status, run.completed_at is not None) == ("failed", True)
    assert run.error == analysis_job.INTERNAL
    assert dt.timedelta(0) < run.completed_at - run.requested_at  # type: ignore[operator]
