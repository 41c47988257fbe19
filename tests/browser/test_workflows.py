"""From a submission to production and back, as people do it in a browser."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client
from playwright.sync_api import Browser, Page, expect

from governance.actions import deployments, overrides
from governance.actions.override_checks import Terms
from governance.models import Deployment, ModelVersion
from tests import factories
from tests.browser.accessibility import violations
from tests.browser.conftest import Visitor
from tests.factories import PASSWORD, Person, make_alice, make_bob
from tests.governance.deploying import REASON, make_approved, make_ready, measure
from tests.governance.policies import publish

pytestmark = pytest.mark.browser
HOSTILE = "<script>document.title='hit'</script>{{7*7}}\N{RIGHT-TO-LEFT OVERRIDE}doc"
LONG = "a-name-so-long-that-no-column-was-ever-made-for-it-" * 4
UNFOLD = "document.querySelectorAll('details').forEach(one => one.open = true)"
DEPLOYMENTS = "/dashboard/models/credit/deployments"
Enter = Callable[[Person], Visitor]


@pytest.fixture
def enter(chromium: Browser, site: str) -> Iterator[Enter]:
    """Return a function that gives a person, signed in, a browser of their own."""
    contexts = []

    def start(person: Person) -> Visitor:
        client = Client()
        client.force_login(
            person.user, backend="django.contrib.auth.backends.ModelBackend"
        )
        context = chromium.new_context(viewport={"width": 1400, "height": 900})
        name = settings.SESSION_COOKIE_NAME
        context.add_cookies(
            [{"name": name, "value": client.cookies[name].value, "url": site}]
        )
        contexts.append(context)
        someone = Visitor(context.new_page(), site)
        someone.watch()
        return someone

    yield start
    for context in contexts:
        context.close()


def picture(visitor: Visitor, name: str) -> None:
    """Keep a picture for a person to look at, where one is asked for."""
    if directory := os.environ.get("TEST_PICTURES"):
        visitor.page.screenshot(path=Path(directory) / f"{name}.png", full_page=True)


def vote(page: Page, password: str = PASSWORD) -> None:
    page.get_by_label("Approve", exact=True).check()
    page.get_by_label("Your password, again").fill(password)
    page.get_by_role("button", name="Cast your vote").click()


@dataclass
class Cast:
    """The three of the story, each before a browser of their own."""

    owner: Visitor
    first: Visitor
    second: Visitor


def test_a_version_goes_to_production_by_the_hands_of_three(enter: Enter) -> None:
    alice = make_alice()
    bob, carol = make_bob(alice.organization), make_bob(alice.organization)
    publish(alice.organization, stages=[{"role": "compliance_officer", "quorum": 2}])
    version = make_ready(alice)
    cast = Cast(enter(alice), enter(bob), enter(carol))

    the_owner_asks(cast.owner)
    the_owner_can_not_vote(cast.owner, version)
    two_officers_approve(cast)
    the_owner_deploys(cast.owner)
    measure(version, ratio=0.5)
    an_officer_suspends(cast.first)
    an_override_lets_it_go_on(cast)

    assert Deployment.objects.live().get().override is not None
    for someone in (cast.owner, cast.first, cast.second):
        assert someone.faults == []


def the_owner_asks(owner: Visitor) -> None:
    """Find the closed gate from the portfolio, and ask for the approval."""
    page = owner.page
    owner.open("/dashboard")
    page.get_by_role("link", name="Draft").click()
    expect(page.get_by_text("DENY: do this one thing")).to_be_visible()
    picture(owner, "story-denied")
    page.get_by_role("link", name="Ask for approval").click()
    page.get_by_label("Why this version?").fill("It knows the new products.")
    picture(owner, "story-submission")
    page.get_by_role("button", name="Ask for approval").click()
    expect(page.get_by_text("waits for 2 votes of").first).to_be_visible()


def the_owner_can_not_vote(owner: Visitor, version: ModelVersion) -> None:
    """Neither is a vote offered to who asked, nor is it taken."""
    page = owner.page
    expect(page.get_by_text("somebody else has to decide")).to_be_visible()
    expect(page.get_by_role("button", name="Cast your vote")).to_have_count(0)
    token = page.locator("[name=csrfmiddlewaretoken]").first.input_value()
    refused = page.request.post(
        f"{owner.site}/approvals/{version.requests.get().pk}/vote",
        form={
            "decision": "approve",
            "password": PASSWORD,
            "csrfmiddlewaretoken": token,
        },
    )
    assert refused.status == 403
    assert "needs somebody who neither asked for it" in refused.text()
    picture(owner, "story-asked")


def two_officers_approve(cast: Cast) -> None:
    """Find it on their desks and vote; the first one mistypes the password."""
    for officer in (cast.first, cast.second):
        page = officer.page
        officer.open("/approvals")
        picture(officer, "story-desk")
        page.get_by_role("link", name="Approve a version: Credit").first.click()
        if officer is cast.first:
            vote(page, "not the password")
            expect(page.get_by_text("The password is wrong.")).to_be_visible()
            picture(officer, "story-wrong-password")
            # The browser notes the status of the answer itself.
            assert [one for one in officer.faults if "403" not in one] == []
            officer.faults.clear()
        vote(page)
        expect(page.get_by_text("Your vote is cast.").first).to_be_visible()
    expect(page.get_by_text("the model's owner deploys it").first).to_be_visible()
    picture(cast.second, "story-approved")


def the_owner_deploys(owner: Visitor) -> None:
    page = owner.page
    page.reload()
    page.get_by_role("link", name="Go to its deployment").click()
    expect(page.get_by_text("may go to production.")).to_be_visible()
    picture(owner, "story-allowed")
    page.get_by_role("button", name="Deploy").click()
    expect(page.get_by_text("is live in production.")).to_be_visible()


def an_officer_suspends(officer: Visitor) -> None:
    page = officer.page
    officer.open(DEPLOYMENTS)
    page.get_by_label("Reason").fill("It refuses the north.")
    page.get_by_role("button", name="Suspend it").click()
    expect(page.get_by_text("It is suspended").first).to_be_visible()


def an_override_lets_it_go_on(cast: Cast) -> None:
    """Propose it as the owner, grant it as an officer, and resume under it."""
    page = cast.owner.page
    cast.owner.open(DEPLOYMENTS)
    page.get_by_label("Why it is right to pass them").fill(REASON)
    picture(cast.owner, "story-override")
    page.get_by_role("button", name="Propose it").click()
    expect(page.get_by_text("waits for a second person").first).to_be_visible()
    page = cast.second.page
    cast.second.open("/approvals")
    page.get_by_role("link", name="Override 1 of R7").click()
    page.get_by_label("Why you grant it").fill("Few people, for a week.")
    page.get_by_label("Your password, again").fill(PASSWORD)
    page.get_by_role("button", name="Grant it").click()
    expect(page.get_by_text("Deploy under it").first).to_be_visible()
    page = cast.owner.page
    page.reload()
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_text("is live in production.")).to_be_visible()
    picture(cast.owner, "story-live")


def test_several_are_decided_together(enter: Enter) -> None:
    alice = make_alice()
    bob = make_bob(alice.organization)
    for name in ("Credit", "Fraud", "Prices"):
        factories.submit(make_ready(alice, name=name))
    officer = enter(bob)
    page = officer.page
    officer.open("/approvals")
    page.get_by_label("Approve a version: Fraud").check()
    page.get_by_label("Approve a version: Prices").check()
    page.get_by_text("Decide on the ticked ones together").click()
    page.get_by_label("Approve", exact=True).check()
    page.get_by_label("Reason").fill("Looked at both.")
    page.get_by_label("Your password, again").fill(PASSWORD)
    page.get_by_role("button", name="Cast these votes").click()
    expect(page.get_by_text("Fraud 1.0.0: Approved.")).to_be_visible()
    expect(page.get_by_text("Prices 1.0.0: Approved.")).to_be_visible()
    expect(page.get_by_role("checkbox")).to_have_count(1)
    assert officer.faults == []


def scene(alice: Person, bob: Person) -> list[str]:
    """Fill an organization with what is long, hostile and undecided; name its pages."""
    live = make_approved(alice, name="Credit")
    deployments.deploy(
        live, environment="production", reason=HOSTILE, actor=alice.actor
    )
    override = overrides.propose(
        measure(make_approved(alice, version=LONG[:100]), ratio=0.5),
        environment="production",
        terms=Terms(["R7"], f"{HOSTILE} {LONG}"),
        actor=alice.actor,
    )
    hostile = make_ready(alice, name=HOSTILE, purpose=LONG, version=HOSTILE[:100])
    request = factories.submit(hostile, reason=f"{HOSTILE} {LONG}")
    factories.submit(make_ready(alice, name=LONG[:200]), reason="Long.")
    changed = make_ready(alice, name="Changed")
    stale = factories.submit(changed)
    ModelVersion.objects.filter(pk=changed.pk).update(description=HOSTILE)
    draft = make_ready(alice, name="Draft")
    return [
        "/admin/",
        "/approvals",
        f"/approvals/{request.pk}",
        f"/approvals/{stale.pk}",
        "/approvals/delegations",
        f"/approvals/overrides/{override.pk}/decisions",
        "/audit",
        "/audit?action=nothing.like.it",
        DEPLOYMENTS,
        f"{DEPLOYMENTS}?version={LONG[:100]}",
        f"{DEPLOYMENTS}?environment=staging&on=2024-01-01",
        "/dashboard/models/credit",
        f"/dashboard/models/{hostile.model.slug}",
        f"/dashboard/models/{draft.model.slug}/submit",
        f"/dashboard/models/{hostile.model.slug}/submit",
    ]


def test_the_pages_fit_every_window_and_everybody(enter: Enter, site: str) -> None:
    alice = make_alice()
    bob = make_bob(alice.organization)
    paths = scene(alice, bob)
    owner, officer = enter(alice), enter(bob)
    for visitor, width, scheme in ((owner, 1400, "light"), (officer, 390, "dark")):
        page = visitor.page
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        for number, path in enumerate(paths):
            visitor.open(path)
            page.evaluate(UNFOLD)
            picture(visitor, f"{number}-{width}-{scheme}")
            assert visitor.faults == [], path
            assert visitor.overflow() <= 0, path
            assert page.title() != "hit", path
            assert violations(page) == [], path
