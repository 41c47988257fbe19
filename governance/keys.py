"""The text of an API key: `dg_<environment>_<8 id>_<32 secret><6 checksum>`.

The secret has 190 bits. The checksum tells a mistyped or invented key from a real one
without asking the database; scanners for leaked secrets use it too.
"""

import hashlib
import re
import secrets
import string
import zlib
from typing import NamedTuple

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
# How the environments are spelled in a key.
ENVIRONMENTS = {"production": "live", "staging": "stg", "development": "dev"}
START = "dg_"
_FORM = re.compile(r"(dg_(?:live|stg|dev)_[0-9A-Za-z]{8})_[0-9A-Za-z]{38}")


class NewKey(NamedTuple):
    text: str  # shown once, then forgotten
    prefix: str  # names the key in logs, pages and the trail
    digest: bytes  # what is kept


def make(environment: str) -> NewKey:
    prefix = f"{START}{ENVIRONMENTS[environment]}_{_random(8)}"
    unchecked = f"{prefix}_{_random(32)}"
    text = unchecked + _checksum(unchecked)
    return NewKey(text, prefix, digest(text))


def prefix_of(text: str) -> str | None:
    """Return the public part of a key, or None if the text can't be one."""
    match = _FORM.fullmatch(text)
    if match is None or _checksum(text[:-6]) != text[-6:]:
        return None
    return match[1]


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _random(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def _checksum(text: str) -> str:
    """Return the CRC-32 as six digits of base 62."""
    rest, digits = zlib.crc32(text.encode()), ""
    for _ in range(6):
        rest, digit = divmod(rest, 62)
        digits = ALPHABET[digit] + digits
    return digits
