"""Alert settings as values and as rows."""

import pytest
from django.db import IntegrityError, transaction

from monitoring.alerting.settings import (
    DEFAULT_ALGORITHMS,
    AlertSettings,
    Channels,
    Override,
    Schedule,
)
from monitoring.models import AlertConfig
from monitoring.stats.drift import VOTING
from tests.factories import make_alice, make_model

STRICT = AlertSettings(
    algorithms=("psi", "mmd"),
    overrides={"psi": Override(0.05, 0.1), "mmd": Override(params={"seed": 7})},
    accuracy_drop_warning=0.01,
    accuracy_drop_alert=0.02,
    performance_drop_relative=0.1,
    min_baseline_sample_size=100,
    channels=Channels(
        email=True, slack="https://hooks.example.com/x", recipients=("a@example.com",)
    ),
    schedule=Schedule(enabled=True, frequency="weekly", window_days=14),
)


def test_the_default_algorithms_are_those_that_vote() -> None:
    assert set(DEFAULT_ALGORITHMS) == VOTING


def test_the_defaults_are_those_of_the_interface() -> None:
    told = AlertSettings().to_json()
    assert told["enabled"] is True
    assert told["accuracyDropWarning"] == 0.05
    assert told["accuracyDropAlert"] == 0.10
    assert told["performanceDropRelative"] == 0.15
    assert told["minBaselineSampleSize"] == 30
    assert told["schedule"]["enabled"] is False


@pytest.mark.django_db
def test_a_row_keeps_every_setting() -> None:
    model = make_model(make_alice())
    config = AlertConfig(organization_id=model.organization_id, model=model)
    assert config.settings == AlertSettings()
    config.settings = STRICT
    config.save()
    assert AlertConfig.objects.get(model=model).settings == STRICT


@pytest.mark.django_db
@pytest.mark.parametrize(
    "wrong",
    [
        {"accuracy_drop_warning": -0.1},
        {"accuracy_drop_warning": 0.3},
        {"performance_drop_relative": 0},
        {"min_baseline_sample_size": 0},
        {"schedule_frequency": "yearly"},
        {"schedule_window_days": 0},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_the_database_refuses_what_makes_no_sense(wrong: dict[str, object]) -> None:
    model = make_model(make_alice())
    with pytest.raises(IntegrityError), transaction.atomic():
        AlertConfig.objects.create(
            organization_id=model.organization_id, model=model, **wrong
        )
