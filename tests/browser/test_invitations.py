"""Joining an organization, and the pages outside the admin, in a real browser."""

import os
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from governance.actions import invitations
from governance.models import Membership
from tests.browser.conftest import Visitor
from tests.factories import Person, make_alice

pytestmark = pytest.mark.browser
PASSPHRASE = "grace's long phrase"


@pytest.fixture
def alice(site: str) -> Person:
    return make_alice()


def picture(visitor: Visitor, name: str) -> None:
    """Keep a picture for a person to look at, where one is asked for."""
    if directory := os.environ.get("TEST_PICTURES"):
        visitor.page.screenshot(path=Path(directory) / f"{name}.png", full_page=True)


def test_somebody_is_invited_and_joins(
    visitor: Visitor, alice: Person, chromium: Browser
) -> None:
    visitor.log_in(alice)
    visitor.open("/admin/governance/invitation/add/")
    page = visitor.page
    page.get_by_label("E-mail").fill("grace@example.com")
    page.get_by_label("Role").select_option("auditor")
    page.get_by_role("button", name="Save").click()
    link = page.locator(".dg-key").inner_text()
    picture(visitor, "invited")
    assert visitor.faults == []

    context = chromium.new_context(viewport={"width": 390, "height": 900})
    grace = Visitor(context.new_page(), visitor.site)
    grace.watch()
    grace.open("/invitations/" + link.rpartition("/")[2])
    picture(grace, "invitation")
    assert grace.overflow() <= 0
    page = grace.page
    page.get_by_label("Name").fill("Grace")
    page.get_by_label("Password", exact=True).last.fill(PASSPHRASE)
    page.get_by_label("Password again").fill(PASSPHRASE)
    page.get_by_role("button", name="Make my account").click()
    expect(page.get_by_text("Welcome to Alice's bank")).to_be_visible()
    assert grace.faults == []
    context.close()
    assert Membership.objects.get(user__name="Grace").role == "auditor"


@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (390, "dark")])
def test_pages_of_errors_look_like_ours(
    visitor: Visitor, alice: Person, width: int, scheme: str
) -> None:
    made = invitations.invite(
        alice.organization,
        email="an-address-so-long-that-no-line-holds-it@" + "example." * 20 + "com",
        role="compliance_officer",
        actor=alice.actor,
    )
    page = visitor.page
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    visitor.open("/invitations/" + invitations.link(made).rpartition("/")[2])
    picture(visitor, f"invitation-{scheme}")
    assert visitor.faults == []
    assert visitor.overflow() <= 0
    for path, words in (
        ("/no-such-page", "There is no such page"),
        ("/invitations/" + "A" * 43, "can't be answered"),
    ):
        visitor.faults.clear()
        page.goto(visitor.site + path)
        picture(visitor, f"{words}-{scheme}".replace(" ", "-"))
        expect(page.get_by_role("heading", name=words)).to_be_visible()
        # The browser notes the status of the page itself.
        assert [one for one in visitor.faults if "404" not in one] == []
        assert visitor.overflow() <= 0
        background = "getComputedStyle(document.querySelector('main')).backgroundColor"
        assert page.evaluate(background) != "rgba(0, 0, 0, 0)"
