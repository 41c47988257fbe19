"""The organization of the demo: Demo Bank, its people and its API key."""

import secrets
from dataclasses import dataclass

from django.db import transaction

from driftguard.demo.notebook import Notebook
from governance.actions import credentials, organizations
from governance.models import ApiKey, Membership, Organization, User

NAME = "Demo Bank"
KEY_NAME = "Demo replay"
Role = Membership.Role


@dataclass(frozen=True, slots=True)
class Person:
    email: str
    name: str
    role: Role
    task: str


OWNER = Person("owner@demo-bank.example", "Olivia Owner", Role.OWNER, "runs the models")
PEOPLE = (
    OWNER,
    Person(
        "officer@demo-bank.example",
        "Oscar Officer",
        Role.COMPLIANCE_OFFICER,
        "decides on them",
    ),
    Person("auditor@demo-bank.example", "Ada Auditor", Role.AUDITOR, "reads the trail"),
)


def open_bank(notebook: Notebook) -> None:
    """Make the organization, its people and its key, as far as they are missing.

    The notebook has the password and the key afterwards. Where it was lost, the people
    get a new password and the organization another key.
    """
    with transaction.atomic():
        if not notebook.get("password"):
            notebook.put("password", f"demo-{secrets.token_urlsafe(9)}")
        people = [_person(one, notebook.get("password")) for one in PEOPLE]
        owner = people[0]
        organization = _organization(owner)
        for user, person in zip(people, PEOPLE, strict=True):
            roles = credentials.roles_of(user.pk, organization.pk)
            if person.role not in roles:
                organizations.add_member(
                    organization, user=user, role=person.role, actor=None
                )
        _ensure_key(organization, owner, notebook)


def _person(person: Person, password: str) -> User:
    user = User.objects.filter(email__iexact=person.email).first()
    if user is None:
        return organizations.create_user(
            person.email, password=password, name=person.name, actor=None
        )
    if not user.check_password(password):
        user.set_password(password)
        user.save(update_fields=["password"])
    return user


def _organization(owner: User) -> Organization:
    owned = Membership.objects.in_effect().filter(user=owner, role=Role.OWNER)
    membership = owned.select_related("organization").first()
    if membership is not None:
        return membership.organization
    return organizations.create_organization(NAME, owner=owner, actor=None)


def _ensure_key(organization: Organization, owner: User, notebook: Notebook) -> None:
    keys = ApiKey.objects.for_organization(organization).usable()
    prefix = notebook.get("api_key_prefix")
    if prefix and keys.filter(prefix=prefix).exists():
        return
    key, text = organizations.create_api_key(
        organization, name=KEY_NAME, owner=owner, actor=None
    )
    notebook.put("api_key", text)
    notebook.put("api_key_prefix", key.prefix)
