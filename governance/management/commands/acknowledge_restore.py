"""Say that a trail ends earlier than its copies because a backup was restored."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from governance.actions import restores
from governance.actions.audit import Actor
from governance.exceptions import GovernanceError
from governance.models import Organization

CONSOLE = Actor(type="system", label="manage.py acknowledge_restore", channel="command")


class Command(BaseCommand):
    help = (
        "Acknowledge that the database was restored from a backup: the trail tells of "
        "it, the copies of what is missing are set aside, and checkpoints are signed "
        "again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("organization", metavar="SLUG")
        parser.add_argument(
            "--reason", required=True, help="what was restored, and why"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        slug = options["organization"]
        organization = Organization.objects.filter(slug=slug).first()
        if organization is None:
            raise CommandError(f"There is no organization {slug!r}.", returncode=2)
        try:
            lost = restores.acknowledge(
                organization, reason=options["reason"], actor=CONSOLE
            )
        except GovernanceError as error:
            raise CommandError(error.detail) from error
        self.stdout.write(
            f"Acknowledged: the trail of {slug} had {lost.size} entries on "
            f"{lost.at:%Y-%m-%d %H:%M} UTC. Keep the copies that were set aside."
        )
