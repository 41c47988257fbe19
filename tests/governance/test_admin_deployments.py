"""The buttons of overrides and deployments do the deeds, and show what those refuse."""

import pytest
from django.db import models
from django.http import HttpResponse

from governance.actions import deployments, overrides
from governance.actions.override_checks import Terms
from governance.models import Deployment, ModelVersion, Override
from tests import factories
from tests.factories import PASSWORD, Person
from tests.governance.deploying import REASON, again, make_approved, measure
from tests.governance.test_admin_findings import said
from tests.governance.test_admin_tenancy import address, browser

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice() -> Person:
    return factories.make_alice()


@pytest.fixture
def bob(alice: Person) -> Person:
    return factories.make_bob(alice.organization)


@pytest.fixture
def version(alice: Person, bob: Person) -> ModelVersion:
    return make_approved(alice)


def press(person: Person, row: models.Model, button: str, **fields) -> HttpResponse:
    path = address(type(row), "change", row.pk).replace("change/", f"{button}/")
    return browser(person).post(path, {"sent": "on", **fields})


def test_an_override_is_granted_by_a_second_person_with_the_password(
    version: ModelVersion, alice: Person, bob: Person
) -> None:
    override = overrides.propose(
        measure(version, ratio=0.5),
        environment="production",
        terms=Terms(["R7"], REASON),
        actor=alice.actor,
    )
    grant = {"reason": "Small exposure.", "password": PASSWORD}
    own = press(alice, override, "approve", **grant)
    assert said(own) == ["This needs a person with the role compliance officer."]
    wrong = press(bob, override, "approve", **{**grant, "password": "guess"})
    assert "The password is wrong" in wrong.content.decode()
    assert said(press(bob, override, "begin_review")) == [
        "The override is under review."
    ]
    assert said(press(bob, override, "approve", **grant)) == ["The override is active."]
    extended = press(alice, override, "extend", justification=REASON)
    assert "was proposed" in said(extended)[0]
    assert said(press(bob, override, "revoke", reason="A complaint.")) == [
        "The override is revoked."
    ]
    override = Override.objects.get(pk=override.pk)
    assert override.status == "revoked"
    page = browser(bob).get(address(Override, "change", override.pk)).content.decode()
    assert "A complaint." in page


def test_a_deployment_is_suspended_at_once_and_resumed_through_the_gate(
    version: ModelVersion, alice: Person, bob: Person
) -> None:
    made = deployments.deploy(version, environment="production", actor=alice.actor)
    assert said(press(bob, made, "suspend", reason="All refused.")) == [
        "The deployment is suspended."
    ]
    assert again(made).is_suspended
    assert "role" in said(press(bob, made, "resume"))[0]
    assert "goes on" in said(press(alice, made, "resume"))[0]
    assert Deployment.objects.live().count() == 1
    assert (
        "no break-glass"
        in said(press(bob, made, "ratify", word="yes", reason="x", password=PASSWORD))[
            0
        ]
    )
