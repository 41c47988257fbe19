"""Alarms: one finding per cause, told when it begins and when it is over."""

import datetime as dt
import json
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from governance.actions import findings
from governance.models import AuditEntry, Finding, ModelVersion, Notification
from monitoring.actions import alarms, alerts, baselines
from monitoring.actions.periods import Window
from monitoring.alerting import alarms as machine
from monitoring.alerting import signals
from monitoring.alerting.alarms import State
from monitoring.alerting.settings import AlertSettings, Channels, Override
from monitoring.alerting.signals import Level, Signal
from monitoring.models import Alarm
from tests.factories import Person, make_alice, make_bob
from tests.monitoring import analysed, traffic
from tests.monitoring.test_refresh import answers, give_baseline, make_version, rows
from tests.monitoring.traffic import NOW

DAY = dt.timedelta(days=1)
WARNING, ALERT = 0.1, 0.25


def psi(score: float, cause: str = "drift:x") -> Signal:
    """Return what a result with this PSI says."""
    result = {
        "status": "alert"
        if score >= ALERT
        else "warning"
        if score >= WARNING
        else "ok",
        "score": score,
        "warning": WARNING,
        "alert": ALERT,
        "votes": True,
    }
    column = {"name": cause.removeprefix("drift:"), "algorithms": {"psi": result}}
    [signal] = signals.of_columns([column])
    return signal


def events(scores: Sequence[float]) -> list[tuple[int, str]]:
    """Return what happens at which of the results, one after the other."""
    state, found = State(), []
    for place, score in enumerate(scores):
        state, event = machine.step(state, psi(score))
        if event is not None:
            found.append((place, event))
    return found


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        # Warnings open nothing.
        ([0.0, 0.12, 0.24, 0.12], []),
        # Hovering around the alert limit is one alarm.
        ([0.24, 0.26, 0.24, 0.26, 0.24, 0.26], [(1, "raised")]),
        # So is hovering around the warning limit afterwards.
        ([0.3, 0.09, 0.11, 0.09, 0.11, 0.09], [(0, "raised")]),
        # And around 0.8 of it, at 0.08.
        ([0.3, 0.079, 0.081, 0.079, 0.0801], [(0, "raised")]),
        ([0.3, 0.079, 0.079], [(0, "raised"), (2, "cleared")]),
        ([0.3, 0.0, 0.3, 0.0, 0.0], [(0, "raised"), (4, "cleared")]),
        ([0.3, 0, 0, 0, 0.3], [(0, "raised"), (2, "cleared"), (4, "raised")]),
    ],
)
def test_a_sequence_of_scores(
    scores: list[float], expected: list[tuple[int, str]]
) -> None:
    assert events(scores) == expected


@given(st.lists(st.floats(0.0801, 2), max_size=50))
def test_without_a_quiet_result_there_is_one_alarm_at_most(scores: list[float]) -> None:
    found = events(scores)
    first = next((place for place, one in enumerate(scores) if one >= ALERT), None)
    assert found == ([] if first is None else [(first, "raised")])


@given(st.lists(st.sampled_from([0.0, 0.07, 0.09, 0.11, 0.2, 0.26, 0.5]), max_size=60))
def test_an_alarm_ends_with_two_quiet_results_and_never_without(
    scores: list[float],
) -> None:
    found = events(scores)
    kinds = [event for _, event in found]
    assert kinds == [("raised", "cleared")[n % 2] for n in range(len(kinds))]
    for place, event in found:
        if event == "cleared":
            assert max(scores[place - 1 : place + 1]) < 0.8 * WARNING


def test_a_result_that_does_not_count_raises_but_never_clears() -> None:
    state, event = machine.step(State(), psi(0.3), counts=False)
    assert event == "raised"
    for _ in range(5):
        state, event = machine.step(state, psi(0.0), counts=False)
        assert event is None
    state, _ = machine.step(state, psi(0.0))
    # What is not quiet begins the count anew, whether it counts or not.
    state, _ = machine.step(state, psi(0.09), counts=False)
    state, event = machine.step(state, psi(0.0))
    assert event is None


def drop(value: float, *, low: float = 0.001, settings: Any = None) -> list[Signal]:
    """Return what a realized drop of the accuracy says."""
    drops = {"accuracy": {"value": value, "low": low, "high": 1.0}}
    measured = {
        "task": "binary",
        "primary_metric": "accuracy",
        "baseline": {"labelled": 500},
        "periods": [
            {"is_mature": True, "start": 0, "end": 1, "labelled": 400, "drops": drops}
        ],
        "estimated": {"method": None},
    }
    settings = settings or AlertSettings()
    return list(signals.of_performance(measured, settings, fewest=30))


def test_a_drop_is_told_from_the_warning_on_and_again_at_the_alert() -> None:
    state, seen = State(), []
    for value in (0.04, 0.06, 0.09, 0.12, 0.06, 0.045, 0.039, 0.041, 0.03, 0.03):
        [signal] = drop(value)
        state, event = machine.step(state, signal)
        seen.append(event)
    assert seen[:4] == [None, "raised", None, "worsened"]
    assert seen[4:] == [None, None, None, None, None, "cleared"]


def test_a_drop_that_chance_explains_is_none() -> None:
    [signal] = drop(0.3, low=-0.01)
    assert signal.level is Level.NONE


def test_the_limits_are_those_that_are_set() -> None:
    settings = AlertSettings(accuracy_drop_warning=0.01, accuracy_drop_alert=0.03)
    assert drop(0.02, settings=settings)[0].level is Level.WARNING
    assert drop(0.03, settings=settings)[0].level is Level.ALERT


def test_a_small_baseline_says_nothing() -> None:
    assert drop(0.3, settings=AlertSettings(min_baseline_sample_size=501)) == []


def test_the_error_of_a_regression_grows_relatively() -> None:
    settings = AlertSettings(performance_drop_relative=0.2)
    assert signals.drop_limits("mae", settings) == (0.2, 0.4)


def test_no_verdict_is_no_signal() -> None:
    result = {"status": "insufficient_data", "score": 3.0, "votes": True}
    column = {"name": "x", "algorithms": {"psi": {**result, "warning": 1, "alert": 2}}}
    assert list(signals.of_columns([column])) == []


def test_what_does_not_vote_says_nothing() -> None:
    told = {"status": "alert", "score": 3.0, "votes": False, "warning": 1, "alert": 2}
    assert list(signals.of_columns([{"name": "x", "algorithms": {"psi": told}}])) == []


def test_a_classifier_that_guesses_is_quiet() -> None:
    told = {
        "family": "multivariate",
        "status": "ok",
        "votes": True,
        "warning": 0.65,
        "alert": 0.75,
    }
    for score, is_quiet in ((0.5, True), (0.61, True), (0.63, False)):
        [signal] = signals.of_inputs({"domain_classifier": {**told, "score": score}})
        assert signal.is_quiet is is_quiet


@pytest.fixture
def version(db: None) -> ModelVersion:
    version = make_version()
    give_baseline(version)
    return version


def take(
    version: ModelVersion,
    *scores: float,
    source: str = "live",
    causes: Sequence[str] = ("drift:x",),
    until: dt.datetime = NOW,
    counts: bool = True,
) -> None:
    for score in scores:
        result = alarms.Result(
            source=source,
            signals=[psi(score, cause) for cause in causes],
            baseline=version.baselines.get(active=True),
            until=until,
            counts=counts,
            reference="result_x",
        )
        alarms.take(version, result=result, actor=None)


def told(version: ModelVersion) -> list[str]:
    found = Notification.objects.filter(version=version, event__startswith="alert.")
    return list(found.order_by("created_at").values_list("event", flat=True))


def test_a_hovering_score_is_one_finding_and_one_message(
    version: ModelVersion,
) -> None:
    take(version, *[0.24, 0.26] * 20, 0.09, 0.11, 0.07, 0.09)
    [finding] = Finding.objects.filter(version=version)
    assert (finding.cause, finding.severity) == ("drift:x", "high")
    assert "0.26" in finding.title
    assert told(version) == ["alert.raised"]
    actions = AuditEntry.objects.filter(action__startswith="alert.")
    assert list(actions.values_list("action", flat=True)) == ["alert.raised"]


def test_the_message_carries_the_channels_and_what_is_wrong(
    version: ModelVersion,
) -> None:
    channels = Channels(email=True, recipients=("risk@example.com",))
    alerts.change(version.model, settings=AlertSettings(channels=channels), actor=None)
    take(version, 0.5, causes=("drift:x", "drift:y"))
    # One message for all that one result says.
    [message] = Notification.objects.filter(event="alert.raised")
    assert message.sent_at is None
    assert message.payload["channels"] == channels.to_json()
    assert [one["cause"] for one in message.payload["alerts"]] == ["drift:x", "drift:y"]
    assert message.payload["severity"] == "high"
    assert "and 1 more" in message.subject
    keys = [one["finding"] for one in message.payload["alerts"]]
    assert keys == list(Finding.objects.order_by("cause").values_list("pk", flat=True))


def test_what_is_over_is_told_once_and_resolved(version: ModelVersion) -> None:
    take(version, 0.3, 0.05, 0.05, 0.05, 0.05)
    assert told(version) == ["alert.raised", "alert.cleared"]
    finding = Finding.objects.get()
    assert (finding.status, finding.resolved_label) == ("resolved", "DriftGuard")
    assert "Back within limits" in finding.resolution


def test_what_comes_back_before_it_is_closed_is_the_same_finding(
    version: ModelVersion,
) -> None:
    take(version, 0.3, 0.05, 0.05, 0.3)
    finding = Finding.objects.get()
    assert finding.status == "open"
    assert told(version) == ["alert.raised", "alert.cleared", "alert.raised"]


def test_what_comes_back_after_it_was_closed_is_a_new_one(
    version: ModelVersion,
) -> None:
    take(version, 0.3)
    finding = Finding.objects.get()
    officer = make_bob(version.organization)
    close(finding, traffic.owner_of(version), officer)
    # It never was quiet: the breach goes on, and somebody has to hear of it.
    take(version, 0.3, 0.3)
    assert Finding.objects.count() == 2
    assert Finding.objects.not_closed().count() == 1
    assert told(version) == ["alert.raised", "alert.raised"]


def close(finding: Finding, worker: Person, officer: Person) -> None:
    findings.start(finding, actor=worker.actor)
    findings.resolve(finding, reason="Looked at it.", actor=worker.actor)
    findings.close(finding, reason="Agreed.", actor=officer.actor)


def test_a_finding_that_somebody_works_on_stays_theirs(version: ModelVersion) -> None:
    take(version, 0.3)
    findings.start(Finding.objects.get(), actor=traffic.owner_of(version).actor)
    take(version, 0.0, 0.0)
    assert Finding.objects.get().status == "in_progress"
    assert told(version) == ["alert.raised", "alert.cleared"]


def test_two_sources_share_a_finding_that_ends_with_the_last(
    version: ModelVersion,
) -> None:
    take(version, 0.3)
    take(version, 0.3, source="analysis")
    assert Finding.objects.count() == 1
    assert told(version) == ["alert.raised"]
    take(version, 0.0, 0.0)
    assert Finding.objects.get().status == "open"
    assert told(version) == ["alert.raised"]
    take(version, 0.0, 0.0, source="analysis")
    assert Finding.objects.get().status == "resolved"
    assert told(version) == ["alert.raised", "alert.cleared"]


def test_an_older_window_is_passed_over(version: ModelVersion) -> None:
    take(version, 0.3)
    take(version, 0.0, 0.0, until=NOW - DAY)
    assert Alarm.objects.get().is_raised is True


def test_a_new_baseline_clears_the_alarm_and_never_the_finding(
    version: ModelVersion,
) -> None:
    take(version, 0.3)
    other = baselines.create(
        version, features={"x": [1.0, 2.0], "y": [1.0, 2.0]}, label="b", actor=None
    )
    baselines.activate(other, actor=None)
    take(version, 0.0, 0.0)
    assert told(version) == ["alert.raised", "alert.cleared"]
    assert Finding.objects.get().status == "open"


def test_switched_off_means_off_for_a_draft_alone(version: ModelVersion) -> None:
    settings = AlertSettings(enabled=False)
    alerts.change(version.model, settings=settings, actor=None)
    take(version, 0.5)
    assert not Alarm.objects.exists()
    ModelVersion.objects.filter(pk=version.pk).update(status="deployed")
    version.refresh_from_db()
    take(version, 0.5)
    assert Alarm.objects.get().is_raised is True


def test_the_live_view_and_the_rules_open_one_finding(version: ModelVersion) -> None:
    traffic.log(version, rows(600, shift=2.0))
    traffic.live(version)
    for seed in range(2, 6):
        traffic.log(version, rows(60, shift=2.0, seed=seed))
        traffic.live(version)
    [finding] = Finding.objects.filter(version=version, cause="drift:x")
    # The rule blocks, so that it is graver than the alarm alone.
    assert (finding.severity, finding.detail["rule"]) == ("critical", "R1")
    assert told(version) == ["alert.raised"]
    status = Notification.objects.filter(event="model.status_changed")
    assert [one.payload["status"] for one in status] == ["BLOCKED"]
    analysed.result(version)
    assert Finding.objects.filter(version=version, cause="drift:x").count() == 1
    assert told(version) == ["alert.raised"]
    assert Alarm.objects.filter(cause="drift:x").count() == 2


def test_stricter_settings_alert_where_the_policy_is_content(
    version: ModelVersion,
) -> None:
    override = Override(warning=0.01, alert=0.02)
    settings = AlertSettings(overrides={"ks_test": override})
    alerts.change(version.model, settings=settings, actor=None)
    traffic.log(version, rows(3_000, shift=0.2))
    traffic.live(version)
    [alarm] = Alarm.objects.all()
    assert alarm.cause == "drift:x"
    assert alarm.detail["algorithm"] == "ks_test"


def test_a_fall_of_the_accuracy_is_one_finding_with_its_figures(
    version: ModelVersion,
) -> None:
    receipt = traffic.log(version, rows(600))
    traffic.label(version, answers(receipt, wrong=0.4))
    traffic.live(version)
    [finding] = Finding.objects.filter(version=version, cause="performance")
    assert finding.severity == "critical"  # R6, the policy's
    [alarm] = Alarm.objects.filter(cause="performance")
    assert alarm.detail["source"] == "realized"
    assert "realized drop of" in alarm.title
    assert alarm.level == Level.ALERT
    result = analysed.result(version)
    assert result.algorithms["realized"]["status"] == "alert"
    assert Finding.objects.filter(version=version, cause="performance").count() == 1
    assert told(version) == ["alert.raised"]


def test_an_analysis_of_the_past_raises_nothing(version: ModelVersion) -> None:
    old = NOW - 30 * DAY
    traffic.log(version, rows(600, shift=2.0), at=old)
    traffic.log(version, rows(600))
    traffic.live(version)
    window = Window(old - DAY, old + DAY)
    assert analysed.result(version, window).status == "alert"
    assert not Alarm.objects.exists()


def test_streams_alert_where_they_are_enabled(version: ModelVersion) -> None:
    settings = AlertSettings(algorithms=("psi", "ddm", "hddm_a"))
    alerts.change(version.model, settings=settings, actor=None)
    first = traffic.log(version, rows(600), at=NOW - DAY)
    traffic.label(version, answers(first, wrong=0.05))
    then = traffic.log(version, rows(600, seed=2))
    traffic.label(version, answers(then, wrong=0.6))
    result = analysed.result(version)
    assert {result.algorithms[name]["status"] for name in ("ddm", "hddm_a")} != {"ok"}
    # Several streams notice one thing.
    [alarm] = Alarm.objects.filter(cause__startswith="stream:")
    assert alarm.cause == "stream:errors"
    assert alarm.detail["changes"]
    json.dumps(alarm.detail, allow_nan=False)
    assert Finding.objects.filter(cause="stream:errors").count() == 1


def test_inputs_that_moved_together_alert_where_that_is_enabled(
    version: ModelVersion,
) -> None:
    settings = AlertSettings(algorithms=("psi", "domain_classifier", "mmd"))
    alerts.change(version.model, settings=settings, actor=None)
    traffic.log(version, rows(600, shift=2.0))
    analysed.result(version)
    [alarm] = Alarm.objects.filter(cause="inputs:together")
    assert alarm.detail["algorithm"] in {"domain_classifier", "mmd"}


def test_another_organization_has_its_own_alarms(version: ModelVersion) -> None:
    take(version, 0.3)
    stranger = make_alice()
    found = Alarm.objects.for_organization(stranger.organization)
    assert not found.exists()


def test_results_that_come_at_once_open_one_finding(cloned_db: str) -> None:
    version = make_version()
    give_baseline(version)
    start = threading.Barrier(6)
    failed: list[BaseException] = []

    def work(source: str) -> None:
        try:
            mine = ModelVersion.objects.select_related("model").get(pk=version.pk)
            start.wait()
            take(mine, 0.3, source=source)
        except BaseException as error:  # noqa: BLE001 (the main thread raises it)
            failed.append(error)
        finally:
            connection.close()

    threads = [
        threading.Thread(target=work, args=(source,))
        for source in ("live", "analysis") * 3
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert Finding.objects.count() == 1
    assert told(version) == ["alert.raised"]
    assert Alarm.objects.count() == 2
