"""Approval: what somebody asks for, by which stages it is decided, and who voted how.

Rows of history: whom they name is kept as text too, and nothing here is ever deleted.
The database itself refuses what the deeds refuse (migration `approval_guard`).
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Self

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils import timezone

from governance.models.organizations import ApiKey, Membership, User
from governance.models.policies import PolicyVersion
from governance.models.registry import ModelVersion, RegisteredModel
from governance.models.risk import Evidence
from governance.models.tenancy import TenantModel, TenantQuerySet


class ApprovalRequestQuerySet(TenantQuerySet["ApprovalRequest"]):
    def open(self) -> Self:
        """Find requests that can still come to something."""
        return self.filter(status__in=ApprovalRequest.OPEN)

    def pending(self) -> Self:
        """Find requests that wait for votes."""
        return self.filter(status=ApprovalRequest.Status.PENDING)

    def approved(self) -> Self:
        """Find requests that have their votes and aren't applied yet."""
        return self.filter(status=ApprovalRequest.Status.APPROVED)

    def overdue(self, at: datetime) -> Self:
        """Find open requests whose time is over at `at`."""
        return self.open().filter(expires_at__lte=at)

    def waiting_for(self, user: User | int) -> Self:
        """Find pending requests whose open stage counts on this person's own vote."""
        pk = user if isinstance(user, int) else user.pk
        mine = StageApprover.objects.filter(
            user=pk,
            stage__request=models.OuterRef("pk"),
            stage__number=models.OuterRef("stage"),
        )
        said = ApprovalVote.objects.filter(request=models.OuterRef("pk")).filter(
            models.Q(voter=pk) | models.Q(principal=pk)
        )
        return self.pending().filter(models.Exists(mine), ~models.Exists(said))


class ApprovalRequest(TenantModel):
    """Something that takes more than one person: what, bound to a hash of its subject.

    `subject` is what the voters decide on, as JSON, and `digest` its SHA-256; once it
    isn't true any more the request is stale. `proposal` is what applying it does.
    """

    class Kind(models.TextChoices):
        DEPLOY = "deploy", "Approve a version"
        POLICY = "policy", "Publish a policy version"
        CHANGE = "change", "Change what was approved"
        RETIRE = "retire", "Retire a model"

    class Status(models.TextChoices):
        PENDING = "pending", "Pending"
        APPROVED = "approved", "Approved"
        APPLIED = "applied", "Applied"
        REJECTED = "rejected", "Rejected"
        CHANGES_REQUESTED = "changes_requested", "Changes requested"
        WITHDRAWN = "withdrawn", "Withdrawn"
        EXPIRED = "expired", "Expired"
        STALE = "stale", "Stale"

    OPEN = ("pending", "approved")

    kind = models.CharField(max_length=10, choices=Kind)
    status = models.CharField(max_length=20, choices=Status, default=Status.PENDING)
    # What it is about: a version, a model as a whole, or the draft of a policy.
    model = models.ForeignKey(
        RegisteredModel, null=True, on_delete=models.PROTECT, related_name="requests"
    )
    version = models.ForeignKey(
        ModelVersion, null=True, on_delete=models.PROTECT, related_name="requests"
    )
    draft = models.ForeignKey(
        PolicyVersion, null=True, on_delete=models.PROTECT, related_name="requests"
    )
    label = models.CharField(max_length=500)
    proposal = models.JSONField(default=dict)
    reason = models.TextField(blank=True)
    subject = models.JSONField()
    digest = models.CharField(max_length=64)
    # Chosen at submission; newer evidence is judged when the approval is applied.
    evidence = models.ForeignKey(
        Evidence, null=True, on_delete=models.PROTECT, related_name="+"
    )
    # Whose stages decide.
    policy_version = models.ForeignKey(
        PolicyVersion, on_delete=models.PROTECT, related_name="decided_requests"
    )
    requested_by = models.ForeignKey(
        User, on_delete=models.PROTECT, related_name="requests"
    )
    requested_by_label = models.CharField(max_length=300)
    requested_with = models.ForeignKey(
        ApiKey, null=True, on_delete=models.PROTECT, related_name="+"
    )
    # Who may not vote: who asked, made or last changed the subject, and the owner and
    # creator of the key that it was done with.
    barred = ArrayField(models.BigIntegerField())
    stage = models.PositiveSmallIntegerField(default=1)
    # Instead of votes, where the policy lets the system approve what has a low risk.
    auto_approval = models.JSONField(null=True)
    submitted_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField()
    # When it left `pending`, or ended otherwise, and why.
    decided_at = models.DateTimeField(null=True, editable=False)
    outcome = models.TextField(blank=True)
    difference = models.JSONField(default=list)  # what made it stale
    applied_at = models.DateTimeField(null=True, editable=False)
    # When what it approved was first put to use; see `approvals.note_use`.
    used_at = models.DateTimeField(null=True, editable=False)

    objects: ClassVar = ApprovalRequestQuerySet.as_manager()

    class Meta:
        verbose_name = "approval request"
        ordering = ("-submitted_at", "-id")
        constraints = [
            models.UniqueConstraint(
                fields=("kind", "version"),
                condition=models.Q(status__in=("pending", "approved")),
                name="approval_one_open_per_version",
            ),
            models.UniqueConstraint(
                fields=("kind", "model"),
                condition=models.Q(status__in=("pending", "approved"), version=None),
                name="approval_one_open_per_model",
            ),
            models.UniqueConstraint(
                fields=("draft",),
                condition=models.Q(status__in=("pending", "approved")),
                name="approval_one_open_per_draft",
            ),
            models.CheckConstraint(
                condition=models.Q(
                    status__in=(
                        "pending",
                        "approved",
                        "applied",
                        "rejected",
                        "changes_requested",
                        "withdrawn",
                        "expired",
                        "stale",
                    )
                ),
                name="approval_status_known",
            ),
            models.CheckConstraint(
                condition=models.Q(
                    kind="deploy",
                    model__isnull=False,
                    version__isnull=False,
                    draft=None,
                )
                | models.Q(kind="policy", model=None, version=None, draft__isnull=False)
                | models.Q(kind="change", model__isnull=False, draft=None)
                | models.Q(
                    kind="retire", model__isnull=False, version=None, draft=None
                ),
                name="approval_kind_has_its_subject",
            ),
            models.CheckConstraint(
                condition=models.Q(barred__contains=[models.F("requested_by")]),
                name="approval_requester_is_barred",
            ),
            models.CheckConstraint(
                condition=models.Q(expires_at__gt=models.F("submitted_at")),
                name="approval_expires_later",
            ),
            models.CheckConstraint(
                condition=models.Q(auto_approval=None) | models.Q(kind="deploy"),
                name="approval_auto_for_versions_only",
            ),
            models.CheckConstraint(
                condition=~models.Q(status="applied")
                | models.Q(applied_at__isnull=False, decided_at__isnull=False),
                name="approval_applied_at_some_time",
            ),
        ]
        indexes = [
            # The hourly sweep asks which open requests have run out.
            models.Index(
                fields=("expires_at",),
                condition=models.Q(status__in=("pending", "approved")),
                name="approval_open_by_expiry",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.label}"

    @property
    def is_open(self) -> bool:
        return self.status in self.OPEN


class ApprovalStageQuerySet(TenantQuerySet["ApprovalStage"]):
    def late(self, at: datetime) -> Self:
        """Find open stages whose time is over at `at`, and nobody has been told."""
        return self.filter(
            request__status=ApprovalRequest.Status.PENDING,
            number=models.F("request__stage"),
            due_at__lte=at,
            escalated_at=None,
        )


class ApprovalStage(TenantModel):
    """One step of a request, as the policy named it: who, how many, by when."""

    request = models.ForeignKey(
        ApprovalRequest, on_delete=models.PROTECT, related_name="stages"
    )
    number = models.PositiveSmallIntegerField()
    # A role, or the e-mail addresses of people.
    role = models.CharField(max_length=20, choices=Membership.Role, blank=True)
    people = ArrayField(models.CharField(max_length=254), default=list)
    quorum = models.PositiveSmallIntegerField()
    sla_hours = models.FloatField()
    escalate_to = models.CharField(max_length=20, choices=Membership.Role)
    # The clock starts when the stage opens; the approvers are fixed at that moment.
    opened_at = models.DateTimeField(null=True)
    due_at = models.DateTimeField(null=True)
    escalated_at = models.DateTimeField(null=True)
    completed_at = models.DateTimeField(null=True)

    objects: ClassVar = ApprovalStageQuerySet.as_manager()

    class Meta:
        ordering = ("request", "number")
        constraints = [
            models.UniqueConstraint(
                fields=("request", "number"), name="approval_stage_unique"
            ),
            models.CheckConstraint(
                condition=models.Q(quorum__gte=1), name="approval_quorum_from_one"
            ),
            models.CheckConstraint(
                condition=models.Q(sla_hours__gt=0), name="approval_sla_positive"
            ),
        ]

    def __str__(self) -> str:
        return f"stage {self.number}: {self.quorum} of {self.who}"

    @property
    def who(self) -> str:
        if self.role:
            return Membership.Role(self.role).label.lower()
        return ", ".join(self.people)


class StageApprover(TenantModel):
    """Somebody who could vote when the stage opened; more never come to it."""

    stage = models.ForeignKey(
        ApprovalStage, on_delete=models.PROTECT, related_name="approvers"
    )
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    label = models.CharField(max_length=300)
    role = models.CharField(max_length=20, choices=Membership.Role)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=("stage", "user"), name="stage_approver_unique"
            ),
        ]

    def __str__(self) -> str:
        return self.label


class DelegationQuerySet(TenantQuerySet["Delegation"]):
    def in_effect(self, at: datetime | None = None) -> Self:
        """Find the delegations that count at `at` (now)."""
        at = at or timezone.now()
        return self.filter(
            models.Q(revoked_at=None) | models.Q(revoked_at__gt=at),
            confirmed_at__lte=at,
            starts_at__lte=at,
            ends_at__gt=at,
        )


class Delegation(TenantModel):
    """For some days one person votes for another who has the same role.

    Who delegates says so alone; for somebody absent two others do, neither of them
    the delegate.
    """

    delegator = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    delegator_label = models.CharField(max_length=300)
    delegate = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    delegate_label = models.CharField(max_length=300)
    role = models.CharField(max_length=20, choices=Membership.Role)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    reason = models.TextField()
    created_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    confirmed_by = models.ForeignKey(
        User, null=True, on_delete=models.PROTECT, related_name="+"
    )
    confirmed_at = models.DateTimeField(null=True)
    revoked_by = models.ForeignKey(
        User, null=True, on_delete=models.PROTECT, related_name="+"
    )
    revoked_at = models.DateTimeField(null=True)

    objects: ClassVar = DelegationQuerySet.as_manager()

    class Meta:
        ordering = ("-starts_at", "-id")
        constraints = [
            models.CheckConstraint(
                condition=~models.Q(delegator=models.F("delegate")),
                name="delegation_to_somebody_else",
            ),
            models.CheckConstraint(
                condition=models.Q(ends_at__gt=models.F("starts_at")),
                name="delegation_ends_later",
            ),
            models.CheckConstraint(
                condition=~models.Q(created_by=models.F("delegate"))
                & (
                    models.Q(confirmed_by=None)
                    | ~models.Q(confirmed_by=models.F("delegate"))
                ),
                name="delegation_never_by_delegate",
            ),
            # The absent person's own word is enough; otherwise it takes two others.
            models.CheckConstraint(
                condition=models.Q(confirmed_by=None, confirmed_at=None)
                | models.Q(
                    created_by=models.F("delegator"),
                    confirmed_by=models.F("delegator"),
                    # A comparison with nobody is neither true nor false, and passes.
                    confirmed_by__isnull=False,
                    confirmed_at__isnull=False,
                )
                | (
                    models.Q(confirmed_by__isnull=False, confirmed_at__isnull=False)
                    & ~models.Q(created_by=models.F("delegator"))
                    & ~models.Q(confirmed_by=models.F("delegator"))
                    & ~models.Q(confirmed_by=models.F("created_by"))
                ),
                name="delegation_by_oneself_or_two",
            ),
            models.CheckConstraint(
                condition=models.Q(role__in=("validator", "compliance_officer")),
                name="delegation_of_a_voting_role",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.delegate_label} for {self.delegator_label}"


class ApprovalVote(TenantModel):
    """What one person said to a request; never changed, never taken back."""

    class Decision(models.TextChoices):
        APPROVE = "approve", "Approve"
        REJECT = "reject", "Reject"
        CHANGES_REQUESTED = "changes_requested", "Request changes"

    request = models.ForeignKey(
        ApprovalRequest, on_delete=models.PROTECT, related_name="votes"
    )
    stage = models.ForeignKey(
        ApprovalStage, on_delete=models.PROTECT, related_name="votes"
    )
    decision = models.CharField(max_length=20, choices=Decision)
    reason = models.TextField(blank=True)
    voter = models.ForeignKey(User, on_delete=models.PROTECT, related_name="votes")
    voter_label = models.CharField(max_length=300)
    # Whose vote it is: the voter's own, or that of the person they stand in for.
    principal = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    principal_label = models.CharField(max_length=300)
    delegation = models.ForeignKey(
        Delegation, null=True, on_delete=models.PROTECT, related_name="votes"
    )
    role = models.CharField(max_length=20, choices=Membership.Role)
    # How the voter proved who they are at this moment.
    proof = models.CharField(max_length=30, blank=True)
    # The same for all votes that were cast together.
    batch = models.UUIDField(null=True)
    cast_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ("cast_at", "id")
        constraints = [
            # One vote per person over all stages, on whosever behalf.
            models.UniqueConstraint(
                fields=("request", "voter"), name="approval_one_vote_per_voter"
            ),
            models.UniqueConstraint(
                fields=("request", "principal"), name="approval_one_vote_per_person"
            ),
            models.CheckConstraint(
                condition=models.Q(
                    decision__in=("approve", "reject", "changes_requested")
                ),
                name="approval_vote_known",
            ),
            models.CheckConstraint(
                condition=models.Q(decision="approve") | ~models.Q(reason=""),
                name="approval_refusal_has_a_reason",
            ),
            models.CheckConstraint(
                condition=~models.Q(decision="approve") | ~models.Q(proof=""),
                name="approval_vote_is_proved",
            ),
            models.CheckConstraint(
                condition=models.Q(voter=models.F("principal"), delegation=None)
                | (
                    ~models.Q(voter=models.F("principal"))
                    & models.Q(delegation__isnull=False)
                ),
                name="approval_vote_own_or_delegated",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.voter_label}: {self.get_decision_display()}"


class ApprovedSubject(TenantModel):
    """What is approved of a version since when: the newest row counts.

    Written when the approval of a version is applied, and again for each approved
    version that an approved change touches.
    """

    version = models.ForeignKey(
        ModelVersion, on_delete=models.PROTECT, related_name="approved_subjects"
    )
    # The approval of the version itself, whose quorum has to hold.
    request = models.ForeignKey(
        ApprovalRequest, on_delete=models.PROTECT, related_name="+"
    )
    # The change that made the subject what it is; None: as the request had it.
    change = models.ForeignKey(
        ApprovalRequest, null=True, on_delete=models.PROTECT, related_name="+"
    )
    subject = models.JSONField()
    digest = models.CharField(max_length=64)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"{self.version} as approved"


class ApprovalComment(TenantModel):
    """What somebody said about a request; a vote's reason is with the vote."""

    request = models.ForeignKey(
        ApprovalRequest, on_delete=models.PROTECT, related_name="comments"
    )
    author = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    author_label = models.CharField(max_length=300)
    text = models.TextField()
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ("id",)
        constraints = [
            models.CheckConstraint(
                condition=~models.Q(text=""), name="approval_comment_says_something"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.author_label}: {self.text[:80]}"
