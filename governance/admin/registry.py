"""The register of models; monitoring adds what it measured and puts it on the site."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.contrib.filters.admin import ChoicesDropdownFilter, DropdownFilter
from unfold.decorators import display

from governance.actions import registry
from governance.admin.display import (
    EMPTY,
    Badge,
    ago,
    health,
    json_block,
    life_cycle,
    link,
    pages_of,
    points,
)
from governance.admin.tenancy import Role, TenantAdmin, actor_of, related_filter
from governance.models import GovernanceStatus, ModelVersion, RegisteredModel


class HealthFilter(DropdownFilter):
    title = "health"
    parameter_name = "health"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return [(status, health(status).words) for status in GovernanceStatus.values]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        status = self.value()
        if not status:
            return queryset
        if status == GovernanceStatus.NOT_ASSESSED:
            # A model without any assessment counts as not assessed, too.
            return queryset.exclude(
                current_version__assessment__status__in=(
                    GovernanceStatus.APPROVED,
                    GovernanceStatus.AT_RISK,
                    GovernanceStatus.BLOCKED,
                )
            )
        return queryset.filter(current_version__assessment__status=status)


class RegisteredModelAdmin(TenantAdmin):
    """The list of models, and the form of what people say about one."""

    list_display: tuple[str, ...] = (
        "name",
        "shown_health",
        "risk",
        "version",
        "risk_tier_shown",
        "cadence",
        "owner",
        "last_prediction",
    )
    list_filter = (
        HealthFilter,
        ("risk_tier", ChoicesDropdownFilter),
        ("cadence", ChoicesDropdownFilter),
    )
    search_fields = ("name", "slug", "description", "external_ref", "owner__email")
    list_select_related: ClassVar[tuple[str, ...]] = (
        "owner",
        "current_version__assessment",
    )
    fields = (
        "name",
        "slug",
        "description",
        "purpose",
        "external_ref",
        "risk_tier",
        "cadence",
        "owner",
    )
    readonly_fields = ("name", "slug")
    has_history = True
    change_roles = frozenset({Role.OWNER, Role.MODEL_OWNER})

    def save_model(
        self, request: HttpRequest, obj: RegisteredModel, form: Any, change: bool
    ) -> None:
        changes = {name: form.cleaned_data[name] for name in form.changed_data}
        registry.update(obj, changes=changes, actor=actor_of(request))

    @display(description="Health", ordering="current_version__assessment__status")
    def shown_health(self, model: RegisteredModel) -> Badge:
        assessment = assessment_of(model)
        return health(assessment.status if assessment else None)

    @display(description="Risk", ordering="current_version__assessment__score")
    def risk(self, model: RegisteredModel) -> str:
        assessment = assessment_of(model)
        return points(assessment.score) if assessment else EMPTY

    @display(description="Version", ordering="current_version__version")
    def version(self, model: RegisteredModel) -> Any:
        version = model.current_version
        return link(version, version.version, 24) if version else EMPTY

    @display(description="Tier", ordering="risk_tier")
    def risk_tier_shown(self, model: RegisteredModel) -> str:
        return model.get_risk_tier_display() if model.risk_tier else "unset (high)"

    @display(
        description="Last prediction", ordering="current_version__last_prediction_at"
    )
    def last_prediction(self, model: RegisteredModel) -> Any:
        version = model.current_version
        return ago(version.last_prediction_at if version else None)


def assessment_of(model: RegisteredModel) -> Any:
    """Return the state of the model's current version, or None."""
    return getattr(model.current_version, "assessment", None)


@admin.register(ModelVersion)
class ModelVersionAdmin(TenantAdmin):
    has_history = True
    list_display = (
        "name",
        "approval",
        "shown_health",
        "last_prediction",
        "created_by",
        "created_at",
    )
    list_filter = (
        related_filter(RegisteredModel, "model", "model"),
        ("status", ChoicesDropdownFilter),
    )
    search_fields = ("model__name", "version", "description")
    list_select_related = ("model", "created_by", "assessment")
    fields = (
        "model",
        "version",
        "approval",
        "decided_on",
        "shown_health",
        "description",
        "training_accuracy",
        "fairness_baseline",
        "artifact_digest",
        "created_by",
        "created_at",
        "last_prediction",
        "shown_schema",
    )
    readonly_fields = fields

    @display(description="Version", ordering="model__name")
    def name(self, version: ModelVersion) -> str:
        return str(version)

    @display(description="Approval", ordering="status")
    def approval(self, version: ModelVersion) -> Badge:
        return life_cycle(version)

    @display(description="Pages")
    def decided_on(self, version: ModelVersion) -> Any:
        return pages_of(version)

    @display(description="Health", ordering="assessment__status")
    def shown_health(self, version: ModelVersion) -> Badge:
        assessment = getattr(version, "assessment", None)
        return health(assessment.status if assessment else None)

    @display(description="Last prediction", ordering="last_prediction_at")
    def last_prediction(self, version: ModelVersion) -> Any:
        return ago(version.last_prediction_at)

    @display(description="Schema")
    def shown_schema(self, version: ModelVersion) -> Any:
        return json_block(version.schema_definition)
