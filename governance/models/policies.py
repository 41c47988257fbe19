"""Policies: which limits a model must keep. Versions never change once active."""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar

from django.db import models
from django.utils import timezone

from governance.decision import Thresholds
from governance.models.organizations import ApiKey, User
from governance.models.tenancy import TenantModel, TenantQuerySet


class Policy(TenantModel):
    name = models.CharField(max_length=200)
    is_default = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        verbose_name_plural = "policies"
        constraints = [
            models.UniqueConstraint(
                fields=("organization", "name"), name="policy_name_unique"
            ),
            models.UniqueConstraint(
                fields=("organization",),
                condition=models.Q(is_default=True),
                name="policy_one_default",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class PolicyVersionQuerySet(TenantQuerySet["PolicyVersion"]):
    def active(self) -> PolicyVersionQuerySet:
        """Return the versions in force, at most one of each policy."""
        return self.filter(status=PolicyVersion.Status.ACTIVE)

    def in_force(self) -> PolicyVersionQuerySet:
        """Return the active version of the default policy."""
        return self.filter(status=PolicyVersion.Status.ACTIVE, policy__is_default=True)


class PolicyVersion(TenantModel):
    class Status(models.TextChoices):
        DRAFT = "draft", "Draft"
        ACTIVE = "active", "Active"
        ARCHIVED = "archived", "Archived"

    policy = models.ForeignKey(
        Policy, on_delete=models.PROTECT, related_name="versions"
    )
    number = models.PositiveIntegerField()
    status = models.CharField(max_length=10, choices=Status, default=Status.DRAFT)
    # governance.decision.Thresholds as JSON; read it through `thresholds`.
    content = models.JSONField()
    content_hash = models.CharField(max_length=64)
    created_by = models.ForeignKey(
        User, null=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    # Who last changed the draft, and the key that it was done with.
    edited_by = models.ForeignKey(
        User, null=True, editable=False, on_delete=models.PROTECT, related_name="+"
    )
    edited_with = models.ForeignKey(
        ApiKey, null=True, editable=False, on_delete=models.PROTECT, related_name="+"
    )
    published_at = models.DateTimeField(null=True, blank=True)
    archived_at = models.DateTimeField(null=True, editable=False)

    objects: ClassVar = PolicyVersionQuerySet.as_manager()

    class Meta:
        ordering = ("policy", "-number")
        constraints = [
            models.UniqueConstraint(
                fields=("policy", "number"), name="policy_version_unique"
            ),
            models.UniqueConstraint(
                fields=("policy",),
                condition=models.Q(status="active"),
                name="policy_one_active_version",
            ),
            models.CheckConstraint(
                condition=models.Q(status__in=("draft", "active", "archived")),
                name="policy_version_status_known",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.policy} v{self.number}"

    @property
    def spoken(self) -> str:
        """How sentences name it: "policy 4", or with its name if it isn't the default.

        Note: this reads self.policy.
        """
        if self.policy.is_default:
            return f"policy {self.number}"
        return f"policy {self.policy.name} {self.number}"

    @cached_property
    def thresholds(self) -> Thresholds:
        return Thresholds.from_json(self.content)
