"""Asking for an approval on a page: what it says before, and who may."""

import pytest

from governance.models import ApprovalRequest, Membership, ModelVersion
from tests import factories
from tests.factories import Person, make_member
from tests.governance.deploying import make_ready
from tests.portal.conftest import get, post

pytestmark = pytest.mark.django_db
PATH = "/dashboard/models/credit/submit"


@pytest.fixture
def version(alice: Person, bob: Person) -> ModelVersion:
    return make_ready(alice)


def test_it_says_what_is_checked_and_who_is_asked(
    version: ModelVersion, alice: Person, bob: Person
) -> None:
    page = get(alice, PATH)
    assert bob.user.email in page.partition("Who will be asked")[2]
    assert "What will be checked" in page
    assert "within 72 hours" in page
    staging = get(alice, PATH, environment="staging", version="1.0.0")
    assert "what else the gate to staging asks" in staging


def test_asking_leads_to_the_request(
    version: ModelVersion, alice: Person, bob: Person
) -> None:
    answer = post(alice, f"{PATH}?version=1.0.0", reason="Better for students.")
    request = ApprovalRequest.objects.get()
    assert answer["Location"] == f"/approvals/{request.pk}"
    assert request.reason == "Better for students."
    page = get(alice, PATH)
    assert "Somebody has asked for it already" in page
    assert 'name="reason"' not in page
    again = post(alice, f"{PATH}?version=1.0.0", reason="Again.")
    assert again.status_code == 409
    assert ApprovalRequest.objects.count() == 1


def test_a_reason_is_needed(version: ModelVersion, alice: Person) -> None:
    answer = post(alice, PATH, reason=" ")
    assert answer.status_code == 422
    assert not ApprovalRequest.objects.exists()


@pytest.mark.parametrize("role", ["auditor", "compliance_officer", "validator"])
def test_who_does_not_own_models_sees_no_form(
    version: ModelVersion, alice: Person, role: str
) -> None:
    visitor = make_member(alice.organization, role)
    page = get(visitor, PATH)
    assert 'name="reason"' not in page
    assert "Only a person with the role owner or model owner" in page
    assert post(visitor, PATH, reason="Why not.").status_code == 403
    assert not ApprovalRequest.objects.exists()


def test_a_model_owner_may(version: ModelVersion, alice: Person) -> None:
    owner = make_member(alice.organization, Membership.Role.MODEL_OWNER)
    assert post(owner, PATH, reason="It is time.").status_code == 302


def test_another_organizations_model_is_a_missing_one(
    version: ModelVersion, charlie: Person
) -> None:
    assert post(charlie, PATH, reason="Mine now.").status_code == 404
    assert post(charlie, PATH.replace("credit", "none")).status_code == 404
    assert not ApprovalRequest.objects.exists()


def test_an_unknown_version_is_a_missing_one(
    version: ModelVersion, alice: Person
) -> None:
    assert post(alice, f"{PATH}?version=9", reason="?").status_code == 404


def test_too_few_voters_are_told_before_and_refused_after(alice: Person) -> None:
    make_ready(alice)
    assert "Too few may vote" in get(alice, PATH)
    answer = post(alice, PATH, reason="Nobody is there.")
    assert answer.status_code == 409
    assert "of them may vote on this" in answer.content.decode()


def test_what_is_approved_leads_on(alice: Person, bob: Person) -> None:
    factories.approve(make_ready(alice))
    assert "Next, it is deployed" in get(alice, PATH)


def test_a_model_without_versions_says_how_to_get_one(alice: Person) -> None:
    from governance.actions import registry

    registration = registry.Registration("Credit", "1.0.0")
    model = registry.register(alice.organization, registration, actor=alice.actor).model
    page = get(alice, f"/dashboard/models/{model.slug}/submit")
    assert "Ask for approval" in page
