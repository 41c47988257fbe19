"""The registered models and their versions: what is governed."""

from __future__ import annotations

from functools import cached_property
from typing import ClassVar, Self

from django.db import models
from django.utils import timezone

from governance.models.organizations import ApiKey, User
from governance.models.tenancy import TenantModel, TenantQuerySet
from governance.schema import Schema


class RegisteredModelQuerySet(TenantQuerySet["RegisteredModel"]):
    def named(self, reference: str | int) -> Self:
        """Find a model by its integer id or its slug, which has a letter in it."""
        text = str(reference)
        if text.isascii() and text.isdigit():
            # An id beyond bigint cannot exist; the database would raise on it.
            return self.filter(pk=int(text)) if len(text) < 19 else self.none()
        # PostgreSQL can't even be asked about text with a NUL in it.
        return self.none() if "\0" in text else self.filter(slug=text)


class RegisteredModel(TenantModel):
    """A model as the organization knows it, over all its versions."""

    class RiskTier(models.TextChoices):
        HIGH = "high", "High"
        MEDIUM = "medium", "Medium"
        LOW = "low", "Low"

    class Cadence(models.TextChoices):
        STREAM = "stream", "Stream"
        HOURLY = "hourly", "Hourly"
        DAILY = "daily", "Daily"
        WEEKLY = "weekly", "Weekly"
        MONTHLY = "monthly", "Monthly"

    name = models.CharField(max_length=200)
    slug = models.SlugField(max_length=120)
    description = models.TextField(blank=True)
    purpose = models.TextField(blank=True)
    external_ref = models.CharField(max_length=200, blank=True)
    # Unset counts as high, and is shown as unset.
    risk_tier = models.CharField(max_length=10, choices=RiskTier, blank=True)
    cadence = models.CharField(max_length=10, choices=Cadence, default=Cadence.STREAM)
    label_horizon_min = models.DurationField(null=True, blank=True)
    label_horizon_max = models.DurationField(null=True, blank=True)
    owner = models.ForeignKey(
        User, on_delete=models.PROTECT, related_name="owned_models"
    )
    created_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    # Who last changed what an approval rests on, and the key that it was done with.
    edited_by = models.ForeignKey(
        User, null=True, editable=False, on_delete=models.PROTECT, related_name="+"
    )
    edited_with = models.ForeignKey(
        ApiKey, null=True, editable=False, on_delete=models.PROTECT, related_name="+"
    )
    # Retired by an approved request: history stays, nothing else goes on.
    retired_at = models.DateTimeField(null=True, editable=False)
    # Whose state the model shows: the deployed version, else the newest with traffic.
    current_version = models.ForeignKey(
        "ModelVersion", null=True, on_delete=models.PROTECT, related_name="+"
    )
    # Who last received predictions that name no version; a deployed one goes first.
    default_version = models.ForeignKey(
        "ModelVersion", null=True, on_delete=models.PROTECT, related_name="+"
    )

    objects: ClassVar = RegisteredModelQuerySet.as_manager()

    class Meta:
        verbose_name = "model"
        ordering = ("name",)
        constraints = [
            models.UniqueConstraint(
                fields=("organization", "name"), name="model_name_unique"
            ),
            models.UniqueConstraint(
                fields=("organization", "slug"), name="model_slug_unique"
            ),
            models.CheckConstraint(
                condition=models.Q(risk_tier__in=("", "high", "medium", "low")),
                name="model_risk_tier_known",
            ),
            models.CheckConstraint(
                condition=models.Q(
                    cadence__in=("stream", "hourly", "daily", "weekly", "monthly")
                ),
                name="model_cadence_known",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def effective_risk_tier(self) -> str:
        return self.risk_tier or self.RiskTier.HIGH


class ModelVersion(TenantModel):
    """One version of a model: its schema, its life cycle, its numbers at birth."""

    class Status(models.TextChoices):
        # Traffic named a version that nobody had registered.
        UNREGISTERED = "unregistered", "Unregistered"
        DRAFT = "draft", "Draft"
        SUBMITTED = "submitted", "Submitted"
        IN_VALIDATION = "in_validation", "In validation"
        APPROVED = "approved", "Approved"
        DEPLOYED = "deployed", "Deployed"
        SUSPENDED = "suspended", "Suspended"
        RETIRED = "retired", "Retired"
        REJECTED = "rejected", "Rejected"

    model = models.ForeignKey(
        RegisteredModel, on_delete=models.PROTECT, related_name="versions"
    )
    version = models.CharField(max_length=100)
    status = models.CharField(max_length=20, choices=Status, default=Status.DRAFT)
    description = models.TextField(blank=True)
    # governance.schema.Schema as JSON; read it through `schema`.
    schema_definition = models.JSONField(default=dict)
    training_accuracy = models.FloatField(null=True, blank=True)
    fairness_baseline = models.FloatField(null=True, blank=True)
    artifact_digest = models.CharField(max_length=64, blank=True)
    # What it is measured against, as monitoring says (`registry.note_baseline`).
    baseline_ref = models.CharField(max_length=60, blank=True, editable=False)
    baseline_kind = models.CharField(max_length=12, blank=True, editable=False)
    # It has labelled predictions: a validation file, before there is any traffic.
    baseline_labelled = models.BooleanField(default=False, editable=False)
    created_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    edited_by = models.ForeignKey(
        User, null=True, editable=False, on_delete=models.PROTECT, related_name="+"
    )
    edited_with = models.ForeignKey(
        ApiKey, null=True, editable=False, on_delete=models.PROTECT, related_name="+"
    )
    last_prediction_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        verbose_name = "version"
        ordering = ("-created_at", "-id")
        constraints = [
            models.UniqueConstraint(
                fields=("model", "version"), name="version_unique_in_model"
            ),
            models.CheckConstraint(
                condition=models.Q(
                    status__in=(
                        "unregistered",
                        "draft",
                        "submitted",
                        "in_validation",
                        "approved",
                        "deployed",
                        "suspended",
                        "retired",
                        "rejected",
                    )
                ),
                name="version_status_known",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model} {self.version}"

    @cached_property
    def schema(self) -> Schema:
        return Schema.from_json(self.schema_definition)
