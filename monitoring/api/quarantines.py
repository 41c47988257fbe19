"""Taking wrong traffic out of the counts."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from django.http import HttpResponse
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from governance.api.base import ApiView, StrictSerializer, TextField, validated
from governance.api.documents import READING, WRITING, operation
from governance.exceptions import InvalidError, fault
from governance.models import ApiKey
from monitoring.actions import quarantine
from monitoring.api import live
from monitoring.api.repeats import once
from monitoring.models import Quarantine

EXAMPLE: dict[str, Any] = {
    "api_key": "dg_prod_3fa8k2Qx",
    "from": "2025-01-31T10:00:00Z",
    "until": "2025-01-31T12:00:00Z",
    "reason": "The staging service logged with the production key.",
}
ANSWER = {
    **EXAMPLE,
    "id": 3,
    "receipts": 12,
    "predictions": 5400,
    "created_at": "2025-01-31T13:00:00Z",
}


class QuarantineBody(StrictSerializer):
    """Which traffic not to count, and why."""

    api_key = TextField(required=False, allow_null=True, help_text="the key's prefix")
    until = serializers.DateTimeField()
    reason = TextField(max_length=2_000)

    def get_fields(self) -> dict[str, Any]:
        # `from` is no name that a class can have.
        return {**super().get_fields(), "from": serializers.DateTimeField()}


class QuarantineAnswer(serializers.Serializer[Any]):
    """A quarantine."""

    id = serializers.IntegerField()
    api_key = serializers.CharField(allow_null=True)
    until = serializers.DateTimeField()
    reason = serializers.CharField()
    receipts = serializers.IntegerField()
    predictions = serializers.IntegerField()
    created_at = serializers.DateTimeField()

    def get_fields(self) -> dict[str, Any]:
        return {**super().get_fields(), "from": serializers.DateTimeField()}


class QuarantinesView(ApiView):
    """The quarantines of a model: list them, declare one."""

    required_scopes: ClassVar[dict[str, str]] = {
        "GET": "mlops:read",
        "POST": "mlops:write",
    }

    @operation(
        "List a model's quarantines",
        answer=QuarantineAnswer(many=True),
        answer_example=[ANSWER],
        errors=READING,
        tag="Monitoring",
    )
    def get(self, request: Request, reference: str) -> Response:
        found = Quarantine.objects.filter(model=self.model(reference))
        return Response(
            [_told(one) for one in found.select_related("api_key").order_by("-id")]
        )

    @operation(
        "Quarantine predictions",
        request=QuarantineBody,
        answer=QuarantineAnswer,
        status=201,
        errors=WRITING,
        example=EXAMPLE,
        answer_example=ANSWER,
        description=(
            "Predictions received in the span, by the key if one is named, no longer "
            "count; they stay, marked. The status is judged anew."
        ),
        tag="Monitoring",
    )
    def post(self, request: Request, reference: str) -> Response | HttpResponse:
        model = self.model(reference)
        given = validated(QuarantineBody, request)
        api_key = self._key(given.get("api_key"))

        def declare() -> Response:
            made = quarantine.quarantine(
                model,
                api_key=api_key,
                received_from=given["from"],
                received_until=given["until"],
                reason=given["reason"],
                actor=self.actor,
            )
            return Response(_told(made), status=201)

        body = json.dumps(request.data, sort_keys=True).encode()
        return once(request, self.credential, body, declare)

    def _key(self, prefix: str | None) -> ApiKey | None:
        if prefix is None:
            return None
        keys = ApiKey.objects.for_organization(self.credential.organization_id)
        key = keys.filter(prefix=prefix).first()
        if key is None:
            detail = "no key of the organization has this prefix"
            raise InvalidError(errors=[fault("api_key", code="unknown", detail=detail)])
        return key


def _told(made: Quarantine) -> dict[str, Any]:
    rows = list(made.receipts.values_list("rows", flat=True))
    return {
        "id": made.pk,
        "api_key": made.api_key.prefix if made.api_key is not None else None,
        "from": live.moment(made.received_from),
        "until": live.moment(made.received_until),
        "reason": made.reason,
        "receipts": len(rows),
        "predictions": sum(rows),
        "created_at": live.moment(made.created_at),
    }
