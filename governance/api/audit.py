"""The audit trail: read it in pages, or take it away."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import django_filters
from django.db.models import Func, QuerySet, TextField, Value
from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from governance.actions import bundles, exports
from governance.api.base import flag_of
from governance.api.checkpoints import TAG, TrailView
from governance.api.documents import operation
from governance.api.lists import PAGING, PAGING_DOCUMENT, NewestFirst, Page
from governance.api.registry_lists import filter_faults
from governance.exceptions import InvalidError, fault
from governance.models import AuditEntry

FORMATS = {
    "csv": ("text/csv; charset=utf-8", exports.csv_rows),
    "jsonl": ("application/jsonl; charset=utf-8", exports.json_lines),
}


class ActorDocument(serializers.Serializer[Any]):
    """Who did it, in which roles, as they were called then."""

    type = serializers.CharField()
    id = serializers.CharField()
    # DRF keeps declared fields apart from what it has under these names.
    label = serializers.CharField()  # type: ignore[assignment]
    role = serializers.CharField()


class AuthDocument(serializers.Serializer[Any]):
    """How they had shown who they are."""

    method = serializers.CharField()
    key_prefix = serializers.CharField()


class ObjectDocument(serializers.Serializer[Any]):
    """What it was done to, as it was called then."""

    type = serializers.CharField()
    id = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]


class EntryDocument(serializers.Serializer[Any]):
    """One entry; `payload` says whether before and after are kept."""

    seq = serializers.IntegerField()
    at = serializers.DateTimeField()
    actor = ActorDocument()
    auth = AuthDocument()
    action = serializers.CharField()
    object = ObjectDocument()
    outcome = serializers.ChoiceField(AuditEntry.Outcome.choices)
    reason = serializers.CharField()
    request_id = serializers.CharField()
    ip = serializers.CharField()
    channel = serializers.CharField()
    policy_version = serializers.IntegerField(allow_null=True)
    approval_id = serializers.IntegerField(allow_null=True)
    override_id = serializers.IntegerField(allow_null=True)
    facts = serializers.JSONField(allow_null=True)
    before = serializers.JSONField(allow_null=True)
    after = serializers.JSONField(allow_null=True)
    payload = serializers.ChoiceField(["kept", "erased", "none", "unreadable"])
    leaf_hash = serializers.CharField()


class EntryPage(Page):
    """One page of the trail."""

    results = EntryDocument(many=True)


EXAMPLE: dict[str, Any] = {
    "next": None,
    "previous": None,
    "results": [
        {
            "seq": 120,
            "at": "2025-01-31T12:00:00.000000Z",
            "actor": {
                "type": "user",
                "id": "3",
                "label": "ada@example.com",
                "role": "compliance_officer",
            },
            "auth": {"method": "session", "key_prefix": ""},
            "action": "member.confirmed",
            "object": {"type": "user", "id": "9", "label": "Grace"},
            "outcome": "done",
            "reason": "",
            "request_id": "4f1c0e",
            "ip": "192.0.2.7",
            "channel": "admin",
            "policy_version": None,
            "approval_id": None,
            "override_id": None,
            "facts": None,
            "before": None,
            "after": {"email": "grace@example.com", "role": "validator"},
            "payload": "kept",
            "leaf_hash": "0ac5186a91863e8e1d90c808014aa89bf5da8e3ee1d9f07630f0378f6",
        }
    ],
}


class EntryFilter(django_filters.FilterSet):  # type: ignore[misc]
    """The filters of the trail, in lists and in exports."""

    actor = django_filters.CharFilter(field_name="actor_label", lookup_expr="icontains")
    actor_type = django_filters.CharFilter()
    actor_id = django_filters.CharFilter()
    object_type = django_filters.CharFilter()
    object_id = django_filters.CharFilter()
    action = django_filters.CharFilter()
    action_prefix = django_filters.CharFilter(
        field_name="action", lookup_expr="startswith"
    )
    outcome = django_filters.MultipleChoiceFilter(choices=AuditEntry.Outcome.choices)
    since = django_filters.IsoDateTimeFilter(field_name="at", lookup_expr="gte")
    until = django_filters.IsoDateTimeFilter(field_name="at", lookup_expr="lt")
    seq_min = django_filters.NumberFilter(
        field_name="seq", lookup_expr="gte", decimal_places=0
    )
    seq_max = django_filters.NumberFilter(
        field_name="seq", lookup_expr="lte", decimal_places=0
    )
    request_id = django_filters.CharFilter()
    approval_id = django_filters.NumberFilter(decimal_places=0)
    override_id = django_filters.NumberFilter(decimal_places=0)
    text = django_filters.CharFilter(method="containing")

    def containing(
        self, entries: QuerySet[AuditEntry], name: str, value: str
    ) -> QuerySet[AuditEntry]:
        """Find a text anywhere in what the entry says; not in its payload."""
        said = Func(
            "body",
            Value("UTF8"),
            function="convert_from",
            output_field=TextField(),
        )
        spelled = json.dumps(value, ensure_ascii=False)[1:-1]
        return entries.annotate(said=said).filter(said__icontains=spelled)


FILTERS = frozenset(EntryFilter.base_filters)
FILTERS_DOCUMENT = [
    OpenApiParameter("actor", description="part of the actor's name"),
    OpenApiParameter("actor_type", description="user, api_key, system or visitor"),
    OpenApiParameter("actor_id"),
    OpenApiParameter("object_type", description="such as modelversion"),
    OpenApiParameter("object_id"),
    OpenApiParameter("action", description="such as deployment.requested"),
    OpenApiParameter("action_prefix", description="such as deployment."),
    OpenApiParameter("outcome", enum=AuditEntry.Outcome.values, many=True),
    OpenApiParameter("since", OpenApiTypes.DATETIME, description="from then on"),
    OpenApiParameter("until", OpenApiTypes.DATETIME, description="before then"),
    OpenApiParameter("seq_min", int),
    OpenApiParameter("seq_max", int),
    OpenApiParameter("request_id"),
    OpenApiParameter("approval_id", int),
    OpenApiParameter("override_id", int),
    OpenApiParameter("text", description="anywhere in the entry, but for its payload"),
]


class InOrder(NewestFirst):
    """Pages by the number of the entry."""

    ordering = "-seq"


def filters_of(
    request: Request,
) -> Callable[[QuerySet[AuditEntry]], QuerySet[AuditEntry]]:
    """Return what applies the filters of a request; raise InvalidError for bad ones."""
    checked = EntryFilter(request.query_params, AuditEntry.objects.none())
    if not checked.is_valid():
        raise InvalidError(errors=filter_faults(checked))

    def filtered(entries: QuerySet[AuditEntry]) -> QuerySet[AuditEntry]:
        found: QuerySet[AuditEntry] = EntryFilter(request.query_params, entries).qs
        return found

    return filtered


def asked(request: Request) -> dict[str, str]:
    """Return the filters of a request as they were asked for, for the trail."""
    return {
        name: ",".join(request.query_params.getlist(name))[:500]
        for name in sorted(request.query_params.keys() & FILTERS)
    }


class AuditView(TrailView):
    """The trail in pages."""

    query_parameters: ClassVar[dict[str, frozenset[str]]] = {"GET": FILTERS | PAGING}

    @operation(
        "List the entries of the audit trail, the newest first; reading leaves one",
        answer=EntryPage,
        parameters=[*FILTERS_DOCUMENT, *PAGING_DOCUMENT],
        answer_example=EXAMPLE,
        tag=TAG,
    )
    def get(self, request: Request) -> Response:
        filtered = filters_of(request)
        trail = AuditEntry.objects.for_organization(self.credential.organization_id)
        pages = InOrder()
        found = exports.shown(pages.of(filtered(trail), request))
        exports.record_reading(
            self.organization, actor=self.actor, filters=asked(request)
        )
        return pages.get_paginated_response(found)


class ExportView(TrailView):
    """The trail as a file."""

    query_parameters: ClassVar[dict[str, frozenset[str]]] = {
        "GET": FILTERS | {"format"}
    }

    @operation(
        "Export the entries of the audit trail, the oldest first",
        answer=OpenApiTypes.BINARY,
        media=("text/csv", "application/jsonl"),
        parameters=[
            *FILTERS_DOCUMENT,
            OpenApiParameter("format", enum=list(FORMATS), description="default csv"),
        ],
        tag=TAG,
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        form = request.query_params.get("format", "csv")
        if form not in FORMATS:
            raise InvalidError(
                errors=[fault("format", code="choice", detail=" or ".join(FORMATS))]
            )
        filtered = filters_of(request)
        organization = self.organization
        bundles.record_export(
            organization, actor=self.actor, form=form, filters=asked(request)
        )
        last = exports.last_seq(organization)
        media_type, lines = FORMATS[form]
        found = exports.entries(organization, filtered, last=last)
        name = f"audit-{organization.slug}-{last}.{form}"
        return attachment(lines(found), name, media_type)


class BundleView(TrailView):
    """The trail with all that proves it."""

    query_parameters: ClassVar[dict[str, frozenset[str]]] = {
        "GET": frozenset({"receipts"})
    }

    @operation(
        "Export the auditor's bundle, which dg-verify verifies offline",
        answer=OpenApiTypes.BINARY,
        media=("application/zip",),
        parameters=[
            OpenApiParameter(
                "receipts",
                bool,
                description="with the receipts of predictions; default true",
            )
        ],
        tag=TAG,
    )
    def get(self, request: Request) -> StreamingHttpResponse:
        with_receipts = "receipts" not in request.query_params or flag_of(
            request, "receipts"
        )
        organization = self.organization
        pieces = bundles.export(
            organization, actor=self.actor, with_receipts=with_receipts
        )
        name = f"audit-{organization.slug}-{exports.last_seq(organization)}.zip"
        return attachment(pieces, name, "application/zip")


def attachment(
    pieces: Iterator[bytes], name: str, media_type: str
) -> StreamingHttpResponse:
    """Return a file that is sent while it is being made."""
    return StreamingHttpResponse(
        pieces,
        content_type=media_type,
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "no-store",
        },
    )
