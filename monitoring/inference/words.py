"""How the two sides speak: frames of MessagePack over a socket."""

from __future__ import annotations

import socket
import struct
import time
from typing import Any

import msgspec

_LENGTH = struct.Struct(">I")
LARGEST_FRAME = 64 << 20
READ_AT_ONCE = 1 << 20


class UnsoundError(Exception):
    """The artifact is none that may be run, or what it answers is none."""


def send(link: socket.socket, message: Any) -> None:
    """Send one message; raises OSError, TimeoutError among them."""
    body = msgspec.msgpack.encode(message)
    link.sendall(_LENGTH.pack(len(body)) + body)


def receive(link: socket.socket, *, deadline: float | None = None) -> Any:
    """Return the next message.

    `deadline` is on the monotonic clock. Raises TimeoutError then, and EOFError if the
    other side is gone or talks nonsense.
    """
    (length,) = _LENGTH.unpack(_exactly(link, _LENGTH.size, deadline))
    if length > LARGEST_FRAME:
        raise EOFError
    try:
        return msgspec.msgpack.decode(_exactly(link, length, deadline))
    except msgspec.MsgspecError:
        raise EOFError from None


def _exactly(link: socket.socket, length: int, deadline: float | None) -> bytes:
    parts = bytearray()
    while len(parts) < length:
        if deadline is not None:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            link.settimeout(left)
        part = link.recv(min(READ_AT_ONCE, length - len(parts)))
        if not part:
            raise EOFError
        parts += part
    return bytes(parts)
