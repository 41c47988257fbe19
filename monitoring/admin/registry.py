"""The register of models with what was measured of each."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
)
from django.urls import path
from unfold.decorators import display

from governance.admin.addresses import change
from governance.admin.display import Badge, measured
from governance.admin.registry import RegisteredModelAdmin
from governance.admin.tenancy import actor_of
from governance.exceptions import ConflictError, GovernanceError
from governance.models import RegisteredModel
from monitoring import nudges
from monitoring.actions import analysis_runs
from monitoring.admin.model_page import ANALYSTS


@admin.register(RegisteredModel)
class MonitoredModelAdmin(RegisteredModelAdmin):
    list_display = (
        "name",
        "shown_health",
        "risk",
        "drift",
        "version",
        "risk_tier_shown",
        "cadence",
        "owner",
        "last_prediction",
    )
    list_select_related = (
        "owner",
        "current_version__assessment",
        "current_version__live_result",
    )

    @display(description="Drift", ordering="current_version__live_result__status")
    def drift(self, model: RegisteredModel) -> Badge:
        result = getattr(model.current_version, "live_result", None)
        return measured(result.status if result else None)

    def get_queryset(self, request: HttpRequest) -> Any:
        # The reports of a live result are for the model's own page.
        reports = ("drift", "quality", "fairness", "performance")
        rows = super().get_queryset(request)
        return rows.defer(
            *(f"current_version__live_result__{name}" for name in reports)
        )

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        """Edit the registration at `?edit=1`; the model's own page is the portal's."""
        if request.method == "POST" or "edit" in request.GET:
            return super().change_view(request, object_id, form_url, extra_context)
        model = self.get_object(request, unquote(object_id))
        if model is None:
            # The same answer for what is missing and for what is another tenant's.
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        return HttpResponseRedirect(change(model))

    def get_urls(self) -> Any:
        name = f"{self.opts.app_label}_{self.opts.model_name}_analyse"
        view = self.admin_site.admin_view(self.analyse)
        return [
            path("<path:object_id>/change/analyse/", view, name=name),
            *super().get_urls(),
        ]

    def analyse(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Put an analysis of the live window on the queue, and show it there."""
        model = self.get_object(request, unquote(object_id))
        if model is None:
            # The same answer for what is missing and for what is another tenant's.
            answer = self._get_obj_does_not_exist_redirect(
                request, self.opts, object_id
            )
            return cast(HttpResponse, answer)
        if not self._is_allowed(request, ANALYSTS, model):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        version = model.current_version or model.versions.first()
        try:
            if version is None:
                raise ConflictError("The model has no version yet.")
            window = analysis_runs.window_of(version)
            run = analysis_runs.request(version, window=window, actor=actor_of(request))
        except GovernanceError as error:
            messages.error(request, error.detail)
            return HttpResponseRedirect(change(model))
        nudges.analyse()
        messages.success(request, "The analysis waits for a worker.")
        return HttpResponseRedirect(change(run))
