"""Each chart of a model's page is a table first, and a file; and is kept up to date."""

import csv
import io
import json
import re
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from driftguard.portal.model_charts import TABLES
from governance.actions import findings
from governance.models import Assessment, ModelVersion, RiskScore
from monitoring.models import LiveResult, Prediction
from tests.factories import Person, make_version
from tests.measured import make_measured_model, make_prediction
from tests.portal.conftest import browser
from tests.recorded import record_days, record_performance

pytestmark = pytest.mark.django_db
PAGE = "/dashboard/models/credit-default"
HTMX = {"HX-Request": "true"}


@pytest.fixture
def version(alice: Person) -> ModelVersion:
    return make_measured_model(alice)


def rows_of(person: Person, name: str) -> list[list[str]]:
    answer = browser(person).get(f"{PAGE}/data/{name}.csv")
    assert answer.status_code == 200
    return list(csv.reader(io.StringIO(answer.content.decode())))


def drawn(person: Person, name: str) -> dict[str, Any]:
    """Return what the page brings along for a chart."""
    page = browser(person).get(PAGE).content.decode()
    (text,) = re.findall(rf'id="data-{name}"[^>]*>(.*?)</script>', page)
    data: dict[str, Any] = json.loads(text)
    return data


def test_the_parts_of_the_risk_add_up_to_it(
    alice: Person, version: ModelVersion
) -> None:
    header, row = rows_of(alice, "risk")
    assert header[1:] == ["Risk index", "Drift part", "Fairness part", "Health"]
    score, drift, fairness = map(float, row[1:4])
    assert score == pytest.approx(RiskScore.objects.get().score)
    assert drift + fairness == pytest.approx(score)
    assert row[4] == "Blocked"


def test_a_chart_is_drawn_from_what_the_file_has(
    alice: Person, version: ModelVersion
) -> None:
    data = drawn(alice, "risk")

    _header, row = rows_of(alice, "risk")
    assert [str(cell) for cell in data["rows"][0]] == row
    assert [one["value"] for one in data["limits"]] == [50, 80]
    evidence = Assessment.objects.get(version=version).evidence_id
    assert data["addresses"] == [f"/admin/governance/evidence/{evidence}/change/"]


def test_what_was_not_measured_is_no_part_of_the_risk(
    alice: Person, version: ModelVersion
) -> None:
    RiskScore.objects.update(fairness_component=None)
    _header, row = rows_of(alice, "risk")
    assert row[3] == ""


def test_the_heat_map_has_features_from_top_and_days_from_left(
    alice: Person, version: ModelVersion
) -> None:
    record_days(
        version,
        {"income": 0.01, "region": 0.02, "__score__": 0.0},
        {"income": 0.9, "region": 0.02},
    )

    assert rows_of(alice, "drift") == [
        ["Feature", "2026-03-31", "2026-04-01"],
        ["income", "0.01", "0.9"],
        ["region", "0.02", "0.02"],
        ["The model's score", "0.0", ""],
    ]


def test_performance_shows_both_sources_and_how_ripe_the_labels_are(
    alice: Person, version: ModelVersion
) -> None:
    record_performance(version, labels=900, realized=0.91, estimated=0.9)
    record_performance(version, labels=20, realized=None, estimated=0.8, day=1)

    _header, ripe, early = rows_of(alice, "performance")

    assert ripe[:4] == ["2026-03-31", "1000", "90.0", "mature"]
    assert [float(cell) for cell in ripe[4:]] == pytest.approx(
        [0.91, 0.90, 0.92, 0.9, 0.89, 0.91]
    )
    assert early[2:7] == ["2.0", "still to come", "", "", ""]
    assert float(early[7]) == 0.8
    LiveResult.objects.update(
        performance={"baseline": {"metrics": {"accuracy": {"value": 0.93}}}}
    )
    (limit,) = drawn(alice, "performance")["limits"]
    assert (limit["value"], limit["words"]) == (0.93, "Baseline")


def test_groups_stand_against_the_minimum_of_the_policy(
    alice: Person, version: ModelVersion
) -> None:
    data = drawn(alice, "fairness")
    names = {row[0]: row[3] for row in data["rows"]}
    assert names == {"SEX = 1": 1.0, "SEX = 2": pytest.approx(148 / 150)}
    assert data["limits"][0]["value"] == 0.8


@pytest.mark.parametrize("name", sorted(TABLES))
def test_another_organizations_figures_are_missing_ones(
    alice: Person, charlie: Person, version: ModelVersion, name: str
) -> None:
    address = f"{PAGE}/data/{name}.csv"
    assert browser(charlie).get(address).status_code == 404
    assert Client().get(address)["Location"].startswith("/admin/login/")
    # A model of the same name has its own figures: none.
    other = make_version(charlie, name="Credit default")
    type(other.model).objects.filter(pk=other.model_id).update(current_version=other)
    assert len(rows_of(charlie, name)) == 1


def test_there_is_no_file_of_what_is_no_chart(
    alice: Person, version: ModelVersion
) -> None:
    assert browser(alice).get(f"{PAGE}/data/secrets.csv").status_code == 404
    new = make_version(alice, name="New").model
    type(new).objects.filter(pk=new.pk).update(current_version=None)
    path = "/dashboard/models/new/data/risk.csv"
    assert browser(alice).get(path).status_code == 404


def mark(page: str) -> str:
    (found,) = re.findall(r"\?seen=(\w+)", page)
    return str(found)


def test_a_page_that_is_as_seen_is_not_sent_again(
    alice: Person, version: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The five minutes may end while we look.
    now = timezone.now()
    monkeypatch.setattr("driftguard.portal.model_pages.timezone.now", lambda: now)
    client = browser(alice)
    seen = mark(client.get(PAGE).content.decode())

    def refresh() -> Any:
        return client.get(PAGE, {"seen": seen}, headers=HTMX)

    assert refresh().status_code == 204
    findings.open_finding(
        version, cause="x", severity="high", title="It drifts", actor=alice.actor
    )
    answer = refresh()
    text = answer.content.decode()
    assert answer.status_code == 200
    assert text.lstrip().startswith('<div class="dg" id="model"')
    assert "It drifts" in text
    assert "HX-Request" in answer["Vary"]
    seen = mark(text)
    assert refresh().status_code == 204
    Assessment.objects.filter(version=version).update(evaluated_at=now)
    assert refresh().status_code == 200


def test_what_others_do_elsewhere_sends_nothing_again(
    alice: Person, charlie: Person, version: ModelVersion
) -> None:
    client = browser(alice)
    seen = mark(client.get(PAGE).content.decode())
    findings.open_finding(
        make_version(charlie),
        cause="x",
        severity="high",
        title="It drifts",
        actor=charlie.actor,
    )
    assert mark(client.get(PAGE).content.decode()) == seen


def test_bins_that_moved_are_named_and_all_are_in_the_file(
    alice: Person, version: ModelVersion
) -> None:
    header, *rows = rows_of(alice, "features")
    assert header[:2] == ["Feature", "Bin"]
    for _name, _bin, before, now, change in rows:
        assert float(now) - float(before) == pytest.approx(float(change))
    region = [row for row in rows if row[0] == "region"]
    assert [row[1] for row in region] == ["north", "south"]
    page = browser(alice).get(PAGE).content.decode()
    # Of income's bins three, and of the region's, which stayed as it was, none.
    assert page.count("<strong>moved ") == 3
    # In the row of the table, and in the chart below.
    assert page.count("dg-bar-moved") == 6


def test_the_file_of_data_quality_has_every_feature(
    alice: Person, version: ModelVersion
) -> None:
    header, *rows = rows_of(alice, "quality")
    assert header[5:7] == ["Out of range", "Out of range, baseline"]
    found = {row[0]: row for row in rows}
    assert set(found) == {"income", "region"}
    assert float(found["income"][5]) > 0.02 > float(found["income"][6])


def test_predictions_are_shown_with_their_verdict_and_not_what_they_rest_on(
    alice: Person, charlie: Person, version: ModelVersion
) -> None:
    make_prediction(version, "client-7", verdict="AT_RISK")
    make_prediction(make_version(charlie, name="Credit default"), "client-8")

    page = browser(alice).get(PAGE).content.decode()

    words = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    assert re.search(r"client-7 1 0.750 warning At risk", words)
    assert "client-8" not in words
    prediction = Prediction.objects.get(entity_id="client-7")
    assert f"/admin/monitoring/prediction/{prediction.pk}/change/" in page
