"""The installation's Ed25519 key: it signs checkpoints of the trail, and permits.

`SIGNING_KEY` holds the 32 secret bytes in Base64; without it a key is made once and
kept in the data directory. A key that was replaced can't sign any more; its public half
is kept, so that what it signed can still be verified.

Whatever is signed begins with a word of its own kind (a checkpoint with the origin
`driftguard/…`), so that one kind of message can't be passed off as another.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import os
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

LENGTH = 32  # bytes of a secret key and of a public one
KEY_FILE = "signing-key"
# The key that follows: made and announced, but not in use yet.
NEXT_FILE = "signing-key.next"
# Public keys that were in use before, one a line, the newest last.
PREVIOUS_FILE = "signing-keys.previous"


class PublicKey(NamedTuple):
    """What anybody may have, and needs to verify what was signed."""

    raw: bytes

    @property
    def id(self) -> str:
        """The name of the key: the first 16 digits of its SHA-256."""
        return hashlib.sha256(self.raw).hexdigest()[:16]

    @property
    def text(self) -> str:
        """The key in Base64, as settings, bundles and `dg-verify` spell it."""
        return base64.b64encode(self.raw).decode()

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Tell whether this key signed the message."""
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, message)
        except InvalidSignature:
            return False
        return True


class Signature(NamedTuple):
    key: PublicKey
    value: bytes  # 64 bytes


def sign(message: bytes) -> Signature:
    """Sign with the key in use; the answer says which one that was."""
    secret = _secret()
    return Signature(_public(secret), secret.sign(message))


def public_key() -> PublicKey:
    """Return the public half of the key in use."""
    return _public(_secret())


def public_keys() -> list[PublicKey]:
    """Return the key in use and then those before it, the newest first."""
    return list(dict.fromkeys([public_key(), *reversed(_previous())]))


def verify(message: bytes, signature: bytes, *, key_id: str) -> bool:
    """Tell whether the key with this id, in use or an earlier one, signed this."""
    return any(
        key.verify(message, signature) for key in public_keys() if key.id == key_id
    )


def is_kept_here() -> bool:
    """Tell whether the key is a file of ours; otherwise the environment names it."""
    return not settings.SIGNING_KEY


def prepare_next() -> PublicKey:
    """Make the key that will follow, unless it is there; it doesn't sign yet."""
    return _public(_read(_made_once(next_file())))


def take_next() -> PublicKey:
    """Put the prepared key into use; of the earlier one only the public half stays.

    Steps that were done before a crash are found done when it is called again.
    """
    kept = settings.DATA_DIR / PREVIOUS_FILE
    earlier = public_key()
    if earlier not in _previous():
        with kept.open("a", encoding="ascii") as lines:
            lines.write(earlier.text + "\n")
            lines.flush()
            os.fsync(lines.fileno())
    next_file().replace(settings.DATA_DIR / KEY_FILE)
    return public_key()


def next_file() -> Path:
    """Return where the prepared key is kept."""
    path: Path = settings.DATA_DIR / NEXT_FILE
    return path


def secret_text() -> str:
    """Return the prepared key as the variable SIGNING_KEY spells it."""
    return next_file().read_text(encoding="ascii").strip()


def _secret() -> Ed25519PrivateKey:
    if settings.SIGNING_KEY:
        return _decoded(settings.SIGNING_KEY, "SIGNING_KEY")
    return _read(_made_once(settings.DATA_DIR / KEY_FILE))


def _read(path: Path) -> Ed25519PrivateKey:
    # Another process may have replaced the file; so it is read again each time.
    return _decoded(path.read_text(encoding="ascii").strip(), str(path))


def _made_once(path: Path) -> Path:
    """Make a key in `path`, complete and readable by its owner only, if none is there.

    Several processes may come at once: the first to link its file wins.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.NamedTemporaryFile("w", dir=path.parent) as draft:
            draft.write(base64.b64encode(os.urandom(LENGTH)).decode() + "\n")
            draft.flush()
            os.fsync(draft.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(draft.name, path)
    return path


@lru_cache(maxsize=4)
def _decoded(text: str, where: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(_bytes(text, where))


def _bytes(text: str, where: str) -> bytes:
    try:
        found = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        found = b""
    if len(found) != LENGTH:
        # The value may be a secret, so that it is not repeated.
        raise ImproperlyConfigured(f"{where} is not {LENGTH} bytes in Base64.")
    return found


def _public(secret: Ed25519PrivateKey) -> PublicKey:
    return PublicKey(secret.public_key().public_bytes_raw())


def _previous() -> list[PublicKey]:
    """Return the keys that were in use before, the newest last."""
    texts = list(settings.SIGNING_KEYS_BEFORE)
    kept = settings.DATA_DIR / PREVIOUS_FILE
    if kept.exists():
        texts += kept.read_text(encoding="ascii").split()
    return [PublicKey(_bytes(text, "An earlier signing key")) for text in texts]
