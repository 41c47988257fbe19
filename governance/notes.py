"""Checkpoints as signed text: C2SP's tlog-checkpoint in a signed-note.

The text has a line each for the origin (which trail), the size (how many entries), and
the root over them in Base64; then two of our own, which are signed with the rest: when
it was signed, and the SHA-256 of the checkpoint before it, so that none can be left out
of a row of them. An empty line and the signature follow. See c2sp.org/signed-note.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from itertools import pairwise

from governance.signing import PublicKey, Signature

ED25519 = b"\1"
_TEXT = re.compile(
    r"(?P<origin>[!-~]+)\n(?P<size>[1-9]\d{0,17})\n(?P<root>[A-Za-z0-9+/]{43}=)\n"
    r"at (?P<at>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z)\n"
    r"(?:after (?P<after>[A-Za-z0-9+/]{43}=)\n)?"
)
_SIGNED = re.compile(
    r"(?P<text>.+\n)\n— (?P<name>\S+) (?P<value>[A-Za-z0-9+/]+=*)\n", re.S
)


class NoteError(ValueError):
    """The text is no checkpoint of ours."""


@dataclass(frozen=True, slots=True)
class Statement:
    """What a checkpoint says of the trail named `origin`."""

    origin: str
    size: int
    root: bytes
    at: datetime
    after: bytes | None  # SHA-256 of the checkpoint before it, if there is one

    @property
    def text(self) -> str:
        """The lines that are signed."""
        moment = self.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        lines = [self.origin, str(self.size), _base64(self.root), f"at {moment}"]
        if self.after is not None:
            lines.append(f"after {_base64(self.after)}")
        return "\n".join(lines) + "\n"


def signed(statement: Statement, signature: Signature) -> str:
    """Return the note: the text with a signature by the key of the trail's name."""
    value = key_hash(statement.origin, signature.key) + signature.value
    return f"{statement.text}\n— {statement.origin} {_base64(value)}\n"


def key_hash(name: str, key: PublicKey) -> bytes:
    """Return the four bytes by which a signed-note tells keys of one name apart."""
    return sha256(name.encode() + b"\n" + ED25519 + key.raw).digest()[:4]


def verifier_key(name: str, key: PublicKey) -> str:
    """Return the key as other tools for signed notes want it: name+hash+key."""
    return f"{name}+{key_hash(name, key).hex()}+{_base64(ED25519 + key.raw)}"


def read(note: str) -> Statement:
    """Return what a note says, whoever signed it, or raise NoteError."""
    whole = _SIGNED.fullmatch(note)
    found = _TEXT.fullmatch(whole["text"]) if whole else None
    if found is None:
        raise NoteError("This is no checkpoint.")
    try:
        return Statement(
            origin=found["origin"],
            size=int(found["size"]),
            root=base64.b64decode(found["root"], validate=True),
            at=datetime.fromisoformat(found["at"]),
            after=base64.b64decode(found["after"]) if found["after"] else None,
        )
    except (binascii.Error, ValueError) as error:
        raise NoteError(f"This is no checkpoint: {error}.") from None


def is_signed_by(note: str, key: PublicKey) -> bool:
    """Tell whether this key signed the note under the name of its trail."""
    whole = _SIGNED.fullmatch(note)
    if whole is None:
        return False
    value = base64.b64decode(whole["value"])
    name = whole["text"].partition("\n")[0]
    return (
        whole["name"] == name
        and value[:4] == key_hash(name, key)
        and key.verify(whole["text"].encode(), value[4:])
    )


def split(text: str) -> Iterator[str]:
    """Yield the notes of a file that has several; skip one that was cut off."""
    paragraphs = [part + "\n" for part in text.replace("\r\n", "\n").split("\n\n")]
    for said, signature in pairwise(paragraphs):
        if signature.startswith("— ") and not said.startswith("— "):
            yield f"{said}\n{signature.rstrip()}\n"


def digest(note: str) -> bytes:
    """Return the hash by which the next checkpoint names this one."""
    return sha256(note.encode()).digest()


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()
