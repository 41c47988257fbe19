"""How far files were read into the predictions."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from governance.models.tenancy import TenantModel


class ImportMark(TenantModel):
    """All rows of a file before this place are stored.

    It is written in one transaction with the rows before it, and never changed: so a
    file is continued where it ended, however the process ended that read it.
    """

    # What the command was told about rows that name no model.
    model_reference = models.CharField(max_length=255, blank=True)
    environment = models.CharField(max_length=20)
    rows = models.BigIntegerField()
    # SHA-256 of the file's first `size` bytes.
    size = models.BigIntegerField()
    digest = models.BinaryField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            # Two processes that read the same file: only one stores a part.
            models.UniqueConstraint(
                fields=(
                    "organization",
                    "model_reference",
                    "environment",
                    "digest",
                    "rows",
                ),
                name="import_mark_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.rows} rows"
