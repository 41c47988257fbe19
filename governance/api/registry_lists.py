"""Lists of models: filters, order and pages."""

from __future__ import annotations

import django_filters
from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from drf_spectacular.utils import OpenApiParameter
from rest_framework import exceptions as rest
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request

from governance.api.base import HIGHEST_LIMIT, limit_of
from governance.exceptions import FieldFault, InvalidError, fault
from governance.models import GovernanceStatus, ModelVersion, RegisteredModel

ORDERINGS = ("name", "-name", "created_at", "-created_at", "id", "-id")


class ModelFilter(django_filters.FilterSet):  # type: ignore[misc]
    """The filters of a list of models; they speak of the version that is shown."""

    name = django_filters.CharFilter(lookup_expr="icontains")
    status = django_filters.ChoiceFilter(
        field_name="current_version__status", choices=ModelVersion.Status.choices
    )
    governance_status = django_filters.ChoiceFilter(
        field_name="current_version__assessment__status",
        choices=GovernanceStatus.choices,
    )
    risk_tier = django_filters.ChoiceFilter(
        choices=RegisteredModel.RiskTier.choices, method="of_tier"
    )
    owner = django_filters.CharFilter(field_name="owner__email", lookup_expr="iexact")
    search = django_filters.CharFilter(method="containing")

    def of_tier(
        self, models: QuerySet[RegisteredModel], name: str, value: str
    ) -> QuerySet[RegisteredModel]:
        if value == RegisteredModel.RiskTier.HIGH:
            return models.filter(risk_tier__in=("", value))
        return models.filter(risk_tier=value)

    def containing(
        self, models: QuerySet[RegisteredModel], name: str, value: str
    ) -> QuerySet[RegisteredModel]:
        return models.filter(
            Q(name__icontains=value)
            | Q(slug__icontains=value)
            | Q(description__icontains=value)
            | Q(purpose__icontains=value)
            | Q(external_ref__icontains=value)
        )


LIST_PARAMETERS = frozenset(ModelFilter.base_filters) | {"limit", "cursor", "ordering"}
LIST_DOCUMENT = [
    OpenApiParameter("name", description="part of the name"),
    OpenApiParameter("status", enum=ModelVersion.Status.values),
    OpenApiParameter("governance_status", enum=GovernanceStatus.values),
    OpenApiParameter("risk_tier", enum=RegisteredModel.RiskTier.values),
    OpenApiParameter("owner", description="the owner's e-mail"),
    OpenApiParameter("search", description="in name, description and purpose"),
    OpenApiParameter("ordering", enum=ORDERINGS),
    OpenApiParameter("limit", int, description="at most 1,000; 100 if absent"),
    OpenApiParameter("cursor", description="from `next` or `previous`"),
]


class Pages(CursorPagination):
    """Pages of a list that goes on growing meanwhile."""

    page_size_query_param = "limit"
    max_page_size = HIGHEST_LIMIT

    def of(
        self, rows: QuerySet[RegisteredModel], request: Request
    ) -> list[RegisteredModel]:
        """Return the rows of the page that the request asks for."""
        self.page_size = limit_of(request)
        wanted = request.query_params.get("ordering", "name")
        if wanted not in ORDERINGS:
            raise InvalidError(
                errors=[fault("ordering", code="choice", detail=", ".join(ORDERINGS))]
            )
        # The id makes every order total.
        self.ordering = (wanted, "id")
        try:
            return list(self.paginate_queryset(rows, request) or ())
        except (rest.NotFound, ValidationError, ValueError):
            raise InvalidError(
                errors=[fault("cursor", code="cursor", detail="is none of ours")]
            ) from None


def filter_faults(filters: django_filters.FilterSet) -> list[FieldFault]:
    """Return what is wrong with the values of a filter, one fault for each."""
    return [
        fault(name, code=one["code"], detail=one["message"])
        for name, found in filters.errors.get_json_data().items()
        for one in found
    ]
