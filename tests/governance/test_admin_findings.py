"""The buttons on a finding's page do the deeds, and show what those refuse."""

import pytest
from django.contrib.messages import get_messages
from django.http import HttpResponse

from governance.actions import finding_actions, findings
from governance.models import AuditEntry, Finding, FindingAction, Membership
from tests import factories
from tests.factories import PASSWORD, Person
from tests.governance.test_admin_tenancy import address, browser

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice() -> Person:
    return factories.make_alice()


@pytest.fixture
def bob(alice: Person) -> Person:
    return factories.make_bob(alice.organization)


@pytest.fixture
def finding(alice: Person) -> Finding:
    return findings.open_finding(
        factories.make_version(alice),
        cause="R1:age",
        severity="critical",
        title="age drifts",
        actor=None,
    )


def press(
    person: Person, finding: Finding, button: str, **fields: object
) -> HttpResponse:
    path = address(Finding, "change", finding.pk).replace("change/", f"{button}/")
    return browser(person).post(path, {"sent": "on", **fields})


def said(response: HttpResponse) -> list[str]:
    return [str(one) for one in get_messages(response.wsgi_request)]


def test_a_finding_goes_through_by_buttons(
    finding: Finding, alice: Person, bob: Person
) -> None:
    started = press(alice, finding, "start")
    assert said(started) == ["The finding is in progress."]
    assert started["HX-Redirect"] == address(Finding, "change", finding.pk)
    press(alice, finding, "comment", text="<b>The feed</b> broke.")
    press(alice, finding, "resolve", reason="Repaired.")
    assert said(press(alice, finding, "close", reason="x")) == [
        "This needs a person with the role compliance officer."
    ]
    assert said(press(bob, finding, "close", reason="Seen.")) == [
        "The finding is closed."
    ]
    finding.refresh_from_db()
    assert finding.status == "closed"
    page = browser(bob).get(address(Finding, "change", finding.pk)).content.decode()
    assert "&lt;b&gt;The feed&lt;/b&gt; broke." in page
    assert f"by {bob.user.email}" in page


def test_a_dialog_without_its_reason_does_nothing(
    finding: Finding, alice: Person
) -> None:
    press(alice, finding, "start")
    response = press(alice, finding, "resolve", reason="")
    assert "This field is required" in response.content.decode()
    finding.refresh_from_db()
    assert finding.status == "in_progress"


def test_a_risk_is_accepted_with_the_password_only(
    finding: Finding, alice: Person, bob: Person
) -> None:
    press(
        alice,
        finding,
        "ask_for",
        kind="accept_risk",
        note="Soon.",
        until="2099-01-01",
    )
    assert not FindingAction.objects.exists()  # more than a year
    asked = finding_actions.request(
        finding, kind="retrain", note="Soon.", actor=alice.actor
    )
    fields = {"action": asked.pk, "decision": "done", "reason": "Done."}
    wrong = press(bob, finding, "decide", **fields, password="guess")
    assert "The password is wrong" in wrong.content.decode()
    assert said(press(bob, finding, "decide", **fields, password=PASSWORD)) == [
        "Retrain the model: done."
    ]
    entry = AuditEntry.objects.get(action="finding.action_decided")
    assert b'"method":"password"' in bytes(entry.body)


def test_versions_of_other_models_are_not_offered(
    finding: Finding, alice: Person
) -> None:
    other = factories.make_version(alice, version="other-1")
    better = factories.make_version(
        alice, name=finding.version.model.name, version="better-1"
    )
    path = address(Finding, "change", finding.pk)
    dialog = browser(alice).get(path.replace("change/", "declare_remediated/"))
    assert "better-1" in dialog.content.decode()
    assert "other-1" not in dialog.content.decode()
    for version in (other, better):
        press(
            alice, finding, "declare_remediated", version=version.pk, reason="Trained."
        )
    assert [one.version for one in finding.remediations.all()] == [better]


def test_an_auditor_is_offered_no_button(finding: Finding, alice: Person) -> None:
    auditor = factories.make_member(alice.organization, Membership.Role.AUDITOR)
    page = browser(auditor).get(address(Finding, "change", finding.pk))
    assert page.status_code == 200
    assert "/start/" not in page.content.decode()
    assert press(auditor, finding, "start").status_code == 403
    finding.refresh_from_db()
    assert finding.status == "open"


def test_a_stranger_presses_nothing(finding: Finding) -> None:
    response = press(factories.make_charlie(), finding, "start")
    assert response.status_code in {403, 404}
    finding.refresh_from_db()
    assert finding.status == "open"
