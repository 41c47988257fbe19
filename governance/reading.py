"""Reading JSON that people wrote: every fault is named, not only the first."""

import math
import sys
from collections.abc import Collection, Mapping
from typing import Any, ClassVar, NamedTuple, TypeAlias

from governance import labels

Location: TypeAlias = tuple[str | int, ...]


class FieldError(NamedTuple):
    """One fault: where it is, a stable code, and a sentence."""

    loc: Location
    code: str
    detail: str

    def to_json(self) -> dict[str, Any]:
        return {"loc": list(self.loc), "code": self.code, "detail": self.detail}


class DescriptionError(ValueError):
    """A description has faults; `errors` names every one."""

    code: ClassVar[str] = "description"

    def __init__(self, errors: Collection[FieldError]) -> None:
        self.errors = tuple(errors)
        super().__init__(
            "; ".join(
                f"{'.'.join(map(str, error.loc)) or 'body'}: {error.detail}"
                for error in self.errors[:5]
            )
        )


class Reader:
    """Takes values out of JSON; a wrong one is noted in `errors` and read as None."""

    def __init__(self) -> None:
        self.errors: list[FieldError] = []

    def refuse(self, loc: Location, code: str, detail: str) -> None:
        self.errors.append(FieldError(loc, code, detail))

    def expected(self, loc: Location, what: str, value: object) -> None:
        """Note that a value has the wrong type."""
        self.refuse(loc, "type", f"expected {what}, got {_shown(value)}")

    def mapping(self, loc: Location, value: object) -> Mapping[str, object]:
        if isinstance(value, Mapping):
            return value
        if value is not None:
            self.expected(loc, "an object", value)
        return {}

    def items(self, loc: Location, value: object) -> list[object]:
        if isinstance(value, list | tuple):
            return list(value)
        if value is not None:
            self.expected(loc, "a list", value)
        return []

    def known(
        self, loc: Location, value: Mapping[str, object], fields: Collection[str]
    ) -> None:
        """Refuse every field outside `fields`."""
        for name in value:
            if name not in fields:
                self.refuse(
                    (*loc, name), "unknown_field", f"{_shown(name)} is no field here"
                )

    def text(self, loc: Location, value: object, longest: int = 200) -> str | None:
        if value is None:
            return None
        if not isinstance(value, str):
            self.expected(loc, "text", value)
        elif not value.strip() or len(value) > longest or "\0" in value:
            self.refuse(loc, "text", f"expected 1 to {longest} printable characters")
        else:
            return value
        return None

    def choice(
        self, loc: Location, value: object, choices: Collection[str]
    ) -> str | None:
        """Read one of a few words, in any case."""
        if value is None:
            return None
        word = value.lower() if isinstance(value, str) else ""
        if word in choices:
            return word
        listed = ", ".join(choices)
        self.refuse(loc, "choice", f"expected one of {listed}, got {_shown(value)}")
        return None

    def flag(self, loc: Location, value: object, default: bool) -> bool:
        if value is None:
            return default
        if not isinstance(value, bool):
            self.expected(loc, "true or false", value)
            return default
        return value

    def number(
        self,
        loc: Location,
        value: object,
        *,
        low: float = -math.inf,
        high: float = math.inf,
    ) -> float | None:
        """Read a finite number in [low, high]; neither `true` nor `"12"` is one."""
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.expected(loc, "a number", value)
        elif not abs(value) <= sys.float_info.max:  # NaN too is outside
            self.refuse(loc, "range", "expected a finite number")
        elif not low <= value <= high:
            self.refuse(loc, "range", f"expected {_range(low, high)}, got {value}")
        else:
            return float(value)
        return None

    def label(self, loc: Location, value: object) -> str | None:
        """Read a class, category or group in its canonical spelling."""
        if value is None:
            return None
        if not isinstance(value, str | int | float) or len(str(value)) > 200:
            self.expected(loc, "text, a number or a boolean", value)
            return None
        text = labels.canonical(value)
        if text is None or (isinstance(value, float) and math.isinf(value)):
            self.refuse(loc, "range", "expected a finite number")
            return None
        return text

    def distinct_labels(
        self, loc: Location, value: object, fewest: int = 1
    ) -> tuple[str, ...] | None:
        """Read a list of different labels."""
        if value is None:
            return None
        before = len(self.errors)
        texts = [
            self.label((*loc, position), item)
            for position, item in enumerate(self.items(loc, value))
        ]
        found = [text for text in texts if text is not None]
        for position, text in enumerate(texts):
            if text is None:
                if len(self.errors) == before:
                    self.refuse((*loc, position), "missing", "expected a label")
            elif text in texts[:position]:
                self.refuse((*loc, position), "duplicate", f"{text} is there already")
        if len(self.errors) == before and len(found) < fewest:
            self.refuse(loc, "too_few", f"expected at least {fewest}")
        return tuple(found) if len(self.errors) == before else None


def _range(low: float, high: float) -> str:
    if math.isinf(high):
        return f"at least {low}"
    if math.isinf(low):
        return f"at most {high}"
    return f"a number from {low} to {high}"


def _shown(value: object) -> str:
    """Show a value as short JSON-like text, never its whole length."""
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
