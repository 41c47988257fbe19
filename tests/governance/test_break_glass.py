"""In an emergency one person opens the gate: for hours, and not alone for long."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from governance.actions import break_glass, permits
from governance.exceptions import (
    ConflictError,
    InvalidError,
    PermissionDeniedError,
    PermitRefusedError,
    ReauthenticationRequiredError,
)
from governance.models import (
    AuditEntry,
    Deployment,
    Finding,
    ModelVersion,
    Notification,
)
from tests import factories
from tests.factories import Person
from tests.governance import policies
from tests.governance.deploying import again, make_approved, make_ready, move

pytestmark = pytest.mark.django_db
REASON = "1.0.0 crashes on every third request."


@pytest.fixture
def alice() -> Person:
    return factories.make_alice()


@pytest.fixture
def bob(alice: Person) -> Person:
    return factories.make_bob(alice.organization)


@pytest.fixture
def version(alice: Person, bob: Person) -> ModelVersion:
    policies.publish(
        alice.organization, break_glass={"allowed": True, "maximum_hours": 4}
    )
    return make_ready(alice)


def break_it(version: ModelVersion, person: Person, **fields) -> Deployment:
    fields = {"environment": "production", "reason": REASON, **fields}
    return break_glass.open_gate(version, actor=person.actor, **fields)


def ratify(made: Deployment, person: Person, *, agrees: bool = True) -> Deployment:
    return break_glass.ratify(
        made, agrees=agrees, reason="Looked at the log.", actor=person.actor
    )


def begin(made: Deployment, start: datetime, hours: float = 4) -> None:
    """Let it have begun at another time."""
    move(
        made,
        started_at=start,
        until=start + timedelta(hours=hours),
        ratify_by=start + timedelta(hours=24),
    )


def test_it_opens_for_hours_with_a_critical_finding(
    version: ModelVersion, alice: Person
) -> None:
    made = break_it(version, alice, hours=2)
    assert made.until is not None
    assert made.ratify_by is not None
    assert made.until - made.started_at == timedelta(hours=2)
    assert made.ratify_by - made.started_at == timedelta(hours=24)
    assert made.gate["result"] == "DENY"
    finding = Finding.objects.get()
    assert (finding.severity, finding.cause) == ("critical", f"break_glass:{made.pk}")
    assert (
        Notification.objects.get(event="deployment.break_glass").payload["urgency"]
        == "page"
    )
    permit = permits.issue(version.model, "production")
    assert permit.claims["kind"] == "break_glass"
    begin(made, timezone.now() - timedelta(hours=2, seconds=-60), hours=2)
    permit = permits.issue(version.model, "production")
    assert permit.expires_at == again(made).until


def test_the_policy_has_to_allow_it(alice: Person) -> None:
    with pytest.raises(ConflictError, match="doesn't allow"):
        break_it(make_ready(alice), alice)
    denied = AuditEntry.objects.get(action="deployment.requested")
    assert denied.outcome == "denied"


@pytest.mark.parametrize(
    "wrong", [{"hours": 4.01}, {"hours": 0}, {"hours": -1}, {"reason": "It crashes."}]
)
def test_beyond_the_limits_nothing_happens(
    wrong: dict[str, object], version: ModelVersion, alice: Person
) -> None:
    with pytest.raises(InvalidError):
        break_it(version, alice, **wrong)
    assert not Deployment.objects.exists()


def test_it_takes_a_person_who_has_just_shown_who_they_are(
    version: ModelVersion, alice: Person
) -> None:
    with pytest.raises(ReauthenticationRequiredError):
        break_glass.open_gate(
            version,
            environment="production",
            reason=REASON,
            actor=replace(alice.actor, auth_method="token"),
        )
    for role in ("validator", "auditor"):
        person = factories.make_member(alice.organization, role)
        with pytest.raises(PermissionDeniedError):
            break_it(version, person)


def test_where_the_gate_is_open_there_is_nothing_to_break(
    version: ModelVersion, alice: Person
) -> None:
    with pytest.raises(ConflictError, match="open"):
        break_it(make_approved(alice, name="Fine"), alice)


def test_a_second_person_stands_by_it(
    version: ModelVersion, alice: Person, bob: Person
) -> None:
    made = break_it(version, alice)
    factories.make_member(alice.organization, "compliance_officer", user=alice.user)
    with pytest.raises(PermissionDeniedError, match="second person"):
        ratify(made, alice)
    until = made.until
    ratify(made, bob)
    made = again(made)
    assert made.ratified_by == bob.user
    # It doesn't last any longer for it.
    assert made.until == until
    with pytest.raises(ConflictError):
        ratify(made, bob)


def test_or_it_is_reverted_at_once(
    version: ModelVersion, alice: Person, bob: Person
) -> None:
    made = break_it(version, alice)
    ratify(made, bob, agrees=False)
    made = again(made)
    assert (made.state, made.suspension) == ("suspended", "break_glass_ended")
    assert made.ratified_by is None
    with pytest.raises(PermitRefusedError):
        permits.issue(version.model, "production")


def test_its_hours_end_by_themselves(
    version: ModelVersion, alice: Person, bob: Person
) -> None:
    made = break_it(version, alice)
    ratify(made, bob)
    assert break_glass.sweep() == 0
    past = timezone.now() - timedelta(seconds=1)
    begin(made, past - timedelta(hours=4))
    with pytest.raises(PermitRefusedError):
        permits.issue(version.model, "production")
    assert break_glass.sweep() == 1
    assert break_glass.sweep() == 0
    assert again(made).is_suspended


def test_what_nobody_stood_by_within_a_day_is_told(
    version: ModelVersion, alice: Person, bob: Person
) -> None:
    made = break_it(version, alice)
    past = timezone.now() - timedelta(seconds=1)
    begin(made, past - timedelta(hours=24))
    assert break_glass.sweep() == 1
    assert break_glass.sweep() == 0
    made = again(made)
    assert made.unratified_at is not None
    assert made.is_suspended
    with pytest.raises(ConflictError, match="over"):
        ratify(made, bob)
    assert Finding.objects.get().occurrences == 2


def test_it_cannot_be_extended(
    version: ModelVersion, alice: Person, bob: Person
) -> None:
    made = break_it(version, alice)
    with pytest.raises(ConflictError, match="extended"):
        break_it(version, alice)
    ratify(made, bob)
    past = timezone.now() - timedelta(seconds=1)
    begin(made, past - timedelta(hours=4))
    break_glass.sweep()
    with pytest.raises(ConflictError, match="less than a day"):
        break_it(version, alice)
    with pytest.raises(ConflictError, match="less than a day"):
        break_it(make_ready(alice, version="2.0.0"), bob)
    start = timezone.now() - timedelta(hours=40)
    begin(made, start)
    move(made, suspended_at=start + timedelta(hours=4))
    assert break_it(version, alice).is_live
