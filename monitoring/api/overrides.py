"""All decisions made under an override: as pages, and as a file."""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import StreamingHttpResponse
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.request import Request

from governance.api.base import flag_of
from governance.api.documents import operation
from governance.api.lists import PAGING, PAGING_DOCUMENT, NewestFirst, Page
from governance.api.overrides import OverrideView
from monitoring.actions import override_export
from monitoring.models.predictions import Verdict

EXAMPLE: dict[str, Any] = {
    "prediction_id": "pred_01jk…",
    "timestamp": "2025-01-31T12:00:00Z",
    "version": "2.1.0",
    "entity_id": "client-7",
    "prediction": 1,
    "verdict": "AT_RISK",
    "override_id": 3,
    "features": {"age": 41},
}


class Decision(serializers.Serializer[Any]):
    """A prediction that was made under the override."""

    prediction_id = serializers.CharField(source="public_id")
    timestamp = serializers.DateTimeField()
    version = serializers.CharField(source="version.version")
    entity_id = serializers.CharField(allow_null=True)
    prediction = serializers.JSONField(source="decoded_prediction")
    verdict = serializers.ChoiceField(Verdict.choices)
    override_id = serializers.IntegerField()
    features = serializers.JSONField(source="decoded_features")


class DecisionPage(Page):
    """One page of decisions."""

    results = Decision(many=True)


class DecisionsView(OverrideView):
    """The decisions made under an override."""

    required_scopes: ClassVar[dict[str, str]] = {"GET": "mlops:read"}
    query_parameters: ClassVar[dict[str, frozenset[str]]] = {"GET": PAGING | {"csv"}}

    @operation(
        "List the decisions made under an override",
        answer=DecisionPage,
        parameters=[
            OpenApiParameter("csv", bool, description="all of them, as a file"),
            *PAGING_DOCUMENT,
        ],
        answer_example={"next": None, "previous": None, "results": [EXAMPLE]},
        tag="Overrides",
    )
    def get(self, request: Request, reference: str) -> Any:
        override = self.override(reference)
        if flag_of(request, "csv"):
            override_export.note_export(override, actor=self.actor)
            return StreamingHttpResponse(
                override_export.csv_lines(override),
                content_type="text/csv; charset=utf-8",
                headers={
                    "Content-Disposition": "attachment; "
                    f'filename="override-{override.pk}.csv"'
                },
            )
        rows = override_export.decisions(override).select_related("version")
        pages = NewestFirst()
        page = pages.of(rows, request)
        return pages.get_paginated_response(Decision(page, many=True).data)
