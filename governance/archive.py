"""Writing the ZIP file of an auditor's bundle, as a stream.

It has one form only, which `dg-verify` reads back byte for byte: files in a fixed
order, without times or rights, with 64-bit sizes throughout. They are deflated and
followed by their sizes, but for the last two, manifest and signature, which tell of the
others. So nothing can hide in it, and two readers can't see two contents.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TypedDict

from governance.verify.dg_verify import Member, archive_end

# Small pieces are joined before they are packed.
PIECE = 1 << 16


class Content(TypedDict):
    """What the manifest says of a file."""

    bytes: int
    sha256: str


class Writer:
    """Packs one file after the other; `contents` says what each of them was."""

    def __init__(self) -> None:
        self.members: list[Member] = []
        self.contents: dict[str, Content] = {}
        # SHA-256 of what each file was deflated to.
        self.packed: dict[str, str] = {}
        self._place = 0

    def file(self, name: str, content: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the bytes of the archive that hold a file, deflated."""
        member = Member(name, self._place)
        yield member.header
        hashed, packed = hashlib.sha256(), hashlib.sha256()
        # Without zlib's own head: ZIP has none.
        deflate = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
        for piece in chain(_joined(content), [None]):
            if piece is None:
                deflated = deflate.flush()
            else:
                hashed.update(piece)
                member.size += len(piece)
                member.crc = zlib.crc32(piece, member.crc)
                deflated = deflate.compress(piece)
            packed.update(deflated)
            member.packed += len(deflated)
            yield deflated
        yield member.descriptor
        self._keep(member)
        self.contents[name] = {"bytes": member.size, "sha256": hashed.hexdigest()}
        self.packed[name] = packed.hexdigest()

    def plain(self, name: str, content: bytes) -> bytes:
        """Return the bytes of the archive that hold a small file as it is."""
        size = len(content)
        member = Member(name, self._place, size, size, zlib.crc32(content))
        self._keep(member)
        return member.header + content

    def _keep(self, member: Member) -> None:
        self._place = member.end
        self.members.append(member)

    def end(self) -> bytes:
        """Return the directory, which closes the archive."""
        directory = b"".join(member.directory for member in self.members)
        return directory + archive_end(len(self.members), len(directory), self._place)


def _joined(pieces: Iterable[bytes]) -> Iterator[bytes]:
    waiting: list[bytes] = []
    length = 0
    for piece in pieces:
        waiting.append(piece)
        length += len(piece)
        if length >= PIECE:
            yield b"".join(waiting)
            waiting, length = [], 0
    if waiting:
        yield b"".join(waiting)
