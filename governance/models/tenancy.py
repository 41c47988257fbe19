"""The one tenant filter: every tenant-owned table and every query starts here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, TypeVar

from django.db import models

if TYPE_CHECKING:
    from governance.models.organizations import Organization

M = TypeVar("M", bound=models.Model, covariant=True)


class TenantQuerySet(models.QuerySet[M]):
    def for_organization(self, organization: Organization | int) -> Self:
        pk = organization if isinstance(organization, int) else organization.pk
        return self.filter(organization_id=pk)


class TenantModel(models.Model):
    """A row that belongs to exactly one organization.

    PROTECT: an organization with history is never deleted by cascade.
    """

    organization = models.ForeignKey(
        "governance.Organization", on_delete=models.PROTECT, related_name="+"
    )

    objects = TenantQuerySet.as_manager()

    class Meta:
        abstract = True
