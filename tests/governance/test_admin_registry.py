"""The registration of a model is edited through its deed."""

import pytest
from django.test import Client

from governance.actions import registry
from governance.models import AuditEntry, Membership, RegisteredModel
from tests.factories import (
    Person,
    approve,
    make_alice,
    make_bob,
    make_charlie,
    make_member,
)

pytestmark = pytest.mark.django_db


def browser(person: Person) -> Client:
    client = Client()
    client.force_login(person.user, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def alice() -> Person:
    return make_alice()


@pytest.fixture
def model(alice: Person) -> RegisteredModel:
    registration = registry.Registration("Credit default", "1.0.0")
    version = registry.register(alice.organization, registration, actor=alice.actor)
    return version.model


def page_of(model: RegisteredModel) -> str:
    return f"/admin/governance/registeredmodel/{model.pk}/change/"


def form(owner: Person, **changes: object) -> dict[str, object]:
    fields = {"description": "", "purpose": "", "external_ref": "", "risk_tier": ""}
    return {**fields, "cadence": "stream", "owner": owner.user.pk, **changes}


def test_an_owner_edits_the_registration_and_the_trail_tells(
    alice: Person, model: RegisteredModel
) -> None:
    answer = browser(alice).post(
        f"{page_of(model)}?edit=1", form(alice, risk_tier="low", purpose="Scoring")
    )

    assert answer.status_code == 302
    model.refresh_from_db()
    assert (model.risk_tier, model.purpose) == ("low", "Scoring")
    entry = AuditEntry.objects.filter(object_type="registeredmodel").latest("seq")
    assert entry.actor_id == str(alice.user.pk)


def test_the_name_and_the_organization_cannot_be_smuggled_in(
    alice: Person, model: RegisteredModel
) -> None:
    foreign = make_charlie().organization
    smuggled = {"name": "Another", "slug": "another", "organization": foreign.pk}

    browser(alice).post(f"{page_of(model)}?edit=1", form(alice, **smuggled))

    model.refresh_from_db()
    assert (model.name, model.organization) == ("Credit default", alice.organization)


def test_a_stranger_cannot_become_its_owner(
    alice: Person, model: RegisteredModel
) -> None:
    answer = browser(alice).post(f"{page_of(model)}?edit=1", form(make_charlie()))

    assert "Select a valid choice" in answer.content.decode()


def test_what_an_approval_rests_on_is_refused_in_words(
    alice: Person, model: RegisteredModel
) -> None:
    approve(model.versions.get())

    answer = browser(alice).post(
        f"{page_of(model)}?edit=1", form(alice, risk_tier="low"), follow=True
    )

    assert "is approved; risk_tier can be changed only" in answer.content.decode()
    model.refresh_from_db()
    assert model.risk_tier == ""


@pytest.mark.parametrize(
    ("role", "status"),
    [
        (Membership.Role.OWNER, 200),
        (Membership.Role.MODEL_OWNER, 200),
        (Membership.Role.AUDITOR, 403),
        (Membership.Role.COMPLIANCE_OFFICER, 403),
    ],
)
def test_only_owners_of_models_edit_them(
    alice: Person, model: RegisteredModel, role: str, status: int
) -> None:
    person = make_member(alice.organization, role)
    changed = form(person, purpose="changed")

    answer = browser(person).post(f"{page_of(model)}?edit=1", changed, follow=True)

    assert answer.status_code == status
    model.refresh_from_db()
    assert (model.purpose == "changed") == (status == 200)


def test_the_button_is_there_for_who_may_use_it(
    alice: Person, model: RegisteredModel
) -> None:
    bob = make_bob(alice.organization)

    for person, is_offered in ((alice, True), (bob, False)):
        page = browser(person).get(page_of(model), follow=True).content.decode()
        assert ("Edit registration" in page) == is_offered


@pytest.mark.parametrize(
    ("health", "is_listed"),
    [("BLOCKED", False), ("NOT_ASSESSED", True), ("APPROVED", False), ("", True)],
)
def test_the_list_is_filtered_by_health(
    alice: Person, model: RegisteredModel, health: str, is_listed: bool
) -> None:
    page = browser(alice).get("/admin/governance/registeredmodel/", {"health": health})

    assert (page_of(model) in page.content.decode()) == is_listed
