"""Reading and replacing alert settings through the Drift dialect."""

from typing import Any

import pytest

from governance.models import AuditEntry, AuditPayload, ModelVersion
from monitoring.models import AlertConfig
from tests import factories
from tests.factories import Person, make_alice, make_charlie, make_version
from tests.governance.api import Api, api_of, faults

pytestmark = pytest.mark.django_db
PATH = "/api/v1/drift/alerts"


@pytest.fixture
def alice() -> Person:
    return make_alice()


@pytest.fixture
def api(alice: Person) -> Api:
    return api_of(alice)


@pytest.fixture
def version(alice: Person) -> ModelVersion:
    return make_version(alice)


def get(api: Api, version: ModelVersion) -> Any:
    answer = api.get(f"{PATH}?modelId={version.model.slug}")
    assert answer.status_code == 200, answer.content
    return answer.json()


def put(api: Api, version: ModelVersion, **settings: Any) -> Any:
    return api("PUT", PATH, {"modelId": version.model.slug, **settings})


def approve(version: ModelVersion, status: str = "approved") -> None:
    if status == "approved":
        factories.approve(version)
    else:
        ModelVersion.objects.filter(pk=version.pk).update(status=status)


def test_a_model_that_was_never_set_has_the_defaults(
    api: Api, version: ModelVersion
) -> None:
    assert get(api, version) == {
        "modelId": version.model.slug,
        "enabled": True,
        "algorithms": {
            "enabled": ["psi", "ks_test", "chi_square"],
            "overrides": {},
        },
        "accuracyDropWarning": 0.05,
        "accuracyDropAlert": 0.1,
        "performanceDropRelative": 0.15,
        "minBaselineSampleSize": 30,
        "notifications": {
            "email": False,
            "slack": None,
            "discord": None,
            "webhook": None,
            "recipients": [],
        },
        "schedule": {"enabled": False, "frequency": "daily", "timeWindowDays": 7},
        "updatedAt": None,
    }


def test_what_is_put_is_what_is_got(api: Api, version: ModelVersion) -> None:
    settings = {
        "enabled": True,
        "algorithms": {
            "enabled": ["psi", "adwin"],
            "overrides": {
                "psi": {"warningThreshold": 0.05},
                "welch_t": {"warningThreshold": 0.2, "alertThreshold": 0.5},
                "kswin": {"params": {"window_size": 200, "stat_size": 40}},
            },
        },
        "accuracyDropWarning": 0.02,
        "accuracyDropAlert": 0.02,
        "performanceDropRelative": 2,
        "minBaselineSampleSize": 500,
        "notifications": {
            "email": True,
            "slack": "https://hooks.example.com/T/B",
            "discord": None,
            "webhook": "https://10.0.0.1:8443/hook?x=1",
            "recipients": ["a.b+c@mail.example.com", "https://one.example/x"],
        },
        "schedule": {"enabled": True, "frequency": "hourly", "timeWindowDays": 1},
    }
    answer = put(api, version, **settings)
    assert (answer.status_code, answer.json()) == (200, {"updated": True})
    told = get(api, version)
    assert told.pop("updatedAt").endswith("Z")
    assert told == {"modelId": version.model.slug, **settings}


def test_a_put_replaces_everything(api: Api, version: ModelVersion) -> None:
    put(api, version, accuracyDropWarning=0.01, minBaselineSampleSize=7)
    put(api, version, minBaselineSampleSize=8)
    told = get(api, version)
    assert (told["accuracyDropWarning"], told["minBaselineSampleSize"]) == (0.05, 8)
    assert AlertConfig.objects.count() == 1


@pytest.mark.parametrize(
    ("settings", "loc", "code"),
    [
        ({"enabled": 1}, "enabled", "type"),
        ({"colour": "red"}, "colour", "unknown_field"),
        ({"accuracyDropWarning": -0.1}, "accuracyDropWarning", "range"),
        ({"accuracyDropWarning": 0}, "accuracyDropWarning", "range"),
        ({"accuracyDropWarning": "0.1"}, "accuracyDropWarning", "type"),
        ({"accuracyDropAlert": 1.5}, "accuracyDropAlert", "range"),
        ({"accuracyDropWarning": 0.2}, "accuracyDropWarning", "order"),
        ({"accuracyDropAlert": 0.01}, "accuracyDropAlert", "order"),
        ({"performanceDropRelative": -1}, "performanceDropRelative", "range"),
        ({"minBaselineSampleSize": 0}, "minBaselineSampleSize", "range"),
        ({"minBaselineSampleSize": 1.5}, "minBaselineSampleSize", "type"),
        ({"algorithms": []}, "algorithms", "type"),
        ({"algorithms": {"colour": 1}}, "algorithms.colour", "unknown_field"),
        (
            {"algorithms": {"enabled": ["psi", "kolmogorov"]}},
            "algorithms.enabled.1",
            "unknown_algorithm",
        ),
        (
            {"algorithms": {"enabled": ["psi", "psi"]}},
            "algorithms.enabled.1",
            "duplicate",
        ),
        ({"algorithms": {"enabled": [1]}}, "algorithms.enabled.0", "type"),
        ({"algorithms": {"enabled": "psi"}}, "algorithms.enabled", "type"),
        (
            {"algorithms": {"overrides": {"nothing": {}}}},
            "algorithms.overrides.nothing",
            "unknown_algorithm",
        ),
        (
            {"algorithms": {"overrides": {"psi": {"warning": 1}}}},
            "algorithms.overrides.psi.warning",
            "unknown_field",
        ),
        (
            {"algorithms": {"overrides": {"psi": {"warningThreshold": -0.1}}}},
            "algorithms.overrides.psi.warningThreshold",
            "range",
        ),
        (
            {"algorithms": {"overrides": {"psi": {"warningThreshold": 0.3}}}},
            "algorithms.overrides.psi.warningThreshold",
            "order",
        ),
        (
            {"algorithms": {"overrides": {"psi": {"alertThreshold": 0.05}}}},
            "algorithms.overrides.psi.alertThreshold",
            "order",
        ),
        (
            {
                "algorithms": {
                    "overrides": {
                        "mmd": {"warningThreshold": 0.3, "alertThreshold": 0.2}
                    }
                }
            },
            "algorithms.overrides.mmd.warningThreshold",
            "order",
        ),
        (
            {"algorithms": {"overrides": {"ks_test": {"alertThreshold": 1.5}}}},
            "algorithms.overrides.ks_test.alertThreshold",
            "range",
        ),
        (
            {"algorithms": {"overrides": {"psi": {"params": {"bins": 10}}}}},
            "algorithms.overrides.psi.params.bins",
            "unknown_parameter",
        ),
        (
            {"algorithms": {"overrides": {"hellinger": {"params": {"bins": "x"}}}}},
            "algorithms.overrides.hellinger.params.bins",
            "choice",
        ),
        (
            {"algorithms": {"overrides": {"adwin": {"params": {"delta": 1}}}}},
            "algorithms.overrides.adwin.params.delta",
            "range",
        ),
        (
            {"algorithms": {"overrides": {"adwin": {"params": {"delta": "x"}}}}},
            "algorithms.overrides.adwin.params.delta",
            "type",
        ),
        (
            {"algorithms": {"overrides": {"adwin": {"params": {"clock": 1.5}}}}},
            "algorithms.overrides.adwin.params.clock",
            "type",
        ),
        (
            {"algorithms": {"overrides": {"mmd": {"params": {"max_rows": 10**9}}}}},
            "algorithms.overrides.mmd.params.max_rows",
            "range",
        ),
        (
            {"algorithms": {"overrides": {"mmd": {"params": {"seed": None}}}}},
            "algorithms.overrides.mmd.params.seed",
            "type",
        ),
        (
            {
                "algorithms": {
                    "overrides": {"chi_square": {"params": {"correction": 1}}}
                }
            },
            "algorithms.overrides.chi_square.params.correction",
            "type",
        ),
        (
            {"algorithms": {"overrides": {"dle": {"params": {"metric": "f1"}}}}},
            "algorithms.overrides.dle.params.metric",
            "choice",
        ),
        (
            {"algorithms": {"overrides": {"kswin": {"params": {"stat_size": 60}}}}},
            "algorithms.overrides.kswin.params",
            "range",
        ),
        (
            {"algorithms": {"overrides": {"eddm": {"params": {"beta": 0.99}}}}},
            "algorithms.overrides.eddm.params.beta",
            "order",
        ),
        ({"notifications": {"email": "yes"}}, "notifications.email", "type"),
        ({"notifications": {"fax": "1"}}, "notifications.fax", "unknown_field"),
        ({"notifications": {"slack": True}}, "notifications.slack", "url"),
        (
            {"notifications": {"webhook": "http://plain.example"}},
            "notifications.webhook",
            "url",
        ),
        (
            {"notifications": {"discord": "https://user:pw@x.example"}},
            "notifications.discord",
            "url",
        ),
        (
            {"notifications": {"recipients": ["a@example.com", "nobody"]}},
            "notifications.recipients.1",
            "recipient",
        ),
        (
            {"notifications": {"recipients": ["http://x.example"]}},
            "notifications.recipients.0",
            "recipient",
        ),
        (
            {"notifications": {"recipients": ["a@b.example\nbcc: c@d.example"]}},
            "notifications.recipients.0",
            "recipient",
        ),
        (
            {"notifications": {"recipients": [f"a{i}@b.example" for i in range(51)]}},
            "notifications.recipients",
            "too_many",
        ),
        ({"schedule": {"frequency": "yearly"}}, "schedule.frequency", "choice"),
        ({"schedule": {"timeWindowDays": 0}}, "schedule.timeWindowDays", "range"),
        ({"schedule": {"timeWindowDays": 2.5}}, "schedule.timeWindowDays", "type"),
        ({"schedule": {"enabled": "true"}}, "schedule.enabled", "type"),
    ],
)
def test_a_wrong_setting_is_named_and_nothing_is_stored(
    api: Api, version: ModelVersion, settings: dict[str, Any], loc: str, code: str
) -> None:
    answer = put(api, version, **settings)
    assert answer.status_code == 422, answer.content
    assert faults(answer) == {loc: code}
    assert not AlertConfig.objects.exists()


def test_every_fault_is_named_at_once(api: Api, version: ModelVersion) -> None:
    answer = put(
        api,
        version,
        accuracyDropWarning=-1,
        algorithms={"enabled": ["nothing"], "overrides": {"psi": {"params": []}}},
        schedule={"frequency": 1},
    )
    assert set(faults(answer)) == {
        "accuracyDropWarning",
        "algorithms.enabled.0",
        "algorithms.overrides.psi.params",
        "schedule.frequency",
    }


def test_the_model_has_to_be_named(api: Api) -> None:
    assert faults(api("PUT", PATH, {}))["modelId"] == "required"
    assert faults(api.get(PATH))["modelId"] == "missing"


def test_charlie_finds_nothing(version: ModelVersion) -> None:
    stranger = api_of(make_charlie())
    assert stranger.get(f"{PATH}?modelId={version.model.pk}").status_code == 404
    assert put(stranger, version).status_code == 404


def test_a_change_stands_in_the_trail_with_before_and_after(
    api: Api, version: ModelVersion
) -> None:
    put(api, version, accuracyDropWarning=0.02)
    put(api, version, accuracyDropWarning=0.03)
    entry = AuditEntry.objects.filter(action="alerts.changed").order_by("seq").last()
    assert entry is not None
    [payload] = AuditPayload.objects.filter(entry=entry).values_list("content")
    assert b'"before":{"accuracyDropWarning":0.02}' in bytes(payload[0])
    assert b'"after":{"accuracyDropWarning":0.03}' in bytes(payload[0])


def test_the_same_again_is_no_change(api: Api, version: ModelVersion) -> None:
    put(api, version, accuracyDropWarning=0.02)
    before = AuditEntry.objects.count()
    updated = get(api, version)["updatedAt"]
    assert put(api, version, accuracyDropWarning=0.02).status_code == 200
    assert (AuditEntry.objects.count(), get(api, version)["updatedAt"]) == (
        before,
        updated,
    )


@pytest.mark.parametrize(
    ("settings", "loc"),
    [
        ({"enabled": False}, "enabled"),
        ({"algorithms": {"enabled": ["psi", "ks_test"]}}, "algorithms.enabled"),
        (
            {"algorithms": {"overrides": {"psi": {"warningThreshold": 0.2}}}},
            "algorithms.overrides.psi.warningThreshold",
        ),
        (
            {"algorithms": {"overrides": {"ks_test": {"alertThreshold": 0.5}}}},
            "algorithms.overrides.ks_test.alertThreshold",
        ),
        (
            {
                "algorithms": {
                    "overrides": {"chi_square": {"params": {"correction": False}}}
                }
            },
            "algorithms.overrides.chi_square.params",
        ),
        ({"accuracyDropWarning": 0.06}, "accuracyDropWarning"),
        ({"accuracyDropAlert": 0.2}, "accuracyDropAlert"),
        ({"performanceDropRelative": 0.2}, "performanceDropRelative"),
        ({"minBaselineSampleSize": 31}, "minBaselineSampleSize"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("status", ["approved", "deployed", "suspended"])
def test_an_approved_models_alerts_are_never_made_looser(
    api: Api, version: ModelVersion, settings: dict[str, Any], loc: str, status: str
) -> None:
    approve(version, status)
    answer = put(api, version, **settings)
    assert answer.status_code == 409, answer.content
    assert faults(answer) == {loc: "looser"}
    problem = answer.json()
    assert problem["code"] == "approval_required"
    assert "change request" in problem["detail"]
    assert problem["next"]
    assert not AlertConfig.objects.exists()
    # A draft's may be.
    approve(version, "draft")
    assert put(api, version, **settings).status_code == 200


def test_an_approved_models_alerts_can_be_made_stricter(
    api: Api, version: ModelVersion
) -> None:
    approve(version)
    stricter = {
        "algorithms": {
            "enabled": ["psi", "ks_test", "chi_square", "mmd"],
            "overrides": {"psi": {"warningThreshold": 0.05, "alertThreshold": 0.1}},
        },
        "accuracyDropWarning": 0.01,
        "schedule": {"enabled": True, "frequency": "hourly"},
    }
    assert put(api, version, **stricter).status_code == 200
    # Back to what the policy asks for is looser than now.
    answer = put(api, version)
    assert answer.status_code == 409
    assert set(faults(answer)) == {
        "accuracyDropWarning",
        "algorithms.enabled",
        "algorithms.overrides.psi.warningThreshold",
        "algorithms.overrides.psi.alertThreshold",
        "schedule.enabled",
    }


def test_what_was_loose_before_the_approval_may_stay_and_be_tightened(
    api: Api, version: ModelVersion
) -> None:
    put(api, version, accuracyDropAlert=0.3)
    approve(version)
    told = {"accuracyDropAlert": 0.3, "notifications": {"email": True}}
    assert put(api, version, **told).status_code == 200
    # Tighter than before, and still looser than the policy.
    assert put(api, version, accuracyDropAlert=0.2).status_code == 409
    assert put(api, version, accuracyDropAlert=0.1).status_code == 200
