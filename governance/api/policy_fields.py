"""What the interface says of policies, and takes about them: JSON, or a YAML file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

from django.http import HttpRequest
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from governance.actions import policies, policy_templates
from governance.api.base import StrictSerializer, TextField
from governance.api.parsers import StrictJSONParser, refuse_cut_off
from governance.decision import PolicyError, documents
from governance.exceptions import InvalidError, MalformedError, fault
from governance.models import Policy, PolicyVersion

YAML = "application/yaml"
YAML_TYPES = {YAML, "application/x-yaml", "text/yaml", "text/x-yaml"}
Status = PolicyVersion.Status
NEXT = {
    Status.DRAFT: "Try it on the past (backtest), then ask for its publication.",
    Status.ACTIVE: "It is in force.",
    Status.ARCHIVED: "Another version is in force; draft a new one to return to it.",
}
HASH = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
FILE = "driftguard_policy: 1\nname: Credit\ncontent:\n  fairness_minimum: 0.85\n"
CONTENT: dict[str, Any] = {
    "index": {"at_risk": 50.0, "blocked": 80.0},
    "fairness_minimum": 0.8,
    "stages": [{"role": "compliance_officer", "quorum": 1}],
}
LINE_EXAMPLE: dict[str, Any] = {
    "version": 4,
    "status": "draft",
    "hash": HASH,
    "created_by": "ada@example.com",
    "created_at": "2025-01-31T12:00:00Z",
    "edited_by": "ada@example.com",
    "published_at": None,
    "archived_at": None,
}
VERSION_EXAMPLE: dict[str, Any] = {
    **LINE_EXAMPLE,
    "policy_id": 1,
    "policy": "Default policy",
    "is_default": True,
    "content": CONTENT,
    "requests": [],
    "next": NEXT[Status.DRAFT],
}
POLICY_EXAMPLE: dict[str, Any] = {
    "id": 1,
    "name": "Default policy",
    "is_default": True,
    "created_at": "2025-01-01T09:00:00Z",
    "versions": 4,
    "active": {**LINE_EXAMPLE, "version": 3, "status": "active"},
    "draft": LINE_EXAMPLE,
    "applies_to": {"tiers": [], "models": []},
}


class PolicyParser(StrictJSONParser):
    """Reads a policy file (YAML) into what the JSON body would say."""

    def parse(
        self,
        stream: IO[Any] | HttpRequest,
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        name = (media_type or "").partition(";")[0].strip().lower()
        if name not in YAML_TYPES:
            return super().parse(stream, media_type, parser_context)
        body = stream.body if isinstance(stream, HttpRequest) else stream.read()
        if parser_context is not None:
            refuse_cut_off(parser_context["request"].META, body)
        return read_file(body)


def read_file(body: bytes) -> dict[str, Any]:
    """Return a policy file's name, if it has one, and its content.

    Raises MalformedError, or InvalidError that names the line of what is no YAML, and
    the field of everything else that is wrong.
    """
    try:
        document = documents.read(body.decode("utf-8"))
    except UnicodeDecodeError:
        raise MalformedError("The file is not UTF-8.") from None
    except PolicyError as error:
        raise InvalidError(
            "The policy file is wrong.",
            errors=[
                fault(*one.loc, code=one.code, detail=one.detail)
                for one in error.errors
            ],
        ) from None
    named = {} if document.name is None else {"name": document.name}
    return {**named, "content": document.content}


class PolicyDraft(StrictSerializer):
    """What a version says: its content, or a template's."""

    content = serializers.DictField(required=False)
    template = serializers.ChoiceField(policy_templates.names(), required=False)
    name = TextField(
        required=False, max_length=200, help_text="the policy's, as files have it"
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if ("content" in attrs) == ("template" in attrs):
            detail = "give the content, or the name of a template"
            raise serializers.ValidationError(
                {"content": [serializers.ErrorDetail(detail, "missing")]}
            )
        if "template" in attrs:
            template = policy_templates.read(attrs["template"])
            attrs.setdefault("name", template.name)
            attrs["content"] = template.content
        return attrs


class NewPolicy(PolicyDraft):
    """A policy with its first draft; a template brings a name along."""

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs = super().validate(attrs)
        if not attrs.get("name"):
            raise serializers.ValidationError(
                {"name": [serializers.ErrorDetail("is needed", "required")]}
            )
        return attrs


class PublicationRequest(StrictSerializer):
    """When a draft shall take effect, and on how many days it is tried before."""

    reason = TextField(required=False, allow_blank=True, default="", max_length=5_000)
    effective_at = serializers.DateTimeField(
        required=False, help_text="once it is approved, if absent"
    )
    days = serializers.IntegerField(
        default=30, min_value=1, help_text="of the backtest that is attached"
    )


class PolicyVersionLine(serializers.Serializer[Any]):
    """A version in a list."""

    version = serializers.IntegerField(source="number")
    status = serializers.ChoiceField(Status.choices)
    hash = serializers.CharField(source="content_hash")
    created_by = serializers.CharField(
        source="created_by.email", default=None, allow_null=True
    )
    created_at = serializers.DateTimeField()
    edited_by = serializers.CharField(
        source="edited_by.email", default=None, allow_null=True
    )
    published_at = serializers.DateTimeField(allow_null=True)
    archived_at = serializers.DateTimeField(allow_null=True)


class PublicationAnswer(serializers.Serializer[Any]):
    """A request to publish a version."""

    id = serializers.IntegerField()
    status = serializers.CharField()
    requested_by = serializers.CharField(source="requested_by_label")
    submitted_at = serializers.DateTimeField()


class PolicyVersionAnswer(PolicyVersionLine):
    """A version with all that it says."""

    policy_id = serializers.IntegerField()
    policy = serializers.CharField(source="policy.name")
    is_default = serializers.BooleanField(source="policy.is_default")
    content = serializers.JSONField()
    requests = PublicationAnswer(many=True)
    next = serializers.SerializerMethodField()

    def get_next(self, version: PolicyVersion) -> str:
        if any(request.is_open for request in version.requests.all()):
            return "A second person votes on its publication."
        return NEXT[Status(version.status)]


class PolicyAnswer(serializers.Serializer[Any]):
    """A policy with the version in force and the newest draft."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    is_default = serializers.BooleanField()
    created_at = serializers.DateTimeField()
    versions = serializers.IntegerField(source="count")
    active = serializers.SerializerMethodField()
    draft = serializers.SerializerMethodField()
    applies_to = serializers.SerializerMethodField(
        help_text="tiers and models that keep it instead of the default policy"
    )

    @extend_schema_field(PolicyVersionLine(allow_null=True))
    def get_active(self, policy: Policy) -> Any:
        return _line(_newest(policy, Status.ACTIVE))

    @extend_schema_field(PolicyVersionLine(allow_null=True))
    def get_draft(self, policy: Policy) -> Any:
        return _line(_newest(policy, Status.DRAFT))

    @extend_schema_field({"type": ["object", "null"]})
    def get_applies_to(self, policy: Policy) -> dict[str, list[str]] | None:
        active = _newest(policy, Status.ACTIVE)
        if active is None:
            return None
        controls = active.thresholds.controls
        return {"tiers": list(controls.tiers), "models": list(controls.models)}


def _newest(policy: Policy, status: Status) -> PolicyVersion | None:
    found = (one for one in policy.versions.all() if one.status == status)
    return next(found, None)


def _line(version: PolicyVersion | None) -> Any:
    return None if version is None else PolicyVersionLine(version).data


class TemplateAnswer(serializers.Serializer[Any]):
    """A policy to begin with."""

    name = serializers.CharField(help_text="what `template` takes")
    title = serializers.CharField()
    description = serializers.CharField()
    content = serializers.JSONField()


class ChangeAnswer(serializers.Serializer[Any]):
    """One setting that differs; null is absent."""

    path = serializers.CharField()
    before = serializers.JSONField()
    after = serializers.JSONField()
    sentence = serializers.CharField()


class DiffAnswer(serializers.Serializer[Any]):
    """What differs between two versions, in words and as a patch of their YAML."""

    before = PolicyVersionLine()
    after = PolicyVersionLine()
    is_binding = serializers.SerializerMethodField(
        help_text="whether approvals under the one don't count under the other"
    )
    changes = ChangeAnswer(many=True)
    patch = serializers.CharField()

    def get_is_binding(self, found: Mapping[str, Any]) -> bool:
        before, after = found["before"], found["after"]
        return policies.binding_hash(before) != policies.binding_hash(after)


class TouchedAnswer(serializers.Serializer[Any]):
    """What publishing a draft would reach; nothing of it is undone by that."""

    models = serializers.ListField(child=serializers.CharField())
    requests = serializers.ListField(child=serializers.DictField())
    deployments = serializers.ListField(child=serializers.DictField())


class BacktestAnswer(serializers.Serializer[Any]):
    """What a draft would have said of the stored evidence, where that is different."""

    since = serializers.DateTimeField()
    until = serializers.DateTimeField()
    draft = serializers.DictField()
    evidence = serializers.IntegerField()
    step = serializers.CharField(help_text="the newest evidence of each counts")
    models = serializers.IntegerField()
    totals = serializers.DictField(child=serializers.IntegerField())
    flips = serializers.ListField(child=serializers.DictField())
    left_out = serializers.IntegerField(help_text="flips beyond the first thousand")
    overrides = serializers.ListField(
        child=serializers.DictField(), help_text="that would not have been needed"
    )
