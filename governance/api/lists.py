"""Lists that go on growing: filtered, in pages, the newest first."""

from __future__ import annotations

from typing import Any, TypeVar

import django_filters
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter
from rest_framework import exceptions as rest
from rest_framework import serializers
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response

from governance.api.base import HIGHEST_LIMIT, limit_of
from governance.api.registry_lists import filter_faults
from governance.exceptions import InvalidError, NotFoundError, fault
from governance.models import RegisteredModel

M = TypeVar("M", bound=models.Model)
PAGING = frozenset({"limit", "cursor"})
PAGING_DOCUMENT = [
    OpenApiParameter("limit", int, description="at most 1,000; 100 if absent"),
    OpenApiParameter("cursor", description="from `next` or `previous`"),
]


class Page(serializers.Serializer[Any]):
    """Where a page of a list stands."""

    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)


class NewestFirst(CursorPagination):
    """Pages by the id, which rises with time."""

    ordering = "-pk"
    page_size_query_param = "limit"
    max_page_size = HIGHEST_LIMIT

    def of(self, rows: QuerySet[M], request: Request) -> list[M]:
        self.page_size = limit_of(request)
        try:
            return list(self.paginate_queryset(rows, request) or ())
        except (rest.NotFound, ValidationError, ValueError):
            raise InvalidError(
                errors=[fault("cursor", code="cursor", detail="is none of ours")]
            ) from None


def page_of(
    rows: QuerySet[Any],
    request: Request,
    *,
    filters: type[django_filters.FilterSet],
    answer: type[serializers.Serializer[Any]],
) -> Response:
    """Answer one page of the rows that the filters of the request leave."""
    found = filters(request.query_params, rows)
    if not found.is_valid():
        raise InvalidError(errors=filter_faults(found))
    pages = NewestFirst()
    shown = answer(pages.of(found.qs, request), many=True)
    return pages.get_paginated_response(shown.data)


def one_of(rows: QuerySet[M], reference: str | int) -> M:
    """Return the row with this integer id, or raise NotFoundError."""
    text = str(reference)
    is_id = text.isascii() and text.isdigit() and len(text) < 19
    found = rows.filter(pk=int(text)).first() if is_id else None
    if found is None:
        raise NotFoundError
    return found


class ModelReferenceFilter(django_filters.CharFilter):  # type: ignore[misc]
    """Filters by a model's integer id or slug; the rows are one tenant's already."""

    def filter(self, rows: QuerySet[Any], value: str) -> QuerySet[Any]:
        if not value:
            return rows
        named = RegisteredModel.objects.all().named(value)
        return rows.filter(**{f"{self.field_name}__in": named})


class FlagFilter(django_filters.TypedChoiceFilter):  # type: ignore[misc]
    """Takes `true` or `false`; anything else would filter nothing, without a word."""

    def __init__(self, **options: Any) -> None:
        choices = [("true", "true"), ("false", "false")]
        options = {"choices": choices, "coerce": "true".__eq__, **options}
        super().__init__(**options)
