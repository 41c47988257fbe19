from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from unfold.decorators import display

from governance.admin.display import json_block, link
from governance.admin.tenancy import TenantAdmin
from governance.models import Policy, PolicyVersion


@admin.register(Policy)
class PolicyAdmin(TenantAdmin):
    list_display = ("name", "is_default", "version_in_force", "created_at")
    search_fields = ("name",)
    fields = ("name", "is_default", "version_in_force", "created_at")
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("versions")

    @display(description="In force")
    def version_in_force(self, policy: Policy) -> Any:
        for version in policy.versions.all():
            if version.status == PolicyVersion.Status.ACTIVE:
                return link(version, f"version {version.number}")
        return "none"


@admin.register(PolicyVersion)
class PolicyVersionAdmin(TenantAdmin):
    has_history = True
    list_display = ("name", "status", "created_by", "published_at")
    list_filter = ("status",)
    list_select_related = ("policy", "created_by")
    fields = (
        "policy",
        "number",
        "status",
        "created_by",
        "created_at",
        "published_at",
        "content_hash",
        "shown_content",
    )
    readonly_fields = fields

    @display(description="Policy", ordering="policy")
    def name(self, version: PolicyVersion) -> str:
        return str(version)

    @display(description="Content")
    def shown_content(self, version: PolicyVersion) -> Any:
        return json_block(version.content)
