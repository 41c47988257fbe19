"""The outbox: a row per message; `sent_at` empty means that it still has to go."""

from __future__ import annotations

import uuid

from django.db import models
from django.utils import timezone

from governance.models.registry import ModelVersion
from governance.models.tenancy import TenantModel


class Notification(TenantModel):
    # Stable over retries, so that a receiver can tell a repetition.
    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    event = models.CharField(max_length=60)
    version = models.ForeignKey(
        ModelVersion, null=True, on_delete=models.PROTECT, related_name="+"
    )
    subject = models.CharField(max_length=500)
    payload = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    sent_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ("-created_at",)
        indexes = [
            # The sender asks for what has not been sent.
            models.Index(
                fields=("created_at",),
                condition=models.Q(sent_at=None),
                name="notification_unsent",
            ),
        ]

    def __str__(self) -> str:
        return self.subject
