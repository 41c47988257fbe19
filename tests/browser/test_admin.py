"""The pages in a real browser: nothing breaks, nothing overflows, nothing leaks."""

import pytest
from playwright.sync_api import expect

from governance.actions import invitations
from governance.models import ApiKey, ModelVersion
from tests.browser.conftest import Visitor
from tests.factories import Person, make_alice, make_api_key
from tests.measured import make_measured_model, make_prediction

pytestmark = pytest.mark.browser
LONG = "A model with a name so long that no column was ever made for it " * 3
HOSTILE = "<script>document.title='hit'</script>{{7*7}}\u202eedoc"


@pytest.fixture
def alice(site: str) -> Person:
    person = make_alice()
    version = make_measured_model(person, "Credit default", ["income", "age"])
    make_prediction(version, label="1")
    make_measured_model(person, LONG[:200])
    make_measured_model(person, HOSTILE)
    make_api_key(person, name="Scoring")
    invitations.invite(
        person.organization,
        email="grace@example.com",
        role="auditor",
        actor=person.actor,
    )
    return person


LISTS = [
    f"/admin/{table}/"
    for table in (
        "governance/registeredmodel",
        "governance/modelversion",
        "governance/finding",
        "governance/riskscore",
        "governance/statuschange",
        "governance/auditentry",
        "governance/policyversion",
        "governance/membership",
        "governance/invitation",
        "governance/apikey",
        "monitoring/prediction",
        "monitoring/groundtruth",
        "monitoring/receipt",
        "monitoring/baseline",
        "monitoring/analysisrun",
        "monitoring/driftresult",
    )
]


def paths(person: Person) -> list[str]:
    version = ModelVersion.objects.for_organization(person.organization).first()
    assert version is not None
    return [
        "/admin/",
        f"/admin/governance/registeredmodel/{version.model_id}/change/",
        f"/admin/governance/registeredmodel/{version.model_id}/change/?edit=1",
        "/admin/governance/apikey/add/",
        *LISTS,
    ]


def test_an_officer_learns_which_model_is_in_trouble_and_why(
    visitor: Visitor, alice: Person
) -> None:
    visitor.log_in(alice)
    page = visitor.page

    row = page.get_by_role("article").filter(has_text="Credit default")
    expect(row.locator(".dg-badge")).to_contain_text("Blocked")
    expect(row.get_by_text("rule R1").first).to_be_visible()
    row.get_by_role("link", name="Credit default").click()

    expect(page.get_by_role("heading", name="Why")).to_be_visible()
    expect(page.get_by_role("row", name="age Alert")).to_be_visible()
    page.get_by_role("link", name="income", exact=True).click()
    # The address leads into folded details: the browser unfolds them.
    expect(page.get_by_text("95% without drift").first).to_be_visible()
    assert visitor.faults == []


@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (390, "dark")])
def test_no_page_breaks_the_rules_or_the_window(
    visitor: Visitor, alice: Person, width: int, scheme: str
) -> None:
    visitor.page.set_viewport_size({"width": width, "height": 900})
    visitor.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    visitor.log_in(alice)

    for path in paths(alice):
        visitor.open(path)
        assert visitor.faults == [], path
        assert visitor.overflow() <= 0, path
        assert visitor.page.title() != "hit", path


def first_rows(visitor: Visitor) -> list[str]:
    """Find the page of the first row of every list."""
    page, found = visitor.page, []
    for path in LISTS:
        visitor.open(path)
        links = page.locator("#result_list a[href*='/change/']")
        if links.count():
            found.append(str(links.first.get_attribute("href")).partition("?")[0])
    return found


def test_a_rows_own_page_fits_a_phone(visitor: Visitor, alice: Person) -> None:
    visitor.page.set_viewport_size({"width": 390, "height": 900})
    visitor.log_in(alice)

    rows = first_rows(visitor)
    assert len(rows) >= 10
    for path in rows:
        visitor.open(path)
        assert visitor.faults == [], path
        assert visitor.overflow() <= 0, path


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_the_interface_is_shown_without_the_internet(
    visitor: Visitor, path: str
) -> None:
    visitor.open(path)
    words = visitor.page.get_by_text("Register a model").locator("visible=true")
    expect(words.first).to_be_visible(timeout=30_000)
    visitor.page.wait_for_load_state("networkidle")
    assert visitor.faults == []


def test_a_key_is_revoked_after_a_question(visitor: Visitor, alice: Person) -> None:
    key = ApiKey.objects.for_organization(alice.organization).get()
    visitor.log_in(alice)
    visitor.open(f"/admin/governance/apikey/{key.pk}/change/")
    page = visitor.page

    page.get_by_role("link", name="Revoke").click()
    expect(page.get_by_text("Revoke this key?")).to_be_visible()
    page.get_by_role("button", name="Revoke it").click()

    expect(page.get_by_text("is revoked.")).to_be_visible()
    key.refresh_from_db()
    assert key.revoked_at is not None
    assert visitor.faults == []
