"""Offer an organization to a person, from the console: say, where nobody owns it."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.validators import validate_email

from governance.actions import invitations
from governance.actions.audit import Actor
from governance.models import Organization

CONSOLE = Actor(type="system", label="manage.py invite_owner", channel="command")


class Command(BaseCommand):
    help = "Invite somebody to own an organization; print the link, this once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("organization", help="the organization's slug")
        parser.add_argument(
            "--email",
            default="",
            help="who may answer, by mail as well; absent: whoever opens the link",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        slug, email = options["organization"], options["email"]
        organization = Organization.objects.filter(slug=slug).first()
        if organization is None:
            raise CommandError(f"There is no organization {slug}.")
        if email:
            try:
                validate_email(email)
            except ValidationError as error:
                raise CommandError(f"{email!r} is no e-mail address.") from error
        offer = invitations.offer_ownership(organization, email=email, actor=CONSOLE)
        self.stdout.write(f"Becoming its owner: {invitations.link(offer)}")
