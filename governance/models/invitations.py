"""Being asked to join: nobody becomes a member without having said yes."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import ClassVar, Self

from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone

from governance.identifiers import encode, uuid7
from governance.models.organizations import Membership, User
from governance.models.tenancy import TenantModel, TenantQuerySet


class InvitationQuerySet(TenantQuerySet["Invitation"]):
    def open(self, at: datetime | None = None) -> Self:
        """Neither answered nor withdrawn nor expired at `at` (now)."""
        at = at or timezone.now()
        return self.filter(status=Invitation.Status.OPEN, expires_at__gt=at)

    def with_token(self, token: str) -> Self:
        return self.filter(digest=hashlib.sha256(token.encode()).digest())


class Invitation(TenantModel):
    """An offer of one role to whoever has the address; its link is good once.

    Without an address it is for whoever has the link: only the system makes such, for
    the first owner of an organization that a service registered.
    """

    class Status(models.TextChoices):
        OPEN = "open", "Open"
        ACCEPTED = "accepted", "Accepted"
        DECLINED = "declined", "Declined"
        WITHDRAWN = "withdrawn", "Withdrawn"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    email = models.EmailField(max_length=254, blank=True)
    role = models.CharField(max_length=20, choices=Membership.Role)
    # Of the token in the link, which is kept nowhere.
    digest = models.BinaryField(max_length=32, unique=True)
    status = models.CharField(max_length=10, choices=Status, default=Status.OPEN)
    # Nobody: the system.
    invited_by = models.ForeignKey(
        User, null=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField()
    # Who answered or withdrew it; nobody for a visitor who declined, and the system.
    closed_by = models.ForeignKey(
        User, null=True, on_delete=models.PROTECT, related_name="+"
    )
    closed_at = models.DateTimeField(null=True, editable=False)
    membership = models.OneToOneField(
        Membership, null=True, on_delete=models.PROTECT, related_name="invitation"
    )

    objects: ClassVar = InvitationQuerySet.as_manager()

    class Meta:
        ordering = ("-created_at",)
        constraints = [
            models.UniqueConstraint(
                "organization",
                Lower("email"),
                "role",
                condition=models.Q(status="open"),
                name="invitation_one_open",
            ),
            models.CheckConstraint(
                condition=models.Q(
                    role__in=(
                        "owner",
                        "model_owner",
                        "validator",
                        "compliance_officer",
                        "auditor",
                    )
                ),
                name="invitation_role_known",
            ),
            models.CheckConstraint(
                condition=models.Q(status="open", closed_at=None, membership=None)
                | models.Q(
                    status="accepted",
                    closed_at__isnull=False,
                    membership__isnull=False,
                )
                | models.Q(
                    status__in=("declined", "withdrawn"),
                    closed_at__isnull=False,
                    membership=None,
                ),
                name="invitation_closed_as_it_says",
            ),
            models.CheckConstraint(
                condition=models.Q(expires_at__gt=models.F("created_at")),
                name="invitation_expires",
            ),
            models.CheckConstraint(
                condition=~models.Q(email="") | models.Q(invited_by=None),
                name="invitation_has_an_address",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.email or 'whoever has the link'} as {self.get_role_display()}"

    @property
    def public_id(self) -> str:
        return encode("inv", self.pk)

    @property
    def is_open(self) -> bool:
        return self.status == self.Status.OPEN and self.expires_at > timezone.now()

    @property
    def state(self) -> str:
        """The status in one word; an open one that nobody answered in time expired."""
        if self.status == self.Status.OPEN and not self.is_open:
            return "expired"
        return self.status
