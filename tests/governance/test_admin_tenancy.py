"""The admin shows a person their own organization, and lets nobody rewrite history."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.db import models
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from governance.actions import intakes, invitations, overrides
from governance.actions.override_checks import Terms
from governance.models import Finding, Membership, User
from tests.factories import (
    PASSWORD,
    Person,
    make_alice,
    make_api_key,
    make_bob,
    make_charlie,
    make_member,
    make_user,
)
from tests.measured import make_measured_model, make_prediction

pytestmark = pytest.mark.django_db
TABLES = sorted(admin.site._registry, key=lambda table: table._meta.label)
NAMES = [table._meta.label_lower for table in TABLES]
# What nothing in the admin may ever change.
HISTORY = [
    table
    for table in TABLES
    if table._meta.model_name
    not in {"registeredmodel", "membership", "apikey", "invitation"}
]


def browser(person: Person | User) -> Client:
    user = person if isinstance(person, User) else person.user
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def address(table: type[models.Model], page: str, *arguments: Any) -> str:
    options = table._meta
    name = f"admin:{options.app_label}_{options.model_name}_{page}"
    return reverse(name, args=arguments)


@pytest.fixture
def alice() -> Person:
    person = make_alice()
    version = make_measured_model(person, "Alice's secret model")
    make_prediction(version, "secret-client", label="1")
    make_api_key(person, name="Alice's secret key")
    adoption = intakes.Adoption(version, "production")
    intakes.adopt([adoption], reason="Alice's secret reason", actor=person.actor)
    overrides.propose(
        version,
        environment="production",
        terms=Terms(["index"], "Alice's secret justification"),
        actor=person.actor,
    )
    invitations.invite(
        person.organization,
        email="invited@example.com",
        role=Membership.Role.AUDITOR,
        actor=person.actor,
    )
    return person


def row_of(table: type[models.Model], person: Person) -> models.Model:
    row = table._default_manager.filter(organization=person.organization).first()
    assert row is not None, f"no {table.__name__} to look at"
    return row


def test_whoever_is_in_no_organization_cannot_log_in() -> None:
    make_user("root@example.com", is_staff=True, is_superuser=True)
    client = Client()

    answer = client.post(
        reverse("admin:login"), {"username": "root@example.com", "password": PASSWORD}
    )

    assert "do not match" in answer.content.decode()
    assert "_auth_user_id" not in client.session


def test_a_superuser_without_a_membership_sees_only_the_login(alice: Person) -> None:
    root = make_user("root@example.com", is_staff=True, is_superuser=True)

    answer = browser(root).get(address(TABLES[0], "changelist"))

    assert answer.status_code == 302
    assert answer["Location"].startswith(reverse("admin:login"))


def test_a_member_logs_in_by_e_mail_however_it_is_capitalised(alice: Person) -> None:
    client = Client()

    answer = client.post(
        reverse("admin:login"),
        {"username": alice.user.email.upper(), "password": PASSWORD},
        follow=True,
    )

    assert not alice.user.is_staff
    assert "Command center" in answer.content.decode()


def test_a_removed_member_is_out_at_once(alice: Person) -> None:
    bob = make_bob(alice.organization)
    client = browser(bob)
    assert client.get(reverse("admin:index")).status_code == 200

    Membership.objects.filter(user=bob.user).update(ended_at=timezone.now())

    assert client.get(reverse("admin:index")).status_code == 302


@pytest.mark.parametrize("table", TABLES, ids=NAMES)
def test_a_stranger_lists_nothing_of_another_organization(
    table: type[models.Model], alice: Person
) -> None:
    page = browser(make_charlie()).get(address(table, "changelist")).content.decode()

    assert "secret" not in page
    row = row_of(table, alice)
    assert address(table, "change", row.pk) not in page


@pytest.mark.parametrize("table", TABLES, ids=NAMES)
def test_a_stranger_cannot_tell_a_foreign_row_from_a_missing_one(
    table: type[models.Model], alice: Person
) -> None:
    client, row = browser(make_charlie()), row_of(table, alice)
    missing = "0198c000-0000-7000-8000-000000000000"
    if isinstance(row.pk, int):
        missing = str(row.pk + 1_000_000)

    def answer(pk: Any) -> tuple[int, Any, str]:
        found = client.get(address(table, "change", pk), follow=True)
        page = found.content.decode().replace(f"“{pk}”", "THE-ID")
        page = re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", page)
        return found.status_code, found.redirect_chain, page

    assert answer(row.pk) == answer(missing)
    assert "exist" in answer(row.pk)[2]
    assert (
        "secret" not in client.get(address(table, "history", row.pk)).content.decode()
    )


@pytest.mark.parametrize("table", TABLES, ids=NAMES)
def test_a_member_sees_every_row_of_their_organization(
    table: type[models.Model], alice: Person
) -> None:
    client, row = browser(alice), row_of(table, alice)

    assert client.get(address(table, "changelist")).status_code == 200
    # A model's own page is the portal's.
    answer = client.get(address(table, "change", row.pk), follow=True)
    assert answer.status_code == 200
    assert client.get(address(table, "changelist"), {"q": "x"}).status_code == 200


@pytest.mark.parametrize("table", TABLES, ids=NAMES)
def test_nothing_is_ever_deleted(table: type[models.Model], alice: Person) -> None:
    client, row = browser(alice), row_of(table, alice)

    deleted = client.post(address(table, "delete", row.pk), {"post": "yes"})
    selected = {"action": "delete_selected", "_selected_action": str(row.pk)}
    client.post(address(table, "changelist"), {**selected, "post": "yes"})

    assert deleted.status_code == 403
    assert table._default_manager.filter(pk=row.pk).exists()
    model_admin = admin.site._registry[table]
    assert not model_admin.list_editable
    assert not model_admin.inlines


@pytest.mark.parametrize(
    "table", HISTORY, ids=[table._meta.label_lower for table in HISTORY]
)
def test_history_is_neither_added_nor_changed(
    table: type[models.Model], alice: Person
) -> None:
    client, row = browser(alice), row_of(table, alice)

    assert client.get(address(table, "add")).status_code == 403
    assert client.post(address(table, "add"), {}).status_code == 403
    assert client.post(address(table, "change", row.pk), {}).status_code == 403


@pytest.mark.parametrize("table", TABLES, ids=NAMES)
def test_an_auditor_sees_all_and_changes_nothing(
    table: type[models.Model], alice: Person
) -> None:
    auditor = browser(make_member(alice.organization, Membership.Role.AUDITOR))
    row = row_of(table, alice)

    shown = auditor.get(address(table, "change", row.pk), follow=True)
    assert shown.status_code == 200
    assert auditor.get(address(table, "add")).status_code == 403
    assert auditor.post(address(table, "change", row.pk), {}).status_code == 403


def test_the_audit_trail_is_hidden_from_who_has_no_part_in_it(alice: Person) -> None:
    owner = make_member(alice.organization, Membership.Role.MODEL_OWNER)
    client = browser(owner)
    trail = "/admin/governance/auditentry/"

    assert client.get(trail).status_code == 403
    assert trail not in client.get(reverse("admin:index")).content.decode()


def test_a_person_of_two_organizations_switches_and_stays(alice: Person) -> None:
    charlie = make_charlie()
    make_member(charlie.organization, Membership.Role.AUDITOR, alice.user)
    client, page = browser(alice), reverse("admin:organizations")
    assert "Alice&#x27;s secret model" in client.get("/admin/").content.decode()

    client.get(page, {"organization": charlie.organization.pk})
    assert "Alice&#x27;s secret model" in client.get("/admin/").content.decode()
    client.post(page, {"organization": charlie.organization.pk})

    assert "Alice&#x27;s secret model" not in client.get("/admin/").content.decode()
    # The roles are those of the organization that one sits in: an auditor makes no key.
    assert client.get("/admin/governance/apikey/add/").status_code == 403


@pytest.mark.parametrize("pk", ["charlie", "0", "-1", "x", str(2**70)])
def test_nobody_switches_into_an_organization_that_is_not_theirs(
    alice: Person, pk: str
) -> None:
    foreign = make_charlie().organization.pk
    client = browser(alice)

    client.post(
        reverse("admin:organizations"),
        {"organization": foreign if pk == "charlie" else pk},
    )

    assert "Alice&#x27;s secret model" in client.get("/admin/").content.decode()


def test_forms_and_filters_offer_only_what_belongs_to_the_organization(
    alice: Person,
) -> None:
    charlie = make_charlie()
    make_measured_model(charlie, "Charlie's model")
    client = browser(alice)

    form = client.get("/admin/governance/apikey/add/").content.decode()
    filters = client.get(address(Finding, "changelist")).content.decode()

    assert f'value="{alice.user.pk}"' in form
    assert f'value="{charlie.user.pk}"' not in form
    assert "secret model" in filters
    assert "Charlie" not in filters


def test_the_own_log_of_django_stays_empty(alice: Person) -> None:
    client = browser(alice)

    client.post(
        "/admin/governance/apikey/add/",
        {"name": "k", "environment": "staging", "owner": alice.user.pk}
        | {"scopes": ["mlops:read"]},
    )

    assert not LogEntry.objects.exists()


@pytest.mark.parametrize("path", ["/admin/login/", "/admin/"])
def test_pages_load_nothing_from_elsewhere_and_run_no_inline_script(
    path: str, alice: Person
) -> None:
    answer = (Client() if "login" in path else browser(alice)).get(path)
    page = answer.content.decode()

    outside = re.findall(r'(?:src|href|action)="(?:https?:)?//[^"]*"', page)
    inline = re.findall(r"<script(?![^>]*\bsrc=)[^>]*>", page)
    handlers = re.findall(r"<[^>]+\son[a-z]+=", page)
    assert (outside, inline, handlers) == ([], [], [])
    policy = answer["Content-Security-Policy"]
    scripts = next(part for part in policy.split("; ") if part.startswith("script-src"))
    assert "unsafe-inline" not in scripts
    assert "frame-ancestors 'none'" in policy


@pytest.mark.parametrize("table", TABLES, ids=NAMES)
def test_a_list_costs_the_same_queries_however_long_it_is(
    table: type[models.Model],
    alice: Person,
    django_assert_num_queries: Callable[..., Any],
    django_assert_max_num_queries: Callable[..., Any],
) -> None:
    client, page = browser(alice), address(table, "changelist")
    client.get(page)
    with django_assert_max_num_queries(15) as before:
        client.get(page)

    for number in range(3):
        version = make_measured_model(alice, f"Model {number}")
        make_prediction(version, f"client-{number}", label="0")
        make_api_key(alice, name=f"Key {number}")
        make_member(alice.organization, Membership.Role.VALIDATOR)

    with django_assert_num_queries(len(before.captured_queries)):
        client.get(page)
