"""What time does to a request: it escalates, expires, and takes effect."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from governance.actions import deadlines, endings, submissions
from governance.exceptions import InvalidError
from governance.models import (
    ApprovalRequest,
    AuditEntry,
    ModelVersion,
    Notification,
    PolicyVersion,
)
from tests.factories import Person, make_alice, make_bob, make_version, submit, vote
from tests.governance.policies import draft

pytestmark = pytest.mark.django_db
Status = ApprovalRequest.Status
Later = Callable[..., None]


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Later:
    """Return a function that lets time pass for our own clock."""
    real = timezone.now

    def pass_by(**time: float) -> None:
        monkeypatch.setattr(timezone, "now", lambda: real() + timedelta(**time))

    return pass_by


@pytest.fixture
def alice() -> Person:
    return make_alice()


@pytest.fixture
def bob(alice: Person) -> Person:
    return make_bob(alice.organization)


@pytest.fixture
def version(alice: Person, bob: Person) -> ModelVersion:
    return make_version(alice)


def swept() -> dict[str, int]:
    return {name: count for name, count in deadlines.sweep().items() if count}


def test_nothing_is_due_before_its_time(version: ModelVersion, later: Later) -> None:
    submit(version)
    later(hours=71)
    assert swept() == {}


def test_a_late_stage_is_told_once(
    version: ModelVersion, alice: Person, bob: Person, later: Later
) -> None:
    request = submit(version)
    later(hours=73)
    assert swept() == {"escalated": 1}
    assert swept() == {}
    told = Notification.objects.get(event="approval.overdue")
    assert told.payload["recipients"] == sorted([alice.user.pk, bob.user.pk])
    assert AuditEntry.objects.filter(action="approval.escalated").count() == 1
    # It goes on all the same.
    assert vote(request, bob).status == Status.APPLIED


def test_a_request_expires_after_fourteen_days(
    version: ModelVersion, later: Later
) -> None:
    request = submit(version)
    later(days=14, seconds=1)
    assert swept() == {"expired": 1}
    request.refresh_from_db()
    assert request.status == Status.EXPIRED
    version.refresh_from_db()
    assert version.status == ModelVersion.Status.DRAFT
    entry = AuditEntry.objects.get(action="approval.expired")
    assert entry.actor_type == "system"
    told = Notification.objects.get(event="approval.decided")
    assert told.payload["recipients"] == [request.requested_by_id]


def test_a_subject_that_changed_unseen_is_found(version: ModelVersion) -> None:
    request = submit(version)
    ModelVersion.objects.filter(pk=version.pk).update(training_accuracy=0.1)
    assert swept() == {"stale": 1}
    request.refresh_from_db()
    assert request.status == Status.STALE


def test_a_policy_takes_effect_on_its_date(
    alice: Person, bob: Person, later: Later
) -> None:
    version = draft(alice.organization, minimum_sample=99)
    request = submissions.submit_publication(
        version, effective_at=timezone.now() + timedelta(days=2), actor=alice.actor
    )
    request = vote(request, bob)
    assert request.status == Status.APPROVED
    assert "takes effect" in request.outcome
    assert swept() == {}
    later(days=2, seconds=1)
    assert swept() == {"applied": 1}
    version.refresh_from_db()
    assert version.status == PolicyVersion.Status.ACTIVE


def test_an_approved_request_can_still_be_withdrawn(
    alice: Person, bob: Person, later: Later
) -> None:
    version = draft(alice.organization, minimum_sample=99)
    in_two_days = timezone.now() + timedelta(days=2)
    request = vote(
        submissions.submit_publication(
            version, effective_at=in_two_days, actor=alice.actor
        ),
        bob,
    )
    endings.withdraw(request, actor=alice.actor)
    later(days=3)
    assert swept() == {}
    version.refresh_from_db()
    assert version.status == PolicyVersion.Status.DRAFT


def test_an_effective_date_lies_ahead_and_within_a_year(
    alice: Person, bob: Person
) -> None:
    version = draft(alice.organization, minimum_sample=99)
    values: dict[str, Any] = {"actor": alice.actor}
    for days in (-1, 400):
        with pytest.raises(InvalidError):
            submissions.submit_publication(
                version, effective_at=timezone.now() + timedelta(days=days), **values
            )
