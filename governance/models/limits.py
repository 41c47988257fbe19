"""How often somebody did something lately: counted for all processes in one place."""

from __future__ import annotations

from typing import Self

from django.db import models
from django.db.models.functions import Now


class RateLimitQuerySet(models.QuerySet["RateLimit"]):
    def over(self) -> Self:
        """Windows that have passed: their counts mean nothing any more."""
        return self.filter(ends_at__lt=Now())


class RateLimit(models.Model):
    """One counted window; belongs to an address or an account, not to a tenant."""

    # A digest: neither addresses nor e-mails are kept here.
    key = models.CharField(max_length=64, primary_key=True)
    hits = models.PositiveIntegerField()
    ends_at = models.DateTimeField(db_index=True)

    objects = RateLimitQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.hits} until {self.ends_at}"
