"""The audit trail: canonical bytes, one gap-free sequence per organization.

Only the database's own function `governance_append_audit` writes entries, payloads and
heads; see migration 0010.
"""

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
    # RFC 6962's hash of the body when it was written: the tree is made of these.
    leaf_hash = models.BinaryField(max_length=32)
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
    # Copies out of the body like the rest, so no foreign keys.
    approval_id = models.BigIntegerField(null=True)
    override_id = models.BigIntegerField(null=True)

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
            # The list by kind of deed and by time, and the last verification.
            models.Index(
                fields=("organization", "action", "seq"), name="audit_by_action"
            ),
            models.Index(fields=("organization", "at"), name="audit_by_time"),
            # "Under which approval, which override was this?"
            models.Index(
                fields=("organization", "approval_id"),
                condition=models.Q(approval_id__isnull=False),
                name="audit_by_approval",
            ),
            models.Index(
                fields=("organization", "override_id"),
                condition=models.Q(override_id__isnull=False),
                name="audit_by_override",
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


class AuditTile(TenantModel):
    """256 neighbouring hashes of the Merkle tree over a trail, once all are there.

    Tiles of level 0 hold hashes of leaves, those of level 1 the roots of such tiles,
    and so on. What isn't complete yet is computed from the entries. They are a store of
    what can be computed again; `manage.py fsck` does.
    """

    level = models.PositiveSmallIntegerField()
    index = models.BigIntegerField()
    hashes = models.BinaryField()
    root = models.BinaryField(max_length=32)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=("organization", "level", "index"), name="audit_tile_unique"
            ),
        ]

    def __str__(self) -> str:
        return f"tile {self.index} of level {self.level}"


class Checkpoint(TenantModel):
    """A signed statement about the first `size` entries of a trail.

    `note` is the statement, in C2SP's tlog-checkpoint format; the other columns only
    index it. It names its predecessor, so that none can be left out.
    """

    size = models.BigIntegerField()
    root = models.BinaryField(max_length=32)
    key_id = models.CharField(max_length=16)
    at = models.DateTimeField()
    note = models.TextField()

    class Meta:
        ordering = ("-size",)
        constraints = [
            models.UniqueConstraint(
                fields=("organization", "size"), name="checkpoint_size_unique"
            ),
            models.CheckConstraint(
                condition=models.Q(size__gte=1), name="checkpoint_of_something"
            ),
        ]

    def __str__(self) -> str:
        return f"checkpoint over {self.size} entries"


class CheckpointCopy(TenantModel):
    """How far the checkpoints of a trail have been copied to one place outside."""

    place = models.CharField(max_length=500)
    # The largest size that is there.
    size = models.BigIntegerField(default=0)
    tried_at = models.DateTimeField(null=True)
    # Why the last try failed; empty after one that didn't.
    error = models.TextField(blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=("organization", "place"), name="checkpoint_copy_unique"
            ),
        ]

    def __str__(self) -> str:
        return f"copies in {self.place}"
