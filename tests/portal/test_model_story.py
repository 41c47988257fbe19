"""A model's page tells why it is in its state, who acts next, and what happened."""

import csv
import io
import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from driftguard.portal.model_pages import model_state
from driftguard.portal.reasons import MOST_DECISIONS
from driftguard.portal.timelines import timeline
from governance.actions import deployments, findings, suspensions
from governance.admin.tenancy import Seat
from governance.models import Assessment, Finding, ModelVersion
from tests.factories import Person, close_finding, make_version, submit
from tests.governance.deploying import (
    make_approved,
    make_ready,
    measure,
)
from tests.measured import NOW, make_measured_model, make_prediction
from tests.portal.conftest import browser

pytestmark = pytest.mark.django_db


def words_of(person: Person, version: ModelVersion) -> str:
    answer = browser(person).get(f"/dashboard/models/{version.model.slug}")
    assert answer.status_code == 200
    return " ".join(re.sub(r"<[^>]+>", " ", answer.content.decode()).split())


def deploy(version: ModelVersion, person: Person) -> Any:
    return deployments.deploy(
        version, environment="production", reason="It is due.", actor=person.actor
    )


# Unfold asks with naive times; these are UTC.
@pytest.mark.filterwarnings("ignore:DateTimeField Prediction.timestamp received")
def test_a_blocked_model_says_since_when_why_and_who_acts(alice: Person) -> None:
    version = make_measured_model(alice)
    before = NOW
    assessment = Assessment.objects.get(version=version)
    Assessment.objects.update(since=before)
    for number, minutes in enumerate((-1, 1, 2)):
        at = before + timedelta(minutes=minutes)
        make_prediction(version, f"client-{number}", at=at)

    page = words_of(alice, version)

    evidence = assessment.verdict["failed"][0]["evidence"]
    sentence = (
        f"Blocked since {before:%Y-%m-%d %H:%M} UTC: {evidence}, rule R1 of policy 1"
    )
    assert sentence.replace(">", "&gt;") in page
    assert "; 2 decisions since; next: its owner works on" in page
    path = f"/dashboard/models/{version.model.slug}"
    source = browser(alice).get(path).content.decode()
    assert f"/admin/governance/evidence/{assessment.evidence_id}/change/" in source
    (listed,) = re.findall(
        r'href="(/admin/monitoring/prediction/\?[^"]*_0=[^"]*)"', source
    )
    rows = browser(alice).get(listed.replace("&amp;", "&")).content.decode()
    assert "client-0" not in rows
    assert "client-2" in rows


def test_nobody_waits_for_the_count_of_a_million(
    alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MOST_DECISIONS == 10_000
    monkeypatch.setattr("driftguard.portal.reasons.MOST_DECISIONS", 1)
    version = make_measured_model(alice)
    Assessment.objects.update(since=timezone.now() - timedelta(days=3650))
    for number in range(3):
        make_prediction(version, f"client-{number}")

    assert "more than 1 decisions since" in words_of(alice, version)


def test_each_step_of_a_life_names_the_next_one(alice: Person, bob: Person) -> None:
    version = make_ready(alice)
    assert "next: its owner sends a baseline" in words_of(alice, version)
    measure(version)
    assert "next: its owner asks for its approval. Ask for approval" in words_of(
        alice, version
    )
    submit(version)
    assert "next: those who were asked vote on it" in words_of(alice, version)


def test_what_is_deployed_and_blocked_waits_for_an_officer(
    alice: Person, bob: Person
) -> None:
    version = make_approved(alice)
    deployment = deploy(measure(version), alice)
    page = words_of(alice, version)
    assert "Within limits since" in page
    assert "every rule holds and the risk index is" in page
    assert "next: nothing; it is watched." in page
    assert "Permit given Production , 1.0.0: one that is asked for now ends at" in page

    measure(version, drift=0.9)
    page = words_of(alice, version)
    assert "next: a compliance officer suspends it in production" in page
    assert (
        "No permit Production , 1.0.0: Credit 1.0.0 in production is blocked:" in page
    )

    suspensions.suspend(deployment, reason="It refuses the north.", actor=bob.actor)
    page = words_of(alice, version)
    assert "next: its owner works on 1 open finding. Open the findings" in page
    assert "is suspended: It refuses the north." in page


def test_what_is_not_deployed_has_no_permit(alice: Person) -> None:
    page = words_of(alice, make_version(alice))
    assert "No permit Nothing of this model is deployed" in page


def test_the_time_line_has_everything_the_newest_first(
    alice: Person, bob: Person
) -> None:
    version = make_approved(alice)
    measure(version)
    deployment = deploy(version, alice)
    suspensions.suspend(deployment, reason="It refuses the north.", actor=bob.actor)
    finding = findings.open_finding(
        version, cause="x", severity="high", title="It drifts", actor=alice.actor
    )
    close_finding(finding, alice)

    events = timeline(version.model)

    moments = [one.at for one in events]
    assert moments == sorted(moments, reverse=True)
    told = [(one.kind, one.badge.words) for one in reversed(events)]
    assert told == [
        ("version", "Registered"),
        ("approval", "Asked for"),
        ("approval", "Applied"),
        ("status", "Within limits"),
        ("deployment", "Deployed"),
        ("deployment", "Suspended"),
        ("finding", "High"),
        ("finding", "Closed"),
    ]
    assert "It refuses the north." in words_of(alice, version)


def test_an_old_row_that_changed_now_is_not_missing(alice: Person) -> None:
    version = make_version(alice)
    old = findings.open_finding(
        version, cause="old", severity="high", title="Old", actor=alice.actor
    )
    Finding.objects.update(opened_at=timezone.now() - timedelta(days=30))
    for number in range(5):
        findings.open_finding(
            version, cause=f"{number}", severity="low", title="New", actor=alice.actor
        )
    close_finding(old, alice)

    (newest, *_others) = timeline(version.model, most=3)

    assert (newest.badge.words, newest.words) == ("Closed", "Old")


def test_the_time_line_is_a_file_without_formulas(alice: Person) -> None:
    version = make_version(alice, name="Sums", version="=1+1")

    answer = browser(alice).get("/dashboard/models/sums/timeline.csv")

    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert answer["Content-Disposition"] == 'attachment; filename="sums-timeline.csv"'
    header, row = csv.reader(io.StringIO(answer.content.decode()))
    assert header == ["at", "kind", "state", "of", "detail"]
    assert row[1:4] == ["version", "Registered", f"'=1+1, by {version.created_by}"]


@pytest.mark.parametrize("path", ["", "/timeline.csv"])
def test_another_organizations_model_is_a_missing_one(
    alice: Person, charlie: Person, path: str
) -> None:
    make_version(alice, name="Credit")
    address = f"/dashboard/models/credit{path}"

    assert browser(charlie).get(address).status_code == 404
    assert browser(charlie).get(f"/dashboard/models/none{path}").status_code == 404
    assert browser(alice).post(address).status_code == 405
    assert Client().get(address)["Location"].startswith("/admin/login/")


def test_another_organization_with_the_same_slug_sees_its_own(
    alice: Person, charlie: Person
) -> None:
    mine, other = make_approved(alice), make_ready(charlie)
    seat = Seat(charlie.user, charlie.organization, frozenset({"owner"}), ())

    state = model_state(other.model, seat)

    assert mine.model.slug == other.model.slug
    assert {one.kind for one in state.events} == {"version"}


def test_the_admin_leads_to_the_page_and_edits_beside_it(alice: Person) -> None:
    version = make_version(alice, name="Credit")
    address = f"/admin/governance/registeredmodel/{version.model_id}/change/"

    assert browser(alice).get(address)["Location"] == "/dashboard/models/credit"
    assert (
        f'href="{address}?edit=1"'
        in browser(alice).get("/dashboard/models/credit").content.decode()
    )
    assert "Purpose" in browser(alice).get(f"{address}?edit=1").content.decode()


def test_a_reader_is_not_offered_to_edit(alice: Person, auditor: Person) -> None:
    version = make_version(alice)
    page = words_of(auditor, version)
    assert "Edit registration" not in page
    assert "Run an analysis" not in page


def test_a_retired_model_says_so(alice: Person) -> None:
    version = make_version(alice)
    type(version.model).objects.update(retired_at=timezone.now())
    assert "next: nothing; the model is retired" in words_of(alice, version)
