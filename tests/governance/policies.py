"""Policies for tests: published as they have to be, by a second person."""

from typing import Any

from governance.actions import policies, submissions
from governance.models import Membership, Organization, PolicyVersion
from tests.factories import Person, vote


def owner_of(organization: Organization) -> Person:
    row = Membership.objects.for_organization(organization).get(role="owner")
    return Person(row.user, organization)


def draft(organization: Organization, **content: Any) -> PolicyVersion:
    """Draft the next version of the default policy, with some content changed."""
    active = policies.default_of(organization.pk)
    return policies.add_draft(
        active.policy,
        content={**active.content, **content},
        actor=owner_of(organization).actor,
    )


def publish(organization: Organization, **content: Any) -> PolicyVersion:
    """Publish it, by the first compliance officer who may vote."""
    version = draft(organization, **content)
    request = submissions.submit_publication(
        version, actor=owner_of(organization).actor
    )
    (stage,) = request.stages.all()
    approver = stage.approvers.first()
    assert approver is not None
    vote(request, Person(approver.user, organization))
    version.refresh_from_db()
    assert version.status == PolicyVersion.Status.ACTIVE
    return version
