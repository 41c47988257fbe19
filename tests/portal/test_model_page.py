"""The page of a model tells what was measured, what was decided, and why."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from governance.actions import registry
from governance.models import Assessment, Membership, ModelVersion, RegisteredModel
from monitoring.models import LiveResult
from tests.factories import Person, make_member
from tests.measured import make_measured_model
from tests.portal.conftest import browser

pytestmark = pytest.mark.django_db
HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>{{7*7}}{% now "Y" %}'


def address(version: ModelVersion) -> str:
    return f"/dashboard/models/{version.model.slug}"


def words_of(client: Client, path: str) -> str:
    page = client.get(path).content.decode()
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def test_the_page_says_the_status_and_why(alice: Person) -> None:
    version = make_measured_model(alice)

    page = words_of(browser(alice), address(version))

    psi = version.live_result.drift["columns"][0]["algorithms"]["psi"]["score"]
    assert "Health block Blocked" in page
    assert "Approval edit_note Draft" in page
    assert f"income PSI {psi:.3g} &gt; 0.25 (rule R1" in page
    assert "R1: an important column in drift alert income" in page


def test_the_risk_is_shown_with_its_terms(alice: Person) -> None:
    version = make_measured_model(alice)

    page = words_of(browser(alice), address(version))

    risk = Assessment.objects.get(version=version).verdict["risk"]
    drift, fairness = risk["drift"], risk["fairness"]
    # By hand: two columns of equal weight, one at 100 points and one at 0.
    assert drift == pytest.approx(50)
    times = "\N{MULTIPLICATION SIGN}"
    sum_ = f"0.60 {times} {drift:.1f} drift + 0.40 {times} {fairness:.1f} fairness"
    assert f"= {sum_}" in page
    assert risk["score"] == pytest.approx(0.6 * drift + 0.4 * fairness)


def test_every_feature_has_its_row_the_worst_first(alice: Person) -> None:
    version = make_measured_model(alice, features=["income", "age"])

    page = browser(alice).get(address(version)).content.decode()

    rows = re.findall(r'href="#feature-\d+">(\w+)</a>', page)
    assert sorted(rows) == ["age", "income", "region"]
    assert rows[-1] == "region"
    assert page.count('class="dg-spark"') == 3
    details = words_of(browser(alice), address(version))
    assert "500" in details
    assert "Cramér&#x27;s V" in details


def test_fairness_and_quality_are_shown(alice: Person) -> None:
    version = make_measured_model(alice)

    page = words_of(browser(alice), address(version))

    # 148 of 200 against 150 of 200.
    assert "Parity ratio 0.987" in page
    # Figures of one column line up.
    assert "75.0% 1.000" in page
    assert "Equalized-odds difference \N{EN DASH} hourglass_empty Needs labels" in page
    # Two standard deviations away, some values leave the baseline's range.
    assert "Worse" in page
    assert "In 1 other column no value is missing" in page


def test_a_failed_rule_names_its_metric_as_the_tables_do(alice: Person) -> None:
    version = make_measured_model(alice)
    assessment = Assessment.objects.get(version=version)
    (income, *_others) = assessment.verdict["failed"]
    rule = {**income, "rule": "R6", "name": "a collapse", "subject": "roc_auc"}
    named_alike = {**rule, "rule": "R1", "subject": "f1"}
    assessment.verdict["failed"] = [rule, named_alike]
    assessment.save()

    page = words_of(browser(alice), address(version))

    assert "R6: a collapse ROC-AUC" in page
    # A column may have the name of a metric.
    assert "R1: a collapse f1" in page


def metrics(auc: float) -> dict[str, Any]:
    value = {"value": auc, "n": 900, "low": auc - 0.01, "high": auc + 0.01}
    f1 = {"value": None, "n": 900, "reason": "nothing was predicted"}
    return {"rows": 1000, "labelled": 900, "metrics": {"f1": f1, "roc_auc": value}}


def test_realized_performance_shows_the_drop_and_how_ripe_the_labels_are(
    alice: Person,
) -> None:
    version = make_measured_model(alice)
    period = {"period": "2026-02", "labelled_share": 0.9, "is_mature": True}
    drop = {"value": 0.112, "low": 0.09, "high": 0.13}
    LiveResult.objects.filter(version=version).update(
        performance={
            "primary_metric": "roc_auc",
            "baseline": metrics(0.886),
            "periods": [{**metrics(0.774), **period, "drop": drop}],
            "reason": "",
        }
    )

    page = words_of(browser(alice), address(version))

    assert "2026-02 90.0% of 1,000 labelled check_circle Mature" in page
    assert "ROC-AUC (primary) 0.886 0.876 to 0.896 0.774 0.764 to 0.784" in page
    assert "Drop 0.112 0.090 to 0.130" in page
    assert "nothing was predicted" in page


def test_a_model_without_any_measurement_says_what_it_needs(alice: Person) -> None:
    version = registry.register(
        alice.organization, registry.Registration("New", "1"), actor=alice.actor
    )

    page = words_of(browser(alice), address(version))

    assert "Health help Not assessed" in page
    assert "needs predictions of this model, and a baseline" in page


def test_a_model_without_any_version_has_a_page(alice: Person) -> None:
    model = RegisteredModel.objects.create(
        organization=alice.organization,
        name="Bare",
        slug="bare",
        owner=alice.user,
        created_by=alice.user,
    )

    page = words_of(browser(alice), f"/dashboard/models/{model.slug}")

    assert "next: its owner registers a version, or sends predictions." in page
    assert browser(alice).get("/admin/").status_code == 200


def test_stored_payloads_are_inert(alice: Person) -> None:
    version = make_measured_model(alice, name=HOSTILE, features=[HOSTILE])
    RegisteredModel.objects.filter(pk=version.model_id).update(description=HOSTILE)
    client = browser(alice)

    for path in [address(version), "/admin/", "/admin/governance/registeredmodel/"]:
        page = client.get(path).content.decode()
        assert "alert(1)" in page
        assert "<script>alert" not in page
        assert "<img" not in page
        assert "{{7*7}}" in page


def test_the_page_costs_the_same_queries_however_much_there_is(
    alice: Person,
    django_assert_num_queries: Callable[..., Any],
    django_assert_max_num_queries: Callable[..., Any],
) -> None:
    client = browser(alice)
    small = make_measured_model(alice, "Small")
    large = make_measured_model(alice, "Large", features=["a", "b", "c", "d"])
    for number in range(5):
        registration = registry.Registration("Large", f"3.{number}")
        registry.register(alice.organization, registration, actor=alice.actor)
    client.get(address(small))

    with django_assert_max_num_queries(30) as before:
        client.get(address(small))
    with django_assert_num_queries(len(before.captured_queries)):
        client.get(address(large))


def test_the_trail_is_linked_for_its_readers_only(alice: Person) -> None:
    version = make_measured_model(alice)
    owner = make_member(alice.organization, Membership.Role.MODEL_OWNER)

    assert "Audit trail" in words_of(browser(alice), address(version))
    assert "Audit trail" not in words_of(browser(owner), address(version))
