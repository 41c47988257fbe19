"""One message: what it is about, who sent it, and the call that it amounts to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Any, ClassVar

import msgspec
from django.http import HttpRequest

from governance import availability
from governance.actions import credentials
from governance.api.parsers import LARGEST_BODY
from governance.exceptions import InvalidError, MalformedError, TooLargeError
from governance.identifiers import uuid7
from monitoring.api import ground_truth, predictions
from monitoring.api.endpoints import Call, inflate
from monitoring.ingest import Answer, Key, idempotency
from monitoring.models import Receipt

WRITE = "mlops:write"
# The first of these fields that a message has tells what it is.
KINDS: Mapping[str, Callable[[Call], Answer]] = {
    "predictions": predictions.log_batch,
    "input_features": predictions.log_one,
    "features": predictions.log_drift,
    "records": ground_truth.log_batch,
    "actualOutcome": ground_truth.log_one,
}
_HEAD = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass(frozen=True)
class Message:
    """What a broker delivered, whichever broker it was."""

    body: bytes
    # Names the message however often it is delivered; without one its bytes do.
    name: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    encoding: str = ""  # gzip or nothing

    @property
    def identity(self) -> str:
        return self.name or sha256(self.body).hexdigest()


class Delivery(Call):
    """A message in the place of a request: the calls of the API read it."""

    channel: ClassVar[str] = Receipt.Channel.QUEUE

    def __init__(self, message: Message, credential: credentials.Credential) -> None:
        super().__init__(HttpRequest(), credential)
        self.message = message

    @cached_property
    def received(self) -> bytes:
        if len(self.message.body) > LARGEST_BODY:
            raise TooLargeError("The message is larger than 25 MB; send it in parts.")
        return self.message.body

    @cached_property
    def body(self) -> bytes:
        if self.message.encoding in {"gzip", "application/x-gzip"}:
            return inflate(self.received)
        return self.received

    def media(self, *, tables: bool = False) -> str:
        self.refuse_too_many_containers()
        return "json"

    def query(self, *known: str) -> dict[str, str]:
        return {}

    @property
    def key(self) -> Key:
        name = f"message {self.message.identity}"[: idempotency.MAX_KEY_LENGTH]
        organization = self.credential.organization_id
        return idempotency.make_key(organization, name, self.received)


def store(message: Message, default_key: str) -> Answer:
    """Store what a message says, once however often it is delivered.

    The header `x-api-key` names the sender; without it `default_key` does.

    Raises
    ------
    GovernanceError
        It can't be stored: never (it is wrong), or not now (UnavailableError,
        IdempotencyInFlightError).
    """
    with availability.watched():
        credential = credentials.authenticate(
            None,
            message.headers.get("x-api-key") or default_key,
            ip="",
            request_id=uuid7().hex,
            channel="queue",
        )
        credential.require(WRITE)
        delivery = Delivery(message, credential)
        return _call_of(delivery.body)(delivery)


def _call_of(body: bytes) -> Callable[[Call], Answer]:
    try:
        fields: Mapping[str, Any] = _HEAD.decode(body)
    except msgspec.DecodeError as error:
        raise MalformedError(f"The message is not a JSON object: {error}") from None
    for name, call in KINDS.items():
        if name in fields:
            return call
    raise InvalidError(f"The message has none of the fields {', '.join(KINDS)}.")
