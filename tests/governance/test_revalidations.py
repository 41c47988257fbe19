"""What is in production is validated again after some months, by its tier."""

from datetime import UTC, datetime, timedelta

import pytest

from governance.actions import approvals, deployments, policies, revalidations
from governance.models import Finding
from tests import factories
from tests.governance.deploying import make_approved, make_ready

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("moment", "months", "expected"),
    [
        ((2025, 1, 31), 1, (2025, 2, 28)),
        ((2024, 1, 31), 1, (2024, 2, 29)),
        ((2025, 3, 15), 12, (2026, 3, 15)),
        ((2025, 8, 31), 18, (2027, 2, 28)),
        ((2025, 12, 1), 24, (2027, 12, 1)),
    ],
)
def test_months_are_those_of_the_calendar(moment, months, expected) -> None:
    found = revalidations.months_after(datetime(*moment, tzinfo=UTC), months)
    assert found == datetime(*expected, tzinfo=UTC)


def test_beat_asks_for_it_once_by_tier_and_its_closure_starts_the_clock() -> None:
    alice = factories.make_alice()
    versions = {
        tier: make_approved(alice, name=tier, risk_tier=tier)
        for tier in ("high", "medium", "low")
    }
    make_ready(alice, name="never deployed")
    for version in versions.values():
        deployments.deploy(version, environment="production", actor=alice.actor)
    approved = approvals.standing(versions["high"]).request
    assert approved is not None
    assert approved.applied_at is not None

    def after(months: int) -> list[str]:
        now = revalidations.months_after(approved.applied_at, months)
        # The three were approved one after the other.
        revalidations.sweep(now + timedelta(hours=1))
        rows = Finding.objects.filter(cause="revalidation").order_by("pk")
        return [row.version.model.name for row in rows]

    assert after(11) == []
    assert after(12) == ["high"]
    assert after(12) == ["high"]
    assert after(18) == ["high", "medium"]
    assert after(24) == ["high", "medium", "low"]
    high = Finding.objects.get(version=versions["high"])
    closed = factories.close_finding(high, alice)
    policy = policies.in_force_for(versions["high"].model)
    due = revalidations.due_at(
        versions["high"], policy, approvals.standing(versions["high"])
    )
    assert closed.closed_at is not None
    assert due == revalidations.months_after(closed.closed_at, 12)
