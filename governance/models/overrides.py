"""Overrides: for a while, named soft rules don't close the gate to one version."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Self

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Length
from django.utils import timezone

from governance.models.organizations import ApiKey, User
from governance.models.policies import PolicyVersion
from governance.models.registry import ModelVersion
from governance.models.tenancy import TenantModel, TenantQuerySet

ENVIRONMENT_KNOWN = Q(environment__in=("production", "staging", "development"))
SHORTEST_JUSTIFICATION = 20

models.TextField.register_lookup(Length)


class OverrideQuerySet(TenantQuerySet["Override"]):
    def waiting(self) -> Self:
        """Return those that wait for somebody to decide."""
        return self.filter(status__in=Override.WAITING)

    def open(self) -> Self:
        """Return those that can still come into force, or are."""
        return self.filter(status__in=Override.OPEN)

    def in_force(self, at: datetime | None = None) -> Self:
        """Return those in force at that moment (now), whatever beat has done yet."""
        at = at or timezone.now()
        return self.filter(
            status=Override.Status.ACTIVE, activated_at__lte=at, expires_at__gt=at
        )

    def to_activate(self, at: datetime) -> Self:
        return self.filter(status=Override.Status.APPROVED, starts_at__lte=at)

    def to_expire(self, at: datetime) -> Self:
        """Return those whose time has passed, active or never decided on."""
        return self.open().filter(expires_at__lte=at)


class Override(TenantModel):
    """An exception that one person asks for and another one grants, until a date."""

    class Status(models.TextChoices):
        PROPOSED = "proposed", "Proposed"
        UNDER_REVIEW = "under_review", "Under review"
        APPROVED = "approved", "Approved"
        ACTIVE = "active", "Active"
        EXPIRED = "expired", "Expired"
        REVOKED = "revoked", "Revoked"
        REJECTED = "rejected", "Rejected"

    WAITING = ("proposed", "under_review")
    OPEN = ("proposed", "under_review", "approved", "active")

    version = models.ForeignKey(
        ModelVersion, on_delete=models.PROTECT, related_name="overrides"
    )
    environment = models.CharField(max_length=20, choices=ApiKey.Environment)
    # The soft rules of the gate that it passes, by their names.
    rules = ArrayField(models.CharField(max_length=40))
    status = models.CharField(max_length=12, choices=Status, default=Status.PROPOSED)
    justification = models.TextField()
    # False: asked for along with a deployment, in words of ours.
    is_justified = models.BooleanField(default=True)
    requested_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    requested_label = models.CharField(max_length=300)
    requested_with = models.ForeignKey(
        ApiKey, null=True, on_delete=models.PROTECT, related_name="+"
    )
    # Who may not decide: who asked, and the owner and creator of the key it came with.
    barred = ArrayField(models.BigIntegerField())
    requested_at = models.DateTimeField(default=timezone.now, editable=False)
    # The longest that the policy allows in the model's tier, and which policy that was.
    longest = models.DurationField()
    policy_version = models.ForeignKey(
        PolicyVersion, on_delete=models.PROTECT, related_name="+"
    )
    # What the gate said when it was asked for.
    gate = models.JSONField(default=dict)
    # The one that it goes on from: an extension is a new review.
    extends = models.ForeignKey(
        "self", null=True, on_delete=models.PROTECT, related_name="extensions"
    )
    reviewed_by = models.ForeignKey(
        User, null=True, on_delete=models.PROTECT, related_name="+"
    )
    reviewed_label = models.CharField(max_length=300, blank=True)
    reviewed_at = models.DateTimeField(null=True, editable=False)
    decided_by = models.ForeignKey(
        User, null=True, on_delete=models.PROTECT, related_name="+"
    )
    decided_label = models.CharField(max_length=300, blank=True)
    decided_at = models.DateTimeField(null=True, editable=False)
    decision = models.TextField(blank=True)
    # Approved now, in force later; empty: at once.
    starts_at = models.DateTimeField(null=True, blank=True)
    activated_at = models.DateTimeField(null=True, editable=False)
    expires_at = models.DateTimeField()
    warned_at = models.DateTimeField(null=True, editable=False)
    # When it really ended: at its expiry, or sooner.
    ended_at = models.DateTimeField(null=True, editable=False)
    ended_by = models.ForeignKey(
        User, null=True, on_delete=models.PROTECT, related_name="+"
    )
    ended_label = models.CharField(max_length=300, blank=True)
    end_reason = models.TextField(blank=True)

    objects: ClassVar = OverrideQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        constraints = [
            models.CheckConstraint(
                condition=Q(
                    status__in=(
                        "proposed",
                        "under_review",
                        "approved",
                        "active",
                        "expired",
                        "revoked",
                        "rejected",
                    )
                ),
                name="override_status_known",
            ),
            models.CheckConstraint(
                condition=ENVIRONMENT_KNOWN, name="override_environment_known"
            ),
            models.CheckConstraint(
                condition=Q(rules__len__gte=1), name="override_names_rules"
            ),
            models.CheckConstraint(
                condition=Q(justification__length__gte=SHORTEST_JUSTIFICATION),
                name="override_is_justified",
            ),
            models.CheckConstraint(
                condition=Q(expires_at__gt=F("requested_at")),
                name="override_expires_later",
            ),
            models.CheckConstraint(
                condition=Q(activated_at=None)
                | Q(expires_at__lte=F("activated_at") + F("longest")),
                name="override_lasts_no_longer_than_allowed",
            ),
            models.CheckConstraint(
                condition=Q(barred__contains=[F("requested_by")]),
                name="override_requester_is_barred",
            ),
            # Four eyes: nobody decides on what they asked for.
            models.CheckConstraint(
                condition=Q(decided_by=None)
                | ~Q(decided_by=F("requested_by"))
                & ~Q(barred__contains=[F("decided_by")]),
                name="override_decided_by_another",
            ),
            models.CheckConstraint(
                condition=~Q(status__in=("approved", "active", "rejected"))
                | Q(decided_by__isnull=False, decided_at__isnull=False)
                & ~Q(decision=""),
                name="override_decided_by_somebody",
            ),
            # What was ever in force was decided on.
            models.CheckConstraint(
                condition=Q(activated_at=None)
                | Q(decided_by__isnull=False, activated_at__gte=F("decided_at")),
                name="override_active_after_decision",
            ),
            models.CheckConstraint(
                condition=~Q(status="active") | Q(activated_at__isnull=False),
                name="override_active_since",
            ),
            models.CheckConstraint(
                condition=~Q(status__in=("expired", "revoked"))
                | Q(ended_at__isnull=False),
                name="override_ended_at",
            ),
            models.UniqueConstraint(
                fields=("version", "environment"),
                condition=Q(status="active"),
                name="override_one_active",
            ),
            models.UniqueConstraint(
                fields=("version", "environment"),
                condition=Q(status__in=("proposed", "under_review", "approved")),
                name="override_one_waiting",
            ),
        ]
        indexes = [
            # The sweep asks every few seconds whose time has passed.
            models.Index(
                fields=("expires_at",),
                condition=Q(
                    status__in=("proposed", "under_review", "approved", "active")
                ),
                name="override_open_by_expiry",
            ),
        ]

    def __str__(self) -> str:
        return f"Override {self.pk} of {', '.join(self.rules)} for {self.version}"

    @property
    def is_waiting(self) -> bool:
        return self.status in self.WAITING

    def is_in_force(self, at: datetime | None = None) -> bool:
        at = at or timezone.now()
        return (
            self.status == self.Status.ACTIVE
            and self.activated_at is not None
            and self.activated_at <= at < self.expires_at
        )

    @property
    def ends_at(self) -> datetime:
        """When it ends, or did."""
        return min(self.ended_at or self.expires_at, self.expires_at)
