"""The page of the audit trail: who reads it, what it says, and how it is searched."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.utils.html import escape

from driftguard.portal.trail import PAGE
from governance.actions import checkpoints, verification
from governance.actions.audit import Outcome, record
from governance.models import AuditEntry
from tests import factories
from tests.factories import Person
from tests.governance import trails
from tests.portal.conftest import browser, get

pytestmark = pytest.mark.django_db
HOSTILE = "<script>alert(1)</script>{{7*7}}\N{RIGHT-TO-LEFT OVERRIDE}"


def numbers(page: str) -> list[int]:
    """Return the entries of the page's table, from top to bottom."""
    return [int(one) for one in re.findall(r'<th scope="row"><a [^>]*>(\d+)<', page)]


def say(person: Person, action: str, **more: Any) -> int:
    """Record something; return its number."""
    more.setdefault("object", person.organization)
    more.setdefault("actor", person.actor)
    record(person.organization, action=action, **more)
    newest = AuditEntry.objects.for_organization(person.organization).first()
    assert newest is not None
    return newest.seq


def test_it_says_in_sentences_who_did_what_and_why(
    alice: Person, auditor: Person
) -> None:
    say(alice, "limit.raised", reason="The new branch.")
    say(alice, "limit.dropped", outcome=Outcome.DENIED)
    say(alice, "limit.ends_soon", actor=None)
    page = get(auditor, "/audit")
    name = escape(f"organization {alice.organization}")
    assert f"Limit raised by {alice.user.email}: {name}" in page
    assert "The new branch." in page
    assert f"{alice.user.email} was refused: Limit dropped: {name}" in page
    assert f"Limit ends soon: {name}" in page


def test_reading_it_stands_in_it(alice: Person, auditor: Person) -> None:
    get(auditor, "/audit", action="limit.")
    newest = AuditEntry.objects.for_organization(alice.organization).first()
    assert newest is not None
    assert (newest.action, newest.actor_id) == ("audit.read", str(auditor.user.pk))


def test_it_is_filtered(alice: Person, bob: Person, auditor: Person) -> None:
    first = say(alice, "limit.raised")
    second = say(bob, "limit.dropped", outcome=Outcome.DENIED)
    third = say(bob, "limit.raised", object=bob.user, approval_id=77)
    for asked, found in [
        ({"action": "limit."}, [third, second, first]),
        ({"action": "limit.raised"}, [third, first]),
        ({"action": "limit.", "actor": bob.user.email[:6]}, [third, second]),
        ({"action": "limit.", "outcome": "denied"}, [second]),
        ({"action": "limit.", "about": str(bob.user)}, [third]),
        ({"approval_id": "77"}, [third]),
        ({"action": "limit.", "since": "2000-01-01"}, [third, second, first]),
        ({"action": "limit.", "until": "2000-01-01"}, []),
        ({"action": "limit.", "before": str(third)}, [second, first]),
    ]:
        assert numbers(get(auditor, "/audit", **asked)) == found, asked


@pytest.mark.parametrize(
    "asked",
    [{"since": "soon"}, {"outcome": "x"}, {"actor": "a\0b"}, {"approval_id": "x"}],
)
def test_a_filter_that_makes_no_sense_finds_nothing_and_says_so(
    auditor: Person, asked: dict[str, str]
) -> None:
    page = get(auditor, "/audit", **asked)
    assert numbers(page) == []
    assert 'role="alert"' in page


def test_a_number_too_large_for_the_database_finds_nothing(auditor: Person) -> None:
    assert numbers(get(auditor, "/audit", approval_id="9" * 30)) == []
    assert numbers(get(auditor, "/audit", before="9" * 30))


def test_the_pages_show_each_entry_once(alice: Person, auditor: Person) -> None:
    trails.say(alice.organization, PAGE + 3)
    first = get(auditor, "/audit", action="thing.")
    (older,) = re.findall(r'rel="next" href="([^"]*)"', first)
    page = browser(auditor).get(f"/audit{older.replace('&amp;', '&')}")
    second = page.content.decode()
    seen = numbers(first) + numbers(second)
    assert len(seen) == PAGE + 3
    assert seen == sorted(set(seen), reverse=True)
    assert 'rel="next"' not in second
    assert 'rel="first" href="?action=thing."' in second


def test_the_story_of_an_approval_is_one_link_away(
    alice: Person, bob: Person, auditor: Person
) -> None:
    number = say(alice, "thing.asked", approval_id=12_345)
    effect = say(alice, "thing.done", approval_id=12_345)
    say(alice, "thing.else")
    assert 'href="/audit?approval_id=12345"' in get(auditor, "/audit")
    assert numbers(get(auditor, "/audit", approval_id=12_345)) == [effect, number]


def test_only_those_who_may_read_the_trail_see_it(
    alice: Person, bob: Person, charlie: Person
) -> None:
    role = factories.Membership.Role.VALIDATOR
    validator = factories.make_member(alice.organization, role)
    assert browser(validator).get("/audit").status_code == 403
    assert 'href="/audit"' not in get(validator, "/admin/")
    assert 'href="/audit"' in get(bob, "/admin/")
    say(alice, "limit.raised")
    assert numbers(get(charlie, "/audit", action="limit.")) == []
    assert browser(bob).post("/audit").status_code == 405


def test_it_shows_whether_the_trail_is_sound(alice: Person, auditor: Person) -> None:
    assert "It has not been verified yet" in get(auditor, "/audit")
    checkpoints.sign(alice.organization)
    verification.verify(alice.organization, actor=None)
    page = get(auditor, "/audit")
    assert "nothing was changed, left out or put in" in page
    assert "The last signed checkpoint" in page


def test_hostile_names_are_inert(alice: Person, auditor: Person) -> None:
    say(alice, "limit.raised", object=("thing", "1", HOSTILE), reason=HOSTILE)
    page = get(auditor, "/audit", about=HOSTILE[:20])
    assert len(numbers(page)) == 1
    assert "<script>alert" not in page


def test_the_number_of_queries_does_not_grow(
    alice: Person, auditor: Person, django_assert_num_queries: Callable[..., Any]
) -> None:
    client = browser(auditor)
    with django_assert_num_queries(11):
        client.get("/audit")
    trails.say(alice.organization, 2 * PAGE)
    with django_assert_num_queries(11):
        client.get("/audit")
