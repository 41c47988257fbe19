"""The artifact of a version: sending it, and what is known of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any, ClassVar

from rest_framework import serializers
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response

from governance.api.base import ApiView
from governance.api.documents import WRITING, operation
from governance.api.parsers import refuse_cut_off
from governance.exceptions import NotFoundError, UnsupportedMediaTypeError
from governance.models import Artifact, ModelVersion
from monitoring.actions import inference

MEDIA = ("application/octet-stream", "application/onnx")


class ArtifactParser(BaseParser):
    """Hands the bytes on as they are."""

    media_type = MEDIA[0]

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        name = (media_type or "").partition(";")[0].strip().lower()
        if name not in MEDIA:
            raise UnsupportedMediaTypeError(f"An artifact is sent as {MEDIA[0]}.")
        body: bytes = stream.read()
        if parser_context is not None:
            refuse_cut_off(parser_context["request"].META, body)
        return body


class ArtifactAnswer(serializers.Serializer[Any]):
    """What is known of an artifact."""

    model_id = serializers.IntegerField(source="version.model_id")
    version = serializers.CharField(source="version.version")
    digest = serializers.CharField(help_text="SHA-256 in hex")
    size = serializers.IntegerField(help_text="bytes")
    signature = serializers.JSONField(help_text="how it is asked")
    stored_at = serializers.DateTimeField()


EXAMPLE: dict[str, Any] = {
    "model_id": 1,
    "version": "2.1.0",
    "digest": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "size": 48213,
    "signature": {
        "inputs": [
            {"name": "x", "type": "float", "rank": 2, "features": ["age", "income"]}
        ],
        "outputs": {"label": "label", "probabilities": "probabilities", "value": None},
        "opsets": {"": 17, "ai.onnx.ml": 3},
        "operators": ["ai.onnx.ml:TreeEnsembleClassifier"],
    },
    "stored_at": "2025-01-31T12:00:00Z",
}


class ArtifactView(ApiView):
    """The artifact of one version."""

    parser_classes = [ArtifactParser]
    required_scopes: ClassVar[dict[str, str]] = {
        "GET": "models:read",
        "PUT": "models:write",
    }

    @operation(
        "Get what is known of a version's artifact",
        answer=ArtifactAnswer,
        answer_example=EXAMPLE,
        tag="Inference",
    )
    def get(self, request: Request, reference: str, version: str) -> Response:
        found = (
            Artifact.objects.filter(version=self._version(reference, version))
            .select_related("version")
            .defer("content")
            .first()
        )
        if found is None:
            raise NotFoundError
        return Response(ArtifactAnswer(found).data)

    @operation(
        "Send a version's artifact",
        request={MEDIA[0]: {"type": "string", "format": "binary"}},
        answer=ArtifactAnswer,
        errors=(*WRITING, 409),
        answer_example=EXAMPLE,
        description=(
            "An ONNX model of at most 25 MB, all in one file, of arithmetic operators "
            "only; its inputs have to be the version's features. It is checked and run "
            "once in a process apart, and bound by the version's approval: once there "
            "it is never replaced. 409 if the version has another digest, or was "
            "approved without an artifact."
        ),
        tag="Inference",
    )
    def put(self, request: Request, reference: str, version: str) -> Response:
        found = self._version(reference, version)
        content: Any = request.data
        stored = inference.store_artifact(found, bytes(content), actor=self.actor)
        return Response(ArtifactAnswer(stored).data)

    def _version(self, reference: str, name: str) -> ModelVersion:
        model = self.model(reference)
        # PostgreSQL can't even be asked about text with a NUL in it.
        found = None if "\0" in name else model.versions.filter(version=name).first()
        if found is None:
            raise NotFoundError
        return found
