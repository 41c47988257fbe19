"""The organization that is thrown away, and the people in it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from datetime import timedelta

from django.utils import timezone

from driftguard.selftest.scenarios import Visitor
from governance.actions import (
    organizations,
    policies,
    registry,
    risk,
    sessions,
    submissions,
    votes,
)
from governance.actions.audit import Actor
from governance.actions.credentials import SCOPES
from governance.decision import ColumnFacts, Facts, GroupFacts, Measured
from governance.models import (
    ApiKey,
    ApprovalRequest,
    Membership,
    ModelVersion,
    Organization,
    PolicyVersion,
    User,
)
from governance.schema import Schema

Role = Membership.Role
APPROVE = votes.Ballot("approve")
WHY = "A control is tried; nothing of this is meant."


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody in the throw-away organization, and what they come with."""

    user: User
    actor: Actor  # who has just shown the password
    password: str
    token: Visitor
    browser: Visitor


@dataclass(frozen=True, slots=True)
class Cast:
    """Alice owns it and asks; Bob and Frank may vote; Dora audits; Charlie is foreign.

    Alice holds a voting role too: what stops her is that it was she who asked.
    """

    organization: Organization
    alice: Person
    bob: Person
    frank: Person
    dora: Person
    charlie: Person
    root: User  # a superuser of Django, member of nothing
    key: ApiKey  # Alice's, with every scope
    with_key: Visitor

    @classmethod
    def made(cls) -> Cast:
        """Make everybody; an approval takes two votes."""
        tag = secrets.token_hex(6)
        users = {
            name: _user(name, tag)
            for name in ("alice", "bob", "frank", "dora", "charlie")
        }
        organization = organizations.create_organization(
            f"Self-test {tag}", owner=users["alice"][0], actor=None
        )
        for name, role in (
            ("alice", Role.COMPLIANCE_OFFICER),
            ("bob", Role.COMPLIANCE_OFFICER),
            ("frank", Role.COMPLIANCE_OFFICER),
            ("dora", Role.AUDITOR),
        ):
            user = users[name][0]
            organizations.add_member(organization, user=user, role=role, actor=None)
        foreign = organizations.create_organization(
            f"Self-test {tag}, foreign", owner=users["charlie"][0], actor=None
        )
        people = {
            name: _person(*users[name], foreign if name == "charlie" else organization)
            for name in users
        }
        key, text = organizations.create_api_key(
            organization,
            name="Self-test",
            owner=users["alice"][0],
            scopes=SCOPES,
            actor=None,
        )
        cast = cls(
            organization=organization,
            **people,
            root=_user("root", tag, is_superuser=True, is_staff=True)[0],
            key=key,
            with_key=Visitor({"X-API-Key": text}),
        )
        cast.publish(stages=[{"role": "compliance_officer", "quorum": 2}])
        return cast

    @property
    def key_actor(self) -> Actor:
        """Alice's key, as the API names it."""
        return Actor(
            type="api_key",
            id=str(self.key.pk),
            label=str(self.key),
            auth_method="api_key",
            key_prefix=self.key.prefix,
            user_id=self.alice.user.pk,
        )

    def publish(self, **content: object) -> PolicyVersion:
        """Publish another version of the default policy, as it has to be."""
        draft = self.draft(**content)
        request = submissions.submit_publication(draft, actor=self.alice.actor)
        votes.cast(request, APPROVE, actor=self.bob.actor)
        return PolicyVersion.objects.get(pk=draft.pk)

    def draft(self, **content: object) -> PolicyVersion:
        active = policies.default_of(self.organization.pk)
        return policies.add_draft(
            active.policy,
            content={**active.content, **content},
            actor=self.alice.actor,
        )

    def version(self) -> ModelVersion:
        """Register a version that lacks nothing but its approval."""
        schema = {"features": ["age", "income"], "task": "binary", "classes": [0, 1]}
        made = registry.register(
            self.organization,
            registry.Registration(
                name=f"Model {secrets.token_hex(4)}",
                version="1.0.0",
                schema=Schema.from_json(schema),
                model_fields={"risk_tier": "high"},
            ),
            actor=self.alice.actor,
        )
        registry.note_baseline(
            made,
            ref="baseline_of_selftest",
            kind="given",
            is_labelled=True,
            actor=self.alice.actor,
        )
        return _fresh(made)

    def request(self) -> ApprovalRequest:
        return submissions.submit_version(self.version(), actor=self.alice.actor)

    def approved(self) -> ModelVersion:
        """Return a version that two others than Alice have approved."""
        request = self.request()
        for person in (self.bob, self.frank):
            request = votes.cast(request, APPROVE, actor=person.actor)
        return _fresh(ModelVersion.objects.get(requests=request))

    def measured(self, *, psi: float = 0.01, ratio: float = 1.0) -> ModelVersion:
        """Return an approved version with traffic.

        A `psi` of 0.5 blocks it by a hard rule; a `ratio` of 0.5 closes the gate by a
        soft one.
        """
        version = self.approved()
        now = timezone.now()
        registry.note_traffic(version, now)
        status = "alert" if psi >= 0.25 else "ok"
        facts = Facts(
            n=1000,
            n_baseline=5000,
            baseline_kind="given",
            evidence_age_hours=0.5,
            columns=(
                ColumnFacts(
                    "age", status, psi, 0.9, (Measured("psi", psi, significant=True),)
                ),
                ColumnFacts(
                    "income",
                    "ok",
                    0.01,
                    0.1,
                    (Measured("psi", 0.01, significant=False),),
                ),
            ),
            groups=(
                GroupFacts("region", "north", 500, ratio, ratio - 0.02, ratio + 0.02),
                GroupFacts("region", "south", 500, 1.0, 1.0, 1.0),
            ),
        )
        for _ in range(2):
            risk.assess(
                version,
                facts=facts,
                source={"baseline": "baseline_of_selftest"},
                window=(now - timedelta(days=7), now),
                is_evaluation=True,
            )
        return _fresh(version)


def _fresh(version: ModelVersion) -> ModelVersion:
    return ModelVersion.objects.select_related("model").get(pk=version.pk)


def _user(name: str, tag: str, **fields: bool) -> tuple[User, str]:
    password = secrets.token_urlsafe(18)
    user = User(email=f"{name}-{tag}@selftest.invalid", name=name.title(), **fields)
    user.set_password(password)
    user.save()
    return user, password


def _person(user: User, password: str, organization: Organization) -> Person:
    roles = Membership.objects.for_organization(organization).filter(user=user)
    actor = Actor(
        type="user",
        id=str(user.pk),
        label=user.email,
        role=",".join(sorted(roles.values_list("role", flat=True))),
        auth_method="password",
        channel="selftest",
        user_id=user.pk,
    )
    tokens = sessions.start(user, organization, actor=replace(actor))
    return Person(
        user,
        actor,
        password,
        Visitor({"Authorization": f"Bearer {tokens.access}"}),
        Visitor(user=user),
    )
