"""The page of a model's deployments: what the gate says, and who may do what."""

from datetime import timedelta
from typing import Any

import pytest
from django.http import HttpResponse
from django.utils import timezone

from governance.actions import deployments
from governance.models import (
    ApprovalRequest,
    Deployment,
    Membership,
    ModelVersion,
    Override,
)
from tests import factories
from tests.factories import PASSWORD, Person, make_bob, make_member
from tests.governance.deploying import (
    REASON,
    again,
    make_approved,
    make_ready,
    measure,
    move,
)
from tests.governance.policies import publish
from tests.portal.conftest import browser, get, post

pytestmark = pytest.mark.django_db
PATH = "/dashboard/models/credit/deployments"
QUERIES = 23
GLASS = {"break_glass": {"allowed": True, "maximum_hours": 8, "ratify_hours": 24}}


@pytest.fixture
def approved(alice: Person, bob: Person) -> ModelVersion:
    return make_approved(alice)


def act(
    person: Person, deed: str, version: str = "1.0.0", **given: Any
) -> HttpResponse:
    query = f"?environment=production&version={version}"
    return post(person, f"{PATH}/{deed}{query}", **given)


def buttons(person: Person, **asked: Any) -> set[str]:
    """Return the deeds whose forms the page shows to a person, but to retire it."""
    page = get(person, PATH, **asked)
    parts = page.split(f'action="{PATH}/')[1:]
    return {part.partition("?")[0] for part in parts} - {"retire"}


def live() -> list[str]:
    rows = Deployment.objects.live().order_by("pk")
    return [one.version.version for one in rows.select_related("version")]


def text(answer: HttpResponse) -> str:
    return answer.content.decode()


def test_a_closed_gate_says_what_to_do_and_where(alice: Person, bob: Person) -> None:
    factories.make_version(alice, name="Credit", risk_tier="high")
    page = get(alice, PATH)
    assert "DENY: do these 3 things before" in page
    steps = page.partition('<ol class="dg-steps">')[2].partition("</ol>")[0]
    assert steps.count("<li>") == 3
    assert "/dashboard/models/credit/submit?version=1.0.0" in steps
    assert buttons(alice) == {"adopt"}
    answer = act(alice, "deploy")
    assert answer.status_code == 409
    assert "The gate to production is closed for 1.0.0" in text(answer)
    assert live() == []


def test_an_approved_version_is_deployed_and_its_page_says_so(
    approved: ModelVersion, alice: Person
) -> None:
    page = get(alice, PATH)
    assert "ALLOW" in page
    assert "may go to production." in page
    answer = act(alice, "deploy", reason="At last.")
    assert answer.status_code == 302
    assert live() == ["1.0.0"]
    page = get(alice, PATH)
    assert "This version is what is deployed here now." in page
    assert "At last." in page
    assert "deploy" not in buttons(alice)
    assert act(alice, "deploy").status_code == 409


def test_the_fallback_is_chosen(approved: ModelVersion, alice: Person) -> None:
    answer = act(alice, "deploy", fallback="fixed_rule")
    assert answer.status_code == 422
    assert "Say which rule" in text(answer)
    act(alice, "deploy", fallback="fixed_rule", rule="Refuse above 5,000.")
    assert "Refuse above 5,000." in get(alice, PATH)


def test_one_person_suspends_and_the_gate_lets_it_go_on(
    approved: ModelVersion, alice: Person, bob: Person
) -> None:
    act(alice, "deploy")
    assert act(bob, "suspend", reason=" ").status_code == 422
    assert act(bob, "suspend", reason="Complaints.").status_code == 302
    page = get(alice, PATH)
    assert "Complaints." in page
    assert "an owner resumes it here" in page
    assert "Resume" in page
    assert act(alice, "deploy", reason="Repaired.").status_code == 302
    assert live() == ["1.0.0"]
    kinds = list(Deployment.objects.order_by("pk").values_list("kind", flat=True))
    assert kinds == ["deploy", "resume"]


def test_a_rollback_is_offered_and_needs_a_reason(
    approved: ModelVersion, alice: Person
) -> None:
    act(alice, "deploy")
    make_approved(alice, version="2.0.0")
    act(alice, "deploy", "2.0.0")
    page = get(alice, PATH)
    assert "Roll back to 1.0.0" in page
    assert act(alice, "deploy", "1.0.0").status_code == 422
    assert act(alice, "deploy", "1.0.0", reason="2 refuses all.").status_code == 302
    assert live() == ["1.0.0"]
    history = get(alice, PATH).partition("History")[2]
    assert history.count('<tr><th scope="row">') == 3
    assert "Rolled back to" in history


@pytest.fixture
def unfair(approved: ModelVersion) -> ModelVersion:
    """Return a version that only a soft rule stops."""
    return measure(approved, ratio=0.5)


def override() -> Override:
    return Override.objects.latest("pk")


def test_an_override_is_asked_for_within_what_the_policy_allows(
    unfair: ModelVersion, alice: Person
) -> None:
    page = get(alice, PATH)
    assert "Or let an override pass what closes it" in page
    assert "override" in buttons(alice)
    few = act(alice, "override", rules=["R7"], justification="Because.")
    assert few.status_code == 422
    hard = act(alice, "override", rules=["approval"], justification=REASON)
    assert hard.status_code == 422
    long = act(alice, "override", rules=["R7"], justification=REASON, hours="8000")
    assert long.status_code == 422
    assert "the policy allows at most" in text(long).lower()
    assert not Override.objects.exists()


def test_an_override_is_proposed_granted_used_and_ended(
    unfair: ModelVersion, alice: Person, bob: Person
) -> None:
    proposed = act(alice, "override", rules=["R7"], justification=REASON, hours="24")
    assert proposed.status_code == 302
    made = override()
    assert made.expires_at - timezone.now() < timedelta(hours=24)

    # Its author can take it back, and neither grant nor reject it.
    assert buttons(alice) == {"revoke-override", "adopt"}
    grant = {"about": made.pk, "reason": "Few people.", "password": PASSWORD}
    assert act(alice, "approve-override", **grant).status_code == 403
    assert REASON in get(bob, "/approvals")
    decisions = {"approve-override", "reject-override", "revoke-override"}
    assert buttons(bob) == {*decisions, "adopt"}
    wrong = act(bob, "approve-override", **{**grant, "password": "guess"})
    assert wrong.status_code == 403
    assert "The password is wrong." in text(wrong)
    other = act(bob, "approve-override", **{**grant, "about": made.pk + 1})
    assert other.status_code == 409
    assert act(bob, "approve-override", **grant).status_code == 302

    assert "ALLOW by an override" in get(alice, PATH)
    assert act(alice, "deploy").status_code == 302
    assert "Its override ends" in get(alice, PATH)
    assert "deploy" not in buttons(alice)
    ended = act(bob, "revoke-override", about=made.pk, reason="A complaint.")
    assert ended.status_code == 302
    assert again(Deployment.objects.latest("pk")).is_suspended
    assert "Its override ended" not in live()


def test_an_extension_is_a_new_review(
    unfair: ModelVersion, alice: Person, bob: Person
) -> None:
    act(alice, "override", rules=["R7"], justification=REASON, hours="24")
    first = override()
    longer = {"about": first.pk, "justification": f"Still: {REASON}", "hours": "48"}
    assert act(alice, "extend-override", **longer).status_code == 409
    act(bob, "approve-override", about=first.pk, reason="Yes.", password=PASSWORD)
    act(alice, "deploy")
    assert "extend-override" in buttons(alice)
    assert "extend-override" not in buttons(bob)
    assert act(bob, "extend-override", **longer).status_code == 403
    assert act(alice, "extend-override", **longer).status_code == 302
    second = override()
    assert second.extends == first
    assert "extend-override" not in buttons(alice)
    act(bob, "approve-override", about=second.pk, reason="Yes.", password=PASSWORD)
    assert again(Deployment.objects.latest("pk")).override == second
    assert live() == ["1.0.0"]


def test_an_override_is_rejected_with_a_reason(
    unfair: ModelVersion, alice: Person, bob: Person
) -> None:
    act(alice, "override", rules=["R7"], justification=REASON)
    about = override().pk
    assert act(bob, "reject-override", about=about, reason="").status_code == 422
    act(bob, "reject-override", about=about, reason="Retrain it.")
    assert override().status == "rejected"


def test_the_glass_is_broken_where_the_policy_lets_it_and_somebody_stands_by_it(
    alice: Person, bob: Person
) -> None:
    make_ready(alice)
    assert "break-glass" not in buttons(alice)
    emergency = {"reason": "Version 0 crashes on all.", "password": PASSWORD}
    refused = act(alice, "break-glass", **emergency)
    assert refused.status_code == 409
    assert "doesn&#x27;t allow it" in text(refused)
    publish(alice.organization, **GLASS)

    assert "break-glass" in buttons(alice)
    assert act(alice, "break-glass", **emergency, hours="9").status_code == 422
    assert act(alice, "break-glass", **emergency, hours="4").status_code == 302
    made = Deployment.objects.get()
    assert "A second person stands by it" in get(alice, PATH)

    word = {"about": made.pk, "word": "yes", "reason": "So it was."}
    assert "ratify" not in buttons(alice)
    own = act(alice, "ratify", **word, password=PASSWORD)
    assert own.status_code == 403
    assert "ratify" in buttons(bob)
    assert act(bob, "ratify", **word, password="guess").status_code == 403
    assert act(bob, "ratify", **word, password=PASSWORD).status_code == 302
    assert again(made).ratified_by == bob.user


def test_a_break_glass_is_reverted_by_the_second_persons_no(
    alice: Person, bob: Person
) -> None:
    make_ready(alice)
    publish(alice.organization, **GLASS)
    act(alice, "break-glass", reason="Version 0 crashes on all.", password=PASSWORD)
    made = Deployment.objects.get()
    word = {"about": made.pk, "word": "no", "reason": "It did not."}
    act(bob, "ratify", **word, password=PASSWORD)
    assert live() == []


def test_what_is_in_production_already_is_adopted(alice: Person, bob: Person) -> None:
    make_ready(alice)
    assert act(bob, "adopt", reason="").status_code == 422
    ahead = act(bob, "adopt", reason="It serves.", since="2999-01-01")
    assert ahead.status_code == 422
    assert act(bob, "adopt", reason="It serves.", since="2024-01-01").status_code == 302
    page = get(alice, PATH)
    assert "It has to be approved" in page
    assert "2024-01-01" in page
    assert "adopt" not in buttons(alice)
    assert act(alice, "adopt", reason="Again.").status_code == 409


def test_the_page_knows_what_was_live_on_a_day(
    approved: ModelVersion, alice: Person
) -> None:
    first = deployments.deploy(approved, environment="production", actor=alice.actor)
    now = timezone.now()
    move(first, started_at=now - timedelta(days=20))
    day = (now - timedelta(days=10)).date().isoformat()
    assert "was live from" in get(alice, PATH, on=day)
    before = (now - timedelta(days=30)).date().isoformat()
    assert f"Nothing was live in production on {before}" in get(alice, PATH, on=before)
    assert "Lies ahead" in get(alice, PATH, on="2999-01-01")
    assert "Expected a date" in get(alice, PATH, on="yesterday")
    assert f"Nothing was live in staging on {day}" in get(
        alice, PATH, on=day, environment="staging"
    )


# Who is shown which deeds of a model that is live, and of one that waits.
SHOWN = {
    Membership.Role.MODEL_OWNER: (set(), {"deploy"}),
    Membership.Role.VALIDATOR: (set(), set()),
    Membership.Role.COMPLIANCE_OFFICER: ({"suspend"}, set()),
    Membership.Role.AUDITOR: (set(), set()),
}


@pytest.mark.parametrize("role", SHOWN)
def test_nobody_is_shown_what_their_role_may_not_do(
    approved: ModelVersion, alice: Person, role: Membership.Role
) -> None:
    visitor = make_member(alice.organization, role)
    then, before = SHOWN[role]
    assert buttons(visitor) == before
    act(alice, "deploy")
    assert buttons(visitor) == then


GIVEN: dict[str, dict[str, Any]] = {
    "deploy": {},
    "suspend": {"reason": "Why not."},
    "override": {"rules": ["R7"], "justification": REASON},
    "approve-override": {"reason": "Yes.", "password": PASSWORD},
    "reject-override": {"reason": "No."},
    "revoke-override": {"reason": "No more."},
    "extend-override": {"justification": REASON},
    "break-glass": {"reason": "Version 0 crashes on all.", "password": PASSWORD},
    "ratify": {"word": "yes", "reason": "Yes.", "password": PASSWORD},
    "adopt": {"reason": "It serves."},
    "retire": {"reason": "Nobody needs it."},
}


@pytest.mark.parametrize("deed", GIVEN)
def test_an_auditor_and_a_stranger_do_nothing(
    unfair: ModelVersion,
    alice: Person,
    auditor: Person,
    charlie: Person,
    client: Any,
    deed: str,
) -> None:
    act(alice, "override", rules=["R7"], justification=REASON)
    given = {**GIVEN[deed], "about": override().pk}

    def everything() -> list[Any]:
        rows = (Deployment, Override, ApprovalRequest)
        return [list(one.objects.values()) for one in rows]

    before = everything()

    assert act(auditor, deed, **given).status_code in {403, 409}
    assert act(charlie, deed, **given).status_code == 404
    assert browser(alice).get(f"{PATH}/{deed}").status_code == 405
    answer = client.post(f"{PATH}/{deed}", given)
    assert "/login" in answer["Location"]
    assert everything() == before


def test_what_is_no_deed_or_no_version_is_missing(
    approved: ModelVersion, alice: Person
) -> None:
    assert act(alice, "explode").status_code == 404
    assert act(alice, "deploy", "9.9.9").status_code == 404
    assert "ALLOW" in get(alice, PATH, environment="nonsense")


def test_hostile_names_are_inert_here_too(alice: Person, bob: Person) -> None:
    hostile = "<script>alert(1)</script>{{7*7}}\N{RIGHT-TO-LEFT OVERRIDE}"
    make_approved(alice, version="9<script>alert(1)</script>")
    act(alice, "deploy", "9<script>alert(1)</script>", reason=hostile)
    page = get(alice, PATH)
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_a_second_officer_sees_the_same_override(
    unfair: ModelVersion, alice: Person, bob: Person
) -> None:
    act(alice, "override", rules=["R7"], justification=REASON)
    other = make_bob(alice.organization)
    assert "approve-override" in buttons(other)


def test_a_model_is_retired_by_the_votes_of_others(
    approved: ModelVersion, alice: Person, bob: Person
) -> None:
    act(alice, "deploy")
    assert f'action="{PATH}/retire' not in get(bob, PATH)
    assert act(bob, "retire", reason="Away with it.").status_code == 403
    assert act(alice, "retire", reason=" ").status_code == 422
    assert act(alice, "retire", reason="Its successor serves.").status_code == 302
    assert f'action="{PATH}/retire' not in get(alice, PATH)
    request = ApprovalRequest.objects.get(kind="retire")
    answer = post(
        bob, f"/approvals/{request.pk}/vote", decision="approve", password=PASSWORD
    )
    assert answer.status_code == 302
    assert "This model is retired" in get(alice, PATH)
    assert live() == []
    assert buttons(alice) == set()
    assert act(alice, "deploy", reason="Come back.").status_code == 409


def test_the_page_asks_the_database_no_more_for_a_longer_history(
    approved: ModelVersion, alice: Person, django_assert_num_queries: Any
) -> None:
    def ask() -> None:
        client = browser(alice)
        with django_assert_num_queries(QUERIES):
            client.get(PATH)

    act(alice, "deploy")
    ask()
    for number in range(3):
        act(alice, "suspend", reason=f"Break {number}.")
        act(alice, "deploy")
    ask()
