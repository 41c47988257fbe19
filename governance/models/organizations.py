"""Who there is: people, the organizations they work for, and their credentials."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any, ClassVar, Self

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone

from governance.models.tenancy import TenantModel, TenantQuerySet


class UserManager(BaseUserManager["User"]):
    def get_by_natural_key(self, username: str | None) -> User:
        # An e-mail address names one person however it is capitalised.
        return self.get(email__iexact=username)

    def create_user(
        self, email: str, password: str | None = None, **extra: Any
    ) -> User:
        user = self.model(email=self.normalize_email(email), **extra)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None) -> User:
        return self.create_user(email, password, is_staff=True, is_superuser=True)


class User(AbstractBaseUser, PermissionsMixin):
    """A person who signs in with an e-mail address; belongs to no tenant as such."""

    email = models.EmailField(max_length=254)
    name = models.CharField(max_length=200, blank=True)
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False)
    # The owner of the key that POST /auth/register makes, where nobody signed up.
    is_service = models.BooleanField(default=False)
    time_zone = models.CharField(max_length=64, default="UTC")
    date_joined = models.DateTimeField(default=timezone.now, editable=False)

    objects = UserManager()

    EMAIL_FIELD = "email"
    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        constraints = [
            models.UniqueConstraint(Lower("email"), name="user_email_unique"),
        ]

    def __str__(self) -> str:
        return self.name or self.email

    def get_full_name(self) -> str:
        """Return the name; the admin asks for it under Django's own word."""
        return self.name


class Organization(models.Model):
    """A tenant. Everything that a customer owns carries its id."""

    name = models.CharField(max_length=200)
    slug = models.SlugField(max_length=80, unique=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ("name",)

    def __str__(self) -> str:
        return self.name


# Roles whose holders vote on approvals: giving one takes two people.
VOTING_ROLES = ("validator", "compliance_officer")


class MembershipQuerySet(TenantQuerySet["Membership"]):
    def active(self, at: datetime | None = None) -> Self:
        """Roles that have been given and not ended at `at` (now), confirmed or not."""
        if at is None:
            return self.filter(ended_at=None)
        is_left = models.Q(ended_at=None) | models.Q(ended_at__gt=at)
        return self.filter(is_left, granted_at__lte=at)

    def in_effect(self, at: datetime | None = None) -> Self:
        """Roles that count at `at` (now): active, and confirmed if they have to be."""
        said = {"confirmed_at__lte": at} if at else {"confirmed_at__isnull": False}
        return self.active(at).filter(
            models.Q(needs_confirmation=False) | models.Q(**said)
        )

    def unconfirmed(self) -> Self:
        """Roles that still wait for their second person."""
        return self.active().filter(needs_confirmation=True, confirmed_at=None)

    def voting(self, at: datetime | None = None) -> Self:
        """Roles whose holders may vote at `at` (now).

        A role that somebody gave themselves never does. Who may vote on a request is
        who could when its stage opened *and* still can:
        `voting(opened_at) & voting()`.
        """
        own = models.Q(granted_by=models.F("user"))
        return self.in_effect(at).filter(role__in=VOTING_ROLES).exclude(own)


class Membership(TenantModel):
    """One role of one person in one organization; a person may hold several.

    It is never deleted: it ends, so that who could do what on a day stays known.
    """

    class Role(models.TextChoices):
        OWNER = "owner", "Owner"
        MODEL_OWNER = "model_owner", "Model owner"
        VALIDATOR = "validator", "Validator"
        COMPLIANCE_OFFICER = "compliance_officer", "Compliance officer"
        AUDITOR = "auditor", "Auditor"

    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="memberships")
    role = models.CharField(max_length=20, choices=Role)
    # Nobody: the system, at the console.
    granted_by = models.ForeignKey(
        User, null=True, on_delete=models.PROTECT, related_name="+"
    )
    granted_at = models.DateTimeField(default=timezone.now, editable=False)
    # Whether the role counts only once a second person has said so.
    needs_confirmation = models.BooleanField(default=False, editable=False)
    confirmed_by = models.ForeignKey(
        User, null=True, editable=False, on_delete=models.PROTECT, related_name="+"
    )
    confirmed_at = models.DateTimeField(null=True, editable=False)
    ended_by = models.ForeignKey(
        User, null=True, editable=False, on_delete=models.PROTECT, related_name="+"
    )
    ended_at = models.DateTimeField(null=True, editable=False)

    objects: ClassVar = MembershipQuerySet.as_manager()

    class Meta:
        verbose_name = "member"
        constraints = [
            models.UniqueConstraint(
                fields=("organization", "user", "role"),
                condition=models.Q(ended_at=None),
                name="membership_held_once",
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
                name="membership_role_known",
            ),
            models.CheckConstraint(
                condition=models.Q(confirmed_by=None, confirmed_at=None)
                | models.Q(
                    needs_confirmation=True,
                    confirmed_by__isnull=False,
                    confirmed_at__isnull=False,
                    confirmed_at__gte=models.F("granted_at"),
                ),
                name="membership_confirmed_by_somebody",
            ),
            models.CheckConstraint(
                condition=~models.Q(confirmed_by=models.F("user"))
                & ~models.Q(confirmed_by=models.F("granted_by")),
                name="membership_confirmed_by_second_person",
            ),
            # Nobody votes in a role that they gave themselves.
            models.CheckConstraint(
                condition=~models.Q(
                    models.Q(needs_confirmation=False)
                    | models.Q(confirmed_at__isnull=False),
                    role__in=VOTING_ROLES,
                    granted_by=models.F("user"),
                ),
                name="membership_own_grant_never_votes",
            ),
            models.CheckConstraint(
                condition=models.Q(ended_at=None, ended_by=None)
                | models.Q(
                    ended_at__isnull=False, ended_at__gte=models.F("granted_at")
                ),
                name="membership_ended_after_begun",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user}: {self.get_role_display()}"

    @property
    def is_active(self) -> bool:
        return self.ended_at is None

    @property
    def is_unconfirmed(self) -> bool:
        return self.needs_confirmation and self.confirmed_at is None

    @property
    def state(self) -> str:
        if not self.is_active:
            return "ended"
        return "unconfirmed" if self.is_unconfirmed else "in_effect"


class ApiKeyQuerySet(TenantQuerySet["ApiKey"]):
    def usable(self, at: datetime | None = None) -> Self:
        """Neither revoked nor expired at `at` (now)."""
        at = at or timezone.now()
        return self.filter(revoked_at=None).filter(
            models.Q(expires_at=None) | models.Q(expires_at__gt=at)
        )


class ApiKey(TenantModel):
    """A machine's credential. Only its SHA-256 is kept; the key is shown once."""

    class Environment(models.TextChoices):
        PRODUCTION = "production", "Production"
        STAGING = "staging", "Staging"
        DEVELOPMENT = "development", "Development"

    name = models.CharField(max_length=100)
    environment = models.CharField(
        max_length=20, choices=Environment, default=Environment.PRODUCTION
    )
    # The public part `dg_<env>_<8 id>`: names the key in logs, pages and the trail.
    prefix = models.CharField(max_length=24, unique=True)
    digest = models.BinaryField(max_length=32, unique=True)
    scopes = ArrayField(models.CharField(max_length=30))
    owner = models.ForeignKey(User, on_delete=models.PROTECT, related_name="api_keys")
    created_by = models.ForeignKey(
        User, null=True, on_delete=models.PROTECT, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects: ClassVar = ApiKeyQuerySet.as_manager()

    class Meta:
        verbose_name = "API key"
        ordering = ("-created_at",)

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix})"


class TokenSession(TenantModel):
    """What a pair of access and refresh tokens is bound to, so that it can be ended.

    A refresh replaces `refresh_id`; an older refresh token coming back means that
    it was copied, and ends the session.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    refresh_id = models.UUIDField(default=uuid.uuid4)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    refreshed_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"session of {self.user}"
