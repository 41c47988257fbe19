#!/usr/bin/env python3
"""dg-verify: tell whether an auditor's bundle from DriftGuard is what was recorded.

    python3 dg_verify.py BUNDLE --trusted-key KEY [--trusted-checkpoint FILE]

One file, Python 3.9 or later, nothing else: no network, no other package, and nothing
is taken from the bundle on trust. Get this file and the key from somewhere else than
the bundle. The answer is the exit status:

    0  intact      every entry is what the trusted key signed
    1  tampered    the first entry that is not right is named, and why
    2  incomplete  nothing is wrong with what is there, but something is missing
    3  usage       the command, the key or the checkpoint can't be used

What an intact bundle proves: the entries are those that were signed, all of them, in
their order, and so are the payloads that still exist; what was erased was erased by an
entry that says so. Without --trusted-checkpoint (one you were given earlier) it does
not prove that the holder of the key hasn't signed another history since.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import json
import re
import struct
import sys
import zlib
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any, BinaryIO, Iterator, NamedTuple, NoReturn

FORMAT = "driftguard-audit-bundle/1"
README, ENTRIES, INDEX, PAYLOADS = (
    "README.txt",
    "entries.jsonl",
    "index.jsonl",
    "payloads.tsv",
)
CHECKPOINTS, PROOFS, RECEIPTS = "checkpoints.jsonl", "proofs.jsonl", "receipts.jsonl"
MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
# A bundle holds exactly these, in this order.
NAMES = (
    README,
    ENTRIES,
    INDEX,
    PAYLOADS,
    CHECKPOINTS,
    PROOFS,
    RECEIPTS,
    MANIFEST,
    SIGNATURE,
)
# What the signature of the manifest covers begins with this.
SEALED = b"driftguard audit bundle 1\n"
ERASING = ("payload.erased", "payload.purged")
SEALING, ROTATING = "receipts.sealed", "signing_key.rotated"

LONGEST_LINE = 16 * 1024 * 1024
LARGEST_FILE = 1024 * 1024  # of those that are read whole
CHUNK = 1 << 18
EMPTY_ROOT = hashlib.sha256().digest()


class Tampered(Exception):
    """Something is not what was recorded; `seq` is the first entry concerned."""

    def __init__(self, seq: int | None, why: str, last: int | None = None):
        super().__init__(why)
        self.seq, self.why, self.last = seq, why, last

    def __str__(self) -> str:
        if self.seq is None:
            return self.why
        if self.last is not None and self.last > self.seq:
            return f"somewhere in entries {self.seq} to {self.last}: {self.why}"
        return f"entry {self.seq}: {self.why}"


class Lost(Tampered):
    """An entry can't be read or is not there: what it said nobody knows."""


class Incomplete(Exception):
    """Something that is needed is not there."""


class Uncovered(Incomplete):
    """The last entries have no checkpoint yet; all else is right."""


class Usage(Exception):
    """What was asked for can't be done."""


# Signatures: Ed25519 (RFC 8032), verification only, on public data only.

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)
Point = tuple[int, int, int, int]  # extended coordinates
NEUTRAL: Point = (0, 1, 1, 0)


def add(one: Point, other: Point) -> Point:
    a = (one[1] - one[0]) * (other[1] - other[0]) % P
    b = (one[1] + one[0]) * (other[1] + other[0]) % P
    c = 2 * one[3] * other[3] * D % P
    d = 2 * one[2] * other[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def decompress(data: bytes) -> Point | None:
    number = int.from_bytes(data, "little")
    sign, y = number >> 255, number & ((1 << 255) - 1)
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT_OF_MINUS_ONE % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return (x, y, 1, x * y % P)


def compress(point: Point) -> bytes:
    inverse = pow(point[2], -1, P)
    x, y = point[0] * inverse % P, point[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def multiples(point: Point) -> list[list[Point]]:
    """Return, for each byte of a number, what its 256 values add."""
    rows = []
    for _ in range(32):
        row = [NEUTRAL]
        for _ in range(255):
            row.append(add(row[-1], point))
        rows.append(row)
        point = add(row[-1], point)
    return rows


@lru_cache(maxsize=1)
def multiples_of_base() -> list[list[Point]]:
    y = 4 * pow(5, -1, P) % P
    base = decompress(y.to_bytes(32, "little"))
    if base is None:
        raise AssertionError
    return multiples(base)


@lru_cache(maxsize=8)
def multiples_of_negated(key: bytes) -> list[list[Point]] | None:
    point = decompress(key)
    if point is None:
        return None
    return multiples((P - point[0], point[1], point[2], P - point[3]))


def is_signed(key: bytes, message: bytes, signature: bytes) -> bool:
    """Tell whether the owner of this public key signed the message."""
    if len(key) != 32 or len(signature) != 64:
        return False
    s = int.from_bytes(signature[32:], "little")
    of_key = multiples_of_negated(key)
    if of_key is None or s >= ORDER:
        return False
    hashed = hashlib.sha512(signature[:32] + key + message).digest()
    k = int.from_bytes(hashed, "little") % ORDER
    found = NEUTRAL
    for rows, number in ((multiples_of_base(), s), (of_key, k)):
        for row, digit in zip(rows, number.to_bytes(32, "little")):
            if digit:
                found = add(found, row[digit])
    return compress(found) == signature[:32]


def key_id(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()[:16]


# The Merkle tree of RFC 6962.


def leaf_hash(data: bytes) -> bytes:
    return hashlib.sha256(b"\0" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


class Frontier:
    """A tree that grows: the roots of its complete subtrees, the largest first."""

    def __init__(self) -> None:
        self.size = 0
        self.hashes: list[bytes] = []

    def add(self, leaf: bytes) -> None:
        size = self.size
        while size & 1:
            leaf = hashlib.sha256(b"\1" + self.hashes.pop() + leaf).digest()
            size >>= 1
        self.hashes.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        if not self.hashes:
            return EMPTY_ROOT
        whole = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            whole = node_hash(left, whole)
        return whole


def is_consistent(
    first: int, second: int, first_root: bytes, second_root: bytes, proof: list[bytes]
) -> bool:
    """Check a proof of RFC 6962, section 2.1.2."""
    way = []
    start, end = 0, second
    while end != first:
        middle = start + (1 << (end - start - 1).bit_length() - 1)
        way.append(first > middle)
        start, end = (middle, end) if first > middle else (start, middle)
    known = proof if any(way) else [first_root, *proof]
    if len(known) != len(way) + 1:
        return False
    before = after = known[0]
    for is_right, sibling in zip(reversed(way), known[1:]):
        if is_right:
            before = node_hash(sibling, before)
        after = node_hash(sibling, after) if is_right else node_hash(after, sibling)
    return before == first_root and after == second_root


# Checkpoints: signed notes (c2sp.org/signed-note) in the form that DriftGuard writes.

NOTE = re.compile(
    r"(?P<text>(?P<origin>[!-~]+)\n(?P<size>[1-9][0-9]{0,17})\n"
    r"(?P<root>[A-Za-z0-9+/]{43}=)\nat (?P<at>[0-9TZ:.-]{27})\n"
    r"(?:after (?P<after>[A-Za-z0-9+/]{43}=)\n)?)"
    r"\n\u2014 (?P<name>[!-~]+) (?P<value>[A-Za-z0-9+/]{91}=)\n"
)


@dataclass
class Note:
    """A checkpoint: what it says, and what signs it."""

    raw: str
    text: bytes
    origin: str
    size: int
    root: bytes
    at: str
    after: bytes | None
    hint: bytes
    signature: bytes
    key_id: str = ""  # as the column beside it has it

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(self.raw.encode()).digest()

    def signer(self, keys: list[bytes]) -> bytes | None:
        """Return which of the keys signed it."""
        for key in keys:
            named = self.origin.encode() + b"\n\1" + key
            if hashlib.sha256(named).digest()[:4] != self.hint:
                continue
            if is_signed(key, self.text, self.signature):
                return key
        return None


def read_note(raw: str) -> Note | None:
    found = NOTE.fullmatch(raw)
    if found is None or found["name"] != found["origin"]:
        return None
    value = base64.b64decode(found["value"])
    if base64.b64encode(value).decode() != found["value"]:
        return None
    return Note(
        raw=raw,
        text=found["text"].encode(),
        origin=found["origin"],
        size=int(found["size"]),
        root=base64.b64decode(found["root"]),
        at=found["at"],
        after=base64.b64decode(found["after"]) if found["after"] else None,
        hint=value[:4],
        signature=value[4:],
    )


def split_notes(text: str) -> Iterator[str]:
    """Yield the notes of a file that has several; skip one that was cut off."""
    paragraphs = [part + "\n" for part in text.replace("\r\n", "\n").split("\n\n")]
    for said, signature in zip(paragraphs, paragraphs[1:]):
        if signature.startswith("\u2014 ") and not said.startswith("\u2014 "):
            yield f"{said}\n{signature.rstrip()}\n"


# The archive: a ZIP file of one form only, in which no byte is without a meaning.

LOCAL = struct.Struct("<4sHHHHHIIIHH")
CENTRAL = struct.Struct("<4sHHHHHHIIIHHHHHII")
WIDE_LOCAL = struct.Struct("<HHQQ")
WIDE_CENTRAL = struct.Struct("<HHQQQ")
DESCRIPTOR = struct.Struct("<4sIQQ")
END = struct.Struct("<4sQHHIIQQQQ4sIQI4sHHHHIIH")
PLAIN, DEFLATED, STREAMED, UTF8 = 0, 8, 1 << 3, 1 << 11
WIDE, MIDNIGHT, FIRST_DAY = 45, 0, 0x21
ALL = 0xFFFFFFFF
MODE = 0o100644 << 16


@dataclass
class Member:
    """One file in the archive; `start` is where its header begins."""

    name: str
    start: int
    packed: int = 0
    size: int = 0
    crc: int = 0

    @property
    def form(self) -> tuple[int, ...]:
        # What the manifest can't speak of, itself and its signature, is not deflated:
        # the same content could be deflated in many ways.
        is_plain = self.name in (MANIFEST, SIGNATURE)
        how = (UTF8, PLAIN) if is_plain else (UTF8 | STREAMED, DEFLATED)
        return (WIDE, *how, MIDNIGHT, FIRST_DAY)

    @property
    def header(self) -> bytes:
        name = self.name.encode()
        crc, size = (0, 0) if self.descriptor else (self.crc, self.size)
        lengths = (len(name), WIDE_LOCAL.size)
        return (
            LOCAL.pack(b"PK\3\4", *self.form, crc, ALL, ALL, *lengths)
            + name
            + WIDE_LOCAL.pack(1, 16, size, size)
        )

    @property
    def descriptor(self) -> bytes:
        if self.form[2] == PLAIN:
            return b""
        return DESCRIPTOR.pack(b"PK\7\x08", self.crc, self.packed, self.size)

    @property
    def directory(self) -> bytes:
        name = self.name.encode()
        form = (3 << 8 | WIDE, *self.form)
        lengths = (len(name), WIDE_CENTRAL.size, 0, 0, 0)
        return (
            CENTRAL.pack(b"PK\1\2", *form, self.crc, ALL, ALL, *lengths, MODE, ALL)
            + name
            + WIDE_CENTRAL.pack(1, 24, self.size, self.packed, self.start)
        )

    @property
    def end(self) -> int:
        return self.start + len(self.header) + self.packed + len(self.descriptor)


def archive_end(members: int, size: int, start: int) -> bytes:
    """Return how an archive ends whose directory has this size and place."""
    return END.pack(
        *(b"PK\6\6", 44, WIDE, WIDE, 0, 0, members, members, size, start),
        *(b"PK\6\7", 0, start + size, 1),
        *(b"PK\5\6", 0, 0, members, members, ALL, ALL, 0),
    )


class Damaged(Exception):
    """A file of the bundle can't be read on; whoever reads it knows where that is."""


class Archive:
    """A bundle in its ZIP file."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        # SHA-256 of the deflated bytes of the files that were read.
        self.packed: dict[str, str] = {}
        length = file.seek(0, 2)
        if length < END.size:
            raise Incomplete("this is no bundle, or only the beginning of one")
        file.seek(length - END.size)
        found = END.unpack(file.read(END.size))
        if (found[0], found[10], found[14]) != (b"PK\6\6", b"PK\6\7", b"PK\5\6"):
            raise Incomplete(
                "the file does not end as a bundle does: it was cut off, or packed by "
                "another program (then unpack it and name the directory)"
            )
        size, start = found[8], found[9]
        if start + size + END.size != length or size > 1 << 16:
            raise Tampered(None, "the archive does not fit its own directory")
        file.seek(start)
        self.members = self._members(file.read(size))
        last = self.members[NAMES[-1]]
        expected = b"".join(one.directory for one in self.members.values())
        whole = expected + archive_end(len(NAMES), len(expected), start)
        file.seek(start)
        if last.end != start or file.read() != whole:
            raise Tampered(None, "the directory of the archive is not of its form")

    def _members(self, directory: bytes) -> dict[str, Member]:
        members = {}
        at = place = 0
        for name in NAMES:
            length = CENTRAL.size + len(name) + WIDE_CENTRAL.size
            entry = directory[at : at + length]
            if len(entry) < length:
                raise Incomplete(f"{name} is not in the archive")
            crc = CENTRAL.unpack(entry[: CENTRAL.size])[7]
            size, packed = WIDE_CENTRAL.unpack(entry[-WIDE_CENTRAL.size :])[2:4]
            member = Member(name, place, packed, size, crc)
            if place > 1 << 62 or packed > 1 << 62 or member.directory != entry:
                raise Tampered(None, f"{name} stands in the archive as it should not")
            members[name] = member
            at, place = at + length, member.end
        return members

    def chunks(self, name: str) -> Iterator[bytes]:
        """Yield the content; raise Damaged unless it is all that was packed."""
        member = self.members[name]
        self._expect(member.start, member.header, name)
        is_plain = member.form[2] == PLAIN
        size, crc = 0, 0
        for chunk in self._plain(member) if is_plain else self._inflated(member):
            size, crc = size + len(chunk), zlib.crc32(chunk, crc)
            if size > member.size:
                break
            yield chunk
        if (size, crc) != (member.size, member.crc):
            raise Damaged(f"{name} is not what was packed")
        self._expect(member.end - len(member.descriptor), member.descriptor, name)

    def _plain(self, member: Member) -> Iterator[bytes]:
        at = member.start + len(member.header)
        end = at + member.packed
        while at < end:
            self.file.seek(at)
            data = self.file.read(min(CHUNK, end - at))
            at += len(data) or CHUNK
            yield data

    def _inflated(self, member: Member) -> Iterator[bytes]:
        inflate, hashed = zlib.decompressobj(-15), hashlib.sha256()
        packed = self._plain(member)
        while not inflate.eof:
            data = inflate.unconsumed_tail
            if not data:
                data = next(packed, b"")
                hashed.update(data)
            try:
                chunk = inflate.decompress(data, CHUNK)
            except zlib.error:
                raise Damaged(f"{member.name} can't be unpacked") from None
            if not (data or chunk):
                raise Damaged(f"{member.name} is cut off")
            yield chunk
        if inflate.unused_data or next(packed, b""):
            raise Damaged(f"{member.name} has something behind its end")
        self.packed[member.name] = hashed.hexdigest()

    def _expect(self, at: int, expected: bytes, name: str) -> None:
        self.file.seek(at)
        if self.file.read(len(expected)) != expected:
            raise Damaged(f"{name} stands in the archive as it should not")


class Folder:
    """A bundle that was unpacked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        found = sorted(one.name for one in path.iterdir())
        missing, unknown = set(NAMES) - set(found), set(found) - set(NAMES)
        if missing:
            raise Incomplete(f"{min(missing)} is missing")
        if unknown:
            raise Tampered(None, f"{min(unknown)!r} is no part of a bundle")
        for name in NAMES:
            if (path / name).is_symlink() or not (path / name).is_file():
                raise Tampered(None, f"{name} is no ordinary file")

    def chunks(self, name: str) -> Iterator[bytes]:
        with (self.path / name).open("rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk


class Reader:
    """Reads the files of a bundle once each, line by line, and hashes them."""

    def __init__(self, source: Any) -> None:
        self.source = source
        self.files: dict[str, dict[str, Any]] = {}

    def chunks(self, name: str) -> Iterator[bytes]:
        hashed, size = hashlib.sha256(), 0
        for chunk in self.source.chunks(name):
            hashed.update(chunk)
            size += len(chunk)
            yield chunk
        self.files[name] = {"bytes": size, "sha256": hashed.hexdigest()}

    def lines(self, name: str) -> Iterator[bytes]:
        """Yield the lines without their ends; the last one has an end too."""
        rest = b""
        for chunk in self.chunks(name):
            lines = (rest + chunk).split(b"\n")
            rest = lines.pop()
            if len(rest) > LONGEST_LINE:
                raise Damaged(f"{name} has a line of more than {LONGEST_LINE:,} bytes")
            yield from lines
        if rest:
            raise Damaged(f"{name} ends in the middle of a line")

    def whole(self, name: str) -> bytes:
        content = b""
        try:
            for chunk in self.chunks(name):
                content += chunk
                if len(content) > LARGEST_FILE:
                    raise Damaged(f"{name} is larger than it can be")
        except Damaged as damage:
            raise Tampered(None, str(damage)) from None
        return content


# JSON, read without any doubt about what it says.


def read_json(data: bytes) -> Any:
    """Return the JSON value; raise ValueError for any doubt about it."""
    try:
        return json.loads(
            data.decode("utf-8"), object_pairs_hook=unique, parse_constant=refuse
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


def refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON")


def canonical(value: Any) -> bytes:
    """Return RFC 8785's form of what has no other numbers than integers."""
    return json.dumps(
        value,
        ensure_ascii=False,
        allow_nan=False,
        sort_keys=True,
        separators=(",", ":"),
    ).encode("utf-8")


def decode_key(text: str) -> bytes:
    """Return a public key from Base64, or raise ValueError."""
    key = base64.b64decode(text, validate=True)
    if len(key) != 32 or base64.b64encode(key).decode() != text:
        raise ValueError("it is not 32 bytes in Base64")
    return key


# What an entry says.

BODY = {
    *("v", "org", "seq", "prev", "at", "actor", "auth", "action", "object", "outcome"),
    *("reason", "request_id", "ip", "channel", "policy_version", "approval_id"),
    *("override_id", "payload_hash"),
}
COLUMNS = (
    *("organization", "seq", "leaf_hash", "at", "actor_type", "actor_id"),
    *("actor_label", "action", "object_type", "object_id", "object_label"),
    *("outcome", "request_id", "approval_id", "override_id"),
)


def read_body(raw: bytes, seq: int) -> Any:
    """Return the entry that stands at this place, or raise Tampered."""
    try:
        body = json.loads(raw.decode("utf-8"))
        # What was recorded has one spelling; so no name is there twice, either.
        is_canonical = canonical(body) == raw
    except (ValueError, RecursionError):
        raise Lost(seq, "it can't be read") from None
    if (
        not is_canonical
        or not isinstance(body, dict)
        or body.keys() - {"facts"} != BODY
    ):
        raise Lost(seq, "it does not have the form of an entry")
    if body["v"] != 1 or type(body["seq"]) is not int:
        raise Lost(seq, "it does not have the form of an entry")
    if body["seq"] > seq:
        raise Lost(seq, f"it is missing: entry {body['seq']} stands in its place")
    if body["seq"] < seq:
        raise Lost(seq, f"entry {body['seq']} stands in its place")
    return body


def columns_of(body: Any, leaf: str) -> list[Any]:
    """Return what the columns beside an entry have to say."""
    actor, thing = body["actor"], body["object"]
    return [
        body["org"],
        body["seq"],
        leaf,
        body["at"],
        actor["type"],
        actor["id"],
        actor["label"],
        body["action"],
        thing["type"],
        thing["id"],
        thing["label"],
        body["outcome"],
        body["request_id"],
        body["approval_id"],
        body["override_id"],
    ]


# Which payloads there are, and which an entry erased.


def add_number(spans: list[list[int]], number: int) -> None:
    """Add to rising numbers that are kept as spans of neighbours."""
    if spans and spans[-1][1] == number - 1:
        spans[-1][1] = number
    else:
        spans.append([number, number])


def merged(spans: list[list[int]]) -> list[list[int]]:
    joined: list[list[int]] = []
    for first, last in sorted(spans):
        if joined and first <= joined[-1][1] + 1:
            joined[-1][1] = max(joined[-1][1], last)
        else:
            joined.append([first, last])
    return joined


def outside(spans: list[list[int]], others: list[list[int]]) -> int | None:
    """Return the first number that the others, merged, don't hold."""
    place = 0
    for first, last in spans:
        while place < len(others) and others[place][1] < first:
            place += 1
        if place == len(others) or others[place][0] > first:
            return first
        if others[place][1] < last:
            return others[place][1] + 1
    return None


def inside(spans: list[list[int]], others: list[list[int]]) -> int | None:
    """Return the first number that one of the others, merged, holds."""
    place = 0
    for first, last in spans:
        while place < len(others) and others[place][1] < first:
            place += 1
        if place < len(others) and others[place][0] <= last:
            return max(first, others[place][0])
    return None


class Payloads:
    """What is there, what is gone, and what entries say of that."""

    def __init__(self) -> None:
        self.missing: list[list[int]] = []
        self.present: list[list[int]] = []
        self.erased: list[list[int]] = []

    def erase(self, seq: int, facts: Any) -> None:
        for first, last in facts["erased"]:
            if type(first) is not int or type(last) is not int:
                raise TypeError
            if not 1 <= first <= last < seq:
                raise Tampered(seq, f"it erases entries {first} to {last}")
            self.erased.append([first, last])

    def check(self) -> None:
        """Raise Tampered unless exactly what entries erased is gone."""
        erased = merged(self.erased)
        gone = outside(self.missing, erased)
        kept = inside(self.present, erased)
        if gone is not None and (kept is None or gone < kept):
            raise Tampered(gone, "its payload is gone, and no entry says so")
        if kept is not None:
            raise Tampered(kept, "its payload is there, but an entry erased it")

    def counts(self) -> tuple[int, int]:
        there, gone = (
            sum(last - first + 1 for first, last in spans)
            for spans in (self.present, self.missing)
        )
        return there, gone


class Payload(NamedTuple):
    """One line of the payloads."""

    seq: int
    salt: str
    content: bytes


class Keys:
    """Whom to believe: whom the auditor trusts, and whom that vouches for."""

    def __init__(self, trusted: list[bytes], named: list[bytes]) -> None:
        self.trusted = list(trusted)
        # The bundle names them; they may have signed, but prove nothing.
        self.named = named
        self.announced: list[bytes] = []
        self.is_given = bool(trusted)

    def known(self) -> list[bytes]:
        return list(dict.fromkeys([*self.trusted, *self.named]))

    def vouch(self, signer: bytes) -> None:
        """Trust the keys that entries under this signature announced."""
        if signer in self.trusted:
            self.trusted += self.announced
        self.announced = []

    def is_trusted(self, key: bytes) -> bool:
        return key in (self.trusted if self.is_given else self.named)


class Report:
    """What was found to be right."""

    origin = ""
    entries = payloads = erased = checkpoints = receipts = 0
    with_receipts = True
    key = ""
    until = ""
    trusted_size = 0


class Verification:
    """One run over a bundle, from the first entry to the last."""

    def __init__(
        self, source: Any, trusted: list[bytes], trusted_notes: list[Note]
    ) -> None:
        self.reader = Reader(source)
        self.manifest_bytes = self.reader.whole(MANIFEST)
        self.manifest = read_manifest(self.manifest_bytes)
        self.keys = Keys(trusted, [decode_key(one) for one in self.manifest["keys"]])
        self.wanted = sorted(trusted_notes, key=lambda note: note.size)
        self.organization = self.manifest["organization"]["id"]
        self.payloads = Payloads()
        self.damage: Damaged | None = None
        self.seen = b""  # what is said of the entry that is looked at
        self.ahead: list[bytes] = []  # the entry that was read but not looked at
        self.tree = Frontier()
        self.previous = bytes(32)  # SHA-256 of the entry before
        self.origin = ""
        self.note: Note | None = None
        self.signer = b""
        # Up to here the entries are those that were signed, by whom we trust.
        self.proven = 0
        self.report = Report()

    def run(self) -> Report:
        """Return what is right; raise Tampered or Incomplete."""
        self._check_trusted_notes()
        self.lines = {
            name: self.reader.lines(name)
            for name in (ENTRIES, INDEX, PAYLOADS, CHECKPOINTS, PROOFS, RECEIPTS)
        }
        try:
            self._entries()
            self._nothing_left()
        except Damaged as damage:
            raise Lost(self.tree.size + 1, str(damage)) from None
        except Tampered as found:
            raise self._first(found) from None
        self.payloads.check()
        self._end()
        self._manifest_is_signed()
        if not self.keys.is_given:
            raise Incomplete(
                f"everything fits together under key {self.report.key}, but whether "
                "that is DriftGuard's only you can tell: pass the key that you were "
                "given as --trusted-key"
            )
        return self.report

    def _first(self, found: Tampered) -> Tampered:
        """Return what is wrong at an earlier entry than this, if anything is.

        Whether a payload that is gone was erased, only the rest of the trail tells, and
        nobody if this very entry may be the one that said so.
        """
        if isinstance(found, Lost) or any(one.encode() in self.seen for one in ERASING):
            return found
        try:
            for raw in chain(self.ahead, self.lines[ENTRIES]):
                body = json.loads(raw)
                if body["action"] in ERASING and body["outcome"] == "done":
                    self.payloads.erase(body["seq"], body["facts"])
            self.payloads.check()
        except Tampered as earlier:
            if earlier.seq is not None and earlier.seq < (found.seq or 0):
                return earlier
        except (ValueError, TypeError, KeyError, RecursionError, Damaged):
            return found
        return found

    # The entries, in lockstep with what stands beside them.

    def _entries(self) -> None:
        notes = self._notes()
        note = next(notes, None)
        payload = self._next_payload(1)
        raw = self._next_entry()
        while raw is not None:
            following = self._next_entry()
            self.ahead = [] if following is None else [following]
            payload = self._entry(raw, following, payload)
            if note is not None and note.size == self.tree.size:
                self._checkpoint(note)
                note = next(notes, None)
            self._compare_with_trusted()
            raw = following
        if self.damage is not None:
            raise self.damage
        seq = self.tree.size + 1
        if note is not None:
            raise Lost(seq, f"it is missing: a checkpoint covers {note.size} entries")
        if self.wanted:
            size = self.wanted[-1].size
            raise Lost(seq, f"it is missing: you trust a checkpoint over {size}")
        if payload is not None:
            raise Lost(seq, "it is missing, its payload is there")

    def _next_entry(self) -> bytes | None:
        """Return the next line; what can't be read is no fault of the one before."""
        try:
            return next(self.lines[ENTRIES], None)
        except Damaged as damage:
            self.damage = damage
            return None

    def _entry(
        self, raw: bytes, following: bytes | None, payload: Payload | None
    ) -> Payload | None:
        """Check one entry; return the payload that comes next."""
        seq = self.tree.size + 1
        self.seen = raw
        body = read_body(raw, seq)
        digest = hashlib.sha256(raw).digest()
        self._check_columns(body, leaf_hash(raw), seq)
        if body["org"] != self.organization:
            raise Tampered(seq, f"it is of organization {body['org']}")
        if body["prev"] != self.previous.hex():
            raise Tampered(*self._blame(seq, digest, following))
        if seq == 1:
            self.origin = f"driftguard/{self.organization}/{digest.hex()[:16]}"
        self._check_facts(body, seq)
        payload = self._check_payload(body, seq, payload)
        self.tree.add(leaf_hash(raw))
        self.previous = digest
        return payload

    def _blame(
        self, seq: int, digest: bytes, following: bytes | None
    ) -> tuple[int, str]:
        """Tell which of two neighbours is wrong: not the one that is vouched for."""
        if following is None:
            is_vouched = self.manifest["head"]["digest"] == digest.hex()
        else:
            is_vouched = b'"prev":"' + digest.hex().encode() + b'"' in following
        if seq > 1 and is_vouched:
            return seq - 1, "it is not the one that the next entry goes on from"
        return seq, "it does not go on from the entry before it"

    def _check_columns(self, body: Any, leaf: bytes, seq: int) -> None:
        line = next(self.lines[INDEX], None)
        self.seen += line or b""
        try:
            expected = columns_of(body, leaf.hex())
            if line == canonical(expected):
                return
        except (KeyError, TypeError):
            raise Tampered(seq, "it does not have the form of an entry") from None
        try:
            found = read_json(line or b"")
            pairs = zip_longest(COLUMNS, found, expected)
            name = next(name for name, one, other in pairs if one != other)
        except (ValueError, TypeError, StopIteration):
            raise Tampered(seq, "its columns can't be read") from None
        if name == "leaf_hash":
            raise Tampered(seq, "it is not what was recorded: its hash is another one")
        raise Tampered(seq, f"its column {name} does not say what the entry says")

    def _check_facts(self, body: Any, seq: int) -> None:
        action, facts = body["action"], body.get("facts")
        if body["outcome"] != "done":
            return
        try:
            if action in ERASING:
                self.payloads.erase(seq, facts)
            elif action == SEALING and self.manifest["with_receipts"]:
                self._check_seal(facts, seq)
            elif action == ROTATING:
                self.keys.announced.append(decode_key(facts["key"]))
        except (KeyError, TypeError, ValueError):
            raise Tampered(seq, "it lacks the facts that its action has") from None

    def _check_seal(self, facts: Any, seq: int) -> None:
        """Check that the receipts of the bundle are those that the entry sealed."""
        tree = Frontier()
        rows = 0
        for _ in range(facts["receipts"]):
            line = next(self.lines[RECEIPTS], None)
            if line is None:
                raise Tampered(seq, "receipts that it seals are missing")
            try:
                rows += read_json(line)["rows"]
            except (ValueError, TypeError, KeyError):
                raise Tampered(seq, "a receipt that it seals can't be read") from None
            tree.add(leaf_hash(line))
        if (tree.root().hex(), rows) != (facts["root"], facts["rows"]):
            raise Tampered(seq, "the receipts are not those that it seals")
        self.report.receipts += tree.size

    def _next_payload(self, seq: int) -> Payload | None:
        """Return the next payload, which belongs to entry `seq` or a later one."""
        try:
            line = next(self.lines[PAYLOADS], None)
        except Damaged as damage:
            raise Tampered(seq, str(damage)) from None
        if line is None:
            return None
        parts = line.split(b"\t", 2)
        if len(parts) < 3 or not re.fullmatch(rb"[1-9][0-9]{0,17}", parts[0]):
            raise Tampered(seq, "what stands here among the payloads can't be read")
        if int(parts[0]) < seq:
            raise Tampered(int(parts[0]), "it has a payload too many")
        return Payload(int(parts[0]), parts[1].decode("latin-1"), parts[2])

    def _check_payload(
        self, body: Any, seq: int, payload: Payload | None
    ) -> Payload | None:
        """Check what belongs to the entry; return the payload that comes next."""
        expected = body["payload_hash"]
        if payload is None or payload.seq > seq:
            if expected is not None:
                add_number(self.payloads.missing, seq)
            return payload
        if expected is None:
            raise Tampered(seq, "it has a payload, but knows of none")
        if not re.fullmatch("[0-9a-f]{64}", payload.salt):
            raise Tampered(seq, "its payload is not what was recorded")
        salt = bytes.fromhex(payload.salt)
        if hmac.digest(salt, payload.content, "sha256").hex() != expected:
            raise Tampered(seq, "its payload is not what was recorded")
        try:
            read_json(payload.content)
        except ValueError as error:
            raise Tampered(seq, f"its payload can't be read: {error}") from None
        add_number(self.payloads.present, seq)
        return self._next_payload(seq + 1)

    # The checkpoints.

    def _notes(self) -> Iterator[Note]:
        """Yield the checkpoints, whose columns say what they say."""
        size = 0
        for line in self.lines[CHECKPOINTS]:
            try:
                columns = read_json(line)
                note = read_note(columns[4])
            except (ValueError, TypeError, IndexError, KeyError):
                columns, note = [], None
            if note is None:
                raise Tampered(size + 1, "the next checkpoint can't be read")
            if note.size <= size:
                raise Tampered(note.size, "its checkpoint stands in the wrong place")
            note.key_id = str(columns[2])
            said = [note.size, note.root.hex(), note.key_id, note.at, note.raw]
            if line != canonical(said):
                raise Tampered(note.size, "the columns of its checkpoint are wrong")
            size = note.size
            yield note

    def _checkpoint(self, note: Note) -> None:
        """Check a checkpoint against all entries up to its size."""
        last = self.note
        if note.after != (last.digest if last else None):
            raise Tampered(note.size, "a checkpoint before it is missing or changed")
        if note.origin != self.origin:
            why = f"the checkpoint over them is of the trail {note.origin}"
            raise Tampered(self.proven + 1, why, last=note.size)
        signer = note.signer(self.keys.known())
        if signer is None or key_id(signer) != note.key_id:
            raise Tampered(note.size, "its checkpoint is not signed by a key we know")
        if self.tree.root() != note.root:
            why = f"not what was signed on {note.at}"
            raise Tampered(self.proven + 1, why, last=note.size)
        if last is not None:
            self._check_proof(last, note)
        self.keys.vouch(signer)
        if self.keys.is_trusted(signer):
            self.proven = note.size
        self.note, self.signer = note, signer
        self.report.checkpoints += 1

    def _check_proof(self, first: Note, second: Note) -> None:
        line = next(self.lines[PROOFS], None)
        try:
            hashes = [bytes.fromhex(one) for one in read_json(line or b"")[2]]
            said = [first.size, second.size, [one.hex() for one in hashes]]
            is_good = line == canonical(said) and is_consistent(
                first.size, second.size, first.root, second.root, hashes
            )
        except (ValueError, TypeError, IndexError, KeyError):
            is_good = False
        if not is_good:
            raise Tampered(second.size, "the tree that is kept of it is another one")

    def _check_trusted_notes(self) -> None:
        for note in self.wanted:
            if note.signer(self.keys.known()) is None:
                raise Usage(
                    f"The trusted checkpoint over {note.size} entries is signed by "
                    "neither a trusted key nor one of the bundle."
                )

    def _compare_with_trusted(self) -> None:
        size = self.tree.size
        while self.wanted and self.wanted[0].size == size:
            trusted = self.wanted.pop(0)
            if trusted.origin != self.origin:
                why = f"the checkpoint that you trust is of {trusted.origin}"
                raise Tampered(1, f"this is the trail {self.origin}; {why}")
            if trusted.root != self.tree.root():
                raise Tampered(
                    self.report.trusted_size + 1,
                    "not what it was when the checkpoint that you trust was signed",
                    last=size,
                )
            if self.note is None or self.note.raw != trusted.raw:
                raise Tampered(size, "the checkpoint that you trust is not in the list")
            self.report.trusted_size = size

    # The end.

    def _nothing_left(self) -> None:
        for name, lines in self.lines.items():
            if next(lines, None) is not None:
                raise Lost(self.tree.size + 1, f"{name} goes on without it")

    def _end(self) -> None:
        """Check that the trail ends where its head and its last checkpoint say."""
        size, head = self.tree.size, self.manifest["head"]
        if max(head["seq"], self.manifest["last"]) > size:
            raise Tampered(size + 1, "it is missing: the trail went on")
        if (head["seq"], head["digest"]) != (size, self.previous.hex()):
            raise Tampered(size, "the head of the trail is another entry")
        covered = self.note.size if self.note else 0
        if self.note is None or covered < size:
            raise Uncovered(f"no checkpoint covers entries {covered + 1} to {size}")
        if not self.keys.is_trusted(self.signer):
            why = f"signed by key {key_id(self.signer)}, which you don't trust"
            raise Tampered(self.proven + 1, why, last=size)
        report = self.report
        report.origin, report.entries = self.origin, size
        report.payloads, report.erased = self.payloads.counts()
        report.key, report.until = key_id(self.signer), self.note.at
        report.with_receipts = self.manifest["with_receipts"]

    def _manifest_is_signed(self) -> None:
        self.reader.whole(README)
        expected = self.reader.files
        expected.pop(MANIFEST)
        if self.manifest["files"] != expected:
            named = self.manifest["files"]
            wrong = [name for name in expected if named.get(name) != expected[name]]
            raise Tampered(None, f"{', '.join(wrong)}: not what the manifest says")
        packed = getattr(self.reader.source, "packed", None)
        if packed is not None and self.manifest["packed"] != packed:
            raise Tampered(None, "the archive is not the one that was signed")
        if self.manifest["origin"] != self.origin:
            raise Tampered(None, "the manifest names another trail")
        try:
            key_text, _, text = self.reader.whole(SIGNATURE).decode().partition(" ")
            key = decode_key(key_text)
            value = base64.b64decode(text, validate=False)
            is_spelled_so = text == base64.b64encode(value).decode() + "\n"
        except ValueError:
            raise Tampered(
                None, "the signature of the manifest can't be read"
            ) from None
        if not is_spelled_so or not is_signed(key, SEALED + self.manifest_bytes, value):
            raise Tampered(None, "the manifest is not what was signed")
        if not self.keys.is_trusted(key):
            raise Tampered(
                None, f"the manifest is signed by key {key_id(key)}, not yours"
            )


def read_manifest(raw: bytes) -> Any:
    """Return the manifest; whether it is true is found out later."""
    try:
        said = read_json(raw)
        if said["format"] != FORMAT:
            raise ValueError(f"its format is {said['format']!r}, not {FORMAT}")
        numbers = (said["organization"]["id"], said["head"]["seq"], said["last"])
        texts = (said["head"]["digest"], said["origin"], *said["keys"])
        is_sound = (
            all(type(number) is int for number in numbers)
            and all(isinstance(text, str) for text in texts)
            and isinstance(said["files"], dict)
            and isinstance(said["packed"], dict)
            and isinstance(said["with_receipts"], bool)
        )
        if not is_sound:
            raise ValueError("something in it is of the wrong kind")
        for key in said["keys"]:
            decode_key(key)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Tampered(None, f"the manifest can't be read: {error}") from None
    return said


def verify(
    source: Any, *, trusted_keys: list[bytes], trusted_notes: list[Note]
) -> Report:
    """Return what is right with a bundle, or raise Tampered, Incomplete or Usage."""
    return Verification(source, trusted_keys, trusted_notes).run()


# The command.


def parse_key(text: str) -> bytes:
    """Return the key in an argument: Base64, hexadecimal, name+hash+key, or a file."""
    words = text.strip()
    if "\n" not in words and len(words) < 256 and Path(words).is_file():
        words = Path(words).read_text(encoding="ascii").strip()
    pem = re.fullmatch(
        r"-----BEGIN PUBLIC KEY-----\s+(\S+)\s+-----END PUBLIC KEY-----", words
    )
    if pem:
        words = base64.b64encode(base64.b64decode(pem[1])[-32:]).decode()
    if re.fullmatch("[0-9a-fA-F]{64}", words):
        return bytes.fromhex(words)
    named = re.fullmatch(r"[^+\s]+\+[0-9a-f]{8}\+([A-Za-z0-9+/]{44})", words)
    if named:
        words = base64.b64encode(base64.b64decode(named[1])[1:]).decode()
    return decode_key(words)


def parse_notes(path: str) -> list[Note]:
    text = Path(path).read_text(encoding="utf-8")
    found = [read_note(one) for one in split_notes(text + "\n")]
    notes = [note for note in found if note is not None]
    if not notes or len(notes) < len(found):
        raise ValueError("it holds no checkpoint, or one that can't be read")
    return notes


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Usage(f"{self.format_usage()}{message}")


def arguments(words: list[str] | None) -> argparse.Namespace:
    parser = Parser(prog="dg-verify", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("bundle", help="the ZIP file, or the directory it unpacks to")
    parser.add_argument(
        "--trusted-key",
        action="append",
        default=[],
        metavar="KEY",
        help="a public key that you were given by another way; may be repeated",
    )
    parser.add_argument(
        "--trusted-checkpoint",
        action="append",
        default=[],
        metavar="FILE",
        help="a checkpoint that you were given earlier; may be repeated",
    )
    parser.add_argument("--json", action="store_true", help="answer in JSON")
    return parser.parse_args(words)


def checked(words: list[str] | None) -> tuple[Report, bool]:
    options = arguments(words)
    keys: list[bytes] = []
    notes: list[Note] = []
    try:
        for text in options.trusted_key:
            keys.append(parse_key(text))
    except (ValueError, OSError) as error:
        raise Usage(f"This trusted key is none: {error}.") from None
    try:
        for path in options.trusted_checkpoint:
            notes += parse_notes(path)
    except (ValueError, OSError) as error:
        raise Usage(f"This trusted checkpoint is none: {error}.") from None
    path = Path(options.bundle)
    try:
        if path.is_dir():
            source: Any = Folder(path)
            return verify(source, trusted_keys=keys, trusted_notes=notes), options.json
        with path.open("rb") as file:
            source = Archive(file)
            return verify(source, trusted_keys=keys, trusted_notes=notes), options.json
    except OSError as error:
        raise Usage(f"The bundle can't be read: {error}.") from None


def described(report: Report) -> str:
    lines = [
        f"INTACT: entries 1 to {report.entries} of {report.origin}",
        f"  signed by key {report.key}, last on {report.until}, in "
        f"{report.checkpoints} checkpoints",
        f"  payloads: {report.payloads} as recorded, {report.erased} erased by entries "
        "that say so",
        f"  receipts of predictions: {report.receipts} as sealed"
        if report.with_receipts
        else "  receipts of predictions are not in this bundle",
    ]
    if report.trusted_size:
        lines.append(f"  goes on from your checkpoint over {report.trusted_size}")
    else:
        lines.append(
            "  without a checkpoint that you were given earlier, another history that "
            "the same key signed would look the same (--trusted-checkpoint)"
        )
    return "\n".join(lines)


def main(words: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    answer: dict[str, Any]
    is_json = "--json" in (sys.argv if words is None else words)
    try:
        report, is_json = checked(words)
        status, text = 0, described(report)
        answer = {"result": "intact", **vars(Report), **vars(report)}
        answer = {name: one for name, one in answer.items() if name[0] != "_"}
    except Tampered as found:
        status, text = 1, f"TAMPERED: {found}"
        answer = {"result": "tampered", "first_bad_seq": found.seq, "why": found.why}
        answer["last_bad_seq"] = found.last or found.seq
    except Incomplete as found:
        status, text = 2, f"INCOMPLETE: {found}"
        answer = {"result": "incomplete", "why": str(found)}
    except Usage as found:
        status, text = 3, str(found)
        answer = {"result": "usage", "why": text}
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not pass
        status, text = 2, f"INCOMPLETE: could not be verified ({error!r})"
        answer = {"result": "incomplete", "why": repr(error)}
    if is_json:
        text = json.dumps(answer)
    stream = sys.stdout if is_json or status < 3 else sys.stderr
    stream.write(text + "\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
