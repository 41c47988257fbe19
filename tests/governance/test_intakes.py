"""Models that are in production already are taken up, until a date."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from governance.actions import deployments, intakes, registry
from governance.actions.intakes import Adoption
from governance.exceptions import (
    ConflictError,
    GovernanceError,
    InvalidError,
    PermissionDeniedError,
)
from governance.models import Deployment, Finding, Membership, ModelVersion
from tests import factories
from tests.factories import Person
from tests.governance.deploying import again, fresh, make_ready, move

REASON = "Was in production before."


@pytest.fixture
def alice(db: None) -> Person:
    return factories.make_alice()


@pytest.fixture
def version(alice: Person) -> ModelVersion:
    return make_ready(alice)


def adopt(person: Person, *versions: ModelVersion, **fields) -> list[Deployment]:
    adoptions = [Adoption(one, "production", **fields) for one in versions]
    return intakes.adopt(adoptions, reason=REASON, actor=person.actor)


def test_many_at_once_with_one_reason_and_a_due_date_by_tier(alice: Person) -> None:
    since = timezone.now() - timedelta(days=400)
    versions = [
        make_ready(alice, name=tier, risk_tier=tier)
        for tier in ("high", "medium", "low")
    ]
    made = adopt(alice, *reversed(versions), since=since)
    assert [one.version.model.name for one in made] == ["low", "medium", "high"]
    for one, days in zip(made, (90, 60, 30), strict=True):
        assert (one.kind, one.state, one.reason) == ("intake", "deployed", REASON)
        assert one.started_at == since
        assert one.due_at is not None
        left = one.due_at - timezone.now()
        assert timedelta(days=days - 1) < left < timedelta(days=days)
        assert one.gate["result"] == "DENY"  # what the gate would have said
    assert fresh(versions[0]).status == "deployed"


def test_all_of_them_or_none(alice: Person, version: ModelVersion) -> None:
    unknown = registry.unregistered_version(version.model, "9.9")
    other = make_ready(alice, name="Other")
    with pytest.raises(ConflictError, match="unregistered") as caught:
        adopt(alice, other, unknown)
    assert caught.value.extra["item"] == 1
    assert not Deployment.objects.exists()


def test_once_only_then_the_gate_is_the_way(
    alice: Person, version: ModelVersion
) -> None:
    adopt(alice, version)
    second = make_ready(alice, version="2.0.0")
    for again_ in (version, second):
        with pytest.raises(ConflictError, match="only the gate"):
            adopt(alice, again_)


def test_only_owners_and_compliance_officers(
    alice: Person, version: ModelVersion
) -> None:
    for role in ("model_owner", "validator", "auditor"):
        person = factories.make_member(alice.organization, role)
        with pytest.raises(PermissionDeniedError):
            adopt(person, version)
    officer = factories.make_member(
        alice.organization, Membership.Role.COMPLIANCE_OFFICER
    )
    assert adopt(officer, version)


def test_what_is_wrong_is_refused(alice: Person, version: ModelVersion) -> None:
    with pytest.raises(InvalidError):
        adopt(alice, version, since=timezone.now() + timedelta(hours=1))
    with pytest.raises(InvalidError):
        intakes.adopt([Adoption(version, "production")], reason=" ", actor=alice.actor)
    assert not Deployment.objects.exists()


def test_approved_in_time_it_is_deployed_through_the_gate(
    alice: Person, version: ModelVersion
) -> None:
    (made,) = adopt(alice, version)
    factories.approve(version)
    assert fresh(version).status == "deployed"
    regular = deployments.deploy(version, environment="production", actor=alice.actor)
    assert regular.kind == "deploy"
    assert again(made).end == "resumed"
    move(regular, started_at=timezone.now() - timedelta(days=500))
    assert intakes.sweep() == 0


def test_overdue_it_opens_a_finding_and_then_the_gate_closes(
    alice: Person, version: ModelVersion
) -> None:
    (made,) = adopt(alice, version)
    assert intakes.sweep() == 0
    move(made, due_at=timezone.now() - timedelta(minutes=1))
    assert intakes.sweep() == 1
    assert intakes.sweep() == 0
    finding = Finding.objects.get(cause="intake_overdue:production")
    assert finding.severity == "high"
    assert again(made).is_live
    move(made, overdue_at=timezone.now() - timedelta(days=7, minutes=1))
    assert intakes.sweep() == 1
    made = again(made)
    assert (made.state, made.suspension) == ("suspended", "intake_overdue")
    assert fresh(version).status == "suspended"


def test_twenty_intakes_at_once_adopt_once(cloned_db: str) -> None:
    alice = factories.make_alice()
    versions = [make_ready(alice, name=f"M{number}") for number in range(4)]
    started = threading.Barrier(20)
    actor = alice.actor

    def work(place: int) -> bool:
        # Everybody in another order: nobody waits for anybody in a circle.
        rows = versions[place % 4 :] + versions[: place % 4]
        adoptions = [Adoption(one, "production") for one in rows]
        try:
            started.wait()
            intakes.adopt(adoptions, reason=REASON, actor=actor)
        except GovernanceError:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(20) as pool:
        assert sum(pool.map(work, range(20))) == 1
    assert Deployment.objects.open().count() == 4
