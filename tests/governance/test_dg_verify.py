"""dg-verify alone: mutations by the thousand, hostile files, its command."""

import ast
import base64
import hmac
import io
import json
import re
import subprocess
import sys
import tracemalloc
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_django import DjangoDbBlocker

from governance import notes, signing
from governance.verify import dg_verify
from tests.governance import trails

DATA = dg_verify.NAMES[1:-2]  # but for README, manifest and signature


@dataclass(frozen=True)
class Case:
    """A clean bundle, another organization's, and what an auditor trusts."""

    bundle: bytes
    files: dict[str, bytes]
    other: dict[str, bytes]
    notes: list[str]
    key: bytes


@pytest.fixture(scope="module")
def case(
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Case]:
    """Make the bundles once; the installation's key stays in use for the module."""
    directory = tmp_path_factory.mktemp("dg-verify")
    with pytest.MonkeyPatch.context() as patch, django_db_blocker.unblock():
        patch.setattr("django.conf.settings.DATA_DIR", directory)
        patch.setattr(
            "django.conf.settings.CHECKPOINT_DIRECTORIES", [str(directory / "outside")]
        )
        with transaction.atomic():
            alice, charlie = trails.make_trail(), trails.make_trail()
            note = trails.sign(alice.organization)
            bundle = trails.bundle_of(alice.organization)
            other = trails.unpacked(trails.bundle_of(charlie.organization))
            transaction.set_rollback(True)
        files = trails.unpacked(bundle)
        yield Case(bundle, files, other, [note], signing.public_key().raw)


def verify(case: Case, changed: Any, *notes: str) -> trails.Found:
    return trails.found_in(lambda: trails.verify(changed, *notes, keys=[case.key]))


def test_the_clean_bundle_is_intact(case: Case) -> None:
    assert verify(case, case.bundle, *case.notes)[0] == "intact"
    assert verify(case, case.files, *case.notes)[0] == "intact"
    assert verify(case, trails.resealed(case.files), *case.notes)[0] == "intact"
    assert trails.packed(case.files) == case.bundle


@st.composite
def mutations(draw: st.DrawFn, case: Case) -> tuple[str, bytes]:
    """Draw a file of the bundle and other content for it."""
    name = draw(st.sampled_from(DATA))
    content = case.files[name]
    kind = draw(st.sampled_from(["bit", "bytes", "cut", "line", "foreign"]))
    if kind == "bit":
        at = draw(st.integers(0, len(content) - 1))
        changed = bytearray(content)
        changed[at] ^= 1 << draw(st.integers(0, 7))
        return name, bytes(changed)
    if kind == "bytes":
        at = draw(st.integers(0, len(content)))
        end = draw(st.integers(at, min(len(content), at + 40)))
        return name, content[:at] + draw(st.binary(max_size=40)) + content[end:]
    if kind == "cut":
        return name, content[: draw(st.integers(0, len(content) - 1))]
    if kind == "foreign":
        return name, case.other[name]
    return name, draw(line_mutations(content.splitlines(keepends=True)))


@st.composite
def line_mutations(draw: st.DrawFn, lines: list[bytes]) -> bytes:
    place = st.integers(0, len(lines) - 1)
    one, other = draw(place), draw(place)
    kind = draw(st.sampled_from(["delete", "double", "swap", "move", "last"]))
    if kind == "delete":
        del lines[min(one, other) : max(one, other) + 1]
    elif kind == "double":
        lines.insert(one, lines[other])
    elif kind == "swap":
        lines[one], lines[other] = lines[other], lines[one]
    elif kind == "move":
        lines.insert(other, lines.pop(one))
    else:
        del lines[one:]
    return b"".join(lines)


def test_of_two_thousand_mutations_none_is_missed(case: Case) -> None:
    """An insider changes what the manifest is made of and has it signed again."""
    counted = 0

    @settings(
        max_examples=2_400,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(mutations(case))
    def mutate(mutation: tuple[str, bytes]) -> None:
        nonlocal counted
        name, content = mutation
        if content == case.files[name]:
            return
        counted += 1
        changed = trails.resealed({**case.files, name: content})
        result, first, last = verify(case, changed, *case.notes)
        if name == dg_verify.CHECKPOINTS and result == "incomplete":
            # The end of the list was cut off: entries are left that nobody signed.
            assert case.files[name].startswith(content)
            return
        assert result == "tampered"
        if name in {dg_verify.ENTRIES, dg_verify.INDEX, dg_verify.PAYLOADS}:
            assert first == last
            assert first in places(case, name, content)

    mutate()
    assert counted >= 2_000


def places(case: Case, name: str, content: bytes) -> set[int | None]:
    """Return the numbers of the entries that the first change is about."""
    before, after = (
        re.findall(rb"[^\n]*\n|[^\n]+", one) for one in (case.files[name], content)
    )
    pairs = zip_longest(before, after, fillvalue=b"")
    place, lines = next(
        (place, pair) for place, pair in enumerate(pairs) if pair[0] != pair[1]
    )
    if name != dg_verify.PAYLOADS:
        return {place + 1}
    # A payload may be missed where it was, or be too much where it is now.
    numbers = [re.match(rb"\d{1,9}(?=\t)", line) for line in lines]
    earlier = [int(line.split(b"\t")[0]) for line in before[: place + 1]]
    last = case.files[dg_verify.ENTRIES].count(b"\n")
    return {
        *(min(int(number[0]), last + 1) for number in numbers if number),
        *(seq + 1 for seq in earlier[-2:]),
        last + 1,
    }


def test_any_byte_of_the_file_that_is_flipped_is_found(case: Case) -> None:
    for at in range(0, len(case.bundle), 7):
        changed = bytearray(case.bundle)
        changed[at] ^= 1 << at % 8
        result, _, _ = verify(case, bytes(changed))
        assert result in {"tampered", "incomplete"}, at


def test_a_file_that_was_cut_off_is_incomplete(case: Case) -> None:
    for length in (0, 1, 100, len(case.bundle) // 2, len(case.bundle) - 1):
        assert verify(case, case.bundle[:length])[0] == "incomplete"


@pytest.mark.parametrize("name", dg_verify.NAMES)
def test_a_file_that_is_missing_leaves_it_incomplete(case: Case, name: str) -> None:
    files = {one: content for one, content in case.files.items() if one != name}
    assert verify(case, files)[0] == "incomplete"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["head", "digest"], "00" * 32),
        (["head", "seq"], 7),
        (["head", "seq"], 10**30),
        (["last"], 1000),
        (["organization", "id"], 77),
        (["organization", "id"], "1"),
        (["origin"], "driftguard/1/0000000000000000"),
        (["keys"], ["?"]),
        (["format"], "driftguard-audit-bundle/2"),
        (["with_receipts"], False),
        (["with_receipts"], "yes"),
        (["files"], []),
    ],
)
def test_a_manifest_that_says_something_else_is_found(
    case: Case, path: list[str], value: Any
) -> None:
    """Also where the installation's own key signed it."""
    said = json.loads(case.files[dg_verify.MANIFEST])
    inner = said
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    changed = dg_verify.canonical(said)
    files = {
        **case.files,
        dg_verify.MANIFEST: changed,
        dg_verify.SIGNATURE: trails.bundles.seal(changed),
    }
    assert verify(case, files)[0] in {"tampered", "incomplete"}


def test_a_bundle_that_nobody_signed_anew_is_found_however_it_was_changed(
    case: Case,
) -> None:
    for name in dg_verify.NAMES:
        changed = {**case.files, name: case.files[name] + b" "}
        assert verify(case, changed)[0] == "tampered", name


# Bundles that were never recorded, with a good signature under anything at all.


def forged(
    bodies: list[bytes],
    payloads: list[bytes] = [],  # noqa: B006 (it is only read)
    *,
    organization: Any = 1,
) -> dict[str, bytes]:
    """Return a bundle of these entries, whose hashes and signatures are all right."""
    origin = f"driftguard/1/{sha256(bodies[0]).hexdigest()[:16]}"
    index = []
    for body in bodies:
        try:
            columns = dg_verify.columns_of(
                json.loads(body), dg_verify.leaf_hash(body).hex()
            )
            index.append(dg_verify.canonical(columns))
        except (ValueError, TypeError, KeyError, RecursionError):
            index.append(b"[]")
    tree = dg_verify.Frontier()
    for body in bodies:
        tree.add(dg_verify.leaf_hash(body))
    at = datetime(2025, 1, 31, tzinfo=UTC)
    statement = notes.Statement(origin, len(bodies), tree.root(), at, None)
    signature = signing.sign(statement.text.encode())
    note = notes.signed(statement, signature)
    row = [
        *(len(bodies), tree.root().hex(), signature.key.id),
        *(dg_verify.read_note(note).at, note),
    ]
    manifest = {
        "format": dg_verify.FORMAT,
        "organization": {"id": organization, "slug": "a", "name": "A"},
        "origin": origin,
        "head": {"seq": len(bodies), "digest": sha256(bodies[-1]).hexdigest()},
        "last": len(bodies),
        "with_receipts": True,
        "keys": [signature.key.text],
        "files": {},
        "packed": {},
    }
    return trails.resealed(
        {
            "README.txt": b"",
            "entries.jsonl": b"".join(body + b"\n" for body in bodies),
            "index.jsonl": b"".join(line + b"\n" for line in index),
            "payloads.tsv": b"".join(line + b"\n" for line in payloads),
            "checkpoints.jsonl": dg_verify.canonical(row) + b"\n",
            "proofs.jsonl": b"",
            "receipts.jsonl": b"",
            "manifest.json": dg_verify.canonical(manifest),
            "manifest.sig": b"",
        }
    )


def body(seq: int = 1, previous: bytes = b"", **changes: Any) -> bytes:
    said = {
        **dict.fromkeys(dg_verify.BODY, ""),
        "v": 1,
        "org": 1,
        "seq": seq,
        "prev": sha256(previous).hexdigest() if previous else "0" * 64,
        "actor": {"type": "user", "id": "1", "label": "x", "role": ""},
        "object": {"type": "", "id": "", "label": ""},
        "outcome": "done",
        "approval_id": None,
        "override_id": None,
        "payload_hash": None,
    }
    return dg_verify.canonical({**said, **changes})


def payload(content: bytes, salt: bytes = bytes(32)) -> tuple[str, bytes]:
    mac = hmac.digest(salt, content, "sha256").hex()
    return mac, b"1\t" + salt.hex().encode() + b"\t" + content


def test_a_forged_bundle_is_as_good_as_its_key(case: Case) -> None:
    first = body()
    second = body(2, first, reason="\u2028 ü \x7f")
    assert verify(case, forged([first, second]))[0] == "intact"
    mac, line = payload(b'{"after":1.5}')
    assert verify(case, forged([body(payload_hash=mac)], [line]))[0] == "intact"


DEEP = b"[" * 100_000 + b"]" * 100_000
HOSTILE_BODIES = {
    "a name twice": body()[:-1] + b',"v":1}',
    "a space": body().replace(b":", b": ", 1),
    "another order": b'{"v":1,' + body()[1:].replace(b',"v":1', b""),
    "an escape": body().replace(b'"done"', b'"\\u0064one"'),
    "half a character": body().replace(b'"done"', b'"d\xc3"'),
    "a lone surrogate": body().replace(b'"done"', b'"\\ud800"'),
    "too deep": body().replace(b'"done"', DEEP),
    "a huge number": body().replace(b'"seq":1', b'"seq":' + b"9" * 10_000),
    "a float": body().replace(b'"seq":1', b'"seq":1.0'),
    "true for one": body().replace(b'"seq":1', b'"seq":true'),
    "NaN": body().replace(b'"approval_id":null', b'"approval_id":NaN'),
    "no object": b"[]",
    "nothing": b"",
    "a name more": body(extra=1),
    "another version": body(v=2),
    "a wrong kind": body(actor="alice"),
    "another organization": body(org=2),
    "an entry before it": body(previous=b"x"),
    "the seventh": body(7),
    "an erasure of nothing": body(action="payload.erased", facts={}),
    "an erasure of the future": body(
        action="payload.erased", facts={"erased": [[1, 10**30]]}
    ),
    "an erasure of itself": body(action="payload.erased", facts={"erased": [[1, 1]]}),
    "an erasure of a name": body(
        action="payload.purged", facts={"erased": [["1", "1"]]}
    ),
    "a seal of nothing": body(action="receipts.sealed", facts=None),
    "a seal of too much": body(
        action="receipts.sealed", facts={"receipts": 10**18, "root": "", "rows": 0}
    ),
    "a key that is none": body(action="signing_key.rotated", facts={"key": "?"}),
    "a key of a wrong kind": body(action="signing_key.rotated", facts={"key": 7}),
    "a payload that is gone": body(payload_hash="00" * 32),
    "a payload of a wrong kind": body(payload_hash=[1]),
}


@pytest.mark.parametrize("name", HOSTILE_BODIES)
def test_an_entry_that_could_not_have_been_recorded_never_passes(
    case: Case, name: str
) -> None:
    result, first, _ = verify(case, forged([HOSTILE_BODIES[name]]))
    assert (result, first) == ("tampered", 1)


@pytest.mark.parametrize(
    "content",
    [
        b'{"a":1,"a":2}',
        b'{"a":{"b":1,"b":1}}',
        b"\xff",
        b"",
        b"{",
        b"NaN",
        b'{"a":-Infinity}',
        DEEP,
    ],
)
def test_a_payload_that_can_be_read_in_two_ways_never_passes(
    case: Case, content: bytes
) -> None:
    mac, line = payload(content)
    assert verify(case, forged([body(payload_hash=mac)], [line])) == ("tampered", 1, 1)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"1",
        b"1\t\t",
        b"0\t00\t{}",
        b"01\t00\t{}",
        b"-1\t00\t{}",
        b"\xd9\xa1\t00\t{}",
        b"1\t" + b"g" * 64 + b"\t{}",
        b"2\t" + b"0" * 64 + b"\t{}",
        b"1" * 5_000 + b"\t00\t{}",
    ],
)
def test_a_line_of_payloads_that_is_none_never_passes(case: Case, line: bytes) -> None:
    assert verify(case, forged([body()], [line]))[0] == "tampered"


def test_a_line_of_many_megabytes_is_refused_before_it_fills_the_memory(
    case: Case,
) -> None:
    bomb = b"0" * 300_000_000
    for name in (dg_verify.ENTRIES, dg_verify.PAYLOADS, dg_verify.README):
        packed = trails.packed({**case.files, name: bomb})
        assert len(packed) < 1_000_000
        tracemalloc.start()
        result, _, _ = verify(case, packed)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert result == "tampered"
        assert peak < 150_000_000


def ordinary(
    files: list[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED
) -> bytes:
    """Pack files as every other program does."""
    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a name that is there twice
        with zipfile.ZipFile(content, "w", method) as file:
            for name, data in files:
                file.writestr(name, data)
    return content.getvalue()


def hostile_archives(case: Case) -> dict[str, bytes]:
    files = list(case.files.items())
    swapped = [files[1], files[0], *files[2:]]
    return {
        "packed by another program": ordinary(files),
        "not packed at all": ordinary(files, zipfile.ZIP_STORED),
        "a name twice": ordinary([*files, files[1]]),
        "out of the directory": ordinary([*files, ("../../etc/cron.d/x", b"*")]),
        "an absolute path": ordinary([*files, ("/tmp/x", b"*")]),  # noqa: S108
        "another order": ordinary(swapped),
        "something behind it": case.bundle + b"\0",
        "something before it": b"\0" + case.bundle,
        "a comment": case.bundle[:-2] + b"\5\0hello",
        "no archive": b"PK\3\4" + bytes(500),
        "empty": b"",
        "another end": case.bundle[:-98] + case.bundle[-98:].replace(b"PK", b"KP"),
    }


@pytest.mark.parametrize(
    "name",
    [
        *("packed by another program", "not packed at all", "a name twice"),
        *("out of the directory", "an absolute path", "another order"),
        *("something behind it", "something before it", "a comment", "no archive"),
        *("empty", "another end"),
    ],
)
def test_an_archive_of_another_form_never_passes(case: Case, name: str) -> None:
    assert verify(case, hostile_archives(case)[name])[0] in {"tampered", "incomplete"}


def test_sizes_that_lie_never_pass(case: Case) -> None:
    """Each number in the directory of the archive, one off and far off."""
    for field in ("packed", "size", "crc", "start"):
        for by in (1, -1, 1 << 31):
            archive_of = dg_verify.Archive(io.BytesIO(case.bundle))
            members = list(archive_of.members.values())
            number = getattr(members[2], field) + by
            setattr(members[2], field, number & 0xFFFFFFFF)
            directory = b"".join(one.directory for one in members)
            start = (
                members[-1].end
                if field != "start"
                else archive_of.members[dg_verify.SIGNATURE].end
            )
            body_of = case.bundle[:start]
            end = dg_verify.archive_end(len(members), len(directory), start)
            changed = body_of + directory + end
            assert verify(case, changed)[0] in {"tampered", "incomplete"}


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None, database=None)
def test_noise_is_no_bundle(noise: bytes) -> None:
    for content in (noise, b"PK\6\6" + noise + bytes(94)):
        found = trails.found_in(
            lambda content=content: trails.verify(content, keys=[bytes(32)])
        )
        assert found[0] in {"tampered", "incomplete"}


class TestSignature:
    # RFC 8032, section 7.1: tests 1 to 3.
    VECTORS = [
        (
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
            "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
        (
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
            "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
    ]

    @pytest.mark.parametrize(("key", "message", "signature"), VECTORS)
    def test_of_the_published_vectors_is_good(
        self, key: str, message: str, signature: str
    ) -> None:
        arguments = [bytes.fromhex(one) for one in (key, message, signature)]
        assert dg_verify.is_signed(*arguments)
        for place in range(3):
            for at in range(len(arguments[place])):
                changed = [bytearray(one) for one in arguments]
                changed[place][at] ^= 4
                assert not dg_verify.is_signed(*map(bytes, changed))

    @given(st.binary(min_size=32, max_size=32), st.binary(max_size=99), st.data())
    @settings(max_examples=100, deadline=None, database=None)
    def test_is_good_if_the_library_says_so(
        self, secret: bytes, message: bytes, data: st.DataObject
    ) -> None:
        key = Ed25519PrivateKey.from_private_bytes(secret)
        public, value = key.public_key().public_bytes_raw(), key.sign(message)
        assert dg_verify.is_signed(public, message, value)
        at = data.draw(st.integers(0, 511))
        changed = bytearray(value)
        changed[at // 8] ^= 1 << at % 8
        assert not dg_verify.is_signed(public, message, bytes(changed))

    def test_whose_number_is_too_large_is_not_good(self) -> None:
        key, message, signature = (bytes.fromhex(one) for one in self.VECTORS[0])
        s = int.from_bytes(signature[32:], "little") + dg_verify.ORDER
        larger = signature[:32] + s.to_bytes(32, "little")
        assert not dg_verify.is_signed(key, message, larger)

    @pytest.mark.parametrize(
        "key", [bytes(31), b"\xff" * 32, (2).to_bytes(32, "little"), b""]
    )
    def test_by_what_is_no_key_is_not_good(self, key: bytes) -> None:
        assert not dg_verify.is_signed(key, b"", bytes(64))


# The command.


def run(*words: str | Path, python: str = sys.executable) -> tuple[int, str]:
    done = subprocess.run(
        [python, "-I", dg_verify.__file__, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def bundle(case: Case, tmp_path: Path) -> Path:
    return trails.write(tmp_path / "bundle.zip", case.bundle)


@pytest.fixture
def key(case: Case) -> str:
    return base64.b64encode(case.key).decode()


class TestCommand:
    def test_says_intact_with_0(
        self, case: Case, bundle: Path, key: str, tmp_path: Path
    ) -> None:
        status, text = run(bundle, "--trusted-key", key)
        assert (status, text.split(":")[0]) == (0, "INTACT")
        assert "--trusted-checkpoint" in text
        note = trails.write(tmp_path / "note.txt", case.notes[0].encode())
        status, text = run(bundle, "--trusted-key", key, "--trusted-checkpoint", note)
        assert status == 0
        assert "goes on from your checkpoint over 22" in text

    def test_says_tampered_with_1_and_which_entry(
        self, case: Case, key: str, tmp_path: Path
    ) -> None:
        lines = case.files["entries.jsonl"].splitlines(keepends=True)
        changed = {**case.files, "entries.jsonl": b"".join(lines[:6] + lines[7:])}
        file = trails.write(tmp_path / "x.zip", trails.packed(changed))
        status, text = run(file, "--trusted-key", key)
        assert (status, text[:18]) == (1, "TAMPERED: entry 7:")
        status, text = run(file, "--trusted-key", key, "--json")
        said = json.loads(text)
        assert (status, said["result"], said["first_bad_seq"]) == (1, "tampered", 7)

    def test_says_incomplete_with_2_without_a_key_or_an_end(
        self, case: Case, bundle: Path, key: str, tmp_path: Path
    ) -> None:
        status, text = run(bundle)
        assert (status, text.split(":")[0]) == (2, "INCOMPLETE")
        assert "--trusted-key" in text
        half = trails.write(tmp_path / "half.zip", case.bundle[:5000])
        assert run(half, "--trusted-key", key)[0] == 2

    def test_says_usage_with_3(self, bundle: Path, key: str, tmp_path: Path) -> None:
        nonsense = trails.write(tmp_path / "nonsense", b"\xff\0")
        text = trails.write(tmp_path / "text", b"no checkpoint\n")
        for words in (
            [],
            [bundle, "--trusted-key", "x"],
            [bundle, "--trusted-key", key, "--unknown"],
            [tmp_path / "missing.zip", "--trusted-key", key],
            [bundle, "--trusted-key", key, "--trusted-checkpoint", "/missing"],
            [bundle, "--trusted-key", key, "--trusted-checkpoint", nonsense],
            [bundle, "--trusted-key", key, "--trusted-checkpoint", text],
            [bundle, "--trusted-key", nonsense],
        ):
            status, said = run(*words)
            assert status == 3, said
            assert "Traceback" not in said

    def test_says_tampered_of_another_key(self, bundle: Path) -> None:
        other = base64.b64encode(
            Ed25519PrivateKey.generate().public_key().public_bytes_raw()
        ).decode()
        status, text = run(bundle, "--trusted-key", other)
        assert status == 1
        assert "which you don't trust" in text

    def test_does_not_trust_a_checkpoint_that_nobody_known_signed(
        self, case: Case, bundle: Path, key: str, tmp_path: Path
    ) -> None:
        note = case.notes[0]
        value = note.splitlines()[-1].split(" ")[-1]
        raw = bytearray(base64.b64decode(value))
        raw[-1] ^= 1
        changed = note.replace(value, base64.b64encode(bytes(raw)).decode())
        file = trails.write(tmp_path / "note.txt", changed.encode())
        status, _ = run(bundle, "--trusted-key", key, "--trusted-checkpoint", file)
        assert status == 3

    def test_takes_a_key_in_every_usual_form(
        self, case: Case, bundle: Path, key: str, tmp_path: Path
    ) -> None:
        public = Ed25519PublicKey.from_public_bytes(case.key)
        pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        origin = case.notes[0].partition("\n")[0]
        forms = [
            case.key.hex(),
            notes.verifier_key(origin, signing.PublicKey(case.key)),
            pem.decode(),
            str(trails.write(tmp_path / "key.pem", pem)),
            str(trails.write(tmp_path / "key.txt", key.encode() + b"\n")),
        ]
        for form in forms:
            assert run(bundle, "--trusted-key", form)[0] == 0, form

    def test_takes_the_files_of_copied_checkpoints_as_they_are(
        self, case: Case, bundle: Path, key: str, tmp_path: Path
    ) -> None:
        torn = case.notes[0][:50]
        text = f"{torn}\n\n{case.notes[0]}\n".encode()
        file = trails.write(tmp_path / "2025-01-31.txt", text)
        words = ["--trusted-key", key, "--trusted-checkpoint", file]
        assert run(bundle, *words)[0] == 0

    def test_verifies_a_directory_and_refuses_links_in_it(
        self, case: Case, key: str, tmp_path: Path
    ) -> None:
        directory = tmp_path / "unpacked"
        directory.mkdir()
        for name, content in case.files.items():
            trails.write(directory / name, content)
        assert run(directory, "--trusted-key", key)[0] == 0
        (directory / "more.txt").write_text("")
        assert run(directory, "--trusted-key", key)[0] == 1
        (directory / "more.txt").unlink()
        (directory / "README.txt").rename(tmp_path / "elsewhere")
        assert run(directory, "--trusted-key", key)[0] == 2
        (directory / "README.txt").symlink_to(tmp_path / "elsewhere")
        assert run(directory, "--trusted-key", key)[0] == 1


def test_it_is_written_for_python_3_9() -> None:
    source = Path(dg_verify.__file__).read_text(encoding="utf-8")
    assert ast.parse(source, feature_version=(3, 9))


def test_it_needs_nothing_but_python() -> None:
    tree = ast.parse(Path(dg_verify.__file__).read_text(encoding="utf-8"))
    imported = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        for name in (
            [one.name for one in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported <= sys.stdlib_module_names
    assert not imported & {"socket", "urllib", "http", "ssl", "subprocess"}
