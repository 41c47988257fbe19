"""Labels, categories and groups compare by value: one spelling for each."""

import math
import numbers
import re
from bisect import bisect_right
from itertools import pairwise

# No leading zeros: "01234" is a postcode, not a number.
_PLAIN_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?")


def canonical(value: object) -> str | None:
    """Return the text by which a label, category or group is compared.

    Values that are equal are spelled alike: `1`, `1.0`, `"1"`, `"1.0"`, `True` and
    `"true"` are all `"1"`. Missing values (None, NaN) are None. Text that isn't a plain
    number, such as `"01"` or `" 1"`, stays as it is.

    Raises
    ------
    TypeError
        The value is no scalar.
    """
    if value is None:
        return None
    if isinstance(value, str):
        return _canonical_text(value)
    # numpy registers its numbers, but not its boolean.
    if isinstance(value, numbers.Integral) or type(value).__name__.startswith("bool"):
        return str(int(value))  # type: ignore[call-overload]
    if isinstance(value, numbers.Real):
        return _canonical_float(float(value))
    msg = f"a label is text, a number or a boolean, not {type(value).__name__}"
    raise TypeError(msg)


def _canonical_text(text: str) -> str:
    if _PLAIN_NUMBER.fullmatch(text):
        if "." in text:
            return _canonical_float(float(text)) or text
        return "0" if text == "-0" else text
    if len(text) in {4, 5} and text.lower() in {"true", "false"}:
        return "1" if len(text) == 4 else "0"
    return text


def _canonical_float(value: float) -> str | None:
    if math.isnan(value):
        return None
    if abs(value) < 2**63 and value.is_integer():
        return str(int(value))
    return repr(value)


def number(text: str) -> float | None:
    """Return the finite number that a label spells, or None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def band_names(edges: tuple[float, ...]) -> tuple[str, ...]:
    """Name the groups between rising edges; a value on an edge belongs above it.

    >>> band_names((30, 45))
    ('under 30', '30 to under 45', '45 and over')
    """
    texts = [canonical(edge) for edge in edges]
    between = [f"{low} to under {high}" for low, high in pairwise(texts)]
    return (f"under {texts[0]}", *between, f"{texts[-1]} and over")


def band_of(value: object, edges: tuple[float, ...]) -> str | None:
    """Return the name of the band that a value falls into.

    None if it is missing, or no finite number.
    """
    text = canonical(value)
    if text is None:
        return None
    position = number(text)
    if position is None:
        return None
    return band_names(edges)[bisect_right(edges, position)]
