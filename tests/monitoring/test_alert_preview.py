"""Trying alert settings on the past: how often they would have alerted, and when."""

import datetime as dt
import json
from typing import Any

import numpy as np
import pytest

from governance.models import AuditEntry, ModelVersion, Notification
from monitoring.actions import alerts, history
from monitoring.alerting import replay
from monitoring.alerting.replay import Day, Judge
from monitoring.alerting.settings import AlertSettings, Override
from monitoring.models import Alarm, AlertConfig, DayView
from tests.factories import make_charlie
from tests.governance.api import api_of, faults
from tests.monitoring import analysed, traffic
from tests.monitoring.test_refresh import answers, give_baseline, make_version, rows
from tests.monitoring.traffic import NOW

PATH = "/api/v1/drift/alerts/preview"
DAY = dt.timedelta(days=1)
DEFAULTS = {"psi": (0.1, 0.25), "ks_test": (0.1, 0.2)}
FIRST = dt.date(2026, 3, 1)


def days(scores: list[float | None], *, significant: bool = True) -> list[Day]:
    """Return a day for each PSI; None is a day without data."""
    return [
        Day(
            FIRST + n * DAY,
            500,
            500,
            {"x": {"psi": [score, significant, 0.02, False]}},
            {},
        )
        for n, score in enumerate(scores)
        if score is not None
    ]


def run(scores: list[float | None], **settings: Any) -> replay.Outcome:
    judge = Judge(AlertSettings(**settings), DEFAULTS, 30)
    return replay.replay(judge, days(scores), ())


def limits(warning: float, alert: float) -> dict[str, Override]:
    return {"psi": Override(warning, alert)}


def test_a_hovering_score_alerts_once() -> None:
    outcome = run([0.24, 0.26, 0.24, 0.26, 0.01, 0.26, 0.01, 0.01, 0.3])
    assert outcome.alerts == 2
    assert [(one["date"], one["event"]) for one in outcome.events] == [
        ("2026-03-02", "raised"),
        ("2026-03-08", "cleared"),
        ("2026-03-09", "raised"),
    ]
    days_ = outcome.by_algorithm["psi"]["x"]
    assert days_["alert"] == ["2026-03-02", "2026-03-04", "2026-03-06", "2026-03-09"]
    assert days_["warning"] == ["2026-03-01", "2026-03-03"]
    assert outcome.open_causes == ["drift:x"]


def test_other_thresholds_alert_otherwise() -> None:
    scores: list[float | None] = [0.02, 0.06, 0.12, 0.2, 0.12]
    assert run(scores).alerts == 0
    assert run(scores, overrides=limits(0.05, 0.1)).alerts == 1
    assert run(scores, overrides=limits(0.05, 0.1), enabled=False).alerts == 0
    assert run(scores, overrides=limits(0.05, 0.1), algorithms=("mmd",)).alerts == 0


def test_what_chance_explains_never_alerts() -> None:
    judge = Judge(AlertSettings(overrides=limits(0.01, 0.02)), DEFAULTS, 30)
    assert replay.replay(judge, days([0.5], significant=False), ()).alerts == 0


def test_too_small_a_baseline_never_alerts() -> None:
    assert run([0.5], min_baseline_sample_size=501).alerts == 0


def test_a_stricter_setting_never_alerts_on_fewer_days() -> None:
    rng = np.random.default_rng(0)
    scores = rng.uniform(0, 0.4, 200).tolist()
    counts = []
    for alert in (0.3, 0.25, 0.2, 0.1):
        outcome = run(scores, overrides=limits(0.05, alert))
        counts.append(len(outcome.by_algorithm["psi"]["x"]["alert"]))
        assert counts[-1] == sum(score >= alert for score in scores)
    assert counts == sorted(counts)


@pytest.fixture
def version(db: None) -> ModelVersion:
    version = make_version()
    give_baseline(version)
    return version


def record() -> None:
    traffic.count_all()
    while history.record_due():
        pass


def ask(version: ModelVersion, **body: Any) -> Any:
    api = api_of(traffic.owner_of(version))
    answer = api.post(PATH, {"modelId": version.model.slug, **body})
    assert answer.status_code == 200, answer.content
    return json.loads(answer.content, parse_constant=pytest.fail)


def log(version: ModelVersion, ago: int, shift: float, count: int = 300) -> Any:
    at = NOW - ago * DAY
    return traffic.log(version, rows(count, shift=shift, seed=ago), at=at)


def replayed(version: ModelVersion) -> None:
    """Log a quiet month, a moved day, silence, and a quiet week."""
    for ago in (60, 59, 58, 40, 39):
        log(version, ago, 0.0)
    log(version, 38, 3.0)
    for ago in (20, 19, 18):
        log(version, ago, 0.0)
    traffic.live(version)
    record()


def test_the_past_is_replayed_with_both_settings(version: ModelVersion) -> None:
    replayed(version)
    overrides = {"ks_test": {"warningThreshold": 0.5, "alertThreshold": 0.9}}
    told = ask(
        version,
        algorithms={"enabled": ["ks_test"], "overrides": overrides},
    )
    assert told["days"] == 90
    assert (told["daysWithData"], told["daysMeasured"]) == (9, 9)
    assert len(told["daysWithoutData"]) == 81
    newest = (NOW - 18 * DAY).date()
    assert told["windowEnd"] == newest.isoformat()
    current = told["current"]
    moved = (NOW - 38 * DAY).date().isoformat()
    raised = [one for one in current["events"] if one["event"] == "raised"]
    assert [(one["date"], one["feature"]) for one in raised] == [(moved, "x")]
    assert current["algorithms"]["psi"]["features"]["x"]["alertDays"] == [moved]
    # A window of seven days with one moved day isn't as far off as 0.9.
    assert told["proposed"]["alerts"] == 0
    assert {one["loc"][0] for one in told["looser"]} == {"algorithms"}


def test_nothing_is_stored_and_nobody_is_told(version: ModelVersion) -> None:
    replayed(version)
    api = api_of(traffic.owner_of(version))
    kinds: Any = (AuditEntry, Notification, Alarm, AlertConfig, DayView)
    before = [kind.objects.count() for kind in kinds]
    body = {"modelId": version.model.slug, "accuracyDropWarning": 0.001}
    assert api.post(PATH, body).status_code == 200
    assert [kind.objects.count() for kind in kinds] == before


def test_the_settings_may_stand_in_an_object(version: ModelVersion) -> None:
    replayed(version)
    settings = {"accuracyDropWarning": 0.01}
    assert ask(version, **settings) == ask(version, configuration=settings)


def test_falls_of_the_performance_are_replayed(version: ModelVersion) -> None:
    for ago, wrong in ((30, 0.1), (20, 0.18), (10, 0.1)):
        receipt = log(version, ago, 0.0, 600)
        traffic.label(version, answers(receipt, wrong=wrong))
    traffic.live(version)
    record()
    strict = ask(version, accuracyDropWarning=0.01, accuracyDropAlert=0.02)
    day = (NOW - 20 * DAY).date().isoformat()
    drops = [one for one in strict["proposed"]["events"] if one["event"] == "raised"]
    assert (day, "performance") in {(one["date"], one["cause"]) for one in drops}
    realized = strict["proposed"]["algorithms"]["realized"]["features"]["performance"]
    assert realized["alertDays"] == [day]
    loose = ask(version, accuracyDropWarning=0.9, accuracyDropAlert=0.95)
    assert "realized" not in loose["proposed"]["algorithms"]


def test_the_present_settings_are_those_that_are_set(version: ModelVersion) -> None:
    replayed(version)
    off = AlertSettings(enabled=False)
    alerts.change(version.model, settings=off, actor=None)
    told = ask(version)
    assert told["current"]["alerts"] == 0
    assert told["proposed"]["alerts"] == 1
    assert told["looser"] == []


def test_of_an_approved_model_the_policy_holds_at_least(version: ModelVersion) -> None:
    replayed(version)
    ModelVersion.objects.filter(pk=version.pk).update(status="deployed")
    told = ask(version, enabled=False, algorithms={"enabled": []})
    assert told["proposed"]["alerts"] == 1
    assert told["limitedByPolicy"] == ["algorithms", "enabled"]
    assert {one["loc"][0] for one in told["looser"]} == {"algorithms", "enabled"}


def test_what_only_analyses_measure_is_replayed_from_them(
    version: ModelVersion,
) -> None:
    log(version, 3, 2.0, 600)
    traffic.live(version)
    record()
    algorithms = {"enabled": ["domain_classifier", "welch_t", "jensen_shannon"]}
    bare = ask(version, algorithms=algorithms)
    assert {one["algorithm"] for one in bare["notReplayed"]} == {
        "domain_classifier",
        "welch_t",
    }
    assert bare["analyses"] == 0
    analysed.result(version)
    overrides = {
        "welch_t": {"warningThreshold": 0.1, "alertThreshold": 0.5},
        "domain_classifier": {"params": {"seed": 5}},
    }
    told = ask(version, algorithms={**algorithms, "overrides": overrides})
    assert told["analyses"] == 1
    [reason] = told["notReplayed"]
    assert reason["algorithm"] == "domain_classifier"
    assert "other parameters" in reason["reason"]
    day = (NOW - 3 * DAY).date().isoformat()
    welch = told["proposed"]["algorithms"]["welch_t"]["features"]
    assert welch["x"]["alertDays"] == [day]
    usual = ask(version, algorithms=algorithms)
    assert "domain_classifier" in usual["proposed"]["algorithms"]


def test_late_rows_change_the_days_that_see_them(version: ModelVersion) -> None:
    replayed(version)
    before = {one.day: one.revision for one in DayView.objects.all()}
    log(version, 40, 0.0)
    record()
    after = {one.day: one.revision for one in DayView.objects.all()}
    changed = {day for day in after if before.get(day) != after[day]}
    assert changed == {(NOW - ago * DAY).date() for ago in (40, 39, 38)}


def test_a_model_without_data_has_nothing_to_replay(version: ModelVersion) -> None:
    told = ask(version)
    assert (told["daysWithData"], told["windowStart"]) == (0, None)
    assert told["proposed"]["events"] == []


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        ({"days": 0}, "days"),
        ({"days": 181}, "days"),
        ({"days": "90"}, "days"),
        ({"days": True}, "days"),
        ({"accuracyDropWarning": -1}, "accuracyDropWarning"),
        ({"configuration": {"enabled": "no"}}, "enabled"),
        ({"configuration": []}, "configuration"),
        ({"configuration": {}, "enabled": True}, "configuration"),
        ({"algorithms": {"enabled": ["x"]}}, "algorithms.enabled.0"),
        ({"colour": 1}, "colour"),
    ],
)
def test_wrong_settings_are_named(
    version: ModelVersion, body: dict[str, Any], loc: str
) -> None:
    api = api_of(traffic.owner_of(version))
    answer = api.post(PATH, {"modelId": version.model.slug, **body})
    assert answer.status_code == 422, answer.content
    assert set(faults(answer)) == {loc}


def test_charlie_previews_nothing(version: ModelVersion) -> None:
    stranger = api_of(make_charlie())
    assert stranger.post(PATH, {"modelId": version.model.pk}).status_code == 404


def test_a_preview_takes_few_queries(
    version: ModelVersion, django_assert_max_num_queries: Any
) -> None:
    replayed(version)
    ask(version)
    with django_assert_max_num_queries(14):
        ask(version)
