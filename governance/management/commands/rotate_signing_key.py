"""Put another signing key into use; what the old one signed stays good."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from governance import signing
from governance.actions import checkpoints
from governance.actions.audit import Actor

CONSOLE = Actor(type="system", label="manage.py rotate_signing_key", channel="command")


class Command(BaseCommand):
    help = "Let another key sign checkpoints and permits; every trail tells of it."

    def handle(self, *args: Any, **options: Any) -> None:
        earlier = signing.public_key()
        following = checkpoints.rotate_key(actor=CONSOLE)
        self.stdout.write(f"New public key: {following.text} (id {following.id})")
        self.stdout.write(f"The one before: {earlier.text} (id {earlier.id})")
        if signing.is_kept_here():
            self.stdout.write("The new key signs from now on.")
            return
        self.stdout.write(
            "The trails know of the new key. Set these two on every machine, restart, "
            f"then delete {signing.next_file()}:"
        )
        before = ",".join(key.text for key in signing.public_keys())
        self.stdout.write(f"SIGNING_KEY={signing.secret_text()}")
        self.stdout.write(f"SIGNING_KEYS_BEFORE={before}")
