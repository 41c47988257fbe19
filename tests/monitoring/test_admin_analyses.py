"""Analyses in the admin: asked for, followed, given up, and read."""

import re
from typing import Any

import pytest
from django.test import Client

from governance.models import AuditEntry, Membership, ModelVersion
from monitoring.actions import analysis_job
from monitoring.models import AnalysisRun, DriftResult
from tests.factories import Person, make_alice, make_charlie, make_member
from tests.governance.test_admin_tenancy import browser
from tests.measured import make_measured_model
from tests.monitoring import analysed, traffic
from tests.monitoring.test_refresh import answers, give_baseline, make_version, rows

pytestmark = pytest.mark.django_db
HOSTILE = "<script>alert(1)</script>{{7*7}}"


@pytest.fixture
def alice() -> Person:
    return make_alice()


@pytest.fixture
def version(alice: Person) -> ModelVersion:
    version = make_version(person=alice)
    give_baseline(version)
    receipt = traffic.log(version, rows(400, shift=0.9))
    traffic.label(version, answers(receipt, wrong=0.2))
    traffic.live(version)
    return version


def model_page(version: ModelVersion) -> str:
    return f"/admin/governance/registeredmodel/{version.model_id}/change/"


def ask(client: Client, version: ModelVersion) -> Any:
    return client.post(model_page(version) + "analyse/", follow=True)


def words_of(client: Client, path: str) -> str:
    page = client.get(path, follow=True).content.decode()
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def test_an_owner_asks_on_the_model_s_page_and_reads_the_result(
    alice: Person, version: ModelVersion
) -> None:
    client = browser(alice)
    assert "Run an analysis" in words_of(client, model_page(version))
    answer = ask(client, version)
    run = AnalysisRun.objects.get()
    assert answer.redirect_chain[-1][0].endswith(f"/{run.pk}/change/")
    assert "waits for a worker" in answer.content.decode()
    assert (run.requested_by, run.status) == (alice.user, "queued")
    entry = AuditEntry.objects.get(action="analysis.requested")
    assert entry.actor_label == alice.user.email
    assert analysis_job.work()
    page = words_of(client, model_page(version))
    assert "Succeeded" in page
    result = DriftResult.objects.get()
    told = words_of(client, f"/admin/monitoring/driftresult/{result.pk}/change/")
    assert "Root cause" in told
    assert "PCA reconstruction" in told
    assert "accuracy 0.8" in told
    assert result.provenance["rows_digest"] in told
    assert "most in x" in told


def test_who_only_watches_is_offered_no_analysis(
    alice: Person, version: ModelVersion
) -> None:
    auditor = make_member(alice.organization, Membership.Role.AUDITOR)
    client = browser(auditor)
    assert "Run an analysis" not in words_of(client, model_page(version))
    assert ask(client, version).status_code == 403
    assert not AnalysisRun.objects.exists()


def test_a_stranger_finds_no_model_to_analyse(version: ModelVersion) -> None:
    answer = ask(browser(make_charlie()), version)
    assert version.model.name not in answer.content.decode()
    assert not AnalysisRun.objects.exists()


def test_looking_at_the_address_asks_for_nothing(
    alice: Person, version: ModelVersion
) -> None:
    answer = browser(alice).get(model_page(version) + "analyse/")
    assert answer.status_code == 405
    assert not AnalysisRun.objects.exists()


def test_a_forged_form_is_refused(alice: Person, version: ModelVersion) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice.user, backend="django.contrib.auth.backends.ModelBackend")
    assert client.post(model_page(version) + "analyse/").status_code == 403


def test_without_a_baseline_the_page_says_what_is_missing(alice: Person) -> None:
    bare = make_version(person=alice, name="Bare")
    answer = ask(browser(alice), bare)
    assert "has no baseline yet" in answer.content.decode()


def test_a_waiting_analysis_is_given_up_by_a_button(
    alice: Person, version: ModelVersion
) -> None:
    run = analysed.request(version)
    path = f"/admin/monitoring/analysisrun/{run.pk}/"
    client = browser(alice)
    assert "Cancel the analysis" in words_of(client, path + "change/")
    address = f"/admin/monitoring/analysisrun/{run.pk}/cancel/"
    client.post(address, {"sent": "True"}, headers={"HX-Request": "true"})
    assert AnalysisRun.objects.get().status == "cancelled"


def test_a_failed_analysis_shows_its_reason(
    alice: Person, version: ModelVersion
) -> None:
    run = analysed.request(version)
    AnalysisRun.objects.update(configuration={})
    analysis_job.work()
    client = browser(alice)
    for path in (
        model_page(version),
        f"/admin/monitoring/analysisrun/{run.pk}/change/",
    ):
        assert analysis_job.INTERNAL.split(":")[0] in words_of(client, path)


def test_what_clients_sent_stays_text(alice: Person) -> None:
    version = make_measured_model(alice, HOSTILE)
    result = DriftResult.objects.get()
    result.root_cause["slices"] = [
        {
            "feature": HOSTILE,
            "category": HOSTILE,
            "low": None,
            "high": None,
            "is_missing": False,
            "window_share": 0.2,
            "baseline_share": 0.1,
            "before": 0.3,
            "after": 0.1,
            "fall_share": 0.6,
        }
    ]
    result.algorithms["mine"] = {
        **result.algorithms["psi"],
        "family": "custom",
        "reason": HOSTILE,
    }
    result.save()
    client = browser(alice)
    for path in (
        f"/admin/monitoring/driftresult/{result.pk}/change/",
        "/admin/monitoring/driftresult/",
        "/admin/monitoring/analysisrun/",
        model_page(version),
    ):
        page = client.get(path).content.decode()
        assert "<script>alert" not in page
        assert "49" not in re.findall(r"alert\(1\)[^<]{0,40}", page)
    assert "60.0%" in words_of(
        client, f"/admin/monitoring/driftresult/{result.pk}/change/"
    )


def test_a_missing_result_is_answered_like_another_s(
    alice: Person, version: ModelVersion
) -> None:
    theirs = make_measured_model(make_charlie())
    result = DriftResult.objects.get(version=theirs)
    client = browser(alice)
    answers_to = [
        client.get(f"/admin/monitoring/driftresult/{pk}/change/")
        for pk in (result.pk, "01989f5e-0000-7000-8000-000000000000")
    ]
    assert {one.status_code for one in answers_to} == {302}
    assert len({one["Location"] for one in answers_to}) == 1
