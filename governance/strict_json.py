"""JSON as it is accepted at the edge: what readers disagree about is refused.

Refused are a byte order mark, bytes that aren't UTF-8, duplicate keys, NaN, Infinity,
numbers beyond float64, integers beyond ±2^63, NUL characters, lone surrogates, and
nesting deeper than 16. msgspec reads the bytes; what it lets through is found by a few
counts over them, and only where these leave a doubt are they read again, exactly.
"""

import json
import math
import re
from collections.abc import Iterable
from typing import Any

import msgspec

from governance.exceptions import MalformedError

MAX_DEPTH = 16
LOWEST_INTEGER, HIGHEST_INTEGER = -(2**63), 2**63 - 1
# Maps every digit to 0, the point to itself and the rest to white space.
_DIGITS = bytes(
    48 if 48 <= byte <= 57 else 46 if byte == 46 else 32 for byte in range(256)
)
# An integer needs nineteen digits to exceed 2^63.
_NINETEEN_DIGITS = b"0" * 19
_UNPRINTABLE = re.compile(r"[\x00\ud800-\udfff]")

_decoder = msgspec.json.Decoder()


def decode(body: bytes) -> Any:
    """Return the value that the body spells.

    Raises
    ------
    MalformedError
        The body isn't JSON, or has something in it that isn't accepted.
    """
    try:
        value = _decoder.decode(body)
    except UnicodeDecodeError as error:
        raise MalformedError(f"The body is not UTF-8 (byte {error.start}).") from None
    except RecursionError:
        raise _too_deep() from None
    except msgspec.MsgspecError:
        # The exact reader knows why, and says it better.
        return _decode_exactly(body)
    return value if _is_beyond_doubt(body, value) else _decode_exactly(body)


def _is_beyond_doubt(body: bytes, value: Any) -> bool:
    """Tell whether the decoded value proves that nothing was lost or hidden.

    Without backslashes and without white space before a colon, `":` ends each key and
    stands nowhere else. So if the objects have as many members as that, no key was
    there twice.
    """
    if b"\\" in body or _has_space_before_colon(body) or _has_long_integer(body):
        return False
    members = _members(value, containers=body.count(b"{") + body.count(b"["))
    return members == body.count(b'":')


def _has_space_before_colon(body: bytes) -> bool:
    # One byte is found many times faster than two, and is rarely there.
    return any(
        space in body and space + b":" in body for space in (b" ", b"\n", b"\t", b"\r")
    )


def _has_long_integer(body: bytes) -> bool:
    digits = body.translate(_DIGITS)
    # The decimals of a fraction are often as long as that.
    return _NINETEEN_DIGITS in digits and (
        digits.startswith(_NINETEEN_DIGITS) or b" " + _NINETEEN_DIGITS in digits
    )


def _members(value: Any, *, containers: int) -> int:
    """Return how many members all objects have, or -1 if they are nested too deep.

    Brackets inside strings make `containers` too high, never too low: so once that many
    were found, there can't be another one further down.
    """
    level = [value] if type(value) in (dict, list) else []
    members = found = depth = 0
    while level:
        depth += 1
        if depth > MAX_DEPTH:
            return -1
        found += len(level)
        members += sum(len(item) for item in level if type(item) is dict)
        if found >= containers:
            break
        level = [
            inner
            for item in level
            for inner in (item.values() if type(item) is dict else item)
            if type(inner) is dict or type(inner) is list
        ]
    return members


def _decode_exactly(body: bytes) -> Any:
    if body.startswith(b"\xef\xbb\xbf"):
        raise MalformedError("The body begins with a byte order mark.")
    try:
        value = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_float,
            parse_constant=_constant,
        )
    except UnicodeDecodeError as error:
        raise MalformedError(f"The body is not UTF-8 (byte {error.start}).") from None
    except json.JSONDecodeError as error:
        raise MalformedError(
            f"The body is not valid JSON: {error.msg} (line {error.lineno}, "
            f"column {error.colno})."
        ) from None
    except RecursionError:
        raise _too_deep() from None
    _check(value)
    return value


def _check(value: Any) -> None:
    """Refuse what is nested too deep, and strings that can't be stored."""
    level: list[Any] = [value]
    depth = 0
    while level:
        inner: list[Any] = []
        is_nested = False
        for item in level:
            if isinstance(item, str) and _UNPRINTABLE.search(item):
                raise MalformedError(
                    "A string has a NUL character or a lone surrogate in it."
                )
            if isinstance(item, dict | list):
                is_nested = True
                inner.extend(_parts(item))
        depth += is_nested
        if depth > MAX_DEPTH:
            raise _too_deep()
        level = inner


def _parts(item: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return [*item, *item.values()] if isinstance(item, dict) else item


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) == len(pairs):
        return made
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise MalformedError(f"The key {_shown(key)} stands twice in one object.")
        seen.add(key)
    return made


def _integer(text: str) -> int:
    # Python itself refuses to read thousands of digits.
    value = int(text) if len(text) <= 20 else HIGHEST_INTEGER + 1
    if LOWEST_INTEGER <= value <= HIGHEST_INTEGER:
        return value
    raise MalformedError(f"The integer {_shown(text)} is beyond ±2^63.")


def _float(text: str) -> float:
    value = float(text)
    if math.isfinite(value):
        return value
    raise MalformedError(f"The number {_shown(text)} is beyond float64.")


def _constant(text: str) -> float:
    raise MalformedError(f"{text} is not JSON; leave a missing value out or send null.")


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 40 else f"{text[:37]}...")


def _too_deep() -> MalformedError:
    return MalformedError(f"The body is nested deeper than {MAX_DEPTH} levels.")
