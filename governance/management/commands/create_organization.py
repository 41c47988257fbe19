"""Make an organization from the console, where strangers may not register."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from governance.actions import invitations, organizations
from governance.actions.audit import Actor, deed
from governance.exceptions import GovernanceError
from governance.models import Invitation, Organization, User

CONSOLE = Actor(type="system", label="manage.py create_organization", channel="command")


class Command(BaseCommand):
    help = "Make an organization; print its API key, this once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="the organization's name")
        parser.add_argument(
            "--owner",
            metavar="EMAIL",
            help="who gets the role owner; made if nobody has this address",
        )
        parser.add_argument(
            "--password", help="of the owner, if they are made; absent: none yet"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            organization, text, offer = create(
                options["name"], options["owner"], options["password"]
            )
        except GovernanceError as error:
            faults = "".join(f"\n- {one['detail']}" for one in error.errors)
            raise CommandError(f"{error}{faults}") from error
        self.stdout.write(f"Organization: {organization.name} ({organization.slug})")
        self.stdout.write(f"API key (shown this once): {text}")
        if offer is not None:
            self.stdout.write(f"Becoming its owner: {invitations.link(offer)}")
        elif not options["password"]:
            self.stdout.write(
                f"Set a password with: manage.py changepassword {options['owner']}"
            )


@deed
def create(
    name: str, email: str | None, password: str | None
) -> tuple[Organization, str, Invitation | None]:
    """Make the organization; with nobody named, whoever opens the link owns it."""
    if not email:
        return invitations.register_organization(name, actor=CONSOLE)
    organization, _, text = organizations.register_organization(name, actor=CONSOLE)
    owner = User.objects.filter(email__iexact=email).first()
    if owner is None:
        owner = organizations.create_user(email, password=password, actor=CONSOLE)
    organizations.add_member(organization, user=owner, role="owner", actor=None)
    return organization, text, None
