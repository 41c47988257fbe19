"""What was deployed when; taking up what is in production already."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any, ClassVar, cast

import django_filters
from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.response import Response

from governance.actions import authority, break_glass, intakes
from governance.api.base import ApiView, validated
from governance.api.deployment_fields import (
    EXAMPLE,
    DeploymentAnswer,
    IntakeRequest,
    Ratification,
    fallback_of,
)
from governance.api.documents import WRITING, operation
from governance.api.lists import (
    PAGING,
    PAGING_DOCUMENT,
    ModelReferenceFilter,
    Page,
    one_of,
    page_of,
)
from governance.api.registry import named_version
from governance.exceptions import InvalidError, fault
from governance.models import ApiKey, Deployment

STATES = [("deployed", "Deployed"), ("suspended", "Suspended"), ("retired", "Retired")]
INSTANT = timedelta(microseconds=1)


class DeploymentPage(Page):
    """One page of deployments."""

    results = DeploymentAnswer(many=True)


class DeploymentFilter(django_filters.FilterSet):  # type: ignore[misc]
    """The filters of a list of deployments."""

    model = ModelReferenceFilter(field_name="model")
    version = django_filters.CharFilter(field_name="version__version")
    environment = django_filters.ChoiceFilter(choices=ApiKey.Environment.choices)
    kind = django_filters.MultipleChoiceFilter(choices=Deployment.Kind.choices)
    state = django_filters.ChoiceFilter(choices=STATES, method="in_state")
    override_id = django_filters.NumberFilter(field_name="override", decimal_places=0)
    on = django_filters.CharFilter(method="live_on")

    def in_state(
        self, rows: QuerySet[Deployment], name: str, value: str
    ) -> QuerySet[Deployment]:
        if value == "retired":
            return rows.exclude(ended_at=None)
        return rows.filter(ended_at=None, suspended_at__isnull=value == "deployed")

    def live_on(
        self, rows: QuerySet[Deployment], name: str, value: str
    ) -> QuerySet[Deployment]:
        found: QuerySet[Deployment] = cast(Any, rows).between(*span_of(value))
        return found


def span_of(text: str) -> tuple[datetime, datetime]:
    """Return the day (of UTC) or the moment that a text names, as [start, end)."""
    try:
        if len(text) == 10:
            start = datetime.combine(date.fromisoformat(text), time(), UTC)
            length = timedelta(days=1)
        else:
            # A plus sign in an address means a blank.
            start = datetime.fromisoformat(text.replace(" ", "+"))
            start = start if start.tzinfo else start.replace(tzinfo=UTC)
            length = INSTANT
        is_ahead = start > timezone.now()
        span = start, start + length
    except (ValueError, OverflowError):
        raise _refused("date", "expected a date or time stamp") from None
    if is_ahead:
        raise _refused("range", "lies ahead")
    return span


def _refused(code: str, detail: str) -> InvalidError:
    return InvalidError(errors=[fault("on", code=code, detail=detail)])


FILTERS_DOCUMENT = [
    OpenApiParameter("version"),
    OpenApiParameter("environment", enum=ApiKey.Environment.values),
    OpenApiParameter("kind", enum=Deployment.Kind.values, many=True),
    OpenApiParameter("state", enum=[state for state, _ in STATES]),
    OpenApiParameter("override_id", int, description="deployed under this override"),
    OpenApiParameter(
        "on", description="live on this day of UTC, or at this time stamp"
    ),
    *PAGING_DOCUMENT,
]
LIST: dict[str, Any] = {"next": None, "previous": None, "results": [EXAMPLE]}


class DeploymentView(ApiView):
    """A view of the caller's deployments."""

    def rows(self) -> QuerySet[Deployment]:
        found: QuerySet[Deployment] = Deployment.objects.for_organization(
            self.credential.organization_id
        ).select_related("model", "version__model", "approval", "fallback_version")
        return found


class DeploymentsView(DeploymentView):
    """All deployments."""

    required_scopes: ClassVar[dict[str, str]] = {"GET": "governance:read"}
    query_parameters: ClassVar[dict[str, frozenset[str]]] = {
        "GET": frozenset(DeploymentFilter.base_filters) | PAGING
    }

    @operation(
        "List deployments, newest first",
        answer=DeploymentPage,
        parameters=[
            OpenApiParameter("model", description="the model's id or slug"),
            *FILTERS_DOCUMENT,
        ],
        answer_example=LIST,
        tag="Deployments",
    )
    def get(self, request: Request) -> Response:
        return page_of(
            self.rows(), request, filters=DeploymentFilter, answer=DeploymentAnswer
        )


class ModelDeploymentsView(DeploymentView):
    """What was in production on day D."""

    required_scopes: ClassVar[dict[str, str]] = {"GET": "models:read"}
    query_parameters: ClassVar[dict[str, frozenset[str]]] = {
        "GET": (frozenset(DeploymentFilter.base_filters) | PAGING) - {"model"}
    }

    @operation(
        "List a model's deployments",
        answer=DeploymentPage,
        parameters=FILTERS_DOCUMENT,
        answer_example=LIST,
        tag="Deployments",
    )
    def get(self, request: Request, reference: str) -> Response:
        rows = self.rows().filter(model=self.model(reference))
        return page_of(rows, request, filters=DeploymentFilter, answer=DeploymentAnswer)


class OneDeploymentView(DeploymentView):
    """One deployment."""

    required_scopes: ClassVar[dict[str, str]] = {"GET": "governance:read"}

    @operation(
        "Get a deployment",
        answer=DeploymentAnswer,
        answer_example=EXAMPLE,
        tag="Deployments",
    )
    def get(self, request: Request, reference: str) -> Response:
        return Response(DeploymentAnswer(one_of(self.rows(), reference)).data)


class IntakeView(DeploymentView):
    """Models that are in production already."""

    required_scopes: ClassVar[dict[str, str]] = {"POST": "governance:write"}

    @operation(
        "Take up models that are in production already",
        request=IntakeRequest,
        answer=DeploymentAnswer(many=True),
        status=201,
        errors=(*WRITING, 409),
        example={
            "items": [{"model_id": "credit-risk-classifier", "version": "2.0.0"}],
            "reason": "Was in production before DriftGuard",
        },
        answer_example=[{**EXAMPLE, "kind": "intake"}],
        description=(
            "All of them, or none. Each has to be approved and deployed through the "
            "gate by its `due_at`; else a finding opens, and later it is suspended."
        ),
        tag="Deployments",
    )
    def post(self, request: Request) -> Any:
        data = validated(IntakeRequest, request)
        adoptions = [self._adoption(item) for item in data["items"]]

        def adopt() -> Response:
            made = intakes.adopt(adoptions, reason=data["reason"], actor=self.actor)
            rows = self.rows().in_bulk([one.pk for one in made])
            shown = DeploymentAnswer([rows[one.pk] for one in made], many=True)
            return Response(shown.data, status=201)

        return self.once(adopt)

    def _adoption(self, item: dict[str, Any]) -> intakes.Adoption:
        model = self.model(str(item["model_id"]))
        return intakes.Adoption(
            version=named_version(model, item.get("version")),
            environment=item["environment"],
            since=item.get("since"),
            fallback=fallback_of(item.get("fallback"), model),
        )


class RatifyView(DeploymentView):
    """The second person of a break-glass."""

    required_scopes: ClassVar[dict[str, str]] = {"POST": "governance:write"}

    @operation(
        "Ratify a break-glass, or have it reverted",
        request=Ratification,
        answer=DeploymentAnswer,
        errors=(*WRITING, 409),
        example={"agrees": True, "reason": "Looked at the log", "password": "…"},
        answer_example={**EXAMPLE, "kind": "break_glass"},
        tag="Deployments",
    )
    def post(self, request: Request, reference: str) -> Response:
        deployment = one_of(self.rows(), reference)
        data = validated(Ratification, request)
        actor = authority.confirmed(
            self.actor,
            data["password"],
            organization_id=deployment.organization_id,
            path=request.path,
        )
        break_glass.ratify(
            deployment, agrees=data["agrees"], reason=data["reason"], actor=actor
        )
        return Response(DeploymentAnswer(self.rows().get(pk=deployment.pk)).data)
