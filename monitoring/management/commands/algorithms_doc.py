from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from monitoring.reports import algorithms


class Command(BaseCommand):
    """Writes docs/algorithms.md out of the registry."""

    help = "Write docs/algorithms.md anew, out of the registry of algorithms."
    requires_system_checks: list[str] = []

    def handle(self, *_: Any, **__: Any) -> None:
        page = settings.BASE_DIR / "docs" / "algorithms.md"
        page.write_text(algorithms.markdown(), encoding="utf-8")
        self.stdout.write(f"Wrote {page}")
