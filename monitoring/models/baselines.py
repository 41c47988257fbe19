"""Baselines: columns, scores and outcomes of a version when all was well."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Self

from django.db import models
from django.utils import timezone

from governance.identifiers import encode, uuid7
from governance.models import ModelVersion, RegisteredModel, User
from governance.models.tenancy import TenantModel, TenantQuerySet

if TYPE_CHECKING:
    # numpy stays out of the web process until a page asks for a grid.
    from monitoring.stats.grid import Grid
    from monitoring.stats.outcomes import OutcomeLayout


class BaselineQuerySet(TenantQuerySet["Baseline"]):
    def active_for(self, version: ModelVersion) -> Self:
        """Find the version's own active baseline, a given one first."""
        return self.filter(version=version, active=True)


class Baseline(TenantModel):
    class Kind(models.TextChoices):
        GIVEN = "given", "Given"
        # Made of the version's first 1,000 predictions; never enough for an approval.
        PROVISIONAL = "provisional", "Provisional"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    model = models.ForeignKey(
        RegisteredModel, on_delete=models.PROTECT, related_name="baselines"
    )
    version = models.ForeignKey(
        ModelVersion, on_delete=models.PROTECT, related_name="baselines"
    )
    # The client's name for it ("v1"), not the model's version.
    label = models.CharField(max_length=100)
    kind = models.CharField(max_length=12, choices=Kind, default=Kind.GIVEN)
    active = models.BooleanField(default=False)
    sample_size = models.PositiveIntegerField()
    # Arrow IPC streams; the labelled predictions may have another length.
    features = models.BinaryField()
    labeled = models.BinaryField(null=True)
    target_type = models.CharField(max_length=20, blank=True)
    # monitoring.stats Grid and OutcomeLayout as bytes, made once from the above.
    grid_data = models.BinaryField()
    outcome_data = models.BinaryField(null=True)
    # Realized metrics of the labelled predictions: what a drop is measured from.
    performance = models.JSONField(default=dict)
    # SHA-256 over features, labels and grid: names the baseline in every result.
    digest = models.CharField(max_length=64)
    created_by = models.ForeignKey(
        User, null=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects: ClassVar = BaselineQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at",)
        constraints = [
            models.UniqueConstraint(
                fields=("version", "label"), name="baseline_label_unique"
            ),
            models.UniqueConstraint(
                fields=("version",),
                condition=models.Q(active=True),
                name="baseline_one_active",
            ),
            models.CheckConstraint(
                condition=models.Q(kind__in=("given", "provisional")),
                name="baseline_kind_known",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.label} of {self.version}"

    @property
    def public_id(self) -> str:
        return encode("baseline", self.id)

    @cached_property
    def grid(self) -> Grid:
        from monitoring.stats.grid import Grid

        return Grid.from_bytes(bytes(self.grid_data))

    @cached_property
    def outcomes(self) -> OutcomeLayout | None:
        from monitoring.stats.outcomes import OutcomeLayout

        if self.outcome_data is None:
            return None
        return OutcomeLayout.from_bytes(bytes(self.outcome_data))
