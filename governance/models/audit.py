"""The audit trail: canonical bytes, one gap-free sequence per organization."""

from __future__ import annotations

from django.db import models

from governance.models.organizations import Organization
from governance.models.tenancy import TenantModel


class AuditHead(models.Model):
    """The last entry of an organization; its row lock puts entries in one order."""

    organization = models.OneToOneField(
        Organization, primary_key=True, on_delete=models.PROTECT, related_name="+"
    )
    seq = models.BigIntegerField(default=0)
    digest = models.BinaryField(max_length=32)

    def __str__(self) -> str:
        return f"{self.organization} at {self.seq}"


class AuditEntry(TenantModel):
    """One remembered deed.

    `body` is the entry: RFC 8785 canonical JSON. The other columns only index it.
    """

    class Outcome(models.TextChoices):
        DONE = "done", "Done"
        DENIED = "denied", "Denied"
        FAILED = "failed", "Failed"

    seq = models.BigIntegerField()
    body = models.BinaryField()
    at = models.DateTimeField()
    actor_type = models.CharField(max_length=20)
    actor_id = models.CharField(max_length=64, blank=True)
    actor_label = models.CharField(max_length=300, blank=True)
    action = models.CharField(max_length=80)
    object_type = models.CharField(max_length=60, blank=True)
    object_id = models.CharField(max_length=64, blank=True)
    object_label = models.CharField(max_length=500, blank=True)
    outcome = models.CharField(max_length=10, choices=Outcome)
    request_id = models.CharField(max_length=128, blank=True)

    class Meta:
        verbose_name_plural = "audit entries"
        ordering = ("-seq",)
        constraints = [
            models.UniqueConstraint(
                fields=("organization", "seq"), name="audit_seq_unique"
            ),
            models.CheckConstraint(
                condition=models.Q(seq__gte=1), name="audit_seq_from_one"
            ),
        ]
        indexes = [
            # "What happened to this object?"
            models.Index(
                fields=("organization", "object_type", "object_id"),
                name="audit_by_object",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.seq} {self.action}"


class AuditPayload(TenantModel):
    """Before and after of an entry, apart from it, so that it can be erased.

    The entry keeps HMAC-SHA256(salt, content); without the salt nobody can guess
    the content back from it.
    """

    entry = models.OneToOneField(
        AuditEntry, on_delete=models.PROTECT, related_name="payload"
    )
    salt = models.BinaryField(max_length=32)
    content = models.BinaryField()

    def __str__(self) -> str:
        return f"payload of entry {self.entry_id}"
