import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance import strict_json
from governance.exceptions import MalformedError

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
)
names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner) | st.dictionaries(names, inner),
    max_leaves=20,
)


@given(values, st.booleans(), st.sampled_from([None, 1]))
def test_reads_what_json_reads(value: object, ascii_only: bool, indent: int) -> None:
    body = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
    assert strict_json.decode(body) == value  # oracle: the standard library


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": 1, "a": 2}',
        b'{"a":1,"a":1}',
        b'{"a" :1,"a":2}',
        b'{"a"  :1,"a"\n:2}',
        b'{"a":1,"\\u0061":2}',
        b'[{"x":{"a":1,"b":"\\":","a":3}}]',
        # A string that looks like a key must not make up for the one lost.
        b'{"a":1,"a":2,"b":"x\\":"}',
    ],
)
def test_duplicate_keys_are_refused(body: bytes) -> None:
    with pytest.raises(MalformedError, match="stands twice"):
        strict_json.decode(body)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"{} {}", "not valid JSON"),
        (b"{'a': 1}", "not valid JSON"),
        (b"[1,]", "not valid JSON"),
        (b'"a\nb"', "not valid JSON"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        (b'{"a": "\xff"}', "not UTF-8"),
        (b'"\xed\xa0\x80"', "not UTF-8"),
        ("{}".encode("utf-16"), "not UTF-8"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": Infinity}', "Infinity is not JSON"),
        (b'{"a": -Infinity}', "-Infinity is not JSON"),
        (b'{"a": 1e999}', "beyond float64"),
        (b'{"a": -1e999}', "beyond float64"),
        (b'{"a": 9223372036854775808}', "beyond ±2"),
        (b'{"a": -9223372036854775809}', "beyond ±2"),
        (b'{"a": ' + b"9" * 5000 + b"}", "beyond ±2"),
        (b'{"a": "\\u0000"}', "NUL character"),
        (b'{"\\u0000": 1}', "NUL character"),
        (b'{"a": "\\ud800"}', "lone surrogate"),
        (b'{"a": "\\udc00\\ud800"}', "lone surrogate"),
        (b"[" * 17 + b"]" * 17, "deeper than 16"),
        (b'{"a":' * 17 + b"1" + b"}" * 17, "deeper than 16"),
        (b"[" * 100_000 + b"]" * 100_000, "deeper than 16"),
    ],
)
def test_what_readers_disagree_about_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(MalformedError, match=reason):
        strict_json.decode(body)


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 16 + b"]" * 16,
        b'{"a": 9223372036854775807, "b": -9223372036854775808}',
        b'{"a": 0.00012345678901234567}',
        b'{"a": "12345678901234567890123"}',
        b'{"a": "\\ud83d\\ude00"}',
        b'{"a": "[[[[[[[[[[[[[[[[[[[[[[[["}',
        b'{"a": "b\\":", "c" : 1}',
        b' [1.7976931348623157e308, 1e-999, "\xc3\xa4"] ',
        b"12",
        b"null",
    ],
)
def test_what_only_looks_suspicious_is_read(body: bytes) -> None:
    assert strict_json.decode(body) == json.loads(body)


def test_brackets_in_strings_do_not_hide_depth() -> None:
    body = b'["]",' * 17 + b"1" + b"]" * 17
    with pytest.raises(MalformedError, match="deeper than 16"):
        strict_json.decode(body)
