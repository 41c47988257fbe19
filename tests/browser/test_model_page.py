"""A model's page draws its charts, and is up to date without moving under readers."""

import os
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from governance.actions import findings
from governance.models import ModelVersion
from tests.browser.accessibility import violations
from tests.browser.conftest import Visitor
from tests.factories import Person, make_alice
from tests.measured import make_measured_model
from tests.recorded import record_days, record_performance

pytestmark = pytest.mark.browser
HOSTILE = (
    "<img src=x onerror=\"document.title='hit'\">{{7*7}}\N{RIGHT-TO-LEFT OVERRIDE}"
)
LONG = "a_feature_with_a_name_that_no_axis_was_ever_made_for_" * 3
PAGE = "/dashboard/models/credit-default"
UNFOLD = "document.querySelectorAll('details').forEach(one => one.open = true)"


@pytest.fixture
def alice(site: str) -> Person:
    return make_alice()


@pytest.fixture
def version(alice: Person) -> ModelVersion:
    version = make_measured_model(alice, features=["income", LONG, HOSTILE])
    for day in range(3):
        record_performance(version, labels=900, realized=0.9, estimated=0.91, day=day)
    record_days(
        version, *({"income": 0.05 * day, LONG: 0.3, HOSTILE: 0.1} for day in range(9))
    )
    return version


def picture(visitor: Visitor, name: str) -> None:
    """Keep a picture for a person to look at, where one is asked for."""
    if directory := os.environ.get("TEST_PICTURES"):
        visitor.page.screenshot(path=Path(directory) / f"{name}.png", full_page=True)


def refresh(page: Page) -> None:
    with page.expect_response(lambda answer: "?seen=" in answer.url):
        page.evaluate("htmx.trigger('#model', 'refresh')")


@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (390, "dark")])
def test_every_chart_is_drawn_and_can_be_read_without_it(
    visitor: Visitor, alice: Person, version: ModelVersion, width: int, scheme: str
) -> None:
    page = visitor.page
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    visitor.log_in(alice)
    visitor.open(PAGE)
    for name in ("risk", "drift", "performance", "fairness"):
        expect(page.locator(f"#chart-{name} canvas").first).to_be_visible()
    page.evaluate(UNFOLD)
    picture(visitor, f"model-page-{scheme}")
    assert visitor.faults == []
    assert visitor.overflow() <= 0
    assert page.title() != "hit"
    assert violations(page) == []
    # What a pointer is told of a hostile name is no HTML either.
    page.locator("#chart-drift").hover()
    assert page.locator("img[src=x]").count() == 0
    # The same figures, for whoever can't see the picture.
    table = page.get_by_role("group", name="Heat map of PSI")
    expect(table.get_by_role("row", name="income 0.000 0.050")).to_be_visible()


def test_what_changes_appears_and_nothing_else_moves(
    visitor: Visitor, alice: Person, version: ModelVersion
) -> None:
    page = visitor.page
    visitor.log_in(alice)
    visitor.open(PAGE)
    summary = page.locator("details[data-keep=table-drift] > summary")
    summary.click()
    page.evaluate("document.querySelector('#chart-drift canvas').dataset.same = 'yes'")
    refresh(page)
    expect(page.get_by_text("Oil on the floor")).to_have_count(0)

    findings.open_finding(
        version, cause="x", severity="low", title="Oil on the floor", actor=alice.actor
    )
    refresh(page)

    expect(page.get_by_text("Oil on the floor").first).to_be_attached()
    expect(page.locator("details[data-keep=table-drift]")).to_have_attribute("open", "")
    expect(summary).to_be_focused()
    expect(page.locator("#chart-drift canvas[data-same=yes]")).to_have_count(1)
    assert visitor.faults == []


def test_a_reader_stops_the_page_from_changing(
    visitor: Visitor, alice: Person, version: ModelVersion
) -> None:
    page = visitor.page
    visitor.log_in(alice)
    visitor.open(PAGE)
    live = page.get_by_role("button", name="Live")
    expect(live).to_have_attribute("aria-pressed", "true")
    live.click()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.evaluate("htmx.trigger('#model', 'refresh')")
    visitor.open(PAGE)
    expect(live).to_have_attribute("aria-pressed", "false")
    assert not any("?seen=" in url for url in asked)
    live.click()
    refresh(page)
