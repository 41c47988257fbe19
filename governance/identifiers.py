"""Identifiers that sort by time: UUIDv7 inside, TypeID text outside.

A UUIDv7 (RFC 9562, section 5.7) begins with 48 bits of Unix milliseconds; the other
74 free bits are a counter that starts at random and grows by random steps, so the
identifiers of one process never repeat and always rise. A TypeID is the name of a
kind, an underscore and the 128 bits in Crockford's base 32: `pred_01h455vb4p…`.
"""

import os
import re
import struct
import threading
import time
import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import ClassVar

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_TEXT = re.compile(rf"[0-7][{_ALPHABET}]{{25}}")  # a first digit above 7 overflows
_PREFIX = re.compile(r"[a-z]([a-z_]{0,61}[a-z])?")
_TO_PYTHON_DIGITS = str.maketrans(_ALPHABET, "0123456789abcdefghijklmnopqrstuv")
# Fifteen bits at a time: a third of the work, for two megabytes.
_TRIPLES = tuple(a + b + c for a in _ALPHABET for b in _ALPHABET for c in _ALPHABET)

_POOL_BYTES = 2048
_COUNTER_BITS = 74
_LOW_BITS = 62
_LOW_MASK = (1 << _LOW_BITS) - 1
_VERSION = 7 << 76
_VARIANT = 0b10 << 62
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class IdentifierError(ValueError):
    """The text is not an identifier of the expected kind."""

    code: ClassVar[str] = "identifier"


class _Clock:
    """The last moment and counter given out by this process."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Begin anew, with a lock that no other thread holds."""
        self.lock = threading.Lock()
        self.milliseconds = -1
        self.counter = 0
        self.pool = b""

    def draw(self, count: int) -> bytes:
        """Return random bytes.

        They are fetched in stock: the system call hands the interpreter to another
        thread, and getting it back takes a busy server longer than all the rest.
        """
        if len(self.pool) < count:
            self.pool = os.urandom(max(count, _POOL_BYTES))
        drawn, self.pool = self.pool[:count], self.pool[count:]
        return drawn

    def advance(self, room: int) -> None:
        """Move to now, or stay at the last moment if the clock went backwards."""
        now = time.time_ns() // 1_000_000
        if self.counter + room >= 1 << _COUNTER_BITS:
            self.milliseconds += 1
            now = max(now, self.milliseconds)
            self.counter = 0
        if now > self.milliseconds or self.counter == 0:
            self.milliseconds = max(now, self.milliseconds)
            # The highest bit stays free, so that a batch has room to count.
            self.counter = int.from_bytes(self.draw(10)) >> 80 - _COUNTER_BITS + 1


_clock = _Clock()
# A forked process must not go on with its parent's counter.
os.register_at_fork(after_in_child=_clock.start)


def uuid7() -> uuid.UUID:
    """Return a new UUIDv7, above every earlier one of this process."""
    return uuid7s(1)[0]


def uuid7s(count: int) -> list[uuid.UUID]:
    """Return `count` new UUIDv7s in rising order."""
    if count < 1:
        return []
    values = []
    with _clock.lock:
        steps = struct.unpack(f"<{count}I", _clock.draw(4 * count))
        _clock.advance(room=count << 32)
        head = _clock.milliseconds << 80 | _VERSION | _VARIANT
        counter = _clock.counter
        for step in steps:
            counter += step + 1
            values.append(head | counter >> _LOW_BITS << 64 | counter & _LOW_MASK)
        _clock.counter = counter
    return [_bare_uuid(value) for value in values]


def _bare_uuid(value: int) -> uuid.UUID:
    """Build a UUID past its constructor, whose checks take most of the time."""
    made = object.__new__(uuid.UUID)
    object.__setattr__(made, "int", value)
    object.__setattr__(made, "is_safe", uuid.SafeUUID.unknown)
    return made


def lowest_at(moment: datetime) -> uuid.UUID:
    """Return the lower bound of the identifiers made at or after `moment`.

    No made identifier equals it: it has no version. Partition bounds are made of these.
    """
    milliseconds = (moment - _EPOCH) // timedelta(milliseconds=1)
    if not 0 <= milliseconds < 1 << 48:
        msg = f"no UUIDv7 can be made at {moment.isoformat()}"
        raise IdentifierError(msg)
    return _bare_uuid(milliseconds << 80)


def made_at(identifier: uuid.UUID) -> datetime:
    """Return the moment in an identifier, to the millisecond."""
    return _EPOCH + timedelta(milliseconds=identifier.int >> 80)


def encode(prefix: str, identifier: uuid.UUID) -> str:
    """Return the TypeID, such as `pred_01h455vb4pex5vsknk084sn02q`."""
    return encode_all(prefix, (identifier,))[0]


def encode_all(prefix: str, identifiers: Iterable[uuid.UUID]) -> list[str]:
    """Return the TypeIDs of many identifiers of one kind."""
    if not _PREFIX.fullmatch(prefix):
        msg = f"{prefix!r} can't be the prefix of an identifier"
        raise IdentifierError(msg)
    triples = _TRIPLES
    texts = []
    moment, head = -1, ""
    for identifier in identifiers:
        value = identifier.int
        if value >> 80 != moment:  # the first ten digits are the time stamp alone
            moment = value >> 80
            head = f"{prefix}_{_digits(moment, 10)}"
        texts.append(
            head
            + triples[value >> 65 & 32767]
            + triples[value >> 50 & 32767]
            + triples[value >> 35 & 32767]
            + triples[value >> 20 & 32767]
            + triples[value >> 5 & 32767]
            + _ALPHABET[value & 31],
        )
    return texts


def decode(prefix: str, text: str) -> uuid.UUID:
    """Return the UUID in a TypeID of this kind.

    Raises
    ------
    IdentifierError
        Another kind, a wrong length, a digit outside the lower-case alphabet, or more
        than 128 bits.
    """
    return decode_all(prefix, (text,))[0]


def decode_all(prefix: str, texts: Sequence[str]) -> list[uuid.UUID]:
    """Return the UUIDs in many TypeIDs of one kind, or raise for the first bad one."""
    start = f"{prefix}_"
    length = len(start)
    identifiers = []
    for text in texts:
        if not text.startswith(start) or not _TEXT.fullmatch(text, length):
            msg = f"expected {start}… with 26 characters after it, got {text[:99]!r}"
            raise IdentifierError(msg)
        digits = text[length:].translate(_TO_PYTHON_DIGITS)
        identifiers.append(_bare_uuid(int(digits, 32)))
    return identifiers


def _digits(value: int, width: int) -> str:
    return "".join(
        _ALPHABET[value >> 5 * place & 31] for place in reversed(range(width))
    )
