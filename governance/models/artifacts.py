"""Artifacts: the bytes of a version that DriftGuard itself lets predict."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from governance.models.organizations import User
from governance.models.registry import ModelVersion
from governance.models.tenancy import TenantModel


class Artifact(TenantModel):
    """The ONNX model of one version, as it was checked; never replaced."""

    version = models.OneToOneField(
        ModelVersion, on_delete=models.PROTECT, related_name="artifact"
    )
    digest = models.CharField(max_length=64)  # SHA-256, in hex
    size = models.PositiveIntegerField()  # bytes
    content = models.BinaryField()
    # How it is asked: inputs, outputs, opsets, operators.
    signature = models.JSONField()
    stored_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    stored_at = models.DateTimeField(default=timezone.now, editable=False)

    def __str__(self) -> str:
        return f"artifact of {self.version}"
