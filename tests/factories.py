"""The cast of the tests, and plain functions that make rows through the real deeds.

Alice owns an organization, Bob is its compliance officer, and Charlie is a stranger:
the owner of another organization.
"""

from dataclasses import dataclass
from functools import cache
from itertools import count
from typing import Any

from django.contrib.auth.hashers import make_password

from governance.actions import (
    findings,
    organizations,
    registry,
    submissions,
    votes,
)
from governance.actions.audit import Actor
from governance.actions.credentials import SCOPES
from governance.models import (
    ApiKey,
    ApprovalRequest,
    Finding,
    Membership,
    ModelVersion,
    Organization,
    RegisteredModel,
    User,
)
from governance.schema import Schema

PASSWORD = "a long enough passphrase"
_numbers = count(1)


@dataclass(frozen=True)
class Person:
    """A user with the organization they work for."""

    user: User
    organization: Organization

    @property
    def actor(self) -> Actor:
        roles = (
            Membership.objects.in_effect()
            .filter(user=self.user, organization=self.organization)
            .values_list("role", flat=True)
        )
        return Actor(
            type="user",
            id=str(self.user.pk),
            label=self.user.email,
            role=",".join(sorted(roles)),
            auth_method="password",
            user_id=self.user.pk,
        )


@cache
def hashed_password() -> str:
    # Argon2 is slow on purpose: once per run is enough.
    return make_password(PASSWORD)


def make_user(email: str = "", **fields: Any) -> User:
    number = next(_numbers)
    user = User(email=email or f"user{number}@example.com", **fields)
    user.password = hashed_password()
    user.save()
    return user


def make_organization(name: str = "", owner: User | None = None) -> Organization:
    return organizations.create_organization(
        name or f"Organization {next(_numbers)}", owner=owner, actor=None
    )


def make_alice() -> Person:
    user = make_user(f"alice{next(_numbers)}@example.com", name="Alice")
    return Person(user, make_organization("Alice's bank", owner=user))


def make_bob(organization: Organization) -> Person:
    user = make_user(f"bob{next(_numbers)}@example.com", name="Bob")
    return make_member(organization, Membership.Role.COMPLIANCE_OFFICER, user)


def make_charlie() -> Person:
    user = make_user(f"charlie{next(_numbers)}@example.com", name="Charlie")
    return Person(user, make_organization("Charlie's bank", owner=user))


def make_member(
    organization: Organization, role: str, user: User | None = None
) -> Person:
    user = user or make_user()
    organizations.add_member(organization, user=user, role=role, actor=None)
    return Person(user, organization)


def make_api_key(person: Person, **fields: Any) -> tuple[ApiKey, str]:
    """Make a key with every scope, unless told otherwise; return it with its text."""
    fields = {"name": "Test key", "scopes": SCOPES, **fields}
    return organizations.create_api_key(
        person.organization, owner=person.user, actor=None, **fields
    )


SCHEMA: dict[str, Any] = {
    "features": [
        {"name": "age", "type": "int", "importance": 0.7},
        {"name": "income", "type": "float", "importance": 0.3},
        {"name": "region", "type": "categorical"},
    ],
    "target": "defaulted",
    "task": "binary",
    "classes": [0, 1],
    "favourable_outcome": 0,
    "protected_attributes": ["region"],
}


def make_version(
    person: Person,
    *,
    name: str = "",
    version: str = "1.0.0",
    schema: dict[str, Any] | None = None,
    **model_fields: Any,
) -> ModelVersion:
    """Register a version of a model (a new one, unless named)."""
    registration = registry.Registration(
        name=name or f"Model {next(_numbers)}",
        version=version,
        schema=Schema.from_json(SCHEMA if schema is None else schema),
        model_fields=model_fields,
    )
    return registry.register(person.organization, registration, actor=person.actor)


def make_model(person: Person, **fields: Any) -> RegisteredModel:
    """Register a model with one version."""
    return make_version(person, **fields).model


def close_finding(finding: Finding, worker: Person) -> Finding:
    """Take a finding all the way; a compliance officer of its own closes it."""
    finding = findings.start(finding, actor=worker.actor)
    finding = findings.resolve(finding, reason="Repaired.", actor=worker.actor)
    officer = make_bob(worker.organization)
    return findings.close(finding, reason="Looked at it.", actor=officer.actor)


def voting(organization: Organization) -> list[Person]:
    """Return who may vote in an organization, as people of the cast."""
    rows = Membership.objects.for_organization(organization).voting()
    return [Person(one.user, organization) for one in rows.select_related("user")]


def submit(version: ModelVersion, **fields: Any) -> ApprovalRequest:
    """Ask for a version to be approved, as its owner does."""
    asker = Person(version.model.owner, version.organization)
    return submissions.submit_version(version, actor=asker.actor, **fields)


def vote(
    request: ApprovalRequest, voter: Person, decision: str = "approve", reason: str = ""
) -> ApprovalRequest:
    ballot = votes.Ballot(decision, reason)
    return votes.cast(request, ballot, actor=voter.actor)


def approve(version: ModelVersion) -> ModelVersion:
    """Have a version approved as its policy says, by others than its owner.

    Makes a compliance officer where nobody may vote yet.
    """
    if not voting(version.organization):
        make_bob(version.organization)
    request = submit(version)
    while request.status == ApprovalRequest.Status.PENDING:
        stage = request.stages.get(number=request.stage)
        voted = request.votes.values("voter")
        approver = stage.approvers.exclude(user__in=voted).first()
        assert approver is not None
        request = vote(request, Person(approver.user, version.organization))
    version.refresh_from_db()
    return version
