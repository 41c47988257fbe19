"""Checkpoints of the trail, and proofs that lead to their roots."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from governance import notes, signing
from governance.actions import checkpoints
from governance.api.base import ApiView
from governance.api.documents import READING, operation
from governance.exceptions import InvalidError, NotFoundError, fault
from governance.models import Checkpoint, Organization

LARGEST = 2**63 - 1
TAG = "Audit trail"
NOTE = (
    "driftguard/1/e3b0c44298fc1c14\n120\n"
    "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\nat 2025-01-31T12:00:00.000000Z\n\n"
    "— driftguard/1/e3b0c44298fc1c14 Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurm…\n"
)
HASH = "0ac5186a91863e8e1d90c808014aa89bf5da8e3ee1d9f07630f0378f68f1ab62"


class KeyDocument(serializers.Serializer[Any]):
    """A public key; `verifier_key` is how tools for signed notes want it."""

    id = serializers.CharField()
    public_key = serializers.CharField(help_text="32 bytes in Base64 (Ed25519)")
    verifier_key = serializers.CharField()


class CheckpointDocument(serializers.Serializer[Any]):
    """A signed checkpoint; `note` is what was signed, everything else is read off."""

    origin = serializers.CharField()
    size = serializers.IntegerField()
    # DRF keeps declared fields apart from the property of this name.
    root = serializers.CharField(help_text="hexadecimal")  # type: ignore[assignment]
    signed_at = serializers.DateTimeField()
    key_id = serializers.CharField()
    note = serializers.CharField()


class InclusionDocument(serializers.Serializer[Any]):
    """The audit path of RFC 6962 from an entry to the root; hashes are hexadecimal."""

    seq = serializers.IntegerField()
    leaf_index = serializers.IntegerField(help_text="seq - 1: leaves count from 0")
    size = serializers.IntegerField()
    hashes = serializers.ListField(child=serializers.CharField())
    root = serializers.CharField()  # type: ignore[assignment]


class ConsistencyDocument(serializers.Serializer[Any]):
    """The proof of RFC 6962 that one tree goes on from another, in hexadecimal."""

    first = serializers.IntegerField()
    second = serializers.IntegerField()
    hashes = serializers.ListField(child=serializers.CharField())
    first_root = serializers.CharField()
    second_root = serializers.CharField()


def number_of(request: Request, name: str) -> int | None:
    """Return a query parameter that is a whole number; absent is None."""
    text = request.query_params.get(name)
    if text is None:
        return None
    if text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= LARGEST:
        return int(text)
    raise InvalidError(
        errors=[fault(name, code="integer", detail="expected a whole number")]
    )


def needed_number(request: Request, name: str) -> int:
    """Return a query parameter that is a whole number and has to be there."""
    number = number_of(request, name)
    if number is None:
        raise InvalidError(
            errors=[fault(name, code="required", detail="the parameter is missing")]
        )
    return number


class TrailView(ApiView):
    """A view of the caller's own trail."""

    required_scopes: ClassVar[dict[str, str]] = {"GET": "audit:read"}

    @property
    def organization(self) -> Organization:
        return Organization.objects.get(pk=self.credential.organization_id)


def hexadecimal(hashes: list[bytes]) -> list[str]:
    return [one.hex() for one in hashes]


class CheckpointView(TrailView):
    """The newest checkpoint."""

    @operation(
        "Get a signed checkpoint of the trail, at most a minute old",
        answer=CheckpointDocument,
        answer_example={
            "origin": "driftguard/1/e3b0c44298fc1c14",
            "size": 120,
            "root": HASH,
            "signed_at": "2025-01-31T12:00:00Z",
            "key_id": "5a1f0c2b3d4e6f70",
            "note": NOTE,
        },
        errors=(*READING, 409),
        tag=TAG,
    )
    def get(self, request: Request) -> Response:
        found: Checkpoint | None = checkpoints.current(self.organization)
        if found is None:
            raise NotFoundError
        said = {
            "origin": notes.read(found.note).origin,
            "size": found.size,
            "root": bytes(found.root).hex(),
            "signed_at": found.at,
            "key_id": found.key_id,
            "note": found.note,
        }
        return Response(CheckpointDocument(said).data)


class KeysView(TrailView):
    """The public keys of the installation."""

    @operation(
        "List the public keys that sign checkpoints and permits, the one in use first",
        answer=KeyDocument(many=True),
        answer_example=[
            {
                "id": "5a1f0c2b3d4e6f70",
                "public_key": "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
                "verifier_key": "driftguard/1/e3b0c44298fc1c14+0cde1234+AddamAGCsQq3…",
            }
        ],
        tag=TAG,
    )
    def get(self, request: Request) -> Response:
        name = checkpoints.origin(self.organization)
        keys = [
            {
                "id": key.id,
                "public_key": key.text,
                "verifier_key": notes.verifier_key(name, key),
            }
            for key in signing.public_keys()
        ]
        return Response(KeyDocument(keys, many=True).data)


class InclusionView(TrailView):
    """The proof that an entry is in the trail."""

    query_parameters: ClassVar[dict[str, frozenset[str]]] = {
        "GET": frozenset({"seq", "size"})
    }

    @operation(
        "Prove that an entry is among those that a checkpoint covers",
        answer=InclusionDocument,
        parameters=[
            OpenApiParameter("seq", int, required=True, description="the entry"),
            OpenApiParameter("size", int, description="absent: the newest checkpoint"),
        ],
        answer_example={
            "seq": 7,
            "leaf_index": 6,
            "size": 120,
            "hashes": [HASH],
            "root": HASH,
        },
        tag=TAG,
    )
    def get(self, request: Request) -> Response:
        seq = needed_number(request, "seq")
        proof = checkpoints.inclusion(
            self.organization, seq, number_of(request, "size")
        )
        said = {
            "seq": seq,
            "leaf_index": seq - 1,
            "size": proof.size,
            "hashes": hexadecimal(proof.hashes),
            "root": proof.roots[0].hex(),
        }
        return Response(InclusionDocument(said).data)


class ConsistencyView(TrailView):
    """The proof that nothing was changed between two checkpoints."""

    query_parameters: ClassVar[dict[str, frozenset[str]]] = {
        "GET": frozenset({"first", "second"})
    }

    @operation(
        "Prove that the trail at one checkpoint goes on from that at an earlier one",
        answer=ConsistencyDocument,
        parameters=[
            OpenApiParameter("first", int, required=True, description="earlier size"),
            OpenApiParameter(
                "second", int, description="later size; absent: the newest checkpoint"
            ),
        ],
        answer_example={
            "first": 100,
            "second": 120,
            "hashes": [HASH],
            "first_root": HASH,
            "second_root": HASH,
        },
        tag=TAG,
    )
    def get(self, request: Request) -> Response:
        first = needed_number(request, "first")
        proof = checkpoints.consistency(
            self.organization, first, number_of(request, "second")
        )
        said = {
            "first": first,
            "second": proof.size,
            "hashes": hexadecimal(proof.hashes),
            "first_root": proof.roots[0].hex(),
            "second_root": proof.roots[1].hex(),
        }
        return Response(ConsistencyDocument(said).data)
