"""Predictions as they were logged, the receipts that cover them, and their outcomes."""

from __future__ import annotations

import json
from typing import Any, ClassVar, Self

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils import timezone

from governance.identifiers import encode, uuid7
from governance.models import (
    ApiKey,
    ModelVersion,
    Organization,
    RegisteredModel,
    User,
)
from governance.models.tenancy import TenantModel, TenantQuerySet


class Verdict(models.TextChoices):
    """The governance status in force at event time, or that there was none any more."""

    NOT_ASSESSED = "NOT_ASSESSED", "Not assessed"
    APPROVED = "APPROVED", "Within limits"
    AT_RISK = "AT_RISK", "At risk"
    BLOCKED = "BLOCKED", "Blocked"
    # The model had been retired by then.
    RETIRED = "RETIRED", "Retired"


class Quarantine(TenantModel):
    """A decision that some traffic does not count: by credential and time received."""

    model = models.ForeignKey(
        RegisteredModel, on_delete=models.PROTECT, related_name="quarantines"
    )
    api_key = models.ForeignKey(
        ApiKey, null=True, on_delete=models.PROTECT, related_name="+"
    )
    received_from = models.DateTimeField()
    received_until = models.DateTimeField()
    reason = models.TextField()
    created_by = models.ForeignKey(
        User, null=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    def __str__(self) -> str:
        return f"quarantine of {self.model}: {self.reason}"


class ReceiptQuerySet(TenantQuerySet["Receipt"]):
    def pending(self) -> Self:
        return self.filter(pending=True)

    def counted(self) -> Self:
        return self.filter(quarantine=None)


class Receipt(TenantModel):
    """What one flush accepted for one version from one credential.

    It is the queue row of the profiler too: `pending` until its rows stand in the
    segments and in the profiles of the version's baseline.
    """

    class Kind(models.TextChoices):
        PREDICTIONS = "predictions", "Predictions"
        GROUND_TRUTH = "ground_truth", "Ground truth"

    class Channel(models.TextChoices):
        HTTP = "http", "HTTP"
        FILE = "file", "File"
        QUEUE = "queue", "Queue"
        INFERENCE = "inference", "Inference"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField(max_length=12, choices=Kind)
    channel = models.CharField(max_length=10, choices=Channel)
    model = models.ForeignKey(
        RegisteredModel, on_delete=models.PROTECT, related_name="receipts"
    )
    # Empty for ground truth, whose rows may belong to several versions.
    version = models.ForeignKey(
        ModelVersion, null=True, on_delete=models.PROTECT, related_name="receipts"
    )
    # Who sent it: a key, or a person with a token.
    api_key = models.ForeignKey(
        ApiKey, null=True, on_delete=models.PROTECT, related_name="+"
    )
    user = models.ForeignKey(
        User, null=True, on_delete=models.PROTECT, related_name="+"
    )
    environment = models.CharField(max_length=20, default="production")
    received_at = models.DateTimeField(default=timezone.now, editable=False)
    rows = models.PositiveIntegerField()
    first_id = models.UUIDField()
    last_id = models.UUIDField()
    first_event = models.DateTimeField()
    last_event = models.DateTimeField()
    # SHA-256 over the rows' bytes in order, and the RFC 6962 root over them.
    digest = models.BinaryField(max_length=32)
    merkle_root = models.BinaryField(max_length=32)
    quarantine = models.ForeignKey(
        Quarantine, null=True, on_delete=models.PROTECT, related_name="receipts"
    )
    pending = models.BooleanField(default=True)
    # The entry of the audit trail that covers it names this; empty: none does yet.
    seal = models.UUIDField(null=True, editable=False)
    # A worker's lease; when it has passed, another worker takes the receipt.
    claimed_until = models.DateTimeField(null=True)

    objects: ClassVar = ReceiptQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        indexes = [
            # The profiler asks every two seconds for what is pending.
            models.Index(
                fields=("version", "id"),
                condition=models.Q(pending=True),
                name="receipt_pending",
            ),
            # The sealer asks every minute what is not sealed, an auditor what is.
            models.Index(
                fields=("organization", "id"),
                condition=models.Q(seal=None),
                name="receipt_unsealed",
            ),
            models.Index(
                fields=("seal", "id"),
                condition=models.Q(seal__isnull=False),
                name="receipt_by_seal",
            ),
            # A window's receipts: re-profiling, fsck, the admin.
            models.Index(
                fields=("version", "last_event"), name="receipt_by_event_time"
            ),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(rows__gte=1), name="receipt_has_rows"
            ),
            models.CheckConstraint(
                condition=models.Q(kind__in=("predictions", "ground_truth")),
                name="receipt_kind_known",
            ),
            models.CheckConstraint(
                condition=models.Q(channel__in=("http", "file", "queue", "inference")),
                name="receipt_channel_known",
            ),
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        return encode("rcpt", self.id)


class Prediction(TenantModel):
    """One logged decision; never updated.

    The table is partitioned by month on `id` (UUIDv7, so by time of arrival) and has
    no foreign keys in the database: they halve the speed of COPY and keep a
    partition from being dropped. `fsck` checks the references instead.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    organization = models.ForeignKey(
        Organization,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    model = models.ForeignKey(
        RegisteredModel,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    version = models.ForeignKey(
        ModelVersion,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    receipt = models.ForeignKey(
        Receipt,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="predictions",
    )
    # Event time: when the model decided, not when we heard of it.
    timestamp = models.DateTimeField()
    # Nobody is not the same as somebody whose name is empty.
    entity_id = models.TextField(null=True)  # noqa: DJ001
    # The client's exact, validated JSON; read it through `decoded_features`.
    features = models.TextField()
    # JSON scalar: a number, a string or a boolean, as the client sent it.
    prediction = models.TextField()
    prediction_value = models.FloatField(null=True)
    probabilities = ArrayField(models.FloatField(), null=True)
    confidence = models.FloatField(null=True)
    probability_of_prediction = models.FloatField(null=True)
    latency_ms = models.FloatField(null=True)
    # The governance status in force at event time, and the override if one was.
    verdict = models.CharField(max_length=12, choices=Verdict)
    override_id = models.BigIntegerField(null=True)

    class Meta:
        ordering = ("-id",)
        indexes = [
            models.Index(fields=("model", "timestamp"), name="prediction_by_time"),
            # "All decisions made under an override."
            models.Index(
                fields=("override_id", "id"),
                condition=models.Q(override_id__isnull=False),
                name="prediction_by_override",
            ),
            # Labels find their prediction by entity.
            models.Index(
                fields=("model", "entity_id"),
                condition=models.Q(entity_id__isnull=False),
                name="prediction_by_entity",
            ),
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        return encode("pred", self.id)

    @property
    def decoded_features(self) -> dict[str, Any]:
        decoded: dict[str, Any] = json.loads(self.features)
        return decoded

    @property
    def decoded_prediction(self) -> Any:
        return json.loads(self.prediction)


class GroundTruthQuerySet(TenantQuerySet["GroundTruth"]):
    def current(self) -> Self:
        """Labels that no later correction has replaced."""
        return self.filter(superseded=False)


class GroundTruth(TenantModel):
    """What really happened. The outcome is never changed: a correction is a new row."""

    class Match(models.TextChoices):
        MATCHED = "matched", "Matched"
        # The only prediction of the entity came after the outcome.
        AFTER_OUTCOME = "after_outcome", "Matched after the outcome"
        AMBIGUOUS = "ambiguous", "Ambiguous"
        # The prediction has not arrived yet.
        WAITING = "waiting", "Waiting for its prediction"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    model = models.ForeignKey(
        RegisteredModel, on_delete=models.PROTECT, related_name="ground_truth"
    )
    receipt = models.ForeignKey(
        Receipt, on_delete=models.PROTECT, related_name="ground_truth"
    )
    # Nobody is not the same as somebody whose name is empty.
    entity_id = models.TextField(null=True)  # noqa: DJ001
    # The prediction's own time stamp, if the client sent it.
    prediction_timestamp = models.DateTimeField(null=True)
    outcome_timestamp = models.DateTimeField()
    # JSON scalar as sent, and its number for regression.
    outcome = models.TextField()
    outcome_value = models.FloatField(null=True)
    match = models.CharField(max_length=14, choices=Match)
    # Set once, here or when the prediction arrives. No foreign key: partitions.
    prediction_id = models.UUIDField(null=True)
    superseded = models.BooleanField(default=False)
    supersedes = models.ForeignKey(
        "self", null=True, on_delete=models.PROTECT, related_name="+"
    )
    # Counted in the profile of its prediction's hour (or taken out again).
    counted = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects: ClassVar = GroundTruthQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "ground truth"
        ordering = ("-id",)
        indexes = [
            # A prediction that arrives asks whether a label waits for it, and a label
            # whether it was told before; people ask for the ambiguous ones.
            models.Index(
                fields=("model", "entity_id"),
                condition=models.Q(match__in=("waiting", "ambiguous")),
                name="ground_truth_open",
            ),
            # Every label that a prediction ever had, corrected ones too.
            models.Index(
                fields=("prediction_id",),
                condition=models.Q(prediction_id__isnull=False),
                name="ground_truth_by_prediction",
            ),
        ]
        constraints = [
            # One label counts per prediction, whatever arrives at once.
            models.UniqueConstraint(
                fields=("prediction_id",),
                condition=models.Q(superseded=False, prediction_id__isnull=False),
                name="ground_truth_one_current",
            ),
            models.CheckConstraint(
                condition=models.Q(
                    match__in=("matched", "after_outcome", "ambiguous", "waiting")
                ),
                name="ground_truth_match_known",
            ),
            models.CheckConstraint(
                condition=models.Q(
                    prediction_id__isnull=False, match__in=("matched", "after_outcome")
                )
                | models.Q(
                    prediction_id__isnull=True, match__in=("ambiguous", "waiting")
                ),
                name="ground_truth_matched_has_prediction",
            ),
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def public_id(self) -> str:
        return encode("gt", self.id)

    @property
    def decoded_outcome(self) -> Any:
        return json.loads(self.outcome)


class IdempotencyKey(TenantModel):
    """The first answer to a request, given again to its repetitions for 24 hours."""

    key = models.CharField(max_length=255)
    # SHA-256 over method, path and body: the same key with another request is refused.
    digest = models.BinaryField(max_length=32)
    status = models.PositiveSmallIntegerField(null=True)
    response = models.BinaryField(null=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=("organization", "key"), name="idempotency_key_unique"
            ),
        ]
        indexes = [models.Index(fields=("created_at",), name="idempotency_age")]

    def __str__(self) -> str:
        return self.key
